// Two collectd modules in one source, for agent_bench.py: one that takes values and does nothing, and
// one that dispatches as many constants as MMSTATS_BENCH_SERIES says, with names and types as our own
// plugin gives them to the same number of series. NULL_WRITER chooses.
#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" {
#include "collectd/core/daemon/collectd.h"
#include "collectd/core/daemon/plugin.h"
}

#ifdef NULL_WRITER
extern "C" [[gnu::visibility("default")]] void module_register() {
  plugin_register_write(
      "null_writer", [](const data_set_t*, const value_list_t*, user_data_t*) { return 0; }, nullptr);
}
#else
extern "C" [[gnu::visibility("default")]] void module_register() {
  plugin_register_read("constants", [] {
    static const int workers = std::atoi(std::getenv("MMSTATS_BENCH_SERIES")) / 100;
    value_t value{};
    value_list_t list{};
    list.values = &value;
    list.values_len = 1;
    list.time = cdtime();
    list.interval = plugin_get_interval();
    std::strcpy(list.plugin, "constants");
    for (int worker = 0; worker < workers; ++worker) {
      for (int metric = 0; metric < 100; ++metric) {
        const bool counter = metric % 2 == 0;
        std::strcpy(list.type, counter ? "derive" : "gauge");
        if (counter) {
          value.derive = 1;
        } else {
          value.gauge = 1;
        }
        std::snprintf(list.type_instance, sizeof list.type_instance, "web.stats.requests.kind%d-%d", metric,
                      worker);
        plugin_dispatch_values(&list);
      }
    }
    return 0;
  });
}
#endif

// For hostile_host: a plugin with metrics of its own, which its host unloads whatever still runs.
#include "mmstats/fields.h"
#include "mmstats/model.h"

namespace {

struct Stats : mmstats::Model {
  Stats() : Model({.label_prefix = "plugin", .on_error = [](const mmstats::Error&) {}}) {}
  mmstats::Counter calls{*this, "calls"};
  mmstats::SharedCounter shared{*this, "shared"};
};

Stats stats;

}  // namespace

extern "C" __attribute__((visibility("default"))) void plugin_call() {
  static mmstats::Counter local(stats, "local");
  ++stats.calls;
  ++stats.shared;
  ++local;
}

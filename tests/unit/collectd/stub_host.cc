#include "collectd/stub_host.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <new>
#include <stdexcept>
#include <utility>
#include <variant>

extern "C" {
#include "collectd/core/daemon/collectd.h"
#include "collectd/core/daemon/plugin.h"
}

namespace {

std::atomic<std::size_t> allocation_count{0};

struct Registered {
  stub_host::Reader reader;
  plugin_read_cb read;
  user_data_t data;
};

struct State {
  int (*config)(oconfig_item_t*) = nullptr;
  plugin_init_cb init = nullptr;
  plugin_shutdown_cb shutdown = nullptr;
  std::vector<Registered> registered;
  std::vector<stub_host::Reader> readers;
  std::vector<stub_host::Dispatched> dispatched;
  std::vector<std::string> log;
  std::vector<int> log_levels;
  bool refuse = false;
  bool throwing = false;
  bool keep = true;
  bool types = true;
  cdtime_t interval = 10;
};

State state;

double seconds(cdtime_t time) { return static_cast<double>(time) / (1U << 30U); }

// collectd's own form of a section. Lives as long as `item` and `storage`.
oconfig_item_t foreign(const mmstats::collectd::ConfigItem& item,
                       std::list<std::vector<oconfig_value_t>>& values,
                       std::list<std::vector<oconfig_item_t>>& children) {
  oconfig_item_t made{};
  made.key = const_cast<char*>(item.key.c_str());
  auto& own_values = values.emplace_back();
  for (const auto& value : item.values) {
    oconfig_value_t v{};
    if (const auto* text = std::get_if<std::string>(&value)) {
      v.type = OCONFIG_TYPE_STRING;
      v.value.string = const_cast<char*>(text->c_str());
    } else if (const auto* number = std::get_if<double>(&value)) {
      v.type = OCONFIG_TYPE_NUMBER;
      v.value.number = *number;
    } else {
      v.type = OCONFIG_TYPE_BOOLEAN;
      v.value.boolean = std::get<bool>(value) ? 1 : 0;
    }
    own_values.push_back(v);
  }
  auto& own_children = children.emplace_back();
  for (const auto& child : item.children) own_children.push_back(foreign(child, values, children));
  made.values = own_values.data();
  made.values_num = static_cast<int>(own_values.size());
  made.children = own_children.data();
  made.children_num = static_cast<int>(own_children.size());
  return made;
}

}  // namespace

// Not inlined: the compiler takes the pairs for unequal ones.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocation_count;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocation_count;
  return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

// What the module finds in the process that loads it.
extern "C" {

int plugin_register_complex_config(const char*, int (*callback)(oconfig_item_t*)) {
  state.config = callback;
  return 0;
}

int plugin_register_init(const char*, plugin_init_cb callback) {
  state.init = callback;
  return 0;
}

int plugin_register_shutdown(const char*, plugin_shutdown_cb callback) {
  state.shutdown = callback;
  return 0;
}

int plugin_register_complex_read(const char*, const char* name, plugin_read_cb callback, cdtime_t interval,
                                 user_data_t const* data) {
  if (state.refuse) {
    data->free_func(data->data);  // as collectd does, whatever its header says
    return -1;
  }
  state.readers.push_back({name, seconds(interval)});
  state.registered.push_back({state.readers.back(), callback, *data});
  return 0;
}

int plugin_dispatch_values(value_list_t const* list) {
  if (state.throwing) throw std::runtime_error("thrown by the host");
  if (!state.keep) return 0;
  std::string identity = list->plugin;
  if (list->plugin_instance[0] != '\0') identity += std::string("-") + list->plugin_instance;
  identity += std::string("/") + list->type + "-" + list->type_instance;
  state.dispatched.push_back(
      {identity, list->values[0].gauge, list->values[0].derive, list->time, seconds(list->interval)});
  return list->values_len == 1 && list->host[0] == '\0' ? 0 : -1;
}

const data_set_t* plugin_get_ds(const char* name) {
  static data_source_t gauge{"value", DS_TYPE_GAUGE, 0, 0};
  static data_source_t derive{"value", DS_TYPE_DERIVE, 0, 0};
  static data_source_t counter{"value", DS_TYPE_COUNTER, 0, 0};
  static data_source_t absolute{"value", DS_TYPE_ABSOLUTE, 0, 0};
  static data_source_t octets[] = {{"rx", DS_TYPE_DERIVE, 0, 0}, {"tx", DS_TYPE_DERIVE, 0, 0}};
  static data_set_t sets[] = {{"gauge", 1, &gauge},    {"derive", 1, &derive},   {"latency", 1, &gauge},
                              {"count", 1, &gauge},    {"counter", 1, &counter}, {"absolute", 1, &absolute},
                              {"if_octets", 2, octets}};
  if (!state.types) return nullptr;
  for (const auto& set : sets) {
    if (std::strcmp(set.type, name) == 0) return &set;
  }
  return nullptr;
}

cdtime_t plugin_get_interval() { return state.interval << 30U; }

cdtime_t cdtime() {
  static cdtime_t now = 0;
  return ++now;
}

void plugin_log(int level, const char* format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  state.log.emplace_back(line);
  state.log_levels.push_back(level);
}

}  // extern "C"

namespace stub_host {

std::size_t allocations() { return allocation_count; }

Host::Host() {
  state = {};
  void* module = dlopen(MODULE_FILE, RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) throw std::runtime_error(dlerror());
  auto* entry = reinterpret_cast<void (*)()>(dlsym(module, "module_register"));
  if (entry == nullptr) throw std::runtime_error("the module has no module_register");
  entry();
  if (state.config == nullptr || state.init == nullptr || state.shutdown == nullptr) {
    throw std::runtime_error("the module registered too little");
  }
}

Host::~Host() {
  for (const auto& registered : state.registered) registered.data.free_func(registered.data.data);
  state.shutdown();
}

int Host::config(const mmstats::collectd::ConfigItem& section) {
  std::list<std::vector<oconfig_value_t>> values;
  std::list<std::vector<oconfig_item_t>> children;
  auto item = foreign(section, values, children);
  return state.config(&item);
}

int Host::init() { return state.init(); }

int Host::read(const std::string& name) {
  state.dispatched.clear();
  for (auto& registered : state.registered) {
    if (registered.reader.name == name) return registered.read(&registered.data);
  }
  throw std::runtime_error("no reader " + name);
}

const std::vector<Reader>& Host::readers() const { return state.readers; }
const std::vector<Dispatched>& Host::dispatched() const { return state.dispatched; }
const std::vector<std::string>& Host::log() const { return state.log; }
const std::vector<int>& Host::log_levels() const { return state.log_levels; }
void Host::refuse_readers() { state.refuse = true; }
void Host::throw_when_dispatching(bool on) { state.throwing = on; }
void Host::keep_dispatched(bool on) { state.keep = on; }
void Host::know_types(bool on) { state.types = on; }
void Host::use_interval(int seconds) { state.interval = static_cast<cdtime_t>(seconds); }

}  // namespace stub_host

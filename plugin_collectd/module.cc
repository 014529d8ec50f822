// collectd's read plugin `mmstats`: the only file that knows collectd's headers. collectd calls
//   config    for each <Plugin mmstats> section, before it forks: we keep a copy of the section;
//   init      once, with types.db read: the sections become blocks, each with a read callback;
//   read      for each block in its own interval, from any of its threads, never twice at a time;
//   shutdown  at the end, after the blocks were freed.
// Blocks share nothing, so there is nothing to lock.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collect/complaints.h"
#include "collect/watch.h"
#include "format/file_name.h"
#include "plugin_collectd/config.h"
#include "plugin_collectd/first_look.h"
#include "plugin_collectd/guard.h"
#include "plugin_collectd/values.h"

extern "C" {
#include "collectd/core/daemon/collectd.h"
#include "collectd/core/daemon/plugin.h"
#include "collectd/core/daemon/utils_time.h"
}
// Words that C++ code should be free to use.
#undef ERROR
#undef WARNING
#undef NOTICE
#undef INFO
#undef DEBUG
#undef VERSION
#undef PACKAGE
#undef PREFIX

namespace mmstats::collectd {
namespace {

using Severity = Message::Severity;

constexpr const char* kPlugin = "mmstats";
constexpr std::size_t kMaxNameBytes = DATA_MAX_NAME_LEN - 1;
constexpr std::size_t kMaxLogBytes = 960;  // collectd cuts lines at 1023, with the plugin's name in it

void log(int level, std::string_view text) {
  plugin_log(level, "mmstats plugin: %s", log_line(text, kMaxLogBytes).c_str());
}

void tell_fault(const char* callback, const char* what) {
  plugin_log(LOG_ERR, "mmstats plugin: %s failed: %s", callback, what);
}

cdtime_t to_cdtime(double seconds) {
  constexpr double kUnitsInSecond = 1U << 30U;
  return static_cast<cdtime_t>(std::llround(seconds * kUnitsInSecond));
}

double to_seconds(cdtime_t time) { return CDTIME_T_TO_DOUBLE(time); }

std::optional<HostType> find_type(const std::string& name) {
  const data_set_t* known = plugin_get_ds(name.c_str());
  if (known == nullptr || known->ds_num == 0) return std::nullopt;
  HostType type{.source = DataSource::kGauge, .sources = known->ds_num};
  switch (known->ds[0].type) {
    case DS_TYPE_COUNTER:
      type.source = DataSource::kCounter;
      break;
    case DS_TYPE_DERIVE:
      type.source = DataSource::kDerive;
      break;
    case DS_TYPE_ABSOLUTE:
      type.source = DataSource::kAbsolute;
      break;
    default:
      break;
  }
  return type;
}

// The plugin's own values, with ReportSelf.
struct SelfValue {
  const char* type;
  const char* type_instance;
};
constexpr SelfValue kSelfFiles{"count", "files"};
constexpr SelfValue kSelfSeries{"count", "series"};
constexpr SelfValue kSelfDamaged{"count", "damaged_files"};
constexpr SelfValue kSelfUnreadableFiles{"count", "unreadable_files"};
constexpr SelfValue kSelfUnreadableFolders{"count", "unreadable_folders"};
constexpr SelfValue kSelfLeftOut{"count", "left_out_files"};
constexpr SelfValue kSelfFoldersLeftOut{"count", "left_out_folders"};
constexpr SelfValue kSelfPutOff{"count", "put_off_files"};
constexpr SelfValue kSelfFoldersPutOff{"count", "put_off_folders"};
constexpr SelfValue kSelfDead{"count", "dead_files"};
constexpr SelfValue kSelfMemory{"memory", "kept"};
constexpr SelfValue kSelfReused{"count", "series_given_back"};
constexpr SelfValue kSelfUnstable{"errors", "unstable_values"};
constexpr SelfValue kSelfScan{"duration", "scan"};

SeriesNames make_names(const BlockConfig& config) {
  std::vector<std::pair<const char*, const char*>> reserved;
  if (config.report_self) {
    for (const auto& self :
         {kSelfFiles, kSelfSeries, kSelfDamaged, kSelfUnreadableFiles, kSelfUnreadableFolders, kSelfLeftOut,
          kSelfFoldersLeftOut, kSelfPutOff, kSelfDead, kSelfMemory, kSelfReused, kSelfUnstable, kSelfScan}) {
      reserved.emplace_back(self.type, self.type_instance);
    }
  }
  return {config.names, find_type, reserved};
}

// `name` must fit, with its NUL.
void copy_name(char (&into)[DATA_MAX_NAME_LEN], std::string_view name) {
  std::memcpy(into, name.data(), name.size());
  into[name.size()] = '\0';
}

// One block of the configuration while it is watched. Owned by its read callback.
class Block {
 public:
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  explicit Block(BlockConfig&& config)
      : instance_(config.instance),
        name_(block_name(config.instance)),
        interval_(config.interval ? to_cdtime(*config.interval) : plugin_get_interval()),
        report_self_(config.report_self),
        path_given_(config.watch.tell_missing_folders),
        names_(make_names(config)),
        watch_(std::move(config.watch), std::move(config.rules)) {}

  [[nodiscard]] cdtime_t interval() const { return interval_; }
  FaultLog& faults() { return faults_; }

  // One scan, and all values of it. Always 0: after an error collectd would double the interval, and what can
  // be read again is to be read at once. What cannot be read is told in the log and in the plugin's own
  // values.
  int read() {
    const cdtime_t time = cdtime();
    const auto steady_now = std::chrono::steady_clock::now();
    const auto& report = watch_.scan(std::chrono::system_clock::now(), steady_now);

    tell_problems(report, steady_now);

    dispatch_series(time);
    if (report_self_) dispatch_self(time, report);
    return 0;
  }

 private:
  // Those of the block come first: others can make any number of those of files.
  void tell_problems(const ScanReport& report, std::chrono::steady_clock::time_point now) {
    complaints_.begin_scan(now);
    if (looks_) look(report);
    for (const auto& problem : names_.extend(watch_.series(), watch_.stats().generations))
      complaints_.tell_once(LOG_WARNING, problem);
    if (const auto refused = watch_.stats().series_refused; refused > 2 * told_series_refused_) {
      told_series_refused_ = refused;  // again only when it has doubled: files come and go
      complaints_.tell_once(LOG_WARNING,
                            fmt::format("{} values were left out, as there are {} series already: Include "
                                        "fewer labels, or raise MaxSeries or MaxMemory",
                                        refused, watch_.series().size()));
    }
    std::size_t told = 0;
    for (const auto& error : report.errors) {
      const bool limit = error.kind == ErrorKind::kTooLarge;
      if (!complaints_.tell(LOG_WARNING, error.text() + (limit ? " (MaxFileSize)" : ""))) break;
      ++told;
    }
    watch_.told(told);
    complaints_.end_scan(report.untold - told);
  }

  // Tells what is not there: of files once, of labels once there are any.
  void look(const ScanReport& report) {
    if (!std::exchange(told_globs_, true) && report.unreadable_files == 0) {
      const auto unmatched = watch_.unmatched_globs();
      // Of the default folders one is enough.
      if (!unmatched.empty() && (path_given_ || watch_.files() == 0)) {
        complaints_.tell_once(LOG_NOTICE, no_file_matches(unmatched));
      }
    }
    if (const auto patterns = watch_.unused_patterns()) {
      looks_ = false;
      for (const auto& line : no_label_matches(*patterns)) complaints_.tell_once(LOG_NOTICE, line);
    }
  }

  // A value list with what all values of one scan have in common: the time above all, however long
  // dispatching them takes.
  [[nodiscard]] value_list_t make_list(cdtime_t time, value_t& value) const {
    value_list_t list{};
    list.values = &value;
    list.values_len = 1;
    list.time = time;
    list.interval = interval_;
    copy_name(list.plugin, kPlugin);
    copy_name(list.plugin_instance, instance_);
    return list;
  }

  // Nothing but copies here: collectd takes microseconds for a value, and we are not to add to that.
  void dispatch_series(cdtime_t time) {
    value_t value{};
    auto list = make_list(time, value);
    const char* type = nullptr;  // the one in `list`; most series have the same as the last
    std::size_t index = 0;
    for (const Series& series : watch_.series()) {
      const auto identity = names_.identity(index++, series);
      if (!series.present || !to_value(series, identity, value)) continue;
      if (identity.type != type) {
        type = identity.type;
        copy_name(list.type, type);
      }
      copy_name(list.type_instance, identity.type_instance);
      plugin_dispatch_values(&list);
    }
  }

  static bool to_value(const Series& series, const Identity& identity, value_t& value) {
    if (identity.source == DataSource::kGauge) {
      value.gauge = series.value;
      return true;
    }
    if (identity.source == DataSource::kCounter) {
      const auto total = as_counter(series, identity.factor);
      value.counter = total.value_or(0);
      return total.has_value();
    }
    const auto total = as_derive(series, identity.factor);
    value.derive = total.value_or(0);
    return total.has_value();
  }

  void dispatch_self(cdtime_t time, const ScanReport& report) const {
    value_t value{};
    auto list = make_list(time, value);
    const auto dispatch = [&](const SelfValue& self, value_t of_this_tick) {
      value = of_this_tick;
      copy_name(list.type, self.type);
      copy_name(list.type_instance, self.type_instance);
      plugin_dispatch_values(&list);
    };
    const auto count = [](std::size_t n) { return value_t{.gauge = static_cast<gauge_t>(n)}; };
    const auto& stats = watch_.stats();
    dispatch(kSelfFiles, count(stats.files));
    dispatch(kSelfSeries, count(stats.series));
    dispatch(kSelfDamaged, count(stats.damaged));
    dispatch(kSelfUnreadableFiles, count(report.unreadable_files));
    dispatch(kSelfUnreadableFolders, count(report.unreadable_folders));
    dispatch(kSelfLeftOut, count(report.left_out));
    dispatch(kSelfFoldersLeftOut, count(report.folders_left_out));
    dispatch(kSelfPutOff, count(report.put_off));
    dispatch(kSelfFoldersPutOff, count(report.folders_put_off));
    dispatch(kSelfDead, count(stats.dead));
    dispatch(kSelfMemory, count(stats.memory));
    dispatch(kSelfReused, count(stats.series_reused));
    dispatch(kSelfUnstable, value_t{.derive = static_cast<derive_t>(stats.unstable)});
    dispatch(kSelfScan, value_t{.gauge = report.elapsed.count()});
  }

  std::string instance_;
  std::string name_;
  cdtime_t interval_;
  bool report_self_;
  bool path_given_;
  bool looks_ = true;
  bool told_globs_ = false;
  SeriesNames names_;
  Watch watch_;
  ComplaintLog complaints_{
      [this](int level, std::string_view text) { log(level, fmt::format("{}: {}", name_, text)); },
      LOG_WARNING};
  std::uint64_t told_series_refused_ = 0;
  FaultLog faults_{tell_fault};
};

// The sections seen by config, until init has made blocks of them. A plain pointer, as it must not
// be destroyed at exit() while collectd still runs.
std::vector<ConfigItem>* pending_sections = nullptr;

ConfigItem copy_item(const oconfig_item_t& item) {
  ConfigItem copy;
  copy.key = item.key;
  for (const auto& value : std::span(item.values, static_cast<std::size_t>(item.values_num))) {
    switch (value.type) {
      case OCONFIG_TYPE_NUMBER:
        copy.values.emplace_back(value.value.number);
        break;
      case OCONFIG_TYPE_BOOLEAN:
        copy.values.emplace_back(value.value.boolean != 0);
        break;
      default:
        copy.values.emplace_back(std::string(value.value.string));
        break;
    }
  }
  for (const auto& child : std::span(item.children, static_cast<std::size_t>(item.children_num))) {
    copy.children.push_back(copy_item(child));
  }
  return copy;
}

void log_messages(const std::vector<Message>& messages) {
  for (const auto& message : messages) {
    log(message.severity == Severity::kError ? LOG_ERR : LOG_WARNING, message.text);
  }
}

void free_block(void* block) { delete static_cast<Block*>(block); }

int read_block(user_data_t* data) {
  auto& block = *static_cast<Block*>(data->data);
  return guarded("reading", block.faults(), [&] { return block.read(); });
}

// False: collectd did not take it, and has said why.
bool watch_block(BlockConfig&& config) {
  log_messages(check_types(config, find_type));
  const std::string callback =
      config.instance.empty() ? kPlugin : fmt::format("{}/{}", kPlugin, config.instance);
  const std::string description =
      fmt::format("{}: reads {}", block_name(config.instance), fmt::join(config.watch.globs, ", "));
  auto block = std::make_unique<Block>(std::move(config));
  const cdtime_t interval = block->interval();
  // collectd frees the block even where this fails, so it is no longer ours from here on.
  const user_data_t data{.data = block.release(), .free_func = free_block};
  if (plugin_register_complex_read(kPlugin, callback.c_str(), read_block, interval, &data) != 0) return false;
  log(LOG_INFO, fmt::format("{} every {:.6g} s", description, to_seconds(interval)));
  return true;
}

void check_default_types() {
  for (const auto* type : {kDefaultCounterType, kDefaultGaugeType}) {
    if (!find_type(type)) {
      log(LOG_ERR,
          fmt::format("type \"{}\" is unknown, so collectd drops its values: a TypesDB option replaces "
                      "collectd's own file, so name that one too (/usr/share/collectd/types.db)",
                      type));
    }
  }
}

// Files of the dead are removed when the slowest block has read what they had counted.
void wait_for_slowest(std::vector<BlockConfig>& blocks) {
  std::chrono::duration<double> longest{};
  for (const auto& block : blocks) {
    const double interval = block.interval.value_or(to_seconds(plugin_get_interval()));
    longest = std::max(longest, std::chrono::duration<double>(interval));
  }
  for (auto& block : blocks) {
    block.watch.stale_after = std::chrono::duration_cast<std::chrono::steady_clock::duration>(2 * longest);
  }
}

int init_blocks() {
  const std::unique_ptr<std::vector<ConfigItem>> sections(std::exchange(pending_sections, nullptr));
  auto configuration =
      read_config(sections ? std::span<const ConfigItem>(*sections) : std::span<const ConfigItem>(),
                  default_globs(), kMaxNameBytes);
  log_messages(configuration.messages);
  check_default_types();
  if (configuration.blocks.size() > 1) wait_for_slowest(configuration.blocks);
  std::size_t watched = 0;
  for (auto& block : configuration.blocks) watched += watch_block(std::move(block)) ? 1 : 0;
  if (watched != 0) return 0;
  log(LOG_ERR, "no block of the configuration can be used, so nothing is read");
  return -1;
}

int on_config(oconfig_item_t* section) {
  FaultLog faults(tell_fault);
  return guarded("config", faults, [&] {
    if (pending_sections == nullptr) pending_sections = new std::vector<ConfigItem>;
    pending_sections->push_back(copy_item(*section));
    return 0;
  });
}

int on_init() {
  FaultLog faults(tell_fault);
  return guarded("init", faults, init_blocks);
}

int on_shutdown() {
  delete std::exchange(pending_sections, nullptr);  // left only if init was never called
  return 0;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void module_register() {
  plugin_register_complex_config(kPlugin, on_config);
  plugin_register_init(kPlugin, on_init);
  plugin_register_shutdown(kPlugin, on_shutdown);
}

}  // namespace mmstats::collectd

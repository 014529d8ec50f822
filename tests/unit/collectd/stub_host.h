// A stand-in for collectd: loads the module as the daemon does, calls its callbacks in the daemon's
// order, and keeps what it is told. What only the daemon can show is in tests/integration.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "plugin_collectd/config.h"

namespace stub_host {

struct Dispatched {
  std::string identity;  // plugin-plugin_instance/type-type_instance
  double number = 0;     // of a GAUGE
  std::int64_t derive = 0;
  std::uint64_t time = 0;
  double interval = 0;  // seconds
};

struct Reader {
  std::string name;
  double interval = 0;  // seconds
};

// What the daemon has by the process: so there can be one at a time.
class Host {
 public:
  // Loads the module and calls its entry. Throws std::runtime_error if that cannot be done.
  Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  // Ends as the daemon does: frees readers, then calls shutdown.
  ~Host();

  int config(const mmstats::collectd::ConfigItem& section);
  int init();
  // One call of the reader with this name.
  int read(const std::string& name);

  [[nodiscard]] const std::vector<Reader>& readers() const;
  [[nodiscard]] const std::vector<Dispatched>& dispatched() const;  // at the last read
  [[nodiscard]] const std::vector<std::string>& log() const;
  [[nodiscard]] const std::vector<int>& log_levels() const;  // of the same lines, as in syslog

  void refuse_readers();  // registering one fails from now on
  void throw_when_dispatching(bool on);
  void keep_dispatched(bool on);   // off: read() allocates nothing itself
  void know_types(bool on);        // off: as without any types.db
  void use_interval(int seconds);  // in place of 10
};

// How often this process allocated with operator new.
std::size_t allocations();

}  // namespace stub_host

// Configuration: a TOML file -> what a server does, or everything that is wrong with it. For people:
// pinba-server.toml(5).
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugin_pinba/daemon/toml_section.h"
#include "plugin_pinba/receive/networks.h"
#include "plugin_pinba/receive/reports.h"
#include "plugin_pinba/receive/rewrites.h"

namespace mmstats::receive {

// Files in FixedConfig::state_folder.
inline constexpr std::string_view kSlowFile = "slow.jsonl";
inline constexpr std::string_view kBadPacketsFile = "bad.jsonl";

// What cannot change while sockets are open and files are there.
struct FixedConfig {
  std::vector<std::string> listen{"127.0.0.1:30002"};  // see pinba::listen_at()
  std::size_t threads = 1;                             // for each of these
  std::size_t receive_buffer = std::size_t{8} << 20U;  // bytes of each socket
  std::string path;                                    // folder of files; empty: as ModelOptions::path
  std::string state_folder = "/run/pinba-server";      // of the next two files
  std::size_t slow_bytes = std::size_t{1} << 20U;      // of the file of slow requests
  std::string prefix = "pinba";                        // of all labels
  friend bool operator==(const FixedConfig&, const FixedConfig&) = default;
};

struct Config {
  FixedConfig fixed;
  Networks allowed;
  ReportsOptions reports;
  std::chrono::seconds expire{3600};  // rows that were not written for so long may go
  Rewrites rewrites;
  std::optional<double> slow;        // seconds that a slow request takes at least
  std::vector<std::string> forward;  // HOST:PORT, where packets go as they are
};

// What is wrong with an address to listen at, for people; empty: nothing.
std::string wrong_listen(const std::string& where);

// The first of its servers to forward to that is plainly itself: it would send itself the same packets for
// ever. Names are not looked up. Empty: none.
std::string forwards_to_itself(const Config& config);

// Either a configuration without any mistake, or the mistakes. `path` is for these alone.
tl::expected<Config, daemon::Mistakes> read_config(std::string_view toml, const std::string& path);
// The same from a file.
tl::expected<Config, daemon::Mistakes> load_config(const std::string& path);

}  // namespace mmstats::receive

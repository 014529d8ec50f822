// Configuration: a TOML file -> groups of files with their mapping to requests, or everything that is wrong
// with it. For people: mmstats-pinba.toml(5).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collect/rules.h"
#include "collect/watch.h"
#include "mmstats/error.h"
#include "pinba/encode.h"
#include "pinba/sender.h"
#include "plugin_pinba/daemon/toml_section.h"

namespace mmstats::forward {

using daemon::Mistakes;
using daemon::TagTexts;

// What requests are called. Unset: as one level above says. Of a metric, the texts may hold \0 to \9, what
// the groups of its pattern found, and %{NAME}, the value of a dimension.
struct Naming {
  std::optional<std::string> hostname;
  std::optional<std::string> server_name;
  std::optional<std::string> script_name;
  std::optional<std::string> schema;
  std::optional<std::string> status;  // digits; of a metric also a capture
  TagTexts request_tags;
};

enum class As : std::uint8_t { kTimer, kRequestField, kIgnore };

enum class RequestField : std::uint8_t {
  kDocumentSize,
  kMemoryPeak,
  kMemoryFootprint,
  kRequestTime,
  kRuUtime,
  kRuStime,
};
inline constexpr std::size_t kRequestFields = 6;

// How to send the labels that match. The first one of a group that matches decides.
struct MetricConfig {
  As as = As::kTimer;
  bool as_given = false;  // in the configuration, so that it holds for counters of bytes, too
  RequestField field = RequestField::kDocumentSize;
  std::string hits;  // label of the counter of what this average is of; empty: none
  TagTexts tags;     // beside the group's, and instead of those of the same name
  Naming request;
};

// One set of files with all that belongs to it. Moves.
struct GroupConfig {
  std::string name;
  WatchOptions watch;
  Rules rules;  // one for each of `metrics`, in their order
  // All that decides which series there are, as text: where two are equal, the ledger of one goes on in
  // the other.
  std::string ledger;
  TagTexts tags;
  Naming request;
  std::vector<MetricConfig> metrics;
  std::vector<std::string> warnings;  // of its patterns: lines as those of mistakes
};

enum class ServerKind : std::uint8_t { kPinba2, kClassic, kOriginalClassic, kCollectd };

struct Config {
  std::vector<std::string> servers{"127.0.0.1"};
  ServerKind server_kind = ServerKind::kPinba2;
  pinba::SenderOptions::Spread spread = pinba::SenderOptions::Spread::kAll;
  std::size_t max_datagram = pinba::kDefaultDatagram;  // bytes
  std::chrono::milliseconds interval{10'000};
  std::optional<std::string> hostname;  // else the machine's
  std::vector<GroupConfig> groups;      // at least one
};

inline constexpr std::string_view kDefaultGroup = "mmstats";

// Either a configuration without any mistake, or the mistakes. `path` is for these alone.
tl::expected<Config, Mistakes> read_config(std::string_view toml, const std::string& path,
                                           const std::vector<std::string>& default_globs);

std::chrono::milliseconds interval_of(double seconds);

// What is wrong with a list of servers, for people; empty: nothing. Looks no name up.
std::string server_problem(const std::vector<std::string>& servers);

// The same from a file.
tl::expected<Config, Mistakes> load_config(const std::string& path,
                                           const std::vector<std::string>& default_globs);

// The options that the mapping wants of encoder and sender.
pinba::EncodeOptions encode_options(const Config& config);
pinba::SenderOptions sender_options(const Config& config);

}  // namespace mmstats::forward

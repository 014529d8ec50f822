// Which requests and timers a report or the log of slow ones is about.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collect/label_pattern.h"
#include "mmstats/error.h"
#include "plugin_pinba/receive/packet.h"

namespace mmstats::receive {

// What a value is of.
enum class KeySource : std::uint8_t { kHost, kServer, kScript, kSchema, kStatus, kRequestTag, kTimerTag };
struct KeyPlace {
  KeySource source = KeySource::kScript;
  std::string tag;  // its name, of the last two
  friend bool operator==(const KeyPlace&, const KeyPlace&) = default;
};

// "~script", "+tag" or "@tag", as Pinba2's reports have them. None: it is no key.
std::optional<KeyPlace> parse_key(std::string_view text);

// The value there; none: there is no such tag, or it is one of a timer and `timer` is null. Views the packet,
// or `status`, which holds the text of a number.
std::optional<std::string_view> value_at(const KeyPlace& place, const Packet& packet, const TimerEntry* timer,
                                         std::string& status);

// Any thread may ask.
class Filter {
 public:
  // Requests and timers that take as long, in seconds.
  std::optional<double> min_time;
  std::optional<double> max_time;

  // A value that the RE2 matches as a whole. Error: kInvalid, with RE2's reason.
  Expected<void> require(KeyPlace place, const std::string& pattern);

  [[nodiscard]] bool passes(const Packet& packet, const TimerEntry* timer) const;
  friend bool operator==(const Filter& a, const Filter& b);

 private:
  struct Condition {
    KeyPlace place;
    std::string text;
    std::shared_ptr<const re2::RE2> pattern;
  };
  std::vector<Condition> conditions_;
};

}  // namespace mmstats::receive

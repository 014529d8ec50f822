#include "plugin_pinba/receive/slow_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <vector>

#include "plugin_pinba/receive/line_json.h"
#include "plugin_pinba/receive/networks.h"

namespace mmstats::receive {
namespace {

// Room for what counts the timers that are left out, and for brackets.
constexpr std::size_t kLineEnd = 64;
constexpr std::size_t kMostLineBody = kMostSlowLine - kLineEnd;

// The fewest digits that are the packet's number, which is a float.
std::string float_text(double value) { return fmt::format("{}", static_cast<float>(value)); }

// Adds {"name":"value",...} of as many tags as fit into `most` bytes. How many these are.
std::size_t add_tags(std::string& line, std::span<const Tag> tags, std::size_t most) {
  line += '{';
  std::size_t count = 0;
  for (const Tag& tag : tags) {
    const std::size_t before = line.size();
    line += fmt::format("{}{}:{}", count == 0 ? "" : ",", json_text(tag.name), json_text(tag.value));
    if (line.size() >= most) {
      line.resize(before);
      break;
    }
    ++count;
  }
  line += '}';
  return count;
}

// False, and nothing is added: it does not fit.
bool add_timer(std::string& line, const TimerEntry& timer, bool first) {
  const std::size_t before = line.size();
  line += fmt::format(R"({}{{"hits":{},"seconds":{},"user_seconds":{},"system_seconds":{},"tags":)",
                      first ? "" : ",", timer.hits, float_text(timer.seconds), float_text(timer.user_seconds),
                      float_text(timer.system_seconds));
  const bool whole = add_tags(line, timer.tags, kMostLineBody) == timer.tags.size();
  line += '}';
  if (whole && line.size() <= kMostLineBody) return true;
  line.resize(before);
  return false;
}

std::vector<const TimerEntry*> longest_timers(std::span<const TimerEntry> timers) {
  std::vector<const TimerEntry*> order;
  order.reserve(timers.size());
  std::ranges::transform(timers, std::back_inserter(order), [](const TimerEntry& timer) { return &timer; });
  const std::size_t most = std::min(order.size(), kMostSlowTimers);
  // Where several took as long, they stay as they are in the packet.
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(most), order.end(),
                    [](const TimerEntry* a, const TimerEntry* b) {
                      return a->seconds != b->seconds ? a->seconds > b->seconds : a < b;
                    });
  order.resize(most);
  return order;
}

}  // namespace

std::string slow_line(const Packet& packet, const sockaddr_storage& from,
                      std::chrono::system_clock::time_point now) {
  std::string line = fmt::format(
      R"({{"time":"{}","from":"{}","host":{},"server":{},"script":{},"schema":{},"status":{},"seconds":{},)"
      R"("user_seconds":{},"system_seconds":{},"bytes":{},"memory":{},"tags":)",
      time_text(now), sender_text(from), json_text(packet.host), json_text(packet.server),
      json_text(packet.script), json_text(packet.schema), packet.status, float_text(packet.seconds),
      float_text(packet.user_seconds), float_text(packet.system_seconds), packet.bytes, packet.memory);
  const std::size_t tags = add_tags(line, packet.tags, kMostLineBody / 2);
  if (tags < packet.tags.size()) line += fmt::format(R"(,"tags_left_out":{})", packet.tags.size() - tags);
  line += R"(,"timers":[)";
  std::size_t timers = 0;
  for (const TimerEntry* timer : longest_timers(packet.timers)) {
    if (!add_timer(line, *timer, timers == 0)) break;
    ++timers;
  }
  line += ']';
  if (timers < packet.timers.size()) {
    line += fmt::format(R"(,"timers_left_out":{})", packet.timers.size() - timers);
  }
  line += '}';
  return line;
}

void SlowLog::add(const Packet& packet, const sockaddr_storage& from,
                  std::chrono::system_clock::time_point now) {
  const Source source = source_of(from);
  count_.fetch_add(1, std::memory_order_relaxed);
  if (!budget_.take(source, now)) {
    left_out_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  lines_.add(slow_line(packet, from, now), source);
}

}  // namespace mmstats::receive

#include "plugin_pinba/receive/bad_packets.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <new>
#include <numeric>
#include <span>
#include <utility>

#include "pinba/decode.h"
#include "plugin_pinba/receive/line_json.h"
#include "plugin_pinba/receive/networks.h"

namespace mmstats::receive {
namespace {

constexpr std::size_t kServers = 4;  // that findings are of

std::string hex_text(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte byte : bytes) {
    const auto value = static_cast<unsigned>(byte);
    text += {kDigits[value >> 4U], kDigits[value & 0xFU]};
  }
  return text;
}

// The worst kMostFindings of each server, in the order that they had.
std::vector<pinba::Finding> worst_findings(std::vector<pinba::Finding> all) {
  std::vector<std::size_t> order(all.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater(), [&](std::size_t i) { return all[i].effect; });
  std::array<std::size_t, kServers> counts{};
  std::erase_if(order, [&](std::size_t i) {
    return ++counts.at(static_cast<std::size_t>(all[i].server)) > kMostFindings;
  });
  std::ranges::sort(order);
  std::vector<pinba::Finding> worst;
  worst.reserve(order.size());
  for (const std::size_t i : order) worst.push_back(std::move(all[i]));
  return worst;
}

std::string finding_json(const pinba::Finding& finding) {
  return fmt::format(R"({{"server":{},"effect":{},"offset":{},"message":{}}})",
                     json_text(name_of(finding.server)), json_text(name_of(finding.effect)), finding.offset,
                     json_text(finding.message));
}

}  // namespace

std::string bad_packet_line(const BadPacket& packet) {
  std::string line = fmt::format(R"({{"time":"{}","from":"{}","size":{},"faults":[)", time_text(packet.time),
                                 sender_text(packet.from), packet.bytes.size());
  std::string_view between;
  for (std::size_t i = 0; i < kFaults; ++i) {
    if (packet.faults[i] == 0) continue;
    line += fmt::format("{}\"{}\"", std::exchange(between, ","), to_string(static_cast<Fault>(i)));
  }
  auto all = pinba::check(packet.bytes);
  const std::size_t count = all.size();
  const auto findings = worst_findings(std::move(all));
  line += R"(],"findings":[)";
  between = {};
  for (const pinba::Finding& finding : findings) {
    line.append(std::exchange(between, ",")).append(finding_json(finding));
  }
  const auto kept = std::span(packet.bytes).first(std::min(packet.bytes.size(), kKeptBytes));
  line += fmt::format(R"(],"findings_left_out":{},"hex":"{}"}})", count - findings.size(), hex_text(kept));
  return line;
}

void BadPackets::look(pinba::Datagram datagram, const sockaddr_storage& from,
                      const FaultCounts& faults) noexcept {
  if (std::ranges::all_of(faults, [](std::uint64_t count) { return count == 0; })) return;
  take(datagram, from, faults, std::chrono::system_clock::now());
}

void BadPackets::take(pinba::Datagram datagram, const sockaddr_storage& from, const FaultCounts& faults,
                      std::chrono::system_clock::time_point now) noexcept {
  bool taken = false;
  if (budget_.take(source_of(from), now)) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (lock && waiting_.size() < options_.most_waiting) {
      try {
        waiting_.push_back(
            {.time = now, .from = from, .faults = faults, .bytes = {datagram.begin(), datagram.end()}});
        taken = true;
      } catch (const std::bad_alloc&) {
        taken = false;
      }
    }
  }
  if (!taken) left_out_.fetch_add(1, std::memory_order_relaxed);
}

void BadPackets::judge() {
  std::vector<BadPacket> taken;
  {
    const std::lock_guard lock(mutex_);
    std::swap(taken, waiting_);
  }
  for (const BadPacket& packet : taken) lines_.add(bad_packet_line(packet), source_of(packet.from));
}

}  // namespace mmstats::receive

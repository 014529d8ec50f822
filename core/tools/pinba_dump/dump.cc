#include "tools/pinba_dump/dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pinba/decode.h"
#include "pinba/request.h"

namespace pinba_dump {
namespace {

bool has_tag(const pinba::Request& request, std::string_view tag) {
  const auto equals = tag.find('=');
  const auto is_it = [&](const pinba::TagRef& ref) {
    return request.dictionary[ref.name] == tag.substr(0, equals) &&
           request.dictionary[ref.value] == tag.substr(equals + 1);
  };
  return std::ranges::any_of(request.tags, is_it) || std::ranges::any_of(request.timer_tags, is_it);
}

void add_request(Totals& totals, const pinba::Request& request) {
  ++totals.requests;
  totals.timers += request.timers.size();
  for (const pinba::Request& inner : request.requests) add_request(totals, inner);
}

std::string count_of(std::uint64_t number, std::string_view what) {
  return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

}  // namespace

bool Filter::takes(const Packet& packet) const {
  if (findings && packet.findings.empty()) return false;
  const bool any = script.empty() && host.empty() && server_name.empty() && tags.empty();
  if (any || !packet.request) return any;
  const pinba::Request& request = *packet.request;
  return (script.empty() || request.script_name == script) && (host.empty() || request.hostname == host) &&
         (server_name.empty() || request.server_name == server_name) &&
         std::ranges::all_of(tags, [&](const std::string& tag) { return has_tag(request, tag); });
}

void Totals::add(Packet& packet) {
  ++packets;
  bytes += packet.bytes.size();
  if (!packet.findings.empty()) ++unsafe;
  for (const pinba::Finding& finding : packet.findings) {
    ++findings.at(static_cast<std::size_t>(finding.server)).at(static_cast<std::size_t>(finding.effect));
  }
  if (!packet.request) {
    ++damaged;
    return;
  }
  add_request(*this, *packet.request);
  if (packet.origin.way) packet.missing = numbering.add(*packet.origin.way, packet.request->request_count);
}

std::vector<std::string> Totals::lines() const {
  std::vector<std::string> lines{fmt::format("{}, {}, {}", count_of(bytes, "byte"),
                                             count_of(requests, "request"), count_of(timers, "timer"))};
  for (std::size_t server = 0; server < findings.size(); ++server) {
    std::string effects;
    for (std::size_t effect = 0; effect < findings[server].size(); ++effect) {
      if (findings[server][effect] == 0) continue;
      effects += fmt::format("{}{} {}", effects.empty() ? "" : ", ", findings[server][effect],
                             pinba::name_of(static_cast<pinba::Effect>(effect)));
    }
    if (effects.empty()) continue;
    lines.push_back(
        fmt::format("problems with {}: {}", pinba::name_of(static_cast<pinba::Server>(server)), effects));
  }
  const auto [missing, senders] = numbering.totals();
  if (missing > 0) {
    lines.push_back(fmt::format("{} missing, by the numbers of {}", count_of(missing, "request"),
                                count_of(senders, "sender")));
  }
  return lines;
}

bool Dump::show(Origin origin, pinba::Datagram bytes) {
  Packet packet{std::move(origin), bytes, pinba::decode(bytes), pinba::check(bytes)};
  totals_.add(packet);
  if (recording_ && packet.origin.way && packet.origin.time) {
    if (const auto added = recording_->add(*packet.origin.way, *packet.origin.time, bytes); !added) {
      mmstats::complain(program_, added.error().text());
      failed_ = true;
      return false;
    }
  }
  if (!filter_.takes(packet)) return true;
  output_ << (json_ ? as_json(packet) : as_text(packet));
  output_.flush();
  return !output_.failed();
}

}  // namespace pinba_dump

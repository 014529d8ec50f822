#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "pinba/request_text.h"
#include "tools/pinba_dump/shown_packet.h"

namespace pinba_dump {
namespace {

using Json = nlohmann::ordered_json;

// The number with the fewest digits that is the same float: 0.1, not 0.10000000149.
Json float_json(double value) {
  std::string text = fmt::format("{}", static_cast<float>(value));
  if (!std::isfinite(value)) return text;
  double shortest = 0;
  std::from_chars(text.data(), text.data() + text.size(), shortest);
  return shortest;
}

Json tags_json(const pinba::Request& request, std::span<const pinba::TagRef> tags) {
  Json pairs = Json::array();
  for (const auto& [name, value] : tags) {
    pairs.push_back({std::string(request.dictionary[name]), std::string(request.dictionary[value])});
  }
  return pairs;
}

void add_request(Json& object, const pinba::Request& request) {
  object["hostname"] = request.hostname;
  object["server_name"] = request.server_name;
  object["script_name"] = request.script_name;
  object["request_count"] = request.request_count;
  object["document_size"] = request.document_size;
  object["memory_peak"] = request.memory_peak;
  object["request_time"] = float_json(request.request_time);
  object["ru_utime"] = float_json(request.ru_utime);
  object["ru_stime"] = float_json(request.ru_stime);
  if (request.status) object["status"] = *request.status;
  if (request.memory_footprint) object["memory_footprint"] = *request.memory_footprint;
  if (request.schema) object["schema"] = *request.schema;
  object["tags"] = tags_json(request, request.tags);
  Json timers = Json::array();
  pinba::for_each_timer(request, [&](const pinba::Timer& timer, std::span<const pinba::TagRef> tags) {
    timers.push_back({{"hit_count", timer.hit_count},
                      {"value", float_json(timer.value)},
                      {"ru_utime", float_json(timer.ru_utime)},
                      {"ru_stime", float_json(timer.ru_stime)},
                      {"tags", tags_json(request, tags)}});
  });
  object["timers"] = std::move(timers);
  if (request.requests.empty()) return;
  Json requests = Json::array();
  for (const pinba::Request& inner : request.requests) add_request(requests.emplace_back(), inner);
  object["requests"] = std::move(requests);
}

}  // namespace

std::string as_json(const Packet& packet) {
  Json object;
  if (packet.origin.time) {
    const auto since = packet.origin.time->time_since_epoch();
    object["time"] =
        static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count()) / 1e3;
    object["from"] = packet.origin.name;
    if (packet.origin.captured && packet.origin.way) object["to"] = packet.origin.way->to.text();
  } else {
    object["file"] = packet.origin.name;
  }
  object["bytes"] = packet.bytes.size();
  if (packet.request) {
    add_request(object, *packet.request);
  } else {
    object["damage"] = {{"offset", packet.request.error().offset},
                        {"message", packet.request.error().message}};
  }
  if (packet.missing > 0) object["missing"] = packet.missing;
  Json findings = Json::array();
  for (const pinba::Finding& finding : packet.findings) {
    findings.push_back({{"server", pinba::name_of(finding.server)},
                        {"effect", pinba::name_of(finding.effect)},
                        {"offset", finding.offset},
                        {"message", finding.message}});
  }
  object["findings"] = std::move(findings);
  // ASCII alone, so that no text can command a terminal.
  return object.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
}

}  // namespace pinba_dump

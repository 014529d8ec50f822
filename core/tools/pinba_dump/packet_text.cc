#include <fmt/chrono.h>
#include <fmt/format.h>

#include <span>

#include "pinba/request_text.h"
#include "tools/pinba_dump/shown_packet.h"

namespace pinba_dump {
namespace {

std::string float_text(double value) { return fmt::format("{}", static_cast<float>(value)); }

void add_request(std::string& text, const pinba::Request& request, const std::string& indent) {
  const auto line = [&](std::string_view name, std::string_view value) {
    text += fmt::format("{}{:<17}{}\n", indent, name, value);
  };
  const auto bytes = [&](std::string_view name, std::uint64_t number) {
    line(name, fmt::format("{} bytes", number));
  };
  line("hostname", mmstats::printable(request.hostname));
  line("server_name", mmstats::printable(request.server_name));
  line("script_name", mmstats::printable(request.script_name));
  if (request.schema) line("schema", mmstats::printable(*request.schema));
  if (request.status) line("status", fmt::to_string(*request.status));
  line("request_time", float_text(request.request_time) + " s");
  line("ru_utime", float_text(request.ru_utime) + " s");
  line("ru_stime", float_text(request.ru_stime) + " s");
  bytes("document_size", request.document_size);
  bytes("memory_peak", request.memory_peak);
  if (request.memory_footprint) bytes("memory_footprint", *request.memory_footprint);
  line("request_count", fmt::to_string(request.request_count));
  if (!request.tags.empty()) line("tags", pinba::tags_text(request, request.tags, ", "));
  pinba::for_each_timer(request, [&](const pinba::Timer& timer, std::span<const pinba::TagRef> tags) {
    line("timer", fmt::format("{} x, {} s, {} s user, {} s system: {}", timer.hit_count,
                              float_text(timer.value), float_text(timer.ru_utime), float_text(timer.ru_stime),
                              pinba::tags_text(request, tags, ", ")));
  });
  for (const pinba::Request& inner : request.requests) {
    line("request", "");
    add_request(text, inner, indent + "  ");
  }
}

}  // namespace

std::string as_text(const Packet& packet) {
  std::string text = "==> " + mmstats::printable(packet.origin.name);
  if (packet.origin.captured && packet.origin.way) text += " > " + packet.origin.way->to.text();
  text += fmt::format(", {} bytes", packet.bytes.size());
  if (packet.origin.time) {
    const auto time = std::chrono::time_point_cast<std::chrono::milliseconds>(*packet.origin.time);
    const auto second = std::chrono::floor<std::chrono::seconds>(time);
    text += fmt::format(", {:%F %T}.{:03}", fmt::localtime(std::chrono::system_clock::to_time_t(second)),
                        (time - second).count());
  }
  text += "\n";
  if (packet.request) {
    add_request(text, *packet.request, "  ");
  } else {
    text += fmt::format("  damaged: {}\n", packet.request.error().message);
  }
  if (packet.missing > 0) {
    text += fmt::format("  missing: {} request{} of this sender before this one\n", packet.missing,
                        packet.missing == 1 ? "" : "s");
  }
  for (const pinba::Finding& finding : packet.findings) {
    text += fmt::format("  {}: {}, byte {}: {}\n", pinba::name_of(finding.server),
                        pinba::name_of(finding.effect), finding.offset, finding.message);
  }
  return text + "\n";
}

}  // namespace pinba_dump

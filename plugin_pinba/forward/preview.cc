#include "plugin_pinba/forward/preview.h"

#include <fmt/format.h>

#include <iterator>

#include "mmstats/error.h"

namespace mmstats::forward {

std::string preview(const pinba::Request& request, std::span<const pinba::Datagram> datagrams) {
  std::string text;
  const auto out = std::back_inserter(text);
  std::size_t bytes = 0;
  for (const auto& datagram : datagrams) bytes += datagram.size();
  const auto add_tag = [&](const pinba::TagRef& tag) {
    fmt::format_to(out, " {}={}", printable(request.dictionary[tag.name]),
                   printable(request.dictionary[tag.value]));
  };
  fmt::format_to(out, "request hostname={} server_name={} script_name={}", printable(request.hostname),
                 printable(request.server_name), printable(request.script_name));
  if (request.schema) fmt::format_to(out, " schema={}", printable(*request.schema));
  if (request.status) fmt::format_to(out, " status={}", *request.status);
  for (const auto& tag : request.tags) add_tag(tag);
  fmt::format_to(out, " ({} bytes in {} datagram{})\n", bytes, datagrams.size(),
                 datagrams.size() == 1 ? "" : "s");

  const auto add_field = [&](std::string_view name, auto value) {
    if (value != 0) fmt::format_to(out, "  {} {}\n", name, value);
  };
  add_field("document_size", request.document_size);
  add_field("memory_peak", request.memory_peak);
  add_field("memory_footprint", request.memory_footprint.value_or(0));
  add_field("request_time", request.request_time);
  add_field("ru_utime", request.ru_utime);
  add_field("ru_stime", request.ru_stime);

  std::span<const pinba::TagRef> tags = request.timer_tags;
  for (const auto& timer : request.timers) {
    fmt::format_to(out, "  timer hits={} value={}", timer.hit_count, timer.value);
    for (const auto& tag : tags.first(timer.tag_count)) add_tag(tag);
    tags = tags.subspan(timer.tag_count);
    text += '\n';
  }
  return text;
}

}  // namespace mmstats::forward

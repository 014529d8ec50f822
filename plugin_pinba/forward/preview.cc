#include "plugin_pinba/forward/preview.h"

#include <fmt/format.h>

#include <iterator>

#include "mmstats/error.h"
#include "pinba/request_text.h"

namespace mmstats::forward {

std::string preview(const pinba::Request& request, std::span<const pinba::Datagram> datagrams) {
  std::string text;
  const auto out = std::back_inserter(text);
  std::size_t bytes = 0;
  for (const auto& datagram : datagrams) bytes += datagram.size();
  fmt::format_to(out, "request hostname={} server_name={} script_name={}", printable(request.hostname),
                 printable(request.server_name), printable(request.script_name));
  if (request.schema) fmt::format_to(out, " schema={}", printable(*request.schema));
  if (request.status) fmt::format_to(out, " status={}", *request.status);
  if (!request.tags.empty()) text.append(" ").append(pinba::tags_text(request, request.tags, " "));
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

  pinba::for_each_timer(request, [&](const pinba::Timer& timer, std::span<const pinba::TagRef> tags) {
    fmt::format_to(out, "  timer hits={} value={} {}\n", timer.hit_count, timer.value,
                   pinba::tags_text(request, tags, " "));
  });
  return text;
}

}  // namespace mmstats::forward

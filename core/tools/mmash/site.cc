#include "site.h"

#include <fmt/format.h>

#include <utility>

#include "value_text.h"

namespace mmash {
namespace {

using std::chrono::steady_clock;

Response redirect(unsigned status, std::string_view to) {
  return {.status = status, .headers = {{"Location", std::string(to)}}};
}

}  // namespace

Site::Site(std::vector<std::string> globs, HostNames hosts, Page page,
           std::function<void(std::string_view)> complain)
    : hosts_(std::move(hosts)),
      page_(std::move(page)),
      complain_(std::move(complain)),
      files_(globs),
      live_(std::move(globs)),
      started_(steady_clock::now()) {}

Response Site::answer(const Request& request) {
  return hosts_.allow(request)
             ? route(request)
             : error_response(421, "this is not the server of that name; --host adds names");
}

Response Site::route(const Request& request) {
  const std::string& path = request.path;
  if (path == "/graph" || path == "/graph/") return redirect(302, "/");
  if (path == "/stats") return redirect(308, "/stats/");
  if (path == "/files") return redirect(308, "/files/");
  if (path == "/live/series") {
    tick();
    return live_.series(request);
  }
  if (path == "/live/values") {
    tick();
    return live_.values(request);
  }
  if (path == "/live/processes") return live_.processes(files_);
  if (path == "/healthz") return health();
  if (auto response = page_.answer(request)) return std::move(*response);
  return error_response(404, "there is no such page");
}

void Site::tick() {
  if (!live_.tick()) return;
  for (const auto& error : live_.report().errors) complain_(error.text());
}

Response Site::health() {
  tick();
  if (live_.report().nothing_readable) return error_response(503, "no folder can be listed");
  const std::chrono::duration<double> uptime = steady_clock::now() - started_;
  return {.content_type = "application/json",
          .headers = {{"Cache-Control", "no-store"}},
          .body = fmt::format(R"({{"files": {}, "damaged": {}, "uptime": {:.3f}}})",
                              live_.watch().stats().files, live_.watch().stats().damaged, uptime.count())};
}

void Site::look_after(std::chrono::seconds quiet) {
  if (live_.since_tick() >= quiet) tick();
  files_.look_again(quiet);
}

}  // namespace mmash

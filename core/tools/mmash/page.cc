#include "tools/mmash/page.h"

#include <fmt/format.h>

#include <array>
#include <boost/filesystem/directory.hpp>
#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <fstream>
#include <functional>
#include <iterator>
#include <utility>

namespace mmash {
namespace {

namespace fs = boost::filesystem;
using mmstats::Error;
using mmstats::ErrorKind;

// A stranger's label that gets into the page as HTML runs nothing, and no other page may frame this one.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri "
    "'none'; form-action 'none'; frame-ancestors 'none'";

constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kTypes{{
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".svg", "image/svg+xml"},
}};

std::string_view type_of(const std::string& ending) {
  for (const auto& [known, type] : kTypes) {
    if (ending == known) return type;
  }
  return {};
}

Error no_page(ErrorKind kind, std::string path, int sys_errno, std::string message) {
  return {.kind = kind,
          .path = std::move(path),
          .offset = 0,
          .sys_errno = sys_errno,
          .message = std::move(message)};
}

}  // namespace

mmstats::Expected<Page> Page::load(const std::string& folder, const std::string& javascript) {
  Page page;
  std::optional<Error> failure;
  const auto add = [&](const fs::path& path, const std::string& name, const char* hint) {
    std::ifstream stream(path.native(), std::ios::binary);
    std::string content{std::istreambuf_iterator<char>(stream), {}};
    if (!stream) {
      failure = no_page(ErrorKind::kNotFound, path.native(), errno, fmt::format("cannot be read; {}", hint));
      return;
    }
    // Weak: what is sent may be gzip, or not.
    auto tag = fmt::format("W/\"{:x}\"", std::hash<std::string>{}(content));
    page.files_[name] = {std::move(content), std::string(type_of(path.extension().native())), std::move(tag)};
  };
  constexpr const char* kPageHint = "--page names the folder with the page's files";
  constexpr const char* kPlotHint =
      "install libjs-dygraphs, or name the folder that has dygraphs/ with --javascript";
  add(fs::path(folder) / "index.html", "/", kPageHint);
  boost::system::error_code error;
  for (fs::directory_iterator entry(folder, error), last; !error && entry != last; entry.increment(error)) {
    const auto& path = entry->path();
    if (path.filename() != "index.html" && !type_of(path.extension().native()).empty()) {
      add(path, "/static/" + path.filename().native(), kPageHint);
    }
  }
  for (const char* name : {"dygraph.min.js", "dygraph.min.css"}) {
    add(fs::path(javascript) / "dygraphs" / name, fmt::format("/static/{}", name), kPlotHint);
  }
  if (failure) return tl::unexpected(std::move(*failure));
  return page;
}

std::optional<Response> Page::answer(const Request& request) const {
  const auto found = files_.find(request.path);
  if (found == files_.end()) return std::nullopt;
  const File& file = found->second;
  Response response{.headers = {{"Cache-Control", "no-cache"}, {"ETag", file.tag}}};
  if (request.path == "/") response.headers.emplace_back("Content-Security-Policy", kPolicy);
  if (request.if_none_match == file.tag) {
    response.status = 304;
  } else {
    response.content_type = file.type;
    response.body = file.content;
  }
  return response;
}

}  // namespace mmash

#include "tools/mmash/slow_requests.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>

#include "mmstats/error.h"
#include "mmstats/snapshot.h"

namespace mmash {
namespace {

std::uint64_t read_piece(const mmstats::OpenFile& file, std::uint64_t offset, std::span<char> into) {
  const auto size = file.read_at(offset, std::as_writable_bytes(into));
  if (size < 0) throw std::runtime_error("the file of slow requests cannot be read");
  return static_cast<std::uint64_t>(size);
}

// Where the first whole line begins of those that may be sent.
std::uint64_t first_line(const mmstats::OpenFile& file) {
  if (file.size() <= SlowRequests::kMostBytes) return 0;
  std::string bytes(kPiece, '\0');
  for (std::uint64_t at = file.size() - SlowRequests::kMostBytes; at < file.size();) {
    const auto got = read_piece(file, at, bytes);
    if (got == 0) break;
    const auto end = std::string_view(bytes).substr(0, got).find('\n');
    if (end != std::string_view::npos) return at + end + 1;
    at += got;
  }
  return file.size();
}

// Changes when the file is another one. Weak: what is sent may be gzip, or not.
std::string tag_of(const mmstats::OpenFile& file) {
  struct stat info{};
  ::fstat(file.fd(), &info);
  return fmt::format("W/\"{:x}-{:x}-{:x}-{:x}\"", info.st_ino, info.st_size, info.st_mtim.tv_sec,
                     info.st_mtim.tv_nsec);
}

}  // namespace

Response SlowRequests::answer(const Request& request) const {
  if (path_.empty())
    return error_response(404, "no file of slow requests is named; --slow-requests does that");
  auto opened = mmstats::OpenFile::open(AT_FDCWD, path_.c_str(), path_);
  if (!opened) {
    const bool none = opened.error().kind == mmstats::ErrorKind::kNotFound;
    return error_response(none ? 404 : 500, "no slow requests: " + opened.error().text());
  }
  Response response{.headers = {{"Cache-Control", "no-cache"}, {"ETag", tag_of(*opened)}}};
  if (request.if_none_match == response.headers.back().second) {
    response.status = 304;
    return response;
  }
  response.content_type = "application/x-ndjson";
  const auto file = std::make_shared<const mmstats::OpenFile>(std::move(*opened));
  return in_pieces(std::move(response), [file, at = first_line(*file)]() mutable {
    Piece piece;
    piece.text.resize(std::min<std::uint64_t>(kPiece, file->size() - at));
    const auto got = read_piece(*file, at, piece.text);
    if (got < piece.text.size()) throw std::runtime_error("the file of slow requests was cut");
    at += got;
    piece.last = at == file->size();
    return piece;
  });
}

Response SlowRequests::about() const {
  return json_response(json_object({{"slow_requests", !path_.empty()}}));
}

}  // namespace mmash

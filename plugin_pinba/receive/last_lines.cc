#include "plugin_pinba/receive/last_lines.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <span>
#include <string_view>
#include <utility>

#include "base/descriptor.h"
#include "base/failure.h"
#include "mmstats/snapshot.h"

namespace mmstats::receive {
namespace {

constexpr std::size_t kWriteSize = std::size_t{64} << 10;

// False, with errno.
bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

// False, with errno.
bool write_lines(int file, const std::list<OwnedLine>& lines) {
  std::string buffer;
  for (const OwnedLine& line : lines) {
    buffer.append(line.text).push_back('\n');
    if (buffer.size() < kWriteSize) continue;
    if (!write_all(file, buffer)) return false;
    buffer.clear();
  }
  return write_all(file, buffer);
}

// A file's name, and where it is.
struct PathParts {
  std::string folder;
  std::string name;
};

PathParts split_path(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

Expected<void> replace_file(const LastLinesOptions& options, const std::list<OwnedLine>& lines) {
  const auto failed = [&](const char* what) { return tl::unexpected(system_failure(options.path, what)); };
  const auto [folder_path, name] = split_path(options.path);
  const Descriptor folder(::open(folder_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return failed("cannot be written, as its folder cannot be opened");
  const std::string fresh = "." + name + ".new";
  // That of a process which was killed while it wrote.
  ::unlinkat(folder.get(), fresh.c_str(), 0);
  Descriptor file(
      ::openat(folder.get(), fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return failed("cannot be written anew beside itself");
  const bool written = write_lines(file.get(), lines) && ::fchmod(file.get(), options.mode) == 0 &&
                       ::close(file.release()) == 0 &&
                       ::renameat(folder.get(), fresh.c_str(), folder.get(), name.c_str()) == 0;
  if (written) return {};
  const int error = errno;
  ::unlinkat(folder.get(), fresh.c_str(), 0);
  errno = error;
  return failed("cannot be written");
}

}  // namespace

LastLines::LastLines(LastLinesOptions options)
    : options_(std::move(options)), fresh_(options_.most_bytes), kept_(options_.most_bytes) {}

void LastLines::add(std::string line, std::uint64_t owner) {
  std::ranges::replace(line, '\n', ' ');
  const std::lock_guard lock(fresh_mutex_);
  fresh_.add({.text = std::move(line), .owner = owner});
}

// Lines move in two steps, so that who adds never waits for who writes.
void LastLines::keep_fresh() {
  FairLines fresh(options_.most_bytes);
  {
    const std::lock_guard lock(fresh_mutex_);
    std::swap(fresh, fresh_);
  }
  changed_ |= !fresh.all().empty();
  fresh.move_to(kept_);
}

Expected<void> LastLines::read() {
  if (options_.path.empty()) return {};
  const auto file = OpenFile::open(AT_FDCWD, options_.path.c_str(), options_.path);
  if (!file && file.error().kind == ErrorKind::kNotFound) return {};
  if (!file) return tl::unexpected(file.error());
  const std::uint64_t begin = file->size() > options_.most_bytes ? file->size() - options_.most_bytes : 0;
  std::string text(file->size() - begin, '\0');
  const ssize_t size = file->read_at(begin, std::as_writable_bytes(std::span(text)));
  if (size < 0) return tl::unexpected(system_failure(options_.path, "cannot be read"));
  text.resize(static_cast<std::size_t>(size));
  std::string_view left = text;
  // What it begins with may be the end of a line.
  if (begin > 0) left.remove_prefix(std::min(left.find('\n'), left.size() - 1) + 1);
  const std::lock_guard lock(kept_mutex_);
  for (auto end = left.find('\n'); end != std::string_view::npos; end = left.find('\n')) {
    kept_.add({.text = std::string(left.substr(0, end)), .owner = 0});
    left.remove_prefix(end + 1);
  }
  return {};
}

Expected<void> LastLines::write() {
  const std::lock_guard lock(kept_mutex_);
  keep_fresh();
  if (!changed_ || options_.path.empty()) return {};
  if (auto replaced = replace_file(options_, kept_.all()); !replaced) return replaced;
  changed_ = false;
  return {};
}

std::vector<std::string> LastLines::last(std::size_t most) {
  const std::lock_guard lock(kept_mutex_);
  keep_fresh();
  const auto& all = kept_.all();
  const std::size_t count = std::min(most, all.size());
  std::vector<std::string> lines;
  lines.reserve(count);
  for (auto line = std::prev(all.end(), static_cast<std::ptrdiff_t>(count)); line != all.end(); ++line) {
    lines.push_back(line->text);
  }
  return lines;
}

}  // namespace mmstats::receive

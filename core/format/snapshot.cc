#include "mmstats/snapshot.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <utility>

#include "base/descriptor.h"
#include "base/failure.h"

namespace mmstats {
namespace {

constexpr std::size_t kFirstRead = 64U << 10U;  // bytes: most files are smaller

// What a file is that is not read, in words.
Error not_regular(const std::string& path, mode_t mode) {
  const char* what = "is not a regular file; it was not opened";
  if (S_ISLNK(mode)) what = "is a symbolic link; it was not followed";
  if (S_ISDIR(mode)) what = "is a folder, not a file";
  if (S_ISFIFO(mode)) what = "is a FIFO, not a regular file; it was not opened";
  if (S_ISSOCK(mode)) what = "is a socket, not a regular file; it was not opened";
  if (S_ISCHR(mode) || S_ISBLK(mode)) what = "is a device, not a regular file; it was not opened";
  return failure(ErrorKind::kNotRegular, path, what);
}

std::chrono::system_clock::time_point time_point(const timespec& time) {
  return std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(
          std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec)));
}

// As pread, and repeats interrupted calls. May give less than there is: 0 at the end alone.
ssize_t read_some(int fd, std::uint64_t offset, std::span<std::byte> into) noexcept {
  for (;;) {
    const ssize_t got = ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
    if (got >= 0 || errno != EINTR) return got;
  }
}

}  // namespace

OpenFile& OpenFile::operator=(OpenFile&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    id_ = other.id_;
    owner_ = other.owner_;
    size_ = other.size_;
  }
  return *this;
}

OpenFile::~OpenFile() { close(); }

void OpenFile::close() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Expected<OpenFile> OpenFile::open(int folder_fd, const char* name, const std::string& path) {
  struct stat status{};
  // Ask first: opening a FIFO wakes who waits at its other end, and opening a device may act.
  if (::fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return tl::unexpected(system_failure(path, "cannot be looked at"));
  }
  if (!S_ISREG(status.st_mode)) return tl::unexpected(not_regular(path, status.st_mode));

  // In between, the name may have come to mean something else: these flags make that harmless,
  // and the second question finds it out.
  OpenFile file;
  do {
    file.fd_ = ::openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  } while (file.fd_ < 0 && errno == EINTR);
  if (!file.is_open()) {
    if (errno == ELOOP) return tl::unexpected(not_regular(path, S_IFLNK));
    if (errno == ENXIO) return tl::unexpected(not_regular(path, 0));
    return tl::unexpected(system_failure(path, "cannot be opened"));
  }
  if (::fstat(file.fd_, &status) != 0) {
    return tl::unexpected(system_failure(path, "cannot be looked at"));
  }
  if (!S_ISREG(status.st_mode)) return tl::unexpected(not_regular(path, status.st_mode));
  file.id_ = {status.st_dev, status.st_ino};
  file.owner_ = status.st_uid;
  file.size_ = static_cast<std::uint64_t>(status.st_size);
  return file;
}

ssize_t OpenFile::read_at(std::uint64_t offset, std::span<std::byte> into) const noexcept {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = read_some(fd_, offset + done, into.subspan(done));
    if (got < 0) return -1;
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return static_cast<ssize_t>(done);
}

bool OpenFile::move_high(int ceiling) noexcept { return is_open() && mmstats::move_high(fd_, ceiling); }

Expected<Snapshot> read_snapshot(const OpenFile& file, const std::string& path, std::uint64_t max_file_size) {
  const auto too_large = [&] {
    return tl::unexpected(failure(ErrorKind::kTooLarge, path,
                                  "is larger than the limit of " + std::to_string(max_file_size) + " bytes"));
  };
  struct stat status{};
  if (::fstat(file.fd(), &status) != 0) {
    return tl::unexpected(system_failure(path, "cannot be looked at"));
  }
  Snapshot snapshot;
  snapshot.path = path;
  snapshot.id = file.id();
  snapshot.file_size = static_cast<std::uint64_t>(status.st_size);
  snapshot.modified = time_point(status.st_mtim);
  if (snapshot.file_size > max_file_size) return too_large();

  // One byte more than there should be, so that a file that grows is noticed; it is the file's end
  // that ends this, not its size.
  std::vector<std::byte>& bytes = snapshot.bytes;
  std::size_t wanted = std::min<std::uint64_t>(kFirstRead, snapshot.file_size + 1);
  for (;;) {
    const std::size_t had = bytes.size();
    bytes.resize(wanted);
    const ssize_t got = read_some(file.fd(), had, std::span(bytes).subspan(had));
    if (got < 0) return tl::unexpected(system_failure(path, "cannot be read"));
    bytes.resize(had + static_cast<std::size_t>(got));
    if (bytes.size() > max_file_size) return too_large();
    if (bytes.empty()) {
      return tl::unexpected(failure(ErrorKind::kUnfinished, path, "is empty: its writer has not finished"));
    }
    if (bytes[0] == std::byte{0}) {
      return tl::unexpected(
          failure(ErrorKind::kUnfinished, path, "begins with a zero byte: its writer has not finished"));
    }
    if (got == 0) break;
    // It ended where the question above said: no need to be told so by one more call.
    if (bytes.size() < wanted && bytes.size() == snapshot.file_size) break;
    if (bytes.size() == wanted)
      wanted = std::max<std::uint64_t>(2 * wanted, std::min(snapshot.file_size, max_file_size) + 1);
  }
  snapshot.file_size = bytes.size();
  return snapshot;
}

Expected<Snapshot> read_snapshot(const std::string& path, std::uint64_t max_file_size) {
  const auto file = OpenFile::open(AT_FDCWD, path.c_str(), path);
  if (!file) return tl::unexpected(file.error());
  return read_snapshot(*file, path, max_file_size);
}

}  // namespace mmstats

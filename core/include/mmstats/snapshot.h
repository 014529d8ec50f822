// The outside world in: bytes of files that other people write, cut, replace and recycle.
// Files are read with pread, never mapped: a mapped file that its owner truncates kills the reader.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mmstats/cpp20.h"
#include "mmstats/error.h"

namespace mmstats {

inline constexpr std::uint64_t kDefaultMaxFileSize = 4U << 20U;  // bytes: some 50,000 fields

// What makes a file this file for as long as somebody holds it open.
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  auto operator<=>(const FileId&) const = default;
};

// A descriptor of a regular file, opened for reading only. Moves; closes when destroyed.
// One thread at a time.
class MMSTATS_API OpenFile {
 public:
  OpenFile() = default;
  OpenFile(OpenFile&& other) noexcept
      : fd_(other.fd_), id_(other.id_), owner_(other.owner_), size_(other.size_) {
    other.fd_ = -1;
  }
  OpenFile& operator=(OpenFile&& other) noexcept;
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile();

  // Opens `name` below the folder `folder_fd` (or AT_FDCWD) without following a link in its last
  // part. Looks before it opens, so that a FIFO or a device is neither waited for nor disturbed, and
  // again after. `path` is for messages.
  // Errors: kNotFound, kDenied, kNotRegular, kLimit (no descriptor left), kIo.
  static Expected<OpenFile> open(int folder_fd, const char* name, const std::string& path);

  // Bytes from `offset` into `into`: as many as the file has, or -1 with errno set. Repeats
  // interrupted calls. Preconditions: is_open().
  [[nodiscard]] ssize_t read_at(std::uint64_t offset, std::span<std::byte> into) const noexcept;

  // Moves the descriptor above 1023, so that a host that uses select(2) keeps the low ones, if the
  // new one is below `ceiling`. False: it stays where it was. True as well if it was there already.
  bool move_high(int ceiling) noexcept;

  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] FileId id() const { return id_; }
  [[nodiscard]] uid_t owner() const { return owner_; }        // of the file, when it was opened
  [[nodiscard]] std::uint64_t size() const { return size_; }  // bytes, when it was opened
  void close() noexcept;

 private:
  int fd_ = -1;
  FileId id_;
  uid_t owner_ = 0;
  std::uint64_t size_ = 0;
};

// Bytes that we own of one file, read at one moment.
struct Snapshot {
  std::string path;
  FileId id;
  std::uint64_t file_size = 0;                     // bytes
  std::chrono::system_clock::time_point modified;  // the file's time stamp
  std::vector<std::byte> bytes;                    // the whole file
};

// Reads a whole file once. Values in it may be torn: settle.h mends that. A file that grows or is cut
// meanwhile gives what was read.
// Errors: those of OpenFile::open; kTooLarge; kUnfinished (empty, or its first byte is 0); kIo.
MMSTATS_API Expected<Snapshot> read_snapshot(const std::string& path,
                                             std::uint64_t max_file_size = kDefaultMaxFileSize);

// The same of a file that is open; `path` is for messages. Errors: kTooLarge, kUnfinished, kIo.
MMSTATS_API Expected<Snapshot> read_snapshot(const OpenFile& file, const std::string& path,
                                             std::uint64_t max_file_size = kDefaultMaxFileSize);

}  // namespace mmstats

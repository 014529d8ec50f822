// The readings of one file at a scan: a value is accepted when it stood still, or is proved true (fold.h,
// "Torn values"). One for all files; its buffers are reused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/read_buffer.h"
#include "collect/file_buckets.h"
#include "collect/fold.h"
#include "collect/layout.h"
#include "collect/ledger.h"

namespace mmstats {

// Bytes of a buffer that are kept for the next file, however small that is.
inline constexpr std::size_t kSmallBuffer = std::size_t{1} << 20U;

// Empties it, and keeps no memory: "= {}" keeps it all.
template <class Buffer>
void give_back_all(Buffer& buffer) {
  buffer = Buffer();
}

struct FileReading {
  enum class Outcome : std::uint8_t { kTaken, kUnchanged, kReload };

  ReadBuffer bytes;                      // of the newest whole reading, with kLoadSlack bytes behind it
  std::vector<std::uint64_t> values;     // by plan; after kTaken: what to accept
  std::vector<std::uint32_t> unsettled;  // after kTaken: plans whose value is the last accepted one again
  bool changed = false;                  // after kTaken: some value is not the last accepted one
  std::uint64_t work = 0;                // units (work.h) that all readings took, ever

  // Makes room for `size` bytes in `bytes`.
  void reserve(std::size_t size);

  // Gives back what only larger files needed than those since the last call.
  void end_scan();

  // Reads once more what `content` takes, which was parsed from the first `got` of `bytes`. True: the file is
  // of that shape. No label may be believed before: one reading may have its size, and not yet all of it
  // (format/settle.cc).
  bool confirm(const ParsedFile& content, std::size_t got, ByteSource& source);

  // Reads the file into `bytes`; true if it is the same life in the same shape, with the same buckets.
  bool read(const Layout& layout, const FileBuckets& buckets, const LifeMark& mark, ByteSource& source);

  // Takes the values that `bytes` hold, after a second reading if some changed. Adds to `unstable` the number
  // of values that did not settle. kReload: the file is not what it was.
  Outcome take(const Layout& layout, const FileBuckets& buckets, const LifeMark& mark, const Ledger& ledger,
               ByteSource& source, std::uint64_t& unstable);
  // After take(): the newest reading, for Layout::has_thread(). What was stored before a value that was
  // accepted is in it.
  [[nodiscard]] const std::byte* newest() const { return newest_; }
  // After kTaken: the bytes of two readings, for what `values` has not.
  [[nodiscard]] const std::byte* older() const { return read_thrice_ ? second_bytes_.data() : bytes.data(); }
  [[nodiscard]] const std::byte* newer() const { return read_thrice_ ? bytes.data() : second_bytes_.data(); }

 private:
  bool read_ranges(const Layout& layout, const FileBuckets& buckets, ByteSource& source, std::byte* into,
                   std::size_t& end);
  bool read_again(const Layout& layout, const FileBuckets& buckets, ByteSource& source, bool& same);
  bool settle(const Layout& layout, const FileBuckets& buckets, const LifeMark& mark, const Ledger& ledger,
              ByteSource& source, std::uint64_t& unstable);

  ReadBuffer second_bytes_;
  bool read_thrice_ = false;
  const std::byte* newest_ = nullptr;
  std::vector<std::uint64_t> second_;
  std::size_t most_bytes_ = 0;  // of a file, since the last end_scan()
  std::size_t most_values_ = 0;
};

}  // namespace mmstats

// The files of the server's globs as they are now, one by one: for answers that do not fold them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/read_buffer.h"
#include "collect/discover.h"
#include "mmstats/parse.h"
#include "mmstats/settle.h"

namespace mmash {

enum class Care : std::uint8_t {
  kOneReading,  // labels, and values that never change: one reading is enough
  kSettled,     // no torn value, see mmstats/settle.h
};

// One thread at a time.
class Files {
 public:
  explicit Files(std::vector<std::string> globs);

  // Finds out which files there are. Cheap if the folders did not change.
  void scan();
  // The same, if there was a scan, and none for `quiet`.
  void scan_again(std::chrono::steady_clock::duration quiet);

  // All, in the order of their paths; valid until the next scan.
  [[nodiscard]] std::span<const mmstats::FileKey> sorted() const { return sorted_; }
  [[nodiscard]] const std::string& path(mmstats::FileKey file) const { return discovery_.path(file); }

  // What the file says; null if nothing can be read. Valid until the next read.
  const mmstats::ParsedFile* read(mmstats::FileKey file, Care care);

  [[nodiscard]] mmstats::FileId id(mmstats::FileKey file) const { return discovery_.id(file); }
  mmstats::Writers writers(mmstats::FileKey file) { return discovery_.writers(file); }

 private:
  bool read_bytes(mmstats::FileKey file, mmstats::ReadBuffer& bytes);
  const mmstats::ParsedFile* settle(mmstats::FileKey file);

  mmstats::Discovery discovery_;
  std::vector<mmstats::FileKey> sorted_;
  std::optional<std::chrono::steady_clock::time_point> scanned_at_;
  mmstats::ReadBuffer first_;
  mmstats::ReadBuffer second_;
  mmstats::ParsedFile content_;
  mmstats::Reading reading_;
};

}  // namespace mmash

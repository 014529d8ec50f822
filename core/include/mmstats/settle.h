// What one file says, for tools that read and go: its bytes, its fields, and no torn value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mmstats/cpp20.h"
#include "mmstats/parse.h"
#include "mmstats/snapshot.h"

namespace mmstats {

// A snapshot and what it says. `content` points into snapshot.bytes: it moves, it does not copy.
struct Reading {
  Snapshot snapshot;
  ParsedFile content;
  std::vector<std::string> unsettled;  // labels whose value changed in every reading

  Reading() = default;
  Reading(Reading&&) = default;
  Reading& operator=(Reading&&) = default;
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
};

// Puts whole readings of one file together, in the order of time. Pure: the readings come from outside.
// A field is what lies at its offset; when a reading finds other fields, all begins again with it.
class MMSTATS_API Settler {
 public:
  // Takes one more reading. True when no value is left to settle.
  bool add(Snapshot snapshot);

  // What is known after the readings so far: settled values, and of the others the last bytes seen.
  // Ends the use of this object.
  Reading finish() &&;

 private:
  struct Pending {
    std::size_t field = 0;  // index into content.fields
    // The value two readings ago, of a counter that was seen as often.
    std::optional<std::uint64_t> older;
  };
  [[nodiscard]] bool same_fields(const ParsedFile& now) const;
  bool settles(Pending& pending, const Field& now);

  Reading reading_;  // the published bytes of a pending field are those of the last reading
  std::vector<Pending> pending_;
  ParsedFile content_;
  bool empty_ = true;
};

// Reads `path` until every value was seen twice in a row with equal bytes, or, for a buffered `Q`
// (a counter), between two readings that it did not leave. What still changes after kMostReadings
// keeps the last bytes seen and is named in `unsettled`. A file that is cut meanwhile yields what
// is left of it, with Damage. Each reading takes the whole file anew, through one descriptor.
// Errors: those of read_snapshot; kNotMmstats.
inline constexpr int kMostReadings = 8;
MMSTATS_API Expected<Reading> read_settled(const std::string& path,
                                           std::uint64_t max_file_size = kDefaultMaxFileSize);

// The same of a file that is open; `path` is for messages.
MMSTATS_API Expected<Reading> read_settled(const OpenFile& file, const std::string& path,
                                           std::uint64_t max_file_size = kDefaultMaxFileSize);

}  // namespace mmstats

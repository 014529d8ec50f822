// One look at one file, for tools that read and go: its bytes, its fields, and no torn value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mmstats/parse.h"
#include "mmstats/snapshot.h"

namespace mmstats {

// A snapshot and what it says. `content` points into snapshot.bytes: it moves, it does not copy.
struct Reading {
  Snapshot snapshot;
  ParsedFile content;
  std::vector<std::string> unsettled;  // labels whose value changed in every look

  Reading() = default;
  Reading(Reading&&) = default;
  Reading& operator=(Reading&&) = default;
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
};

// Reads `path` until every value was seen twice in a row with equal bytes, or, for a buffered `Q`
// (a counter), between two readings that it did not leave. What still changes after eight looks
// keeps the last bytes seen and is named in `unsettled`. A file that is cut meanwhile yields what
// is left of it, with Damage.
// Errors: those of read_snapshot; kNotMmstats.
Expected<Reading> read_settled(const std::string& path, std::uint64_t max_file_size = kDefaultMaxFileSize);

}  // namespace mmstats

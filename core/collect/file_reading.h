// The readings of one file at a scan: a value is accepted when it stood still, or is proved true (fold.h,
// "Torn values"). One for all files; its buffers are reused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "collect/fold.h"
#include "collect/layout.h"
#include "collect/ledger.h"

namespace mmstats {

struct FileReading {
  enum class Outcome : std::uint8_t { kTaken, kUnchanged, kReload };

  std::vector<std::byte> bytes;          // of the newest whole reading, with kLoadSlack bytes behind it
  std::vector<std::uint64_t> values;     // by plan; after kTaken: what to accept
  std::vector<std::uint32_t> unsettled;  // after kTaken: plans whose value is the last accepted one again
  bool changed = false;                  // after kTaken: some value is not the last accepted one

  // Makes room for `size` bytes in `bytes`.
  void reserve(std::size_t size);

  // Reads the file into `bytes`; true if it is the same life in the same shape.
  bool read(const Layout& layout, const LifeMark& mark, ByteSource& source);

  // Takes the values that `bytes` hold, after a second reading if some changed. Adds to `unstable` the number
  // of values that did not settle. kReload: the file is not what it was.
  Outcome take(const Layout& layout, const LifeMark& mark, const Ledger& ledger, ByteSource& source,
               std::uint64_t& unstable);

 private:
  bool settle(const Layout& layout, const LifeMark& mark, const Ledger& ledger, ByteSource& source,
              std::uint64_t& unstable);

  std::vector<std::byte> second_bytes_;
  std::vector<std::uint64_t> second_;
};

}  // namespace mmstats

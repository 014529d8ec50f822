// The buckets in one file, in one life: where they are, and what was counted of them already. Files of one
// shape differ in this, as a power of two gets its field when it gets its first value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/buckets.h"
#include "collect/layout.h"
#include "mmstats/parse.h"

namespace mmstats {

// One thread at a time.
class FileBuckets {
 public:
  // What a file has that `content` was parsed from; `bytes` are its. What `before` had in the same life is
  // counted on, by label; also of fields that are not there now.
  static FileBuckets find(const Layout& layout, const ParsedFile& content, std::span<const std::byte> bytes,
                          FileBuckets&& before);

  // Nothing is known of the file but its shape.
  [[nodiscard]] bool empty() const { return ranges_.empty() && entries_.empty(); }

  // What is to be read to see whether the file has its shape, and all values. Ascending; what lies between is
  // room. Empty: the whole window.
  [[nodiscard]] std::span<const FileRange> ranges() const { return ranges_; }
  // Whether the fields are where they were.
  [[nodiscard]] bool match(const std::byte* bytes) const;

  // Whether any counter is not what it was.
  [[nodiscard]] bool changed(const std::byte* bytes) const;
  // Takes what two readings, one after the other, agree about: counters that stood still, or only grew. Calls
  // add(histogram, power, bits, added), with what each counter grew by, for each field that grew. Returns how
  // many did not settle: they stay as they were. Counts those in `resets` that began again.
  template <class Add>
  std::size_t accept(const std::byte* older, const std::byte* newer, std::uint64_t& resets, Add&& add);

  // Calls one(histogram, power, bits, counts) for each field that is there, with what was counted in it.
  template <class One>
  void visit(One&& one) const {
    for (const Entry& entry : entries_) {
      if (entry.at != 0)
        one(entry.histogram, std::uint32_t{entry.power}, unsigned{entry.bits}, last_.data() + entry.first);
    }
  }

  // Bytes, about.
  [[nodiscard]] std::size_t memory() const {
    return sizeof *this + sizeof(FileRange) * ranges_.size() + sizeof(Entry) * entries_.size() +
           heads_.size() + sizeof(std::uint64_t) * last_.size();
  }
  [[nodiscard]] std::size_t fields() const { return entries_.size() - lost_; }
  [[nodiscard]] std::size_t counters() const { return last_.size(); }
  [[nodiscard]] std::size_t lost() const { return lost_; }
  // Fields that are not there now count from zero if they come back.
  void forget_lost();

 private:
  struct Entry {
    std::uint64_t key = 0;        // keyed hash of its label, and which of that label it is
    std::uint32_t at = 0;         // of the counters; 0: it is not there now
    std::uint32_t histogram = 0;  // by its number in the layout
    std::uint32_t first = 0;      // of its counters in last_
    std::uint8_t power = 0;       // from buckets::kLowestExponent
    std::uint8_t bits = 0;
  };
  void find_ranges(const Layout& layout);

  std::vector<FileRange> ranges_;
  std::vector<FileRange> compared_;  // what must be as it was: beginnings of fields
  std::vector<std::byte> heads_;     // what they were, one behind the other
  std::vector<Entry> entries_;
  std::vector<std::uint64_t> last_;
  std::size_t lost_ = 0;
};

template <class Add>
std::size_t FileBuckets::accept(const std::byte* older, const std::byte* newer, std::uint64_t& resets,
                                Add&& add) {
  std::size_t unsettled = 0;
  for (const Entry& entry : entries_) {
    if (entry.at == 0) continue;
    const std::size_t parts = std::size_t{1} << entry.bits;
    std::uint64_t* const last = last_.data() + entry.first;
    std::uint64_t first[buckets::kMostParts] = {};
    std::uint64_t second[buckets::kMostParts] = {};
    std::uint64_t added[buckets::kMostParts];
    std::memcpy(first, older + entry.at, parts * sizeof first[0]);
    std::memcpy(second, newer + entry.at, parts * sizeof second[0]);
    if (std::memcmp(first, last, parts * sizeof first[0]) == 0) continue;
    std::uint64_t any = 0;
    for (std::size_t i = 0; i < parts; ++i) {
      added[i] = 0;
      if (first[i] == last[i]) continue;
      if (first[i] == second[i] || (last[i] < first[i] && first[i] < second[i])) {
        resets += first[i] < last[i] ? 1 : 0;
        added[i] = first[i] < last[i] ? first[i] : first[i] - last[i];
        any |= added[i];
        last[i] = first[i];
      } else {
        ++unsettled;
      }
    }
    if (any != 0) add(entry.histogram, std::uint32_t{entry.power}, unsigned{entry.bits}, added);
  }
  return unsettled;
}

}  // namespace mmstats

#include "collect/file_buckets.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/keyed_hash.h"
#include "format/bucket_field.h"
#include "format/dimensions.h"

namespace mmstats {
namespace {

// What lies between two ranges is read as well if it is not more: that is cheaper than a system call.
constexpr std::uint32_t kWorthSkipping = 4096;

}  // namespace

FileBuckets FileBuckets::find(const Layout& layout, const ParsedFile& content,
                              std::span<const std::byte> bytes, FileBuckets&& before) {
  FileBuckets found;
  if (layout.runs().empty() && before.entries_.empty()) return found;
  std::unordered_map<std::uint64_t, std::size_t, KeyedNumberHash> had;
  for (std::size_t i = 0; i < before.entries_.size(); ++i) had.emplace(before.entries_[i].key, i);
  const auto add_last = [&](const Entry& old) {
    const auto begin = before.last_.begin() + old.first;
    found.last_.insert(found.last_.end(), begin, begin + (std::ptrdiff_t{1} << old.bits));
  };
  std::unordered_map<std::uint64_t, std::uint64_t, KeyedNumberHash> alike;
  for (const Field& field : content.fields) {
    const auto bucket = bucket_field(field);
    if (!bucket && (field.buffered || !label_has_suffix(field.label, kRoomLabel))) continue;
    const auto value = static_cast<std::uint32_t>(field.write_buffer_offset) + 1;
    const FileRange head{.begin = static_cast<std::uint32_t>(field.offset), .end = value};
    found.compared_.push_back(head);
    found.heads_.insert(found.heads_.end(), bytes.begin() + head.begin, bytes.begin() + head.end);
    const auto histogram = bucket && !is_removed(field) ? layout.histogram(bucket->stem) : std::nullopt;
    if (!histogram) continue;
    const std::uint64_t label = keyed_hash(field.label);
    Entry entry{.key = keyed_hash(label, alike[label]++),
                .at = value,
                .histogram = *histogram,
                .first = static_cast<std::uint32_t>(found.last_.size()),
                .power = static_cast<std::uint8_t>(bucket->power - buckets::kLowestExponent),
                .bits = static_cast<std::uint8_t>(bucket->bits)};
    const auto old = had.find(entry.key);
    if (old != had.end() && before.entries_[old->second].bits == entry.bits) {
      add_last(before.entries_[old->second]);
      had.erase(old);
    } else {
      found.last_.resize(found.last_.size() + (std::size_t{1} << entry.bits));
    }
    found.entries_.push_back(entry);
  }
  for (const auto& [key, i] : had) {
    Entry lost = before.entries_[i];
    lost.at = 0;
    const auto first = static_cast<std::uint32_t>(found.last_.size());
    add_last(lost);
    lost.first = first;
    found.entries_.push_back(lost);
    ++found.lost_;
  }
  found.find_ranges(layout);
  return found;
}

// All but the values of rooms, and of fields that belong to no histogram.
void FileBuckets::find_ranges(const Layout& layout) {
  if (layout.runs().empty()) return;
  std::vector<FileRange> wanted = compared_;
  std::uint32_t begin = 0;
  for (const FileRange& run : layout.runs()) {
    wanted.push_back({begin, run.begin});
    begin = run.end;
  }
  wanted.push_back({begin, static_cast<std::uint32_t>(layout.wanted())});
  for (const Entry& entry : entries_) {
    if (entry.at == 0) continue;
    wanted.push_back({entry.at, entry.at + static_cast<std::uint32_t>(sizeof(std::uint64_t) << entry.bits)});
  }
  std::sort(wanted.begin(), wanted.end(),
            [](const FileRange& a, const FileRange& b) { return a.begin < b.begin; });
  for (const FileRange& one : wanted) {
    if (!ranges_.empty() && one.begin <= ranges_.back().end + kWorthSkipping) {
      ranges_.back().end = std::max(ranges_.back().end, one.end);
    } else {
      ranges_.push_back(one);
    }
  }
}

bool FileBuckets::match(const std::byte* bytes) const {
  const std::byte* known = heads_.data();
  return std::all_of(compared_.begin(), compared_.end(), [&](const FileRange& head) {
    const std::size_t size = head.end - head.begin;
    return std::memcmp(bytes + head.begin, std::exchange(known, known + size), size) == 0;
  });
}

bool FileBuckets::changed(const std::byte* bytes) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.at != 0 && std::memcmp(bytes + entry.at, last_.data() + entry.first,
                                        sizeof(std::uint64_t) << entry.bits) != 0;
  });
}

void FileBuckets::forget_lost() {
  if (lost_ == 0) return;
  // Those that are lost come last.
  entries_.resize(entries_.size() - lost_);
  entries_.shrink_to_fit();
  last_.resize(entries_.empty() ? 0 : entries_.back().first + (std::size_t{1} << entries_.back().bits));
  last_.shrink_to_fit();
  lost_ = 0;
}

}  // namespace mmstats

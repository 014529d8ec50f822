#include "collect/file_reading.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "collect/work.h"

namespace mmstats {
namespace {

constexpr int kMostReadings = 8;           // readings of a file whose values do not settle
constexpr std::size_t kLargeValue = 4096;  // bytes that take longer than one system call more

void reserve_bytes(ReadBuffer& buffer, std::size_t size) {
  if (buffer.size() < size + kLoadSlack) buffer.resize(size + kLoadSlack);
}

// A counter of fractions that is no number, or infinite, has not counted on: its value is the last one.
// True if there was one.
bool leave_out_infinite(const Layout& layout, const Ledger& ledger, std::vector<std::uint64_t>& values) {
  bool found = false;
  for (std::size_t i = layout.whole_counters(); i < layout.counters(); ++i) {
    if (std::isfinite(layout.plans()[i].number(values[i]))) continue;
    values[i] = ledger.last[i];
    found = true;
  }
  return found;
}

}  // namespace

void FileReading::reserve(std::size_t size) {
  reserve_bytes(bytes, size);
  most_bytes_ = std::max(most_bytes_, size);
}

void FileReading::end_scan() {
  const auto give_back = [](auto& buffer, std::size_t used) {
    constexpr std::size_t kItem = sizeof buffer[0];
    if (buffer.capacity() * kItem > std::max(kSmallBuffer, 2 * used * kItem)) give_back_all(buffer);
  };
  give_back(bytes, most_bytes_ + kLoadSlack);
  give_back(second_bytes_, most_bytes_ + kLoadSlack);
  give_back(values, most_values_);
  give_back(second_, most_values_);
  give_back(unsettled, most_values_);
  most_bytes_ = most_values_ = 0;
}

// But for large values: they are no part of the shape, and what a file has may be mostly that.
bool FileReading::confirm(const ParsedFile& content, std::size_t got, ByteSource& source) {
  const std::size_t wanted = Layout::wanted(content, got);
  reserve_bytes(second_bytes_, wanted);
  std::size_t begin = 0;
  std::size_t end = 0;
  const auto read_to = [&](std::size_t until) {
    const ssize_t more = source.read_at(begin, {second_bytes_.data() + begin, until - begin});
    work += work::of_bytes(until - begin) + (begin > 0 ? work::kFile / 4 : 0);
    end = begin + static_cast<std::size_t>(std::max<ssize_t>(more, 0));
    return more >= 0;
  };
  for (const Field& field : content.fields) {
    const std::size_t values = field.write_buffer_offset + 1;
    const std::size_t size = (field.buffered ? 2 : 1) * field.type.size;
    if (size <= kLargeValue || label_has_suffix(field.label, kMetadataLabel)) continue;
    if (!read_to(values) || end < values) return false;
    begin = values + size;
  }
  return read_to(wanted) && Layout::same_shape(content, {bytes.data(), got}, {second_bytes_.data(), end});
}

bool FileReading::read(const Layout& layout, const FileBuckets& buckets, const LifeMark& mark,
                       ByteSource& source) {
  reserve(layout.wanted());
  std::size_t end = 0;
  return read_ranges(layout, buckets, source, bytes.data(), end) && layout.matches(bytes.data(), end) &&
         buckets.match(bytes.data()) && layout.agrees(mark, bytes.data());
}

// Reads the window, but for what is room in it. `end`: where the file, or the window, ends.
bool FileReading::read_ranges(const Layout& layout, const FileBuckets& buckets, ByteSource& source,
                              std::byte* into, std::size_t& end) {
  const FileRange whole{.begin = 0, .end = static_cast<std::uint32_t>(layout.wanted())};
  const std::span<const FileRange> ranges =
      buckets.ranges().empty() ? std::span(&whole, 1) : buckets.ranges();
  for (const FileRange& range : ranges) {
    const std::size_t size = range.end - range.begin;
    const ssize_t got = source.read_at(range.begin, {into + range.begin, size});
    work += work::of_bytes(size) + (range.begin > 0 ? work::kFile / 4 : 0);
    if (got < 0) return false;
    end = range.begin + static_cast<std::size_t>(got);
    if (end < range.end && &range != &ranges.back()) return false;
  }
  return true;
}

// A second reading, of what holds values. False: it is not as long as the first. `same`: nor is any byte
// another one.
bool FileReading::read_again(const Layout& layout, const FileBuckets& buckets, ByteSource& source,
                             bool& same) {
  reserve_bytes(second_bytes_, layout.wanted());
  read_thrice_ = false;
  const auto equal = [&](std::size_t begin, std::size_t end) {
    return std::memcmp(bytes.data() + begin, second_bytes_.data() + begin, end - begin) == 0;
  };
  if (!buckets.ranges().empty()) {
    std::size_t end = 0;
    if (!read_ranges(layout, buckets, source, second_bytes_.data(), end)) return false;
    same = std::all_of(buckets.ranges().begin(), buckets.ranges().end(), [&](const FileRange& range) {
      return equal(range.begin, std::min<std::size_t>(range.end, end));
    });
    return layout.matches(second_bytes_.data(), end);
  }
  const std::size_t hot = layout.hot_end() - layout.hot_begin();
  const ssize_t got = source.read_at(layout.hot_begin(), {second_bytes_.data() + layout.hot_begin(), hot});
  work += work::of_bytes(hot);
  if (got != static_cast<ssize_t>(hot)) return false;
  same = equal(layout.hot_begin(), layout.hot_end());
  return true;
}

// Only what holds values is read a second time. The shape was confirmed when it was new, and `bytes` have it:
// so the values are those of the labels, whatever the order in which a machine lets a reading see stores.
FileReading::Outcome FileReading::take(const Layout& layout, const FileBuckets& buckets, const LifeMark& mark,
                                       const Ledger& ledger, ByteSource& source, std::uint64_t& unstable) {
  const auto plans = layout.plans();
  newest_ = bytes.data();
  values.resize(plans.size());
  most_values_ = std::max(most_values_, plans.size());
  work += work::kValue * plans.size();
  std::uint64_t difference = 0;
  unsigned bad_flags = 0;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    values[i] = plans[i].load(bytes.data());
    difference |= values[i] ^ ledger.last[i];
    bad_flags |= std::to_integer<unsigned>(bytes[plans[i].flag_at]) & plans[i].bad_flags;
  }
  if (bad_flags != 0) return Outcome::kReload;
  if (leave_out_infinite(layout, ledger, values)) {
    difference = 0;
    for (std::size_t i = 0; i < plans.size(); ++i) difference |= values[i] ^ ledger.last[i];
  }
  work += buckets.counters();
  changed = difference != 0 || buckets.changed(bytes.data());
  if (!changed && ledger.all_good) return Outcome::kUnchanged;

  unsettled.clear();
  work += work::kValue * plans.size() + buckets.counters();
  bool same = false;
  if (!read_again(layout, buckets, source, same)) return Outcome::kReload;
  newest_ = second_bytes_.data();
  bool fell = false;
  for (std::size_t i = 0; i < layout.plain_counters(); ++i) fell |= values[i] < ledger.last[i];
  for (std::size_t i = layout.plain_counters(); i < layout.whole_counters(); ++i) {
    fell |= plans[i].counter(values[i]) < plans[i].counter(ledger.last[i]);
  }
  for (std::size_t i = layout.whole_counters(); i < layout.counters(); ++i) {
    fell |= !(plans[i].number(values[i]) >= plans[i].number(ledger.last[i]));
  }
  if (same && !fell) return Outcome::kTaken;
  second_.resize(plans.size());
  for (std::size_t i = 0; i < plans.size(); ++i) second_[i] = plans[i].load(second_bytes_.data());
  leave_out_infinite(layout, ledger, second_);
  return settle(layout, buckets, mark, ledger, source, unstable) ? Outcome::kTaken : Outcome::kReload;
}

// Reads what did not stand still until it does, or is proved otherwise; `values` then holds what
// to accept. False: the file is not what it was.
bool FileReading::settle(const Layout& layout, const FileBuckets& buckets, const LifeMark& mark,
                         const Ledger& ledger, ByteSource& source, std::uint64_t& unstable) {
  const auto plans = layout.plans();
  enum class Verdict : std::uint8_t { kAccept, kLookAgain };
  // `older` and `newer` are two readings, one after the other. Equal ones are a value that was there.
  // A counter that only grows and was not below its last value at the older reading, and is not below
  // that at the newer one, had the older value in between: were it a mixture that is too high, the
  // true value would have to catch up before a mixture of it could be as high again.
  const auto judge = [&](std::size_t i, std::uint64_t older, std::uint64_t newer) {
    if (i >= layout.counters()) return older == newer ? Verdict::kAccept : Verdict::kLookAgain;
    const FieldPlan& plan = plans[i];
    if (i < layout.whole_counters()) {
      const std::uint64_t value = plan.counter(older);
      return plan.counter(ledger.last[i]) <= value && value <= plan.counter(newer) ? Verdict::kAccept
                                                                                   : Verdict::kLookAgain;
    }
    const auto number = [&](std::uint64_t raw) { return plan.number(raw); };
    return number(ledger.last[i]) <= number(older) && number(older) <= number(newer) ? Verdict::kAccept
                                                                                     : Verdict::kLookAgain;
  };
  // A counter below its last value began again, if it stays there, never falling, in three readings.
  const auto not_above = [&](std::size_t i, std::uint64_t older, std::uint64_t newer) {
    const FieldPlan& plan = plans[i];
    if (i < layout.whole_counters()) return plan.counter(older) <= plan.counter(newer);
    return plan.number(older) <= plan.number(newer);
  };

  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (judge(i, values[i], second_[i]) == Verdict::kLookAgain)
      unsettled.push_back(static_cast<std::uint32_t>(i));
  }
  for (int readings = 2; readings < kMostReadings && !unsettled.empty(); ++readings) {
    if (!read(layout, buckets, mark, source)) return false;
    read_thrice_ = true;
    newest_ = bytes.data();
    work += work::kValue * unsettled.size();
    std::erase_if(unsettled, [&](std::uint32_t i) {
      const std::uint64_t newest = plans[i].load(bytes.data());
      if (judge(i, second_[i], newest) == Verdict::kAccept) {
        values[i] = second_[i];
        return true;
      }
      const bool whole = i < layout.counters();
      if (whole && not_above(i, values[i], second_[i]) && not_above(i, second_[i], newest) &&
          !not_above(i, ledger.last[i], newest)) {
        values[i] = newest;
        return true;
      }
      values[i] = second_[i];
      second_[i] = newest;
      return false;
    });
  }
  for (const std::uint32_t i : unsettled) {
    ++unstable;
    values[i] = ledger.last[i];
  }
  return true;
}

}  // namespace mmstats

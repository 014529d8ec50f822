#include "plugin_pinba/receive/book.h"

#include <deque>
#include <functional>

#include "format/dimensions.h"
#include "mmstats/family.h"
#include "mmstats/model.h"

namespace mmstats::receive {
namespace {

constexpr std::string_view kOther = "other";
// All rows of a file: readers take four MiB, and families may have three quarters of a file.
constexpr std::size_t kBytesOfRows = 2'500'000;
// What a row counts as one for. Its labels are in the file 80 times for a histogram's buckets, and so long
// values cost more.
constexpr std::size_t kBytesOfRow = std::size_t{48} << 10;

const FamilyAbout kRequests{.unit = "requests", .help = "Requests that it was in"};
const FamilyAbout kSeconds{.unit = "seconds", .help = "How long they took"};
const FamilyAbout kUser{.unit = "seconds", .help = "Processor time in the program", .kind = Kind::kCounter};
const FamilyAbout kSystem{.unit = "seconds", .help = "Processor time in the system", .kind = Kind::kCounter};
const FamilyAbout kBytes{.unit = "bytes", .help = "Size of the answers"};
const FamilyAbout kMemory{.unit = "bytes", .help = "Memory that the last 100 requests took, on average"};

// Of a row in a file, at most.
std::size_t bytes_of(const ReportSpec& spec, std::span<const std::string_view> values) {
  constexpr std::size_t kFields = 14;    // histogram's buckets apart
  constexpr std::size_t kOfField = 128;  // beside its label: values, and what aligns them
  constexpr std::size_t kPowers = 80;
  constexpr std::size_t kOfPower = 8 * Histogram::kMostPrecision + 40;
  std::size_t label = spec.label.size() + std::string_view(".system_seconds").size();
  for (const std::string_view value : values) label += 1 + value.size() + more_if_escaped(value);
  return kFields * (label + kOfField) + kPowers * (label + kOfPower);
}

// The values, each behind its size.
void write_key(std::span<const std::string_view> values, std::string& key) {
  key.clear();
  for (const std::string_view value : values) {
    const std::size_t size = value.size();
    key.append(reinterpret_cast<const char*>(&size), sizeof size).append(value);
  }
}

}  // namespace

// One file for each thread that counts, with the rows that fit.
class Book::Shelf {
 public:
  explicit Shelf(const ReportSpec& spec)
      : spec_(spec), model_({.label_prefix = spec.label, .file_name = name_of_next()}) {
    std::vector<std::string_view> names;
    names.reserve(spec.keys.size());
    for (const Key& key : spec.keys) names.emplace_back(key.dimension);
    if (names.empty()) return;
    const std::span<const std::string_view> dimensions(names);
    requests_.emplace(model_, "requests", dimensions, kRequests);
    seconds_.emplace(model_, "seconds", dimensions, kSeconds);
    user_.emplace(model_, "user_seconds", dimensions, kUser);
    system_.emplace(model_, "system_seconds", dimensions, kSystem);
    if (spec.counted != Counted::kRequests) return;
    bytes_.emplace(model_, "bytes", dimensions, kBytes);
    memory_.emplace(model_, "memory", dimensions, kMemory);
  }

  [[nodiscard]] bool has_room_for(std::size_t bytes) const { return used_ + bytes <= kBytesOfRows; }

  // May throw std::bad_alloc: what was made by then is made no second time.
  Row& add(std::span<const std::string_view> values, std::size_t bytes) {
    const auto one = [&]<class Field>(const std::optional<Family<Field>>& family, std::string_view label,
                                      const FamilyAbout& about) {
      if (family) return family->with_values(values);
      return Field(model_, label, About{.unit = about.unit, .help = about.help, .kind = about.kind});
    };
    const bool whole = spec_.counted == Counted::kRequests;
    Row& row = rows_.emplace_back(one(requests_, "requests", kRequests), one(seconds_, "seconds", kSeconds),
                                  one(user_, "user_seconds", kUser), one(system_, "system_seconds", kSystem),
                                  whole ? std::optional(one(bytes_, "bytes", kBytes)) : std::nullopt,
                                  whole ? std::optional(one(memory_, "memory", kMemory)) : std::nullopt);
    used_ += bytes;
    return row;
  }

 private:
  // Each has names of its own, as the library tries no more than a hundred for one.
  static std::string name_of_next() {
    static std::atomic<std::uint64_t> number = 0;
    return "{CMD}-{PID}-{TID}-" + std::to_string(++number) + ".mmstats";
  }

  const ReportSpec& spec_;
  Model model_;
  std::optional<Family<Counter>> requests_;
  std::optional<Family<Histogram>> seconds_;
  std::optional<Family<Gauge<double>>> user_;
  std::optional<Family<Gauge<double>>> system_;
  std::optional<Family<Counter>> bytes_;
  std::optional<Family<MovingAverage>> memory_;
  std::deque<Row> rows_;
  std::size_t used_ = 0;
};

Book::Book(const ReportSpec& spec, FairBound& budget)
    : spec_(spec), budget_(budget), bound_(spec.max_rows), full_(spec.max_rows == 0) {}
Book::~Book() { close(); }

Book::Found Book::find(std::span<const std::string_view> values, Source source, std::string& key) {
  write_key(values, key);
  std::unique_lock lock(mutex_, std::defer_lock);
  if (!full_.load(std::memory_order_acquire)) lock.lock();
  if (const auto known = by_key_.find(key); known != by_key_.end()) return {*known->second, true};
  if (!lock) {
    if (Row* const all_others = other_.load(std::memory_order_acquire)) return {*all_others, false};
    lock.lock();
    return {other(), false};
  }
  const std::size_t count = 1 + bytes_of(spec_, values) / kBytesOfRow;
  if (full_ || !take(source, count)) return {other(), false};
  try {
    const auto made = by_key_.emplace(key, nullptr).first;
    made->second = &add(values);
    shares_.push_back({source, count});
    if (bound_.is_full()) full_.store(true, std::memory_order_release);
    return {*made->second, true};
  } catch (...) {
    by_key_.erase(key);
    bound_.give(source, count);
    budget_.give(source, count);
    throw;
  }
}

bool Book::take(Source source, std::size_t count) {
  if (!bound_.take(source, count)) return false;
  try {
    if (budget_.take(source, count)) return true;
  } catch (...) {
    bound_.give(source, count);
    throw;
  }
  bound_.give(source, count);
  return false;
}

Row& Book::add(std::span<const std::string_view> values) {
  const std::size_t bytes = bytes_of(spec_, values);
  if (shelves_.empty() || !shelves_.back().has_room_for(bytes)) shelves_.emplace_back(spec_);
  return shelves_.back().add(values, bytes);
}

Row& Book::other() {
  if (Row* const known = other_.load(std::memory_order_relaxed)) return *known;
  const std::vector<std::string_view> values(spec_.keys.size(), kOther);
  Row& made = add(values);
  other_.store(&made, std::memory_order_release);
  return made;
}

Book::Use Book::use(std::uint32_t round, std::uint32_t idle_rounds) const {
  Use use;
  const auto look = [&](const Row& row) {
    const std::uint32_t rounds = round - row.used_in.load(std::memory_order_relaxed);
    ++use.rows;
    use.idle += rounds > idle_rounds ? 1 : 0;
    use.long_idle += rounds > 4 * idle_rounds ? 1 : 0;
  };
  for (const auto& [key, row] : by_key_) look(*row);
  if (const Row* const all_others = other_.load(std::memory_order_relaxed)) look(*all_others);
  return use;
}

void Book::close() {
  for (const Share& share : shares_) budget_.give(share.source, share.count);
  shares_.clear();
  full_ = true;
}

}  // namespace mmstats::receive

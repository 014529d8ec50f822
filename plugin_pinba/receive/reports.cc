#include "plugin_pinba/receive/reports.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <span>
#include <unordered_map>
#include <utility>

#include "base/utf8.h"
#include "format/dimensions.h"
#include "plugin_pinba/receive/book.h"
#include "plugin_pinba/receive/known_rows.h"

namespace mmstats::receive {
namespace {

constexpr std::uint32_t kIdleRounds = 2;
// Bytes of a label that files can have before those of fields.
constexpr std::size_t kMostLabel = 1000;

// The names and values of a timer, one after the other, as KnownRows takes them.
class TagTexts {
 public:
  explicit TagTexts(std::span<const Tag> tags) : tags_(tags) {}
  [[nodiscard]] std::size_t size() const { return 2 * tags_.size(); }
  std::string_view operator[](std::size_t i) const {
    const Tag& tag = tags_[i / 2];
    return whole_characters(i % 2 == 0 ? tag.name : tag.value, kMaxDimensionValue);
  }

 private:
  std::span<const Tag> tags_;
};

}  // namespace

std::vector<ReportSpec> default_reports(std::string_view prefix, std::size_t max_rows) {
  std::vector<ReportSpec> reports;
  const auto add = [&](std::string_view name, KeySource source) {
    reports.push_back({.label = std::string(prefix) + '.' + std::string(name),
                       .counted = Counted::kRequests,
                       .keys = {{{source, {}}, std::string(name)}},
                       .filter = {},
                       .max_rows = max_rows});
  };
  add("script", KeySource::kScript);
  add("server", KeySource::kServer);
  add("host", KeySource::kHost);
  add("status", KeySource::kStatus);
  return reports;
}

std::string dimension_of(std::string_view name) {
  std::string dimension(whole_characters(name, kMaxDimensionValue / 2));
  for (char& c : dimension) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!good) c = '_';
  }
  return wrong_dimension_name(dimension).empty() ? dimension : "tag_" + dimension;
}

struct Reports::Thread {
  std::mutex mutex;  // while it counts
  const Reports* of = nullptr;
  std::uint64_t packets = 0;  // that it counted; the number of the last one
  std::vector<KnownRows> fixed;
  KnownRows by_tags;
  RowsByTags by_tags_id;
  std::unordered_map<std::string, const Report*, KeyedHash, std::equal_to<>> sets;  // without that of others
  std::unordered_map<const Row*, std::uint64_t> last_packets;  // that had a timer there; all that it knows
  // Used again:
  KeyValues values;
  std::vector<const Tag*> tags;
  std::vector<std::string_view> names;
  std::string key;

  void forget_rows() {
    for (KnownRows& rows : fixed) rows.clear();
    by_tags.clear();
    by_tags_id.clear();
    sets.clear();
    last_packets.clear();
  }
  KnownRow known(Row& row) { return {.row = &row, .packet = &last_packets[&row]}; }
  void count(const KnownRow& known, const TimerEntry& timer, std::uint32_t round) const {
    known.row->count(timer, std::exchange(*known.packet, packets) != packets, round);
  }
};

Reports::Caches::Caches() = default;
Reports::Caches::~Caches() = default;
Reports::Caches::Caches(Caches&&) noexcept = default;
Reports::Caches& Reports::Caches::operator=(Caches&&) noexcept = default;

// While there is one, nobody counts, and no thread comes. Threads know no rows then.
class Reports::Stop {
 public:
  explicit Stop(Reports& reports) : lock_(reports.threads_mutex_) {
    // Those whose Caches are gone are known here alone.
    std::erase_if(reports.threads_, [](const auto& thread) { return thread.use_count() == 1; });
    locks_.reserve(reports.threads_.size());
    for (const auto& thread : reports.threads_) locks_.emplace_back(thread->mutex);
    for (const auto& thread : reports.threads_) thread->forget_rows();
  }

 private:
  std::unique_lock<std::mutex> lock_;
  std::vector<std::unique_lock<std::mutex>> locks_;
};

Reports::Reports(ReportsOptions options)
    : options_(std::move(options)), budget_(options_.max_all_rows), tag_sets_(options_.max_tag_sets) {
  for (ReportSpec& report : std::exchange(options_.reports, {}))
    fixed_.push_back(std::make_unique<Report>(std::move(report), budget_));
}

Reports::~Reports() {
  for (const auto& thread : threads_) thread->of = nullptr;
}

Reports::Thread& Reports::thread_of(Caches& caches) {
  if (caches.thread_ != nullptr && caches.thread_->of == this) [[likely]]
    return *caches.thread_;
  auto made = std::make_shared<Thread>();
  made->of = this;
  const std::lock_guard lock(threads_mutex_);
  threads_.push_back(made);
  caches.thread_ = std::move(made);
  return *caches.thread_;
}

void Reports::count(const Packet& packet, Source source, Caches& caches) {
  Thread& thread = thread_of(caches);
  const std::lock_guard lock(thread.mutex);
  ++thread.packets;
  thread.fixed.resize(fixed_.size());
  for (std::size_t i = 0; i < fixed_.size(); ++i) {
    const Report& report = *fixed_[i];
    if (report.spec().counted == Counted::kRequests) {
      count_in(report, i, packet, nullptr, source, thread);
    } else {
      for (const TimerEntry& timer : packet.timers) count_in(report, i, packet, &timer, source, thread);
    }
  }
  if (!options_.timers_by_tags) return;
  for (const TimerEntry& timer : packet.timers) count_by_tags(timer, source, thread);
}

void Reports::count_in(const Report& report, std::size_t index, const Packet& packet, const TimerEntry* timer,
                       Source source, Thread& thread) const {
  const auto& values = thread.values.all;
  if (!report.find_values(packet, timer, thread.values)) return;
  const auto count = [&](const KnownRow& known) {
    if (timer == nullptr) {
      known.row->count(packet, round_);
    } else {
      thread.count(known, *timer, round_);
    }
  };
  const std::uint64_t hash = KnownRows::hash(values);
  if (const KnownRow* const known = thread.fixed[index].find(hash, values)) [[likely]]
    return count(*known);
  const auto [row, own] = report.book().find(values, source, thread.key);
  const KnownRow known = thread.known(row);
  count(known);
  if (own) thread.fixed[index].put(hash, values, known);
}

void Reports::count_by_tags(const TimerEntry& timer, Source source, Thread& thread) {
  if (const KnownRow* const known = thread.by_tags_id.find(timer.tags_id)) [[likely]]
    return thread.count(*known, timer, round_);
  const TagTexts texts(timer.tags);
  const std::uint64_t hash = KnownRows::hash(texts);
  if (const KnownRow* const known = thread.by_tags.find(hash, texts)) {
    thread.by_tags_id.put(timer.tags_id, *known);
    return thread.count(*known, timer, round_);
  }
  thread.tags.clear();
  for (const Tag& tag : timer.tags) thread.tags.push_back(&tag);
  std::sort(thread.tags.begin(), thread.tags.end(),
            [](const Tag* a, const Tag* b) { return a->name < b->name; });
  thread.names.clear();
  thread.values.all.clear();
  for (const Tag* tag : thread.tags) {
    thread.names.push_back(tag->name);
    thread.values.all.push_back(whole_characters(tag->value, kMaxDimensionValue));
  }
  const Report& report = report_of_tags(source, thread);
  // That of other sets has no keys.
  const auto values = std::span(thread.values.all).first(report.spec().keys.size());
  const auto [row, own] = report.book().find(values, source, thread.key);
  const KnownRow known = thread.known(row);
  thread.count(known, timer, round_);
  // Of sets beyond the bound there may be any number.
  if (own && values.size() == timer.tags.size()) thread.by_tags.put(hash, texts, known);
}

// Of thread.names.
const Report& Reports::report_of_tags(Source source, Thread& thread) {
  thread.key.clear();
  for (const std::string_view name : thread.names) {
    const std::size_t size = name.size();
    thread.key.append(reinterpret_cast<const char*>(&size), sizeof size).append(name);
  }
  if (const auto known = thread.sets.find(thread.key); known != thread.sets.end()) return *known->second;
  const std::lock_guard lock(tags_mutex_);
  auto known = by_tags_.find(thread.key);
  if (known == by_tags_.end()) {
    if (thread.names.size() > kMaxDimensions || !tag_sets_.take(source)) return report_of_other_tags();
    try {
      auto spec = spec_of_tags(thread.names);
      if (spec.label.size() > kMostLabel) {
        tag_sets_.give(source);
        return report_of_other_tags();
      }
      auto made = std::make_unique<Report>(std::move(spec), budget_);
      known = by_tags_.emplace(thread.key, TagSet{.report = std::move(made), .source = source}).first;
    } catch (const std::bad_alloc&) {
      tag_sets_.give(source);
      throw;
    }
  }
  thread.sets.emplace(thread.key, known->second.report.get());
  return *known->second.report;
}

// With the lock.
const Report& Reports::report_of_other_tags() {
  if (other_tags_ == nullptr) {
    other_tags_ = std::make_unique<Report>(
        ReportSpec{.label = options_.prefix + '.' + std::string(kTimerReports) + ".other_tags",
                   .counted = Counted::kTimers,
                   .keys = {},
                   .filter = {},
                   .max_rows = 1},
        budget_);
  }
  return *other_tags_;
}

// `names`: sorted.
ReportSpec Reports::spec_of_tags(const std::vector<std::string_view>& names) const {
  ReportSpec spec{.label = options_.prefix + '.' + std::string(kTimerReports),
                  .counted = Counted::kTimers,
                  .keys = {},
                  .filter = {},
                  .max_rows = options_.max_rows};
  // Parts with an @ are no part of the name where there are dimensions.
  std::string part;
  for (const std::string_view name : names) {
    std::string dimension = dimension_of(name);
    const auto taken = [&](const Key& key) { return key.dimension == dimension; };
    while (std::any_of(spec.keys.begin(), spec.keys.end(), taken)) dimension += '_';
    part += '@' + dimension;
    spec.keys.push_back({{KeySource::kTimerTag, std::string(name)}, std::move(dimension)});
  }
  spec.label += '.' + (part.empty() ? "untagged" : part);
  return spec;
}

std::size_t Reports::sweep() {
  std::vector<Retired> over;  // ends when all count again
  std::size_t rows = 0;
  const Stop stop(*this);
  ++round_;
  const auto ended = std::partition(retired_.begin(), retired_.end(),
                                    [&](const Retired& one) { return one.until > round_; });
  over.assign(std::make_move_iterator(ended), std::make_move_iterator(retired_.end()));
  retired_.erase(ended, retired_.end());
  for (const auto& report : fixed_) rows += sweep(*report);
  if (other_tags_ != nullptr) rows += sweep(*other_tags_);
  for (auto set = by_tags_.begin(); set != by_tags_.end();) {
    if (set->second.report->book().is_empty()) {
      tag_sets_.give(set->second.source);
      set = by_tags_.erase(set);
    } else {
      rows += sweep(*set->second.report);
      ++set;
    }
  }
  return rows;
}

// How many rows it has.
std::size_t Reports::sweep(Report& report) {
  const auto use = report.book().use(round_, kIdleRounds);
  if ((use.idle > 0 && 4 * use.idle >= use.rows) || use.long_idle > 0) {
    retired_.reserve(retired_.size() + 1);
    retired_.push_back({.book = report.renew(), .until = round_ + 1});
  }
  return report.book().rows();
}

void Reports::change(ReportsOptions options) {
  const Stop stop(*this);
  std::vector<std::unique_ptr<Report>> next;
  std::vector<std::unique_ptr<Report>*> kept;  // where it is now; null: it is new
  for (ReportSpec& wanted : std::exchange(options.reports, {})) {
    const auto same = std::find_if(fixed_.begin(), fixed_.end(), [&](auto& report) {
      return report->spec() == wanted && std::find(kept.begin(), kept.end(), &report) == kept.end();
    });
    kept.push_back(same == fixed_.end() ? nullptr : &*same);
    next.push_back(same == fixed_.end() ? std::make_unique<Report>(std::move(wanted), budget_) : nullptr);
  }
  retired_.reserve(retired_.size() + fixed_.size() + by_tags_.size() + 1);
  // What follows throws nothing.
  const auto retire = [&](Report& report) {
    retired_.push_back({.book = report.end(), .until = round_ + 2});
  };
  for (std::size_t i = 0; i < next.size(); ++i) {
    if (kept[i] != nullptr) next[i] = std::move(*kept[i]);
  }
  for (const auto& report : fixed_) {
    if (report != nullptr) retire(*report);
  }
  fixed_ = std::move(next);
  const bool same_tags = options.timers_by_tags == options_.timers_by_tags &&
                         options.prefix == options_.prefix && options.max_rows == options_.max_rows;
  if (!same_tags) {
    for (const auto& [names, set] : by_tags_) {
      tag_sets_.give(set.source);
      retire(*set.report);
    }
    by_tags_.clear();
    if (other_tags_ != nullptr) retire(*other_tags_);
    other_tags_.reset();
  }
  budget_.set_most(options.max_all_rows);
  tag_sets_.set_most(options.max_tag_sets);
  options_ = std::move(options);
}

}  // namespace mmstats::receive

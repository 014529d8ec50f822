#include "collect/fold.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "collect/fold_state.h"
#include "collect/work.h"

namespace mmstats {
namespace {

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 30U;  // offsets in a layout have 32 bits
constexpr unsigned kMaxDoublings =
    7;  // of the time for which one is believed who writes though he is dead: an hour

// What the largest file takes while it is read, as times of its size: its bytes, and the list of its fields.
constexpr std::size_t kReadingTimes = 2 + 25;

using std::chrono::steady_clock;

// What is left for all that is kept.
std::size_t memory_to_keep(const FoldLimits& limits) {
  const std::size_t half = limits.max_memory / 2;
  return limits.max_memory -
         (limits.max_file_size < half / kReadingTimes ? limits.max_file_size * kReadingTimes : half);
}

}  // namespace

Fold::Impl::Impl(Rules rules_, FoldLimits limits_, OwnerOf owner_of_)
    : rules(std::move(rules_)),
      limits(limits_),
      owner_of(std::move(owner_of_)),
      memory(memory_to_keep(limits)),
      table(limits.max_series, limits.reuse_series, memory),
      distributions(memory, table),
      layouts(memory) {
  limits.max_file_size = std::min(limits.max_file_size, kMaxFileBytes);
}

void Fold::Impl::read(FileKey key, const std::string& path, ByteSource& bytes, bool last_time) {
  File& file = files[key];
  file.settled_dead = file.gives_gauges = false;
  reading.work += work::kFile;
  auto outcome = file.layout && reading.read(*file.layout, file.known_buckets(), file.mark, bytes)
                     ? take(file, bytes)
                     : Outcome::kReload;
  bool changed = outcome == Outcome::kTaken && reading.changed;
  // A file that changes its shape in every reading has one more chance at the next scan.
  if (outcome == Outcome::kReload) {
    if (is_refused(file, bytes)) return;
    outcome = load(key, path, bytes) ? take(file, bytes) : Outcome::kReload;
    if (outcome == Outcome::kReload) return;
    changed = true;
  }
  file.refused.reset();
  const bool told = file.error && file.error->kind == ErrorKind::kDamaged;
  if (!file.layout->damage()) {
    file.error.reset();
  } else if (!told) {
    const Damage& damage = *file.layout->damage();
    file.error = Error{.kind = ErrorKind::kDamaged,
                       .path = {},
                       .offset = damage.offset,
                       .sys_errno = 0,
                       .message = damage.message};
  }
  if (last_time) return;
  ask_owner(key, bytes, changed);
  if (file.series->refused > 0 && table.may_have_room(file.user)) bind_refused(file);
  file.has_thread = file.layout->has_thread(reading.newest());
  add_gauges(file);
}

void Fold::Impl::add_gauges(File& file) {
  file.gives_gauges = file.owner != OwnerState::kDead && file.has_thread;
  if (file.gives_gauges) file.ledger.add_gauges(*file.layout, file.series->indices, table);
}

// Asks about the owner before the gauges count: one that wrote since the last scan may be dead by now.
void Fold::Impl::ask_owner(FileKey key, ByteSource& bytes, bool changed) {
  File& file = files[key];
  const bool was_dead = file.owner == OwnerState::kDead;
  const bool known = std::exchange(file.owner_asked, true);
  if (changed && known && (was_dead || file.returns > 0)) {
    // The dead do not write. Whoever does has a pid that means another process here, or another clock. The
    // system will be believed again when the file stands still, the later the more often it was wrong.
    if (was_dead) ++file.returns;
    file.believed_until = now + Owners::kRecheck * (1U << std::min(file.returns - 1, kMaxDoublings));
    file.owner = OwnerState::kUnknown;
    file.dead_since.reset();
    take_slot(file);
    return;
  }
  if (now < file.believed_until) return;
  const Owner owner = file.layout->owner(file.mark);
  if (owner.pid == 0) return;
  file.owner = owner_of({.owner = owner, .file = key, .stands_still = !changed, .memory = file.owner_memory});
  if (file.owner != OwnerState::kDead) {
    file.dead_since.reset();
    if (was_dead) take_slot(file);
  } else if (was_dead && file.dead_since) {
    file.settled_dead = true;
  } else {
    file.dead_since = now;
    // What it wrote between our reading and its death.
    if (reading.read(*file.layout, file.known_buckets(), file.mark, bytes)) take(file, bytes);
    leave_slot(file);
  }
}

// The life in `file` is over, or goes on elsewhere.
void Fold::Impl::end(FileKey key, const std::string& path, const FileId& id, bool replaced) {
  File& file = files[key];
  if (file.layout) {
    losers.erase({file.user, key});
    layouts.look();
    ended_series.push_back(std::move(file.series));
    if (file.slot != WorkerSlots::kNone && replaced) {
      file.reserved = reserved.add(path, file.worker, file.slot);
    } else {
      leave_slot(file);
    }
    departed.add(file.user, std::move(file), path, id, now);
  }
  file = File{};
}

// `life`, which departed, goes on in `file`.
void Fold::Impl::go_on(File& file, Life&& life) {
  static_cast<Life&>(file) = std::move(life);
  file.owner_memory.forget_writers(now);
  if (file.slot == WorkerSlots::kNone) return;
  if (!reserved.redeem(std::exchange(file.reserved, ReservedSlots::kNone))) file.slot = WorkerSlots::kNone;
}

void Fold::Impl::take_slot(File& file) {
  if (!file.layout->apart() || file.slot != WorkerSlots::kNone) return;
  const Owner owner = file.layout->owner(file.mark, reading.bytes.data());
  file.worker = {.pid = owner.pid,
                 .thread = owner.tid == 0 ? 0 : owner.tid ^ file.layout->first_label() << 22U};
  file.slot = file.bound = slots.take(file.worker);
  bind_own(file);
}

void Fold::Impl::leave_slot(File& file) {
  if (file.slot == WorkerSlots::kNone) return;
  slots.leave(file.worker, file.slot);
  file.slot = WorkerSlots::kNone;
}

void Fold::Impl::bind_own(File& file) {
  auto series = std::make_shared<BoundSeries>(table, distributions, file.user);
  bind_series(*file.layout, file.bound, *series);
  file.series = std::move(series);
}

void Fold::Impl::bind_series(const Layout& layout, std::int32_t slot, BoundSeries& into) {
  into.indices.resize(layout.plans().size(), kNoSeries);
  // First those that are there, so that they do not make room for the others.
  for (std::size_t i = 0; i < into.indices.size(); ++i) bind_plan(layout, i, slot, into, false);
  for (std::size_t i = 0; i < into.indices.size(); ++i) {
    if (into.indices[i] != kNoSeries || bind_plan(layout, i, slot, into, true)) continue;
    ++stats.series_refused;
    ++into.refused;
  }
  into.histograms.resize(layout.histograms().size());
  for (const bool make : {false, true}) {
    for (std::size_t i = 0; i < into.histograms.size(); ++i) {
      if (bind_histogram(layout, i, slot, into, make) || !make) continue;
      ++stats.series_refused;
      ++into.refused;
    }
  }
}

// Whether it has all its series then; as bind_plan.
bool Fold::Impl::bind_histogram(const Layout& layout, std::size_t i, std::int32_t slot, BoundSeries& into,
                                bool make) {
  const HistogramBinding& histogram = layout.histograms()[i];
  BoundSeries::Histogram& bound = into.histograms[i];
  bound.parts.resize(histogram.parts.size(), kNoSeries);
  bool all = true;
  for (std::size_t part = 0; part < bound.parts.size(); ++part) {
    if (bound.parts[part] != kNoSeries) continue;
    reading.work += work::kBound / 2;
    const SharedBinding& binding = *histogram.parts[part].binding;
    bound.parts[part] = table.bind(binding, binding.apart() ? slot : WorkerSlots::kNone, into.owner, make);
    all = all && bound.parts[part] != kNoSeries;
  }
  if (!make) return all;
  const auto bind = [&](bool apart, std::uint32_t& index) {
    auto series = bound.parts;
    bool any = histogram.whole->used && histogram.whole->apart() == apart;
    for (std::size_t part = 0; part < series.size(); ++part) {
      if (histogram.parts[part].binding->apart() != apart) series[part] = kNoSeries;
      any = any || series[part] != kNoSeries;
    }
    if (!any) return;
    const auto plan = layout.sum(i);
    const bool has_sum = plan && layout.binding(*plan).apart() == apart;
    const std::uint32_t made = distributions.bind(histogram, apart ? slot : WorkerSlots::kNone, into.owner,
                                                  series, has_sum ? into.indices[*plan] : kNoSeries);
    if (index != DistributionTable::kNone) distributions.unbind(index);
    index = made;
    all = all && made != DistributionTable::kNone;
  };
  bind(false, bound.together);
  bind(true, bound.apart);
  return all;
}

// Whether it has a series then; one is made if there is none and `make`.
bool Fold::Impl::bind_plan(const Layout& layout, std::size_t i, std::int32_t slot, BoundSeries& into,
                           bool make) {
  reading.work += work::kBound / 2;
  const SharedBinding& binding = layout.binding(i);
  const std::uint32_t index =
      table.bind(binding, binding.apart() ? slot : WorkerSlots::kNone, into.owner, make);
  if (index == kNoSeries) return false;
  into.indices[i] = index;
  if (i >= layout.whole_counters() || binding.scale != 1.0) table.series[index].integral = false;
  return true;
}

// There is room, perhaps, for series that were refused: as long as there is.
void Fold::Impl::bind_refused(const File& file) {
  BoundSeries& series = *file.series;
  reading.work += series.indices.size();
  for (std::size_t i = 0; i < series.indices.size(); ++i) {
    if (series.indices[i] != kNoSeries) continue;
    if (!bind_plan(*file.layout, i, file.bound, series, true)) return;
    --series.refused;
  }
  for (std::size_t i = 0; i < series.histograms.size(); ++i) {
    if (!bind_histogram(*file.layout, i, file.bound, series, true)) return;
  }
  series.refused = 0;
}

// Takes the values of the newest reading into the ledger, and what they add into their series.
FileReading::Outcome Fold::Impl::take(File& file, ByteSource& bytes) {
  const auto outcome =
      reading.take(*file.layout, file.known_buckets(), file.mark, file.ledger, bytes, stats.unstable);
  if (outcome != Outcome::kTaken) return outcome;
  file.ledger.accept(*file.layout, file.series->indices, reading.values, reading.unsettled, table, stats);
  // Values that were there before anybody looked came who knows when.
  const bool in_interval = has_scanned && (std::exchange(file.was_read, true) || !file.was_kept);
  const auto add = [&](std::uint32_t histogram, std::uint32_t power, unsigned bits,
                       const std::uint64_t* added) {
    const BoundSeries::Histogram& bound = file.series->histograms[histogram];
    for (const std::uint32_t index : {bound.together, bound.apart}) {
      if (index != DistributionTable::kNone && !distributions.add(index, power, bits, added, in_interval))
        ++stats.series_refused;
    }
  };
  if (file.buckets)
    stats.unstable += file.buckets->accept(reading.older(), reading.newer(), stats.resets, add);
  return outcome;
}

// Counts the file, and tells what is wrong with it.
const Error* Fold::Impl::end_read(const File& file, const std::string& path) {
  ++stats.files;
  if (file.owner == OwnerState::kDead) ++stats.dead;
  if (!file.error) return nullptr;
  ++stats.damaged;
  told = *file.error;
  if (file.error->kind != ErrorKind::kLimit) told.path = path;
  return &told;
}

Fold::Fold(Rules rules, FoldLimits limits, OwnerOf owner_of)
    : impl_(std::make_unique<Impl>(std::move(rules), limits, std::move(owner_of))) {}
Fold::Fold(Fold&&) noexcept = default;
Fold& Fold::operator=(Fold&&) noexcept = default;
Fold::~Fold() = default;

void Fold::begin(steady_clock::time_point now) {
  impl_->now = now;
  FoldStats& stats = impl_->stats;
  stats.files = stats.damaged = stats.dead = stats.series = 0;
  impl_->table.begin(now);
  impl_->distributions.begin(now);
  impl_->departed.expire(now);
  impl_->layouts.sweep([&](const Layout* layout) {
    auto& all = impl_->shared_series;
    all.erase(all.lower_bound({layout, 0}), all.upper_bound({layout, std::numeric_limits<uid_t>::max()}));
  });
}

const Error* Fold::read(FileKey key, const std::string& path, ByteSource& bytes) {
  const auto& file = impl_->file(key);
  impl_->read(key, path, bytes, false);
  return impl_->end_read(file, path);
}

const Error* Fold::keep(FileKey key, const std::string& path) {
  auto& file = impl_->file(key);
  file.settled_dead = file.gives_gauges = false;
  file.was_kept = file.was_kept || !file.layout;
  const bool good = !file.error || file.error->kind == ErrorKind::kDamaged;
  if (file.layout && good) {
    impl_->add_gauges(file);
    if (file.gives_gauges)
      impl_->reading.work += work::kValue * (file.layout->plans().size() - file.layout->counters());
  }
  return file.layout || file.error ? impl_->end_read(file, path) : nullptr;
}

std::uint64_t Fold::work() const { return impl_->reading.work + impl_->layouts.work; }

std::optional<std::uint64_t> Fold::usual_work(FileKey key) const {
  if (key >= impl_->files.size() || !impl_->files[key].layout) return std::nullopt;
  const Layout& layout = *impl_->files[key].layout;
  const FileBuckets& buckets = impl_->files[key].known_buckets();
  std::uint64_t reading = buckets.ranges().empty() ? work::of_bytes(layout.wanted()) : 0;
  for (const FileRange& range : buckets.ranges())
    reading += work::of_bytes(range.end - range.begin) + (range.begin > 0 ? work::kFile / 4 : 0);
  return work::kFile + 2 * reading + 2 * work::kValue * layout.plans().size() + 2 * buckets.counters();
}

void Fold::end_life(FileKey key, const std::string& path, ByteSource* bytes, bool replaced) {
  impl_->file(key);
  if (bytes != nullptr) impl_->read(key, path, *bytes, true);
  impl_->end(key, path, bytes != nullptr ? bytes->id() : FileId{}, replaced);
}

void Fold::finish() {
  impl_->reading.end_scan();
  impl_->reserved.clear(impl_->slots);
  impl_->ended_series.clear();
  FoldStats& stats = impl_->stats;
  impl_->distributions.finish();
  impl_->has_scanned = true;
  stats.series = impl_->table.finish();
  stats.series_reused = impl_->table.reused;
  stats.generations = impl_->table.generations;
  stats.memory = impl_->memory.total();
  stats.series_memory = impl_->table.own_memory.total();
}

std::span<const Series> Fold::series() const { return impl_->table.series; }
std::span<const std::unique_ptr<Distribution>> Fold::distributions() const {
  return impl_->distributions.all();
}
const FoldStats& Fold::stats() const { return impl_->stats; }

std::optional<steady_clock::time_point> Fold::dead_since(FileKey key) const {
  if (key >= impl_->files.size() || !impl_->files[key].settled_dead) return std::nullopt;
  return impl_->files[key].dead_since;
}

std::optional<FileOwner> Fold::owner(FileKey key) const {
  if (key >= impl_->files.size() || !impl_->files[key].layout) return std::nullopt;
  const Impl::File& file = impl_->files[key];
  return FileOwner{.owner = file.layout->owner(file.mark), .state = file.owner};
}

std::vector<std::string> Fold::take_notices() { return std::exchange(impl_->table.notices, {}); }

}  // namespace mmstats

#include "collect/fold.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <unordered_map>
#include <utility>

#include "collect/accumulator.h"
#include "collect/layout.h"
#include "collect/layout_cache.h"
#include "collect/series_table.h"
#include "collect/worker_slots.h"
#include "format/struct_codes.h"
#include "mmstats/parse.h"

namespace mmstats {
namespace {

constexpr std::int32_t kNoSlot = -1;
constexpr std::uint64_t kFirstRead = 16384;  // bytes of a file that is not known yet
constexpr int kMostReadings = 8;             // readings of a file whose values do not settle
// Bounds on what foreign files can make us keep, all of them together: values (9 bytes each). Thousands of
// applications are far below them.
constexpr std::size_t kMaxValues = 16'000'000;
constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 30U;  // offsets in a layout have 32 bits
constexpr std::size_t kMaxLostBytes = std::size_t{64} << 10U;     // labels, of one file

// A whole-number counter's value. A negative one counts nothing yet.
std::uint64_t counter_value(const FieldPlan& plan, std::uint64_t raw) {
  if (plan.stores_counter()) return raw;
  const auto bytes = static_cast<unsigned>(64 - std::countl_zero(plan.mask)) / 8;
  if (plan.swapped) raw = __builtin_bswap64(raw) >> (64U - 8U * bytes);
  const bool is_signed = struct_code(plan.code).kind == CodeClass::kSigned;
  const bool negative = is_signed && ((raw >> (8U * bytes - 1)) & 1U) != 0;
  return negative ? 0 : raw;
}

}  // namespace

struct Fold::Impl {
  // Everything kept of one file between scans: one life.
  struct File {
    std::shared_ptr<const Layout> layout;  // none: no life yet
    LifeMark mark;
    std::vector<std::uint64_t> last;  // by plan: the raw bits that were accepted last
    std::vector<std::uint8_t> good;   // by plan: `last` was read, not assumed
    bool all_good = false;
    const std::vector<std::uint32_t>* series =
        nullptr;                            // by plan; shared by the layout's files, or own_series
    std::vector<std::uint32_t> own_series;  // if some series are kept apart
    // Counters that were in the file earlier in this life and are not now, should they come back.
    std::unordered_map<std::string, std::uint64_t> lost;
    std::size_t lost_bytes = 0;  // of labels
    OwnerState owner = OwnerState::kUnknown;
    bool owner_asked = false;
    bool was_alive = false;
    bool owner_elsewhere = false;  // was found dead and wrote again: in another pid namespace
    bool settled_dead = false;
    std::int32_t slot = kNoSlot;
    std::uint64_t slot_key = 0;
    std::optional<Error> error;
  };

  Rules rules;
  FoldLimits limits;
  OwnerOf owner_of;
  std::deque<File> files;  // a deque, because files point into themselves
  LayoutCache layouts;
  std::unordered_map<const Layout*, std::vector<std::uint32_t>> shared_series;
  WorkerSlots slots;
  SeriesTable table;
  std::size_t values = 0;
  FoldStats stats;

  // Reused buffers.
  std::vector<std::byte> first_bytes;
  std::vector<std::byte> second_bytes;
  std::vector<std::uint64_t> first;
  std::vector<std::uint64_t> second;
  std::vector<std::uint32_t> open_plans;
  ParsedFile content;

  Impl(Rules rules_, FoldLimits limits_, OwnerOf owner_of_)
      : rules(std::move(rules_)), limits(limits_), owner_of(std::move(owner_of_)) {
    table.max_series = limits.max_series;
    limits.max_file_size = std::min(limits.max_file_size, kMaxFileBytes);
  }

  enum class Outcome : std::uint8_t { kTaken, kUnchanged, kReload };

  File& file(FileKey key) {
    if (key >= files.size()) files.resize(key + 1);
    return files[key];
  }

  static void reserve_bytes(std::vector<std::byte>& buffer, std::size_t size) {
    if (buffer.size() < size + kLoadSlack) buffer.resize(size + kLoadSlack);
  }

  void read(FileKey key, const std::string& path, ByteSource& bytes, bool last_time);
  bool read_again(const File& file, ByteSource& bytes);
  bool load(File& file, const std::string& path, ByteSource& bytes);
  bool read_whole(File& file, const std::string& path, ByteSource& bytes, std::size_t& got);
  void adopt(File& file, std::shared_ptr<const Layout> layout);
  Outcome take(File& file, ByteSource& bytes);
  bool settle(const File& file, ByteSource& bytes);
  void apply(File& file);
  void add_gauges(const File& file);
  void end(File& file);
  void take_slot(File& file);
  void leave_slot(File& file);
  void bind_series(const Layout& layout, std::int32_t slot, std::vector<std::uint32_t>& into);
  void ask_owner(FileKey key, ByteSource& bytes);
};

// Reads the file into first_bytes; true if it is the same life in the same shape.
bool Fold::Impl::read_again(const File& file, ByteSource& bytes) {
  const std::size_t wanted = file.layout->wanted();
  reserve_bytes(first_bytes, wanted);
  const ssize_t got = bytes.read_at(0, {first_bytes.data(), wanted});
  return got >= 0 && file.layout->matches(first_bytes.data(), static_cast<std::size_t>(got)) &&
         file.layout->agrees(file.mark, first_bytes.data());
}

void Fold::Impl::read(FileKey key, const std::string& path, ByteSource& bytes, bool last_time) {
  File& file = files[key];
  file.settled_dead = false;
  auto outcome = file.layout && read_again(file, bytes) ? take(file, bytes) : Outcome::kReload;
  // A file that changes its shape in every reading has one more chance at the next scan.
  if (outcome == Outcome::kReload) {
    outcome = load(file, path, bytes) ? take(file, bytes) : Outcome::kReload;
    if (outcome == Outcome::kReload) return;
  }
  const bool told = file.error && file.error->kind == ErrorKind::kDamaged;
  if (!file.layout->damage()) {
    file.error.reset();
  } else if (!told) {
    const Damage& damage = *file.layout->damage();
    file.error = Error{.kind = ErrorKind::kDamaged,
                       .path = path,
                       .offset = damage.offset,
                       .sys_errno = 0,
                       .message = damage.message};
  }
  if (last_time) return;
  if (outcome == Outcome::kUnchanged || !file.owner_asked) {
    ask_owner(key, bytes);
  } else if (file.owner == OwnerState::kDead) {
    // The dead do not write. Whoever does has a pid that means another process here.
    file.owner = OwnerState::kUnknown;
    file.owner_elsewhere = true;
    take_slot(file);
  }
  if (file.owner != OwnerState::kDead) add_gauges(file);
}

// Asks about the owner of a file that is new or stands still: one that changes has an owner who
// changes it.
void Fold::Impl::ask_owner(FileKey key, ByteSource& bytes) {
  File& file = files[key];
  if (file.owner == OwnerState::kDead) {
    file.settled_dead = true;
    return;
  }
  if (file.owner_elsewhere) return;
  const std::uint64_t pid = file.layout->pid(file.mark);
  file.owner_asked = true;
  if (pid == 0) return;
  file.owner = owner_of({pid, file.layout->created(file.mark), key, file.was_alive});
  file.was_alive = file.was_alive || file.owner == OwnerState::kAlive;
  if (file.owner != OwnerState::kDead) return;
  // What it wrote between our reading and its death.
  if (read_again(file, bytes)) take(file, bytes);
  leave_slot(file);
}

// Reads as much of the file as its list of fields takes into first_bytes, and parses it.
bool Fold::Impl::read_whole(File& file, const std::string& path, ByteSource& bytes, std::size_t& got) {
  const auto refuse = [&](ErrorKind kind, std::string message, int sys_errno = 0) {
    file.error =
        Error{.kind = kind, .path = path, .offset = 0, .sys_errno = sys_errno, .message = std::move(message)};
    return false;
  };
  const std::int64_t size = bytes.size();
  const auto refuse_reading = [&] {
    const bool replaced = errno == ESTALE || errno == ENOENT;
    return refuse(replaced ? ErrorKind::kChanged : ErrorKind::kIo, "cannot be read", errno);
  };
  if (size < 0) return refuse_reading();
  if (static_cast<std::uint64_t>(size) > limits.max_file_size) {
    return refuse(ErrorKind::kTooLarge, "has " + std::to_string(size) + " bytes, more than the limit of " +
                                            std::to_string(limits.max_file_size) + "");
  }
  for (std::uint64_t wanted = kFirstRead;; wanted *= 4) {
    wanted = std::min(wanted, limits.max_file_size);
    reserve_bytes(first_bytes, wanted);
    const ssize_t result = bytes.read_at(0, {first_bytes.data(), wanted});
    if (result < 0) return refuse_reading();
    got = static_cast<std::size_t>(result);
    if (got == 0 || first_bytes[0] == std::byte{0}) {
      return refuse(ErrorKind::kUnfinished, "is empty or holds zeros: its writer has not finished it");
    }
    parse({first_bytes.data(), got}, content);
    const bool more = content.cut || (!content.terminated && !content.damage);
    if (!more || got < wanted || wanted == limits.max_file_size) break;
  }
  if (first_bytes[0] != kVersion1) {
    return refuse(ErrorKind::kNotMmstats, "is no mmstats file of version 1: its first byte is " +
                                              std::to_string(std::to_integer<int>(first_bytes[0])));
  }
  return true;
}

// A file that is new, or looks other than it did: finds its shape, and whether its life goes on.
bool Fold::Impl::load(File& file, const std::string& path, ByteSource& bytes) {
  std::size_t got = 0;
  file.error.reset();
  if (!read_whole(file, path, bytes, got)) return false;
  auto layout = layouts.find(content, {first_bytes.data(), got}, rules);
  const std::size_t had = file.layout ? file.layout->plans().size() : 0;
  if (!layout || values - had + layout->plans().size() > kMaxValues) {
    file.error = Error{.kind = ErrorKind::kLimit,
                       .path = path,
                       .offset = 0,
                       .sys_errno = 0,
                       .message = "is left out: all files together have more fields than can be kept"};
    return false;
  }
  const LifeMark mark = layout->mark(first_bytes.data());
  // A file that is being built, or was cut, may not say who wrote it: only a contradiction is a new life.
  const auto contradicts = [](std::uint64_t a, std::uint64_t b) { return a != 0 && b != 0 && a != b; };
  if (file.layout && (contradicts(mark.pid, file.mark.pid) || contradicts(mark.created, file.mark.created))) {
    ++stats.truncated_lives;
    end(file);
  }
  if (!file.layout) ++stats.lives;
  if (mark.pid != 0) file.mark.pid = mark.pid;
  if (mark.created != 0) file.mark.created = mark.created;
  adopt(file, std::move(layout));
  return true;
}

// Gives the file its new shape; what is known of its values is kept by label.
void Fold::Impl::adopt(File& file, std::shared_ptr<const Layout> layout) {
  if (file.layout == layout) return;
  if (file.layout) {
    for (std::size_t i = 0; i < file.layout->counters(); ++i) {
      const std::string& label = file.layout->label(i);
      if (file.good[i] == 0 || file.lost_bytes + label.size() > kMaxLostBytes) continue;
      if (file.lost.insert_or_assign(label, file.last[i]).second) file.lost_bytes += label.size();
    }
    values -= file.layout->plans().size();
  }
  const std::size_t count = layout->plans().size();
  values += count;
  file.last.assign(count, 0);
  file.good.assign(count, 0);
  file.all_good = count == 0;
  if (!file.lost.empty()) {
    for (std::size_t i = 0; i < layout->counters(); ++i) {
      const auto lost = file.lost.find(layout->label(i));
      if (lost == file.lost.end()) continue;
      file.last[i] = lost->second;
      file.good[i] = 1;
      file.lost_bytes -= lost->first.size();
      file.lost.erase(lost);
    }
  }
  leave_slot(file);
  file.layout = std::move(layout);
  if (!file.layout->apart()) {
    const auto [shared, fresh] = shared_series.try_emplace(file.layout.get());
    if (fresh) bind_series(*file.layout, kNoSlot, shared->second);
    file.series = &shared->second;
  } else {
    take_slot(file);
    if (file.owner == OwnerState::kDead) leave_slot(file);
  }
}

void Fold::Impl::end(File& file) {
  leave_slot(file);
  if (file.layout) values -= file.layout->plans().size();
  file = File{};
}

void Fold::Impl::take_slot(File& file) {
  if (!file.layout->apart() || file.slot != kNoSlot) return;
  const std::uint64_t pid = file.layout->pid(file.mark);
  // A file that names no process is one of its own.
  file.slot_key = pid != 0 ? pid : (std::uint64_t{1} << 63U) | reinterpret_cast<std::uintptr_t>(&file);
  file.slot = slots.take(file.slot_key);
  bind_series(*file.layout, file.slot, file.own_series);
  file.series = &file.own_series;
}

void Fold::Impl::leave_slot(File& file) {
  if (file.slot == kNoSlot) return;
  slots.leave(file.slot_key);
  file.slot = kNoSlot;
}

void Fold::Impl::bind_series(const Layout& layout, std::int32_t slot, std::vector<std::uint32_t>& into) {
  into.clear();
  for (const FieldPlan& plan : layout.plans()) {
    const Binding& binding = layout.binding(plan);
    const std::uint32_t index =
        table.find_or_add(binding, binding.aggregate == Aggregate::kNone ? slot : kNoSlot);
    into.push_back(index);
    if (index == kNoSeries) {
      ++stats.series_refused;
      continue;
    }
    const auto position = static_cast<std::size_t>(&plan - layout.plans().data());
    if (position >= layout.whole_counters() || binding.scale != 1.0) table.series[index].integral = false;
  }
}

// Takes the values that first_bytes hold, after a second reading of what changed.
Fold::Impl::Outcome Fold::Impl::take(File& file, ByteSource& bytes) {
  const Layout& layout = *file.layout;
  const auto plans = layout.plans();
  first.resize(plans.size());
  std::uint64_t changed = 0;
  unsigned bad_flags = 0;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    first[i] = plans[i].load(first_bytes.data());
    changed |= first[i] ^ file.last[i];
    bad_flags |= std::to_integer<unsigned>(first_bytes[plans[i].flag_at]) & plans[i].bad_flags;
  }
  if (bad_flags != 0) return Outcome::kReload;
  if (changed == 0 && file.all_good) return Outcome::kUnchanged;

  reserve_bytes(second_bytes, layout.wanted());
  open_plans.clear();
  const std::size_t hot = layout.hot_end() - layout.hot_begin();
  const ssize_t got = bytes.read_at(layout.hot_begin(), {second_bytes.data() + layout.hot_begin(), hot});
  if (got != static_cast<ssize_t>(hot)) return Outcome::kReload;
  second.resize(plans.size());
  const bool same = std::memcmp(first_bytes.data() + layout.hot_begin(),
                                second_bytes.data() + layout.hot_begin(), hot) == 0;
  if (same) {
    std::copy(first.begin(), first.end(), second.begin());
  } else {
    for (std::size_t i = 0; i < plans.size(); ++i) second[i] = plans[i].load(second_bytes.data());
  }
  bool fell = false;
  for (std::size_t i = 0; i < layout.plain_counters(); ++i) fell |= first[i] < file.last[i];
  for (std::size_t i = layout.plain_counters(); i < layout.whole_counters(); ++i) {
    fell |= counter_value(plans[i], first[i]) < counter_value(plans[i], file.last[i]);
  }
  for (std::size_t i = layout.whole_counters(); i < layout.counters(); ++i) {
    fell |= !(plans[i].number(first[i]) >= plans[i].number(file.last[i]));
  }
  if ((!same || fell) && !settle(file, bytes)) return Outcome::kReload;
  apply(file);
  return Outcome::kTaken;
}

// Reads what did not stand still until it does, or is proved otherwise; `first` then holds what
// to accept. False: the file is not what it was.
bool Fold::Impl::settle(const File& file, ByteSource& bytes) {
  const Layout& layout = *file.layout;
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
      const std::uint64_t value = counter_value(plan, older);
      return counter_value(plan, file.last[i]) <= value && value <= counter_value(plan, newer)
                 ? Verdict::kAccept
                 : Verdict::kLookAgain;
    }
    const auto number = [&](std::uint64_t raw) { return plan.number(raw); };
    return number(file.last[i]) <= number(older) && number(older) <= number(newer) ? Verdict::kAccept
                                                                                   : Verdict::kLookAgain;
  };
  // A counter below its last value began again, if it stays there, never falling, in three readings.
  const auto not_above = [&](std::size_t i, std::uint64_t older, std::uint64_t newer) {
    const FieldPlan& plan = plans[i];
    if (i < layout.whole_counters()) return counter_value(plan, older) <= counter_value(plan, newer);
    return plan.number(older) <= plan.number(newer);
  };

  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (judge(i, first[i], second[i]) == Verdict::kLookAgain)
      open_plans.push_back(static_cast<std::uint32_t>(i));
  }
  for (int readings = 2; readings < kMostReadings && !open_plans.empty(); ++readings) {
    if (!read_again(file, bytes)) return false;
    std::erase_if(open_plans, [&](std::uint32_t i) {
      const std::uint64_t newest = plans[i].load(first_bytes.data());
      if (judge(i, second[i], newest) == Verdict::kAccept) {
        first[i] = second[i];
        return true;
      }
      const bool whole = i < layout.counters();
      if (whole && not_above(i, first[i], second[i]) && not_above(i, second[i], newest) &&
          !not_above(i, file.last[i], newest)) {
        first[i] = newest;
        return true;
      }
      first[i] = second[i];
      second[i] = newest;
      return false;
    });
  }
  for (const std::uint32_t i : open_plans) {
    ++stats.unstable;
    first[i] = file.last[i];
  }
  return true;
}

// Accepts the values in `first`.
void Fold::Impl::apply(File& file) {
  const Layout& layout = *file.layout;
  const auto plans = layout.plans();
  const auto& targets = *file.series;
  for (std::size_t i = 0; i < layout.counters(); ++i) {
    const std::uint32_t target = targets[i];
    if (first[i] == file.last[i] || target == kNoSeries) continue;
    const FieldPlan& plan = plans[i];
    if (i < layout.whole_counters()) {
      const std::uint64_t before = counter_value(plan, file.last[i]);
      const std::uint64_t now = counter_value(plan, first[i]);
      if (now < before) ++stats.resets;
      const std::uint64_t added = now < before ? now : now - before;
      if (plan.scale == 1.0) {
        table.series[target].total += added;
      } else {
        table.fractions[target] += static_cast<double>(added) * plan.scale;
      }
    } else {
      const double before = plan.number(file.last[i]);
      const double now = plan.number(first[i]);
      if (now < before) ++stats.resets;
      const double added = now < before ? now : now - before;
      if (added > 0 && std::isfinite(added)) table.fractions[target] += added * plan.scale;
    }
  }
  std::copy(first.begin(), first.end(), file.last.begin());
  // What did not settle is as good as it was.
  std::erase_if(open_plans, [&](std::uint32_t i) { return file.good[i] != 0; });
  std::fill(file.good.begin(), file.good.end(), 1);
  for (const std::uint32_t i : open_plans) file.good[i] = 0;
  file.all_good = open_plans.empty();
}

void Fold::Impl::add_gauges(const File& file) {
  const Layout& layout = *file.layout;
  const auto plans = layout.plans();
  const auto& targets = *file.series;
  for (std::size_t i = layout.counters(); i < plans.size(); ++i) {
    if (file.good[i] == 0 || targets[i] == kNoSeries) continue;
    const FieldPlan& plan = plans[i];
    const double value = plan.number(file.last[i]) * plan.scale;
    accumulate(table.accumulators[targets[i]], table.aggregates[targets[i]], value);
  }
}

Fold::Fold(Rules rules, FoldLimits limits, OwnerOf owner_of)
    : impl_(std::make_unique<Impl>(std::move(rules), limits, std::move(owner_of))) {}
Fold::Fold(Fold&&) noexcept = default;
Fold& Fold::operator=(Fold&&) noexcept = default;
Fold::~Fold() = default;

void Fold::begin() {
  FoldStats& stats = impl_->stats;
  stats.files = stats.damaged = stats.dead = stats.series = 0;
  impl_->table.begin();
  impl_->layouts.sweep([&](const Layout* layout) { impl_->shared_series.erase(layout); });
}

const Error* Fold::read(FileKey key, const std::string& path, ByteSource& bytes) {
  auto& file = impl_->file(key);
  impl_->read(key, path, bytes, false);
  ++impl_->stats.files;
  if (file.owner == OwnerState::kDead) ++impl_->stats.dead;
  if (!file.error) return nullptr;
  ++impl_->stats.damaged;
  return &*file.error;
}

void Fold::end_life(FileKey key, ByteSource* bytes) {
  auto& file = impl_->file(key);
  if (bytes != nullptr && file.layout) impl_->read(key, {}, *bytes, true);
  impl_->end(file);
}

void Fold::finish() { impl_->stats.series = impl_->table.finish(); }

std::span<const Series> Fold::series() const { return impl_->table.series; }
const FoldStats& Fold::stats() const { return impl_->stats; }
bool Fold::settled_dead(FileKey file) const {
  return file < impl_->files.size() && impl_->files[file].settled_dead;
}

}  // namespace mmstats

#include "collect/fold.h"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <unordered_map>
#include <utility>

#include "collect/departed.h"
#include "collect/file_reading.h"
#include "collect/layout.h"
#include "collect/layout_cache.h"
#include "collect/ledger.h"
#include "collect/series_table.h"
#include "collect/worker_slots.h"
#include "mmstats/parse.h"

namespace mmstats {
namespace {

constexpr std::uint64_t kFirstRead = 16384;  // bytes of a file that is not known yet
// Bounds on what foreign files can make us keep, all of them together: values (9 bytes each). Thousands of
// applications are far below them.
constexpr std::size_t kMaxValues = 16'000'000;
constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 30U;  // offsets in a layout have 32 bits
constexpr unsigned kMaxDoublings =
    7;  // of the time for which one is believed who writes though he is dead: an hour

using std::chrono::steady_clock;

}  // namespace

struct Fold::Impl {
  // Everything kept of one file between scans.
  struct File : Life {
    const std::vector<std::uint32_t>* series =
        nullptr;                            // by plan; shared by the layout's files, or own_series
    std::vector<std::uint32_t> own_series;  // if some series are kept apart
    bool owner_asked = false;
    // Found dead at each scan since.
    std::optional<steady_clock::time_point> dead_since;
    bool settled_dead = false;  // at this scan and an earlier one, and nothing changed between
    // It wrote after it was found dead: until then its writes are believed, not the system.
    steady_clock::time_point believed_until{};
    unsigned returns = 0;  // how often it did
    std::optional<Error> error;
  };

  Rules rules;
  FoldLimits limits;
  OwnerOf owner_of;
  steady_clock::time_point now{};
  std::deque<File> files;  // a deque, because files point into themselves
  DepartedLives departed;
  struct Reserved {
    std::string path;
    WorkerFile worker;
    std::int32_t slot;
  };
  std::vector<Reserved> reserved;  // slots of lives that departed in this scan and may go on in it
  LayoutCache layouts;
  std::unordered_map<const Layout*, std::vector<std::uint32_t>> shared_series;
  WorkerSlots slots;
  SeriesTable table;
  std::size_t values = 0;
  FoldStats stats;

  FileReading reading;
  ParsedFile content;

  Impl(Rules rules_, FoldLimits limits_, OwnerOf owner_of_)
      : rules(std::move(rules_)), limits(limits_), owner_of(std::move(owner_of_)) {
    table.max_series = limits.max_series;
    limits.max_file_size = std::min(limits.max_file_size, kMaxFileBytes);
  }

  using Outcome = FileReading::Outcome;

  File& file(FileKey key) {
    if (key >= files.size()) files.resize(key + 1);
    return files[key];
  }

  void read(FileKey key, const std::string& path, ByteSource& bytes, bool last_time);
  bool load(File& file, const std::string& path, ByteSource& bytes);
  bool read_whole(File& file, const std::string& path, ByteSource& bytes, std::size_t& got);
  std::shared_ptr<const Layout> find_layout(std::size_t got);
  bool fits(const File& file, const Layout& layout);
  void adopt(File& file, std::shared_ptr<const Layout> layout);
  Outcome take(File& file, ByteSource& bytes);
  void end(File& file, const std::string& path, const FileId& id, bool replaced);
  void go_on(File& file, Life&& life);
  void free_reserved(const std::string& path);
  void take_slot(File& file);
  void leave_slot(File& file);
  void bind_own(File& file);
  void bind_series(const Layout& layout, std::int32_t slot, std::vector<std::uint32_t>& into);
  void ask_owner(FileKey key, ByteSource& bytes, bool changed);
};

void Fold::Impl::read(FileKey key, const std::string& path, ByteSource& bytes, bool last_time) {
  File& file = files[key];
  file.settled_dead = false;
  auto outcome =
      file.layout && reading.read(*file.layout, file.mark, bytes) ? take(file, bytes) : Outcome::kReload;
  bool changed = outcome == Outcome::kTaken && reading.changed;
  // A file that changes its shape in every reading has one more chance at the next scan.
  if (outcome == Outcome::kReload) {
    outcome = load(file, path, bytes) ? take(file, bytes) : Outcome::kReload;
    if (outcome == Outcome::kReload) return;
    changed = true;
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
  ask_owner(key, bytes, changed);
  if (file.owner != OwnerState::kDead) file.ledger.add_gauges(*file.layout, *file.series, table);
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
    if (reading.read(*file.layout, file.mark, bytes)) take(file, bytes);
    leave_slot(file);
  }
}

// Reads as much of the file as its list of fields takes into reading.bytes, and parses it.
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
    reading.reserve(wanted);
    const ssize_t result = bytes.read_at(0, {reading.bytes.data(), wanted});
    if (result < 0) return refuse_reading();
    got = static_cast<std::size_t>(result);
    if (got == 0 || reading.bytes[0] == std::byte{0}) {
      return refuse(ErrorKind::kUnfinished, "is empty or holds zeros: its writer has not finished it");
    }
    parse({reading.bytes.data(), got}, content);
    const bool more = content.cut || (!content.terminated && !content.damage);
    if (!more || got < wanted || wanted == limits.max_file_size) break;
  }
  if (reading.bytes[0] != kVersion1) {
    return refuse(ErrorKind::kNotMmstats, "is no mmstats file of version 1: its first byte is " +
                                              std::to_string(std::to_integer<int>(reading.bytes[0])));
  }
  return true;
}

// A file that is new, or looks other than it did: finds its shape, and whether its life goes on.
bool Fold::Impl::load(File& file, const std::string& path, ByteSource& bytes) {
  std::size_t got = 0;
  file.error.reset();
  if (!read_whole(file, path, bytes, got)) return false;
  auto layout = find_layout(got);
  if (!layout || !fits(file, *layout)) {
    file.error = Error{.kind = ErrorKind::kLimit,
                       .path = path,
                       .offset = 0,
                       .sys_errno = 0,
                       .message = "is left out: all files together have more fields than can be kept"};
    return false;
  }
  const LifeMark mark = layout->mark(reading.bytes.data());
  // A file that is being built, or was cut, may not say who wrote it: only a contradiction is a new life.
  const auto contradicts = [](std::uint64_t a, std::uint64_t b) { return a != 0 && b != 0 && a != b; };
  if (file.layout && (contradicts(mark.pid, file.mark.pid) || contradicts(mark.created, file.mark.created))) {
    ++stats.truncated_lives;
    end(file, path, bytes.id(), false);
  }
  if (!file.layout) {
    if (auto life = departed.take(layout->owner(mark), path, bytes.id())) {
      go_on(file, std::move(*life));
    } else {
      ++stats.lives;
      free_reserved(path);
    }
  }
  if (mark.pid != 0) file.mark.pid = mark.pid;
  if (mark.created != 0) file.mark.created = mark.created;
  adopt(file, std::move(layout));
  return true;
}

// The shape of the file that was read last; null if there is no room for it.
std::shared_ptr<const Layout> Fold::Impl::find_layout(std::size_t got) {
  const std::span<const std::byte> bytes(reading.bytes.data(), got);
  auto layout = layouts.find(content, bytes, rules);
  if (layout || departed.empty()) return layout;
  // What is here goes before what may come back.
  departed.clear();
  layouts.sweep([&](const Layout* unused) { shared_series.erase(unused); }, true);
  return layouts.find(content, bytes, rules);
}

// Whether there is room for the file's values in its new shape.
bool Fold::Impl::fits(const File& file, const Layout& layout) {
  const auto fit = [&] { return values - file.values() + layout.plans().size() <= kMaxValues; };
  if (fit()) return true;
  for (File& other : files) {
    values -= other.values();
    other.ledger.forget_lost();
    values += other.values();
  }
  return fit();
}

// Gives the file its new shape.
void Fold::Impl::adopt(File& file, std::shared_ptr<const Layout> layout) {
  if (file.layout == layout && file.series != nullptr) return;
  values -= file.values();
  if (file.layout != layout) file.ledger.reshape(file.layout.get(), *layout);
  file.layout = std::move(layout);
  values += file.values();
  if (values > kMaxValues) {
    values -= file.values();
    file.ledger.forget_lost();
    values += file.values();
  }
  if (!file.layout->apart()) {
    leave_slot(file);
    const auto [shared, fresh] = shared_series.try_emplace(file.layout.get());
    if (fresh) bind_series(*file.layout, WorkerSlots::kNone, shared->second);
    file.series = &shared->second;
    return;
  }
  if (file.slot == WorkerSlots::kNone && file.owner != OwnerState::kDead) {
    take_slot(file);
  } else {
    bind_own(file);
  }
}

// The life in `file` is over, or goes on elsewhere.
void Fold::Impl::end(File& file, const std::string& path, const FileId& id, bool replaced) {
  if (file.layout) {
    values -= file.values();
    if (file.slot != WorkerSlots::kNone && replaced) {
      reserved.push_back({path, file.worker, file.slot});
    } else {
      leave_slot(file);
    }
    departed.add(std::move(file), path, id, now);
  }
  file = File{};
}

// `life`, which departed, goes on in `file`.
void Fold::Impl::go_on(File& file, Life&& life) {
  static_cast<Life&>(file) = std::move(life);
  file.owner_memory.forget_writers(now);
  values += file.values();
  if (file.slot == WorkerSlots::kNone) return;
  const auto mine = std::find_if(reserved.begin(), reserved.end(), [&](const Reserved& one) {
    return one.slot == file.slot && one.worker == file.worker;
  });
  if (mine != reserved.end()) {
    reserved.erase(mine);
  } else {
    file.slot = WorkerSlots::kNone;  // it was given back
  }
}

// The file that has this name now is of another life: its predecessor's slot is free.
void Fold::Impl::free_reserved(const std::string& path) {
  std::erase_if(reserved, [&](const Reserved& one) {
    if (one.path != path) return false;
    slots.leave(one.worker, one.slot);
    return true;
  });
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
  bind_series(*file.layout, file.bound, file.own_series);
  file.series = &file.own_series;
}

void Fold::Impl::bind_series(const Layout& layout, std::int32_t slot, std::vector<std::uint32_t>& into) {
  into.clear();
  for (const FieldPlan& plan : layout.plans()) {
    const Binding& binding = layout.binding(plan);
    const std::uint32_t index =
        table.find_or_add(binding, binding.aggregate == Aggregate::kNone ? slot : WorkerSlots::kNone);
    into.push_back(index);
    if (index == kNoSeries) {
      ++stats.series_refused;
      continue;
    }
    const auto position = static_cast<std::size_t>(&plan - layout.plans().data());
    if (position >= layout.whole_counters() || binding.scale != 1.0) table.series[index].integral = false;
  }
}

// Takes the values of the newest reading into the ledger, and what they add into their series.
FileReading::Outcome Fold::Impl::take(File& file, ByteSource& bytes) {
  const auto outcome = reading.take(*file.layout, file.mark, file.ledger, bytes, stats.unstable);
  if (outcome == Outcome::kTaken) {
    file.ledger.accept(*file.layout, *file.series, reading.values, reading.unsettled, table, stats);
  }
  return outcome;
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
  impl_->table.begin();
  impl_->departed.expire(now);
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

void Fold::end_life(FileKey key, const std::string& path, ByteSource* bytes, bool replaced) {
  auto& file = impl_->file(key);
  if (bytes != nullptr) impl_->read(key, path, *bytes, true);
  impl_->end(file, path, bytes != nullptr ? bytes->id() : FileId{}, replaced);
}

void Fold::finish() {
  for (const auto& one : impl_->reserved) impl_->slots.leave(one.worker, one.slot);
  impl_->reserved.clear();
  impl_->stats.series = impl_->table.finish();
}

std::span<const Series> Fold::series() const { return impl_->table.series; }
const FoldStats& Fold::stats() const { return impl_->stats; }

std::optional<steady_clock::time_point> Fold::dead_since(FileKey key) const {
  if (key >= impl_->files.size() || !impl_->files[key].settled_dead) return std::nullopt;
  return impl_->files[key].dead_since;
}

std::vector<std::string> Fold::take_notices() { return std::exchange(impl_->table.notices, {}); }

}  // namespace mmstats

#include "collect/fold.h"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <unordered_map>
#include <utility>

#include "collect/file_reading.h"
#include "collect/layout.h"
#include "collect/layout_cache.h"
#include "collect/ledger.h"
#include "collect/series_table.h"
#include "collect/worker_slots.h"
#include "mmstats/parse.h"

namespace mmstats {
namespace {

constexpr std::int32_t kNoSlot = -1;
constexpr std::uint64_t kFirstRead = 16384;  // bytes of a file that is not known yet
// Bounds on what foreign files can make us keep, all of them together: values (9 bytes each). Thousands of
// applications are far below them.
constexpr std::size_t kMaxValues = 16'000'000;
constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 30U;  // offsets in a layout have 32 bits

}  // namespace

struct Fold::Impl {
  // Everything kept of one file between scans: one life.
  struct File {
    std::shared_ptr<const Layout> layout;  // none: no life yet
    LifeMark mark;
    Ledger ledger;
    const std::vector<std::uint32_t>* series =
        nullptr;                            // by plan; shared by the layout's files, or own_series
    std::vector<std::uint32_t> own_series;  // if some series are kept apart
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
  void adopt(File& file, std::shared_ptr<const Layout> layout);
  Outcome take(File& file, ByteSource& bytes);
  void end(File& file);
  void take_slot(File& file);
  void leave_slot(File& file);
  void bind_series(const Layout& layout, std::int32_t slot, std::vector<std::uint32_t>& into);
  void ask_owner(FileKey key, ByteSource& bytes);
};

void Fold::Impl::read(FileKey key, const std::string& path, ByteSource& bytes, bool last_time) {
  File& file = files[key];
  file.settled_dead = false;
  auto outcome =
      file.layout && reading.read(*file.layout, file.mark, bytes) ? take(file, bytes) : Outcome::kReload;
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
  if (file.owner != OwnerState::kDead) file.ledger.add_gauges(*file.layout, *file.series, table);
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
  if (reading.read(*file.layout, file.mark, bytes)) take(file, bytes);
  leave_slot(file);
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
  auto layout = layouts.find(content, {reading.bytes.data(), got}, rules);
  const std::size_t had = file.layout ? file.layout->plans().size() : 0;
  if (!layout || values - had + layout->plans().size() > kMaxValues) {
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
    end(file);
  }
  if (!file.layout) ++stats.lives;
  if (mark.pid != 0) file.mark.pid = mark.pid;
  if (mark.created != 0) file.mark.created = mark.created;
  adopt(file, std::move(layout));
  return true;
}

// Gives the file its new shape.
void Fold::Impl::adopt(File& file, std::shared_ptr<const Layout> layout) {
  if (file.layout == layout) return;
  if (file.layout) values -= file.layout->plans().size();
  values += layout->plans().size();
  file.ledger.reshape(file.layout.get(), *layout);
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

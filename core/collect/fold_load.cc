// Files that are new to a fold, or look other than they did: their shape, whether their life goes on, and
// whether there is room for them.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "collect/fold_state.h"
#include "collect/work.h"

namespace mmstats {
namespace {

constexpr std::uint64_t kFirstRead = 16384;  // bytes of a file that is not known yet

// Readings of a file whose fields become more meanwhile.
constexpr int kMostShapes = 3;

// A file that was refused is read again as soon as there seems to be room for what it had then, or after
// this time, as it may have less by now.
constexpr std::chrono::minutes kRefused{1};

// Keeps no long list of fields longer than it lives.
struct GiveBack {
  std::vector<Field>& fields;
  explicit GiveBack(std::vector<Field>& fields_) : fields(fields_) {}
  GiveBack(const GiveBack&) = delete;
  GiveBack& operator=(const GiveBack&) = delete;
  ~GiveBack() {
    if (fields.capacity() > kSmallBuffer / sizeof(Field)) give_back_all(fields);
  }
};

}  // namespace

// Reads as much of the file as its list of fields takes into reading.bytes, and parses it.
bool Fold::Impl::read_whole(File& file, ByteSource& bytes, std::size_t& got) {
  const auto refuse = [&](ErrorKind kind, std::string message, int sys_errno = 0) {
    file.error =
        Error{.kind = kind, .path = {}, .offset = 0, .sys_errno = sys_errno, .message = std::move(message)};
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
    reading.work += work::of_bytes(got) + work::kParsed * content.fields.size();
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
bool Fold::Impl::load(FileKey key, const std::string& path, ByteSource& bytes) {
  File& file = files[key];
  std::size_t got = 0;
  const GiveBack give_back{content.fields};
  file.error.reset();
  file.refused.reset();
  file.user = bytes.owner();
  for (int readings = 0; readings == 0 || !reading.confirm(content, got, bytes); ++readings) {
    if (readings == kMostShapes || !read_whole(file, bytes, got)) return false;
  }
  std::size_t needed = 0;
  auto layout = find_layout(file.user, got, needed);
  if (!layout) return refuse(file, bytes, needed);
  needed = memory_for(*layout);
  if (needed > file.held.amount() && !make_room(file.user, needed - file.held.amount())) {
    return refuse(file, bytes, needed);
  }
  const LifeMark mark = layout->mark(reading.bytes.data());
  // A file that is being built, or was cut, may not say who wrote it: only a contradiction is a new life.
  const auto contradicts = [](std::uint64_t a, std::uint64_t b) { return a != 0 && b != 0 && a != b; };
  if (file.layout && (contradicts(mark.pid, file.mark.pid) || contradicts(mark.created, file.mark.created))) {
    ++stats.truncated_lives;
    end(key, path, bytes.id(), false);
    file.user = bytes.owner();
  }
  if (!file.layout) {
    if (auto life = departed.take(file.user, layout->owner(mark), path, bytes.id())) {
      go_on(file, std::move(*life));
    } else {
      ++stats.lives;
      reserved.give_back(path, slots);  // the file that has this name now is of another life
    }
  }
  if (mark.pid != 0) file.mark.pid = mark.pid;
  if (mark.created != 0) file.mark.created = mark.created;
  return adopt(key, std::move(layout), got) || refuse(file, bytes, needed);
}

// The shape of the file that was read last; null if the user may not have the memory that it needs.
std::shared_ptr<const Layout> Fold::Impl::find_layout(uid_t user, std::size_t got, std::size_t& needed) {
  const std::span<const std::byte> bytes(reading.bytes.data(), got);
  reading.work += work::of_bytes(2 * got);  // its hash, and the comparison
  auto layout = layouts.find(content, bytes, rules, user, needed);
  if (layout || !make_room(user, needed)) return layout;
  return layouts.find(content, bytes, rules, user, needed);
}

// Whether the user may have so many bytes more. What is here goes before what may come back.
bool Fold::Impl::make_room(uid_t user, std::size_t bytes) {
  if (bytes > memory.may_hold(user)) return false;
  while (memory.room(user) < bytes && departed.drop_oldest(user)) layouts.look();
  for (auto loser = losers.lower_bound({user, 0});
       memory.room(user) < bytes && loser != losers.end() && loser->first == user;
       loser = losers.erase(loser)) {
    File& file = files[loser->second];
    file.ledger.forget_lost();
    if (file.buckets) file.buckets->forget_lost();
    static_cast<void>(file.held.hold(memory_of(file)));
  }
  return memory.room(user) >= bytes;
}

// Whether something of the user's is kept that is worth less than what is here.
bool Fold::Impl::may_forget(uid_t user) const {
  const auto loser = losers.lower_bound({user, 0});
  return departed.has(user) || (loser != losers.end() && loser->first == user);
}

// Whether there was no room for the file, and nothing tells that it is otherwise now.
bool Fold::Impl::is_refused(const File& file, ByteSource& bytes) const {
  return file.refused && now - file.refused->since < kRefused && bytes.size() == file.refused->size &&
         memory.room(file.user) < file.refused->needed && !may_forget(file.user);
}

bool Fold::Impl::refuse(File& file, ByteSource& bytes, std::size_t needed) {
  file.refused = {.size = bytes.size(), .needed = needed, .since = now};
  file.error = Error{.kind = ErrorKind::kLimit,
                     .path = {},
                     .offset = 0,
                     .sys_errno = 0,
                     .message = "files of user " + std::to_string(file.user) +
                                " are left out: they need more memory than he may have of MaxMemory"};
  return false;
}

// What a file of this shape takes, if it lost nothing.
std::size_t Fold::Impl::memory_for(const Layout& layout) {
  return kFileMemory + Ledger::memory(layout.plans().size()) +
         (layout.apart() ? BoundSeries::memory(layout) : 0);
}

// What the file takes, beside its layout.
std::size_t Fold::Impl::memory_of(const File& file) {
  return memory_for(*file.layout) + file.ledger.memory() - Ledger::memory(file.layout->plans().size()) +
         (file.buckets ? file.buckets->memory() : 0);
}

// Holds what the file takes now. What it lost is forgotten if there is no room for it.
bool Fold::Impl::hold(FileKey key) {
  File& file = files[key];
  const auto take = [&] {
    const std::size_t needed = memory_of(file);
    const std::size_t held = file.held.amount();
    return (needed <= held || make_room(file.user, needed - held)) && file.held.hold(needed);
  };
  if (take()) {
    if (file.ledger.lost() + file.known_buckets().lost() > 0) losers.emplace(file.user, key);
    return true;
  }
  file.ledger.forget_lost();
  if (file.buckets) file.buckets->forget_lost();
  losers.erase({file.user, key});
  return take();
}

// Gives the file its new shape. False: there is no room, and it has none.
bool Fold::Impl::adopt(FileKey key, std::shared_ptr<const Layout> layout, std::size_t got) {
  File& file = files[key];
  const bool same = file.layout == layout;
  if (!same) file.ledger.reshape(file.layout.get(), *layout);
  if (!same && file.layout)
    reading.work += work::kBound / 4 * (file.layout->plans().size() + layout->plans().size());
  if (file.layout != nullptr) layouts.look();
  file.layout = std::move(layout);
  auto found = FileBuckets::find(*file.layout, content, {reading.bytes.data(), got},
                                 file.buckets ? std::move(*file.buckets) : FileBuckets());
  reading.work += work::kBound / 4 * found.fields();
  file.buckets = found.empty() ? nullptr : std::make_unique<FileBuckets>(std::move(found));
  if (file.held.owner() != file.user || file.held.amount() == 0) file.held = Held(memory, file.user);
  if (!hold(key)) {
    leave_slot(file);
    file = File{};
    return false;
  }
  if (same && file.series && file.series->owner == file.user) return true;
  if (!file.layout->apart()) {
    leave_slot(file);
    auto& shared = shared_series[{file.layout.get(), file.user}];
    auto series = shared.lock();
    if (!series) {
      series = std::make_shared<BoundSeries>(table, distributions, file.user);
      bind_series(*file.layout, WorkerSlots::kNone, *series);
      shared = series;
    }
    file.series = std::move(series);
    return true;
  }
  if (file.slot == WorkerSlots::kNone && file.owner != OwnerState::kDead) {
    take_slot(file);
  } else {
    bind_own(file);
  }
  return true;
}

}  // namespace mmstats

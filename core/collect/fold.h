// Files -> series: workers put together, restarts hidden.
//
// The ledger. A counter's series only ever receives differences: a file seen for the first time
// brings its whole value, later scans bring what was added since. A file that ends takes nothing
// back. So the total is the sum over live files plus what finished ones ended with, and it never
// falls. A life goes on where sys.pid and sys.created are equal and either the inode or the folder and name
// are the same: through a rename, and through a publication by rename. A recycled pid or a file made anew by
// another process is a new life that starts from zero; a value that falls within one life is a reset, and
// starts from zero too. A shape that changes changes no life: counters are known by their labels.
//
// Torn values. A copy of a value that is being written may mix two values. So what changed since
// the last scan is read a second time: equal means stable; a counter that is not below its last
// value and not above the second reading is true; anything else is read again a few times, then the
// last good value stands and `unstable` counts it. A counter is believed to have fallen only when
// two whole readings agree and the file is still the same life.
//
// Histograms. Buckets are counters of the ledger: added up over threads, processes and lives. What they grew
// by since the last scan is the distribution of the interval, over all workers: of this are the percentiles.
// A file that is there at the first scan counts in totals alone, as nobody knows when its values came.
//
// Pure but for the ledger: bytes come through ByteSource, owners through OwnerOf, time as an
// argument. One thread at a time. A scan allocates nothing once it has seen the files.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "collect/discover.h"
#include "collect/rules.h"
#include "collect/shared_binding.h"
#include "format/owner.h"
#include "mmstats/error.h"
#include "mmstats/metadata.h"

namespace mmstats {

// The bytes of one file. Implementations read a descriptor, or memory in tests.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // As OpenFile::read_at.
  virtual ssize_t read_at(std::uint64_t offset, std::span<std::byte> into) noexcept = 0;
  // Bytes in the file now, or -1.
  virtual std::int64_t size() noexcept = 0;
  // None: not known.
  [[nodiscard]] virtual FileId id() const noexcept { return {}; }
  // The user whose file it is: what it costs counts against him (shares.h).
  [[nodiscard]] virtual uid_t owner() const noexcept { return 0; }
};

// Bytes: thousands of applications are far below it.
inline constexpr std::size_t kDefaultMaxMemory = std::size_t{256} << 20U;

// One line of output. Lives in the fold; the index of a series never changes, but see `generation`. Name,
// family, dimensions, slot, the sink_type of its rule and whether it is a counter tell it from all others: so
// several may have one name.
struct Series : Described {
  std::uint64_t total = 0;  // of an integral counter with scale 1; modulo 2^64
  double value = 0;         // of everything else
  // Odd: the series at this index made room (FoldLimits::reuse_series), and there is none now. Even again,
  // and larger: it is another one.
  std::uint32_t generation = 0;
  std::int32_t distribution = -1;  // of a histogram's: its index in Fold::distributions()
  std::int32_t slot = -1;          // worker slot of a series that is kept apart; -1: all workers
  Kind kind = Kind::kGauge;
  // How the values of its files are put together; of a counter: kSum.
  Aggregate aggregate = Aggregate::kByKind;
  bool integral = false;  // of a counter: `total` is exact, else `value` holds the sum
  bool present = false;   // has a value at this scan; a counter keeps its total for ever
};

// Who has how much of what is bounded is decided by Shares: root and our own user may have all of it, and of
// what all others leave anybody else gets three quarters.
struct FoldLimits {
  std::uint64_t max_file_size = kDefaultMaxFileSize;  // bytes; 1 GiB at most
  std::size_t max_series = 200'000;
  // Bytes, about, for all that is kept because of what is in files: their shapes, values and series, counters
  // that they lost and lives that are away. Series take half of it at most. Where there is no room, the
  // user's lives that are away are forgotten, the oldest first, and the counters that his files lost; then
  // what is new is refused.
  // In it is what the largest file takes while it is read, or half of all, if that is less: twice its size
  // for its bytes, and 25 times its size for the list of its fields, at worst, or 108 MB by default. The list
  // is given back when it has been read, the rest after a scan without such a file, but for 1 MB of each.
  std::size_t max_memory = kDefaultMaxMemory;
  // Series that no file has had for ten minutes make room for new ones that would be refused: the longest
  // gone first. Should one come back it begins at 0, as after a restart. For sinks that look at generations.
  bool reuse_series = false;
};

// What one scan saw, beside the series. Counts marked (ever) only grow.
struct FoldStats {
  std::size_t files = 0;              // whose values count at this scan: read now, or at an earlier one
  std::size_t damaged = 0;            // of these, with damage, unfinished or unreadable
  std::size_t dead = 0;               // of these, with a dead owner
  std::size_t series = 0;             // present
  std::uint64_t unstable = 0;         // (ever) values that did not settle
  std::uint64_t lives = 0;            // (ever) lives begun
  std::uint64_t resets = 0;           // (ever) counters that fell within a life
  std::uint64_t truncated_lives = 0;  // (ever) lives overwritten in place: their last increments are unknown
  std::uint64_t series_refused = 0;   // (ever) fields left out because of max_series or max_memory
  std::uint64_t series_reused = 0;    // (ever) series that made room for others
  std::uint64_t generations = 0;      // (ever) changes of a series' generation
  std::size_t memory = 0;             // bytes of max_memory that are used
  std::size_t series_memory = 0;      // of these, by series
};

struct Distribution;

// Who a file says that it is of, and what became of him, as of the last scan.
struct FileOwner {
  Owner owner;
  OwnerState state = OwnerState::kUnknown;
};

class Fold {
 public:
  struct OwnerQuestion {
    const Owner& owner;  // it names a pid
    FileKey file = 0;
    bool stands_still = false;  // nothing changed since the last scan
    OwnerMemory& memory;        // of this life
  };
  // What became of the owner of a file: asked for each at each scan.
  using OwnerOf = std::function<OwnerState(const OwnerQuestion&)>;

  Fold(Rules rules, FoldLimits limits, OwnerOf owner_of);
  Fold(Fold&&) noexcept;
  Fold& operator=(Fold&&) noexcept;
  ~Fold();

  // A scan is: begin; end_life for files that are gone; read, or keep, for all others; finish.
  void begin(std::chrono::steady_clock::time_point now);

  // Reads one file and adds it. Returns what is wrong with it: nothing, an Error (nothing could be
  // taken; a life that was known keeps what it had), or damage (an Error of kind kDamaged with its
  // offset; the fields before it count). The same complaint is returned at every scan. kLimit, without a
  // path: the file's owner may not have the memory, which is the same complaint for all his files. Valid
  // until the next call.
  const Error* read(FileKey key, const std::string& path, ByteSource& bytes);

  // Leaves one file for a later scan: its values count as they stood at the last one, and what is wrong with
  // it is returned again. Its owner is not asked. One that was not read yet is not there yet.
  const Error* keep(FileKey key, const std::string& path);

  // Reads a file that is gone a last time, if it still can be read, and ends its life. Its gauges are out at
  // once, its counters stay; and for an hour it is known when it comes back. `bytes` is null if nothing in it
  // counts, or it is not to be read. `replaced`: another file has its name now, and will be read in this
  // scan.
  void end_life(FileKey key, const std::string& path, ByteSource* bytes, bool replaced);

  // Computes every series' value.
  void finish();

  [[nodiscard]] std::span<const Series> series() const;
  // What histograms add up to, by an index that stays; null: it made room. Their series (LABEL.count,
  // LABEL.min, LABEL.p99 and so on) are among series(), too.
  [[nodiscard]] std::span<const std::unique_ptr<Distribution>> distributions() const;
  [[nodiscard]] const FoldStats& stats() const;

  // Units of work (work.h) that all calls took, ever.
  [[nodiscard]] std::uint64_t work() const;
  // Units that it takes at most to read the file again while its values settle and it keeps its shape. None:
  // it has no shape yet.
  [[nodiscard]] std::optional<std::uint64_t> usual_work(FileKey key) const;

  // Since when the owner has been found dead at each scan, and nothing changed: its file is folded to the
  // last byte and may be removed. None: that is not so, or was not so at an earlier scan.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> dead_since(FileKey key) const;

  // None: nothing of the file counts. Which values of series are its: see SeriesParts.
  [[nodiscard]] std::optional<FileOwner> owner(FileKey key) const;

  // What is to be told beside what is wrong with files: one line each, each once. Empty after the call.
  std::vector<std::string> take_notices();

 private:
  friend class SeriesParts;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mmstats

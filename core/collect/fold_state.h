// What a fold keeps, for the two files that it is written in: fold.cc, what a scan does, and fold_load.cc.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "collect/bound_series.h"
#include "collect/departed.h"
#include "collect/distributions.h"
#include "collect/file_reading.h"
#include "collect/fold.h"
#include "collect/layout.h"
#include "collect/layout_cache.h"
#include "collect/ledger.h"
#include "collect/series_table.h"
#include "collect/shares.h"
#include "collect/worker_slots.h"
#include "mmstats/parse.h"

namespace mmstats {

struct Fold::Impl {
  // Everything kept of one file between scans.
  struct File : Life {
    uid_t user = 0;                       // whose file it is
    std::shared_ptr<BoundSeries> series;  // shared by the user's files of this layout, unless kept apart
    // Why there was no room for its shape.
    struct Refused {
      std::int64_t size = 0;   // of the file
      std::size_t needed = 0;  // bytes
      std::chrono::steady_clock::time_point since;
    };
    std::optional<Refused> refused;
    bool owner_asked = false;
    bool was_kept = false;  // before it was read for the first time
    bool was_read = false;
    bool has_thread = true;     // as Layout::has_thread, at the last reading
    bool gives_gauges = false;  // its gauges count at this scan
    // Found dead at each scan since.
    std::optional<std::chrono::steady_clock::time_point> dead_since;
    bool settled_dead = false;  // at this scan and an earlier one, and nothing changed between
    // It wrote after it was found dead: until then its writes are believed, not the system.
    std::chrono::steady_clock::time_point believed_until{};
    unsigned returns = 0;        // how often it did
    std::optional<Error> error;  // without the path
  };
  // A file, with a life that departs, takes so much beside its values.
  static constexpr std::size_t kFileMemory = sizeof(File) + 200;

  Rules rules;
  FoldLimits limits;
  OwnerOf owner_of;
  std::chrono::steady_clock::time_point now{};
  Shares memory;  // before all that takes of it
  SeriesTable table;
  DistributionTable distributions;
  bool has_scanned = false;  // once
  LayoutCache layouts;
  // Of all files of one user with one layout, as long as there are any.
  std::map<std::pair<const Layout*, uid_t>, std::weak_ptr<BoundSeries>> shared_series;
  std::vector<std::shared_ptr<BoundSeries>> ended_series;  // in this scan: others may go on with them
  std::deque<File> files;
  std::set<std::pair<uid_t, FileKey>> losers;  // files that lost counters
  DepartedLives departed;
  ReservedSlots reserved;
  WorkerSlots slots;
  FoldStats stats;
  Error told;

  FileReading reading;
  ParsedFile content;

  Impl(Rules rules_, FoldLimits limits_, OwnerOf owner_of_);

  using Outcome = FileReading::Outcome;

  File& file(FileKey key) {
    if (key >= files.size()) files.resize(key + 1);
    return files[key];
  }

  void read(FileKey key, const std::string& path, ByteSource& bytes, bool last_time);
  bool load(FileKey key, const std::string& path, ByteSource& bytes);
  bool read_whole(File& file, ByteSource& bytes, std::size_t& got);
  std::shared_ptr<const Layout> find_layout(uid_t user, std::size_t got, std::size_t& needed);
  bool make_room(uid_t user, std::size_t bytes);
  [[nodiscard]] bool may_forget(uid_t user) const;
  bool is_refused(const File& file, ByteSource& bytes) const;
  bool refuse(File& file, ByteSource& bytes, std::size_t needed);
  static std::size_t memory_for(const Layout& layout);
  static std::size_t memory_of(const File& file);
  bool hold(FileKey key);
  // `got`: bytes of the reading that the shape is of.
  bool adopt(FileKey key, std::shared_ptr<const Layout> layout, std::size_t got);
  Outcome take(File& file, ByteSource& bytes);
  void end(FileKey key, const std::string& path, const FileId& id, bool replaced);
  void go_on(File& file, Life&& life);
  void take_slot(File& file);
  void leave_slot(File& file);
  void bind_own(File& file);
  void bind_series(const Layout& layout, std::int32_t slot, BoundSeries& into);
  bool bind_histogram(const Layout& layout, std::size_t i, std::int32_t slot, BoundSeries& into, bool make);
  bool bind_plan(const Layout& layout, std::size_t i, std::int32_t slot, BoundSeries& into, bool make);
  void bind_refused(const File& file);
  const Error* end_read(const File& file, const std::string& path);
  void ask_owner(FileKey key, ByteSource& bytes, bool changed);
  void add_gauges(File& file);
};

}  // namespace mmstats

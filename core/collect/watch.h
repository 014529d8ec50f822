// All steps in a row, for a program with a sink: discover, read, fold. One Watch for each set of
// files that is configured on its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "collect/discover.h"
#include "collect/fold.h"
#include "collect/rules.h"
#include "mmstats/error.h"
#include "mmstats/parse.h"

namespace mmstats {

// What becomes of the file of a dead owner.
enum class Stale : std::uint8_t {
  kKeep,
  kRemove,  // once it is folded, and only if no process maps it
};

// Units of work (work.h) of one scan; one is about a nanosecond. One user gets three quarters of them. A file
// of 100 values that all change takes 4,000 to 5,000: so 20,000 of them fit, as many as DiscoveryLimits
// allows, with half as much to spare. The first scan gets four times as much, as all files are new to it.
inline constexpr std::uint64_t kDefaultWork = 200'000'000;

struct WatchOptions {
  std::vector<std::string> globs;
  DiscoveryLimits discovery;
  FoldLimits fold;
  // What the files of one user take of a scan's work is bounded as FoldLimits bounds memory; those of root
  // and of our own user are not. Where it is not enough, his files are read in turn, those first that were
  // put off at the last scan, and of the others the cheapest. What is put off keeps the values that it had.
  std::uint64_t work = kDefaultWork;
  Stale stale = Stale::kKeep;
  // For how long an owner must have been found dead before its file is removed. Where several sets read the
  // same files, twice the longest interval: the slowest has read what it had counted by then.
  std::chrono::steady_clock::duration stale_after{};
  // Fills ScanReport::standing.
  bool show_standing = false;
  // A folder of the globs that does not exist is a complaint, which it is not where nobody asked for it.
  bool tell_missing_folders = false;
  // Which files count: asked once of each, when it has fields; none: all do. One that grows is not asked
  // again.
  std::function<bool(const std::string& path, const ParsedFile& content)> keep = {};
  std::string proc = "/proc";  // where owners are looked up
  Owners::Signal signal = ::kill;
};

// What one scan has to tell beside the series. Valid until the next scan.
struct ScanReport {
  static constexpr std::size_t kMaxErrors = 100;

  // Complaints that told() was not called for: each is told once, and again after it was mended. At most
  // kMaxErrors of them, and one of each user's before the second of anybody's.
  std::vector<Error> errors;
  // What is wrong now, told or not, if WatchOptions asks for it: as many, and shared out likewise.
  std::vector<Error> standing;
  std::uint64_t untold = 0;          // how many there are, with those that are not in `errors`
  std::uint64_t complaints = 0;      // all of them, told or not
  std::size_t removed = 0;           // stale files removed at this scan
  std::size_t left_out = 0;          // files that are not read, as there are too many
  std::size_t folders_left_out = 0;  // folders behind wildcards that are not looked into, for the same reason
  std::size_t folders_put_off = 0;   // the same, that a later scan looks at
  std::size_t put_off = 0;           // files that a later scan reads, as this one had too much to do
  std::uint64_t work = 0;            // units (work.h) that reading took, of all files
  std::chrono::duration<double> elapsed{};
  std::size_t unreadable_files = 0;    // that cannot be opened
  std::size_t unreadable_folders = 0;  // that exist and cannot be listed
  bool nothing_readable = false;       // folders exist, and not one could be listed
};

// One thread at a time.
class Watch {
 public:
  Watch(WatchOptions options, Rules rules);
  Watch(Watch&&) noexcept;
  Watch& operator=(Watch&&) noexcept;
  ~Watch();

  // Reads all files once. Blocks for nothing but the file system. Throws std::bad_alloc at most.
  const ScanReport& scan(std::chrono::system_clock::time_point now,
                         std::chrono::steady_clock::time_point steady_now);

  // The first `count` of the last report's errors were told; the others are reported again.
  void told(std::size_t count);

  // Globs that no known file matches, but for those whose folders do not exist. Empty also if to find out
  // would take long: thousands of globs and files.
  [[nodiscard]] std::vector<std::string> unmatched_globs() const;
  // Patterns that no label matched: once, after a scan that met labels.
  std::optional<UnusedPatterns> unused_patterns();

  [[nodiscard]] std::span<const Series> series() const;  // valid until the next scan
  // As Fold::distributions(), likewise.
  [[nodiscard]] std::span<const std::unique_ptr<Distribution>> distributions() const;
  [[nodiscard]] const FoldStats& stats() const;
  [[nodiscard]] std::size_t files() const;  // known
  // Those, until the next scan; and where one is.
  [[nodiscard]] std::span<const FileKey> known_files() const;
  [[nodiscard]] const std::string& path(FileKey file) const;
  [[nodiscard]] const Fold& fold() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mmstats

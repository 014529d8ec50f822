#include "collect/watch.h"

#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "base/failure.h"
#include "collect/complaints.h"
#include "collect/fair_complaints.h"
#include "collect/file_reading.h"
#include "collect/shares.h"
#include "collect/work.h"
#include "collect/work_plan.h"

namespace mmstats {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kMaxEvents = 1000;  // that wait to be told
// Of complaints that no one user is to blame for.
constexpr uid_t kNobodys = ~uid_t{0};

class DiscoveredBytes final : public ByteSource {
 public:
  DiscoveredBytes(Discovery& discovery, FileKey file) : discovery_(discovery), file_(file) {}
  ssize_t read_at(std::uint64_t offset, std::span<std::byte> into) noexcept override {
    return discovery_.read_at(file_, offset, into);
  }
  std::int64_t size() noexcept override { return discovery_.size(file_); }
  [[nodiscard]] FileId id() const noexcept override { return discovery_.id(file_); }
  [[nodiscard]] uid_t owner() const noexcept override { return discovery_.owner(file_); }

 private:
  Discovery& discovery_;
  FileKey file_;
};

// The part of a glob's folder that has no wildcards.
std::string fixed_folder(std::string_view glob) {
  const auto wild = glob.find_first_of("*?[");
  const auto slash = glob.substr(0, wild).rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(glob.substr(0, std::max<std::size_t>(slash, 1)));
}

std::string with_single_slashes(std::string_view path) {
  std::string single;
  for (const char c : path) {
    if (c != '/' || !single.ends_with('/')) single += c;
  }
  return single;
}

bool exists(const std::string& folder) {
  struct stat info{};
  return ::stat(folder.c_str(), &info) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

}  // namespace

struct Watch::Impl {
  std::vector<std::string> globs;
  std::vector<Error> missing_folders;  // as it is told should one of them be missing
  std::shared_ptr<PatternUse> pattern_use;
  Discovery discovery;
  Owners owners;
  Fold fold;
  WorkPlan plan;
  std::uint64_t asked_work = 0;  // units that it took to ask whether files count, ever
  Stale stale;
  steady_clock::duration stale_after;
  // The dead make room for the living.
  Discovery::MayRelease may_release = [this](FileKey file) { return fold.dead_since(file).has_value(); };
  steady_clock::time_point now{};
  ToldComplaints told;
  FairComplaints untold{ScanReport::kMaxErrors};
  std::vector<uid_t> error_owners;  // of the report's
  bool show_standing;
  FairComplaints standing{ScanReport::kMaxErrors};
  std::vector<uid_t> standing_owners;
  std::vector<std::pair<Error, uid_t>> events;  // that happened and were not told yet
  Shares events_room{kMaxEvents};
  std::vector<FileKey> doubtful;  // at the last scan, sorted
  std::vector<FileKey> doubtful_now;
  std::set<uid_t> refused;  // users some of whose files are refused at this scan
  ScanReport report;
  std::function<bool(const std::string&, const ParsedFile&)> keep;
  std::uint64_t max_file_size;
  enum class Kept : std::uint8_t { kNotAsked, kYes, kNo };
  std::vector<Kept> kept;  // by FileKey
  std::vector<std::byte> bytes;
  ParsedFile content;

  Impl(WatchOptions options, Rules rules)
      : globs(options.globs),
        pattern_use(rules.record_use()),
        discovery(std::move(options.globs), options.discovery),
        owners(std::move(options.proc), options.signal),
        fold(std::move(rules), options.fold,
             [this](const Fold::OwnerQuestion& question) { return owner_of(question); }),
        plan(options.work),
        stale(options.stale),
        stale_after(options.stale_after),
        show_standing(options.show_standing),
        keep(std::move(options.keep)),
        max_file_size(options.fold.max_file_size) {
    if (!options.tell_missing_folders) return;
    std::set<std::string> folders;
    for (const std::string& glob : globs) folders.insert(fixed_folder(glob));
    for (const std::string& folder : folders) {
      missing_folders.push_back(failure(ErrorKind::kNotFound, folder,
                                        "does not exist; its files are read as soon as there are any"));
    }
  }

  OwnerState owner_of(const Fold::OwnerQuestion& question) {
    return owners.of_file(question.owner, question.memory, question.stands_still, now,
                          [&] { return discovery.writers(question.file); });
  }

  // True if it was told at an earlier scan.
  bool complain(const Error& error, uid_t owner) {
    ++report.complaints;
    if (show_standing) standing.add(error, owner);
    if (told.has(error, owner)) return true;
    ++report.untold;
    if (told.has_room(owner)) untold.add(error, owner);
    return false;
  }

  // What happens once is complained of until it was told.
  void complain_once(Error error, uid_t owner) {
    if (events_room.take(owner, 1)) events.emplace_back(std::move(error), owner);
  }

  void tell_events() {
    std::erase_if(events, [&](const auto& event) {
      if (!complain(event.first, event.second)) return false;
      events_room.give(event.second, 1);
      return true;
    });
  }

  bool wanted(FileKey file) {
    if (!keep) return true;
    if (kept.size() <= file) kept.resize(file + 1, Kept::kNotAsked);
    if (kept[file] == Kept::kNotAsked) ask(file);
    // What has no fields is for the fold to complain of.
    return kept[file] != Kept::kNo;
  }

  void ask(FileKey file) {
    const std::int64_t size = discovery.size(file);
    content.fields.clear();
    if (size > 0 && static_cast<std::uint64_t>(size) <= max_file_size) {
      bytes.resize(static_cast<std::size_t>(size));
      const ssize_t got = discovery.read_at(file, 0, bytes);
      if (got > 0) parse(std::span(bytes).first(static_cast<std::size_t>(got)), content);
      asked_work += work::of_bytes(bytes.size()) + work::kParsed * content.fields.size();
    }
    if (!content.fields.empty()) {
      kept[file] = keep(discovery.path(file), content) ? Kept::kYes : Kept::kNo;
    }
    if (bytes.capacity() > kSmallBuffer) give_back_all(bytes);
    if (content.fields.capacity() > kSmallBuffer / sizeof(Field)) give_back_all(content.fields);
  }

  // Does what takes work for the file.
  template <class Do>
  void work_for(FileKey file, Do&& what) {
    const uid_t owner = discovery.owner(file);
    const std::uint64_t before = fold.work() + asked_work;
    what();
    const std::uint64_t done = fold.work() + asked_work - before;
    plan.did(owner, done);
    report.work += done;
  }

  // What it takes to read a file that was not read yet, so far as can be known. More may turn out.
  std::uint64_t first_work(FileKey file) {
    const std::int64_t size = discovery.size(file);
    const bool fits = size > 0 && static_cast<std::uint64_t>(size) <= max_file_size;
    return work::kFile + (fits ? work::of_bytes(static_cast<std::uint64_t>(size)) : 0);
  }

  void read_all() {
    const auto owner_of_file = [this](FileKey file) { return discovery.owner(file); };
    const auto expected = [this](FileKey file) { return first_work(file); };
    for (const FileKey file : plan.order(discovery.files(), owner_of_file, expected)) {
      const bool is_due = plan.may_read(file, discovery.owner(file));
      work_for(file, [&] { is_due ? read(file) : put_off(file); });
    }
    for (const uid_t owner : plan.late()) {
      complain(failure(ErrorKind::kLimit, {},
                       "files of user " + std::to_string(owner) +
                           " are read in turn, not all at every scan: that would take too long; remove the "
                           "largest of them, or those whose labels change all the time, or lower MaxFileSize "
                           "(max_file_size)"),
               owner);
    }
  }

  void put_off(FileKey file) {
    ++report.put_off;
    const Error* error = fold.keep(file, discovery.path(file));
    if (error == nullptr) return;
    if (is_passing(*error)) {
      // Nothing is known of it since it was looked at.
      if (std::binary_search(doubtful.begin(), doubtful.end(), file)) doubtful_now.push_back(file);
      if (told.has(*error, discovery.owner(file))) complain(*error, discovery.owner(file));
      return;
    }
    complain_of(file, *error);
  }

  // Its writer may be at it, or has replaced it.
  static bool is_passing(const Error& error) {
    return error.kind == ErrorKind::kUnfinished || error.kind == ErrorKind::kChanged;
  }

  void read(FileKey file) {
    if (!wanted(file)) return plan.expect(file, work::kFile);
    DiscoveredBytes bytes(discovery, file);
    const Error* error = fold.read(file, discovery.path(file), bytes);
    plan.expect(file, fold.usual_work(file).value_or(work::kFile));
    if (error == nullptr) return;
    if (is_passing(*error)) {
      // A complaint only if it is still so at the next scan.
      doubtful_now.push_back(file);
      if (!std::binary_search(doubtful.begin(), doubtful.end(), file)) return;
    }
    complain_of(file, *error);
  }

  void complain_of(FileKey file, const Error& error) {
    // It is one complaint, however many files he has.
    if (error.kind == ErrorKind::kLimit && !refused.insert(discovery.owner(file)).second) return;
    complain(error, discovery.owner(file));
  }

  // The file is gone, or is not read any more.
  void end(FileKey file) {
    DiscoveredBytes bytes(discovery, file);
    const bool replaced = discovery.is_replaced(file);
    const bool readable = plan.may_read(file, discovery.owner(file));
    work_for(file, [&] {
      fold.end_life(file, discovery.path(file), readable && wanted(file) ? &bytes : nullptr, replaced);
    });
    plan.forget(file);
    if (file < kept.size()) kept[file] = Kept::kNotAsked;
    if (!replaced && discovery.is_deleted(file) && discovery.writers(file).any == HasWriter::kYes) {
      complain_once(
          failure(
              ErrorKind::kNotFound, discovery.path(file),
              "was deleted while a process writes it: what that counts from now on is lost until it makes a "
              "new file; keep cleaners of temporary files away from the folder"),
          discovery.owner(file));
    }
  }

  void remove_stale() {
    for (const FileKey file : discovery.files()) {
      const auto since = fold.dead_since(file);
      if (!since || now - *since < stale_after) continue;
      if (const auto removed = discovery.remove(file)) {
        ++report.removed;
      } else if (removed.error().kind != ErrorKind::kBusy) {
        complain(removed.error(), discovery.owner(file));
      }
    }
  }
};

Watch::Watch(WatchOptions options, Rules rules)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(rules))) {}
Watch::Watch(Watch&&) noexcept = default;
Watch& Watch::operator=(Watch&&) noexcept = default;
Watch::~Watch() = default;

const ScanReport& Watch::scan(std::chrono::system_clock::time_point now,
                              steady_clock::time_point steady_now) {
  Impl& self = *impl_;
  const auto started = steady_clock::now();
  self.now = steady_now;
  self.untold.begin_scan();
  self.standing.begin_scan();
  self.report.untold = self.report.complaints = self.report.removed = self.report.put_off = 0;
  self.report.work = 0;
  self.told.begin_scan();

  const Found& found = self.discovery.scan(now, self.may_release);
  self.report.unreadable_files = found.unreadable;
  self.report.unreadable_folders = found.folders_failed;
  self.report.nothing_readable = found.folders_failed > 0 && found.folders_listed == 0;
  for (const Error& missing : self.missing_folders) {
    if (!exists(missing.path)) self.complain(missing, ::geteuid());
  }
  for (const FoundError& one : found.errors) self.complain(*one.error, one.owner);
  self.report.left_out = found.beyond_limit;
  self.report.folders_left_out = found.folders_beyond_limit;
  self.report.folders_put_off = found.folders_put_off;
  self.fold.begin(steady_now);
  self.plan.begin();
  // First the ends, so that a worker's slot is free for its successor.
  for (const auto* files : {&found.released, &found.gone}) {
    for (const FileKey file : *files) {
      self.end(file);
      self.discovery.forget(file);
    }
  }
  self.doubtful_now.clear();
  self.refused.clear();
  self.read_all();
  self.fold.finish();
  for (std::string& notice : self.fold.take_notices()) {
    self.complain_once(failure(ErrorKind::kInvalid, {}, std::move(notice)), kNobodys);
  }
  self.tell_events();
  if (self.stale == Stale::kRemove) self.remove_stale();

  std::sort(self.doubtful_now.begin(), self.doubtful_now.end());
  self.doubtful.swap(self.doubtful_now);
  self.untold.take(self.report.errors, self.error_owners);
  self.standing.take(self.report.standing, self.standing_owners);
  self.report.elapsed = steady_clock::now() - started;
  return self.report;
}

void Watch::told(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) impl_->told.add(impl_->report.errors[i], impl_->error_owners[i]);
}

std::vector<std::string> Watch::unmatched_globs() const {
  constexpr std::size_t kMaxWork = 1'000'000;
  std::vector<std::string> unmatched;
  if (impl_->globs.size() > kMaxWork / std::max<std::size_t>(files(), 1)) return unmatched;
  std::vector<std::string> paths;
  for (const FileKey file : impl_->discovery.files()) {
    paths.push_back(with_single_slashes(impl_->discovery.path(file)));
  }
  for (const std::string& glob : impl_->globs) {
    const auto single = with_single_slashes(glob);
    const bool matches = std::ranges::any_of(paths, [&](const std::string& path) {
      return ::fnmatch(single.c_str(), path.c_str(), FNM_PERIOD | FNM_PATHNAME) == 0;
    });
    if (!matches && exists(fixed_folder(glob))) unmatched.push_back(glob);
  }
  return unmatched;
}

std::optional<UnusedPatterns> Watch::unused_patterns() {
  return impl_->pattern_use->is_on() ? impl_->pattern_use->take() : std::nullopt;
}

std::span<const Series> Watch::series() const { return impl_->fold.series(); }
std::span<const std::unique_ptr<Distribution>> Watch::distributions() const {
  return impl_->fold.distributions();
}
const FoldStats& Watch::stats() const { return impl_->fold.stats(); }
std::size_t Watch::files() const { return impl_->discovery.files().size(); }
std::span<const FileKey> Watch::known_files() const { return impl_->discovery.files(); }
const std::string& Watch::path(FileKey file) const { return impl_->discovery.path(file); }
const Fold& Watch::fold() const { return impl_->fold; }

}  // namespace mmstats

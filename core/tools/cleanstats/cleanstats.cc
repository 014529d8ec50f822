// cleanstats: removes the mmstats files of processes that are dead. Its man page: packaging/man/cleanstats.1

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "collect/remove.h"
#include "format/file_name.h"
#include "format/lease.h"
#include "format/owner.h"
#include "format/unfinished.h"
#include "mmstats/error.h"
#include "mmstats/parse.h"
#include "mmstats/snapshot.h"
#include "tools/cleanstats/duration_text.h"
#include "tools/shared/find_files.h"
#include "tools/shared/json_text.h"
#include "tools/shared/named_files.h"
#include "tools/shared/output.h"
#include "tools/shared/run_tool.h"
#include "tools/shared/value_text.h"

namespace {

using cleanstats::parse_duration;
using mmstats::Error;
using mmstats::ErrorKind;
using mmstats::Json;
using mmstats::Output;
using mmstats::OwnerState;
using mmstats::printable;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using Seconds = std::chrono::duration<double>;

enum ExitStatus : int { kAllWell = 0, kSomeFailed = 1, kUsage = 2 };

constexpr std::string_view kProgram = "cleanstats";

struct Options {
  bool dry_run = false;
  bool quiet = false;
  bool json = false;
  std::vector<std::string> files;
  Seconds older_than{0};
};

// What was done about one file, and why. Words of scripts: see the man page.
struct Verdict {
  enum class Action : std::uint8_t { kRemoved, kWouldRemove, kKept, kGone, kFailed };

  std::string path;
  std::uint64_t pid = 0;  // 0: not said
  double created = 0;     // Unix seconds; 0: not said
  OwnerState state = OwnerState::kUnknown;
  Action action = Action::kKept;
  std::string_view reason{};
  std::string text{};  // for people; of one line or two, without the last line feed
};

using Action = Verdict::Action;

std::string_view word(Action action) {
  switch (action) {
    case Action::kRemoved:
      return "removed";
    case Action::kWouldRemove:
      return "would_remove";
    case Action::kGone:
      return "gone";
    case Action::kFailed:
      return "failed";
    case Action::kKept:
      break;
  }
  return "kept";
}

// What happened, without the path, which the line names already.
std::string cause(const Error& error) {
  Error bare = error;
  bare.path.clear();
  // The system's own words alone, as the original has them, where it was the system that refused.
  if (error.sys_errno != 0 && error.kind != ErrorKind::kBusy) bare.message.clear();
  std::string text = bare.text();
  if (text.starts_with(": ")) text.erase(0, 2);
  return text;
}

// Decides about one file at a time, and acts.
class Cleaner {
 public:
  explicit Cleaner(const Options& options) : options_(options) {}

  // None for a folder, which the original passes over in silence.
  std::optional<Verdict> clean(const mmstats::FoundFile& found) {
    const std::string& path = found.path;
    const auto file = opener_.open(found);
    if (!file) return unreadable(file.error());
    const auto snapshot = mmstats::read_snapshot(file->file, path);
    if (!snapshot) return unreadable(snapshot.error());
    mmstats::parse(snapshot->bytes, content_);
    if (content_.fields.empty() && content_.damage && content_.damage->offset == 0) return invalid(path);
    const mmstats::Owner owner = mmstats::owner_of(content_);
    Verdict verdict{.path = path, .pid = owner.pid, .created = owner.created};
    judge(verdict, owner, *file, *snapshot);
    return verdict;
  }

  // Of what a writer makes under another name. None: it is none of these, or its writer may be at it.
  std::optional<Verdict> clean_temporary(const mmstats::FoundFile& found) {
    const auto file = opener_.open(found);
    if (!file) return std::nullopt;
    const auto pid = mmstats::maker_of_temporary(file->name);
    struct stat info{};
    if (!pid || !mmstats::may_be_mmstats(file->file) || ::fstat(file->file.fd(), &info) != 0)
      return std::nullopt;
    const auto modified = system_clock::from_time_t(info.st_mtime);
    // It has its name for milliseconds. Who makes it may be in a container, where pids are others.
    if (system_clock::now() - modified < kTemporaryAge) return std::nullopt;
    Verdict verdict{.path = found.path, .pid = *pid, .created = static_cast<double>(info.st_mtime)};
    verdict.state = owner_state(verdict);
    if (verdict.state != OwnerState::kDead) return std::nullopt;
    remove(verdict, *file, modified, ::kill(static_cast<pid_t>(*pid), 0) != 0 && errno == ESRCH);
    return verdict;
  }

  static std::optional<Verdict> unreadable(const Error& error) {
    Verdict verdict{.path = error.path};
    const std::string path = printable(error.path);
    switch (error.kind) {
      case ErrorKind::kUnfinished:
        return invalid(error.path);
      case ErrorKind::kNotFound:
        verdict.action = Action::kGone;
        verdict.reason = "gone";
        verdict.text = fmt::format("File not found: {}", path);
        break;
      case ErrorKind::kNotRegular:
        if (struct stat info{}; ::lstat(error.path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
          return std::nullopt;
        }
        verdict.reason = "not_regular";
        verdict.text = fmt::format("Skipping {}: {}", path, cause(error));
        break;
      case ErrorKind::kTooLarge:
        verdict.reason = "too_large";
        verdict.text = fmt::format("Skipping {}: {}", path, cause(error));
        break;
      case ErrorKind::kDenied:
        verdict.action = Action::kFailed;
        verdict.reason = "denied";
        verdict.text = fmt::format("Permission denied: {}", path);
        break;
      default:
        verdict.action = Action::kFailed;
        verdict.reason = "unreadable";
        verdict.text = fmt::format("Could not read {}: {}", path, cause(error));
        break;
    }
    return verdict;
  }

 private:
  static constexpr std::chrono::minutes kTemporaryAge{1};

  static Verdict invalid(const std::string& path) {
    return {.path = path, .reason = "invalid", .text = fmt::format("Invalid file: {}", printable(path))};
  }

  // Precondition: verdict.pid is one that a process can have.
  OwnerState owner_state(const Verdict& verdict) {
    const OwnerState state = owners_.state(verdict.pid, verdict.created, began_);
    // An answer from before the file was read may be about the pid's last process, not about the one that
    // made the file since. Only of the dead: asking for each would read the time of boot for each.
    if (state != OwnerState::kDead) return state;
    return owners_.state(verdict.pid, verdict.created, steady_clock::now());
  }

  void judge(Verdict& verdict, const mmstats::Owner& owner, const mmstats::OpenedFile& file,
             const mmstats::Snapshot& snapshot) {
    const std::string path = printable(verdict.path);
    if (verdict.pid == 0) {
      verdict.reason = "no_pid";
      verdict.text = fmt::format("File has no sys.pid entry: {}", path);
      return;
    }
    verdict.state = owner_state(verdict);
    bool of_dead = verdict.state == OwnerState::kDead;
    if (of_dead || owner.mapped) {
      mmstats::OwnerMemory memory;
      verdict.state = owners_.of_file(owner, memory, true, of_dead ? steady_clock::now() : began_,
                                      [&] { return mmstats::writers_of(file.file.fd()); });
      of_dead = of_dead || verdict.state == OwnerState::kDead;
    }
    const int signalled = ::kill(static_cast<pid_t>(verdict.pid), 0) == 0 ? 0 : errno;
    if (of_dead) {
      remove(verdict, file, snapshot.modified, signalled == ESRCH);
    } else if (signalled == EPERM) {
      verdict.reason = "other_user";
      verdict.text = fmt::format("PID {} is alive but owned by another user, skipping.", verdict.pid);
    } else if (verdict.state == OwnerState::kAlive) {
      verdict.reason = "alive";
    } else {
      verdict.reason = "unsure";
      verdict.text = fmt::format("PID {} may be another process by now, skipping {}", verdict.pid, path);
    }
  }

  // Whether it is too early to remove a file. What a process writes into a mapping does not move the time
  // stamp on tmpfs, and late elsewhere: so this is the file's age, not how long its owner is dead. The age
  // is what counts: agents read a file that they know to its end after it was removed.
  [[nodiscard]] bool too_young(const Verdict& verdict, system_clock::time_point changed) const {
    if (options_.older_than <= Seconds{0}) return false;
    const Seconds modified = changed.time_since_epoch();
    const Seconds now = system_clock::now().time_since_epoch();
    const Seconds newest =
        std::isfinite(verdict.created) ? std::max(modified, Seconds(verdict.created)) : modified;
    return now - newest < options_.older_than;
  }

  // Removes the file of a dead owner, if nothing speaks against it.
  void remove(Verdict& verdict, const mmstats::OpenedFile& file, system_clock::time_point modified,
              bool not_found) {
    const std::string path = printable(verdict.path);
    std::string dead;
    if (not_found) {
      verdict.reason = "not_found";
      dead = fmt::format("PID {} not found", verdict.pid);
    } else if (owners_.state(verdict.pid, std::numeric_limits<double>::max(), steady_clock::now()) ==
               OwnerState::kDead) {
      verdict.reason = "ended";
      dead = fmt::format("PID {} has ended", verdict.pid);
    } else if (owners_.state(verdict.pid, verdict.created, began_) == OwnerState::kDead) {
      verdict.reason = "recycled";
      dead = fmt::format("PID {} is another process now", verdict.pid);
    } else {
      verdict.reason = "let_go";
      dead = fmt::format("PID {} does not map the file any more, or was one of a container that is gone",
                         verdict.pid);
    }
    const auto keep = [&](std::string_view reason, std::string_view but) {
      verdict.reason = reason;
      verdict.text = fmt::format("{}, but {} {}, skipping.", dead, path, but);
    };
    if (too_young(verdict, modified)) {
      return keep("too_young", fmt::format("is younger than {} s", options_.older_than.count()));
    }
    const auto act = options_.dry_run ? mmstats::check_unwritten : mmstats::remove_unwritten;
    const auto removed = act(file.file, file.folder, file.name, verdict.path);
    if (removed) {
      verdict.action = options_.dry_run ? Action::kWouldRemove : Action::kRemoved;
      verdict.text = fmt::format("{}. {} {}", dead, options_.dry_run ? "Would delete" : "Deleting", path);
      return;
    }
    const Error& error = removed.error();
    if (error.kind == ErrorKind::kBusy && error.sys_errno == 0) {
      return keep("mapped", "is still mapped by some process");
    }
    if (error.kind == ErrorKind::kChanged) return keep("replaced", "is another file by now");
    if (error.kind == ErrorKind::kNotFound) {
      verdict.action = Action::kGone;
      return keep("gone", "is gone already");
    }
    verdict.action = Action::kFailed;
    verdict.reason = error.kind == ErrorKind::kBusy ? "may_be_mapped" : "not_removed";
    verdict.text =
        options_.dry_run
            ? fmt::format("{}, but {} could not be removed: {}", dead, path, cause(error))
            : fmt::format("{}. Deleting {}\nCould not remove {}: {}", dead, path, path, cause(error));
  }

  const Options& options_;
  mmstats::FoundOpener opener_;
  mmstats::Owners owners_;
  steady_clock::time_point began_ = steady_clock::now();
  mmstats::ParsedFile content_;
};

// Tells what was done, and counts.
class Report {
 public:
  Report(Output& out, const Options& options) : out_(out), options_(options) {}
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;
  virtual ~Report() = default;

  virtual void begin() {}
  void add(const Verdict& verdict) {
    const bool removed = verdict.action == Action::kRemoved || verdict.action == Action::kWouldRemove;
    if (removed) ++removed_;
    if (verdict.reason == "alive") ++alive_;
    if (verdict.action == Action::kFailed) failed_ = true;
    if (options_.quiet && !removed && verdict.action != Action::kFailed) return;
    write(verdict);
  }
  virtual void end() {}

  [[nodiscard]] bool failed() const { return failed_; }

 protected:
  virtual void write(const Verdict& verdict) = 0;

  Output& out_;
  const Options& options_;
  std::size_t removed_ = 0;
  std::size_t alive_ = 0;

 private:
  bool failed_ = false;
};

class TextReport final : public Report {
 public:
  using Report::Report;

  void write(const Verdict& verdict) override {
    if (!verdict.text.empty()) out_ << verdict.text << "\n";
  }
  void end() override {
    if (options_.quiet) return;
    out_ << fmt::format("{} {}  -  {} alive\n", options_.dry_run ? "Would remove" : "Removed", removed_,
                        alive_);
  }
};

class JsonReport final : public Report {
 public:
  using Report::Report;

  void begin() override { out_ << "["; }
  void write(const Verdict& verdict) override {
    if (!std::exchange(first_, false)) out_ << ",\n ";
    const auto known = [](const auto& value, bool is_known) { return is_known ? Json(value) : Json(); };
    out_ << mmstats::json_text({{"file", verdict.path},
                                {"pid", known(verdict.pid, verdict.pid != 0)},
                                {"created", known(verdict.created, verdict.created > 0)},
                                {"state", to_string(verdict.state)},
                                {"action", word(verdict.action)},
                                {"reason", verdict.reason},
                                {"message", known(verdict.text, !verdict.text.empty())}});
  }
  void end() override { out_ << "]\n"; }

 private:
  bool first_ = true;
};

void clean_found(Cleaner& cleaner, Report& report, const std::vector<std::string>& globs, bool quiet) {
  const auto [files, errors] = mmstats::find_files(globs);
  for (const auto& error : errors) {
    if (const auto verdict = Cleaner::unreadable(error)) report.add(*verdict);
  }
  if (files.empty() && errors.empty() && !quiet) {
    mmstats::complain(kProgram, mmstats::nothing_found(globs));
  }
  for (const auto& file : files) {
    const auto verdict = cleaner.clean(file);
    // Files come and go; one that went since we looked is not missed.
    if (verdict && verdict->action != Action::kGone) report.add(*verdict);
  }
  // Nobody asked for these: of what is wrong with their folders the files above told.
  for (const auto& file : mmstats::find_files(mmstats::temporary_globs(globs)).files) {
    const auto verdict = cleaner.clean_temporary(file);
    if (verdict && verdict->action != Action::kGone) report.add(*verdict);
  }
}

void add_options(CLI::App& app, Options& options) {
  app.add_flag("-n,--dry-run", options.dry_run, "Remove nothing, and say what would be removed");
  app.add_flag("--json", options.json, "One JSON array, an object for each file");
  app.add_option_function<std::string>(
         "--older-than", [&](const std::string& text) { options.older_than = *parse_duration(text); },
         "Keep files that were made or changed more recently than this,\n"
         "in seconds, or as 10min, 2h, 1d, 1w")
      ->type_name("DURATION")
      ->check([](const std::string& text) {
        return parse_duration(text)
                   ? std::string()
                   : "\"" + printable(text) + "\" is not possible, it takes seconds, or as 10min, 2h, 1d, 1w";
      });
  app.add_flag("-q,--quiet", options.quiet, "Tell only of files that were removed, or could not be");
  app.add_option("FILE", options.files,
                 "Files to look at; default: those that MMSTATS_GLOB or MMSTATS_PATH names,\n"
                 "else /run/mmstats/*.mmstats and /tmp/*.mmstats");
}

// A reader who leaves ends the telling, not the cleaning; nor does a full disk.
int run(Options& options) {
  Output out;
  TextReport text_report(out, options);
  JsonReport json_report(out, options);
  Report& report = options.json ? static_cast<Report&>(json_report) : text_report;
  Cleaner cleaner(options);
  report.begin();
  if (options.files.empty()) {
    // Where readers look when nobody tells them.
    clean_found(cleaner, report, mmstats::default_globs(), options.quiet);
  }
  for (const auto& file : options.files) {
    if (!mmstats::names_one_file(file)) {
      clean_found(cleaner, report, {mmstats::named_glob(file)}, options.quiet);
    } else if (const auto verdict = cleaner.clean({file})) {
      report.add(*verdict);
    }
  }
  report.end();
  return out.finish(kProgram) && !report.failed() ? kAllWell : kSomeFailed;
}

}  // namespace

int main(int argc, char** argv) {
  return mmstats::run_tool(argc, argv,
                           {.name = std::string(kProgram),
                            .description = "Removes mmstats files of dead processes.",
                            .failed = kSomeFailed,
                            .usage = kUsage},
                           add_options, run);
}

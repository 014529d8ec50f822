#include "tools/pollstats/column_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <limits>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "collect/discover.h"
#include "collect/rules.h"
#include "collect/watch.h"
#include "format/bucket_field.h"
#include "format/metadata_index.h"
#include "mmstats/parse.h"
#include "mmstats/snapshot.h"
#include "tools/pollstats/file_filter.h"
#include "tools/pollstats/near_labels.h"
#include "tools/pollstats/unknown_dimensions.h"
#include "tools/shared/find_files.h"
#include "tools/shared/output.h"

namespace pollstats {
namespace {

using std::chrono::steady_clock;

constexpr std::string_view kProgram = "pollstats";

enum Level : int { kErrors, kWarnings, kInfo, kDebug };

extern "C" void on_interrupt(int) {
  // All lines that are written are whole ones. It may be writing that we are stuck in.
  if (::isatty(STDOUT_FILENO) != 0) {
    [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, "\n", 1);
  }
  ::_exit(0);
}

Look look_at_output(bool rate) {
  Look look{.rate = rate};
  if (::isatty(STDOUT_FILENO) == 0) return look;
  winsize size{};
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  look.terminal_width = known ? size.ws_col : std::size_t{80};
  const char* no_colour = std::getenv("NO_COLOR");
  const char* type = std::getenv("TERM");
  look.colour =
      (no_colour == nullptr || *no_colour == '\0') && type != nullptr && std::string_view(type) != "dumb";
  return look;
}

// Waits for `until`; false if meanwhile nobody is left to read the output.
bool wait(steady_clock::time_point until) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::nanoseconds>(until - steady_clock::now());
    if (left.count() <= 0) return true;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
    const timespec timeout{seconds.count(), (left - seconds).count()};
    pollfd output{STDOUT_FILENO, 0, 0};
    if (::ppoll(&output, 1, &timeout, nullptr) > 0 && (output.revents & (POLLERR | POLLNVAL)) != 0)
      return false;
    if ((output.revents & POLLHUP) != 0) return false;
  }
}

constexpr std::size_t kMaxLabels = 20'000;
// What is looked through for labels that are near takes no longer than a moment.
constexpr std::size_t kMaxNear = 10;
constexpr std::size_t kMaxNearLabels = 5'000;

// All labels, of texts and static values too; as many as can be looked through in a moment.
struct Labels {
  std::set<std::string> usual;
  std::set<std::string> of_buckets;  // which are no values of their own
};

Labels all_labels(const std::vector<std::string>& globs, const Options& options) {
  mmstats::Discovery discovery(globs, {.max_held = 0});
  discovery.scan(std::chrono::system_clock::now());
  Labels labels;
  mmstats::ParsedFile content;
  for (const auto file : discovery.files()) {
    if (labels.usual.size() + labels.of_buckets.size() >= kMaxLabels) break;
    const auto snapshot = discovery.snapshot(file);
    if (!snapshot) continue;
    mmstats::parse(snapshot->bytes, content);
    if (!passes(options.filters, content)) continue;
    const mmstats::MetadataIndex about(content);
    for (const auto& field : content.fields) {
      if (!about.is_there(field)) continue;
      if (mmstats::bucket_field(field)) {
        labels.of_buckets.emplace(field.label);
      } else if (!mmstats::label_has_suffix(field.label, mmstats::kRoomLabel)) {
        labels.usual.emplace(field.label);
      }
    }
  }
  return labels;
}

class Report {
 public:
  Report(const Options& options, Columns columns, const std::vector<std::string>& globs, mmstats::Rules rules)
      : options_(options),
        columns_(std::move(columns)),
        globs_(globs),
        watch_(watch_options(), std::move(rules)) {}

  int run() {
    Cadence cadence(steady_clock::now(), options_.delay);
    for (std::uint64_t line = 0; !options_.count || line < *options_.count; ++line) {
      if (!wait(cadence.next())) {
        out_.reader_left();
        break;
      }
      const auto at = std::chrono::system_clock::now();
      scan(at);
      write(line, at);
      if (out_.failed()) break;
      if (const auto missed = cadence.advance(steady_clock::now()); missed > 0) {
        say(kWarnings, fmt::format("the last line took longer than the delay; left out: {}", missed));
      }
    }
    // If nobody reads any more, this ends the process as it ends any filter.
    return out_.finish(kProgram) ? 0 : 1;
  }

 private:
  mmstats::WatchOptions watch_options() {
    mmstats::WatchOptions watch;
    watch.globs = globs_;
    if (!options_.filters.empty() || !options_.grouping.where.empty()) {
      watch.keep = [this](const std::string&, const mmstats::ParsedFile& content) {
        if (!passes(options_.filters, content)) return false;
        unknown_.meet(content);
        return true;
      };
    }
    return watch;
  }

  void say(Level level, std::string_view text) const {
    if (options_.verbosity >= level) mmstats::complain(kProgram, text);
  }

  void scan(std::chrono::system_clock::time_point at) {
    const auto now = steady_clock::now();
    const auto& report = watch_.scan(at, now);
    samples_.take(watch_.series(), now);
    const bool changed = columns_.update(watch_.series());
    const std::size_t rates = options_.rate ? columns_.rates() : 0;
    new_columns_ = new_columns_ || changed || rates != rates_;
    rates_ = rates;
    for (const auto& error : report.errors) mmstats::complain(kProgram, error.text());
    watch_.told(report.errors.size());
    if (const auto more = report.untold - report.errors.size(); more != 0) {
      mmstats::complain(kProgram, fmt::format("more complaints, for the next lines: {}", more));
    }
    tell(report);
    if (samples_.scans() == 1) tell_what_is_missing();
  }

  // `labels`: sorted.
  void tell_why_missing(const std::string& text, bool has_wildcards, std::span<const std::string> labels) {
    const auto name = mmstats::printable(text);
    if (std::ranges::binary_search(labels, text)) {
      return mmstats::complain(
          kProgram,
          name + " is a text, or written once: it has no changes to show; slurpstats shows what it is");
    }
    std::vector<std::string> near;
    if (!has_wildcards && ++looked_for_near_ <= kMaxNear) {
      near = near_labels(text, labels.first(std::min(labels.size(), kMaxNearLabels)));
    }
    for (auto& label : near) label = mmstats::printable(label);
    if (near.empty()) return mmstats::complain(kProgram, name + ": no file has it as a value over time");
    mmstats::complain(kProgram, fmt::format("{}: no file has it; near: {}", name, fmt::join(near, ", ")));
  }

  // On -vv and -vvv.
  void tell(const mmstats::ScanReport& report) {
    const mmstats::FoldStats& now = watch_.stats();
    if (now.lives != told_.lives) say(kInfo, fmt::format("lives begun: {}", now.lives - told_.lives));
    if (now.resets != told_.resets) {
      say(kInfo, fmt::format("counters that began again: {}", now.resets - told_.resets));
    }
    if (now.truncated_lives != told_.truncated_lives) {
      say(kInfo, fmt::format("files that another process took over in place: {}",
                             now.truncated_lives - told_.truncated_lives));
    }
    if (now.unstable != told_.unstable) {
      say(kInfo, fmt::format("values that changed too fast to be read: {}", now.unstable - told_.unstable));
    }
    say(kDebug, fmt::format("{} files, {} of dead processes, {} with problems, {} series, read in {:.3f} ms",
                            now.files, now.dead, now.damaged, now.series, report.elapsed.count() * 1000));
    told_ = now;
  }

  void tell_what_is_missing() {
    if (watch_.files() == 0) {
      mmstats::complain(kProgram, mmstats::nothing_found(globs_));
      return;
    }
    const auto missing = columns_.missing();
    if (const auto unknown = text_of(unknown_); !unknown.empty()) {
      mmstats::complain(kProgram, "--where: " + unknown);
      return;
    }
    if (missing.empty()) return;
    const auto labels = all_labels(globs_, options_);
    const std::vector<std::string> choice(labels.usual.begin(), labels.usual.end());
    for (const auto& [text, has_wildcards] : missing) {
      if (labels.of_buckets.contains(text)) {
        mmstats::complain(kProgram, mmstats::printable(text) +
                                        ": buckets of a histogram, whose count and percentiles are fields: "
                                        "LABEL.count, LABEL.p99");
        continue;
      }
      tell_why_missing(text, has_wildcards, choice);
    }
  }

  void write(std::uint64_t line, std::chrono::system_clock::time_point at) {
    if (options_.json) {
      out_ << columns_.json(samples_, at) << "\n";
    } else {
      const Look look = look_at_output(options_.rate);
      const bool due = line == 0 || (options_.headers > 0 && lines_since_header_ >= options_.headers);
      if (due || new_columns_ || look.terminal_width != width_) {
        out_ << columns_.header(look) << "\n";
        lines_since_header_ = 0;
      }
      width_ = look.terminal_width;
      new_columns_ = false;
      out_ << columns_.line(samples_, look) << "\n";
      ++lines_since_header_;
    }
    out_.flush();
  }

  const Options& options_;
  Columns columns_;
  const std::vector<std::string>& globs_;
  UnknownDimensions unknown_{options_.grouping};
  mmstats::Watch watch_;
  Samples samples_{0};
  mmstats::Output out_;
  mmstats::FoldStats told_;
  std::size_t looked_for_near_ = 0;
  bool new_columns_ = false;
  std::size_t rates_ = 0;  // columns of them
  std::uint64_t lines_since_header_ = 0;
  std::optional<std::size_t> width_;
};

}  // namespace

int report_columns(const Options& options, Columns columns, const std::vector<std::string>& globs) {
  mmstats::Rules rules;
  // Else a field may name what labels do not begin with.
  const bool named_by_labels = !options.grouping.by && options.grouping.labels.empty();
  for (const auto& pattern : named_by_labels ? columns.patterns() : std::vector<std::string>()) {
    if (const auto added = rules.include(pattern); !added) {
      mmstats::complain(kProgram, added.error().text());
      return kUsage;
    }
  }
  if (const auto added = add_rules(options.grouping, rules); !added) {
    mmstats::complain(kProgram, added.error().message);
    return kUsage;
  }
  rules.percentiles(columns.percentiles());
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
  return Report(options, std::move(columns), globs, std::move(rules)).run();
}

}  // namespace pollstats

#include "tools/pollstats/live_run.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <langinfo.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "collect/rules.h"
#include "collect/watch.h"
#include "tools/pollstats/field_pattern.h"
#include "tools/pollstats/file_filter.h"
#include "tools/pollstats/live_view.h"
#include "tools/pollstats/processes.h"
#include "tools/pollstats/samples.h"
#include "tools/pollstats/series_processes.h"
#include "tools/pollstats/terminal.h"
#include "tools/pollstats/unknown_dimensions.h"
#include "tools/shared/output.h"

namespace pollstats {
namespace {

using std::chrono::steady_clock;
using std::chrono::system_clock;

// Signals come in order with keys, between two steps: so none interrupts a drawing.
class Signals {
 public:
  Signals() {
    ::sigemptyset(&set_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH}) {
      ::sigaddset(&set_, signal);
    }
    ::pthread_sigmask(SIG_BLOCK, &set_, &before_);
    fd_ = ::signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals() {
    ::close(fd_);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

  [[nodiscard]] int fd() const { return fd_; }

  // The next one that came, or 0.
  [[nodiscard]] int next() const {
    signalfd_siginfo info{};
    return ::read(fd_, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
  }

 private:
  sigset_t set_{};
  sigset_t before_{};
  int fd_ = -1;
};

class Live {
 public:
  Live(const Options& options, const std::vector<std::string>& globs, bool unicode, Terminal& terminal,
       const Signals& signals)
      : options_(options),
        globs_(globs),
        terminal_(terminal),
        signals_(signals),
        view_(options.prefix.size(), unicode, options.delay, options.grouping),
        processes_(globs, [this](const std::string&, const mmstats::ParsedFile& content) {
          return passes(options_.filters, content);
        }) {
    begin_watch();
  }

  // Returns the signal that ended it, or 0.
  int run() {
    while (!leave_) {
      const auto now = steady_clock::now();
      if (!view_.paused() && now >= next_) scan(now);
      terminal_.draw(view_.compose(terminal_.width(), terminal_.height()));
      if (options_.count && scans_ >= *options_.count) break;
      wait();
    }
    return ended_by_;
  }

 private:
  // Whose files count is asked once of each file: another choice takes another watch.
  void begin_watch() {
    mmstats::WatchOptions watch;
    watch.globs = globs_;
    watch.keep = [this](const std::string& path, const mmstats::ParsedFile& content) {
      const auto& chosen = view_.chosen();
      if (!passes(options_.filters, content)) return false;
      unknown_.meet(content);
      ProcessId id = process_of(path, content);
      if (chosen.empty() || chosen.contains(id)) return true;
      id.ended = true;
      return chosen.contains(id);
    };
    mmstats::Rules rules;
    // What labels a terminal's line may be made of is known to be a valid pattern.
    if (!options_.prefix.empty()) static_cast<void>(rules.include(quoted_re2(options_.prefix) + ".*"));
    // parse() has tried them.
    static_cast<void>(add_rules({view_.by(), options_.grouping.where, options_.grouping.labels}, rules));
    view_.begin_anew();
    samples_ = Samples(kHistory);
    watch_ = std::make_unique<mmstats::Watch>(std::move(watch), std::move(rules));
    next_ = last_scan_ = steady_clock::now();
  }

  void scan(steady_clock::time_point now) {
    const auto at = system_clock::now();
    const auto& report = watch_->scan(at, now);
    samples_.take(watch_->series(), now);
    Facts facts;
    facts.time = std::chrono::duration<double>(at.time_since_epoch()).count();
    const std::time_t seconds = system_clock::to_time_t(at);
    std::tm local{};
    ::localtime_r(&seconds, &local);
    facts.clock = fmt::format("{:%H:%M:%S}", local);
    facts.files = watch_->stats().files;
    facts.dead = watch_->stats().dead;
    facts.failed = report.complaints;
    if (!report.errors.empty()) facts.complaint = report.errors.back().text();
    watch_->told(report.errors.size());
    facts.unknown = text_of(unknown_);
    view_.take(watch_->series(), watch_->distributions(), samples_, std::move(facts));
    ++scans_;
    last_scan_ = now;
    take_processes();
    Cadence cadence(next_, view_.delay());
    cadence.advance(steady_clock::now());
    next_ = cadence.next();
  }

  void take_processes() {
    if (!view_.shows_processes()) return;
    const auto& choice = view_.processes_of();
    if (!choice) return view_.take(processes_.scan(system_clock::now(), steady_clock::now()));
    if (!begun_) parts_.begin(*choice);
    begun_ = true;
    view_.take(parts_.take(*watch_, last_scan_));
  }

  void wait() {
    std::array<pollfd, 2> waits{{{terminal_.keys_fd(), POLLIN, 0}, {signals_.fd(), POLLIN, 0}}};
    timespec timeout{};
    if (!view_.paused()) {
      const auto left = std::max(next_ - steady_clock::now(), steady_clock::duration::zero());
      const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
      timeout = {seconds.count(), std::chrono::nanoseconds(left - seconds).count()};
    }
    if (::ppoll(waits.data(), waits.size(), view_.paused() ? nullptr : &timeout, nullptr) <= 0) return;
    while (const int signal = signals_.next()) take_signal(signal);
    if (waits[0].revents != 0) take_keys(waits[0].revents);
  }

  void take_signal(int signal) {
    switch (signal) {
      case SIGTSTP:
        terminal_.suspend();
        break;
      case SIGCONT:
      case SIGWINCH:
        terminal_.repaint();
        break;
      default:
        leave_ = true;
        // Ctrl-C is how people leave.
        if (signal != SIGINT) ended_by_ = signal;
        break;
    }
  }

  void take_keys(short events) {
    int waiting = 0;
    ::ioctl(terminal_.keys_fd(), FIONREAD, &waiting);
    // Something is there to be read, and it is nothing: the end.
    if ((events & POLLIN) == 0 || waiting == 0) take_key({Key::Name::kGone, 0});
    while (const auto key = terminal_.read_key()) take_key(*key);
  }

  void take_key(const Key& key) {
    const auto delay = view_.delay();
    const bool paused = view_.paused();
    const bool had_processes = view_.shows_processes();
    switch (view_.press(key)) {
      case LiveView::Wish::kLeave:
        leave_ = true;
        break;
      case LiveView::Wish::kSuspend:
        terminal_.suspend();
        break;
      case LiveView::Wish::kRepaint:
        terminal_.repaint();
        break;
      case LiveView::Wish::kChoose:
        begin_watch();
        break;
      case LiveView::Wish::kMouse:
        Terminal::use_mouse(view_.uses_mouse());
        break;
      default:
        break;
    }
    if (view_.delay() != delay) next_ = last_scan_ + view_.delay();
    if (paused && !view_.paused()) next_ = steady_clock::now();
    if (!had_processes) {
      begun_ = false;
      take_processes();
    }
  }

  const Options& options_;
  const std::vector<std::string>& globs_;
  Terminal& terminal_;
  const Signals& signals_;
  LiveView view_;
  Processes processes_;
  SeriesProcesses parts_{kHistory};
  bool begun_ = false;  // of the series whose processes are shown
  UnknownDimensions unknown_{options_.grouping};
  Samples samples_{kHistory};
  std::unique_ptr<mmstats::Watch> watch_;
  steady_clock::time_point next_;
  steady_clock::time_point last_scan_;
  std::uint64_t scans_ = 0;
  bool leave_ = false;
  int ended_by_ = 0;
};

}  // namespace

int run_live(const Options& options, const std::vector<std::string>& globs) {
  const bool unicode = std::string_view(::nl_langinfo(CODESET)) == "UTF-8";
  const char* no_colour = std::getenv("NO_COLOR");
  int signal = 0;
  {
    // Blocked before ncurses is there, so that none comes while it takes the terminal over.
    const Signals signals;
    auto terminal = Terminal::open(no_colour == nullptr || *no_colour == '\0');
    if (!terminal) {
      mmstats::complain("pollstats", terminal.error().text());
      return 1;
    }
    signal = Live(options, globs, unicode, **terminal, signals).run();
    terminal->reset();
  }
  if (signal == 0) return 0;
  std::signal(signal, SIG_DFL);
  std::raise(signal);
  return 1;
}

}  // namespace pollstats

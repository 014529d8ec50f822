#include "plugin_pinba/forward/delivery.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <thread>
#include <utility>

#include "plugin_pinba/forward/preview.h"

namespace mmstats::forward {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr milliseconds kPreviousServersTime{2'000};  // that the previous servers get
constexpr milliseconds kRefusal{200};                // that may come from far away
constexpr milliseconds kLookAgain{1'000};            // while a name is looked up

}  // namespace

bool Delivery::configure(const Config& config) {
  encoder_ = pinba::Encoder(encode_options(config));
  told_dropped_ = false;
  if (dry_run_) return true;
  auto options = sender_options(config);
  if (sender_ && options.servers == options_.servers && options.spread == options_.spread) return true;
  auto sender = pinba::Sender::make(options);
  if (!sender) {
    log_.say(Priority::kError, sender.error().text());
    return false;
  }
  send_all(kPreviousServersTime);
  sender_ = std::move(*sender);
  options_ = std::move(options);
  told_.clear();
  for (const auto& server : options_.servers) told_.push_back({.server = server});
  look_at_ = Steady::now() + kRefusal;
  return true;
}

void Delivery::take(const pinba::Request& request) {
  const auto datagrams = encoder_.encode(request);
  ++requests_;
  datagrams_ += datagrams.size();
  const auto& changes = encoder_.changes();
  const bool dropped =
      (changes.timers_dropped != 0 && encoder_.options().continue_timers) || changes.tags_dropped != 0;
  if (dropped && !std::exchange(told_dropped_, true)) {
    log_.complain(fmt::format(
        "script \"{}\": {} timers and {} request tags are left out, as they are too long for a datagram of "
        "{} "
        "bytes (max_datagram)",
        request.script_name, changes.timers_dropped, changes.tags_dropped, encoder_.options().max_bytes));
  }
  if (dry_run_) {
    const auto text = preview(request, datagrams);
    std::fwrite(text.data(), 1, text.size(), stdout);
  } else {
    outbox_.add(datagrams, request.script_name);
  }
}

void Delivery::end_scan() {
  if (dry_run_) std::fflush(stdout);
  tell(true);
}

void Delivery::look() {
  look_at_.reset();
  if (!sender_) return;
  sender_->flush();
  tell(false);
  for (std::size_t i = 0; i < told_.size(); ++i) {
    const auto one = sender_->counts(i);
    if (one.queued != 0 || (one.addresses == 0 && one.not_found == 0)) look_at_ = Steady::now() + kLookAgain;
  }
}

// That packets arrive again is known when a whole scan's did.
void Delivery::tell(bool is_end_of_scan) {
  for (std::size_t i = 0; i < told_.size(); ++i) {
    const auto counts = sender_->counts(i);
    const std::uint64_t lost = counts.dropped + counts.refused;
    Told& told = told_[i];
    if (const bool not_found = counts.not_found != 0; not_found != told.not_found) {
      told.not_found = not_found;
      // A name that comes and goes, or a server, must not fill the log either.
      log_.complain(not_found ? fmt::format("server {}: its name is not found; {} packets wait", told.server,
                                            counts.queued)
                              : fmt::format("server {}: its name is found again", told.server),
                    not_found ? Priority::kWarning : Priority::kNotice);
    }
    if (lost > told.lost) {
      if (!std::exchange(told.losing, true)) {
        log_.complain(fmt::format(
            "server {}: packets are lost: {} came back, as nobody listens there or a firewall lets none "
            "through; {} that could not be sent",
            told.server, counts.refused, counts.dropped));
      }
      told.sent = counts.sent;
    } else if (is_end_of_scan && told.losing && counts.sent > told.sent) {
      told.losing = false;
      log_.complain(fmt::format("server {}: takes packets again; {} lost", told.server, lost),
                    Priority::kNotice);
    }
    told.lost = lost;
    if (is_end_of_scan) told.sent = counts.sent;
  }
}

void Delivery::send_burst() {
  outbox_.send_burst(*sender_);
  if (!waits()) look_at_ = Steady::now() + kRefusal;
}

void Delivery::send_all(milliseconds at_most) {
  if (!sender_) return;
  while (waits()) {
    send_burst();
    if (waits()) std::this_thread::sleep_for(Outbox::kPause);
  }
  if (at_most.count() > 0) sender_->flush(at_most, std::min(at_most, kRefusal));
}

bool Delivery::is_all_sent(milliseconds at_most) const {
  if (!sender_) return true;
  const auto deadline = Steady::now() + at_most;
  bool all_found = true;
  for (std::size_t i = 0; i < told_.size(); ++i) {
    auto counts = sender_->counts(i);
    for (; counts.addresses == 0 && counts.not_found == 0 && Steady::now() < deadline;
         counts = sender_->counts(i)) {
      std::this_thread::sleep_for(Outbox::kPause);
    }
    if (counts.addresses != 0) continue;
    all_found = false;
    if (!told_[i].not_found) {
      log_.say(Priority::kError, fmt::format("server {}: its name is not found", told_[i].server));
    }
  }
  const auto counts = sender_->counts();
  if (counts.queued != 0) {
    log_.say(Priority::kError, fmt::format("packets that could not be sent: {}", counts.queued));
  }
  return all_found && counts.queued == 0 && counts.dropped == 0 && counts.refused == 0;
}

}  // namespace mmstats::forward

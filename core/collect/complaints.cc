#include "collect/complaints.h"

#include <fmt/format.h>

#include <utility>

#include "base/keyed_hash.h"
#include "base/utf8.h"

namespace mmstats {
namespace {

constexpr std::string_view kCut = " ... ";

std::uint64_t hash(const Error& error, uid_t owner) {
  KeyedHasher hasher;
  hasher.add(static_cast<std::uint64_t>(error.kind));
  hasher.add(static_cast<std::uint64_t>(error.sys_errno));
  hasher.add(error.offset);
  hasher.add(error.path);
  hasher.add(std::uint64_t{owner});
  // Nothing but its text tells it from others. What a path has is one, though the text says how many.
  if (error.path.empty()) hasher.add(error.message);
  return hasher.finish();
}

}  // namespace

ComplaintLog::ComplaintLog(Write write, int level, unsigned per_scan)
    : write_(std::move(write)), level_(level), per_scan_(per_scan) {}

void ComplaintLog::begin_scan(std::chrono::steady_clock::time_point now) {
  if (!began_ || now - minute_began_ >= std::chrono::minutes(1)) {
    began_ = true;
    minute_began_ = now;
    left_in_minute_ = kPerMinute;
    first_in_minute_ = 0;
    told_waiting_ = false;
  }
  left_in_scan_ = per_scan_;
  // Whoever can make those that are made once must not keep all others out.
  while (left_in_scan_ > per_scan_ / 2 && first_in_minute_ < kPerMinute / 2 && write_queued())
    ++first_in_minute_;
}

bool ComplaintLog::write_queued() {
  if (queued_.empty() || !spend()) return false;
  write_(queued_.front().first, queued_.front().second);
  queued_.pop_front();
  return true;
}

bool ComplaintLog::spend() {
  if (left_in_scan_ == 0 || left_in_minute_ == 0) return false;
  --left_in_scan_;
  --left_in_minute_;
  return true;
}

bool ComplaintLog::tell(int level, std::string_view text) {
  if (!spend()) return false;
  write_(level, text);
  return true;
}

void ComplaintLog::tell_once(int level, std::string_view text) {
  if (tell(level, text)) return;
  if (queued_.size() < kMaxQueued) {
    queued_.emplace_back(level, text);
  } else {
    ++lost_;
  }
}

void ComplaintLog::end_scan(std::uint64_t waiting) {
  while (write_queued()) continue;
  waiting += queued_.size();
  if (waiting == 0) last_waiting_ = 0;
  if (told_waiting_ || (waiting == last_waiting_ && lost_ == last_lost_)) return;
  told_waiting_ = true;
  std::string text;
  if (waiting != 0) {
    text = fmt::format("complaints that wait to be logged: {} (at most {}{} in a minute)", waiting,
                       per_scan_ < kPerMinute ? fmt::format("{} at a scan and ", per_scan_) : "", kPerMinute);
  }
  if (lost_ != last_lost_) {
    text += fmt::format("{}complaints that were left out: {}", text.empty() ? "" : "; ", lost_ - last_lost_);
  }
  write_(level_, text);
  last_waiting_ = waiting;
  last_lost_ = lost_;
}

void ComplaintLog::end() {
  for (const auto& [level, text] : queued_) write_(level, text);
  queued_.clear();
  if (lost_ == last_lost_) return;
  write_(level_, fmt::format("complaints that were left out: {}", lost_ - last_lost_));
  last_lost_ = lost_;
}

bool ToldComplaints::has(const Error& error, uid_t owner) {
  const auto known = told_.find(hash(error, owner));
  if (known == told_.end()) return false;
  known->second.scan = scan_;
  return true;
}

void ToldComplaints::add(const Error& error, uid_t owner) {
  const auto [known, added] = told_.try_emplace(hash(error, owner), Told{scan_, owner});
  known->second.scan = scan_;
  if (added && !room_.take(owner, 1)) told_.erase(known);
}

void ToldComplaints::begin_scan() {
  std::erase_if(told_, [&](const auto& entry) {
    if (entry.second.scan == scan_) return false;
    room_.give(entry.second.owner, 1);
    return true;
  });
  ++scan_;
}

std::string log_line(std::string_view text, std::size_t max_bytes) {
  std::string line = printable(text);
  if (line.size() <= max_bytes) return line;
  std::size_t head = (max_bytes - kCut.size()) / 2;
  std::size_t tail = line.size() - (max_bytes - kCut.size() - head);
  while (head > 0 && !begins_character(line[head])) --head;
  while (tail < line.size() && !begins_character(line[tail])) ++tail;
  line.replace(head, tail - head, kCut);
  return line;
}

}  // namespace mmstats

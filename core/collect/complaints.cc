#include "collect/complaints.h"

#include <functional>
#include <utility>

#include "base/utf8.h"

namespace mmstats {
namespace {

constexpr std::string_view kCut = " ... ";

std::size_t hash(const Error& error) {
  const std::size_t where = std::hash<std::string_view>{}(error.path);
  const std::size_t what =
      (static_cast<std::size_t>(error.kind) << 48U) ^ (static_cast<std::size_t>(error.sys_errno) << 32U);
  return (where ^ what ^ error.offset) * 0x9E3779B97F4A7C15U;
}

}  // namespace

bool ComplaintBudget::begin_scan(std::chrono::steady_clock::time_point now) {
  const bool new_minute = !began_ || now - minute_began_ >= std::chrono::minutes(1);
  if (new_minute) {
    began_ = true;
    minute_began_ = now;
    left_in_minute_ = kPerMinute;
    told_in_minute_ = false;
  }
  left_in_scan_ = per_scan_;
  return new_minute;
}

bool ComplaintBudget::spend() {
  if (left_in_scan_ == 0 || left_in_minute_ == 0) {
    ++refused_;
    return false;
  }
  --left_in_scan_;
  --left_in_minute_;
  return true;
}

std::uint64_t ComplaintBudget::take_refused() {
  if (refused_ == 0 || told_in_minute_) return 0;
  told_in_minute_ = true;
  return std::exchange(refused_, 0);
}

bool KnownComplaints::is_new(const Error& error) {
  const auto [entry, fresh] = known_.try_emplace(hash(error), scan_);
  entry->second = scan_;
  return fresh;
}

void KnownComplaints::next_scan() {
  std::erase_if(known_, [&](const auto& entry) { return entry.second != scan_; });
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

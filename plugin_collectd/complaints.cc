#include "plugin_collectd/complaints.h"

#include <utility>

#include "mmstats/error.h"

namespace mmstats::collectd {
namespace {

constexpr std::string_view kCut = " ... ";

// UTF-8: whether a character may begin at this byte.
bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }

}  // namespace

void ComplaintBudget::begin_scan(std::chrono::steady_clock::time_point now) {
  if (!began_ || now - minute_began_ >= std::chrono::minutes(1)) {
    began_ = true;
    minute_began_ = now;
    left_in_minute_ = kPerMinute;
    told_in_minute_ = false;
  }
  left_in_scan_ = kPerScan;
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

}  // namespace mmstats::collectd

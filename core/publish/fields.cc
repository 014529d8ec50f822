#include "mmstats/fields.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "base/utf8.h"
#include "publish/thread_memory.h"

namespace mmstats {

using detail::Place;

namespace {

// The bytes of a text field: what is not UTF-8, at which the original readers fail, becomes '?'.
void write_text(char* into, std::size_t size, std::string_view text) {
  text = whole_characters(text, size);
  text.copy(into, text.size());
  std::memset(into + text.size(), 0, size - text.size());
  for (std::size_t at = 0;; ++at) {
    at += utf8_prefix({into + at, text.size() - at});
    if (at == text.size()) return;
    into[at] = '?';
  }
}

// More than a file can hold is kept private, more than this cut.
constexpr std::size_t kMaxText = std::size_t{1} << 20U;

detail::Added add_text(Model& model, std::string_view label, const About& about, std::size_t size,
                       bool buffered, std::string_view value) {
  std::string bytes(std::min(size, kMaxText), '\0');
  write_text(bytes.data(), bytes.size(), value);
  const auto type = std::to_string(size) + 's';
  return model.add_field({.label = label,
                          .type = type,
                          .size = bytes.size(),
                          .buffered = buffered,
                          .shared = false,
                          .kind = Kind::kProperty,
                          .initial = bytes.data()},
                         about);
}

// A mean, made by the class `made_by` with `parameter`, and `memory` bytes for each thread. There is none at
// first, and so none in a thread that never adds a value.
detail::Added add_mean(Model& model, std::string_view label, const About& about, std::string_view made_by,
                       std::size_t parameter, std::size_t memory) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  return model.add_field({.label = label,
                          .type = "d",
                          .size = sizeof(double),
                          .kind = Kind::kGauge,
                          .initial = &kNone,
                          .memory = memory,
                          .made_by = made_by,
                          .parameter = parameter},
                         about);
}

struct Mean {
  double sum;
  std::uint64_t count;

  [[nodiscard]] double value() const { return sum / static_cast<double>(count); }
};

// Followed by the values.
struct Ring {
  double sum;
  double last;
  double share;  // of each value in the mean: to divide would take longer than all else
  std::uint32_t count;
  std::uint32_t next;

  double* values() { return reinterpret_cast<double*>(this + 1); }
};

// Followed by a Mean for each second, by its remainder.
struct Seconds {
  Mean all;
  std::int64_t newest;

  Mean* means() { return reinterpret_cast<Mean*>(this + 1); }
};

}  // namespace

StringField::StringField(Model& model, std::string_view label, const About& about, std::size_t size,
                         std::string_view initial)
    : size_(std::min(size, kMaxText)),
      write_buffer_(add_text(model, label, about, size, true, initial).field) {}

void StringField::set(std::string_view text) const noexcept {
  auto* const write_buffer = state_at<std::uint8_t>(write_buffer_);
  if (write_buffer == nullptr) return;
  const std::uint8_t mine = *write_buffer & 1U;
  write_text(reinterpret_cast<char*>(write_buffer) + 1 + mine * size_, size_, text);
  std::atomic_ref(*write_buffer).store(mine ^ 1U, std::memory_order_release);
}

std::string_view StringField::value() const noexcept {
  const auto* const write_buffer = state_at<char>(write_buffer_);
  if (write_buffer == nullptr) return {};
  const std::size_t published = (static_cast<unsigned char>(*write_buffer) & 1U) ^ 1U;
  const std::string_view text(write_buffer + 1 + published * size_, size_);
  return text.substr(0, text.find('\0'));
}

StaticTextField::StaticTextField(Model& model, std::string_view label, std::string_view value,
                                 const About& about, std::size_t size) {
  add_text(model, label, about, size, false, value);
}

Average::Average(Model& model, std::string_view label, const About& about)
    : Average(add_mean(model, label, about, "Average", 0, sizeof(Mean))) {}

void Average::add(double value) const noexcept {
  auto* const mean = state_at<Mean>(state_);
  if (mean == nullptr || !std::isfinite(value)) return;
  mean->sum += value;
  ++mean->count;
  mean_.store(mean->value());
}

MovingAverage::MovingAverage(Model& model, std::string_view label, const About& about, std::size_t size)
    : MovingAverage(add_mean(model, label, about, "MovingAverage", bounded_size(size),
                             sizeof(Ring) + bounded_size(size) * sizeof(double)),
                    bounded_size(size)) {}

void MovingAverage::add(double value) const noexcept {
  auto* const ring = state_at<Ring>(state_);
  if (ring == nullptr || !std::isfinite(value)) return;
  double* const values = ring->values();
  ring->sum += value - values[ring->next];
  ring->last = values[ring->next] = value;
  if (ring->count < size_) ring->share = 1.0 / ++ring->count;
  if (++ring->next == size_) {
    ring->next = 0;
    // Once a round anew, or roundings would pile up for months.
    ring->sum = 0;
    for (std::uint32_t i = 0; i < size_; ++i) ring->sum += values[i];
  }
  mean_.store(ring->sum * ring->share);
}

double MovingAverage::last() const noexcept {
  const auto* const ring = state_at<Ring>(state_);
  return ring == nullptr ? 0 : ring->last;
}

WindowAverage::WindowAverage(Model& model, std::string_view label, const About& about, std::size_t seconds)
    : WindowAverage(add_mean(model, label, about, "WindowAverage", bounded_seconds(seconds),
                             sizeof(Seconds) + bounded_seconds(seconds) * sizeof(Mean)),
                    bounded_seconds(seconds)) {}

void WindowAverage::add(double value, Clock::time_point now) const noexcept {
  auto* const window = state_at<Seconds>(state_);
  if (window == nullptr || !std::isfinite(value)) return;
  Mean* const means = window->means();
  const auto second = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
  if (second > window->newest) {
    const auto passed = std::min<std::int64_t>(second - window->newest, seconds_);
    for (std::int64_t i = 0; i < passed; ++i) means[(second - i) % seconds_] = {};
    window->newest = second;
    window->all = {};
    for (std::uint32_t i = 0; i < seconds_; ++i) {
      window->all.sum += means[i].sum;
      window->all.count += means[i].count;
    }
  }
  for (Mean* mean : {&means[window->newest % seconds_], &window->all}) {
    mean->sum += value;
    ++mean->count;
  }
  mean_.store(window->all.value());
}

}  // namespace mmstats

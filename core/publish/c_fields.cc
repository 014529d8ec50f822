// The C interface to counters, texts, averages and histograms, in the order of mmstats.h.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "publish/c_family.h"
#include "publish/c_model.h"
#include "publish/thread_tables.h"

using mmstats::about;
using mmstats::handle_with;
using mmstats::keep;
using mmstats::keep_family;
using mmstats::text_or_empty;
using mmstats::Which;

// Begins with what the inline function in mmstats.h knows of it.
struct mmstats_counter {
  explicit mmstats_counter(const mmstats::Counter& counter)
      : where(counter.place().where()), field(counter) {}
  // One that no thread has by itself.
  explicit mmstats_counter(const mmstats::SharedCounter& counter)
      : where(mmstats::place_of(mmstats::kNoNumber, 0).where()), field(counter) {}

  std::uint64_t where;
  std::variant<mmstats::Counter, mmstats::SharedCounter> field;
};
static_assert(std::is_standard_layout_v<mmstats_counter>);

struct mmstats_string {
  mmstats::StringField field;
};

struct mmstats_average {
  std::variant<mmstats::Average, mmstats::MovingAverage, mmstats::WindowAverage> field;
};

struct mmstats_histogram {
  std::variant<mmstats::Histogram, mmstats::MovingHistogram, mmstats::WindowHistogram> field;
};

namespace {

template <class Handle, class Field, class... Size>
Handle* make_handle(mmstats_model* model, const char* label, const char* unit, const char* help,
                    Size... size) noexcept {
  std::uint64_t sizes = 0;
  ((sizes = sizes << 8U ^ std::uint64_t{size}), ...);  // the second is a byte
  const Which which{.size = sizes};
  return keep<Handle, Field>(model, label, which, [&](mmstats::Model& fields, const std::string& name) {
    return std::make_unique<Handle>(Handle{Field(fields, name, about(unit, help), size...)});
  });
}

// `size`: what comes behind About.
template <class Handle, class Field, class... Size>
mmstats_family* make_family(mmstats_model* model, const char* label, const char* const* dimensions,
                            const char* unit, const char* help, Size... size) noexcept {
  std::uint64_t sizes = 0;
  ((sizes = sizes << 8U ^ std::uint64_t{size}), ...);
  const auto make = [size...](mmstats::Model& fields, std::string_view whole, const mmstats::About& said) {
    return std::make_shared<Handle>(Handle{Field(fields, whole, said, size...)});
  };
  return keep_family<Handle>(model, label, dimensions, about(unit, help), {.size = sizes},
                             mmstats::detail::class_of_handles<Field>(), make);
}

unsigned bounded_precision(unsigned precision) {
  constexpr unsigned kMost = mmstats::Histogram::kMostPrecision;
  return std::min(precision, kMost);
}

double seconds_since(std::uint64_t started) {
  return static_cast<double>(static_cast<std::int64_t>(mmstats_clock() - started)) * 1e-9;
}

template <class Handle>
double add_since(Handle* handle, std::uint64_t started) {
  const double seconds = seconds_since(started);
  if (handle != nullptr) std::visit([&](auto& field) { field.add(seconds); }, handle->field);
  return seconds;
}

}  // namespace

mmstats_counter* mmstats_counter_new(mmstats_model* model, const char* label, const char* unit,
                                     const char* help) {
  return make_handle<mmstats_counter, mmstats::Counter>(model, label, unit, help);
}

mmstats_counter* mmstats_shared_counter_new(mmstats_model* model, const char* label, const char* unit,
                                            const char* help) {
  return make_handle<mmstats_counter, mmstats::SharedCounter>(model, label, unit, help);
}

void mmstats_counter_incr(mmstats_counter* counter, std::uint64_t amount) {
  if (counter != nullptr) std::visit([&](auto& field) { field.incr(amount); }, counter->field);
}

std::uint64_t mmstats_counter_value(const mmstats_counter* counter) {
  return counter == nullptr ? 0 : std::visit([](const auto& field) { return field.value(); }, counter->field);
}

std::uint64_t mmstats_counter_total(const mmstats_counter* counter) {
  return counter == nullptr ? 0 : std::visit([](const auto& field) { return field.total(); }, counter->field);
}

void mmstats_counter_set(mmstats_counter* counter, std::uint64_t value) {
  if (counter != nullptr) std::visit([&](auto& field) { field.set_value(value); }, counter->field);
}

mmstats_string* mmstats_string_new(mmstats_model* model, const char* label, std::size_t size,
                                   const char* help) {
  return make_handle<mmstats_string, mmstats::StringField>(model, label, nullptr, help, size);
}

void mmstats_string_set(mmstats_string* string, const char* text) {
  if (string != nullptr) string->field.set(text_or_empty(text));
}

void mmstats_string_set_bytes(mmstats_string* string, const char* text, std::size_t size) {
  if (string != nullptr && (text != nullptr || size == 0)) string->field.set({text, size});
}

mmstats_average* mmstats_average_new(mmstats_model* model, const char* label, const char* unit,
                                     const char* help) {
  return make_handle<mmstats_average, mmstats::Average>(model, label, unit, help);
}

mmstats_average* mmstats_moving_average_new(mmstats_model* model, std::size_t size, const char* label,
                                            const char* unit, const char* help) {
  return make_handle<mmstats_average, mmstats::MovingAverage>(model, label, unit, help, size);
}

mmstats_average* mmstats_window_average_new(mmstats_model* model, std::size_t seconds, const char* label,
                                            const char* unit, const char* help) {
  return make_handle<mmstats_average, mmstats::WindowAverage>(model, label, unit, help, seconds);
}

void mmstats_average_add(mmstats_average* average, double value) {
  if (average != nullptr) std::visit([&](auto& field) { field.add(value); }, average->field);
}

double mmstats_average_add_since(mmstats_average* average, std::uint64_t started) {
  return add_since(average, started);
}

double mmstats_average_value(const mmstats_average* average) {
  return average == nullptr ? 0 : std::visit([](const auto& field) { return field.value(); }, average->field);
}

mmstats_histogram* mmstats_histogram_new(mmstats_model* model, const char* label, const char* unit,
                                         const char* help) {
  return mmstats_histogram_new_with_precision(model, mmstats::Histogram::kMostPrecision, label, unit, help);
}

mmstats_histogram* mmstats_moving_histogram_new(mmstats_model* model, std::size_t size, const char* label,
                                                const char* unit, const char* help) {
  return mmstats_moving_histogram_new_with_precision(model, size, mmstats::Histogram::kMostPrecision, label,
                                                     unit, help);
}

mmstats_histogram* mmstats_window_histogram_new(mmstats_model* model, std::size_t seconds, const char* label,
                                                const char* unit, const char* help) {
  return mmstats_window_histogram_new_with_precision(model, seconds, mmstats::Histogram::kMostPrecision,
                                                     label, unit, help);
}

mmstats_histogram* mmstats_histogram_new_with_precision(mmstats_model* model, unsigned precision,
                                                        const char* label, const char* unit,
                                                        const char* help) {
  return make_handle<mmstats_histogram, mmstats::Histogram>(model, label, unit, help,
                                                            bounded_precision(precision));
}

mmstats_histogram* mmstats_moving_histogram_new_with_precision(mmstats_model* model, std::size_t size,
                                                               unsigned precision, const char* label,
                                                               const char* unit, const char* help) {
  return make_handle<mmstats_histogram, mmstats::MovingHistogram>(model, label, unit, help, size,
                                                                  bounded_precision(precision));
}

mmstats_histogram* mmstats_window_histogram_new_with_precision(mmstats_model* model, std::size_t seconds,
                                                               unsigned precision, const char* label,
                                                               const char* unit, const char* help) {
  return make_handle<mmstats_histogram, mmstats::WindowHistogram>(model, label, unit, help, seconds,
                                                                  bounded_precision(precision));
}

void mmstats_histogram_add(mmstats_histogram* histogram, double value) {
  if (histogram != nullptr) std::visit([&](auto& field) { field.add(value); }, histogram->field);
}

double mmstats_histogram_add_since(mmstats_histogram* histogram, std::uint64_t started) {
  return add_since(histogram, started);
}

std::uint64_t mmstats_clock(void) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

mmstats_family* mmstats_counter_family_new(mmstats_model* model, const char* label,
                                           const char* const* dimensions, const char* unit,
                                           const char* help) {
  return make_family<mmstats_counter, mmstats::Counter>(model, label, dimensions, unit, help);
}

mmstats_family* mmstats_shared_counter_family_new(mmstats_model* model, const char* label,
                                                  const char* const* dimensions, const char* unit,
                                                  const char* help) {
  return make_family<mmstats_counter, mmstats::SharedCounter>(model, label, dimensions, unit, help);
}

mmstats_family* mmstats_string_family_new(mmstats_model* model, const char* label,
                                          const char* const* dimensions, std::size_t size, const char* help) {
  return make_family<mmstats_string, mmstats::StringField>(model, label, dimensions, nullptr, help, size);
}

mmstats_family* mmstats_average_family_new(mmstats_model* model, const char* label,
                                           const char* const* dimensions, const char* unit,
                                           const char* help) {
  return make_family<mmstats_average, mmstats::Average>(model, label, dimensions, unit, help);
}

mmstats_family* mmstats_moving_average_family_new(mmstats_model* model, std::size_t size, const char* label,
                                                  const char* const* dimensions, const char* unit,
                                                  const char* help) {
  return make_family<mmstats_average, mmstats::MovingAverage>(model, label, dimensions, unit, help, size);
}

mmstats_family* mmstats_window_average_family_new(mmstats_model* model, std::size_t seconds,
                                                  const char* label, const char* const* dimensions,
                                                  const char* unit, const char* help) {
  return make_family<mmstats_average, mmstats::WindowAverage>(model, label, dimensions, unit, help, seconds);
}

mmstats_family* mmstats_histogram_family_new(mmstats_model* model, unsigned precision, const char* label,
                                             const char* const* dimensions, const char* unit,
                                             const char* help) {
  return make_family<mmstats_histogram, mmstats::Histogram>(model, label, dimensions, unit, help,
                                                            bounded_precision(precision));
}

mmstats_family* mmstats_moving_histogram_family_new(mmstats_model* model, std::size_t size,
                                                    unsigned precision, const char* label,
                                                    const char* const* dimensions, const char* unit,
                                                    const char* help) {
  return make_family<mmstats_histogram, mmstats::MovingHistogram>(model, label, dimensions, unit, help, size,
                                                                  bounded_precision(precision));
}

mmstats_family* mmstats_window_histogram_family_new(mmstats_model* model, std::size_t seconds,
                                                    unsigned precision, const char* label,
                                                    const char* const* dimensions, const char* unit,
                                                    const char* help) {
  return make_family<mmstats_histogram, mmstats::WindowHistogram>(model, label, dimensions, unit, help,
                                                                  seconds, bounded_precision(precision));
}

mmstats_counter* mmstats_counter_with(mmstats_family* family, const char* const* values) {
  return handle_with<mmstats_counter>(family, values);
}

mmstats_string* mmstats_string_with(mmstats_family* family, const char* const* values) {
  return handle_with<mmstats_string>(family, values);
}

mmstats_average* mmstats_average_with(mmstats_family* family, const char* const* values) {
  return handle_with<mmstats_average>(family, values);
}

mmstats_histogram* mmstats_histogram_with(mmstats_family* family, const char* const* values) {
  return handle_with<mmstats_histogram>(family, values);
}

void mmstats_family_limit(mmstats_family* family, std::size_t max_series, std::uint64_t expire_after) {
  const mmstats::GuestCall guest;
  if (family != nullptr)
    family->table->limit(max_series, std::chrono::seconds(std::min<std::uint64_t>(expire_after, UINT32_MAX)));
}

void mmstats_family_remove(mmstats_family* family, const char* const* values) {
  const mmstats::GuestCall guest;
  if (family == nullptr) return;
  const auto texts = mmstats::texts_of(*family, values);
  family->table->remove(texts.data(), texts.size());
}

std::size_t mmstats_family_expire(mmstats_family* family) {
  const mmstats::GuestCall guest;
  return family == nullptr ? 0 : family->table->expire();
}

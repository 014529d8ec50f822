// Families: one metric with a value for each combination of its dimensions, as OpenMetrics has them.
//
//   struct WebStats : mmstats::Model {
//     WebStats() : Model({.label_prefix = "web"}) {}
//     mmstats::Family<mmstats::Counter> responses{
//         *this, "responses", {"method", "status"}, {.unit = "responses", .help = "Responses sent"}};
//   };
//   stats.responses.with("GET", 200).incr();
//
// A combination is made when it is asked for the first time. It is a field like any other (fields.h,
// histogram.h), whose label, "web.responses.GET.200", old readers show. How it is written in a file:
// core/doc/format.md, "Families".
//
// Values often come from outside: a path, a status, a customer. So a family has at most max_series
// combinations at a time. Further ones are counted together, as one combination whose values are all "other";
// on_error is told so once. Combinations that are not used for some time can make room (expire_after).
//
// A removed combination keeps its place in the files. So a family may have 10 * max_series combinations in
// all, and all families together may take three quarters of a file (ModelOptions::max_file_bytes). New
// combinations beyond that are "other", too, until the program is restarted.
#pragma once

#include <array>
#include <charconv>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "mmstats/cpp20.h"
#include "mmstats/export.h"
#include "mmstats/model.h"

namespace mmstats {

// What a family says of itself, as About, and how many combinations it may have.
struct FamilyAbout {
  std::string unit = {};
  std::string help = {};
  std::optional<Kind> kind = {};
  // Combinations at a time, without "other"; 1 at least. How many in all: see above.
  std::size_t max_series = 1000;
  // Combinations that were not used for so long are removed when a new one is made, and by
  // Family::expire(). One is used if its value changes in some thread, or with() is called. Zero: none is
  // removed.
  std::chrono::seconds expire_after{0};
};

namespace detail {

class Distribution;
class FamilyTable;

struct FamilySpec {
  std::string_view label;  // without the prefix
  std::span<const std::string_view> dimensions;
  const FamilyAbout& about;
  // What is made again with the same is the same: the class of its handles, and what they are given.
  std::string_view made_by;
  std::string_view parameters = {};
  bool of_histograms = false;
  // Of a handle, which nobody destroys.
  std::size_t handle_size = 0;
  std::size_t handle_alignment = 0;
  // Makes a handle at `into`. May throw std::bad_alloc.
  std::function<void(Model& model, std::string_view label, const About& about, void* into)> make;
};

// The family of that label, which is made if there is none; lives as long as the Model. One that cannot be
// published is told of, and all its combinations are one that nobody reads. Throws std::bad_alloc.
MMSTATS_API FamilyTable* add_family(Model& model, const FamilySpec& spec);
// `values`: `count` of them; if the family has more dimensions, the others are "", if it has fewer, the rest
// means nothing. A handle of that combination, or of "other". Throws std::bad_alloc.
MMSTATS_API const void* find_combination(FamilyTable* family, const std::string_view* values,
                                         std::size_t count);
MMSTATS_API void remove_combination(FamilyTable* family, const std::string_view* values,
                                    std::size_t count) noexcept;
MMSTATS_API std::size_t expire_combinations(FamilyTable* family) noexcept;

// A value of a dimension as text.
class DimensionText {
 public:
  // Whatever is text already: it must live as long as this.
  template <std::convertible_to<std::string_view> Text>
  explicit DimensionText(const Text& text) noexcept : text_(text) {}
  explicit DimensionText(const char* text) noexcept : text_(text == nullptr ? "" : text) {}
  explicit DimensionText(bool value) noexcept : text_(value ? "true" : "false") {}
  template <std::integral Number>
    requires(!std::same_as<Number, bool> && !std::same_as<Number, char>)
  explicit DimensionText(Number number) noexcept {
    auto* const end = std::to_chars(digits_.data(), digits_.data() + digits_.size(), number).ptr;
    text_ = {digits_.data(), static_cast<std::size_t>(end - digits_.data())};
  }
  DimensionText(const DimensionText&) = delete;
  DimensionText& operator=(const DimensionText&) = delete;
  ~DimensionText() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): it is one
  operator std::string_view() const noexcept { return text_; }

 private:
  std::array<char, 24> digits_;
  std::string_view text_;
};

template <class Field>
consteval std::string_view class_of_handles() {
  return __PRETTY_FUNCTION__;
}

// What sizes and the like there are, to be compared.
template <class... More>
std::string as_parameters(const More&... more) {
  std::string all;
  [[maybe_unused]] const auto add = [&]<class Value>(const Value& value) {
    if constexpr (std::is_arithmetic_v<Value>) all += std::to_string(value) + ' ';
    if constexpr (std::convertible_to<Value, std::string_view>) all.append(DimensionText(value)) += ' ';
  };
  (add(more), ...);
  return all;
}

}  // namespace detail

// A handle, as a field is. A copy is the same family, and so is one that is made again with the same label,
// dimensions, class, kind and `more`; it has unit, help and limits of the first one. It must not outlive its
// Model. Any function may be called from any thread, but none in a signal handler: with() may take
// a lock and memory. A handler writes by handles that were kept.
//
// Field: any class of fields.h and histogram.h that is made with (Model&, label, About, more...). `more`: its
// arguments after About, such as a size or a precision.
//
// As with fields, no mistake stops a program. A family has 1 to 16 dimensions with different names, which are
// as in OpenMetrics: [a-zA-Z_][a-zA-Z0-9_]*, but not le, quantile or __... A family is not published if these
// rules do not hold, if a different family has its label, or if fields of two families could have the same
// label; on_error is told so once.
template <class Field>
class Family {
  static_assert(std::is_copy_constructible_v<Field> && std::is_trivially_destructible_v<Field>,
                "a handle of a field");

 public:
  // Throws std::bad_alloc.
  template <class... More>
  Family(Model& model, std::string_view label, std::initializer_list<std::string_view> dimensions,
         const FamilyAbout& about = {}, const More&... more)
      : Family(model, label, std::span(dimensions.begin(), dimensions.size()), about, more...) {}
  // For who knows the dimensions when the program runs.
  template <class... More>
  Family(Model& model, std::string_view label, std::span<const std::string_view> dimensions,
         const FamilyAbout& about = {}, const More&... more)
      : table_(detail::add_family(
            model, {.label = label,
                    .dimensions = dimensions,
                    .about = about,
                    .made_by = detail::class_of_handles<Field>(),
                    .parameters = detail::as_parameters(more...),
                    .of_histograms = std::is_base_of_v<detail::Distribution, Field>,
                    .handle_size = sizeof(Field),
                    .handle_alignment = alignof(Field),
                    .make = [kept = std::make_tuple(more...)](Model& of, std::string_view whole,
                                                              const About& said, void* into) {
                      std::apply([&](const More&... each) { ::new (into) Field(of, whole, said, each...); },
                                 kept);
                    }})) {}

  // The field of one combination: a value for each dimension, in their order, each a text, a whole number or
  // a bool. A number is the same value as its text. Of texts the first 255 bytes count; bytes that are not
  // UTF-8 become '?'. Missing values are "".
  //
  // The handle may be kept: it stays valid as long as the Model, whatever is removed. To look it up each time
  // takes no lock, no memory and no system call if the combination exists, or if there are max_series of
  // them and expire_after is zero. (Bytes that are not UTF-8 take memory.) A new combination takes the
  // library's lock, and appends a field to the files of all threads: 0.3 ms with 1,000 threads. With
  // expire_after it may also look at a part of all values, for a millisecond or two.
  // Throws std::bad_alloc.
  template <class... Values>
    requires(sizeof...(Values) > 0)
  [[nodiscard]] Field with(const Values&... values) const {
    return *static_cast<const Field*>(as_texts(detail::find_combination, {detail::DimensionText(values)...}));
  }
  // The same of a list.
  [[nodiscard]] Field with_values(std::span<const std::string_view> values) const {
    return *static_cast<const Field*>(detail::find_combination(table_, values.data(), values.size()));
  }

  // Hides the combination from readers. What they have read of it stays in their totals; what it counted
  // after that they see only if it comes back. with() brings it back, with the value that it has; so does
  // expire() if a kept handle has changed that value. Its place in the file (some 60 bytes and the label)
  // stays taken.
  template <class... Values>
    requires(sizeof...(Values) > 0)
  void remove(const Values&... values) const noexcept {
    as_texts(detail::remove_combination, {detail::DimensionText(values)...});
  }

  // Removes combinations that were not used for expire_after, and brings back removed ones that were written
  // since. Returns how many were removed. Looks at each value in each thread (0.2 s for a million), and holds
  // the library's lock for a part of them at a time: meant to be called every few minutes. with() does such a
  // part for new combinations. (Setting a gauge by a kept handle to the value that it has does not count as
  // use.)
  // NOLINTNEXTLINE(modernize-use-nodiscard): it does something
  std::size_t expire() const noexcept { return detail::expire_combinations(table_); }

 private:
  template <class Do, std::size_t kCount>
  auto as_texts(Do* act, const detail::DimensionText (&values)[kCount]) const {
    std::array<std::string_view, kCount> texts;
    for (std::size_t i = 0; i < kCount; ++i) texts[i] = values[i];
    return act(table_, texts.data(), kCount);
  }

  detail::FamilyTable* table_;
};

}  // namespace mmstats

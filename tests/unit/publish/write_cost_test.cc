// What a write costs, in instructions: where the time of it goes, told without a clock. This file is
// optimized whatever else is.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <string>

#include "mmstats/fields.h"
#include "mmstats/mmstats.h"
#include "published.h"
#include "single_step.h"

#if defined(HAS_SINGLE_STEP) && !defined(__SANITIZE_ADDRESS__)
using namespace mmstats;

namespace {

template <class Run>
std::size_t steps_of(const Run& run) {
  std::size_t steps = 0;
  stepped::each(run, [&] {
    ++steps;
    return true;
  });
  return steps;
}

template <class Run>
std::size_t instructions_of(const Run& run) {
  return steps_of(run) - steps_of([] {});
}

// As in applications, where a compiler knows nothing of it.
template <class T>
T& unknown(T& object) {
  T* pointer = &object;
  asm volatile("" : "+r"(pointer));
  return *pointer;
}

}  // namespace

TEST_CASE(
    "an increment is a look at where the counter is, one at where this thread's file is, and an addition") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Counter made(model, "count");
  REQUIRE(model.open());
  const Counter& count = unknown(made);
  CHECK(instructions_of([&] { ++count; }) <= 10);
  CHECK(instructions_of([&] { count.incr(7); }) <= 10);
  CHECK(count.value() == 8);
}

TEST_CASE("an increment in C calls nothing") {
  const TemporaryFolder folder;
  mmstats_model* const model = ::mmstats_model_new("c");
  REQUIRE(::mmstats_model_set_path(model, folder.path().c_str()) == 0);
  mmstats_counter* const made = ::mmstats_counter_new(model, "count", nullptr, nullptr);
  REQUIRE(::mmstats_model_open(model, nullptr, 0) == 0);
  mmstats_counter* count = made;
  asm volatile("" : "+r"(count));
  CHECK(instructions_of([&] { ::mmstats_counter_incr(count, 1); }) <= 12);
  CHECK(::mmstats_counter_value(count) == 1);
  ::mmstats_model_free(model);
}

TEST_CASE(
    "what a text costs more for each byte of ASCII is a part of an instruction, or four without "
    "optimization") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  StringField text(model, "text", {}, 1000);
  REQUIRE(model.open());
  const std::string shorter(200, 'a');
  const std::string longer(1000, 'a');
  text = longer;
  const auto few = instructions_of([&] { text = shorter; });
  const auto many = instructions_of([&] { text = longer; });
  CHECK(text.value() == longer);
  CHECK(many - std::min(few, many) <= std::size_t{4} * 800);
}

#else
TEST_CASE("what a write costs, in instructions") {
  MESSAGE("skipped: instructions are counted on x86-64 alone, and sanitizers add theirs");
}
#endif

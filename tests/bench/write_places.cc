#include "write_places.h"

#include <cstdint>

#include "mmstats/fields.h"

namespace {

struct Stats {
  mmstats::Counter requests;
};

mmstats::Model* the_model = nullptr;
Stats* stats = nullptr;
mmstats_counter* c_counter = nullptr;
volatile std::uint64_t plain = 0;

std::uint64_t zero() {
  asm volatile("");
  return 0;
}

// Made when it is loaded, as an application's would be. Its own Model is like any other.
mmstats::Model own_model({.label_prefix = "own", .path = "/dev/shm"});
mmstats::Counter global(own_model, "global");

}  // namespace

extern "C" WritePlaces write_places(mmstats::Model* model, mmstats_model* c_model) {
  the_model = model;
  stats = new Stats{mmstats::Counter(*model, "member")};
  c_counter = ::mmstats_counter_new(c_model, "in_c", nullptr, nullptr);
  return {
      .plain_global =
          [](std::size_t times) {
            for (std::size_t i = 0; i < times; ++i) plain = plain + 1;
          },
      .plain_local =
          [](std::size_t times) {
            for (std::size_t i = 0; i < times; ++i) {
              static volatile std::uint64_t local = zero();
              local = local + 1;
            }
          },
      .global =
          [](std::size_t times) {
            for (std::size_t i = 0; i < times; ++i) ++global;
          },
      .member =
          [](std::size_t times) {
            for (std::size_t i = 0; i < times; ++i) ++stats->requests;
          },
      .local =
          [](std::size_t times) {
            for (std::size_t i = 0; i < times; ++i) {
              static const mmstats::Counter local(*the_model, "local");
              ++local;
            }
          },
      .in_c =
          [](std::size_t times) {
            for (std::size_t i = 0; i < times; ++i) ::mmstats_counter_incr(c_counter, 1);
          },
  };
}

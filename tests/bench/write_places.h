// Increments of counters that live where those of applications do, for write_bench: compiled into it, and
// into a module that it loads.
#pragma once

#include <cstddef>

#include "mmstats/mmstats.h"
#include "mmstats/model.h"

// Each makes so many increments. The compiler knows no more of them than of any application's.
struct WritePlaces {
  void (*plain_global)(std::size_t);  // without us: a volatile number
  void (*plain_local)(std::size_t);   // one that is static in a function
  void (*global)(std::size_t);
  void (*member)(std::size_t);  // of an object that a pointer leads to
  void (*local)(std::size_t);   // static in a function
  void (*in_c)(std::size_t);    // mmstats_counter_incr
};

// The models must outlive all calls.
extern "C" __attribute__((visibility("default"))) WritePlaces write_places(mmstats::Model* model,
                                                                           mmstats_model* c_model);

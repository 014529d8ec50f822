// In which order complaints are told: whoever has thousands waits behind himself alone.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <unordered_map>
#include <vector>

#include "base/keyed_hash.h"
#include "mmstats/error.h"

namespace mmstats {

// Those of one scan that were not told yet. One of each user comes first, then the second of each, and so on;
// users who have few come before those who have many. No locks; one thread at a time.
class FairComplaints {
 public:
  // `most`: of one user's, so many are kept.
  explicit FairComplaints(std::size_t most) : most_(most) {}

  void begin_scan();
  void add(const Error& error, uid_t owner);
  // Moves the first `most` to `errors`, and whose they are to `owners`: both are overwritten.
  void take(std::vector<Error>& errors, std::vector<uid_t>& owners);

 private:
  struct One {
    Error error;
    uid_t owner;
    std::size_t number;  // among the user's
  };

  std::size_t most_;
  std::vector<One> kept_;
  std::unordered_map<uid_t, std::size_t, KeyedNumberHash> numbers_;  // of each user's
};

}  // namespace mmstats

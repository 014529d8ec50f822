// A bounded number of things, shared out among senders: of what all others leave, one may have three
// quarters. So whoever takes all that he can get leaves something to those who come after him, as far as
// senders can be told apart.
#pragma once

#include <cstddef>
#include <mutex>
#include <unordered_map>

#include "base/keyed_hash.h"
#include "plugin_pinba/receive/source.h"

namespace mmstats::receive {

// Any thread.
class FairBound {
 public:
  explicit FairBound(std::size_t most) : most_(most) {}

  // So many, all or none. Throws std::bad_alloc, and has taken none then.
  bool take(Source source, std::size_t count = 1);
  // What was taken.
  void give(Source source, std::size_t count = 1);
  // What is there beyond another bound stays until it is given.
  void set_most(std::size_t most);

  [[nodiscard]] std::size_t taken() const;
  // Nobody can take anything.
  [[nodiscard]] bool is_full() const;

 private:
  mutable std::mutex mutex_;
  std::size_t most_;
  std::size_t taken_ = 0;
  std::unordered_map<Source, std::size_t, KeyedNumberHash> of_source_;  // of those that have any
};

}  // namespace mmstats::receive

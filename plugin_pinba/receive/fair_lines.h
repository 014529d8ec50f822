// The last lines within a bound of bytes, shared out among those whose they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/keyed_hash.h"

namespace mmstats::receive {

struct OwnedLine {
  std::string text;         // without its end
  std::uint64_t owner = 0;  // who caused it
};

// One thread at a time.
class FairLines {
 public:
  // A short line takes its place in memory all the same, and counts as so many bytes.
  static constexpr std::size_t kLeast = 128;

  explicit FairLines(std::size_t most_bytes) : most_(most_bytes) {}

  // Where it does not fit, lines go of whoever has most bytes, his oldest first: so nobody drives out those
  // of others. Time: logarithmic in owners, for each line that comes or goes. Throws std::bad_alloc, and has
  // no more lines than before then.
  void add(OwnedLine line);

  // The oldest first.
  [[nodiscard]] const std::list<OwnedLine>& all() const { return lines_; }
  // Moves all to the end of `to`.
  void move_to(FairLines& to);

 private:
  using Place = std::list<OwnedLine>::iterator;
  struct Share {
    std::size_t bytes = 0;
    std::list<Place> places;  // the oldest first
  };

  void drop_of_greediest();

  std::size_t most_;
  std::size_t bytes_ = 0;
  std::list<OwnedLine> lines_;
  std::unordered_map<std::uint64_t, Share, KeyedNumberHash> shares_;
  std::set<std::pair<std::size_t, std::uint64_t>> by_size_;  // bytes and owner of each share
};

}  // namespace mmstats::receive

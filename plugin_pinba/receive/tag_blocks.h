// Bytes of packets that say which tags timers have, and what was made of them: most packets of a script have
// the same ones, and differ in numbers alone. Bounded, whoever sends: it forgets all when it is full.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "plugin_pinba/receive/tag.h"

namespace mmstats::receive {

// What the bytes say, and no fault was in it. Views its own copy of the bytes.
struct TagBlock {
  std::vector<std::string_view> dictionary;
  std::vector<Tag> tags;                  // of all timers, one behind the other
  std::vector<std::uint32_t> tag_counts;  // of each timer
  std::uint64_t first_id = 0;             // of the first timer's tags; those that follow count on
};

// One thread at a time.
class TagBlocks {
 public:
  static constexpr std::size_t kMost = 4096;
  static constexpr std::size_t kMostBytes = std::size_t{4} << 20;  // of what is kept of blocks

  // Null: not known. Valid until the next add().
  const TagBlock* find(std::string_view bytes);
  // Whether the bytes that find() did not know have been asked for a short while ago, too: what comes once is
  // not worth a copy.
  [[nodiscard]] bool is_wanted() const { return wanted_; }
  // What those bytes say, with views of them. Throws std::bad_alloc.
  void add(std::string_view bytes, TagBlock block);

 private:
  struct Kept {
    std::string bytes;
    TagBlock block;
  };

  std::unordered_map<std::uint64_t, Kept> known_;  // by hash; of two with one hash the second is not known
  std::size_t bytes_ = 0;
  std::array<std::uint64_t, 1024> asked_{};  // hashes
  std::uint64_t hash_ = 0;                   // that find() did not know
  bool wanted_ = false;
};

}  // namespace mmstats::receive

#include "base/hash_index.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <random>
#include <vector>

using mmstats::HashIndex;

TEST_CASE("what is put in is found until it is taken out, wherever hashes lie") {
  // Hashes of few bits lie side by side, and around the end of the table.
  for (const std::uint64_t spread : {std::uint64_t{40}, std::uint64_t{1000}, ~std::uint64_t{0}}) {
    CAPTURE(spread);
    std::mt19937_64 random(spread);
    HashIndex index;
    std::map<std::uint64_t, std::uint32_t> wanted;
    std::vector<std::uint64_t> hashes;  // by number
    const auto hash_of = [&](std::uint32_t number) { return hashes[number]; };
    CHECK(index.find(1, hash_of) == HashIndex::kNone);
    for (int step = 0; step < 3000; ++step) {
      const std::uint64_t hash = ~std::uint64_t{0} - random() % spread;
      const auto known = wanted.find(hash);
      CHECK(index.find(hash, hash_of) == (known == wanted.end() ? HashIndex::kNone : known->second));
      if (known == wanted.end()) {
        const auto number = static_cast<std::uint32_t>(hashes.size());
        hashes.push_back(hash);
        index.insert(hash, number, hash_of);
        wanted.emplace(hash, number);
      } else if (random() % 4 != 0) {
        index.erase(known->second, hash_of);
        wanted.erase(known);
      }
      if (step % 100 == 0) {
        for (const auto& [one, number] : wanted) CHECK(index.find(one, hash_of) == number);
      }
    }
    while (!wanted.empty()) {
      index.erase(wanted.begin()->second, hash_of);
      CHECK(index.find(wanted.begin()->first, hash_of) == HashIndex::kNone);
      wanted.erase(wanted.begin());
      for (const auto& [one, number] : wanted) REQUIRE(index.find(one, hash_of) == number);
    }
  }
}

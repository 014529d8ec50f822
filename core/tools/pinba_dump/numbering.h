// Loss that the numbers of requests show.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "tools/pinba_dump/endpoint.h"

namespace pinba_dump {

// `request_count` says how many requests the process served before. Some clients count it up by one for each
// request (ours does), some leave it at 0 (PHP's). A process sends from a port of its own, so that each way
// is a sender. What is missing counts only of a sender whose numbers go up by one at least twice, and at
// least as often as otherwise. Packets that come late are not missing, nor are several of one request.
class Numbering {
 public:
  // Takes the next request. How many are missing right before it, if its sender numbers them by now.
  std::uint32_t add(const Way& way, std::uint32_t number);

  struct Totals {
    std::uint64_t missing = 0;
    std::uint64_t senders = 0;  // of which there are some missing
  };
  [[nodiscard]] Totals totals() const;

 private:
  struct Sender {
    std::uint32_t last = 0;  // the highest number
    // Bit i: last - i has come, or is before the first.
    std::uint64_t come = ~std::uint64_t{0};
    std::uint32_t anew = 0;  // what another process at this port would have next
    std::uint64_t missing = 0;
    std::uint64_t ones = 0;    // steps by one
    std::uint64_t others = 0;  // steps by more, and back

    [[nodiscard]] bool numbers() const { return ones >= 2 && ones >= others; }
    std::uint32_t step(std::uint32_t number);
  };
  using Senders = std::map<Way, Sender>;
  static void count(const Senders& senders, Totals& totals);

  // Those that were quiet for long are forgotten, so that many short-lived ones take no more memory than
  // this: the younger become the older when there are kMost.
  static constexpr std::size_t kMost = 10'000;
  Senders younger_;
  Senders older_;
  Totals forgotten_;
};

}  // namespace pinba_dump

#include "collect/subordinate_ids.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>

namespace mmstats {

SubordinateIds::SubordinateIds(const std::string& path) {
  std::ifstream file(path);
  std::map<std::string, uid_t> payers;
  for (std::string line; std::getline(file, line);) {
    std::istringstream parts(line);
    std::string user;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    char colon = 0;
    if (!std::getline(parts, user, ':') || !(parts >> first >> colon >> count) || colon != ':') continue;
    constexpr std::uint64_t kLast = std::numeric_limits<uid_t>::max() - 1;
    if (user == "root" || user == "0" || first == 0 || count == 0 || first > kLast) continue;
    const auto last = static_cast<uid_t>(std::min(kLast - first, count - 1) + first);
    const uid_t payer = payers.try_emplace(user, static_cast<uid_t>(first)).first->second;
    ranges_.push_back({static_cast<uid_t>(first), last, payer});
  }
  std::ranges::sort(ranges_, {}, &Range::first);
}

uid_t SubordinateIds::payer(uid_t owner) const {
  const auto next = std::ranges::upper_bound(ranges_, owner, {}, &Range::first);
  if (next == ranges_.begin()) return owner;
  const Range& range = *(next - 1);
  return owner <= range.last ? range.payer : owner;
}

}  // namespace mmstats

// Which labels somebody may have meant who wrote one that is not there.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pollstats {

// Labels that differ from `wanted` in a few letters, in separators or in what stands before or behind it: the
// nearest first, `most` of them at most. Cost: each label's length times that of `wanted`.
std::vector<std::string> near_labels(std::string_view wanted, std::span<const std::string> labels,
                                     std::size_t most = 3);

}  // namespace pollstats

// Whose packets they are, as far as it can be known.
#pragma once

#include <cstdint>

namespace mmstats::receive {

// Of the sender's address: see source_of() in networks.h.
using Source = std::uint64_t;

}  // namespace mmstats::receive

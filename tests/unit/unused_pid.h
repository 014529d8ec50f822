// A pid of nobody, now and ever.
#pragma once

#include <cstdint>

// Above the largest that Linux gives (PID_MAX_LIMIT, 2^22). The pid of a process that has ended may be
// another's before a slow test is over.
inline constexpr std::uint32_t kUnusedPid = 5'000'001;

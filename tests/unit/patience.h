// How long a test waits for what comes for sure: longer than any machine may take, however busy, so that it
// is only what never comes that fails the test.
#pragma once

#include <unistd.h>

#include <chrono>

inline constexpr std::chrono::minutes kPatience{5};

// Ends a process that waits for ever: this one.
inline void end_if_it_hangs() { ::alarm(static_cast<unsigned>(std::chrono::seconds(kPatience).count())); }

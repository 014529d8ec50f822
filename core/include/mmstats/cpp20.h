// What every header in C++ includes: so that an older standard is told in one line, before what it does not
// know.
#pragma once

// Compilers call C++20 by numbers from 201709 on, as long as they do not have all of it.
#if __cplusplus <= 201703L
#error "mmstats needs C++20: compile with -std=c++20, or a newer standard"
#endif

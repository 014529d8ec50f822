// This machine's name.
#pragma once

#include <string>

namespace mmstats {

// What gethostname(2) says; empty if it fails. May be called from any thread; no look-up, nothing is cached.
std::string host_name();

}  // namespace mmstats

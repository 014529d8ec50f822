// The system's answer to where a host is.
#pragma once

#include <string>
#include <vector>

#include "pinba/sender.h"

namespace pinba {

// The addresses of a host for UDP; empty if there are none. `flags`: of getaddrinfo(3). Without
// AI_NUMERICHOST it may block.
std::vector<Address> look_up(const std::string& host, const std::string& port, int flags);

bool same(const Address& a, const Address& b);

}  // namespace pinba

// A request as lines for people: what --dry-run prints.
#pragma once

#include <span>
#include <string>

#include "pinba/encode.h"
#include "pinba/request.h"

namespace mmstats::forward {

// Ends with a newline. `datagrams`: what it was encoded to.
std::string preview(const pinba::Request& request, std::span<const pinba::Datagram> datagrams);

}  // namespace mmstats::forward

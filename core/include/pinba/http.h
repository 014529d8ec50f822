// What any HTTP server calls around a request. For cpp-httplib it is done already: pinba/httplib.h.
#pragma once

#include <cstdint>
#include <string_view>

#include "mmstats/cpp20.h"
#include "mmstats/export.h"
#include "pinba/monitor.h"

namespace pinba {

// Begins to measure a request. `target` is its path, of which the query is left out; `host` the Host header,
// of which the port is left out. Both are foreign input, and may be anything. A route's pattern in place of
// the path keeps the number of scripts at the server small. Put a CurrentScope beside the monitor where the
// handler runs.
MMSTATS_API RequestMonitor begin_http(const Client& client, std::string_view target,
                                      std::string_view host = {}, std::string_view schema = "http");

// Ends and sends it: with the response's status, and the size in bytes of what was sent of its body, unless
// set_document_size() was called. `route`: its script name, unless empty or set_script_name() was called. As
// RequestMonitor::send.
MMSTATS_API bool end_http(RequestMonitor& request, std::uint32_t status, std::uint64_t body_bytes,
                          std::string_view route = {});

}  // namespace pinba

#include "pinba/http.h"

namespace pinba {

RequestMonitor begin_http(const Client& client, std::string_view target, std::string_view host,
                          std::string_view schema) {
  RequestMonitor request(client, target.substr(0, target.find('?')));
  // "[::1]:80": the colons within the brackets are the address's.
  const auto bracket = host.starts_with('[') ? host.find(']') : std::string_view::npos;
  const auto port = bracket == std::string_view::npos ? host.find(':') : bracket + 1;
  if (!host.empty()) request.set_server_name(host.substr(0, port));
  request.set_schema(schema);
  return request;
}

bool end_http(RequestMonitor& request, std::uint32_t status, std::uint64_t body_bytes,
              std::string_view route) {
  request.set_status(status);
  request.answered(body_bytes, route);
  return request.send();
}

}  // namespace pinba

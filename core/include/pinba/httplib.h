// Middleware for cpp-httplib: each request of a server is measured and sent, and is the thread's current one
// while its handler runs. In this header alone, so that the library does not need cpp-httplib.
#pragma once

#include <httplib.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "pinba/http.h"

namespace pinba {

struct HttplibOptions {
  // The script name of a request. Empty: its path. Name the routes here if paths have numbers in them.
  std::function<std::string(const httplib::Request&)> script_name = {};
  std::string schema = "http";

  // The server has room for one of each, and the middleware takes it: give yours here.
  httplib::Server::HandlerWithResponse before = {};  // set_pre_routing_handler
  httplib::Logger after = {};                        // set_logger
};

namespace detail {

// What this thread serves now: the library has a thread for a request from its headers to the logger.
struct Served {
  RequestMonitor request;
  CurrentScope current;
  explicit Served(RequestMonitor begun) : request(std::move(begun)), current(request) {}
};
inline std::optional<Served>& served() {
  thread_local std::optional<Served> now;
  return now;
}

}  // namespace detail

// Installs it; before the server listens. The server keeps a copy of the client. A request whose connection
// broke before its answer is sent when the thread serves the next.
inline void monitor(httplib::Server& server, const Client& client, HttplibOptions options = {}) {
  const auto begin = [client, name = options.script_name,
                      schema = options.schema](const httplib::Request& request) {
    return begin_http(client, name ? name(request) : request.path, request.get_header_value("Host"), schema);
  };
  server.set_pre_routing_handler([begin, before = std::move(options.before)](const httplib::Request& request,
                                                                             httplib::Response& response) {
    detail::served().emplace(begin(request));
    return before ? before(request, response) : httplib::Server::HandlerResponse::Unhandled;
  });
  server.set_logger([begin, after = std::move(options.after)](const httplib::Request& request,
                                                              const httplib::Response& response) {
    if (after) after(request, response);
    auto& served = detail::served();
    // What is not even a request (400) comes here at once.
    if (!served) served.emplace(begin(request));
    const std::size_t size = response.body.empty() ? response.content_length_ : response.body.size();
    end_http(served->request, static_cast<std::uint32_t>(response.status), size);
    served.reset();
  });
}

}  // namespace pinba

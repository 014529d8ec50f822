// Middleware for cpp-httplib: each request of a server is measured and sent, and is the thread's current one
// while its handler runs. In this header alone, so that the library does not need cpp-httplib.
#pragma once

#include <httplib.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "mmstats/cpp20.h"
#include "pinba/http.h"

namespace pinba {

struct HttplibOptions {
  // The script name of a request; called when it comes. What a handler gives to set_script_name() wins.
  std::function<std::string(const httplib::Request&)> script_name = {};
  // The same, called when it is answered: the server knows its route by then. Empty, if script_name is empty
  // too: the path, with * in place of what the groups of the route's pattern matched: /cart/(\w+) is /cart/*.
  // What no route took is /<404>, or whatever its status is.
  std::function<std::string(const httplib::Request&, const httplib::Response&)> route = {};
  // So many names the default makes at most, as a server keeps each of them: paths that come then are
  // /<other>.
  std::size_t max_routes = 500;
  std::string schema = "http";

  // The server has room for one of each, and the middleware takes it: give yours here.
  httplib::Server::HandlerWithResponse before = {};  // set_pre_routing_handler
  httplib::Server::Handler routed = {};              // set_post_routing_handler
  httplib::Logger after = {};                        // set_logger
};

namespace detail {

// What this thread serves now: the library has a thread for a request from its headers to the logger.
struct Served {
  RequestMonitor request;
  CurrentScope current;
  std::uint64_t streamed = 0;  // bytes that a content provider wrote
  explicit Served(RequestMonitor begun) : request(std::move(begun)), current(request) {}
};
inline std::optional<Served>& served() {
  thread_local std::optional<Served> now;
  return now;
}

// The names of routes that there are, up to a bound.
class Routes {
 public:
  explicit Routes(std::size_t most) : most_(most) {}

  std::string name_of(const httplib::Request& request, const httplib::Response& response) {
    if (request.matches.empty() && response.status >= 400)
      return "/<" + std::to_string(response.status) + ">";
    std::string name;
    const std::string& path = request.path;
    std::size_t at = 0;
    for (std::size_t i = 1; i < request.matches.size(); ++i) {
      if (!request.matches[i].matched) continue;
      const auto begin = static_cast<std::size_t>(request.matches.position(i));
      if (begin < at) continue;  // within the one before
      name.append(path, at, begin - at).append("*");
      at = begin + static_cast<std::size_t>(request.matches.length(i));
    }
    name.append(path, at);
    const std::lock_guard lock(mutex_);
    if (known_.size() < most_) return *known_.insert(std::move(name)).first;
    return known_.contains(name) ? name : "/<other>";
  }

 private:
  std::mutex mutex_;
  std::set<std::string, std::less<>> known_;
  std::size_t most_;
};

// Counts what a content provider writes.
inline httplib::ContentProvider counted(httplib::ContentProvider provider) {
  return [provider = std::move(provider)](std::size_t offset, std::size_t length, httplib::DataSink& sink) {
    const auto write = sink.write;
    sink.write = [&write](const char* data, std::size_t size) {
      const bool good = write(data, size);
      if (auto& now = served(); good && now) now->streamed += size;
      return good;
    };
    // A sink outlives a call of its provider.
    struct Restore {
      httplib::DataSink& sink;
      const decltype(sink.write)& write;
      ~Restore() { sink.write = write; }
    } const restore{sink, write};
    return provider(offset, length, sink);
  };
}

}  // namespace detail

// Installs it; before the server listens. The server keeps a copy of the client. A request whose connection
// broke before its answer is sent when the thread serves the next. Its document size is what was sent of the
// body: of a HEAD nothing, of ranges these alone.
inline void monitor(httplib::Server& server, const Client& client, HttplibOptions options = {}) {
  const auto begin = [client, name = options.script_name,
                      schema = options.schema](const httplib::Request& request) {
    return begin_http(client, name ? name(request) : request.path, request.get_header_value("Host"), schema);
  };
  auto route = std::move(options.route);
  if (!route && !options.script_name) {
    route = [routes = std::make_shared<detail::Routes>(options.max_routes)](
                const auto& request, const auto& response) { return routes->name_of(request, response); };
  }
  server.set_pre_routing_handler([begin, before = std::move(options.before)](const httplib::Request& request,
                                                                             httplib::Response& response) {
    detail::served().emplace(begin(request));
    return before ? before(request, response) : httplib::Server::HandlerResponse::Unhandled;
  });
  server.set_post_routing_handler(
      [routed = std::move(options.routed)](const httplib::Request& request, httplib::Response& response) {
        if (routed) routed(request, response);
        if (response.content_provider_) {
          response.content_provider_ = detail::counted(std::move(response.content_provider_));
        }
      });
  server.set_logger([begin, route, after = std::move(options.after)](const httplib::Request& request,
                                                                     const httplib::Response& response) {
    if (after) after(request, response);
    auto& served = detail::served();
    // What is not even a request (400) comes here at once.
    if (!served) served.emplace(begin(request));
    const std::uint64_t body = request.method == "HEAD" ? 0 : response.body.size();
    end_http(served->request, static_cast<std::uint32_t>(response.status),
             response.body.empty() ? served->streamed : body,
             route ? route(request, response) : std::string());
    served.reset();
  });
}

}  // namespace pinba

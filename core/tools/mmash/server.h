// HTTP/1.1 on sockets: connections, deadlines, framing. What is answered is not its business.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "mmstats/error.h"
#include "tools/mmash/http.h"

namespace mmash {

struct ServerOptions {
  std::size_t max_connections = 100;
  // For the head of a request, from the connection or, on a connection that is kept, from its first byte; and
  // for every 64 KiB of an answer to be taken.
  std::chrono::milliseconds patience{10'000};
  std::chrono::milliseconds idle{60'000};  // that a connection is kept without a request
};

// For GET and HEAD alone, and never with a body; HEAD is answered like GET, and the body left out. What is no
// such request does not get here. May throw: that becomes an answer with the status 500.
using Handler = std::function<Response(const Request&)>;

// A connection for each client: requests one after the other (pipelined ones wait), answers in pieces that
// are made when there is room for them: so a slow client costs one piece of memory, and what compresses it.
// Who lets a deadline pass is cut off. Beyond max_connections the newest is answered 503 and closed, and
// further ones are closed at once. All runs in the thread that calls run(), and nothing there may block.
class Server {
 public:
  // `access_log` gets a line for each answer, printable, without an end of line; may be empty.
  Server(ServerOptions options, Handler handler, std::function<void(std::string_view)> access_log);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  // HOST:PORT, [IPV6]:PORT, :PORT or unix:PATH; port 0 is any that is free. Returns where it listens, for
  // people: a URL, or unix:PATH. A socket file that nobody listens on any more is replaced, and removed in
  // the end. Errors: kInvalid (it is no address), kBusy (somebody else listens there), kDenied, kIo.
  mmstats::Expected<std::string> listen(const std::string& address);

  // On all addresses of the machine, of IPv4 or IPv6 or both.
  [[nodiscard]] bool listens_everywhere() const;

  // Calls it from run() again and again. `job` may not throw.
  void every(std::chrono::milliseconds period, std::function<void()> job);

  // Until SIGTERM or SIGINT. Answers that are under way get two seconds to end.
  void run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mmash

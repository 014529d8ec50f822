// One client of the server: its requests, one after the other, and the answers, within their deadlines.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <functional>
#include <set>
#include <string_view>

#include "tools/mmash/server.h"

namespace mmash {

class Session;

// What all sessions share; outlives them.
struct Sessions {
  ServerOptions options;
  Handler handler;
  std::function<void(std::string_view)> access_log;
  std::function<void()> on_last;  // the server ends, and the last one is gone
  std::set<Session*> all = {};
  bool ending = false;
};

// Serves the client, or tells it that there are too many of them. The session destroys itself.
void serve(Sessions& sessions, boost::asio::generic::stream_protocol::socket socket);
void refuse(Sessions& sessions, boost::asio::generic::stream_protocol::socket socket);

// No session reads a further request.
void end_requests(Sessions& sessions);

}  // namespace mmash

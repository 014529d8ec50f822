// A request as far as answers depend on it, and an answer: plain data, between the server, which knows
// sockets and no mmstats, and what makes answers, which knows no sockets.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/shared/json_text.h"

namespace mmash {

struct Request {
  std::string path;  // percent-decoded bytes; the first is '/'
  std::vector<std::pair<std::string, std::string>> parameters = {};  // decoded, in order
  std::optional<std::string> host = {};                              // as the client wrote it, port included
  std::string server_address = {};  // the address that it came to, without port; empty: a Unix socket
  std::string accept = {};
  std::string accept_encoding = {};
  std::string if_none_match = {};

  // The first parameter of that name; null if there is none.
  [[nodiscard]] const std::string* parameter(std::string_view name) const;
};

// A part of a long answer, of about so many bytes.
inline constexpr std::size_t kPiece = std::size_t{64} << 10U;
struct Piece {
  std::string text;
  bool last = false;
};

// Makes the next piece. Called when the client has taken the one before, which may be long after the request.
// May throw: then the connection is cut, so that the client sees that the answer is not whole.
using NextPiece = std::function<Piece()>;

struct Response {
  unsigned status = 200;
  std::string content_type = {};  // empty: no body
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};  // all of it, or the first piece where `more` follows
  NextPiece more = {};
};

// Makes the first piece, after what `response` has already; it is the whole answer if no more follow.
Response in_pieces(Response response, NextPiece next);

// Of this moment, and for no cache.
Response json_response(std::string body);

// {"error": MESSAGE}
Response error_response(unsigned status, std::string_view message);

// Bytes for %XX; what is no such escape stays as it is. In a query, '+' is a blank.
std::string percent_decoded(std::string_view text, bool query);

// What follows GET in a request: a path and perhaps a query, or an absolute http URL, whose authority then
// is the host, whatever the header says. Sets path, parameters and host; false if it is neither.
bool read_target(std::string_view target, Request& request);

// As JSON in ASCII, as Python writes it; what is not UTF-8 is replaced.
std::string json_string(std::string_view text);
std::string json_object(const mmstats::Json& object);

// Who may be asked for in a Host header: so that a page of a stranger whose name suddenly leads to
// this machine gets nothing.
class HostNames {
 public:
  // `names` beside localhost; without port, in any case.
  explicit HostNames(std::vector<std::string> names);

  // Whether the request was meant for us: its host, without port, is one of the names or the very address
  // that it came to. By a Unix socket everything is.
  [[nodiscard]] bool allow(const Request& request) const;

 private:
  std::vector<std::string> names_;
};

}  // namespace mmash

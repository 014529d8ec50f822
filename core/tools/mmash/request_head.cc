#include "tools/mmash/request_head.h"

#include <fmt/format.h>

#include <boost/beast/http/error.hpp>
#include <utility>

namespace mmash {
namespace {

namespace http = boost::beast::http;

Response no_body() { return error_response(413, "a request has no body here"); }

// A header that is a list may be sent in several lines.
std::string list_of(const HeadParser::value_type& head, http::field field) {
  std::string list;
  const auto [begin, end] = head.equal_range(field);
  for (auto line = begin; line != end; ++line) {
    if (line != begin) list += ", ";
    list.append(line->value().data(), line->value().size());
  }
  return list;
}

}  // namespace

tl::expected<Request, Response> request_of(const HeadParser& parser, const std::string& server_address) {
  const auto refuse = [](unsigned status, std::string_view why) {
    return tl::unexpected(error_response(status, why));
  };
  const auto& head = parser.get();
  if (head.method() != http::verb::get && head.method() != http::verb::head) {
    auto response = error_response(405, "GET and HEAD are all that there is");
    response.headers.emplace_back("Allow", "GET, HEAD");
    return tl::unexpected(std::move(response));
  }
  if (parser.chunked() || parser.content_length().value_or(0) != 0) return tl::unexpected(no_body());
  const auto hosts = head.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && head.version() != 10)) return refuse(400, "a request has one Host header");
  Request request;
  if (hosts == 1) request.host = std::string(head[http::field::host]);
  request.server_address = server_address;
  request.accept = list_of(head, http::field::accept);
  request.accept_encoding = list_of(head, http::field::accept_encoding);
  request.if_none_match = std::string(head[http::field::if_none_match]);
  if (!read_target({head.target().data(), head.target().size()}, request)) {
    return refuse(400, "what is asked for begins with a slash, or is an http URL");
  }
  return request;
}

std::optional<Response> refusal_of(const boost::beast::error_code& error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return error_response(431, fmt::format("the head of a request has {} bytes at most", kMaxHead));
  }
  if (error == http::error::body_limit) return no_body();
  if (error.category() != http::make_error_code(http::error::bad_target).category() ||
      error == http::error::end_of_stream || error == http::error::partial_message) {
    return std::nullopt;
  }
  return error_response(400, fmt::format("not a request of HTTP/1: {}", error.message()));
}

}  // namespace mmash

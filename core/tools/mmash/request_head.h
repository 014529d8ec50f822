// What of a client's words is a request that mmash answers, and with which words others are refused.
#pragma once

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "tools/mmash/http.h"

namespace mmash {

inline constexpr std::size_t kMaxHead = 16U << 10U;  // bytes

using HeadParser = boost::beast::http::request_parser<boost::beast::http::empty_body>;

// The request, or why it is refused. After that nobody knows where the next request begins, or wants to.
// Precondition: the parser has read a head. `server_address`: see Request.
tl::expected<Request, Response> request_of(const HeadParser& parser, const std::string& server_address);

// Of a head that could not be read; none if the client left, or let its time pass.
std::optional<Response> refusal_of(const boost::beast::error_code& error);

}  // namespace mmash

// Answers in gzip, for clients that take it.
#pragma once

#include <string_view>

#include "tools/mmash/http.h"

namespace mmash {

// Whether a client with this Accept-Encoding header takes gzip, and likes it no less than plain bytes. False
// without a header, and for words that are no such header.
bool takes_gzip(std::string_view accept_encoding);

// The answer in gzip if the client takes it and the body is long enough to gain by it, else as it is. Pieces
// are compressed when they are made. Every answer with a body says that it varies, and so does a 304.
// May throw std::bad_alloc, and so may the answer's further pieces.
Response in_best_encoding(Response response, std::string_view accept_encoding);

}  // namespace mmash

// The access log, on standard output.
#pragma once

#include <string_view>

namespace mmash {

// A line on standard output, at once.
void write_line(std::string_view text);

}  // namespace mmash

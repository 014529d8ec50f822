// Patterns whose backslashes collectd took away: it removes one of each pair, so that "\d+" arrives as "d+".
#pragma once

#include <string_view>

namespace mmstats::collectd {

// The letter in `pattern` that was probably the class \d, \w or \s, or its opposite; 0: there is none. A
// guess: a label may well be "d".
char lost_class(std::string_view pattern);

}  // namespace mmstats::collectd

// What a file's name tells of the program that writes it. Pure functions; from any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace mmstats {

// The name without folders and without its last ending: "web-17-18" of "/run/mmstats/web-17-18.mmstats".
std::string_view stem_of(std::string_view path);

// What stands before the pid in that: "web", if `pid` is 17. Empty if the name does not hold the pid.
std::string_view command_of(std::string_view path, std::uint64_t pid);

}  // namespace mmstats

// pollstats' command line. Pure but for parse(), which prints help and mistakes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tools/pollstats/grouping.h"

namespace pollstats {

inline constexpr int kUsage = 2;  // exit status of a mistake on the command line

struct Options {
  std::optional<std::uint64_t> count;  // lines; none: until it is stopped
  std::chrono::nanoseconds delay = std::chrono::seconds(1);
  std::vector<std::string> filters;
  std::uint64_t headers = 20;  // a header every so many lines; 0: one
  std::string prefix;
  int verbosity = 0;
  bool rate = false;
  bool json = false;
  bool live = false;
  Grouping grouping;
  std::string fields;              // empty: the live view
  std::vector<std::string> files;  // globs; empty: the default ones
};

// The words of a command line, without the program's name, as CLI11 is to see them and what is left: it would
// take
// `[a-z]` for a list. In the original, -f takes all words up to the next option. Here, too, but for the words
// at the end of the line as long as there is no FIELD and FILE before them: of these it takes one. Each
// filter gets a -f of its own.
struct Words {
  std::vector<std::string> options;    // and their values
  std::vector<std::string> arguments;  // FIELD and FILEs
};
Words divide(std::span<const std::string> words);

// Prints what was asked for (help, version) or what is wrong, and returns the exit status then.
struct Parsed {
  Options options;
  std::optional<int> exit_status;
};
Parsed parse(int argc, const char* const* argv);

}  // namespace pollstats

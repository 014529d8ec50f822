// What main() of each tool does: options, --help and --version, exit statuses, and that no exception leaves.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace mmstats {

struct Tool {
  std::string name;
  std::string description;
  // Exit statuses: of an exception, and of a mistake on the command line.
  int failed = 1;
  int usage = 2;
  // Then a reader who leaves is a failed write, see Output. A tool that starts others leaves SIGPIPE as it
  // is.
  bool ignores_sigpipe = true;
};

// Gives the app --version and parses the words, from the last to the first in `reversed`, or of main().
// Prints help, version or the mistake if that is all there is to do, and returns the exit status then.
std::optional<int> parse_words(CLI::App& app, const Tool& tool, std::vector<std::string> reversed);
std::optional<int> parse_words(CLI::App& app, const Tool& tool, int argc, const char* const* argv);

// Returns what `run` returns; tells of an exception.
int run_guarded(const Tool& tool, const std::function<int()>& run) noexcept;

// All of it: `add_options` has the app write into the options, with which `run` is called.
template <class Options>
int run_tool(int argc, char** argv, const Tool& tool, void (*add_options)(CLI::App&, Options&),
             int (*run)(Options&)) noexcept {
  return run_guarded(tool, [&] {
    Options options;
    CLI::App app(tool.description, tool.name);
    add_options(app, options);
    const auto status = parse_words(app, tool, argc, argv);
    return status ? *status : run(options);
  });
}

}  // namespace mmstats

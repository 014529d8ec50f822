#include "tools/shared/run_tool.h"

#include <csignal>
#include <cstdio>
#include <exception>
#include <utility>

namespace mmstats {
namespace {

template <class... Words>
std::optional<int> parse(CLI::App& app, const Tool& tool, Words&&... words) {
  app.set_version_flag("--version", tool.name + " " MMSTATS_VERSION);
  app.failure_message([&](const CLI::App*, const CLI::Error& error) {
    return tool.name + ": " + error.what() + "\nRun with --help for more information.\n";
  });
  try {
    app.parse(std::forward<Words>(words)...);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : tool.usage;
  }
}

}  // namespace

std::optional<int> parse_words(CLI::App& app, const Tool& tool, std::vector<std::string> reversed) {
  return parse(app, tool, std::move(reversed));
}

std::optional<int> parse_words(CLI::App& app, const Tool& tool, int argc, const char* const* argv) {
  return parse(app, tool, argc, argv);
}

int run_guarded(const Tool& tool, const std::function<int()>& run) noexcept {
  if (tool.ignores_sigpipe) std::signal(SIGPIPE, SIG_IGN);
  try {
    return run();
  } catch (const std::exception& error) {
    // Without memory, of which there may be none left.
    for (const char* text : {tool.name.c_str(), ": ", error.what(), "\n"}) std::fputs(text, stderr);
    return tool.failed;
  }
}

}  // namespace mmstats

#include "poll_options.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <iostream>
#include <string_view>
#include <utility>

#include "mmstats/error.h"

namespace pollstats {
namespace {

constexpr int kUsage = 2;
constexpr double kShortestDelay = 0.01;     // seconds
constexpr double kLongestDelay = 31536000;  // a year

bool is_option(std::string_view word) { return word.size() > 1 && word.starts_with('-'); }

bool takes_value(std::string_view word) {
  constexpr std::array<std::string_view, 8> kOptions{"-c",      "-d",      "-n",        "-p",
                                                     "--count", "--delay", "--headers", "--prefix"};
  return std::ranges::find(kOptions, word) != kOptions.end();
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("*?[\\").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::vector<std::string> spread_filters(std::span<const std::string> words) {
  std::vector<std::string> out;
  std::size_t arguments = 0;  // neither options nor their values
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      out.insert(out.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
    if (word != "-f" && word != "--filter") {
      out.push_back(word);
      if (takes_value(word) && i + 1 < words.size()) {
        out.push_back(words[++i]);
      } else if (!is_option(word)) {
        ++arguments;
      }
      continue;
    }
    std::size_t end = i + 1;
    while (end < words.size() && !is_option(words[end])) ++end;
    if (end == words.size() && arguments < 2) end = std::min(end, i + 2);
    if (end == i + 1) out.push_back(word);  // without a value, which is told
    for (std::size_t filter = i + 1; filter < end; ++filter) out.insert(out.end(), {"-f", words[filter]});
    i = end - 1;
  }
  return out;
}

std::string as_glob(const std::string& file, bool exists) {
  if (!exists) return file;
  const std::size_t name = file.rfind('/') + 1;
  std::string folder = file.substr(0, name);
  // A folder without wildcards is taken as it is.
  if (folder.find_first_of("*?[") != std::string::npos) folder = escaped(folder);
  return folder + escaped(std::string_view(file).substr(name));
}

Parsed parse(int argc, const char* const* argv) {
  CLI::App app(
      "Shows how values of mmstats files change: in columns, a line every second, or without FIELD on the\n"
      "whole screen, as top does.",
      "pollstats");
  Parsed parsed;
  Options& options = parsed.options;
  double delay = 1;
  std::vector<std::string> arguments;
  app.add_option("-c,--count", options.count, "End after so many lines")->check(CLI::PositiveNumber);
  app.add_option("-d,--delay", delay, "Seconds from line to line; default: 1")
      ->check(CLI::Range(kShortestDelay, kLongestDelay));
  app.add_option("-f,--filter", options.filters,
                 "Only files that have a label which starts with this, or LABEL=VALUE; again for others")
      ->allow_extra_args(false);
  app.add_option("-n,--headers", options.headers, "A header every so many lines; default: 20; 0: only one");
  app.add_option("-p,--prefix", options.prefix, "Put before every FIELD, and left out of the header");
  app.add_flag("--rate", options.rate, "A column with the change per second beside each");
  app.add_flag("--json", options.json, "A JSON object a line");
  app.add_flag("--live", options.live, "The whole screen; all arguments are FILEs");
  app.add_flag("-v", options.verbosity,
               "Say more on standard error: warnings; -vv: what files do; -vvv: all");
  app.set_version_flag("--version", "pollstats " MMSTATS_VERSION);
  app.add_option("FIELD", arguments,
                 "FIELD,FIELD...: labels, or patterns as 'status.*'; then the FILEs, or patterns of them.\n"
                 "Default: the files that MMSTATS_GLOB or MMSTATS_PATH names, else /run/mmstats/*.mmstats\n"
                 "and /tmp/*.mmstats")
      ->option_text("FIELD,FIELD... FILE...");

  const auto refuse = [&](std::string_view what) {
    std::cerr << "pollstats: " << what << "\nRun with --help for more information.\n";
    parsed.exit_status = kUsage;
    return parsed;
  };
  try {
    const std::vector<std::string> words(argv + 1, argv + argc);
    auto spread = spread_filters(words);
    std::ranges::reverse(spread);  // as CLI11 wants them
    app.parse(spread);
  } catch (const CLI::ParseError& error) {
    parsed.exit_status = app.exit(error) == 0 ? 0 : kUsage;
    return parsed;
  }
  options.delay = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(delay));

  if (!options.live && !arguments.empty()) {
    options.fields = arguments.front();
    if (options.fields.empty()) return refuse("FIELD: an empty name; leave it out for the whole screen");
    if (options.fields.find('/') != std::string::npos && exists(options.fields)) {
      return refuse(fmt::format("{} is a file: write FIELD,FIELD before it, or --live to see all of it",
                                mmstats::printable(options.fields)));
    }
    arguments.erase(arguments.begin());
  }
  if (options.fields.empty() && (options.json || options.rate)) {
    return refuse("--json and --rate are for columns: name fields; '*' is all of them");
  }
  for (const auto& file : arguments) {
    if (file.empty()) return refuse("FILE: an empty name");
    options.files.push_back(as_glob(file, exists(file)));
  }
  return parsed;
}

}  // namespace pollstats

#include "tools/pollstats/poll_options.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "mmstats/error.h"
#include "tools/shared/find_files.h"
#include "tools/shared/label_rules.h"
#include "tools/shared/named_files.h"
#include "tools/shared/option_checks.h"
#include "tools/shared/output.h"
#include "tools/shared/run_tool.h"

namespace pollstats {
namespace {

constexpr double kShortestDelay = 0.01;     // seconds
constexpr double kLongestDelay = 31536000;  // a year

bool is_option(std::string_view word) { return word.size() > 1 && word.starts_with('-'); }

// Its value is the next word.
bool takes_value(std::string_view word) {
  constexpr std::array<std::string_view, 7> kLong{"--by",     "--count",  "--delay", "--headers",
                                                  "--labels", "--prefix", "--where"};
  if (word.starts_with("--")) return std::ranges::find(kLong, word) != kLong.end();
  if (!is_option(word)) return false;
  const std::size_t flags = word.find_first_not_of('v', 1);  // -vd 2
  return flags + 1 == word.size() && std::string_view("cdfnp").find(word.back()) != std::string_view::npos;
}

// Whether FIELD is a file, or a pattern of files: only what has a slash, or the ending, is looked for.
bool is_files(const std::string& field) {
  if (field.find('/') == std::string::npos && !field.ends_with(".mmstats")) return false;
  struct stat info{};
  return ::stat(field.c_str(), &info) == 0 || !mmstats::find_files({field}).files.empty();
}

}  // namespace

Words divide(std::span<const std::string> words) {
  Words divided;
  auto& [options, arguments] = divided;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      arguments.insert(arguments.end(), words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      break;
    }
    if (word != "-f" && word != "--filter") {
      (is_option(word) ? options : arguments).push_back(word);
      if (takes_value(word) && i + 1 < words.size()) options.push_back(words[++i]);
      continue;
    }
    std::size_t end = i + 1;
    while (end < words.size() && !is_option(words[end])) ++end;
    if (end == words.size() && arguments.size() < 2) end = std::min(end, i + 2);
    if (end == i + 1) options.push_back(word);  // without a value, which is told
    for (std::size_t filter = i + 1; filter < end; ++filter) {
      options.insert(options.end(), {"-f", words[filter]});
    }
    i = end - 1;
  }
  return divided;
}

Parsed parse(int argc, const char* const* argv) {
  CLI::App app(
      "Shows how values of mmstats files change: in columns, a line every second, or without FIELD on the\n"
      "whole screen, as top does.",
      "pollstats");
  Parsed parsed;
  Options& options = parsed.options;
  double delay = 1;
  std::optional<std::string> by;
  std::vector<std::string> where;
  std::string shown_in_help;
  app.add_option("-c,--count", options.count, "End after so many lines")->check(mmstats::whole_from(1));
  app.add_option("-d,--delay", delay, "Seconds from line to line; default: 1")
      ->check(mmstats::number_from(kShortestDelay, kLongestDelay));
  app.add_option("-f,--filter", options.filters,
                 "Only files that have a label which starts with this, or LABEL=VALUE; again for others")
      ->allow_extra_args(false);
  app.add_option("-n,--headers", options.headers, "A header every so many lines; default: 20; 0: only one")
      ->check(mmstats::whole_from(0));
  app.add_option("-p,--prefix", options.prefix, "Put before every FIELD, and left out of the header");
  app.add_option("--by", by, "Group families by these dimensions; '': each is one series")
      ->option_text("DIMENSION,...");
  app.add_option("--where", where, "Only series whose value matches; again for others: all must match")
      ->allow_extra_args(false)
      ->option_text("DIMENSION=PATTERN");
  mmstats::add_labels_option(app, options.grouping.labels);
  app.add_flag("--rate", options.rate, "A column with the change per second beside each counter");
  app.add_flag("--json", options.json, "A JSON object a line");
  app.add_flag("--live", options.live, "The whole screen; all arguments are FILEs");
  app.add_flag("-v", options.verbosity,
               "Say more on standard error: warnings; -vv: what files do; -vvv: all");
  app.add_option("FIELD", shown_in_help,
                 "FIELD,FIELD...: labels, also of families, or patterns as 'status.*'; of a histogram "
                 "LABEL.count, or any percentile,\n"
                 "as LABEL.p99 or LABEL.p995 (99.5); then the FILEs, or patterns of them.\n"
                 "Default: the files that MMSTATS_GLOB or MMSTATS_PATH names, else /run/mmstats/*.mmstats\n"
                 "and /tmp/*.mmstats")
      ->option_text("FIELD,FIELD... FILE...");

  const auto refuse = [&](std::string_view what) {
    mmstats::complain("pollstats", fmt::format("{}\nRun with --help for more information.", what));
    parsed.exit_status = kUsage;
    return parsed;
  };
  auto [words, arguments] = divide(std::vector<std::string>(argv + 1, argv + argc));
  std::ranges::reverse(words);
  parsed.exit_status = mmstats::parse_words(app, {.name = "pollstats", .description = {}}, std::move(words));
  if (parsed.exit_status) return parsed;
  if (by) {
    auto names = parse_by(*by);
    if (!names) return refuse(names.error().message);
    options.grouping.by = std::move(*names);
  }
  for (const auto& text : where) {
    auto filter = parse_where(text);
    if (!filter) return refuse(filter.error().message);
    options.grouping.where.push_back(std::move(*filter));
  }
  mmstats::Rules tried;
  if (const auto good = add_rules(options.grouping, tried); !good) return refuse(good.error().message);
  options.delay = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(delay));

  if (!options.live && !arguments.empty()) {
    if (arguments.front().empty()) return refuse("FIELD: an empty name; leave it out for the whole screen");
    if (!is_files(arguments.front())) {
      options.fields = arguments.front();
      arguments.erase(arguments.begin());
    }
  }
  if (options.fields.empty() && (options.json || options.rate)) {
    return refuse("--json and --rate are for columns: name fields; '*' is all of them");
  }
  for (const auto& file : arguments) {
    if (file.empty()) return refuse("FILE: an empty name");
    options.files.push_back(mmstats::named_glob(file));
  }
  return parsed;
}

}  // namespace pollstats

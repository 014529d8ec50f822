// Configuration as it is written in collectd.conf, for tests: a line an option or the bounds of a
// block. Unlike collectd, backslashes are kept, and `nan` and `inf` are numbers.
#pragma once

#include <cctype>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "plugin_collectd/config.h"

namespace config_text {

// The words of a line: "quoted ones" are strings, others numbers, bools, or strings as well.
inline std::vector<mmstats::collectd::ConfigValue> values(std::string_view line) {
  std::vector<mmstats::collectd::ConfigValue> found;
  while (!line.empty()) {
    if (std::isspace(static_cast<unsigned char>(line.front())) != 0) {
      line.remove_prefix(1);
      continue;
    }
    const bool quoted = line.front() == '"';
    if (quoted) line.remove_prefix(1);
    const auto end = line.find_first_of(quoted ? "\"" : " \t");
    const std::string word(line.substr(0, end));
    line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
    char* rest = nullptr;
    const double number = std::strtod(word.c_str(), &rest);
    if (!quoted && (word == "true" || word == "false")) {
      found.emplace_back(word == "true");
    } else if (!quoted && !word.empty() && *rest == '\0') {
      found.emplace_back(number);
    } else {
      found.emplace_back(word);
    }
  }
  return found;
}

inline mmstats::collectd::ConfigItem item(std::string_view line) {
  mmstats::collectd::ConfigItem made;
  const auto end = std::min(line.find_first_of(" \t"), line.size());
  made.key = line.substr(0, end);
  made.values = values(line.substr(end));
  return made;
}

// One <Plugin mmstats> section that holds `text`.
inline mmstats::collectd::ConfigItem section(const std::string& text) {
  std::vector<mmstats::collectd::ConfigItem> open{item("Plugin mmstats")};
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    line.erase(0, line.find_first_not_of(" \t"));
    if (line.empty()) continue;
    if (line.starts_with("</")) {
      if (open.size() < 2) throw std::runtime_error("closed more than opened: " + line);
      auto closed = std::move(open.back());
      open.pop_back();
      open.back().children.push_back(std::move(closed));
    } else if (line.starts_with('<')) {
      open.push_back(item(std::string_view(line).substr(1, line.rfind('>') - 1)));
    } else {
      open.back().children.push_back(item(line));
    }
  }
  if (open.size() != 1) throw std::runtime_error("a block is not closed: " + text);
  return open.front();
}

}  // namespace config_text

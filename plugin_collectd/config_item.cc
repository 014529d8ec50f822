#include "plugin_collectd/config_item.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace mmstats::collectd {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::string show(const ConfigValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return fmt::format("\"{}\"", *text);
  if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  const auto* flag = std::get_if<bool>(&value);
  return flag != nullptr && *flag ? "true" : "false";
}

std::string show(const ConfigItem& item) {
  std::string text = item.key;
  for (const auto& value : item.values) text += " " + show(value);
  return text;
}

ConfigValue only_value(const ConfigItem& item) {
  return item.values.size() == 1 ? item.values.front() : ConfigValue();
}

std::string only_text(const ConfigItem& item) {
  const auto value = only_value(item);
  const auto* text = std::get_if<std::string>(&value);
  return text != nullptr ? *text : std::string();
}

bool same_key(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string option_name(std::string_view setting) {
  std::string name;
  bool begins = true;
  for (const char c : setting) {
    if (c != '_') name += begins ? static_cast<char>(c - 'a' + 'A') : c;
    begins = c == '_';
  }
  return name;
}

void Notes::left_out(std::string_view what, std::string_view why) {
  add(Message::Severity::kError, fmt::format("{} is left out: {}", what, why));
}

void Notes::left_out(std::span<const std::string> these, std::string_view why) {
  add(Message::Severity::kError,
      fmt::format("{} {} left out: {}", fmt::join(these, ", "), these.size() == 1 ? "is" : "are", why));
}

void Notes::add(Message::Severity severity, std::string_view text) {
  messages_->push_back({severity, fmt::format("{}: {}", place_, text)});
}

}  // namespace mmstats::collectd

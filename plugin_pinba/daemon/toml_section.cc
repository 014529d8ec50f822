#include "plugin_pinba/daemon/toml_section.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "mmstats/error.h"

namespace mmstats::daemon {
namespace {

constexpr std::size_t kMaxTags = 16;     // of one timer or request, so that they fit in any datagram
constexpr std::size_t kMaxTagName = 64;  // bytes

std::string show(const toml::node& node) {
  if (const auto* text = node.as_string()) return fmt::format("\"{}\"", printable(text->get()));
  if (const auto* number = node.as_integer()) return fmt::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return fmt::to_string(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (node.is_array()) return "an array";
  return node.is_table() ? "a table" : "a date or time";
}

bool is_text(std::string_view text) { return !text.empty() && text.find('\0') == std::string_view::npos; }

bool is_text(const toml::node& node) {
  const auto* text = node.as_string();
  return text != nullptr && is_text(text->get());
}

}  // namespace

tl::expected<toml::table, Mistakes> parse_toml(std::string_view text, const std::string& path) {
  try {
    return toml::parse(text, std::string_view(path));
  } catch (const toml::parse_error& error) {
    return tl::unexpected(Mistakes{fmt::format("{}:{}: this is not TOML: {}", printable(path),
                                               error.source().begin.line, printable(error.description()))});
  }
}

TomlSection::TomlSection(const toml::table& table, std::string place, const std::string& path,
                         Mistakes& mistakes)
    : table_(table), place_(std::move(place)), path_(path), mistakes_(mistakes) {}

const toml::node* TomlSection::find(std::string_view key) {
  known_.push_back(key);
  return table_.get(key);
}

SettingValue TomlSection::value_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  if (const auto number = node.value<double>()) return *number;  // whole numbers, too
  return {};
}

std::vector<SettingValue> TomlSection::values_of(const toml::node& node) {
  const auto* array = node.as_array();
  if (array == nullptr) return {value_of(node)};
  std::vector<SettingValue> values;
  for (const auto& one : *array) values.push_back(value_of(one));
  return values;
}

std::string TomlSection::line(std::string_view key, std::string_view text) const {
  const toml::node* node = table_.get(key);
  const auto line = (node != nullptr ? node->source() : table_.source()).begin.line;
  return fmt::format("{}:{}: {}{}: {}", printable(path_), line, place_, key, text);
}

void TomlSection::mistake(std::string_view key, std::string_view text) {
  mistakes_.push_back(line(key, text));
}

void TomlSection::refuse(std::string_view key, std::string_view takes) {
  mistake(key, fmt::format("{} is not possible, {}", show(*table_.get(key)), takes));
}

void TomlSection::refuse_pair(std::string_view key, std::string_view name, const toml::node& value,
                              std::string_view takes) {
  mistake(key, fmt::format("{} = {} is not possible, {}", printable(name), show(value), takes));
}

void TomlSection::text(std::string_view key, std::optional<std::string>& into) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  if (!is_text(*node)) return refuse(key, "it takes a text that is not empty");
  into = node->as_string()->get();
}

void TomlSection::texts(std::string_view key, std::vector<std::string>& into, bool none_allowed) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const auto* array = node->as_array();
  if (array == nullptr ? !is_text(*node)
                       : (array->empty() && !none_allowed) ||
                             !std::ranges::all_of(*array, [](const auto& one) { return is_text(one); })) {
    return refuse(key, "it takes a text, or an array of texts, that are not empty");
  }
  into.clear();
  if (array == nullptr) return into.push_back(node->as_string()->get());
  for (const auto& one : *array) into.push_back(one.as_string()->get());
}

void TomlSection::tags(std::string_view key, TagTexts& into, bool empty_allowed) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const auto* table = node->as_table();
  const std::string takes = fmt::format(
      "it takes a table like {{ name = \"value\" }} of {} tags at most, names of {} bytes at most", kMaxTags,
      kMaxTagName);
  if (table == nullptr || table->size() > kMaxTags) return refuse(key, takes);
  for (const auto& [name, value] : *table) {
    const auto* text = value.as_string();
    const bool empty = text != nullptr && text->get().empty() && empty_allowed;
    if (!is_text(name.str()) || name.str().size() > kMaxTagName || !(empty || is_text(value))) {
      refuse_pair(key, name.str(), value, takes);
      continue;
    }
    into.emplace_back(name.str(), text->get());
  }
}

void TomlSection::finish() {
  std::ranges::sort(known_);
  for (const auto& [key, value] : table_) {
    if (std::ranges::binary_search(known_, key.str())) continue;
    mistakes_.push_back(fmt::format("{}:{}: {}{}: there is no such key here; there are {}", printable(path_),
                                    key.source().begin.line, place_, printable(key.str()),
                                    fmt::join(known_, ", ")));
  }
}

}  // namespace mmstats::daemon

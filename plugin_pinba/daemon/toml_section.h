// One table of a TOML file: values are taken by key, and each mistake becomes a line that names the file, the
// line, the key, and what is allowed.
#pragma once

#include <toml++/toml.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collect/settings.h"

namespace mmstats::daemon {

// Lines that name the file, the line, the key, and what is allowed.
using Mistakes = std::vector<std::string>;

using TagTexts = std::vector<std::pair<std::string, std::string>>;  // name, value; names differ

// A file as TOML; `path` is for the mistake. Its text views nothing.
tl::expected<toml::table, Mistakes> parse_toml(std::string_view text, const std::string& path);

// Asking for a key makes it known; finish() names those that nobody asked for.
class TomlSection {
 public:
  // `place` stands before the key in mistakes. All but that must outlive the section.
  TomlSection(const toml::table& table, std::string place, const std::string& path, Mistakes& mistakes);
  TomlSection(const TomlSection&) = delete;
  TomlSection& operator=(const TomlSection&) = delete;

  [[nodiscard]] bool has(std::string_view key) const { return table_.get(key) != nullptr; }

  // A line about the value of `key`, or about the section where `key` is missing.
  [[nodiscard]] std::string line(std::string_view key, std::string_view text) const;
  // What is wrong with the value of `key`, or with the section where `key` is missing.
  void mistake(std::string_view key, std::string_view text);
  // The value of `key` is not possible; `takes`: "it takes ...".
  void refuse(std::string_view key, std::string_view takes);

  // Each leaves `into` as it is where the key is missing or its value is a mistake.
  void text(std::string_view key, std::optional<std::string>& into);
  // One text, or an array of them.
  void texts(std::string_view key, std::vector<std::string>& into, bool none_allowed = false);
  void tags(std::string_view key, TagTexts& into, bool empty_allowed);

  // `read`: from a SettingValue.
  template <class Read>
  auto value(std::string_view key, const Read& read) -> std::optional<std::decay_t<decltype(*read({}))>> {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    auto good = read(value_of(*node));
    if (good) return std::move(*good);
    refuse(key, good.error().message);
    return std::nullopt;
  }
  template <class T, std::size_t kSize>
  void word(std::string_view key, const std::array<Word<T>, kSize>& words, T& into) {
    into = value(key, [&](const SettingValue& written) { return read_word(written, words); }).value_or(into);
  }
  // All that every sink takes.
  template <class Target>
  void settings(std::span<const Setting<Target>> settings, Target& target) {
    for (const auto& setting : settings) {
      const toml::node* node = find(setting.name);
      if (node == nullptr) continue;
      if (const auto set = setting.set(target, value_of(*node)); !set)
        refuse(setting.name, set.error().message);
    }
  }

  template <class Target>
  void settings(std::span<const ListSetting<Target>> settings, Target& target) {
    for (const auto& setting : settings) {
      const toml::node* node = find(setting.name);
      if (node == nullptr) continue;
      if (const auto set = setting.set(target, values_of(*node)); !set)
        refuse(setting.name, set.error().message);
    }
  }

  // Calls read(name, value) for each in the table of that key; `example`: of what is in it.
  template <class Read>
  void pairs(std::string_view key, std::string_view example, const Read& read) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto* table = node->as_table();
    if (table == nullptr) return refuse(key, "it takes a table like { " + std::string(example) + " }");
    for (const auto& [name, value] : *table) {
      if (const auto good = read(std::string(name.str()), value_of(value)); !good)
        refuse_pair(key, name.str(), value, good.error().message);
    }
  }

  // [[PLACE.key]]: each table in turn.
  template <class Visit>
  void each(std::string_view key, const Visit& visit) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto* array = node->as_array();
    if (array == nullptr || !array->is_homogeneous<toml::table>()) {
      return refuse(key, "it takes sections, each headed [[" + std::string(key) + "]]");
    }
    for (const auto& one : *array) visit(*one.as_table());
  }

  void finish();

 private:
  const toml::node* find(std::string_view key);
  void refuse_pair(std::string_view key, std::string_view name, const toml::node& value,
                   std::string_view takes);
  static SettingValue value_of(const toml::node& node);
  static std::vector<SettingValue> values_of(const toml::node& node);  // an array's, or one

  const toml::table& table_;
  std::string place_;
  const std::string& path_;
  Mistakes& mistakes_;
  std::vector<std::string_view> known_;
};

}  // namespace mmstats::daemon

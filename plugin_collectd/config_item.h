// What the host's parser found in the configuration, and messages about it. Knows no collectd headers.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collect/settings.h"

namespace mmstats::collectd {

using ConfigValue = SettingValue;

// An option or a block: `key values...`, or `<key values...> children </key>`.
struct ConfigItem {
  std::string key;
  std::vector<ConfigValue> values;
  std::vector<ConfigItem> children;
};

// As it was written.
std::string show(const ConfigValue& value);
std::string show(const ConfigItem& item);  // without children

// The item's value, if it has exactly one.
ConfigValue only_value(const ConfigItem& item);
// The same, if it is a text that is not empty; else empty.
std::string only_text(const ConfigItem& item);

// Names of options, as everywhere in collectd, are the same in upper and lower case.
bool same_key(std::string_view a, std::string_view b);

// How collectd writes the name of a setting: "max_files" is MaxFiles.
std::string option_name(std::string_view setting);

struct Message {
  enum class Severity : std::uint8_t { kError, kWarning };
  Severity severity = Severity::kError;
  std::string text;  // names the block and the option, and says what is accepted
};

// Messages about one place of the configuration.
class Notes {
 public:
  Notes(std::vector<Message>& messages, std::string place) : messages_(&messages), place_(std::move(place)) {}

  void warning(std::string_view text) { add(Message::Severity::kWarning, text); }
  // What is ignored, and why.
  void left_out(std::string_view what, std::string_view why);
  void left_out(std::span<const std::string> these, std::string_view why);
  void left_out(const ConfigItem& item, const Error& error) { left_out(show(item), error.message); }

  [[nodiscard]] Notes at(const std::string& inner) const { return {*messages_, place_ + ", " + inner}; }

 private:
  void add(Message::Severity severity, std::string_view text);

  std::vector<Message>* messages_;
  std::string place_;
};

}  // namespace mmstats::collectd

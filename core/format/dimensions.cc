#include "format/dimensions.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"

namespace mmstats {
namespace {

constexpr std::array<std::string_view, 2> kTaken{"le", "quantile"};
constexpr std::string_view kSystem = "sys";  // the library's own labels end with sys.pid and others

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// -1: none.
int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool must_be_escaped(char c) {
  return c == '.' || c == '%' || static_cast<unsigned char>(c) < ' ' || c == 0x7F;
}

void append_escaped(std::string& into, char c) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  into += '%';
  into += kDigits[byte >> 4U];
  into += kDigits[byte & 15U];
}

}  // namespace

std::string wrong_dimension_name(std::string_view name) {
  if (name.empty() || !is_letter(name.front()) ||
      !std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || is_digit(c); })) {
    return "it must consist of letters, digits and _, and not begin with a digit";
  }
  if (name.size() > kMaxDimensionValue) return "it has more than 255 bytes";
  if (name.starts_with("__")) return "it begins with two underscores, which Prometheus keeps for itself";
  if (std::find(kTaken.begin(), kTaken.end(), name) != kTaken.end())
    return "le and quantile are reserved: OpenMetrics uses these labels itself";
  return {};
}

std::vector<std::string_view> dimension_names(std::string_view list) {
  std::vector<std::string_view> names;
  while (!list.empty()) {
    const auto name = list.substr(0, list.find(' '));
    list.remove_prefix(std::min(list.size(), name.size() + 1));
    if (names.size() == kMaxDimensions || !wrong_dimension_name(name).empty() ||
        std::find(names.begin(), names.end(), name) != names.end()) {
      return {};
    }
    names.push_back(name);
  }
  return names;
}

std::string escape_value(std::string_view value) {
  value = whole_characters(value, kMaxDimensionValue);
  std::string part;
  part.reserve(value.size());
  while (!value.empty()) {
    const std::size_t good = utf8_prefix(value);
    for (const char c : value.substr(0, good)) {
      if (must_be_escaped(c)) {
        append_escaped(part, c);
      } else {
        part += c;
      }
    }
    if (good < value.size()) part += '?';
    value.remove_prefix(std::min(value.size(), good + 1));
  }
  if (part == kSystem) {
    part.clear();
    append_escaped(part, kSystem.front());
    part += kSystem.substr(1);
  }
  return part;
}

std::string unescape_value(std::string_view part) {
  std::string value;
  value.reserve(part.size());
  for (std::size_t at = 0; at < part.size(); ++at) {
    const int high = part[at] == '%' && at + 2 < part.size() ? hex_digit(part[at + 1]) : -1;
    const int low = high >= 0 ? hex_digit(part[at + 2]) : -1;
    if (low < 0) {
      value += part[at];
    } else {
      value += static_cast<char>(high * 16 + low);
      at += 2;
    }
  }
  return value;
}

std::size_t more_if_escaped(std::string_view parts) {
  constexpr std::size_t kMore = 2;  // for each byte, and for the first one of "sys"
  const auto bytes = std::count_if(parts.begin(), parts.end(), must_be_escaped);  // dots, too: so each part
  return kMore * (1 + static_cast<std::size_t>(bytes));
}

std::string_view without_last_parts(std::string_view label, std::size_t parts) {
  for (; parts > 0; --parts) {
    const auto dot = label.rfind('.');
    if (dot == std::string_view::npos) return {};
    label = label.substr(0, dot);
  }
  return label;
}

}  // namespace mmstats

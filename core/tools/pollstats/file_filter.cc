#include "tools/pollstats/file_filter.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <type_traits>
#include <variant>

#include "mmstats/format.h"
#include "tools/shared/value_text.h"

namespace pollstats {
namespace {

bool equals(const mmstats::Scalar& item, const std::string& wanted) {
  if (mmstats::item_text(item) == wanted) return true;
  if (const auto* text = std::get_if<std::string_view>(&item)) return *text == wanted;
  char* end = nullptr;
  const double number = std::strtod(wanted.c_str(), &end);
  if (wanted.empty() || *end != '\0') return false;
  return std::visit(
      [&](const auto& value) {
        if constexpr (std::is_arithmetic_v<std::decay_t<decltype(value)>>) {
          return static_cast<double>(value) == number;
        }
        return false;
      },
      item);
}

bool has_value(const mmstats::Field& field, std::string_view filter) {
  if (field.type.items != 1 || !filter.starts_with(field.label)) return false;
  filter.remove_prefix(field.label.size());
  if (!filter.starts_with('=')) return false;
  const std::string wanted(filter.substr(1));
  bool same = false;
  mmstats::for_each_item(field.type_text, field.value,
                         [&](const mmstats::Scalar& item) { same = equals(item, wanted); });
  return same;
}

}  // namespace

bool passes(const std::vector<std::string>& filters, const mmstats::ParsedFile& content) {
  if (filters.empty()) return true;
  return std::ranges::any_of(filters, [&](const std::string& filter) {
    return std::ranges::any_of(content.fields, [&](const mmstats::Field& field) {
      return field.label.starts_with(filter) || has_value(field, filter);
    });
  });
}

}  // namespace pollstats

#include "tools/shared/command_name.h"

#include <string>

namespace mmstats {

std::string_view stem_of(std::string_view path) {
  const auto name = path.substr(path.rfind('/') + 1);
  const auto dot = name.rfind('.');
  return dot == std::string_view::npos || dot == 0 ? name : name.substr(0, dot);
}

std::string_view command_of(std::string_view path, std::uint64_t pid) {
  const auto name = stem_of(path);
  const std::string number = "-" + std::to_string(pid);
  for (auto at = name.find(number, 1); at != std::string_view::npos; at = name.find(number, at + 1)) {
    const auto behind = at + number.size();
    if (behind == name.size() || name[behind] == '-') return name.substr(0, at);
  }
  return {};
}

}  // namespace mmstats

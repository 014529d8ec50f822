#include "format/unfinished.h"

#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstddef>
#include <system_error>

#include "mmstats/format.h"

namespace mmstats {

std::string temporary_name(const std::string& path) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return path.substr(0, path.rfind('/') + 1) + '.' + path.substr(path.rfind('/') + 1) + '.' +
         std::to_string(::getpid()) + '-' + std::to_string(now);
}

std::vector<std::string> temporary_globs(const std::vector<std::string>& globs) {
  std::vector<std::string> temporary;
  for (const auto& glob : globs) {
    const auto name = glob.rfind('/') + 1;  // 0 if there is no folder
    temporary.push_back(glob.substr(0, name) + '.' + glob.substr(name) + ".*-*");
  }
  return temporary;
}

std::optional<std::uint64_t> maker_of_temporary(std::string_view name) {
  const auto is_number = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  const auto dot = name.rfind('.');
  const auto dash = name.rfind('-');
  if (!name.starts_with('.') || dot < 2 || dot == std::string_view::npos || dash == std::string_view::npos ||
      dash < dot) {
    return std::nullopt;
  }
  const auto pid = name.substr(dot + 1, dash - dot - 1);
  if (!is_number(pid) || !is_number(name.substr(dash + 1))) return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(pid.data(), pid.data() + pid.size(), number);
  if (error != std::errc{} || number == 0 || number > INT32_MAX) return std::nullopt;
  return number;
}

bool may_be_mmstats(const OpenFile& file) {
  std::byte first{};
  const ssize_t got = file.read_at(0, {&first, 1});
  return got == 0 || (got == 1 && (first == kVersion1 || first == std::byte{0}));
}

}  // namespace mmstats

#include "tools/mmash/path_filter.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/failure.h"
#include "collect/label_pattern.h"

namespace mmash {
namespace {

tl::unexpected<mmstats::Error> bad_glob(std::string_view glob, std::string_view why) {
  return tl::unexpected(mmstats::failure(mmstats::ErrorKind::kInvalid, {},
                                         fmt::format("glob \"{}\": {}", mmstats::printable(glob), why)));
}

std::string escaped(char c) { return fmt::format("\\x{{{:02x}}}", static_cast<unsigned char>(c)); }

// What stands in brackets, from the one at `at`, as a class of RE2; moves `at` to the bracket at its end.
// None if there is no such.
std::optional<std::string> bracket_class(std::string_view glob, std::size_t& at) {
  std::size_t i = at + 1;
  const bool others = i < glob.size() && (glob[i] == '!' || glob[i] == '^');
  if (others) ++i;
  const std::size_t begin = i;
  // A bracket that comes first is one of the characters.
  const std::size_t end = glob.find(']', begin + 1);
  if (begin >= glob.size() || end == std::string_view::npos) return std::nullopt;
  std::string result = others ? "[^/" : "[";
  for (; i < end; ++i) {
    result += escaped(glob[i]);
    if (i + 2 < end && glob[i + 1] == '-') {
      result += '-';
      result += escaped(glob[i + 2]);
      i += 2;
    }
  }
  at = end;
  return result + "]";
}

}  // namespace

std::vector<std::string> glob_folders(std::span<const std::string> globs) {
  std::vector<std::string> folders;
  for (const std::string_view glob : globs) {
    std::size_t end = glob.rfind('/');
    if (const auto wild = glob.find_first_of("*?["); wild < end && end != std::string_view::npos) {
      end = glob.rfind('/', wild);
    }
    std::string folder = end == std::string_view::npos ? "."
                         : end == 0                    ? "/"
                                                       : std::string(glob.substr(0, end));
    if (std::ranges::find(folders, folder) == folders.end()) folders.push_back(std::move(folder));
  }
  return folders;
}

PathFilter::PathFilter(mmstats::LabelPattern pattern, std::vector<std::string> folders)
    : pattern_(std::move(pattern)), folders_(std::move(folders)) {}
PathFilter::PathFilter(PathFilter&&) noexcept = default;
PathFilter& PathFilter::operator=(PathFilter&&) noexcept = default;
PathFilter::~PathFilter() = default;

mmstats::Expected<PathFilter> PathFilter::make(std::string_view glob, std::vector<std::string> folders) {
  if (glob.empty()) return PathFilter(nullptr, {});
  if (glob.find('\0') != std::string_view::npos) return bad_glob(glob, "no file's name has NUL in it");
  if (glob.starts_with('/'))
    return bad_glob(glob, "is relative to the folder of the files, and begins with no slash");
  std::string pattern;
  for (std::size_t begin = 0; begin <= glob.size();) {
    const auto end = std::min(glob.find('/', begin), glob.size());
    if (glob.substr(begin, end - begin) == "..")
      return bad_glob(glob, "may not leave the folder of the files");
    begin = end + 1;
  }
  for (std::size_t i = 0; i < glob.size(); ++i) {
    if (glob[i] == '*') {
      pattern += "[^/]*";
    } else if (glob[i] == '?') {
      pattern += "[^/]";
    } else if (glob[i] == '[') {
      const auto one = bracket_class(glob, i);
      if (!one) return bad_glob(glob, "a bracket is not closed; write [[] for the character");
      pattern += *one;
    } else {
      pattern += escaped(glob[i]);
    }
  }
  auto compiled = mmstats::compile_label_pattern(pattern);
  if (!compiled) return bad_glob(glob, compiled.error().message);
  return PathFilter(std::move(*compiled), std::move(folders));
}

bool PathFilter::matches(std::string_view path) const {
  if (!pattern_) return true;
  return std::ranges::any_of(folders_, [&](std::string_view folder) {
    if (!path.starts_with(folder)) return false;
    auto rest = path.substr(folder.size());
    if (rest.starts_with('/')) {
      rest.remove_prefix(1);
    } else if (folder != "/") {
      return false;
    }
    return mmstats::matches_whole(*pattern_, rest);
  });
}

}  // namespace mmash

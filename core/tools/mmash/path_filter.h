// A client's glob. It is matched against the paths of files that the server's own globs found, and so can
// only make them fewer: no path is ever opened because of it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collect/label_pattern.h"
#include "mmstats/error.h"

namespace mmash {

// What a client's globs are relative to: of each of the server's globs the folders before its first wildcard.
std::vector<std::string> glob_folders(std::span<const std::string> globs);

// Movable. Matching takes time linear in the path's length, whatever the glob is.
class PathFilter {
 public:
  // `glob`: as in the shell, `*`, `?` and `[...]` match no slash; empty matches all.
  // Error: kInvalid, with a reason for people: it is absolute, climbs with "..", holds NUL, or a bracket is
  // wrong.
  static mmstats::Expected<PathFilter> make(std::string_view glob, std::vector<std::string> folders);
  PathFilter(PathFilter&&) noexcept;
  PathFilter& operator=(PathFilter&&) noexcept;
  ~PathFilter();

  [[nodiscard]] bool matches(std::string_view path) const;

 private:
  PathFilter(mmstats::LabelPattern pattern, std::vector<std::string> folders);

  mmstats::LabelPattern pattern_;  // none: all
  std::vector<std::string> folders_;
};

}  // namespace mmash

// Which folders a glob leads to, now.
#pragma once

#include <string>
#include <vector>

#include "mmstats/error.h"

namespace mmstats {

struct FolderSearch {
  std::vector<std::string> found;
  // Folders in which nobody could look: what was known to be below them may be there still.
  std::vector<std::string> unknown;
  std::vector<Error> errors;  // one for each of `unknown`

  // Adds what `glob` leads to: a path whose parts may have wildcards, as in the shell. A part that begins
  // with a dot matches only a pattern that does. Links are not followed where a wildcard stands for them:
  // anybody may have put one there. What does not exist is no error.
  void look(const std::string& glob);

  // Whether `folder` is in one of `unknown`, or below it.
  [[nodiscard]] bool may_hold(const std::string& folder) const;
};

// Whether a path, or a part of one, has wildcards.
bool has_wildcard(const std::string& part);

}  // namespace mmstats

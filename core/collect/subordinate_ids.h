// Users with many user IDs: who may make user namespaces has thousands of them (subuid(5)), and could have a
// share of everything for each.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace mmstats {

// Immutable; any thread.
class SubordinateIds {
 public:
  // Reads a file in the form of /etc/subuid. Lines that make no sense, and those of root, who gives IDs to
  // others, count for nothing; nor does a file that cannot be read.
  explicit SubordinateIds(const std::string& path);

  // In whose share a thing of `owner` is counted: the first ID of all that belong to the same user, or
  // `owner`.
  [[nodiscard]] uid_t payer(uid_t owner) const;

 private:
  struct Range {
    uid_t first;
    uid_t last;
    uid_t payer;
  };
  std::vector<Range> ranges_;  // by their first
};

}  // namespace mmstats

// Which folders a glob leads to, now.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/keyed_hash.h"
#include "collect/folder_path.h"
#include "collect/shares.h"
#include "collect/subordinate_ids.h"
#include "collect/vain_names.h"
#include "mmstats/error.h"

namespace mmstats {

// One look for all globs. It holds a few descriptors while it looks, as many as a glob has parts.
class FolderSearch {
 public:
  static constexpr std::size_t kMaxErrors = 20;

  enum class Answer : std::uint8_t {
    kWanted,
    kLater,   // it is asked about again at a later scan
    kNoRoom,  // as long as its owner has no less
  };
  struct Asked {
    // Whether a folder is known, or one below it: those are looked for whatever else there is.
    std::function<bool(const FolderPath&)> is_known;
    // Whether one that is known is left for a later scan, with all below it.
    std::function<bool(const FolderPath&)> waits;
    // A folder was listed, and led to some that were found.
    std::function<void(const FolderPath&, uid_t owner)> listed;
    // A folder that was found, by a way without links of others; `info` is its own.
    std::function<Answer(const FolderPath&, const struct stat& info)> found;
  };

  // `ids` and `vain` live longer.
  FolderSearch(const SubordinateIds& ids, VainNames& vain, Asked asked)
      : ids_(ids), vain_(vain), asked_(std::move(asked)) {}

  // Tells what `glob` leads to. A part that begins with a dot matches only a pattern that does. From the
  // first wildcard on no link is followed: anybody may have put one there. What does not exist is no error.
  // Preconditions: glob.is_valid(); it has wildcards.
  void look(const FolderGlob& glob);

  // Whether `folder` is one in which nobody could look, or below one: it may be there still.
  [[nodiscard]] bool may_hold(const FolderPath& folder) const;

  [[nodiscard]] std::size_t failed() const { return failed_; }      // folders in which nobody could look
  [[nodiscard]] std::size_t left_out() const { return left_out_; }  // names that were not looked at
  struct OneError {
    Error error;
    uid_t owner = 0;  // of what is there, or of the folder that it is in
  };
  // The first of what failed, and of links where a glob names a folder: kMaxErrors, shared out among owners.
  std::vector<OneError> take_errors() { return std::move(errors_); }

 private:
  bool below(int folder, std::size_t part);
  bool look_at(int folder, const char* name, ino_t inode, std::size_t part, uid_t folder_owner);
  bool enter(int folder, const char* name, std::size_t part, bool named);
  void unknown(const char* what, int sys_errno, uid_t owner);
  void tell_link(uid_t owner);
  void tell(Error error, uid_t owner);
  void append(std::string_view name);

  const SubordinateIds& ids_;
  VainNames& vain_;
  Asked asked_;
  const FolderGlob* glob_ = nullptr;
  FolderPath at_;  // where it looks
  struct Refused {
    uid_t owner = 0;
    bool no_room = false;
  };
  std::optional<Refused> refused_;  // the folder that was found last, if it was not wanted
  std::unordered_set<std::string, KeyedHash, std::equal_to<>> unknown_;
  std::size_t failed_ = 0;
  std::size_t left_out_ = 0;
  Shares errors_room_{kMaxErrors};
  std::vector<OneError> errors_;
};

}  // namespace mmstats

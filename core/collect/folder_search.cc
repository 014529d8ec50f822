#include "collect/folder_search.h"

#include <fnmatch.h>

#include <algorithm>
#include <boost/filesystem/directory.hpp>
#include <boost/filesystem/operations.hpp>
#include <boost/filesystem/path.hpp>
#include <iterator>
#include <string_view>
#include <utility>

#include "base/failure.h"

namespace mmstats {
namespace {

namespace fs = boost::filesystem;
using Part = fs::path::const_iterator;

void expand(FolderSearch& search, const fs::path& known, const Part& part, const Part& end) {
  if (part != end && !has_wildcard(part->native()))
    return expand(search, known / *part, std::next(part), end);
  const auto unknown = [&](const fs::path& folder, const boost::system::error_code& error, const char* what) {
    if (!error || error == boost::system::errc::no_such_file_or_directory ||
        error == boost::system::errc::not_a_directory) {
      return;
    }
    search.unknown.push_back(folder.native());
    search.errors.push_back(system_failure(folder.native(), what, error.value()));
  };
  boost::system::error_code error;
  if (part == end) {
    const auto status = fs::status(known, error);
    if (status.type() == fs::directory_file) {
      search.found.push_back(known.native());
    } else if (status.type() == fs::status_error) {
      unknown(known, error, "cannot look at the folder");
    }
    return;
  }
  const fs::path listed = known.empty() ? fs::path(".") : known;
  fs::directory_iterator entry(listed, error);
  for (const fs::directory_iterator last; !error && entry != last; entry.increment(error)) {
    const auto name = entry->path().filename();
    if (::fnmatch(part->c_str(), name.c_str(), FNM_PERIOD) != 0) continue;
    boost::system::error_code unreadable;
    const auto type = entry->symlink_status(unreadable).type();
    if (type == fs::directory_file) {
      expand(search, known / name, std::next(part), end);
    } else if (type == fs::status_error) {
      unknown(known / name, unreadable, "cannot look at the folder");
    }
  }
  unknown(listed, error, "cannot list the folder");
}

}  // namespace

bool has_wildcard(const std::string& part) { return part.find_first_of("*?[") != std::string::npos; }

void FolderSearch::look(const std::string& glob) {
  const fs::path path(glob);
  expand(*this, {}, path.begin(), path.end());
}

bool FolderSearch::may_hold(const std::string& folder) const {
  return std::any_of(unknown.begin(), unknown.end(), [&](const std::string& top) {
    const std::string_view rest = std::string_view(folder).substr(std::min(top.size(), folder.size()));
    return folder.starts_with(top) && (rest.empty() || rest.starts_with('/') || top.ends_with('/'));
  });
}

}  // namespace mmstats

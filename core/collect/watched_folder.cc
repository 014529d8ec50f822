#include "collect/watched_folder.h"

#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

namespace mmstats {
namespace {

using std::chrono::system_clock;

// A folder's time stamp may be as coarse as this, and two changes within it look like one.
constexpr std::chrono::seconds kStampDoubt{2};
// Whatever its stamp, a folder is listed this often: not every file system keeps its stamps.
constexpr std::chrono::seconds kListAgain{60};

system_clock::time_point to_time_point(const timespec& stamp) {
  return system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(
      std::chrono::seconds(stamp.tv_sec) + std::chrono::nanoseconds(stamp.tv_nsec)));
}

}  // namespace

bool WatchedFolder::matches(const char* name) const {
  const std::string_view text = name;
  const auto ends = [&](const std::string& ending) { return text.ends_with(ending); };
  // A leading dot matches no wildcard.
  if (!text.starts_with('.') && std::any_of(endings.begin(), endings.end(), ends)) return true;
  return (!literals.empty() && literals.find(text) != literals.end()) ||
         std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
           return ::fnmatch(pattern.c_str(), name, FNM_PERIOD | FNM_PATHNAME) == 0;
         });
}

NameCounts WatchedFolder::counts() const {
  return {.skipped = std::max(counted.skipped, counting.skipped),
          .unreadable = std::max(counted.unreadable, counting.unreadable),
          .beyond_limit = std::max(counted.beyond_limit, counting.beyond_limit),
          .untold = counted.untold};
}

int WatchedFolder::open(Descriptor& opened) const {
  if (descriptor) return descriptor.get();
  struct stat info{};
  opened = open_folder(where);
  if (!opened || ::fstat(opened.get(), &info) != 0) return -1;
  if (id == FileId{info.st_dev, info.st_ino}) return opened.get();
  errno = ESTALE;
  return -1;
}

bool WatchedFolder::add_pattern(const std::string& pattern) {
  if (pattern.find_first_of("*?[\\") == std::string::npos) return literals.insert(pattern).second;
  const bool is_ending = pattern.starts_with('*') && pattern.find_first_of("*?[\\", 1) == std::string::npos;
  auto& known = is_ending ? endings : patterns;
  std::string kept = is_ending ? pattern.substr(1) : pattern;
  if (std::find(known.begin(), known.end(), kept) != known.end()) return false;
  known.push_back(std::move(kept));
  return true;
}

bool WatchedFolder::must_list(const timespec& now_stamp, system_clock::time_point now) const {
  const bool same = now_stamp.tv_sec == stamp.tv_sec && now_stamp.tv_nsec == stamp.tv_nsec;
  const bool fresh = now >= listed_at && now - listed_at < kListAgain;
  return !same || !fresh || list_next_time || resume != 0;
}

void WatchedFolder::begin_listing(std::uint64_t number, const timespec& now_stamp,
                                  system_clock::time_point now) {
  listing = number;
  counting = {};
  errors.begin();
  // A change right after this listing may leave the same stamp, so a recent stamp proves nothing.
  list_next_time = to_time_point(now_stamp) + kStampDoubt > now;
  stamp = now_stamp;
  listed_at = now;
}

}  // namespace mmstats

// The file of slow requests that a Pinba server keeps: JSON lines, which this passes on as they are.
#pragma once

#include <cstddef>
#include <string>

#include "tools/mmash/http.h"

namespace mmash {

class SlowRequests {
 public:
  static constexpr std::size_t kMostBytes = std::size_t{4} << 20;  // the last ones of a larger file

  // Empty: there is no such file.
  explicit SlowRequests(std::string path) : path_(std::move(path)) {}

  // The whole lines of the file, the oldest first. 404 if there is none; 500 if it is no regular file, or
  // cannot be opened. A file that is replaced meanwhile is sent to its end.
  [[nodiscard]] Response answer(const Request& request) const;

  // {"slow_requests": BOOL}: whether the page has any to show.
  [[nodiscard]] Response about() const;

 private:
  std::string path_;
};

}  // namespace mmash

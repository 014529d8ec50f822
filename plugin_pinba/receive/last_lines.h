// The last lines of a log: in memory, and from time to time in a file, which readers always see whole.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "mmstats/error.h"
#include "plugin_pinba/receive/fair_lines.h"

namespace mmstats::receive {

struct LastLinesOptions {
  std::string path;                               // empty: there is no file
  std::size_t most_bytes = std::size_t{1} << 20;  // of the file; in memory it may be three times as much
  mode_t mode = 0640;                             // of the file, whatever the umask
};

// Any thread may add; all else is for any thread, too, but waits for the disk.
class LastLines {
 public:
  explicit LastLines(LastLinesOptions options);

  // `owner`: who caused it; see FairLines. Waits for nothing but other calls of add(). Throws std::bad_alloc.
  void add(std::string line, std::uint64_t owner = 0);

  // Takes the lines that an earlier process left in the file, as far as they fit; to be called first. That
  // there is no file is no error. Errors, with the path: it is no regular file, or cannot be read.
  Expected<void> read();

  // Replaces the file, if there are lines that it has not. Errors, with the path: the folder is missing, the
  // disk is full, and so on; the file is then what it was, no line is lost, and the next call tries again.
  Expected<void> write();

  // The oldest of them first.
  [[nodiscard]] std::vector<std::string> last(std::size_t most);

  [[nodiscard]] const LastLinesOptions& options() const { return options_; }

 private:
  void keep_fresh();

  const LastLinesOptions options_;
  std::mutex fresh_mutex_;
  FairLines fresh_;  // since the last call of keep_fresh()
  std::mutex kept_mutex_;
  FairLines kept_;
  bool changed_ = false;  // since the file was written
};

}  // namespace mmstats::receive

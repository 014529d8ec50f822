#include "tools/mmash/files.h"

#include <algorithm>
#include <utility>

#include "base/same_bytes.h"

namespace mmash {

using mmstats::FileKey;

Files::Files(std::vector<std::string> globs) : discovery_(std::move(globs)) {}

void Files::scan() {
  scanned_at_ = std::chrono::steady_clock::now();
  const auto& found = discovery_.scan(std::chrono::system_clock::now());
  for (const FileKey file : found.gone) discovery_.forget(file);
  const auto by_path = [&](FileKey a, FileKey b) { return discovery_.path(a) < discovery_.path(b); };
  if (!found.gone.empty() || !found.appeared.empty()) {
    const auto files = discovery_.files();
    sorted_.assign(files.begin(), files.end());
  }
  // A file may have been renamed, too.
  if (!std::ranges::is_sorted(sorted_, by_path)) std::ranges::sort(sorted_, by_path);
}

void Files::scan_again(std::chrono::steady_clock::duration quiet) {
  if (scanned_at_ && std::chrono::steady_clock::now() - *scanned_at_ >= quiet) scan();
}

bool Files::read_bytes(FileKey file, mmstats::ReadBuffer& bytes) {
  const auto size = discovery_.size(file);
  if (size <= 0 || static_cast<std::uint64_t>(size) > mmstats::kDefaultMaxFileSize) return false;
  bytes.resize(static_cast<std::size_t>(size));
  const auto got = discovery_.read_at(file, 0, bytes);
  bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return !bytes.empty() && bytes[0] == mmstats::kVersion1;
}

const mmstats::ParsedFile* Files::read(FileKey file, Care care) {
  if (!read_bytes(file, first_)) return nullptr;
  // Mostly nothing changes between two readings, and all is said.
  if (care == Care::kSettled && (!read_bytes(file, second_) || !mmstats::same_bytes(first_, second_)))
    return settle(file);
  mmstats::parse(first_, content_);
  return &content_;
}

const mmstats::ParsedFile* Files::settle(FileKey file) {
  mmstats::Settler settler;
  const auto add = [&](const mmstats::ReadBuffer& bytes) {
    return settler.add({.path = path(file),
                        .id = discovery_.id(file),
                        .file_size = bytes.size(),
                        .modified = {},
                        .bytes = {bytes.begin(), bytes.end()}});
  };
  bool settled = add(first_);
  if (!settled && !second_.empty()) settled = add(second_);
  for (int readings = 2; !settled && readings < mmstats::kMostReadings && read_bytes(file, second_);
       ++readings) {
    settled = add(second_);
  }
  reading_ = std::move(settler).finish();
  return &reading_.content;
}

}  // namespace mmash

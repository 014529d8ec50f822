// The descriptors that this process holds of a folder's files.
#pragma once

#include <charconv>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

struct HeldFile {
  std::string path;
  int descriptor = -1;
};

// In the order of the descriptors. A floor that reads files uses those of the watch that is measured: a
// second set may be more than the system's limit allows.
inline std::vector<HeldFile> held_files(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<HeldFile> found;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;  // the descriptor of this very listing
    const auto target = fs::read_symlink(entry, gone).native();
    const auto name = entry.path().filename().native();
    int fd = 0;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    if (target.starts_with(folder + "/")) found.push_back({target, fd});
  }
  return found;
}

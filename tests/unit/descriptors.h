// The descriptors that this process has open.
#pragma once

#include <fcntl.h>

#include <boost/filesystem/directory.hpp>
#include <set>
#include <string>

inline std::set<int> open_descriptors() {
  std::set<int> found;
  for (const auto& entry : boost::filesystem::directory_iterator("/proc/self/fd")) {
    found.insert(std::stoi(entry.path().filename().native()));
  }
  // The one that listed them is closed by now.
  std::erase_if(found, [](int fd) { return ::fcntl(fd, F_GETFD) < 0; });
  return found;
}

// Those that a program would inherit.
inline std::set<int> inherited_descriptors() {
  auto found = open_descriptors();
  std::erase_if(found, [](int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; });
  return found;
}

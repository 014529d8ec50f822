// A folder for one test case, removed with all that is in it.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <boost/filesystem/operations.hpp>
#include <boost/filesystem/path.hpp>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>

#include "format/lease.h"

class TemporaryFolder {
 public:
  TemporaryFolder() : path_(base() / boost::filesystem::unique_path("mmstats-test-%%%%-%%%%-%%%%")) {
    boost::filesystem::create_directories(path_);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    boost::system::error_code ignored;
    boost::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).native(); }
  [[nodiscard]] const std::string& path() const { return path_.native(); }

  // Writes a file in place: a new one, or over what it held.
  void write(const std::string& name, std::span<const std::byte> bytes) const {
    const int fd = ::open((*this / name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || ::write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      throw std::runtime_error("cannot write " + name);
    }
    ::close(fd);
  }

 private:
  // Tests ask who has a file mapped. The file system of a container's /tmp, an overlay, does not tell; memory
  // does.
  static boost::filesystem::path base() {
    auto usual = boost::filesystem::temp_directory_path();
    return !tells_mappings(usual.c_str()) && tells_mappings("/dev/shm") ? "/dev/shm" : usual;
  }
  static bool tells_mappings(const char* folder) {
    const int fd = ::open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool tells = mmstats::sees_mappings(fd);
    if (fd >= 0) ::close(fd);
    return tells;
  }

  boost::filesystem::path path_;
};

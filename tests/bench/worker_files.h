// A folder of mmstats files as many workers publish them, with values that can be moved on.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "made_file.h"

class WorkerFiles {
 public:
  // `fields` per file: half counters, half gauges, labels of some 25 bytes. On tmpfs, as /run is. File i
  // belongs to owners[i]; without owners all belong to this process. With `own_labels` no two files have a
  // label in common; their labels are of one length, so that all files have one shape of bytes.
  WorkerFiles(int files, int fields, const std::vector<pid_t>& owners = {}, bool own_labels = false) {
    std::string name = "/dev/shm/mmstats-bench-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    for (int file = 0; file < files; ++file) {
      MadeFile made;
      for (int i = 0; i < fields; ++i) {
        const auto label = (own_labels ? "web.stats." + std::to_string(100'000 + file) + ".kind"
                                       : "web.stats.requests.kind") +
                           std::to_string(i);
        if (file == 0) hot_.push_back(made.bytes().size() + 2 + label.size() + 3);
        if (i % 2 == 0) {
          made.buffered(label, "Q", static_cast<std::uint64_t>(file));
        } else {
          made.buffered(label, "d", static_cast<double>(file));
        }
      }
      const pid_t owner = owners.empty() ? ::getpid() : owners[static_cast<std::size_t>(file)];
      made.owner(static_cast<std::uint32_t>(owner), 4e9);
      content_size_ = made.bytes().size();
      const auto bytes = made.padded();
      size_ = bytes.size();
      const auto path = folder_ + "/worker-" + std::to_string(file) + ".mmstats";
      const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
      if (fd < 0 || ::write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
        std::abort();
      maps_.push_back(
          static_cast<std::byte*>(::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)));
      ::close(fd);
    }
  }
  WorkerFiles(const WorkerFiles&) = delete;
  WorkerFiles& operator=(const WorkerFiles&) = delete;
  ~WorkerFiles() {
    for (auto* map : maps_) ::munmap(map, size_);
    std::filesystem::remove_all(folder_);
  }

  // Every value of every file moves on, by the write-buffer protocol.
  void move_on() {
    for (auto* map : maps_) {
      for (std::size_t i = 0; i < hot_.size(); ++i) {
        std::byte* flag = map + hot_[i];
        const auto write = std::to_integer<unsigned>(*flag);
        const std::byte* published = flag + 1 + (write ^ 1U) * 8;
        std::byte* next = flag + 1 + write * 8;
        if (i % 2 == 0) {
          std::uint64_t value = 0;
          std::memcpy(&value, published, sizeof value);
          ++value;
          std::memcpy(next, &value, sizeof value);
        } else {
          double value = 0;
          std::memcpy(&value, published, sizeof value);
          value += 1;
          std::memcpy(next, &value, sizeof value);
        }
        *flag = std::byte(write ^ 1U);
      }
    }
  }

  [[nodiscard]] std::string glob() const { return folder_ + "/*.mmstats"; }
  [[nodiscard]] const std::string& folder() const { return folder_; }
  [[nodiscard]] std::size_t size() const { return size_; }                  // bytes of one file
  [[nodiscard]] std::size_t content_size() const { return content_size_; }  // of these, before the padding
  [[nodiscard]] std::span<const std::byte> mapped(int file) const {
    return {maps_[static_cast<std::size_t>(file)], size_};
  }

 private:
  std::string folder_;
  std::vector<std::byte*> maps_;
  std::vector<std::size_t> hot_;  // write buffer bytes
  std::size_t size_ = 0;
  std::size_t content_size_ = 0;
};

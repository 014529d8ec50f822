// The cost of one scan against what it reads: files, fields of a file, series. cost_bench.py runs it, prints
// a table and draws it.
//   cost_bench [CURVE...]     files, fields, series; all of them without one
// A line for each size: curve, size, files, fields of each, files that are opened each time as there are no
// descriptors to hold them, and milliseconds of processor time: a scan of which all values moved, one of
// which none did, and the floor: one `pread` of each file, and where it is not held an `open` and a `close`.
// Medians; floor and scans by turns.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "collect/watch.h"
#include "held_files.h"
#include "made_file.h"
#include "spent.h"

namespace {

constexpr int kMostFieldsOfSeries = 100;  // of a file, where series are counted
constexpr double kSecondsOfSize = 0.25;   // that scans of one size are repeated for
constexpr std::size_t kLeastRounds = 5;
constexpr std::size_t kMostRounds = 200;

// Files on tmpfs, as /run is: as many as a folder may have, so that they are written and not mapped.
class Files {
 public:
  // As WorkerFiles has them: half counters, half gauges, all of this process. With `own_labels` no two files
  // have one in common.
  Files(int files, int fields, bool own_labels) {
    std::string name = "/dev/shm/mmstats-cost-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    for (int file = 0; file < files; ++file) {
      MadeFile made;
      for (int i = 0; i < fields; ++i) {
        const std::string label = fmt::format("web.stats.{:06}.kind{:05}", own_labels ? file : 0, i);
        if (file == 0) hot_.push_back(made.bytes().size() + 2 + label.size() + 3);
        if (i % 2 == 0) {
          made.buffered(label, "Q", std::uint64_t{1});
        } else {
          made.buffered(label, "d", 1.0);
        }
      }
      made.owner(static_cast<std::uint32_t>(::getpid()), 4e9);
      contents_.push_back(made.padded());
      paths_.push_back(fmt::format("{}/worker-{}.mmstats", folder_, file));
    }
    write_all(O_CREAT);
  }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;
  ~Files() { std::filesystem::remove_all(folder_); }

  // Every value of every file moves on, by the write-buffer protocol.
  void move_on() {
    for (auto& content : contents_) {
      for (std::size_t i = 0; i < hot_.size(); ++i) {
        std::byte* const flag = content.data() + hot_[i];
        const auto write = std::to_integer<unsigned>(*flag);
        const auto add_one = [&]<class T>(T value) {
          std::memcpy(&value, flag + 1 + (write ^ 1U) * sizeof value, sizeof value);
          value += 1;
          std::memcpy(flag + 1 + write * sizeof value, &value, sizeof value);
        };
        if (i % 2 == 0) {
          add_one(std::uint64_t{});
        } else {
          add_one(0.0);
        }
        *flag = std::byte(write ^ 1U);
      }
    }
    write_all(0);
  }

  [[nodiscard]] std::string glob() const { return folder_ + "/*.mmstats"; }
  [[nodiscard]] const std::string& folder() const { return folder_; }
  [[nodiscard]] const std::vector<std::string>& paths() const { return paths_; }
  [[nodiscard]] std::size_t size() const { return contents_.front().size(); }

 private:
  void write_all(int flags) const {
    for (std::size_t i = 0; i < paths_.size(); ++i) {
      const int fd = ::open(paths_[i].c_str(), O_WRONLY | O_CLOEXEC | flags, 0644);
      const auto& content = contents_[i];
      if (fd < 0 || ::write(fd, content.data(), content.size()) != static_cast<ssize_t>(content.size()))
        std::abort();
      ::close(fd);
    }
  }

  std::string folder_;
  std::vector<std::string> paths_;
  std::vector<std::vector<std::byte>> contents_;
  std::vector<std::size_t> hot_;  // write buffer bytes
};

// Bounds are those of a watch for so many files and series; the default ones end at 20,000 and 200,000.
mmstats::Watch watch_of(const Files& files) {
  mmstats::WatchOptions options;
  options.globs = {files.glob()};
  options.discovery.max_files = 200'000;
  options.discovery.max_names = 400'000;
  options.fold.max_series = 2'000'000;
  options.fold.max_memory = std::size_t{8} << 30U;
  return {std::move(options), mmstats::Rules{}};
}

void measure(std::string_view curve, long size, int count, int fields, bool own_labels) {
  Files files(count, fields, own_labels);
  mmstats::Watch watch = watch_of(files);
  // Long after the folder last changed, as a folder of steady workers is.
  const auto now = std::chrono::system_clock::now() + std::chrono::seconds(5);
  const auto scan = [&] { watch.scan(now, std::chrono::steady_clock::now()); };
  while (watch.stats().files < static_cast<std::size_t>(count)) scan();

  std::vector<int> descriptors;
  std::unordered_set<std::string> held;
  for (auto& file : held_files(files.folder())) {
    descriptors.push_back(file.descriptor);
    held.insert(std::move(file.path));
  }
  std::vector<const char*> opened;
  for (const auto& path : files.paths()) {
    if (!held.contains(path)) opened.push_back(path.c_str());
  }
  std::vector<std::byte> buffer(files.size());
  const auto read = [&](int fd) {
    if (::pread(fd, buffer.data(), buffer.size(), 0) != static_cast<ssize_t>(buffer.size())) std::abort();
  };
  const auto read_all = [&] {
    for (const int fd : descriptors) read(fd);
    for (const char* path : opened) {
      const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
      read(fd);
      ::close(fd);
    }
  };

  std::vector<double> floors;
  std::vector<double> busy;
  std::vector<double> idle;
  for (double spent = 0; idle.size() < kLeastRounds || (spent < kSecondsOfSize && idle.size() < kMostRounds);
       spent += floors.back() + busy.back() + idle.back()) {
    files.move_on();
    // By turns, as the second finds the files in the processor's caches.
    const bool floor_first = idle.size() % 2 == 0;
    if (floor_first) floors.push_back(processor_seconds_of(read_all));
    busy.push_back(processor_seconds_of(scan));
    if (!floor_first) floors.push_back(processor_seconds_of(read_all));
    idle.push_back(processor_seconds_of(scan));
  }
  std::printf("%s\t%ld\t%d\t%d\t%zu\t%.6f\t%.6f\t%.6f\n", std::string(curve).c_str(), size, count, fields,
              opened.size(), median(busy) * 1e3, median(idle) * 1e3, median(floors) * 1e3);
  std::fflush(stdout);
}

// 1, 3, 10, 30 and so on.
void for_sizes(int first, int last, const auto& measure_one) {
  for (int decade = first; decade <= last; decade *= 10) {
    measure_one(decade);
    if (3 * decade <= last) measure_one(3 * decade);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::span<char*> wanted(argv + 1, static_cast<std::size_t>(argc - 1));
  const auto is_wanted = [&](std::string_view curve) {
    return wanted.empty() || std::ranges::find(wanted, curve) != wanted.end();
  };
  if (is_wanted("files"))
    for_sizes(10, 100'000, [](int files) { measure("files", files, files, 10, false); });
  if (is_wanted("fields"))
    for_sizes(10, 10'000, [](int fields) { measure("fields", fields, 100, fields, false); });
  if (is_wanted("series")) {
    for_sizes(1, 1'000'000, [](int series) {
      const int fields = std::min(series, kMostFieldsOfSeries);
      measure("series", series, series / fields, fields, true);
    });
  }
}

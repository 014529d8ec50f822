// What mmash's answers of /stats/ cost over 1,000 files of 100 fields, without HTTP, against the scan that
// each of them has to make: what is in the answer is read for it.
//   stats_bench [FOLDER]
// `pread`: one pread of each file on open descriptors, and nothing else. `scan`: mmash's own reading and no
// more, which finds out whether the folders changed, and for each file asks for its size, reads it by one
// pread on the descriptor that is held, and parses it. `scan, settled`: the same with the second pread and
// the comparison of both. An answer that shows labels contains the first scan, one that shows values the
// second. Processor time of this thread, the median of the rounds. FOLDER: that of other files, whose labels
// begin with "web" in the same way.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/read_buffer.h"
#include "spent.h"
#include "tools/mmash/files.h"
#include "tools/mmash/http.h"
#include "tools/mmash/stats.h"
#include "worker_files.h"

namespace {

constexpr int kFiles = 1000;
constexpr int kFields = 100;
constexpr int kRounds = 41;

double median_of(const std::function<void()>& work) {
  std::vector<double> spent;
  for (int round = 0; round < kRounds; ++round) spent.push_back(processor_seconds_of(work));
  return median(spent);
}

class Held {
 public:
  explicit Held(const mmash::Files& files) {
    for (const auto file : files.sorted()) {
      const int fd = ::open(files.path(file).c_str(), O_RDONLY | O_CLOEXEC);
      struct stat info{};
      if (fd < 0 || ::fstat(fd, &info) != 0) std::abort();
      held_.push_back({fd, static_cast<std::size_t>(info.st_size)});
      buffer_.resize(std::max(buffer_.size(), held_.back().size));
    }
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    for (const auto& [fd, size] : held_) ::close(fd);
  }

  void read() {
    for (const auto& [fd, size] : held_) {
      if (::pread(fd, buffer_.data(), size, 0) != static_cast<ssize_t>(size)) std::abort();
    }
  }

 private:
  struct One {
    int fd;
    std::size_t size;
  };
  std::vector<One> held_;
  mmstats::ReadBuffer buffer_;
};

std::size_t size_of(mmash::Response response) {
  std::size_t size = response.body.size();
  for (bool last = !response.more; !last;) {
    const auto piece = response.more();
    size += piece.text.size();
    last = piece.last;
  }
  return size;
}

}  // namespace

int main(int argc, char** argv) {
  std::optional<WorkerFiles> workers;
  if (argc < 2) workers.emplace(kFiles, kFields);
  const std::vector<std::string> globs{argc < 2 ? workers->glob() : std::string(argv[1]) + "/*.mmstats"};
  mmash::Files files(globs);
  mmash::Stats stats(files, globs);
  const auto scan = [&](mmash::Care care) {
    files.scan();
    for (const auto file : files.sorted()) {
      if (files.read(file, care) == nullptr) std::abort();
    }
  };
  scan(mmash::Care::kSettled);
  Held held(files);
  const double floor = median_of([&] { held.read(); });
  const auto print = [](std::string_view name, double spent, std::string_view of, double least,
                        std::string_view more = "") {
    fmt::print("{:34} {:6.2f} ms, {:.2f} times {}{}\n", name, 1e3 * spent, spent / least, of, more);
  };
  print("pread", floor, "itself", floor);
  const double once = median_of([&] { scan(mmash::Care::kOneReading); });
  print("scan", once, "pread", floor);
  const double settled = median_of([&] { scan(mmash::Care::kSettled); });
  print("scan, settled", settled, "pread", floor);
  const auto answer = [&](std::string_view name, double contained, std::string_view of,
                          const std::function<mmash::Response()>& make) {
    std::size_t size = 0;
    const double spent = median_of([&] { size = size_of(make()); });
    print(name, spent, of, contained, fmt::format(", {} KiB", size / 1024));
  };
  const mmash::Request plain{.path = "/"};
  const mmash::Request sum{.path = "/", .parameters = {{"exact", "1"}, {"aggr", "sum"}}};
  answer("/stats/", once, "scan", [&] { return stats.labels(plain); });
  answer("/stats/web", settled, "scan, settled", [&] { return stats.values("web", plain); });
  answer("/stats/web...kind7?exact=1&aggr=sum", settled, "scan, settled",
         [&] { return stats.values("web.stats.requests.kind7", sum); });
  answer("/files/", once, "scan", [&] { return stats.files(""); });
}

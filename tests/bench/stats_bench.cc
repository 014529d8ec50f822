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

  std::size_t read() {
    std::size_t all = 0;
    for (const auto& [fd, size] : held_) {
      if (::pread(fd, buffer_.data(), size, 0) != static_cast<ssize_t>(size)) std::abort();
      all += size;
    }
    return all;
  }

 private:
  struct One {
    int fd;
    std::size_t size;
  };
  std::vector<One> held_;
  mmstats::ReadBuffer buffer_;
};

struct Row {
  std::string name;
  std::size_t floor;  // which row it is compared with
  std::function<std::size_t()> work;
  std::vector<double> spent = {};
  std::size_t size = 0;  // bytes that were read, or of the answer
};

std::size_t size_of(const mmash::Response& response) {
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
    std::size_t fields = 0;
    for (const auto file : files.sorted()) {
      const auto* content = files.read(file, care);
      if (content == nullptr) std::abort();
      fields += content->fields.size();
    }
    return fields;
  };
  scan(mmash::Care::kSettled);
  Held held(files);
  const mmash::Request plain{.path = "/"};
  const mmash::Request sum{.path = "/", .parameters = {{"exact", "1"}, {"aggr", "sum"}}};
  // Each is measured in each round, as the machine is not equally fast all the time.
  constexpr std::size_t kPread = 0;
  constexpr std::size_t kScan = 1;
  constexpr std::size_t kSettled = 2;
  std::vector<Row> rows{
      {"pread", kPread, [&] { return held.read(); }},
      {"scan", kPread, [&] { return scan(mmash::Care::kOneReading); }},
      {"scan, settled", kPread, [&] { return scan(mmash::Care::kSettled); }},
      {"/stats/", kScan, [&] { return size_of(stats.labels(plain)); }},
      {"/stats/web", kSettled, [&] { return size_of(stats.values("web", plain)); }},
      {"/stats/web...kind7?exact=1&aggr=sum", kSettled,
       [&] { return size_of(stats.values("web.stats.requests.kind7", sum)); }},
      {"/files/", kScan, [&] { return size_of(stats.files("")); }},
  };
  for (int round = 0; round < kRounds; ++round) {
    for (Row& row : rows) row.spent.push_back(processor_seconds_of([&] { row.size = row.work(); }));
  }
  std::vector<double> medians;
  medians.reserve(rows.size());
  for (Row& row : rows) medians.push_back(median(row.spent));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    fmt::print("{:36} {:6.2f} ms, {:5} KiB, {:.2f} times {}\n", row.name, 1e3 * medians[i], row.size / 1024,
               medians[i] / medians[row.floor], rows[row.floor].name);
  }
}

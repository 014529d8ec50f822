// A worker of lives_test.py: processes and threads that count, each for itself and all together.
//
//   counting_worker FOLDER NAME TRUTH
//
// Forks once; in both processes threads count in FOLDER/NAME.mmstats (and .1 .2 ...), and note in the file
// TRUTH how much that is. Each process prints a byte when its threads have files, and ends normally, which
// removes them, when its input does.
#include <fcntl.h>
#include <mmstats/fields.h>
#include <mmstats/histogram.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kThreads = 2;  // in each process

struct Stats : mmstats::Model {
  Stats(const char* folder, const char* name)
      : Model({.label_prefix = "work", .path = folder, .file_name = std::string(name) + ".mmstats"}) {}
  mmstats::Counter requests{*this, "requests"};
  mmstats::SharedCounter shared{*this, "shared"};
  mmstats::Histogram sizes{*this, "sizes"};
};

void work(Stats& stats, volatile std::uint64_t* truth) {
  std::atomic<bool> stop{false};
  std::atomic<std::size_t> ready{0};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, mine = truth + i] {
      if (stats.open()) ++ready;
      while (!stop) {
        for (int burst = 0; burst < 1000; ++burst) {
          stats.requests.incr();
          *mine = *mine + 1;
        }
        stats.shared.incr();
        stats.sizes.add(0.25);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  }
  while (ready < kThreads) std::this_thread::yield();
  char byte = 'r';
  if (::write(STDOUT_FILENO, &byte, 1) == 1) {
    while (::read(STDIN_FILENO, &byte, 1) > 0) {
    }
  }
  stop = true;
  for (auto& thread : threads) thread.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  constexpr std::size_t kBytes = 2 * kThreads * sizeof(std::uint64_t);
  const int fd = ::open(argv[3], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ::ftruncate(fd, kBytes) != 0) return 1;
  void* const truth = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (truth == MAP_FAILED) return 1;

  Stats stats(argv[1], argv[2]);
  const pid_t child = ::fork();
  if (child < 0) return 1;
  if (child == 0) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  work(stats, static_cast<std::uint64_t*>(truth) + (child == 0 ? kThreads : 0));
  if (child > 0) ::waitpid(child, nullptr, 0);
  return 0;
}

// Whether pread() tears values of eight bytes that are aligned in the file, while another thread stores them
// through a mapping: each value is one byte, eight times.
//   torn_copies [FOLDER [WRITES]]     /dev/shm and 1e9 by default; the writes of each row
// It does where the buffer does not lie as the file does: the copy goes in groups that are aligned in the
// buffer, as the processor likes. No document promises such groups, so readers look twice at every value.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "base/read_buffer.h"

namespace {

constexpr std::size_t kBytes = 4096;
constexpr std::size_t kWords = 128;

std::uint64_t word_of(std::uint64_t number) { return (number & 0xFFU) * 0x0101010101010101U; }

struct Seen {
  double writes = 0;
  std::uint64_t reads = 0;
  std::uint64_t changed = 0;  // values that differ from the one before them: what a store passed by
  std::uint64_t torn = 0;
};

Seen run(int fd, double writes, std::size_t buffer_offset) {
  auto* const words =
      static_cast<std::uint64_t*>(::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  if (words == MAP_FAILED) std::abort();
  std::atomic<bool> done{false};
  Seen seen;
  std::thread writer([&] {
    for (std::uint64_t round = 0; seen.writes < writes; ++round) {
      for (std::size_t i = 0; i < kWords; ++i)
        std::atomic_ref(words[i]).store(word_of(round), std::memory_order_relaxed);
      seen.writes += kWords;
    }
    done = true;
  });
  mmstats::ReadBuffer buffer(buffer_offset + kBytes);
  std::array<std::uint64_t, kWords> copied{};
  while (!done) {
    if (::pread(fd, buffer.data() + buffer_offset, kBytes, 0) != kBytes) std::abort();
    std::memcpy(copied.data(), buffer.data() + buffer_offset, sizeof copied);
    ++seen.reads;
    for (std::size_t i = 0; i < kWords; ++i) {
      seen.torn += copied[i] != word_of(copied[i]) ? 1 : 0;
      seen.changed += i > 0 && copied[i] != copied[i - 1] ? 1 : 0;
    }
  }
  writer.join();
  ::munmap(words, kBytes);
  return seen;
}

}  // namespace

int main(int argc, char** argv) {
  std::string path = std::string(argc > 1 ? argv[1] : "/dev/shm") + "/torn-copies-XXXXXX";
  const double writes = argc > 2 ? std::atof(argv[2]) : 1e9;
  const int fd = ::mkstemp(path.data());
  if (fd < 0 || ::ftruncate(fd, kBytes) != 0) {
    std::perror(path.c_str());
    return 1;
  }
  ::unlink(path.c_str());
  std::printf("buffer at 64 x n +      writes       reads     changed        torn\n");
  for (const std::size_t offset : {0, 8, 16, 32, 1, 4}) {
    const Seen seen = run(fd, writes, offset);
    std::printf("%18zu  %10.2g  %10lu  %10lu  %10lu\n", offset, seen.writes, seen.reads, seen.changed,
                seen.torn);
  }
  ::close(fd);
  return 0;
}

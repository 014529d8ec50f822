// A writer that hammers, as the original writes: unaligned, across a cache line, by the write-buffer
// protocol. Readers copy. No value that was never there may come out.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "collect/fold.h"
#include "made_file.h"
#include "mmstats/snapshot.h"
#include "patience.h"
#include "temporary_folder.h"

using namespace mmstats;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(MMSTATS_EMULATED)
constexpr std::uint64_t kSnapshots = 200'000;
#else
constexpr std::uint64_t kSnapshots = 10'000'000;
#endif

constexpr std::size_t kCacheLine = 64;

class OpenedFile final : public ByteSource {
 public:
  explicit OpenedFile(const std::string& path) : file_(*OpenFile::open(AT_FDCWD, path.c_str(), path)) {}
  ssize_t read_at(std::uint64_t offset, std::span<std::byte> into) noexcept override {
    return file_.read_at(offset, into);
  }
  std::int64_t size() noexcept override { return static_cast<std::int64_t>(file_.size()); }

 private:
  OpenFile file_;
};

// A field in mapped memory, written as the original does.
struct MappedField {
  volatile unsigned char* write_buffer;

  void store(std::uint64_t value) const {
    const unsigned index = *write_buffer;
    // Byte by byte in two halves is what a store across a cache line amounts to, at worst.
    std::memcpy(const_cast<unsigned char*>(write_buffer) + 1 + index * 8, &value, sizeof value);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    *write_buffer = static_cast<unsigned char>(index ^ 1U);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
};

// Pads labels until both buffers of the field that comes next cross a cache line or, with 16 bytes
// of values, at least one does and the other is unaligned.
MadeFile& align_badly(MadeFile& made, std::string_view label) {
  const std::size_t head = 2 + label.size() + 2 + 1 + 1;
  for (int i = 0; (made.bytes().size() + head) % kCacheLine != kCacheLine - 5; ++i) {
    made.unbuffered("p" + std::string(static_cast<std::size_t>(i % 3), 'p'), "b", std::int8_t{0});
  }
  return made;
}

}  // namespace

TEST_CASE("ten million snapshots of hammered values hold no torn one") {
  const TemporaryFolder folder;
  MadeFile made;
  align_badly(made, "pair").buffered("pair", "Q", std::uint64_t{0});
  const std::size_t pair_at = made.bytes().size() - 17;
  align_badly(made, "count").buffered("count", "Q", std::uint64_t{0});
  const std::size_t count_at = made.bytes().size() - 17;
  made.owner(static_cast<std::uint32_t>(::getpid()), 4e9);
  folder.write("hammered.mmstats", made.padded());
  const auto path = folder / "hammered.mmstats";

  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  auto* map = static_cast<unsigned char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  ::close(fd);
  REQUIRE(static_cast<void*>(map) != MAP_FAILED);
  const MappedField pair{map + pair_at};
  const MappedField count{map + count_at};

  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> counted{0};  // at least so many are published
  std::thread writer([&] {
    std::uint64_t n = 0;
    std::uint32_t noise = 12345;
    while (!stop.load(std::memory_order_relaxed)) {
      // Bursts, and pauses that are long enough to be seen standing still.
      noise = noise * 1664525 + 1013904223;
      for (std::uint32_t burst = noise >> 24U; burst > 0; --burst) {
        ++n;
        // Halves that match, and all bytes of them change. Of 31 bits, so that the low one, rounded to what
        // a double holds of it, never carries into the high one.
        const std::uint64_t half = (n * 0x9E3779B9U) & 0x7FFFFFFFU;
        pair.store(half << 32U | half);
        count.store(n);
      }
      counted.store(n, std::memory_order_release);
      for (std::uint32_t pause = (noise >> 12U) & 0xFFFU; pause > 0; --pause) {
        std::atomic_signal_fence(std::memory_order_seq_cst);
      }
    }
  });

  Rules rules;
  REQUIRE(rules.add({.pattern = "pair", .kind = Kind::kState, .aggregate = {}, .name = {}, .sink_type = {}})
              .has_value());
  // As two numbers of 32 bits, both must be the same: a double would not hold all 64.
  Fold fold(std::move(rules), {}, [](const Fold::OwnerQuestion&) { return OwnerState::kAlive; });
  OpenedFile bytes(path);
  std::uint64_t torn = 0;
  std::uint64_t went_back = 0;
  std::uint64_t ran_ahead = 0;
  std::uint64_t fell_behind = 0;
  std::uint64_t last = 0;
  std::uint64_t naively_torn = 0;
  // Whether one reading, as a naive reader takes it, is torn.
  const auto look_once = [&] {
    std::byte once[17];
    if (bytes.read_at(pair_at, once) != 17) return false;
    std::uint32_t halves[2];
    std::memcpy(halves, once + 1 + (std::to_integer<unsigned>(once[0]) ^ 1U) * 8, sizeof halves);
    return halves[0] != halves[1];
  };
  for (std::uint64_t i = 0; i < kSnapshots; ++i) {
    const auto before = counted.load(std::memory_order_acquire);
    fold.begin({});
    fold.read(0, path, bytes);
    fold.finish();
    for (const Series& series : fold.series()) {
      if (series.name() == "pair") {
        // The double keeps the 53 high bits: the high half, and 21 bits of the low one.
        const auto value = static_cast<std::uint64_t>(series.value);
        const std::uint64_t high = value >> 32U;
        const auto nearest = static_cast<std::uint64_t>(static_cast<double>(high << 32U | high));
        torn += series.present && value != nearest ? 1 : 0;
      } else {
        went_back += series.total < last ? 1 : 0;
        fell_behind += series.total < before && fold.stats().unstable == 0 ? 1 : 0;
        last = series.total;
      }
    }
    // `counted` lags behind what is in the file by a burst of 255 at most.
    ran_ahead += last > counted.load(std::memory_order_acquire) + 255 ? 1 : 0;
    if (i % 16 == 0) naively_torn += look_once() ? 1 : 0;
  }
  // Without a writer that tears, the fold proved nothing.
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (naively_torn == 0 && std::chrono::steady_clock::now() < deadline)
    naively_torn += look_once() ? 1 : 0;
  stop = true;
  writer.join();
  ::munmap(map, 4096);
  // One processor may never stop the writer in the middle.
  if (std::thread::hardware_concurrency() > 1) CHECK(naively_torn > 0);
  MESSAGE("torn in " << kSnapshots / 16 << " single readings: " << naively_torn
                     << "; values that did not settle: " << fold.stats().unstable);
  CHECK(torn == 0);
  CHECK(went_back == 0);
  CHECK(ran_ahead == 0);
  CHECK(fell_behind == 0);
  CHECK(fold.stats().resets == 0);
}

#include "publish/region.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <mutex>
#include <new>
#include <string_view>
#include <utility>

#include "base/descriptor.h"
#include "base/failure.h"
#include "format/unfinished.h"
#include "mmstats/snapshot.h"
#include "publish/no_signals.h"
#include "publish/take_name.h"

namespace mmstats {
namespace {

constexpr int kMaxNaps = 100;  // of a millisecond, until a lease is given back

constinit std::atomic<std::uint64_t> mappings = 0;  // of all regions, so far
// Where this thread last could not use an address.
thread_local constinit std::uint64_t fault_in __attribute__((tls_model("initial-exec"))) = 0;

FileId id_of(int fd) {
  struct stat file{};
  ::fstat(fd, &file);
  return {.device = file.st_dev, .inode = file.st_ino};
}

// Opens the file for writing. Whoever asks whether it is written holds a lease for microseconds, so opening
// is tried again for a moment. To wait (without O_NONBLOCK) might take 45 s, if he was stopped then.
Descriptor open_for_writing(const std::string& path) {
  for (int tries = 0;; ++tries) {
    Descriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (file || errno != EWOULDBLOCK || tries == kMaxNaps) return file;
    constexpr timespec kNap{.tv_sec = 0, .tv_nsec = 1'000'000};
    ::nanosleep(&kNap, nullptr);
    errno = EWOULDBLOCK;
  }
}

// Gives the file blocks from its first `had` bytes to `wanted`. That comes before they are mapped: on a full
// file system the first store would end the process otherwise (SIGBUS).
Expected<void> allocate(int fd, std::size_t had, std::size_t wanted, const std::string& path) {
  rlimit limit{};
  // Beyond this limit the kernel sends a signal that ends the process, too.
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && wanted > limit.rlim_cur) {
    return tl::unexpected(
        system_failure(path, "would be larger than the process may make files (ulimit -f)", EFBIG));
  }
  int failed = 0;
  do {
    failed = ::posix_fallocate(fd, static_cast<off_t>(had), static_cast<off_t>(wanted - had));
  } while (failed == EINTR);
  if (failed == 0) return {};
  return tl::unexpected(system_failure(path, "cannot be given " + std::to_string(wanted) + " bytes", failed));
}

// Copies to bytes that are zeros: what is zeros is not touched, as memory costs when it is.
void copy_to_zeros(std::byte* into, std::span<const std::byte> image) {
  for (std::size_t at = 0; at < image.size(); at += kPage) {
    const auto page = image.subspan(at, std::min(kPage, image.size() - at));
    if (std::any_of(page.begin(), page.end(), [](std::byte byte) { return byte != std::byte{0}; }))
      std::memcpy(into + at, page.data(), page.size());
  }
}

// Puts fresh memory at addresses that are ours.
void map_memory(std::byte* address, std::size_t bytes) {
  if (::mmap(address, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
      MAP_FAILED) {
    throw std::bad_alloc();
  }
}

// Opens a new file that is to become `path`. No descriptor: `result` says why. It may also say what is wrong
// with the file that is there.
Descriptor make_temporary(const std::string& temporary, const std::string& path, std::optional<unsigned> mode,
                          Expected<void>& result) {
  // Never more open than it is meant to be, not even for a moment.
  Descriptor file(
      ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode ? 0600 : 0644));
  if (!file) {
    result = tl::unexpected(system_failure(path, "cannot be made"));
  } else if (mode && ::fchmod(file.get(), *mode) != 0) {
    result = tl::unexpected(system_failure(path, "cannot be given its mode"));
  }
  return file;
}

constexpr std::string_view kNoField = "no field is added to it";

Error was_cut(const std::string& path, std::string_view what) {
  return failure(ErrorKind::kChanged, path, "was cut, and " + std::string(what));
}

}  // namespace

// A lock of the region's mapping. Its owner takes it, who also has the lock of Models, and so does any thread
// whose fault save() handles: without it, one of them would put its copy over what the other has mapped.
// Whoever holds it touches no page of the file, as a fault there would wait for the lock; signals are
// blocked, so no handler does either. So the owner copies and writes before he takes it, and begins again if
// the mapping is another one by then.
class Region::Mapper {
 public:
  explicit Mapper(Region& region) noexcept : region_(region) {
    while (!begin()) ::sched_yield();
  }
  // Does not wait.
  Mapper(Region& region, std::try_to_lock_t) noexcept : region_(region) { begin(); }
  Mapper(const Mapper&) = delete;
  Mapper& operator=(const Mapper&) = delete;
  ~Mapper() {
    if (is_it_) region_.mapper_.store(0, std::memory_order_release);
  }
  explicit operator bool() const noexcept { return is_it_; }

  // It has changed it.
  void changed() const noexcept { region_.mapping_.store(++mappings, std::memory_order_release); }

 private:
  // The holder's process. A child of a fork may find the lock held by a thread of its parent, which the child
  // does not have: it takes the lock over.
  bool begin() noexcept {
    const pid_t self = ::getpid();
    pid_t other = region_.mapper_.load(std::memory_order_relaxed);
    is_it_ = other != self && region_.mapper_.compare_exchange_strong(other, self, std::memory_order_acq_rel);
    return is_it_;
  }

  const NoSignals no_signals_{false};
  Region& region_;
  bool is_it_ = false;
};

// What is there while nobody changes it. Who changes it next copies what this thread has written before:
// hence the exchange, which changes nothing.
std::uint64_t Region::settled_mapping() noexcept {
  if (pid_t none = 0; mapper_.compare_exchange_strong(none, 0, std::memory_order_acq_rel)) return mapping_;
  const Mapper mapper(*this);
  return mapping_;
}

Region::Region(RegionSize size) : size_(size) {
  void* const reserved = ::mmap(nullptr, size_.file + size_.memory, PROT_NONE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) throw std::bad_alloc();
  address_ = static_cast<std::byte*>(reserved);
}

// To be called whenever something that is kept is mapped there: by its thread, and by any that leaves a cut
// file. What was said last holds, which is what is wanted now.
void Region::advise_forks() {
  bool given = false;
  do {
    given = given_;
    const int failed = ::madvise(address_, size_.file + size_.memory, given ? MADV_DOFORK : MADV_DONTFORK);
    if (!given) kept_failed_ = failed != 0;
  } while (given != given_);
}

void Region::leave_to_parent() {
  size_ = {.file = 0, .memory = 0};
  bytes_ = file_bytes_ = memory_bytes_ = 0;
}

void Region::give_to_children(bool given) {
  given_ = given;
  advise_forks();
}

Expected<void> Region::fill(std::span<const std::byte> image, const std::string& path,
                            std::optional<unsigned> mode) {
  Expected<void> result;
  if (!path.empty()) result = make_file(image, path, mode);
  if (!is_file()) {
    grow_private(image.size());
    copy_to_zeros(address_, image);
  }
  return result;
}

Expected<void> Region::make_file(std::span<const std::byte> image, const std::string& path,
                                 std::optional<unsigned> mode) {
  const auto temporary = temporary_name(path);
  Expected<void> result;
  const Descriptor file = make_temporary(temporary, path, mode, result);
  if (!file) return result;
  path_ = path;
  id_ = id_of(file.get());
  if (result) result = grow_file(image.size(), file.get());
  if (result) {
    copy_to_zeros(address_, image);
    result = take(temporary, path);
  }
  if (!result) {
    ::unlink(temporary.c_str());
    reset();
  }
  return result;
}

Expected<void> Region::grow_file(std::size_t bytes, int fd) {
  const std::size_t wanted = whole_pages(bytes);
  if (wanted > size_.file) return tl::unexpected(system_failure(path_, "has no room for more fields", EFBIG));
  if (auto given = allocate(fd, file_bytes_, wanted, path_); !given) return given;
  const Mapper mapper(*this);
  if (lost_bytes()) return tl::unexpected(was_cut(path_, kNoField));
  if (::mmap(address_ + file_bytes_, wanted - file_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
             static_cast<off_t>(file_bytes_)) == MAP_FAILED) {
    return tl::unexpected(system_failure(path_, "cannot be mapped"));
  }
  bytes_ = file_bytes_ = wanted;
  mapper.changed();
  advise_forks();
  return {};
}

// Of the file, if its name leads to it. Asked once for each decision: it may be deleted at any moment.
std::optional<std::size_t> Region::size_under_name() const {
  struct stat there{};
  if (!is_file() || ::lstat(path_.c_str(), &there) != 0) return std::nullopt;
  if (FileId{.device = there.st_dev, .inode = there.st_ino} != id_) return std::nullopt;
  return static_cast<std::size_t>(there.st_size);
}

bool Region::is_published() const {
  const auto size = size_under_name();
  return size && *size >= file_bytes_;
}

bool Region::is_cut() const {
  const auto size = size_under_name();
  return size && *size < file_bytes_;
}

bool Region::save() noexcept {
  const Mapper mapper(*this, std::try_to_lock);
  if (!mapper) {
    ::sched_yield();
    return true;
  }
  // By now it may be another mapping than that whose page was missing: made by a thread that came first, or
  // of the next Model. So what is missing is missed twice in the same one.
  if (std::exchange(fault_in, mapping_.load(std::memory_order_relaxed)) != mapping_) return true;
  return is_file() && leave(mapper);
}

bool Region::leave_cut_file() noexcept {
  const Mapper mapper(*this);
  return !is_file() || leave(mapper);
}

bool Region::leave(const Mapper& mapper) noexcept {
  const std::size_t bytes = file_bytes_;
  void* const copy = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (copy == MAP_FAILED) return false;
  // The system reads it, which is told of a missing page by an error.
  std::size_t kept = 0;
  for (; kept < bytes; kept += kPage) {
    const iovec to{.iov_base = static_cast<std::byte*>(copy) + kept, .iov_len = kPage};
    const iovec from{.iov_base = address_ + kept, .iov_len = kPage};
    if (::process_vm_readv(::getpid(), &to, 1, &from, 1, 0) != static_cast<ssize_t>(kPage)) break;
  }
  if (::mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, address_) == MAP_FAILED) {
    ::munmap(copy, bytes);
    return false;
  }
  // Of the last page that is there, the end is missing.
  lost_from_ = kept < kPage ? 0 : kept - kPage;
  left_.store(true, std::memory_order_release);
  mapper.changed();
  advise_forks();
  return true;
}

void Region::restore(std::span<const std::byte> image) {
  for (std::size_t at = lost_from_; at < image.size(); ++at) {
    if (address_[at] == std::byte{0} && image[at] != std::byte{0}) address_[at] = image[at];
  }
  file_bytes_ = 0;
  left_ = false;
}

// Of a file whose name does not lead to it any more: whether it has none, as far as the system says.
bool Region::was_deleted() const {
  // No stream of C++: each program that loads the library would pay for finding its parts.
  const std::unique_ptr<FILE, int (*)(FILE*)> maps(std::fopen("/proc/self/maps", "re"), &std::fclose);
  if (maps == nullptr) return true;
  char begin[32];
  std::snprintf(begin, sizeof begin, "%lx-", reinterpret_cast<unsigned long>(address_));
  char* line = nullptr;
  std::size_t size = 0;
  bool deleted = true;
  for (ssize_t length = 0; (length = ::getline(&line, &size, maps.get())) >= 0;) {
    const std::string_view text(line, static_cast<std::size_t>(length));
    if (!text.starts_with(begin)) continue;
    deleted = text.ends_with(" (deleted)\n");
    break;
  }
  std::free(line);
  return deleted;
}

// The copy is complete before it has a name, and takes the place of what is mapped at one blow.
Expected<void> Region::publish_again(const std::string& path, std::optional<unsigned> mode) {
  if (is_file() && !was_deleted()) {
    return tl::unexpected(failure(ErrorKind::kChanged, path, "has another name now, and is left as it is"));
  }
  const std::uint64_t mapping = mapping_;
  constexpr std::string_view kNotMade = "is not made again from what is left of it";
  if (lost_bytes()) return tl::unexpected(was_cut(path, kNotMade));
  const std::size_t bytes = is_file() ? file_bytes() : bytes_;
  const auto temporary = temporary_name(path);
  Expected<void> result;
  const Descriptor file = make_temporary(temporary, path, mode, result);
  if (!file) return result;
  if (result) result = allocate(file.get(), 0, bytes, path);
  void* copy = MAP_FAILED;
  if (result) {
    copy = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (copy == MAP_FAILED) result = tl::unexpected(system_failure(path, "cannot be mapped"));
  }
  const auto before = path_;
  const NoSignals no_signals;
  if (result) std::memcpy(copy, address_, bytes);
  const Mapper mapper(*this);
  if (result && mapping_ != mapping) result = tl::unexpected(was_cut(path, kNotMade));
  if (result) result = take(temporary, path);
  if (!result) ::unlink(temporary.c_str());
  if (result && ::mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, address_) == MAP_FAILED) {
    result = tl::unexpected(system_failure(path, "cannot be mapped"));
    ::unlink(path_.c_str());
  }
  if (!result) {
    path_ = before;
    if (copy != MAP_FAILED) ::munmap(copy, bytes);
    return result;
  }
  id_ = id_of(file.get());
  file_bytes_ = bytes;
  mapper.changed();
  advise_forks();
  return {};
}

Expected<void> Region::reopen_and_grow(std::size_t bytes) {
  const Descriptor file = open_for_writing(path_);
  if (!file) return tl::unexpected(system_failure(path_, "cannot be opened again, to add a field"));
  if (id_of(file.get()) != id_)
    return tl::unexpected(
        failure(ErrorKind::kChanged, path_, "is another file now, to which no field is added"));
  // What is missing would come back as zeros.
  if (is_cut()) {
    leave_cut_file();
    return tl::unexpected(was_cut(path_, kNoField));
  }
  return grow_file(bytes, file.get());
}

Expected<void> Region::take(const std::string& temporary, const std::string& wanted) {
  auto named = take_name(temporary, wanted);
  if (!named) return tl::unexpected(std::move(named.error()));
  path_ = std::move(*named);
  return {};
}

Expected<void> Region::append(std::size_t offset, std::span<const std::byte> field) {
  Expected<void> result;
  // The list ends with a label size of 0: the two bytes behind it must be there, too.
  const std::size_t end = offset + field.size() + 2;
  if (is_file() && !full_ && end > file_bytes_) {
    // Whose name was removed goes nowhere anyway: that is no error.
    if (!path_.empty()) result = reopen_and_grow(end);
    full_ = path_.empty() || !result;
  }
  if (end > bytes_) grow_private(end);
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  const std::size_t stays = offset % kWord;  // a field ends at a multiple of it
  const std::size_t behind = full_ ? 2 : kWord - stays;
  // The label's size makes all of it appear: the release orders what is above, and metadata that describes
  // the field, before it. It pairs with the barrier between two readings: see format/settle.cc. By a store of
  // the aligned word where it lies, as the first field begins behind one byte, and not all processors store
  // two bytes there at once. What else is in that word belongs to the field, or never changes.
  write([&](std::byte* file) {
    std::memcpy(file + offset + behind, field.data() + behind, field.size() - behind);
    if (full_) return;
    std::byte* const into = file + offset - stays;
    std::uint64_t word = 0;
    std::memcpy(&word, into, sizeof word);
    std::memcpy(reinterpret_cast<std::byte*>(&word) + stays, field.data(), kWord - stays);
    std::atomic_ref(*reinterpret_cast<std::uint64_t*>(into)).store(word, std::memory_order_release);
  });
  return result;
}

void Region::grow_private(std::size_t bytes) {
  const std::size_t wanted = whole_pages(bytes);
  if (wanted <= bytes_) return;
  map_memory(address_ + bytes_, wanted - bytes_);
  bytes_ = wanted;
  advise_forks();
}

void Region::provide_memory(std::size_t bytes) {
  const std::size_t wanted = whole_pages(bytes);
  if (wanted <= memory_bytes_) return;
  map_memory(address_ + size_.file + memory_bytes_, wanted - memory_bytes_);
  memory_bytes_ = wanted;
  advise_forks();
}

void Region::remove_name() {
  if (is_file() && leads_to(path_, id_)) ::unlink(path_.c_str());
  path_.clear();
}

void Region::remove() {
  const auto size = size_under_name();
  if (size) ::unlink(path_.c_str());
  let_go(size && *size < file_bytes_);
}

void Region::detach() { let_go(is_cut()); }

// `cut`: the file is.
void Region::let_go(bool cut) {
  if (cut) leave_cut_file();
  for (;;) {
    const std::uint64_t mapping = mapping_;
    if (lost_bytes()) restore({});
    if (!is_file()) return;
    // Threads go on writing meanwhile: to the file, and then to the copy. In between they wait, in the
    // kernel.
    void* const copy = ::mmap(nullptr, file_bytes_, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (copy != MAP_FAILED) std::memcpy(copy, address_, file_bytes_);
    const Mapper mapper(*this);
    if (mapping_ != mapping) {
      if (copy != MAP_FAILED) ::munmap(copy, file_bytes_);
      continue;
    }
    if (copy != MAP_FAILED) {
      ::mremap(copy, file_bytes_, file_bytes_, MREMAP_MAYMOVE | MREMAP_FIXED, address_);
      advise_forks();
    }
    file_bytes_ = 0;
    mapper.changed();
    return;
  }
}

// For who comes next to this place: so it waits for a thread that leaves the file, also where that went
// meanwhile.
void Region::forget() {
  const Mapper mapper(*this);
  const auto replace_file = [&](int protection) {
    return ::mmap(address_, file_bytes_, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
                  -1, 0) != MAP_FAILED;
  };
  if (file_bytes_ > 0) {
    // Children may have these zeros.
    if (replace_file(PROT_READ | PROT_WRITE)) {
      // Of what is beyond the file memory is given back by reset().
      if (bytes_ == file_bytes_) bytes_ = 0;
      file_bytes_ = 0;
    } else if (replace_file(PROT_NONE)) {
      // Where memory is refused (vm.overcommit_memory), the file may be gone already, which would leave the
      // addresses to anybody; those that nobody can use are never charged. reset() sees by `bytes_` that they
      // are not as they were.
      file_bytes_ = 0;
    }
    // Else it stays mapped until the next use of the region.
  }
  left_ = false;
  mapper.changed();
}

void Region::reset() {
  // Should this fail, the mapping stays, until the next use of the region replaces it.
  if (bytes_ > 0 || memory_bytes_ > 0) {
    const Mapper mapper(*this);
    static_cast<void>(::mmap(address_, size_.file + size_.memory, PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0));
    bytes_ = file_bytes_ = memory_bytes_ = 0;
    mapper.changed();
  }
  left_ = false;
  path_.clear();
  given_ = false;
  full_ = false;
}

}  // namespace mmstats

// Where one thread's values live: a range of addresses that begins with a file, mapped, and goes on, where
// that might end, with memory that only the process sees. The address stays the same while the file comes,
// grows and goes, so that fields need only an offset. What the file cannot hold is private memory. No
// descriptor is kept: a program with a thousand threads has others to open.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "mmstats/error.h"
#include "mmstats/snapshot.h"

namespace mmstats {

inline constexpr std::size_t kPage = 4096;
constexpr std::size_t whole_pages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// How many addresses the parts of a region take: multiples of the page size.
struct RegionSize {
  std::size_t file = std::size_t{4} << 20U;
  std::size_t memory = std::size_t{12} << 20U;

  bool operator==(const RegionSize&) const = default;
};

class Region {
 public:
  // Takes the addresses, which cost nothing until they are used; they are never given back, as threads
  // may still write while the process exits. The child of a fork does not have one that is filled: it would
  // pay for each region of each thread. Throws std::bad_alloc.
  explicit Region(RegionSize size = {});
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region() = default;

  // Puts `image` at the beginning, and makes it the file `path` unless that is empty. The file appears
  // complete or not at all. A file there that somebody still writes is left alone, and the new
  // one gets a number before its ending; one that nobody writes is replaced. `mode`: its permissions,
  // whatever the umask; none: 0644 less the umask.
  // Error: why it is private memory. Throws std::bad_alloc.
  Expected<void> fill(std::span<const std::byte> image, const std::string& path,
                      std::optional<unsigned> mode = {});

  // Whether readers find it: it is a file, and the file has its name and all its bytes.
  [[nodiscard]] bool is_published() const;

  // Whether somebody has cut the file: to touch what is missing ends the process, unless CutGuard saves it.
  [[nodiscard]] bool is_cut() const;
  // Whether somebody has, so that it was left: what was in the missing pages is zeros.
  [[nodiscard]] bool lost_bytes() const { return left_.load(std::memory_order_acquire); }
  // From which of its bytes on something may be missing then.
  [[nodiscard]] std::size_t lost_from() const { return lost_from_; }
  // Of a file that was left: puts back what `image` has where there are zeros now. It is private memory as
  // any other from then on.
  void restore(std::span<const std::byte> image);

  // For signal handlers, in any thread:
  // Whether the address is of its file, or of the memory where that may be.
  [[nodiscard]] bool has(const void* address) const noexcept {
    return address >= address_ && address < address_ + size_.file;
  }
  // This thread could not use such an address: if the file was cut, memory takes its place. True: the address
  // can be used now, or soon: another thread is at it, or what could not be used may be there no more. What
  // is written meanwhile may be lost.
  bool save() noexcept;

  // Puts memory in the place of the file, which was cut, with what can still be read of that; if it is still
  // there. False: there is no memory.
  bool leave_cut_file() noexcept;

  // Makes a file of the same bytes, with the name `path`, of private memory, or of a file that was deleted:
  // what is there now, and from then on. Precondition: nobody writes there meanwhile.
  // Errors: why there is none, and nothing is changed; kChanged: the file has another name by now, and is
  // left as it is, or it was cut meanwhile, and lost_bytes().
  Expected<void> publish_again(const std::string& path, std::optional<unsigned> mode);

  // Appends a field at `offset`, where the list ends: readers see it when it is whole.
  // Error: there is no room; the field is there, but its file's list has ended for good.
  Expected<void> append(std::size_t offset, std::span<const std::byte> field);

  // Calls write(address()), for what all files of its kind have; and again if the file was left meanwhile, as
  // the memory in its place may have been without what was written.
  template <class Write>
  void write(Write&& write) {
    std::uint64_t mapping = 0;
    do {
      mapping = mapping_.load(std::memory_order_acquire);
      write(address_);
    } while (settled_mapping() != mapping);
  }

  // Makes the first `bytes` of the private memory usable; they are zeros at first.
  void provide_memory(std::size_t bytes);

  // Lets go of the file. The values stay, in private memory.
  void detach();

  // Removes the file if its name still leads to it, and lets go of it.
  void remove();
  // The same, but the file stays mapped, without a name: what is written goes nowhere from then on.
  void remove_name();

  // As detach(), but the values are lost: nobody uses them any more. It costs a third of that.
  void forget();

  // Back to unused addresses; a file stays where it is. To use it again.
  void reset();

  // Whether a child that is forked from now on has it, too: as it is, so that it can be written until it is
  // reset. For the regions of the thread that forks.
  void give_to_children(bool given);
  // Of a region that was there before the fork. False: its addresses may be anybody's by now, and nothing may
  // be done with it.
  [[nodiscard]] bool is_in_child() const { return given_ || kept_failed_; }
  // The last that is done with it then: it has no addresses any more.
  void leave_to_parent();

  [[nodiscard]] RegionSize size() const { return size_; }
  [[nodiscard]] std::byte* address() const { return address_; }
  [[nodiscard]] bool is_file() const { return file_bytes_ > 0 && !lost_bytes(); }
  // Of the file, if it is one. Empty: its name was removed.
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::size_t file_bytes() const { return file_bytes_; }

 private:
  class Mapper;

  Expected<void> make_file(std::span<const std::byte> image, const std::string& path,
                           std::optional<unsigned> mode);
  Expected<void> grow_file(std::size_t bytes, int fd);
  Expected<void> reopen_and_grow(std::size_t bytes);
  Expected<void> take(const std::string& temporary, const std::string& wanted);
  void grow_private(std::size_t bytes);
  void let_go(bool cut);
  [[nodiscard]] std::optional<std::size_t> size_under_name() const;
  [[nodiscard]] bool was_deleted() const;
  bool leave(const Mapper& mapper) noexcept;
  [[nodiscard]] std::uint64_t settled_mapping() noexcept;
  void advise_forks();

  RegionSize size_;
  std::byte* address_;
  std::size_t bytes_ = 0;  // usable from the beginning: the file, and private memory after it
  std::atomic<std::size_t> file_bytes_ = 0;  // mapped from the file
  std::atomic<pid_t> mapper_ = 0;            // whose thread is a Mapper; 0: none is
  std::atomic<std::uint64_t> mapping_ = 0;   // a number that no other one has that was here, or is elsewhere
  std::atomic<bool> left_ = false;           // it was cut, and memory is in its place
  std::size_t lost_from_ = 0;                // from here on bytes are missing then
  std::size_t memory_bytes_ = 0;             // usable behind the file's addresses
  std::atomic<bool> given_ = false;          // to children
  std::atomic<bool> kept_failed_ = false;    // they have it whatever was wanted
  bool full_ = false;                        // a field did not fit: the file takes no more
  std::string path_;
  FileId id_;
};

}  // namespace mmstats

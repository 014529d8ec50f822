// Where the files of all Models are in this thread: of the fast ones in detail::thread_files, of the others
// here. A signal's handler may look at any moment.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "mmstats/fields.h"
#include "publish/growing.h"

namespace mmstats {

// Stands where a file's address would: there was no memory. To try again would cost each write a system call.
extern constinit std::byte lost_file;

// What a thread has besides detail::thread_files, for those who forget a Model in all threads.
struct ThreadTables {
  std::byte** files;  // detail::thread_files
  // A bit for each fast Model that is lost there, and one for all others without an entry. Its thread looks
  // without the lock.
  std::atomic<std::uint64_t>* lost;
  std::unique_ptr<Growing<std::byte*>> more;  // of Models that are not fast, by their numbers from there on

  // Of this thread.
  static ThreadTables here();
  // Makes room for a number. Throws std::bad_alloc.
  void provide(std::uint32_t number);
  void forget(std::uint32_t number) const;
};

// For a value that there is no place for.
inline constexpr std::uint32_t kNoNumber = UINT16_MAX;

// Of detail::thread_files from detail::thread_base(), in bytes: the same in all threads.
std::ptrdiff_t distance_to_files() noexcept;

inline detail::Place place_of(std::uint32_t number, std::uint32_t offset) {
  const auto entry = static_cast<std::uint16_t>(std::min(number, detail::kFastModels));
  const auto distance = distance_to_files() + std::ptrdiff_t{entry} * std::ptrdiff_t{sizeof(std::byte*)};
  return {number, entry, static_cast<std::int32_t>(distance), offset};
}

// In this thread. Null: not known yet.
std::byte* file_here(std::uint32_t number) noexcept;
// `file`: may be lost_file.
void keep_here(std::uint32_t number, std::byte* file) noexcept;
// How often this thread was told to have ended: each time that something is put in its key, until the system
// tells no more (PTHREAD_DESTRUCTOR_ITERATIONS).
std::uint8_t& ends_here() noexcept;
// All of this thread; its ThreadTables are to end, too.
void forget_all_here() noexcept;

// This thread's table of Models that are not fast; null if it has none.
Growing<std::byte*>* more_files_here() noexcept;

// Calls act(number, entry) for each that this thread may have.
template <class Act>
void for_each_file_here(Act&& act) {
  for (std::uint32_t number = 0; number < detail::kFastModels; ++number) {
    act(number, detail::thread_files[number]);
  }
  if (auto* const more = more_files_here()) {
    more->for_each([&](std::uint32_t i, std::byte*& entry) { act(detail::kFastModels + i, entry); });
  }
}

// For values that there is no memory for: sixteen bytes of zeros. Each thread has its own, so that none sees
// another's.
std::byte* fresh_nowhere() noexcept;

}  // namespace mmstats

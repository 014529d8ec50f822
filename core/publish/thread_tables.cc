#include "publish/thread_tables.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <iterator>

#include "mmstats/export.h"
#include "publish/thread_memory.h"

namespace mmstats {

using detail::kFastModels;
using detail::thread_files;

namespace detail {

thread_local constinit std::byte* thread_files[kFastModels + 1] = {};
constinit std::atomic<std::byte*> shared_files[kFastModels + 1] = {};

}  // namespace detail

constinit std::byte lost_file{};

// In a shared object that is unloaded, this library would leave its thread key and fork handlers behind,
// whose code is gone then; each such object would have a library of its own, and there is room for the
// thread-local storage of a few. libmmstats.so is told to stay. So the static library has one variable that
// no linker puts into a shared object, and whose name says why: linkers show it.
#if defined(MMSTATS_FOR_PROGRAMS_ALONE) && !defined(__aarch64__)
#define MMSTATS_NOWHERE_MODEL "local-exec"
#define MMSTATS_NOWHERE_NAME "libmmstats_a_is_for_programs__shared_objects_take_libmmstats_so"
#else
#define MMSTATS_NOWHERE_MODEL "initial-exec"
#define MMSTATS_NOWHERE_NAME "mmstats_nowhere"
#endif
// NOLINTNEXTLINE(misc-use-internal-linkage): the linker is to name it
alignas(16) thread_local constinit std::byte nowhere[16] __asm__(MMSTATS_NOWHERE_NAME)
    __attribute__((tls_model(MMSTATS_NOWHERE_MODEL), visibility("hidden"))) = {};

#if defined(MMSTATS_FOR_PROGRAMS_ALONE) && defined(__aarch64__)
// On arm64 GNU ld puts such a variable into a shared object without a word, where it is another one's memory.
// What it refuses there, and names, is the direct address of what may be another object's. (Not if a version
// script hides it.)
extern "C" MMSTATS_API constinit const char libmmstats_a_is_for_programs__shared_objects_take_libmmstats_so =
    0;
#endif

namespace {

// As little as can be, at fixed places: libraries that are loaded late share a few hundred bytes.
// As ThreadTables::more and lost.
thread_local constinit Growing<std::byte*>* more_files __attribute__((tls_model("initial-exec"))) = nullptr;
thread_local constinit std::atomic<std::uint64_t> lost_here __attribute__((tls_model("initial-exec"))) = 0;

thread_local constinit std::uint8_t ends __attribute__((tls_model("initial-exec"))) = 0;

std::uint64_t bit_of(std::uint32_t number) { return std::uint64_t{1} << std::min(number, kFastModels); }

// Null: there is no room for it.
std::byte** entry_here(std::uint32_t number) noexcept {
  if (number < kFastModels) return &thread_files[number];
  return more_files == nullptr ? nullptr : more_files->find(number - kFastModels);
}

}  // namespace

// Never inlined: where only half of the result is needed, compilers add 32 bits of the table's offset, which
// linkers refuse.
[[gnu::noinline]] std::ptrdiff_t distance_to_files() noexcept {
#if defined(MMSTATS_FOR_PROGRAMS_ALONE) && defined(__aarch64__)
  const char* page = nullptr;
  asm volatile("adrp %0, libmmstats_a_is_for_programs__shared_objects_take_libmmstats_so" : "=r"(page));
#endif
  return reinterpret_cast<const char*>(thread_files) - detail::thread_base();
}

ThreadTables ThreadTables::here() { return {thread_files, &lost_here, nullptr}; }

void ThreadTables::provide(std::uint32_t number) {
  if (number < kFastModels) return;
  if (!more) more = std::make_unique<Growing<std::byte*>>();
  more->at(number - kFastModels);
  more_files = more.get();
}

void ThreadTables::forget(std::uint32_t number) const {
  if (number < kFastModels) {
    files[number] = nullptr;
    lost->fetch_and(~bit_of(number), std::memory_order_relaxed);
  } else if (std::byte** const entry = more ? more->find(number - kFastModels) : nullptr) {
    *entry = nullptr;
  }
}

std::byte* file_here(std::uint32_t number) noexcept {
  std::byte** const entry = entry_here(number);
  if (entry != nullptr && *entry != nullptr) return *entry;
  const bool is_lost = (number < kFastModels || entry == nullptr) &&
                       (lost_here.load(std::memory_order_relaxed) & bit_of(number)) != 0;
  return is_lost ? &lost_file : nullptr;
}

void keep_here(std::uint32_t number, std::byte* file) noexcept {
  std::byte** const entry = entry_here(number);
  // What is in detail::thread_files is added to without a question.
  if (entry == nullptr || (number < kFastModels && file == &lost_file)) {
    lost_here.fetch_or(bit_of(number), std::memory_order_relaxed);
  } else {
    *entry = file;
  }
}

void forget_all_here() noexcept {
  std::fill(std::begin(thread_files), std::end(thread_files), nullptr);
  more_files = nullptr;
  lost_here.store(0, std::memory_order_relaxed);
}

Growing<std::byte*>* more_files_here() noexcept { return more_files; }

std::uint8_t& ends_here() noexcept { return ends; }

std::byte* fresh_nowhere() noexcept {
  std::fill(std::begin(nowhere), std::end(nowhere), std::byte{});
  return nowhere;
}

bool is_nowhere(const std::byte* address) noexcept { return address == nowhere; }

}  // namespace mmstats

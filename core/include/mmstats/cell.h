// How a field finds its value in the files of its Model, and writes it: what fields.h is made of, for
// applications to compile and not to use. All of it may change with any version.
//
// Threads: a Cell may be used by any. Unless it is shared, each has a value of its own, which nobody else
// writes. Once a thread has its file nothing here fails, locks or makes a system call.
#pragma once

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "mmstats/cpp20.h"
#include "mmstats/export.h"
#include "mmstats/model.h"

namespace mmstats::detail {

inline constexpr std::uint32_t kFastModels = 32;

// Where the files of the first Models begin in this thread's memory, by their numbers; null until the
// thread's first write. The last entry stays null: it is for all other Models, whose files only the library
// finds. A fixed place for thread-local storage: half the instructions in shared objects, and small enough
// for libraries that are loaded late.
extern MMSTATS_API thread_local constinit std::byte* thread_files[kFastModels + 1]
    __attribute__((tls_model("initial-exec")));
extern MMSTATS_API constinit std::atomic<std::byte*> shared_files[kFastModels + 1];

// What the distances of thread_files's entries are counted from in this thread: they are the same in all.
inline char* thread_base() noexcept {
#ifdef MMSTATS_THREAD_POINTER
  return MMSTATS_THREAD_POINTER;
#else
  return reinterpret_cast<char*>(thread_files);
#endif
}

// The address of a place whose file is not in this thread's table (yet). If there is no memory for it, or its
// Model is gone: of sixteen bytes that nobody reads.
[[gnu::cold]] MMSTATS_API std::byte* enter_thread(Place place) noexcept;
// Whether that would only look the address up: nothing is made, told or waited for.
MMSTATS_API bool has_entered(Place place) noexcept;
// Where the Model of a place keeps the address of its shared file, null until that is made: in shared_files,
// or elsewhere. Null: the Model is gone.
MMSTATS_API std::atomic<std::byte*>* find_shared(Place place) noexcept;
// As enter_thread. `file`: what is to be kept there; null: nothing.
[[gnu::cold]] MMSTATS_API std::byte* enter_shared(Place place, std::byte*& file) noexcept;

// One place in the files of a Model.
class Place {
 public:
  constexpr Place() = default;
  // `number`: of the Model, or of private memory that a Model has besides. `entry`: its one in the tables,
  // and `distance` that entry's in thread_files from thread_base(). `offset`: in the file, or in the memory
  // behind.
  constexpr Place(std::uint32_t number, std::uint16_t entry, std::int32_t distance,
                  std::uint32_t offset) noexcept
      : where_(std::uint64_t{offset} << 32U | static_cast<std::uint32_t>(distance)),
        entry_(entry),
        number_(static_cast<std::uint16_t>(number)) {}

  [[nodiscard]] constexpr std::uint16_t number() const noexcept { return number_; }
  [[nodiscard]] constexpr std::uint32_t offset() const noexcept {
    return static_cast<std::uint32_t>(where_ >> 32U);
  }
  // As the C interface's inline function takes it.
  [[nodiscard]] constexpr std::uint64_t where() const noexcept { return where_; }
  // So many bytes behind it.
  [[nodiscard]] constexpr Place operator+(std::uint32_t bytes) const noexcept {
    return {number_, entry_, static_cast<std::int32_t>(where_), offset() + bytes};
  }

  // In this thread. Null: it has to be entered.
  [[nodiscard]] std::byte* known_in_thread() const noexcept {
    // One load, of which the next one needs no more than half.
    const std::uint64_t where = where_;
    std::byte* const file = *reinterpret_cast<std::byte**>(thread_base() + static_cast<std::int32_t>(where));
    if (file == nullptr) [[unlikely]]
      return nullptr;
    return file + (where >> 32U);
  }
  [[nodiscard]] std::byte* in_thread() const noexcept {
    std::byte* const address = known_in_thread();
    if (address == nullptr) [[unlikely]]
      return enter_thread(*this);
    return address;
  }
  [[nodiscard]] std::byte* in_shared() const noexcept {
    std::byte* const file = shared_files[entry_].load(std::memory_order_acquire);
    if (file == nullptr) [[unlikely]]
      return publish_shared();
    return file + offset();
  }

 private:
  std::uint64_t where_ = 0;
  std::uint16_t entry_ = 0;
  std::uint16_t number_ = 0;

  // What makes the file known to other threads is here, and not in the library: a program that is
  // instrumented
  // (-fsanitize=thread) must see it, whether the library is or not.
  [[nodiscard, gnu::noinline]] std::byte* publish_shared() const noexcept {
    std::atomic<std::byte*>* const known = find_shared(*this);
    std::byte* file = known == nullptr ? nullptr : known->load(std::memory_order_acquire);
    if (file != nullptr) return file + offset();
    std::byte* const address = enter_shared(*this, file);
    if (known != nullptr && file != nullptr) known->store(file, std::memory_order_release);
    return address;
  }
};

// Where a field is: its write buffer byte, which its values follow, aligned to their size; its memory; and
// its table of buckets.
struct Added {
  Place field;
  Place memory;
  Place buckets;
};

// Tells, once for each Model, that an amount adds nothing: see Counter::incr.
MMSTATS_API void refuse_amount(Place place) noexcept;
// Calls visit(context, address of `place`) for all threads' files that the Model has, under a lock.
MMSTATS_API void for_each_thread(Place place, void (*visit)(void* context, const std::byte* value),
                                 void* context) noexcept;

// What a mean or a percentile is for who asks: in the file NaN says that there is none.
inline double or_zero(double value) noexcept { return std::isnan(value) ? 0 : value; }

template <class Rep, class Period>
double seconds_of(std::chrono::duration<Rep, Period> time) noexcept {
  return std::chrono::duration<double>(time).count();
}

template <class T>
concept Number = std::is_arithmetic_v<T> && sizeof(T) <= 8;

// The struct code of a C++ number.
template <Number T>
consteval char code_of() {
  if (std::is_same_v<T, bool>) return '?';
  if (std::is_floating_point_v<T>) return sizeof(T) == 8 ? 'd' : 'f';
  constexpr char kSigned[] = {0, 'b', 'h', 0, 'i', 0, 0, 0, 'q'};
  constexpr char kUnsigned[] = {0, 'B', 'H', 0, 'I', 0, 0, 0, 'Q'};
  return std::is_signed_v<T> ? kSigned[sizeof(T)] : kUnsigned[sizeof(T)];
}

// Adds to a number of this thread alone. Relaxed: a count says nothing about any other value, so readers need
// no order between them; each is one aligned store, which no processor of 64 bits does by halves.
//
// What a handler adds amid it must not be lost. On x86-64 one instruction does that. On arm64 it is the
// exclusive pair: the store fails if the thread was interrupted since the load, as the return from an
// exception ends its claim. It pays a few cycles for that, but neither a barrier nor a call, which a
// fetch_add for all processors would be.
template <Number T>
void add_in_thread(T& value, T amount) noexcept {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
  if constexpr (std::is_integral_v<T> && sizeof(T) == 8) {
    asm volatile("addq %1, %0" : "+m"(value) : "er"(amount) : "cc");
    return;
  }
  // No other processor is asked: there is no lock prefix.
  if constexpr (std::is_same_v<T, double>) {
    double before = value;
    for (;;) {
      bool stored = false;
      const double sum = before + amount;
      asm volatile("cmpxchgq %3, %1" : "=@ccz"(stored), "+m"(value), "+a"(before) : "r"(sum) : "memory");
      if (stored) return;
    }
  }
#elif defined(__aarch64__) && !defined(__SANITIZE_THREAD__)
  if constexpr (std::is_integral_v<T> && sizeof(T) == 8) {
    T sum;
    std::uint32_t failed;
    asm volatile("1: ldxr %0, %2\n\tadd %0, %0, %3\n\tstxr %w1, %0, %2\n\tcbnz %w1, 1b"
                 : "=&r"(sum), "=&r"(failed), "+Q"(value)
                 : "r"(amount));
    return;
  }
  if constexpr (std::is_same_v<T, double>) {
    std::uint64_t bits;
    double sum;
    std::uint32_t failed;
    asm volatile(
        "1: ldxr %0, %3\n\tfmov %d1, %0\n\tfadd %d1, %d1, %d4\n\tfmov %0, %d1\n\tstxr %w2, %0, %3\n\tcbnz "
        "%w2, 1b"
        : "=&r"(bits), "=&w"(sum), "=&r"(failed), "+Q"(value)
        : "w"(amount));
    return;
  }
#endif
  const std::atomic_ref atomic(value);
  const T before = atomic.load(std::memory_order_relaxed);
  T sum{};
  if constexpr (std::is_floating_point_v<T> || std::is_same_v<T, bool>) {
    sum = static_cast<T>(before + amount);
  } else {
    (void)__builtin_add_overflow(before, amount, &sum);  // it wraps around, as an atomic one does
  }
  atomic.store(sum, std::memory_order_relaxed);
}

// One number in a file.
template <Number T, bool kShared = false>
class Cell {
 public:
  Cell(Model& model, std::string_view label, const About& about, Kind kind, T initial = {},
       bool buffered = true)
      : Cell(add_field(model, label, about, kind, initial, buffered)) {}
  explicit Cell(const Added& added) noexcept : place_(added.field + 1) {}

  Cell(const Cell&) = default;
  // A handle is not made that of another field; what can be assigned is the value.
  Cell& operator=(const Cell&) = delete;
  ~Cell() = default;

  // Each a load or a store, of which a compiler leaves none out.
  [[nodiscard]] T load() const noexcept {
    return std::atomic_ref(*address()).load(std::memory_order_relaxed);
  }
  void store(T value) const noexcept { std::atomic_ref(*address()).store(value, std::memory_order_relaxed); }
  void add(T amount) const noexcept {
    if constexpr (kShared) {
      std::atomic_ref(*address()).fetch_add(amount, std::memory_order_relaxed);
    } else {
      std::byte* const address = place_.known_in_thread();
      // Not in one piece with what follows, which needs no stack then.
      if (address == nullptr) [[unlikely]]
        return enter_and_add(amount);
      add_in_thread(*reinterpret_cast<T*>(address), amount);
    }
  }

  void refuse() const noexcept { refuse_amount(place_); }
  [[nodiscard]] const Place& place() const noexcept { return place_; }

  using Total = std::conditional_t<std::is_floating_point_v<T>, double,
                                   std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>;
  [[nodiscard]] Total total() const noexcept {
    if constexpr (kShared) return static_cast<Total>(load());
    Total sum{};
    for_each_thread(
        place_,
        [](void* context, const std::byte* value) {
          // Its thread may be writing it.
          T& number = *reinterpret_cast<T*>(const_cast<std::byte*>(value));
          // NOLINTNEXTLINE(bugprone-signed-char-misuse): a number, not a letter
          const auto part = static_cast<Total>(std::atomic_ref(number).load(std::memory_order_relaxed));
          Total& into = *static_cast<Total*>(context);
          if constexpr (std::is_floating_point_v<T>) {
            into += part;
          } else {
            (void)__builtin_add_overflow(into, part, &into);  // it wraps around
          }
        },
        &sum);
    return sum;
  }

 private:
  static Added add_field(Model& model, std::string_view label, const About& about, Kind kind,
                         const T& initial, bool buffered) {
    const char code = code_of<T>();
    return model.add_field({.label = label,
                            .type = {&code, 1},
                            .size = sizeof(T),
                            .buffered = buffered,
                            .shared = kShared,
                            .kind = kind,
                            .initial = &initial},
                           about);
  }
  [[nodiscard]] T* address() const noexcept {
    return reinterpret_cast<T*>(kShared ? place_.in_shared() : place_.in_thread());
  }
  [[gnu::noinline, gnu::cold]] void enter_and_add(T amount) const noexcept {
    add_in_thread(*reinterpret_cast<T*>(enter_thread(place_)), amount);
  }
  Place place_;
};

}  // namespace mmstats::detail

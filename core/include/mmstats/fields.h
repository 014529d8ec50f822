// The fields of a Model (model.h). Each is made with the Model, a label, which the Model's prefix is put
// before, and what it says of itself. A field is a handle: a copy is the same field, and so is what is made
// anew with the same label, type, kind and class (and size or seconds, where there are any): a function may
// make its counter where it counts. When a handle ends, its field stays. It must not outlive its Model, and
// may be used by any thread at any time. Unless it is shared, each thread has its own value, and readers put
// threads and processes together as its kind wants: counters and whole numbers are summed, fractions
// averaged.
//
// Using a field never fails, throws, locks, or makes a system call once the thread has its file. Values
// of up to eight bytes are written by one aligned store: no reader can see half of one.
#pragma once

#include <atomic>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "mmstats/model.h"

namespace mmstats {

namespace detail {

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

// Where a field is: its write buffer byte, which its values follow, aligned to their size; and its memory.
struct Added {
  Place field;
  Place memory;
};

// Tells, once for each Model, that an amount adds nothing: see Counter::incr.
MMSTATS_API void refuse_amount(Place place) noexcept;
// Calls visit(context, address of `place`) for all threads' files that the Model has, under a lock.
MMSTATS_API void for_each_thread(Place place, void (*visit)(void* context, const std::byte* value),
                                 void* context) noexcept;

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
      add_at(address, amount);
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
    add_at(enter_thread(place_), amount);
  }
  // For this thread alone.
  static void add_at(std::byte* address, T amount) noexcept {
    T& value = *reinterpret_cast<T*>(address);
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    // One instruction: nothing is lost if a signal's handler adds as well.
    if constexpr (std::is_integral_v<T> && sizeof(T) == 8) {
      asm volatile("addq %1, %0" : "+m"(value) : "er"(amount) : "cc");
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
  Place place_;
};

}  // namespace detail

// Counts events, or adds whole amounts up.
template <bool kShared>
class BasicCounter {
 public:
  BasicCounter(Model& model, std::string_view label, const About& about = {})
      : cell_(model, label, about, Kind::kCounter) {}

  // Adds a whole amount. A negative one (as of a read(2) that failed), or one above 2^63 - 1, which is what a
  // negative one becomes in an unsigned number, adds nothing; the first in a Model is told, in a
  // signal's handler, too. Fractions do not compile: round them, or count in a smaller unit.
  void incr(std::uint64_t amount = 1) const noexcept {
    if (static_cast<std::int64_t>(amount) < 0) [[unlikely]]
      return cell_.refuse();
    cell_.add(amount);
  }
  template <std::signed_integral Amount>
  void incr(Amount amount) const noexcept {
    incr(static_cast<std::uint64_t>(static_cast<std::int64_t>(amount)));
  }
  template <std::floating_point Amount>
  void incr(Amount amount) const = delete;
  // Its name in old versions.
  template <class Amount = std::uint64_t>
  void inc(Amount amount = 1) const noexcept
    requires requires(const BasicCounter& counter) { counter.incr(amount); }
  {
    incr(amount);
  }
  const BasicCounter& operator++() const noexcept {
    cell_.add(1);
    return *this;
  }
  void operator++(int) const noexcept { cell_.add(1); }
  template <class Amount>
  const BasicCounter& operator+=(Amount amount) const noexcept
    requires requires(const BasicCounter& counter) { counter.incr(amount); }
  {
    incr(amount);
    return *this;
  }
  // This thread's; of a SharedCounter that of all.
  [[nodiscard]] std::uint64_t value() const noexcept { return cell_.load(); }
  // The process's: the sum over its threads, those that have ended included, since the Model or the fork that
  // made the process. Any thread; not signal handlers, as it takes a lock. Some nanoseconds for each thread.
  [[nodiscard]] std::uint64_t total() const noexcept { return cell_.total(); }
  // Of this thread. Readers take a value that falls for a counter that began anew.
  void set_value(std::uint64_t value) const noexcept { cell_.store(value); }
  template <std::floating_point Value>
  void set_value(Value value) const = delete;
  // For the C interface.
  [[nodiscard]] const detail::Place& place() const noexcept { return cell_.place(); }

 private:
  detail::Cell<std::uint64_t, kShared> cell_;
};

using Counter = BasicCounter<false>;
// One value for all threads: for a count that they must see each other's part of. Lock-free and exact; dearer
// than a Counter, most of all when threads count at once.
using SharedCounter = BasicCounter<true>;

// A number of this moment. T: a C++ number of up to eight bytes, whose size and sign make the type.
// `peak = current` gives the value of one to another, as `peak = 5` does: a handle stays that of its field.
template <detail::Number T, bool kShared = false>
class Gauge {
 public:
  Gauge(Model& model, std::string_view label, const About& about = {}, T initial = {})
      : cell_(model, label, about, Kind::kGauge, initial), only_grows_(about.kind == Kind::kCounter) {}
  Gauge(const Gauge&) = default;
  ~Gauge() = default;

  void set(T value) const noexcept { cell_.store(value); }
  const Gauge& operator=(T value) const noexcept {
    cell_.store(value);
    return *this;
  }
  const Gauge& operator=(const Gauge& other) const noexcept {
    cell_.store(other.value());
    return *this;
  }
  // Containers would move values where they mean handles.
  Gauge& operator=(Gauge&&) = delete;

  // Atomic if the gauge is shared. NaN and infinity add nothing, and so do negative amounts if About says
  // that it is a counter; the first in a Model is told, as by a Counter. To a whole number, fractions do not
  // compile.
  void add(T amount) const noexcept {
    if constexpr (std::is_floating_point_v<T>) {
      if (!std::isfinite(amount)) [[unlikely]]
        return cell_.refuse();
    }
    if constexpr (std::is_signed_v<T>) {
      if (only_grows_ && amount < 0) [[unlikely]]
        return cell_.refuse();
    }
    cell_.add(amount);
  }
  template <std::floating_point Amount>
    requires std::is_integral_v<T>
  void add(Amount amount) const = delete;
  void subtract(T amount) const noexcept {
    if constexpr (std::is_floating_point_v<T>) {
      add(-amount);
    } else if (only_grows_ && amount > T{}) {
      cell_.refuse();
    } else {
      cell_.add(static_cast<T>(std::uint64_t{0} - static_cast<std::uint64_t>(amount)));
    }
  }
  template <std::floating_point Amount>
    requires std::is_integral_v<T>
  void subtract(Amount amount) const = delete;
  template <class Amount>
  const Gauge& operator+=(Amount amount) const noexcept
    requires(std::is_arithmetic_v<Amount> && (std::is_integral_v<Amount> || std::is_floating_point_v<T>))
  {
    add(static_cast<T>(amount));
    return *this;
  }
  template <class Amount>
  const Gauge& operator-=(Amount amount) const noexcept
    requires(std::is_arithmetic_v<Amount> && (std::is_integral_v<Amount> || std::is_floating_point_v<T>))
  {
    subtract(static_cast<T>(amount));
    return *this;
  }
  const Gauge& operator++() const noexcept { return *this += 1; }
  const Gauge& operator--() const noexcept { return *this -= 1; }
  void operator++(int) const noexcept { *this += 1; }
  void operator--(int) const noexcept { *this -= 1; }

  // This thread's; of a shared one that of all.
  [[nodiscard]] T value() const noexcept { return cell_.load(); }
  // The sum over the process's threads that have not ended (also of fractions, which readers average): a
  // 64-bit whole number, or a double. As Counter::total otherwise.
  [[nodiscard]] auto total() const noexcept { return cell_.total(); }

 private:
  detail::Cell<T, kShared> cell_;
  bool only_grows_;
};

template <detail::Number T>
using SharedGauge = Gauge<T, true>;

// The original's names.
using CounterField = Counter;
using UInt64Field = Gauge<std::uint64_t>;
using UIntField = Gauge<std::uint32_t>;
using IntField = Gauge<std::int32_t>;
using UShortField = Gauge<std::uint16_t>;
using ShortField = Gauge<std::int16_t>;
using FloatField = Gauge<float>;
using DoubleField = Gauge<double>;

// A byte or a bool, unbuffered as in the original.
template <detail::Number T>
  requires(sizeof(T) == 1)
class SmallField {
 public:
  SmallField(Model& model, std::string_view label, const About& about = {}, T initial = {})
      : cell_(model, label, about, std::same_as<T, bool> ? Kind::kState : Kind::kGauge, initial, false) {}

  SmallField(const SmallField&) = default;
  ~SmallField() = default;

  void set(T value) const noexcept { cell_.store(value); }
  const SmallField& operator=(T value) const noexcept {
    cell_.store(value);
    return *this;
  }
  // As Gauge's.
  const SmallField& operator=(const SmallField& other) const noexcept {
    cell_.store(other.value());
    return *this;
  }
  SmallField& operator=(SmallField&&) = delete;
  [[nodiscard]] T value() const noexcept { return cell_.load(); }

 private:
  detail::Cell<T> cell_;
};

using ByteField = SmallField<std::int8_t>;
using UByteField = SmallField<std::uint8_t>;
using BoolField = SmallField<bool>;

// A fact that does not change. `value`: a number, or something to call for one when the field is made.
template <detail::Number T>
class StaticField {
 public:
  template <class Value>
  StaticField(Model& model, std::string_view label, Value&& value, const About& about = {})
      : cell_(model, label, about, Kind::kProperty, evaluate(std::forward<Value>(value)), false) {}
  [[nodiscard]] T value() const noexcept { return cell_.load(); }

 private:
  template <class Value>
  static T evaluate(Value&& value) {
    if constexpr (std::invocable<Value>) {
      return static_cast<T>(std::forward<Value>(value)());
    } else {
      return static_cast<T>(value);
    }
  }
  detail::Cell<T> cell_;
};

using StaticUIntField = StaticField<std::uint32_t>;
using StaticInt64Field = StaticField<std::int64_t>;
using StaticUInt64Field = StaticField<std::uint64_t>;
using StaticFloatField = StaticField<float>;
using StaticDoubleField = StaticField<double>;

// A text of up to `size` bytes (65,535 at most) of UTF-8; a longer one is cut between two characters. The
// write buffer keeps readers from the text that is being written.
class MMSTATS_API StringField {
 public:
  StringField(Model& model, std::string_view label, const About& about = {}, std::size_t size = 255,
              std::string_view initial = {});
  StringField(const StringField&) = default;
  ~StringField() = default;

  void set(std::string_view text) const noexcept;
  const StringField& operator=(std::string_view text) const noexcept {
    set(text);
    return *this;
  }
  // As Gauge's.
  const StringField& operator=(const StringField& other) const noexcept {
    set(other.value());
    return *this;
  }
  StringField& operator=(StringField&&) = delete;
  [[nodiscard]] std::string_view value() const noexcept;  // until this thread sets it twice

 private:
  std::size_t size_;
  detail::Place write_buffer_;
};

// A text that does not change.
class MMSTATS_API StaticTextField {
 public:
  StaticTextField(Model& model, std::string_view label, std::string_view value, const About& about = {},
                  std::size_t size = 256);
  template <std::invocable Value>
  StaticTextField(Model& model, std::string_view label, Value&& value, const About& about = {},
                  std::size_t size = 256)
      : StaticTextField(model, label, std::string_view(std::string(std::forward<Value>(value)())), about,
                        size) {}
};

// Measures how long something takes, from its making to stop() or to its end, however it ends, and adds
// the seconds to a field. On a clock that never steps. Scopes may be nested, be open at the same time,
// be moved, and be stopped in another thread, whose value they are then added to.
template <class Field>
class [[nodiscard]] Scope {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Scope(const Field& field) noexcept : field_(field), started_(Clock::now()) {}
  Scope(Scope&& other) noexcept
      : field_(other.field_),
        started_(other.started_),
        elapsed_(other.elapsed_),
        done_(std::exchange(other.done_, true)) {}
  Scope& operator=(Scope&& other) noexcept {
    if (this != &other) {
      stop();
      std::destroy_at(&field_);
      std::construct_at(&field_, other.field_);  // a handle may be given, but not assigned
      started_ = other.started_;
      elapsed_ = other.elapsed_;
      done_ = std::exchange(other.done_, true);
    }
    return *this;
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() { stop(); }

  // Adds the time to the field, once. Returns elapsed().
  double stop() noexcept {
    if (std::exchange(done_, true)) return elapsed_;
    const auto now = Clock::now();
    elapsed_ = seconds(now - started_);
    if constexpr (requires { field_.add(elapsed_, now); }) {
      field_.add(elapsed_, now);
    } else {
      field_.add(elapsed_);
    }
    return elapsed_;
  }
  // Ends without adding anything: for what failed and must not count.
  void cancel() noexcept { done_ = true; }
  [[nodiscard]] bool done() const noexcept { return done_; }
  // Seconds until now, or until it was stopped.
  [[nodiscard]] double elapsed() const noexcept {
    return done_ ? elapsed_ : seconds(Clock::now() - started_);
  }

 private:
  static double seconds(Clock::duration duration) noexcept {
    return 1e-9 * static_cast<double>(std::chrono::nanoseconds(duration).count());
  }
  Field field_;
  Clock::time_point started_;
  double elapsed_ = 0;
  bool done_ = false;
};

// The mean of all values that this thread has seen. Infinite ones and NaN are left out, here
// and in all fields below.
class MMSTATS_API Average {
 public:
  Average(Model& model, std::string_view label, const About& about = {});
  void add(double value) const noexcept;
  template <class Rep, class Period>
  void add(std::chrono::duration<Rep, Period> time) const noexcept {  // in seconds
    add(detail::seconds_of(time));
  }
  Scope<Average> time() const noexcept { return Scope(*this); }
  [[nodiscard]] double value() const noexcept { return mean_.load(); }

 private:
  explicit Average(const detail::Added& added) noexcept : mean_(added), state_(added.memory) {}
  detail::Cell<double> mean_;
  detail::Place state_;
};

// The mean of the last `size` values (1 to 65,536); until there are as many, of those so far. Memory: eight
// bytes for each of them, in every thread.
class MMSTATS_API MovingAverage {
 public:
  MovingAverage(Model& model, std::string_view label, const About& about = {}, std::size_t size = 100);
  void add(double value) const noexcept;
  template <class Rep, class Period>
  void add(std::chrono::duration<Rep, Period> time) const noexcept {  // in seconds
    add(detail::seconds_of(time));
  }
  Scope<MovingAverage> time() const noexcept { return Scope(*this); }
  [[nodiscard]] double value() const noexcept { return mean_.load(); }
  [[nodiscard]] double last() const noexcept;  // the value that this thread saw last

 private:
  MovingAverage(const detail::Added& added, std::uint32_t size) noexcept
      : mean_(added), size_(size), state_(added.memory) {}
  detail::Cell<double> mean_;
  std::uint32_t size_;
  detail::Place state_;
};

// Seconds that something takes: `const auto scope = stats.latency.time();`.
using Timer = MovingAverage;
using AverageField = Average;
using MovingAverageField = MovingAverage;
using TimerField = Timer;

// The mean of the values of the last `seconds` (1 to 3,600; to a second). It moves on when a value is added:
// a thread that fell silent leaves its last mean.
class MMSTATS_API WindowAverage {
 public:
  using Clock = std::chrono::steady_clock;

  WindowAverage(Model& model, std::string_view label, const About& about = {}, std::size_t seconds = 60);
  void add(double value) const noexcept { add(value, Clock::now()); }
  template <class Rep, class Period>
  void add(std::chrono::duration<Rep, Period> time) const noexcept {  // in seconds
    add(detail::seconds_of(time));
  }
  // `now` must not go back; for those who have just read the clock.
  void add(double value, Clock::time_point now) const noexcept;
  Scope<WindowAverage> time() const noexcept { return Scope(*this); }
  [[nodiscard]] double value() const noexcept { return mean_.load(); }

 private:
  WindowAverage(const detail::Added& added, std::uint32_t seconds) noexcept
      : mean_(added), seconds_(seconds), state_(added.memory) {}
  detail::Cell<double> mean_;
  std::uint32_t seconds_;
  detail::Place state_;
};

}  // namespace mmstats

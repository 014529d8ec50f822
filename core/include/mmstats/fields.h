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

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "mmstats/cell.h"
#include "mmstats/cpp20.h"
#include "mmstats/model.h"

namespace mmstats {

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

// The mean of all values that this thread has seen. Until there is one value() is 0, and the file has NaN,
// which readers take for no value: threads that have nothing to measure do not pull averages down. Infinite
// values and NaN are left out. All this holds for the fields below, too.
class MMSTATS_API Average {
 public:
  Average(Model& model, std::string_view label, const About& about = {});
  void add(double value) const noexcept;
  template <class Rep, class Period>
  void add(std::chrono::duration<Rep, Period> time) const noexcept {  // in seconds
    add(detail::seconds_of(time));
  }
  Scope<Average> time() const noexcept { return Scope(*this); }
  [[nodiscard]] double value() const noexcept { return detail::or_zero(mean_.load()); }

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
  [[nodiscard]] double value() const noexcept { return detail::or_zero(mean_.load()); }
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
  [[nodiscard]] double value() const noexcept { return detail::or_zero(mean_.load()); }

 private:
  WindowAverage(const detail::Added& added, std::uint32_t seconds) noexcept
      : mean_(added), seconds_(seconds), state_(added.memory) {}
  detail::Cell<double> mean_;
  std::uint32_t seconds_;
  detail::Place state_;
};

}  // namespace mmstats

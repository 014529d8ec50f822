// After a thread's files are made, writing makes no system call: a filter of the kernel ends the process at
// the first one.
#include <doctest/doctest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

#include "child_process.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "mmstats/mmstats.h"
#include "temporary_folder.h"

using namespace mmstats;

namespace {

constexpr int kCalls = 20'000;
constexpr int kEnded = 128 + SIGSYS;

// From now on the process can end itself, and nothing else.
void allow_no_system_call() {
  constexpr std::uint32_t kNumber = offsetof(seccomp_data, nr);
  sock_filter allowed[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kNumber), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
  const sock_fprog program{std::size(allowed), allowed};
  must(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) ::_exit(ChildProcess::kSkipped);
}

// As _exit, which sanitizers precede with system calls of their own.
void end_process() { ::syscall(SYS_exit_group, 0); }

// How a process ends that only does this.
template <class Do>
int ends_without_system_calls(Do&& act) {
  return ChildProcess([&] {
           allow_no_system_call();
           act();
           end_process();
         })
      .wait();
}

struct EveryField : Model {
  explicit EveryField(ModelOptions options) : Model(std::move(options)) {}
  Counter count{*this, "count"};
  SharedCounter shared_count{*this, "shared_count"};
  Gauge<std::int64_t> level{*this, "level"};
  SharedGauge<double> shared_level{*this, "shared_level"};
  SharedGauge<std::int32_t> shared_number{*this, "shared_number"};
  UInt64Field unsigned64{*this, "unsigned64"};
  UIntField unsigned32{*this, "unsigned32"};
  IntField signed32{*this, "signed32"};
  UShortField unsigned16{*this, "unsigned16"};
  ShortField signed16{*this, "signed16"};
  FloatField single_precision{*this, "single_precision"};
  DoubleField double_precision{*this, "double_precision"};
  ByteField byte{*this, "byte"};
  UByteField unsigned_byte{*this, "unsigned_byte"};
  BoolField flag{*this, "flag"};
  StaticUIntField fact{*this, "fact", 7};
  StringField text{*this, "text"};
  Average mean{*this, "mean"};
  MovingAverage moving_mean{*this, "moving_mean"};
  WindowAverage window_mean{*this, "window_mean"};
  Histogram sizes{*this, "sizes"};
  MovingHistogram moving_sizes{*this, "moving_sizes"};
  WindowHistogram window_sizes{*this, "window_sizes"};

  void write(int i, std::chrono::steady_clock::time_point now) {
    ++count;
    count += 2;
    count.set_value(count.value() + 1);
    shared_count.incr();
    level.set(-i);
    level.add(1);
    shared_level.set(i * 0.5);
    shared_level.add(0.25);
    shared_number.add(1);
    unsigned64 = static_cast<std::uint64_t>(i);
    unsigned32 = static_cast<std::uint32_t>(i);
    signed32 = -i;
    unsigned16 = static_cast<std::uint16_t>(i);
    signed16 = static_cast<std::int16_t>(i);
    single_precision = static_cast<float>(i);
    double_precision = i;
    byte = static_cast<std::int8_t>(i);
    unsigned_byte = static_cast<std::uint8_t>(i);
    flag = i % 2 == 0;
    text = i % 2 == 0 ? "running" : std::string_view("idle \xC3\xA4\xFF and more text than a register holds");
    const double value = i % 1000 * 0.001;
    mean.add(value);
    moving_mean.add(value);
    window_mean.add(value, now);
    sizes.add(value);
    moving_sizes.add(value);
    window_sizes.add(value, now);
    must(fact.value() == 7);
    must(!text.value().empty());
  }
  void time() {
    const auto all = mean.time();
    auto scope = moving_mean.time();
    const auto moved = std::move(scope);
    window_mean.time().stop();
    sizes.time().cancel();
    const auto nested = moving_sizes.time();
    const auto deeper = window_sizes.time();
    window_mean.add(1);
    window_sizes.add(1);
  }
};

ModelOptions in_folder(const TemporaryFolder& folder) {
  return {.path = folder.path(), .on_error = [](const Error&) { must(false); }};
}

// The same power, from C.
struct EveryHandle {
  mmstats_model* model = mmstats_model_new("c");
  mmstats_counter* count = mmstats_counter_new(model, "count", nullptr, nullptr);
  mmstats_counter* shared = mmstats_shared_counter_new(model, "shared", nullptr, nullptr);
  std::vector<mmstats_number*> numbers;
  mmstats_string* text = mmstats_string_new(model, "text", 255, nullptr);
  std::vector<mmstats_average*> averages{mmstats_average_new(model, "mean", nullptr, nullptr),
                                         mmstats_moving_average_new(model, 100, "moving", nullptr, nullptr),
                                         mmstats_window_average_new(model, 60, "window", nullptr, nullptr)};
  std::vector<mmstats_histogram*> histograms{
      mmstats_histogram_new(model, "sizes", nullptr, nullptr),
      mmstats_moving_histogram_new(model, 100, "moving_sizes", nullptr, nullptr),
      mmstats_window_histogram_new(model, 60, "window_sizes", nullptr, nullptr)};

  EveryHandle() {
    for (const char type : {'q', 'Q', 'i', 'I', 'h', 'H', 'b', 'B', '?', 'f', 'd'}) {
      for (auto* const make : {mmstats_number_new, mmstats_shared_number_new}) {
        const auto label = std::string("number.") + type + (make == mmstats_number_new ? "" : ".shared");
        auto* const number =
            make(model, static_cast<mmstats_type>(type), MMSTATS_DEFAULT, label.c_str(), nullptr, nullptr);
        if (number != nullptr) numbers.push_back(number);
      }
    }
    REQUIRE(numbers.size() == 19);  // none of the bytes is shared
  }
  EveryHandle(const EveryHandle&) = delete;
  EveryHandle& operator=(const EveryHandle&) = delete;
  ~EveryHandle() { mmstats_model_free(model); }

  void write(int i) {
    mmstats_counter_incr(count, 1);
    mmstats_counter_set(count, mmstats_counter_value(count) + 1);
    mmstats_counter_incr(shared, 1);
    for (auto* number : numbers) {
      mmstats_number_set(number, i);
      mmstats_number_set_unsigned(number, 3);
      mmstats_number_set_double(number, i * 1e9);
      mmstats_number_add(number, 1);
      must(mmstats_number_value(number) < 1e300);
    }
    mmstats_string_set(text, "running");
    mmstats_string_set_bytes(text, "idle", 4);
    for (auto* average : averages) mmstats_average_add(average, i);
    for (auto* histogram : histograms) mmstats_histogram_add(histogram, i);
  }
  void time() {
    const auto started = mmstats_clock();
    for (auto* average : averages) mmstats_average_add_since(average, started);
    for (auto* histogram : histograms) mmstats_histogram_add_since(histogram, started);
  }
};

// Whether this machine's clock can be read without a system call; if not, timers need one, too.
bool clock_is_free() {
  std::chrono::steady_clock::now();  // the first time it is looked for
  return ends_without_system_calls([] { std::chrono::steady_clock::now(); }) == 0;
}

}  // namespace

TEST_CASE("every kind of field is written without a system call") {
  const TemporaryFolder folder;
  const int status = ends_without_system_calls([] { ::syscall(SYS_getpid); });
  if (status == ChildProcess::kSkipped) {
    MESSAGE("skipped: this system lets us filter no system calls");
    return;
  }
  REQUIRE(status == kEnded);  // the filter works
  const bool timed = clock_is_free();
  if (!timed) MESSAGE("timers left out: reading the clock is a system call here");

  ChildProcess child([&] {
    EveryField fields(in_folder(folder));
    must(fields.open().has_value());
    must(fields.paths().size() == 2);
    const auto now = std::chrono::steady_clock::now();
    allow_no_system_call();
    for (int i = 0; i < kCalls; ++i) {
      // Windows move on, by more and less than all of them.
      fields.write(i, now + i * std::chrono::milliseconds(i < kCalls / 2 ? 1 : 100));
    }
    for (int i = 0; i < kCalls && timed; ++i) fields.time();
    end_process();
  });
  CHECK(child.wait() == 0);
}

TEST_CASE("every kind of handle is written from C without a system call") {
  const TemporaryFolder folder;
  if (ends_without_system_calls([] {}) == ChildProcess::kSkipped || !clock_is_free()) {
    MESSAGE("skipped: no filter of system calls here, or the clock needs one");
    return;
  }
  ::setenv("MMSTATS_PATH", folder.path().c_str(), 1);
  ChildProcess child([] {
    EveryHandle handles;
    must(mmstats_model_open(handles.model, nullptr, 0) == 0);
    handles.write(0);  // sanitizers look at each class with virtual functions once
    allow_no_system_call();
    for (int i = 0; i < kCalls; ++i) {
      handles.write(i);
      handles.time();
    }
    end_process();
  });
  CHECK(child.wait() == 0);
  ::unsetenv("MMSTATS_PATH");
}

TEST_CASE("a thread without files writes without a system call, too") {
  if (ends_without_system_calls([] {}) == ChildProcess::kSkipped) {
    MESSAGE("skipped: this system lets us filter no system calls");
    return;
  }
  ChildProcess child([] {
    EveryField fields({.path = "/nonexistent", .on_error = [](const Error&) {}});
    const auto now = std::chrono::steady_clock::now();
    fields.write(0, now);
    allow_no_system_call();
    for (int i = 0; i < kCalls; ++i) fields.write(i, now);
    end_process();
  });
  CHECK(child.wait() == 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // They need memory of their own.
TEST_CASE("a thread for whose values there was no memory does not ask for it at each write") {
  if (ends_without_system_calls([] {}) == ChildProcess::kSkipped) {
    MESSAGE("skipped: this system lets us filter no system calls");
    return;
  }
  const TemporaryFolder folder;
  ChildProcess child([&] {
    int told = 0;
    Model model({.path = folder.path(), .on_error = [&](const Error&) { ++told; }});
    Counter count(model, "count");
    MovingAverage mean(model, "mean", {}, 65'536);
    const rlimit none{0, 0};
    must(::setrlimit(RLIMIT_DATA, &none) == 0);
    count.incr();
    must(told == 1);
    allow_no_system_call();
    for (int i = 0; i < kCalls; ++i) {
      count.incr();
      mean.add(i);
    }
    must(told == 1);
    end_process();
  });
  CHECK(child.wait() == 0);
}
#endif

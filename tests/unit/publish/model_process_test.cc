// The lives of processes and threads: forks, execs, threads by the million, signals, kills at any instant. No
// count is lost, and no file that is visible is damaged.
#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "child_process.h"
#include "folder_content.h"
#include "held_calls.h"
#include "mmstats/fields.h"
#include "mmstats/mmstats.h"
#include "mmstats/snapshot.h"
#include "patience.h"
#include "temporary_folder.h"

using namespace mmstats;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(MMSTATS_EMULATED)
constexpr int kSlowness = 20;
#else
constexpr int kSlowness = 1;
#endif
#if defined(MMSTATS_EMULATED)
constexpr int kShortThreads = 5000;  // an emulator takes milliseconds for one
#else
constexpr int kShortThreads = 1'000'000 / kSlowness;
#endif
constexpr int kKills = 400 / kSlowness;
constexpr int kForks = 200 / kSlowness;
constexpr int kExits = 200 / kSlowness;
constexpr int kModels = 500 / kSlowness;

ModelOptions in_folder(const TemporaryFolder& folder, std::string label_prefix = {}) {
  return {.label_prefix = std::move(label_prefix),
          .path = folder.path(),
          .file_name = "{PID}-{TID}.mmstats",
          .on_error = [](const Error&) { must(false); }};
}

// Fields whose state is beside the file, too.
struct Fields : Model {
  explicit Fields(ModelOptions options) : Model(std::move(options)) {}
  Counter count{*this, "count"};
  SharedCounter shared{*this, "shared"};
  Average mean{*this, "mean"};
  StringField name{*this, "name"};

  void write(double value) {
    count.incr();
    shared.incr();
    mean.add(value);
    name = std::to_string(value);
  }
};

// The bytes of all files of this Model.
std::vector<std::vector<std::byte>> bytes_of(const Model& model) {
  std::vector<std::vector<std::byte>> all;
  for (const auto& path : model.paths()) all.push_back(read_snapshot(path)->bytes);
  return all;
}

std::vector<FileContent> files_of(const std::string& folder, pid_t pid) {
  auto files = content_of(folder);
  std::erase_if(files, [&](auto& file) { return file.numbers["sys.pid"] != pid; });
  return files;
}

// What a child that wrote once with the value 5 has published.
void must_have_begun_anew(const std::string& folder) {
  auto files = files_of(folder, ::getpid());
  must(files.size() == 2);
  must(sum_of(files, "count") == 1);
  must(sum_of(files, "shared") == 1);
  must(sum_of(files, "mean") == 5);
  for (const auto& file : files) must(file.wrong.empty());
}

// A flag that no processor's reordering and no compiler removes, with a deadline.
void wait_for(const std::atomic<int>& number, int at_least) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (number < at_least && std::chrono::steady_clock::now() < deadline) ::sched_yield();
  must(number >= at_least);
}

}  // namespace

TEST_CASE("a forked child has its own files from its first write, and the parent's stay as they are") {
  const TemporaryFolder folder;
  Fields fields(in_folder(folder));
  fields.write(1);
  fields.write(3);
  const auto before = bytes_of(fields);
  REQUIRE(before.size() == 2);
  const auto names = names_in(folder.path());

  ChildProcess child([&] {
    must(fields.paths().empty());
    must(names_in(folder.path()) == names);
    fields.write(5);
    must(fields.count.value() == 1);
    must(fields.mean.value() == 5);
    must(fields.paths().size() == 2);
    must_have_begun_anew(folder.path());

    ChildProcess grandchild([&] {
      must(fields.paths().empty());
      fields.write(5);
      must_have_begun_anew(folder.path());
      must(names_in(folder.path()).size() == 6);
      std::exit(0);
    });
    must(grandchild.wait() == 0);
    must_have_begun_anew(folder.path());
    must(names_in(folder.path()).size() == 4);
    std::exit(0);  // which removes its files, and no others
  });
  CHECK(child.wait() == 0);
  CHECK(bytes_of(fields) == before);
  CHECK(names_in(folder.path()) == names);
  fields.write(5);
  CHECK(fields.count.value() == 3);
  CHECK(fields.shared.value() == 3);
  CHECK(fields.mean.value() == 3);
}

TEST_CASE("a child outlives its parent, and a Model that the parent removed") {
  const TemporaryFolder folder;
  const SharedMemory<std::atomic<int>> step;
  ChildProcess parent([&] {
    auto fields = std::make_unique<Fields>(in_folder(folder));
    fields->write(1);
    if (::fork() == 0) {
      fields->write(5);
      ++*step;
      wait_for(*step, 2);
      fields->write(5);
      fields.reset();
      *step = names_in(folder.path()).empty() ? 3 : 4;
      ::_exit(0);
    }
    wait_for(*step, 1);
    fields.reset();
    must(names_in(folder.path()).size() == 2);
  });
  CHECK(parent.wait() == 0);
  CHECK(sum_of(content_of(folder.path()), "count") == 1);
  *step = 2;
  wait_for(*step, 3);
  CHECK(*step == 3);
}

TEST_CASE("a child that only execs leaves nothing behind") {
  const TemporaryFolder folder;
  Fields fields(in_folder(folder));
  fields.write(1);
  const auto before = bytes_of(fields);
  const auto names = names_in(folder.path());
  for (int i = 0; i < 20; ++i) {
    ChildProcess child([] { ::execl("/bin/true", "true", nullptr); });
    CHECK(child.wait() == 0);
  }
  CHECK(bytes_of(fields) == before);
  CHECK(names_in(folder.path()) == names);
}

TEST_CASE("forks amid threads that write, start and end lose no count and share no file") {
  const TemporaryFolder folder;
  Fields fields(in_folder(folder));
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> counted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      std::uint64_t mine = 0;
      for (; !stop; ++mine) fields.write(1);
      counted += mine;
    });
  }
  threads.emplace_back([&] {
    while (!stop) {
      std::thread([&] {
        fields.write(1);
        ++counted;
      }).join();
    }
  });
  threads.emplace_back([&] {
    for (int i = 0; i < kForks; ++i) {
      ChildProcess child([&] {
        must(fields.count.value() == 0);
        fields.write(5);
        must_have_begun_anew(folder.path());
        fields.remove();
      });
      CHECK(child.wait() == 0);
    }
    stop = true;
  });
  for (auto& thread : threads) thread.join();
  const auto files = content_of(folder.path());
  CHECK(files.size() <= 6);
  CHECK(sum_of(files, "count") == static_cast<double>(counted));
  CHECK(sum_of(files, "shared") == static_cast<double>(counted));
}

namespace {

// What a program does that had no Model before: this one, run again for that alone.
struct Program {
  const char* name;
  void (*run)(const std::string& folder);
};

void find_file_after_exec(const std::string& folder) {
  auto files = content_of(folder);
  must(files.size() == 1);
  must(files[0].wrong.empty() && files[0].numbers["count"] == 5);
  {
    Model model({.path = folder, .file_name = "{PID}-{TID}.mmstats"});
    Counter count(model, "count");
    count.incr(3);
    files = content_of(folder);
    must(files.size() == 1);
    must(files[0].numbers["count"] == 3);
  }
  must(names_in(folder).empty());
}

void write_without_thread_key(const std::string& folder) {
  pthread_key_t key{};
  while (::pthread_key_create(&key, nullptr) == 0) {
  }
  int told = 0;
  {
    Fields fields({.path = folder, .on_error = [&](const Error&) { ++told; }});
    for (int i = 0; i < 3; ++i) std::thread([&] { fields.write(1); }).join();
    must(told == 1);
    must(fields.shared.value() == 3);  // of no thread
    must(content_of(folder).size() == 1);
  }
  must(names_in(folder).empty());
}

void write_after_exit_handlers(const std::string& folder_) {
  static Fields* fields = nullptr;
  static std::string folder;
  folder = folder_;
  // Registered before all others, and so run after them.
  std::atexit([] {
    std::thread([] { fields->write(1); }).join();
    must(names_in(folder).empty());
    must(fields->paths().empty() && fields->path().empty());
  });
  fields = new Fields({.path = folder});
  fields->write(1);
  must(content_of(folder).size() == 2);
  std::exit(0);
}

void add_fields_after_exit_handlers(const std::string& folder) {
  static Model* model = nullptr;
  static int told = 0;
  std::atexit([] {
    must(model->paths().empty());
    for (int i = 0; i < 20; ++i) {
      Counter late(*model, "late" + std::to_string(i) + std::string(5000, 'x'));
      late.incr(3);
      must(late.value() == 3);
    }
    // Nor is anything written to a disk that takes nothing, where the system lets us say so.
    static_cast<void>(held::filter_this_thread(SYS_msync, SECCOMP_RET_ERRNO | EIO, 0));
    must(model->flush().has_value());
    must(told == 0);
  });
  model = new Model({.path = folder, .on_error = [](const Error&) { ++told; }});
  Counter count(*model, "count");
  count.incr();
  must(content_of(folder).size() == 1);
  std::exit(0);
}

constexpr const char* kProgram = "MMSTATS_TEST_PROGRAM";
constexpr const char* kFolder = "MMSTATS_TEST_FOLDER";
constexpr Program kPrograms[] = {{"after exec", find_file_after_exec},
                                 {"without thread key", write_without_thread_key},
                                 {"after exit handlers", write_after_exit_handlers},
                                 {"fields after exit handlers", add_fields_after_exit_handlers}};

[[maybe_unused]] const bool is_the_test = [] {
  const char* const name = std::getenv(kProgram);
  if (name == nullptr) return true;
  for (const auto& program : kPrograms) {
    if (program.name != std::string(name)) continue;
    program.run(std::getenv(kFolder));
    ::_exit(0);
  }
  ::_exit(2);
}();

[[noreturn]] void become(const char* program, const TemporaryFolder& folder) {
  ::setenv(kProgram, program, 1);
  ::setenv(kFolder, folder.path().c_str(), 1);
  ::execl("/proc/self/exe", "test", nullptr);
  ::_exit(errno == ENOEXEC ? ChildProcess::kSkipped : 2);
}

// Waits for a child that has become a program.
void check_ends_well(ChildProcess child) {
  const int status = child.wait();
  if (status == ChildProcess::kSkipped) {
    MESSAGE("skipped: the system knows no programs as this one is, which an emulator runs");
    return;
  }
  CHECK(status == 0);
}

}  // namespace

TEST_CASE("exec leaves the files until a new Model takes their names") {
  const TemporaryFolder folder;
  ChildProcess child([&] {
    Model model(in_folder(folder));
    Counter count(model, "count");
    count.incr(5);
    become("after exec", folder);
  });
  check_ends_well(std::move(child));
}

TEST_CASE("a million short threads leave a handful of files and lose no count") {
  const TemporaryFolder folder;
  Fields fields(in_folder(folder));
  constexpr int kAtOnce = 4;  // whose stacks the C library keeps for the next
  std::vector<std::thread> threads;
  for (int i = 0; i < kShortThreads / kAtOnce; ++i) {
    for (int j = 0; j < kAtOnce; ++j) threads.emplace_back([&] { fields.write(2); });
    for (auto& thread : threads) thread.join();
    threads.clear();
  }
  const auto files = content_of(folder.path());
  CHECK(files.size() <= kAtOnce + 1);
  CHECK(sum_of(files, "count") == kShortThreads);
  CHECK(sum_of(files, "shared") == kShortThreads);
  for (auto file : files) {
    if (file.numbers.contains("mean")) CHECK(std::isnan(file.numbers["mean"]));  // of none that runs
  }
}

TEST_CASE("what a thread writes at its very end counts") {
  const TemporaryFolder folder;
  static Fields* fields = nullptr;
  Fields made(in_folder(folder));
  fields = &made;
  struct AtEnd {
    ~AtEnd() { fields->write(2); }
  };
  pthread_key_t key{};
  REQUIRE(::pthread_key_create(&key, [](void*) { fields->write(2); }) == 0);
  constexpr int kThreads = 500;
  for (int i = 0; i < kThreads; ++i) {
    std::thread([&] {
      static thread_local AtEnd at_end;
      ::pthread_setspecific(key, &key);
      // Every other one has not written before.
      if (i % 2 == 0) fields->write(2);
    }).join();
  }
  ::pthread_key_delete(key);
  const auto files = content_of(folder.path());
  CHECK(files.size() == 2);
  CHECK(sum_of(files, "count") == 2.5 * kThreads);
  CHECK(sum_of(files, "shared") == 2.5 * kThreads);
}

TEST_CASE("without a thread key what threads count is lost, which is told") {
  const TemporaryFolder folder;
  check_ends_well(ChildProcess([&] { become("without thread key", folder); }));
}

TEST_CASE("Models that come and go while threads start and end disturb nobody") {
  const TemporaryFolder folder;
  Fields fields(in_folder(folder, "kept"));
  std::atomic<int> running{2};
  std::atomic<std::uint64_t> counted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; n < kModels; ++n) {
        Fields passing(in_folder(folder, "passing" + std::to_string(i)));
        passing.write(1);
        std::thread([&] { passing.write(1); }).join();
        CHECK(passing.shared.value() == 2);
        fields.write(1);
        ++counted;
      }
      --running;
    });
    threads.emplace_back([&] {
      while (running > 0) {
        std::thread([&] {
          fields.write(1);
          ++counted;
        }).join();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const auto files = content_of(folder.path());
  CHECK(files.size() <= 7);
  CHECK(sum_of(files, "kept.count") == static_cast<double>(counted));
  CHECK(sum_of(files, "kept.shared") == static_cast<double>(counted));
  CHECK(sum_of(files, "passing0.count") == 0);
}

#if !defined(__SANITIZE_THREAD__)  // That the last writes go nowhere is a race, and meant to be.
#if defined(__SANITIZE_ADDRESS__)
// Asked by the sanitizer at the end: what a thread owns that is just being started is no leak.
static bool ends_amid_threads = false;
extern "C" __attribute__((visibility("default"))) int __lsan_is_turned_off() {
  return ends_amid_threads ? 1 : 0;
}
#endif

TEST_CASE("threads that write on while the process exits neither crash it nor leave files") {
  const TemporaryFolder folder;
  for (int i = 0; i < kExits; ++i) {
    ChildProcess child([&] {
#if defined(__SANITIZE_ADDRESS__)
      ends_amid_threads = true;
#endif
      static Fields fields(in_folder(folder));
      static std::atomic<int> started{0};
      for (int thread = 0; thread < 2; ++thread) {
        std::thread([] {
          ++started;
          for (;;) fields.write(1);
        }).detach();
      }
      std::thread([] {
        for (;; ++started) std::thread([] { fields.write(1); }).join();
      }).detach();
      wait_for(started, 3 + i % 5);
      std::exit(0);
    });
    const int status = child.wait();
    CHECK(status == 0);
    CHECK(names_in(folder.path()).empty());
    if (status != 0) break;
  }
}
#endif

TEST_CASE("a thread that first writes when the files were removed at exit makes none") {
  const TemporaryFolder folder;
  check_ends_well(ChildProcess([&] { become("after exit handlers", folder); }));
}

TEST_CASE("fields that are added when the files were removed at exit are no reason to complain") {
  const TemporaryFolder folder;
  check_ends_well(ChildProcess([&] { become("fields after exit handlers", folder); }));
}

namespace {

constexpr std::size_t kMostModels = 32;

// What a process that may be killed at any instant has done for sure.
struct Acknowledged {
  std::array<std::atomic<std::uint64_t>, kMostModels> counts;   // of each Model
  std::array<std::atomic<std::uint64_t>, kMostModels> fields;   // added to each Model
  std::array<std::atomic<std::uint64_t>, kMostModels> threads;  // each of which counts ten times
  std::atomic<int> steps;                                       // all of this
};

// Makes Models, adds fields, and counts, for ever.
void work_until_killed(const TemporaryFolder& folder, Acknowledged& done) {
  std::vector<std::unique_ptr<Model>> models;
  for (std::size_t m = 0; m < kMostModels; ++m) {
    auto options = in_folder(folder, "m" + std::to_string(m));
    options.file_name = "{PID}-{TID}-" + std::to_string(m) + ".mmstats";
    options.remove_at_exit = false;
    models.push_back(std::make_unique<Model>(options));
    Counter count(*models.back(), "count");
    Counter in_threads(*models.back(), "in_threads");
    ++done.steps;
    for (std::uint64_t round = 0; round < 10; ++round) {
      for (int i = 0; i < 10; ++i) {
        count.incr();
        done.counts[m].store(done.counts[m] + 1, std::memory_order_relaxed);
        ++done.steps;
      }
      Counter field(*models.back(), "f" + std::to_string(round) + std::string(150, 'x'),
                    {.help = "A field that makes the file grow"});
      done.fields[m].store(round + 1, std::memory_order_relaxed);
      field.incr();
      std::thread([&] { in_threads.incr(10); }).join();
      ++done.threads[m];
      ++done.steps;
    }
  }
  for (;;) ::pause();
}

}  // namespace

TEST_CASE(
    "a process that is killed at any instant leaves whole files and at most its last increment unsaid") {
  std::mt19937 dice(20'240'229);
  std::uint64_t files_seen = 0;
  std::uint64_t fields_seen = 0;
  std::uint64_t behind = 0;
  for (int n = 0; n < kKills; ++n) {
    const TemporaryFolder folder;
    const SharedMemory<Acknowledged> done;
    ChildProcess child([&] { work_until_killed(folder, *done); });
    // Some are killed while they make their first file, some amid the first Model, some amid many.
    constexpr std::array<unsigned, 3> kSteps{1, 100, 500};
    wait_for(done->steps, static_cast<int>(dice() % kSteps[static_cast<std::size_t>(n) % kSteps.size()]));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(dice() % 500);
    while (std::chrono::steady_clock::now() < deadline) ::sched_yield();
    CHECK(child.kill() == 128 + SIGKILL);

    const auto files = content_of(folder.path());
    for (const auto& file : files) {
      CAPTURE(file.name);
      CHECK(file.wrong == "");
      std::set<std::string> system;
      for (const auto& [label, value] : file.numbers) {
        if (label.find(".sys.") != std::string::npos) system.insert(label.substr(label.find('.') + 1));
      }
      CHECK(system == std::set<std::string>{"sys.created", "sys.gid", "sys.pid", "sys.tid", "sys.uid"});
      CHECK(std::any_of(file.texts.begin(), file.texts.end(),
                        [](const auto& text) { return text.first.ends_with(".sys.metadata"); }));
    }
    files_seen += files.size();
    for (std::size_t m = 0; m < kMostModels; ++m) {
      CAPTURE(m);
      const auto prefix = "m" + std::to_string(m) + '.';
      const auto counts = static_cast<double>(done->counts[m]);
      const double published = sum_of(files, prefix + "count");
      CHECK(published >= counts);
      CHECK(published <= counts + 1);
      behind += published != counts ? 1 : 0;
      const auto threads = static_cast<double>(done->threads[m]);
      const double in_threads = sum_of(files, prefix + "in_threads");
      CHECK((in_threads == 10 * threads || in_threads == 10 * threads + 10));
      for (std::uint64_t f = 0; f < done->fields[m]; ++f) {
        const auto label = prefix + "f" + std::to_string(f) + std::string(150, 'x');
        const double field = sum_of(files, label);
        CHECK((field == 1 || (f + 1 == done->fields[m] && field == 0)));
        ++fields_seen;
      }
    }
  }
  MESSAGE(kKills << " kills, " << files_seen << " files, " << fields_seen << " added fields, " << behind
                 << " times between the increment and its acknowledgement");
  CHECK(files_seen > static_cast<std::uint64_t>(kKills));
}

namespace {

Counter* first_written = nullptr;
std::atomic<int> first_writes{0};

// Whether a thread of this process waits in the kernel.
bool is_asleep(pid_t tid) {
  std::ifstream stat("/proc/self/task/" + std::to_string(tid) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(stat), {}};
  const auto name_end = text.rfind(')');
  return name_end != std::string::npos && text.compare(name_end, 3, ") S") == 0;
}

}  // namespace

TEST_CASE(
    "while a file is made, another thread's first write waits for it, and a signal's handler does not") {
  const TemporaryFolder folder;
  ChildProcess child([&] {
    end_if_it_hangs();
    Model model(in_folder(folder, "model"));
    Counter count(model, "count");
    first_written = &count;
    struct sigaction action{};
    action.sa_handler = [](int) {
      first_written->incr();
      ++first_writes;
    };
    // Without SA_RESTART, so that the interrupted call has to be tried again.
    must(::sigaction(SIGUSR1, &action, nullptr) == 0);
    std::atomic<pid_t> making{0};
    std::atomic<pid_t> waiting{0};
    std::atomic<bool> wrote{false};
    std::thread waits;
    if (!held::while_held(
            SYS_fallocate, 1,
            [&] {
              making = ::gettid();
              Model passing(in_folder(folder, "passing"));
              Counter other(passing, "count");
              other.incr(3);
              must(other.value() == 3);
              must(first_writes == 1);
              // The handler's is lost, as there was no way to a file.
              count.incr();
            },
            [&] {
              waits = std::thread([&] {
                waiting = ::gettid();
                count.incr(5);
                wrote = true;
              });
              const auto deadline = std::chrono::steady_clock::now() + kPatience;
              while ((waiting == 0 || !is_asleep(waiting)) && !wrote &&
                     std::chrono::steady_clock::now() < deadline) {
                ::sched_yield();
              }
              must(!wrote);
              must(::syscall(SYS_tgkill, ::getpid(), making.load(), SIGUSR1) == 0);
            }))
      ::_exit(ChildProcess::kSkipped);
    waits.join();
    must(sum_of(content_of(folder.path()), "model.count") == 6);
  });
  const int status = child.wait();
  if (status == ChildProcess::kSkipped) {
    MESSAGE("skipped: no system call can be held here");
    return;
  }
  CHECK(status == 0);
}

#if (defined(__x86_64__) || defined(__aarch64__)) && !defined(__SANITIZE_THREAD__)
// Elsewhere a handler may come amid an increment.
namespace {

Counter* interrupted = nullptr;
mmstats_counter* interrupted_c = nullptr;
volatile std::sig_atomic_t handled = 0;

}  // namespace

TEST_CASE("a signal's handler and what it interrupts count together") {
  const TemporaryFolder folder;
  Model model(in_folder(folder));
  Counter count(model, "count");
  interrupted = &count;
  mmstats_model* const c_model = mmstats_model_new(nullptr);
  REQUIRE(mmstats_model_set_path(c_model, folder.path().c_str()) == 0);
  interrupted_c = mmstats_counter_new(c_model, "count", nullptr, nullptr);
  REQUIRE(model.open().has_value());
  REQUIRE(mmstats_model_open(c_model, nullptr, 0) == 0);

  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = [](int) {
    interrupted->incr();
    mmstats_counter_incr(interrupted_c, 1);
    handled = handled + 1;
  };
  action.sa_flags = SA_RESTART;
  REQUIRE(::sigaction(SIGALRM, &action, &before) == 0);
  constexpr suseconds_t kMicroseconds = 100;
  const itimerval every{{0, kMicroseconds}, {0, kMicroseconds}};
  REQUIRE(::setitimer(ITIMER_REAL, &every, nullptr) == 0);
  std::uint64_t mine = 0;
  constexpr int kSignals = 10'000 / kSlowness;
  while (handled < kSignals) {
    for (int i = 0; i < 1000; ++i, ++mine) {
      count.incr();
      mmstats_counter_incr(interrupted_c, 1);
    }
  }
  const itimerval never{};
  REQUIRE(::setitimer(ITIMER_REAL, &never, nullptr) == 0);
  ::sigaction(SIGALRM, &before, nullptr);
  const auto all = mine + static_cast<std::uint64_t>(handled);
  CHECK(count.value() == all);
  CHECK(mmstats_counter_value(interrupted_c) == all);
  CHECK(sum_of(content_of(folder.path()), "count") == 2.0 * static_cast<double>(all));
  MESSAGE(mine << " increments interrupted " << handled << " times");
  mmstats_model_free(c_model);
}
#endif

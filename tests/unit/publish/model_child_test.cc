// What a forked child has from its parent, and what it must not have: threads, values, files, and what was
// told already.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "child_process.h"
#include "folder_content.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "patience.h"
#include "temporary_folder.h"

using namespace mmstats;

namespace {

// All that is kept for a thread.
struct Worker : Model {
  explicit Worker(ModelOptions options) : Model(std::move(options)) {}
  Counter count{*this, "count"};
  SharedCounter shared{*this, "shared"};
  DoubleField level{*this, "level", {}, 0.5};
  StringField state{*this, "state", {}, 20, "idle"};
  Average mean{*this, "mean"};
  MovingAverage moving{*this, "moving"};
  WindowAverage window{*this, "window"};
  Histogram sizes{*this, "sizes"};

  void write(double value) {
    count.incr();
    shared.incr();
    level = value;
    state = std::to_string(value);
    mean.add(value);
    moving.add(value);
    window.add(value);
    sizes.add(value);
  }
  // Whether this thread's values are those of one that wrote `value` alone, as often as this.
  [[nodiscard]] bool wrote_alone(double value, std::uint64_t times) const {
    return count.value() == times && level.value() == value && state.value() == std::to_string(value) &&
           mean.value() == value && moving.value() == value && window.value() == value &&
           sizes.count() == times && sizes.min() == value && sizes.max() == value;
  }
  [[nodiscard]] bool wrote_nothing() const {
    return count.value() == 0 && level.value() == 0.5 && state.value() == "idle" && mean.value() == 0 &&
           moving.last() == 0 && window.value() == 0 && sizes.count() == 0;
  }
};

ModelOptions options_in(const TemporaryFolder& folder) {
  return {.path = folder.path(), .file_name = "{PID}-{TID}.mmstats", .on_error = [](const Error&) {
            must(false);
          }};
}

std::string file_of(pid_t pid, pid_t tid) {
  return std::to_string(pid) + '-' + std::to_string(tid) + ".mmstats";
}

void wait_until(const std::function<bool()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!holds() && std::chrono::steady_clock::now() < deadline) ::sched_yield();
  must(holds());
}

// What `act` has written to standard error.
std::string errors_of(const TemporaryFolder& folder, const std::function<void()>& act) {
  const auto path = folder / "errors";
  const int kept = ::dup(STDERR_FILENO);
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  REQUIRE(file >= 0);
  ::dup2(file, STDERR_FILENO);
  act();
  ::dup2(kept, STDERR_FILENO);
  ::close(kept);
  ::close(file);
  std::ifstream in(path);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  ::unlink(path.c_str());
  return text;
}

}  // namespace

TEST_CASE("the child of a thread that forks has a file and values of its own, and none of the thread's") {
  const TemporaryFolder folder;
  Worker worker(options_in(folder));
  worker.write(1);
  std::thread([&] {
    for (int i = 0; i < 3; ++i) worker.write(2);
    const auto thread = file_of(::getpid(), ::gettid());
    ChildProcess child([&] {
      must(::gettid() == ::getpid());
      must(worker.wrote_nothing());
      must(worker.shared.value() == 0);
      for (int i = 0; i < 2; ++i) worker.write(5);
      must(worker.wrote_alone(5, 2));
      must(worker.shared.value() == 2);
      const auto mine = file_of(::getpid(), ::getpid());
      must(worker.paths() ==
           std::vector{folder / mine, folder / (std::to_string(::getpid()) + "-shared.mmstats")});
      const FileContent content(folder / mine);
      must(content.wrong.empty());
      must(content.numbers.at("count") == 2);
      must(content.numbers.at("mean") == 5);
      must(content.numbers.at("sizes.count") == 2);
      must(content.texts.at("state") == std::to_string(5.0));
      must(content.numbers.at("sys.pid") == ::getpid());
      must(content.numbers.at("sys.tid") == ::getpid());
      worker.remove();
    });
    CHECK(child.wait() == 0);
    CHECK(worker.wrote_alone(2, 3));
    worker.write(2);
    CHECK(worker.wrote_alone(2, 4));
    CHECK(FileContent(folder / thread).numbers.at("count") == 4);
  }).join();
  CHECK(worker.wrote_alone(1, 1));
  CHECK(worker.shared.value() == 5);
}

#if !defined(__SANITIZE_THREAD__)  // It ends a child of several threads that starts one.
TEST_CASE("threads that a child starts are new ones, wherever the parent's had their stacks") {
  const TemporaryFolder folder;
  Worker worker(options_in(folder));
  worker.write(1);
  // They live on in the parent; in the child the C library gives their stacks to others.
  constexpr int kThreads = 4;
  std::atomic<int> ready{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      worker.write(2);
      ++ready;
      while (!stop) ::sched_yield();
    });
  }
  wait_until([&] { return ready == kThreads; });
  // And one that has ended.
  std::thread([&] { worker.write(3); }).join();

  ChildProcess child([&] {
    must(worker.wrote_nothing());
    worker.write(5);
    // One after the other, each goes on with the file that the one before it left.
    for (std::uint64_t i = 1; i <= 10; ++i) {
      std::thread([&] {
        worker.write(5);
        must(worker.wrote_alone(5, i));
      }).join();
      must(worker.paths().size() == 3);
    }
    // A Model that ends concerns no thread of the parent.
    {
      Worker passing({.path = folder.path(), .file_name = "passing-{TID}.mmstats"});
      passing.write(7);
      must(passing.wrote_alone(7, 1));
    }
    must(worker.wrote_alone(5, 1));
    must(worker.paths().size() == 3);
    worker.remove();
  });
  CHECK(child.wait() == 0);
  stop = true;
  for (auto& thread : threads) thread.join();
  CHECK(names_in(folder.path()).size() == kThreads + 3);
  CHECK(sum_of(content_of(folder.path()), "count") == kThreads + 2);
}
#endif

TEST_CASE("a child says itself why it has no file, once, whatever its parent said or was told") {
  const TemporaryFolder folder;
  const auto missing = folder / "missing";
  const auto line = [&](pid_t pid) {
    return "mmstats: " + missing + '/' + file_of(pid, pid) + ": cannot be made: No such file or directory\n";
  };
  for (const bool opened : {false, true}) {
    CAPTURE(opened);
    pid_t child_pid = 0;
    const auto text = errors_of(folder, [&] {
      Model model({.path = missing, .file_name = "{PID}-{TID}.mmstats"});
      Counter count(model, "count");
      SharedCounter shared(model, "shared");
      if (opened) {
        CHECK_FALSE(model.open());
      } else {
        count.incr();
      }
      ChildProcess child([&] {
        count.incr(2);
        shared.incr(3);
        std::thread([&] { count.incr(); }).join();
        must(count.value() == 2);
        must(shared.value() == 3);
        const auto why = model.open();
        must(!why && why.error().path.starts_with(missing + '/' + std::to_string(::getpid()) + '-'));
      });
      child_pid = child.pid();
      CHECK(child.wait() == 0);
      count.incr();
    });
    CHECK(text == (opened ? "" : line(::getpid())) + line(child_pid));
  }
}

TEST_CASE("what a child gives as its reason is not what its parent lacked") {
  const TemporaryFolder folder;
  const auto later = folder / "later";
  int told = 0;
  Model model({.path = later, .on_error = [&](const Error&) { ++told; }});
  Counter count(model, "count");
  count.incr();
  CHECK(told == 1);
  boost::filesystem::create_directory(later);
  ChildProcess child([&] {
    told = 0;
    must(model.open().has_value());
    must(model.paths().size() == 1);
    model.remove();
    const auto opened = model.open();
    must(!opened && opened.error().kind != ErrorKind::kNotFound);
    must(told == 0);
  });
  CHECK(child.wait() == 0);
}

TEST_CASE("at exit files go, unless they are to stay") {
  const TemporaryFolder folder;
  for (const bool goes : {true, false}) {
    CAPTURE(goes);
    ChildProcess child([&] {
      auto options = options_in(folder);
      options.remove_at_exit = goes;
      auto* const worker = new Worker(options);
      worker->write(1);
      must(names_in(folder.path()).size() == 2);
      std::exit(0);
    });
    CHECK(child.wait() == 0);
    CHECK(names_in(folder.path()).size() == (goes ? 0 : 2));
  }
  CHECK(sum_of(content_of(folder.path()), "count") == 1);
}

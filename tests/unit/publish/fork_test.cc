// A fork amid what the library does, and amid what other libraries do about it.
#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "child_process.h"
#include "folder_content.h"
#include "mmstats/fields.h"
#include "mmstats/mmstats.h"
#include "patience.h"
#include "temporary_folder.h"

using namespace mmstats;

namespace {

// Another library's handlers, which were there before ours: prepare comes after ours, the others before.
std::function<void()> other_prepare;
std::function<void()> other_parent;
std::function<void()> other_child;

const int kOtherLibrary = ::pthread_atfork(
    [] {
      if (other_prepare) other_prepare();
    },
    [] {
      if (other_parent) other_parent();
    },
    [] {
      if (other_child) other_child();
    });

ModelOptions forked_options(const TemporaryFolder& folder) {
  return {.path = folder.path(), .file_name = "{PID}-{TID}.mmstats"};
}

std::size_t maps_of(const std::string& folder) {
  std::ifstream maps("/proc/self/maps");
  std::size_t found = 0;
  for (std::string line; std::getline(maps, line);) found += line.find(folder) != std::string::npos ? 1 : 0;
  return found;
}

// How many system calls a child makes from the first handler on, until it ends with its first write; with so
// many threads in its parent. -1: nobody may look.
int calls_in_child(int threads) {
  const TemporaryFolder folder;
  Model model(forked_options(folder));
  Counter count(model, "count");
  std::atomic<int> ready{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> writers;
  for (int i = 0; i < threads; ++i) {
    writers.emplace_back([&] {
      ++count;
      ++ready;
      ready.notify_all();
      done.wait(false);
    });
  }
  for (int now = ready; now < threads; now = ready) ready.wait(now);
  ++count;
  other_child = [] {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(ChildProcess::kSkipped);
    ::raise(SIGSTOP);
  };
  const pid_t child = ::fork();
  if (child == 0) {
    ++count;
    ::_exit(0);
  }
  other_child = nullptr;
  ChildProcess looks([&] {
    must(maps_of(folder.path()) == 0);
    ++count;
    must(maps_of(folder.path()) == 1);
  });
  const int looked = looks.wait();
  int stops = 0;
  int status = 0;
  while (::waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    ++stops;
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
  }
  done = true;
  done.notify_all();
  for (auto& thread : writers) thread.join();
  if (WIFEXITED(status) && WEXITSTATUS(status) == ChildProcess::kSkipped) return -1;
  CHECK(looked == 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(sum_of(content_of(folder.path()), "count") == threads + 3);
  return stops;
}

}  // namespace

TEST_CASE("a child has nothing of other threads' files, and their number costs it no system call") {
  REQUIRE(kOtherLibrary == 0);
  const int few = calls_in_child(2);
  if (few < 0) {
    MESSAGE("skipped: the system allows no ptrace");
    return;
  }
  CHECK(few > 0);
  CHECK(calls_in_child(150) < few + 150 / 4);
}

TEST_CASE("a child of a thread that forks while others make handles makes its own") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    end_if_it_hangs();
    mmstats_model* const model = mmstats_model_new("c");
    must(mmstats_model_set_path(model, folder.path().c_str()) == 0);
    std::atomic<bool> done{false};
    std::vector<std::thread> makers;
    for (int i = 0; i < 3; ++i) {
      makers.emplace_back([&, i] {
        for (int n = 0; !done; ++n) {
          const auto label = std::to_string(i) + '.' + std::to_string(n % 1000);
          mmstats_counter_incr(mmstats_counter_new(model, label.c_str(), nullptr, nullptr), 1);
        }
      });
    }
    for (int n = 0; n < 100; ++n) {
      ChildProcess child([&] {
        end_if_it_hangs();
        auto* const counter = mmstats_counter_new(model, "in a child", nullptr, nullptr);
        must(counter != nullptr);
        mmstats_counter_incr(counter, 1);
        must(mmstats_counter_value(counter) == 1);
        mmstats_model_remove(model);
      });
      must(child.wait() == 0);
    }
    done = true;
    for (auto& maker : makers) maker.join();
    mmstats_model_free(model);
  });
  CHECK(program.wait() == 0);
}

TEST_CASE("a fork whose handlers wait for threads that write and end does not hang") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    end_if_it_hangs();
    int told = 0;
    auto options = forked_options(folder);
    options.on_error = [&](const Error&) { ++told; };
    Model model(options);
    Counter count(model, "count");
    UInt64Field gauge(model, "gauge");
    ++count;
    std::atomic<bool> stop{false};
    std::atomic<bool> has_written{false};
    std::thread pool([&] {
      ++count;
      gauge = 5;
      has_written = true;
      has_written.notify_all();
      stop.wait(false);
    });
    has_written.wait(false);
    other_prepare = [&] {
      // One that has a file ends, and one comes that has none.
      stop = true;
      stop.notify_all();
      pool.join();
      std::thread([&] {
        count.incr(10);
        static_cast<void>(Counter(model, "made amid a fork"));
        static_cast<void>(model.open());
      }).join();
    };
    ChildProcess child([&] {
      end_if_it_hangs();
      ++count;
      must(count.total() == 1);
      std::thread([&] { ++count; }).join();
      must(count.total() == 2);
      model.remove();
    });
    other_prepare = nullptr;
    must(child.wait() == 0);
    // What could not wait was told, and all else goes on.
    must(told == 2);
    must(count.total() == 2);
    must(gauge.total() == 0);
    std::thread([&] {
      must(count.value() == 1);
      must(gauge.value() == 0);
      ++count;
    }).join();
    must(count.total() == 3);
    must(sum_of(content_of(folder.path()), "count") == 3);
    model.remove();
  });
  CHECK(program.wait() == 0);
}

TEST_CASE("a thread that forks may do anything in handlers of others, before ours and after") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    end_if_it_hangs();
    Model model(forked_options(folder));
    Counter count(model, "count");
    SharedCounter all(model, "all");
    Model unused(forked_options(folder));
    Counter first(unused, "first");
    const auto act = [&](const char* label) {
      ++count;
      ++all;
      Counter(model, label).incr();
      must(Counter(model, label).total() == 1);
      must(model.open().has_value());
      Model passing(forked_options(folder));
      Counter(passing, "passing").incr();
      ++first;
    };
    other_prepare = [&] { act("prepare"); };
    other_parent = [&] { act("parent"); };
    other_child = [&] { act("child"); };
    ChildProcess child([&] {
      end_if_it_hangs();
      other_prepare = other_parent = other_child = nullptr;
      // Its own file was made in the handler, as soon as the library was called.
      must(Counter(model, "child").total() == 1);
      ++count;
      must(sum_of({FileContent(folder /
                               (std::to_string(::getpid()) + '-' + std::to_string(::gettid()) + ".mmstats"))},
                  "count") == 1);
      model.remove();
      unused.remove();
    });
    other_prepare = other_parent = other_child = nullptr;
    must(child.wait() == 0);
    must(Counter(model, "prepare").total() == 1);
    must(Counter(model, "parent").total() == 1);
    ++count;
    // The child wrote once into its parent's file, before the library could know that it was one.
    must(count.total() >= 3);
  });
  CHECK(program.wait() == 0);
}

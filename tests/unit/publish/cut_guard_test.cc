// Files that somebody cuts while a program writes them.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction, siginfo_t
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "child_process.h"
#include "folder_content.h"
#include "format/dimensions.h"
#include "format/metadata_index.h"
#include "held_calls.h"
#include "mmstats/family.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "mmstats/model.h"
#include "mmstats/settle.h"
#include "own_memory.h"
#include "temporary_folder.h"

using namespace mmstats;

namespace {

ModelOptions cut_options(const TemporaryFolder& folder, int& told) {
  return {.path = folder.path(), .file_name = "{PID}-{TID}.mmstats", .on_error = [&told](const Error& error) {
            told += error.message.find("was cut") != std::string::npos ? 1 : 1000;
          }};
}

// A page that is mapped and missing; at `place` unless that is null, where nothing is.
volatile char* missing_page(const TemporaryFolder& folder, void* place = nullptr) {
  const int fd = ::open((folder / "foreign").c_str(), O_RDWR | O_CREAT, 0600);
  const int where = place == nullptr ? 0 : MAP_FIXED_NOREPLACE;
  void* const page = ::mmap(place, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | where, fd, 0);
  must(page != MAP_FAILED && (place == nullptr || page == place));
  ::close(fd);
  return static_cast<volatile char*>(page);
}

// Where the file is mapped.
void* place_of_file(const std::string& path) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.ends_with(path)) return reinterpret_cast<void*>(std::stoul(line, nullptr, 16));
  }
  must(false);
  return nullptr;
}

// Tells this thread that the page at `address` is missing, as the system does.
void tell_of_fault(void* address) {
  siginfo_t info{};
  info.si_signo = SIGBUS;
  info.si_code = BUS_ADRERR;
  info.si_addr = address;
  must(::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), ::gettid(), SIGBUS, &info) == 0);
}

}  // namespace

TEST_CASE("without the guard a write to a file that was cut ends the program, as any mapped file does") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    ::signal(SIGBUS, SIG_DFL);  // sanitizers have one
    int told = 0;
    Model model(cut_options(folder, told));
    Counter count(model, "count");
    ++count;
    must(::truncate(model.paths()[0].c_str(), 0) == 0);
    ++count;
  });
  CHECK(program.wait() == 128 + SIGBUS);
}

TEST_CASE("with the guard it goes on in memory, and open, flush or reopen makes the file again") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    must(survive_cut_files().has_value());
    must(survive_cut_files().has_value());
    int told = 0;
    Model model(cut_options(folder, told));
    Counter count(model, "count");
    StringField text(model, "text");
    const std::string long_label(20'000, 'l');
    Counter far(model, long_label);
    count.incr(3);
    far.incr(30);
    text = "before";
    for (int way = 0; way < 3; ++way) {
      const auto path = model.paths()[0];
      must(::truncate(path.c_str(), 0) == 0);
      count.incr(4);
      far.incr(40);
      text = "after";
      must(count.value() == 4 && far.value() == 40);
      must(told == way);
      must(way == 0   ? model.open().has_value()
           : way == 1 ? model.flush().has_value()
                      : model.reopen().has_value());
      must(told == way + 1);
      must(model.paths() == std::vector<std::string>{path});
      count.incr();
      const FileContent content(path);
      must(content.wrong.empty());
      must(content.numbers.at("count") == 5 && content.numbers.at(long_label) == 40);
      must(content.texts.at("text") == "after");
      must(content.numbers.at("sys.pid") == ::getpid());
    }
    // What is there of a file that was only shortened stays.
    const auto path = model.paths()[0];
    must(::truncate(path.c_str(), 8192) == 0);
    far.incr(50);
    const std::uint64_t kept = can_read_own_memory() ? 5 : 0;
    must(far.value() == 50 && count.value() == kept);
    must(model.open().has_value() && told == 4);
    Counter later(model, "later");
    later.incr(6);
    const FileContent content(path);
    must(content.wrong.empty());
    must(content.numbers.at("count") == kept && content.numbers.at(long_label) == 50);
    must(content.numbers.at("later") == 6);
    // A field that is added does not bring zeros back as if they were the file.
    must(::truncate(path.c_str(), 0) == 0);
    Counter large(model, std::string(60'000, 'l'));
    must(model.open().has_value());
    must(FileContent(path).wrong.empty());
    model.remove();
    must(names_in(folder.path()).empty());
  });
  CHECK(program.wait() == 0);
}

TEST_CASE("a file that was cut is seen before it is touched, without the guard, too") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    int told = 0;
    Model model(cut_options(folder, told));
    Counter count(model, "count");
    count.incr(3);
    const auto path = model.paths()[0];
    must(::truncate(path.c_str(), 0) == 0);
    must(model.reopen().has_value() && told == 1);
    count.incr(2);
    must(sum_of(content_of(folder.path()), "count") == 2);
  });
  CHECK(program.wait() == 0);
}

TEST_CASE("without the guard, too, a Model whose file was cut can take it away, and end") {
  for (const std::string way : {"removed", "ended", "left to the end of the process"}) {
    CAPTURE(way);
    const TemporaryFolder folder;
    ChildProcess program([&] {
      ::signal(SIGBUS, SIG_DFL);  // sanitizers have one
      int told = 0;
      auto* const model = new Model(cut_options(folder, told));
      Counter count(*model, "count");
      ++count;
      must(::truncate(model->paths()[0].c_str(), 0) == 0);
      if (way == "removed") {
        model->remove();
        ++count;
        must(count.value() == 1);
      } else if (way == "ended") {
        delete model;
      } else {
        std::exit(0);
      }
      must(names_in(folder.path()).empty());
    });
    CHECK(program.wait() == 0);
    CHECK(names_in(folder.path()).empty());
  }
}

TEST_CASE("a cut is told once, also where the file cannot be made again yet") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    int told = 0;
    Model model(cut_options(folder, told));
    Counter count(model, "count");
    count.incr(3);
    must(::truncate(model.paths()[0].c_str(), 0) == 0);
    for (int i = 0; i < 3; ++i) {
      rlimit before{};
      must(::getrlimit(RLIMIT_NOFILE, &before) == 0);
      const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
      must(::setrlimit(RLIMIT_NOFILE, &none) == 0);
      must(!model.reopen());
      must(::setrlimit(RLIMIT_NOFILE, &before) == 0);
      must(told == 1);
    }
    count.incr(4);
    must(model.reopen().has_value() && told == 1);
    must(sum_of(content_of(folder.path()), "count") == 4);
  });
  CHECK(program.wait() == 0);
}

TEST_CASE("threads that write files which are cut go on, shared fields among them") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    must(survive_cut_files().has_value());
    std::atomic<int> told = 0;
    Model model({.path = folder.path(), .on_error = [&](const Error&) { ++told; }});
    Counter count(model, "count");
    SharedCounter shared(model, "shared");
    std::atomic<bool> done = false;
    std::atomic<int> running = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (bool is_first = true; !done; is_first = false) {
          ++count;
          ++shared;
          if (is_first) ++running;
        }
      });
    }
    while (running < 4) std::this_thread::yield();
    for (int round = 0; round < 200; ++round) {
      for (const auto& name : names_in(folder.path())) {
        must(::truncate((folder / name).c_str(), 0) == 0 || errno == ENOENT);
      }
      static_cast<void>(model.reopen());
    }
    done = true;
    for (auto& thread : threads) thread.join();
    ++count;
    must(model.open().has_value() || told > 0);
  });
  CHECK(program.wait() == 0);
}

TEST_CASE("a fault that is told of late, when the next Model's file is in that place, is none of that") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    must(survive_cut_files().has_value());
    int told = 0;
    void* place = nullptr;
    {
      Model model(cut_options(folder, told));
      ++Counter(model, "count");
      place = place_of_file(model.paths()[0]);
    }
    Model model(cut_options(folder, told));
    Counter count(model, "count");
    ++count;
    const auto path = model.paths()[0];
    must(place_of_file(path) == place);
    tell_of_fault(place);
    count.incr(2);
    must(model.paths() == std::vector<std::string>{path});
    must(FileContent(path).numbers.at("count") == 3);
    must(told == 0);
  });
  CHECK(program.wait() == 0);
}

#if !defined(__SANITIZE_THREAD__)  // It calls such handlers later, with all signals blocked.
TEST_CASE("a handler of another signal that comes at the same moment as the fault writes that file, too") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    static Counter* counted = nullptr;
    must(survive_cut_files().has_value());
    must(::signal(SIGUSR1, [](int) { ++*counted; }) != SIG_ERR);
    int told = 0;
    Model model(cut_options(folder, told));
    Counter count(model, "count");
    ++count;
    counted = &count;
    const auto path = model.paths()[0];
    void* const place = place_of_file(path);
    sigset_t both;
    ::sigemptyset(&both);
    ::sigaddset(&both, SIGBUS);
    ::sigaddset(&both, SIGUSR1);
    must(::pthread_sigmask(SIG_BLOCK, &both, nullptr) == 0);
    must(::truncate(path.c_str(), 0) == 0);
    tell_of_fault(place);
    must(::raise(SIGUSR1) == 0);
    must(::pthread_sigmask(SIG_UNBLOCK, &both, nullptr) == 0);
    must(count.value() == 1);
  });
  CHECK(program.wait() == 0);
}
#endif

#if !defined(__SANITIZE_THREAD__)
TEST_CASE("a SIGBUS that somebody sends while a thread leaves its file is handled when it has") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    // Who waits for ever takes no signal meanwhile.
    const rlimit seconds{.rlim_cur = 60, .rlim_max = 60};
    must(::setrlimit(RLIMIT_CPU, &seconds) == 0);
    static Counter* counted = nullptr;
    must(::signal(SIGBUS, [](int) { ++*counted; }) != SIG_ERR);
    must(survive_cut_files().has_value());
    int told = 0;
    std::atomic<pid_t> thread{0};
    const auto write = [&] {
      thread = ::gettid();
      Model model(cut_options(folder, told));
      Counter count(model, "count");
      ++count;
      counted = &count;
      must(::truncate(model.paths()[0].c_str(), 0) == 0);
      ++count;
      must(count.value() == 2);
    };
    if (!held::while_held(SYS_process_vm_readv, 1, write,
                          [&] { must(::syscall(SYS_tgkill, ::getpid(), thread.load(), SIGBUS) == 0); }))
      ::_exit(ChildProcess::kSkipped);
  });
  const int status = program.wait();
  if (status == ChildProcess::kSkipped)
    MESSAGE("skipped: no system call can be held here");
  else
    CHECK(status == 0);
}
#endif

TEST_CASE("a histogram's buckets that come while another thread leaves the file hide no field") {
  for (const bool known_before : {false, true}) {
    CAPTURE(known_before);
    const TemporaryFolder folder;
    ChildProcess program([&] {
      must(survive_cut_files().has_value());
      int told = 0;
      Model model(cut_options(folder, told));
      const Family<Counter> family(model, "family", {"key"});
      const Counter first = family.with("value");
      first.incr(3);
      // These are behind what a file begins with.
      Histogram histogram(model, "h");
      Counter behind(model, "behind");
      const std::string long_label(40'000, 'l');
      Counter far(model, long_label);
      behind.incr(4);
      far.incr(5);
      if (known_before) histogram.add(1);
      const std::string path = model.paths()[0];
      const auto size = std::filesystem::file_size(path);
      // The last page is missing: nothing of the histogram is.
      std::filesystem::resize_file(path, size - 4096);
      const auto leave = [&] { Counter later(model, std::string(9000, 'm')); };
      if (!held::while_held(SYS_mremap, 1, leave, [&] { histogram.add(2); })) ::_exit(ChildProcess::kSkipped);
      histogram.add(4);
      must(model.open().has_value());
      histogram.add(8);
      const FileContent content(path);
      must(content.wrong.empty());
      must(content.numbers.contains("behind"));
      must(content.numbers.contains(long_label));
    });
    const int status = program.wait();
    if (status == ChildProcess::kSkipped)
      MESSAGE("skipped: no system call can be held here");
    else
      CHECK(status == 0);
  }
}

TEST_CASE("a child's own file where its parent's thread had one is none of the library's") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    ::signal(SIGBUS, SIG_DFL);
    must(survive_cut_files().has_value());
    int told = 0;
    Model model(cut_options(folder, told));
    Counter count(model, "count");
    std::atomic<bool> written{false};
    std::atomic<bool> done{false};
    std::string path;
    std::thread other([&] {
      ++count;
      path = model.path();
      written = true;
      while (!done) std::this_thread::yield();
    });
    while (!written) std::this_thread::yield();
    void* const place = place_of_file(path);
    ChildProcess child([&] { *missing_page(folder, place) = 1; });
    must(child.wait() == 128 + SIGBUS);
    done = true;
    other.join();
  });
  CHECK(program.wait() == 0);
}

TEST_CASE("what other threads say in a file while its thread leaves it, as it is cut, is said") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    must(survive_cut_files().has_value());
    int told = 0;
    Model model(cut_options(folder, told));
    const Family<Counter> family(model, "family", {"key"});
    const Counter first = family.with("value");
    const std::string long_label(20'000, 'l');
    std::atomic<bool> waits{false};
    std::atomic<bool> done{false};
    std::string path;
    const auto write = [&] {
      first.incr(3);  // the file begins with all that is said of fields
      Counter far(model, long_label);
      path = model.path();
      must(::truncate(path.c_str(), 8192) == 0);
      far.incr(4);
      while (!done) std::this_thread::yield();
      must(model.open().has_value());
    };
    std::thread other;
    if (!held::while_held(SYS_mremap, 1, write, [&] {
          other = std::thread([&] {
            const bool allowed = held::while_held(
                SYS_sched_yield, held::kAtEach,
                [&] {
                  family.remove("value");
                  Counter later(model, "later", {.unit = "unit", .help = "help"});
                },
                [&] { waits = true; });
            must(allowed);
            done = true;
          });
          while (!waits && !done) std::this_thread::yield();
        }))
      ::_exit(ChildProcess::kSkipped);
    other.join();
    must(told == 1);
    const auto reading = read_settled(path);
    must(reading.has_value() && !reading->content.damage);
    bool removed = false;
    bool described = false;
    for (const auto& field : reading->content.fields) {
      removed |= field.label == "family.value" && is_removed(field);
      described |= is_metadata_text(field) &&
                   metadata_text(field).find("later\tcounter\tunit\thelp\n") != std::string_view::npos;
    }
    must(removed);
    must(described);
  });
  const int status = program.wait();
  if (status == ChildProcess::kSkipped)
    MESSAGE("skipped: no system call can be held here");
  else
    CHECK(status == 0);
}

TEST_CASE("faults of others go where they went before") {
  const TemporaryFolder folder;
  ChildProcess dies([&] {
    ::signal(SIGBUS, SIG_DFL);
    must(survive_cut_files().has_value());
    *missing_page(folder) = 1;
  });
  CHECK(dies.wait() == 128 + SIGBUS);
  ChildProcess killed([&] {
    ::signal(SIGBUS, SIG_DFL);
    must(survive_cut_files().has_value());
    ::raise(SIGBUS);
  });
  CHECK(killed.wait() == 128 + SIGBUS);
  ChildProcess handled([&] {
    struct sigaction action{};
    action.sa_flags = SA_SIGINFO;
    ::sigaddset(&action.sa_mask, SIGHUP);
    action.sa_sigaction = [](int, siginfo_t* info, void*) {
      sigset_t blocked;
      ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
      for (const int signal : {SIGBUS, SIGHUP}) must(::sigismember(&blocked, signal) == 1);
      must(::sigismember(&blocked, SIGUSR1) == 0);
      ::_exit(info->si_code == BUS_ADRERR ? 7 : 8);
    };
    must(::sigaction(SIGBUS, &action, nullptr) == 0);
    must(survive_cut_files().has_value());
    *missing_page(folder) = 1;
  });
  CHECK(handled.wait() == 7);
}

TEST_CASE("a name in use is never opened to make it shorter") {
  const TemporaryFolder folder;
  int told = 0;
  const auto options = [&] {
    auto chosen = cut_options(folder, told);
    chosen.file_name = "same.mmstats";
    return chosen;
  };
  Model first(options());
  Counter count(first, "count");
  count.incr(3);
  const auto path = first.paths()[0];
  Model second(options());
  Counter other(second, "other");
  other.incr(4);
  CHECK(FileContent(path).numbers.at("count") == 3);
  CHECK(second.paths()[0] != path);
  CHECK(told == 0);
}

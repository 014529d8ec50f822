// A program that is hard on the library in it: it cancels threads, forks from ten of them, deletes its files,
// raises signals, loads and unloads plugins, makes and ends Models, and its children have no descriptors, no
// room in the file system or for files, and no memory. Nothing of this may end it, stop it, or lose a count
// of which nobody was told.
//   hostile_host PLUGIN [SECONDS]     default: 3, or MMSTATS_HOSTILE_SECONDS
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "forgotten_frames.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "mmstats/model.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

namespace {

using Clock = std::chrono::steady_clock;

std::string folder = "/tmp/hostile_host-XXXXXX";
std::atomic<std::uint64_t> told = 0;
std::atomic<std::uint64_t> wrong = 0;
Clock::time_point end;

bool goes_on() { return Clock::now() < end; }

// Says what is wrong; the program fails at its end.
void expect(bool holds, const char* what, long detail = 0) {
  if (holds) return;
  ++wrong;
  std::fprintf(stderr, "hostile_host: %s (%ld)\n", what, detail);
}

mmstats::ModelOptions options() {
  mmstats::ModelOptions options;
  options.label_prefix = "host";
  options.path = folder;
  // Other things that go wrong lose nothing but the files.
  options.on_error = [](const mmstats::Error& error) {
    if (error.message.find("lost") != std::string::npos) ++told;
  };
  return options;
}

struct Stats : mmstats::Model {
  Stats() : Model(options()) {}
  mmstats::Counter count{*this, "count"};
  mmstats::SharedCounter shared{*this, "shared"};
  mmstats::Counter in_handlers{*this, "in_handlers"};
  mmstats::StringField text{*this, "text"};
  mmstats::Histogram histogram{*this, "histogram"};
};

Stats* stats = nullptr;
// What must have been counted.
std::atomic<std::uint64_t> counted = 0;
std::atomic<std::uint64_t> handled = 0;

void count_once() {
  stats->count.incr();
  stats->shared.incr();
  counted.fetch_add(1, std::memory_order_relaxed);
}

void on_signal(int /*number*/) {
  stats->in_handlers.incr();
  handled.fetch_add(1, std::memory_order_relaxed);
}

void block_signal(int how) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGUSR1);
  ::pthread_sigmask(how, &set, nullptr);
}

// Threads whose cancellation is pending when they write first, or comes amid it.
void cancel_threads() {
  for (unsigned round = 0; goes_on(); ++round) {
    pthread_t thread{};
    const auto run = [](void* waits) -> void* {
      const ForgottenFrames forgotten;
      if (waits == nullptr) ::pthread_cancel(::pthread_self());
      for (;;) {
        for (int i = 0; i < 10; ++i) count_once();
        stats->histogram.add(1);
        stats->text = "cancelled";
        ::pthread_testcancel();
      }
    };
    if (::pthread_create(&thread, nullptr, run, round % 2 == 0 ? nullptr : &thread) != 0) continue;
    if (round % 2 != 0) ::pthread_cancel(thread);
    ::pthread_join(thread, nullptr);
  }
}

// Puts a file system without room where this process makes files, if it may.
void fill_folder() {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=4k,nr_inodes=10") != 0) {
    return;
  }
  const int file = ::open((folder + "/all").c_str(), O_WRONLY | O_CREAT, 0600);
  const std::array<char, 4096> page{};
  while (::write(file, page.data(), page.size()) > 0) {
  }
}

// The life of a child that has nothing: it counts all the same.
void be_child(unsigned kind) {
  ::alarm(kSanitized ? 10 : 100);
  const rlimit nothing{.rlim_cur = 0, .rlim_max = 0};
  if (kind % 4 == 1) ::close_range(3, ~0U, 0);
  if (kind % 4 == 2) ::setrlimit(RLIMIT_NOFILE, &nothing);
  if (kind % 4 == 3) ::setrlimit(RLIMIT_FSIZE, &nothing);
  if (kind % 16 == 8) fill_folder();
  if (!kSanitized && kind % 8 == 4) ::setrlimit(RLIMIT_AS, &nothing);
  if (kind % 16 == 5) {
    for (const auto& path : stats->paths()) ::unlink(path.c_str());
  }
  const auto told_before = told.load();
  for (int i = 0; i < 100; ++i) {
    stats->count.incr();
    stats->shared.incr();
  }
  const bool all = stats->count.value() == 100 && stats->shared.value() == 100;
  ::_exit(all || told > told_before ? 0 : 1);
}

void fork_children(unsigned number) {
  for (unsigned round = number; goes_on(); ++round) {
    count_once();
    const pid_t child = ::fork();
    if (child == 0) be_child(round);
    if (child < 0) continue;
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    // Sanitizers' own locks may be held in the child for ever (before GCC 14).
    if (kSanitized && WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) continue;
    expect(status == 0, "a child ended with this status", status);
  }
}

void delete_files() {
  while (goes_on()) {
    if (DIR* const entries = ::opendir(folder.c_str())) {
      while (const dirent* const entry = ::readdir(entries)) ::unlinkat(::dirfd(entries), entry->d_name, 0);
      ::closedir(entries);
    }
    std::this_thread::yield();
  }
}

void raise_signals() {
  static_cast<void>(stats->open());
  block_signal(SIG_UNBLOCK);
  while (goes_on()) {
    ::raise(SIGUSR1);
    count_once();
  }
  block_signal(SIG_BLOCK);
}

[[maybe_unused]] void load_plugins(const char* path) {
  while (goes_on()) {
    void* const plugin = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin == nullptr) {
      expect(false, ::dlerror());
      return;
    }
    const auto call = reinterpret_cast<void (*)()>(::dlsym(plugin, "plugin_call"));
    std::atomic<bool> called = false;
    std::atomic<bool> unloaded = false;
    // It ends when the plugin's code is gone.
    std::thread caller([&] {
      call();
      called = true;
      called.notify_one();
      unloaded.wait(false);
    });
    called.wait(false);
    call();
    ::dlclose(plugin);
    unloaded = true;
    unloaded.notify_one();
    caller.join();
  }
}

void make_models() {
  for (int round = 0; goes_on(); ++round) {
    mmstats::Model model(options());
    mmstats::Counter count(model, "made");
    mmstats::SharedCounter shared(model, "made_shared");
    for (int i = 0; i < 20; ++i) mmstats::Counter(model, "more" + std::to_string(i)).incr();
    count.incr(7);
    std::thread([&] {
      count.incr(5);
      shared.incr();
    }).join();
    // Ten forkers may keep it from the lock for more than a second, which is told once.
    expect((count.total() == 12 && shared.value() == 1) || told > 0, "a Model that was made counts wrong",
           round);
    if (round % 3 == 0) model.remove();
    static_cast<void>(model.flush(mmstats::Flush::kAsync));
    ::kill(::getpid(), SIGUSR1);  // wherever the threads are that take it
    // The same field in all rounds, of the Model that lives.
    mmstats::Counter(*stats, "late").incr();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || ::mkdtemp(folder.data()) == nullptr) return 2;
  const char* const asked = argc > 2 ? argv[2] : std::getenv("MMSTATS_HOSTILE_SECONDS");
  const auto seconds = std::chrono::seconds(asked == nullptr ? 3 : std::atoi(asked));
  ::setenv("MMSTATS_PATH", folder.c_str(), 1);  // for the plugin
  ::alarm(static_cast<unsigned>(seconds.count()) + 200);
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGUSR1, &action, nullptr);
  ::signal(SIGXFSZ, SIG_DFL);
  block_signal(SIG_BLOCK);

  stats = new Stats;
  end = Clock::now() + seconds;
  std::vector<std::thread> hostile;
  for (unsigned i = 0; i < 10; ++i) hostile.emplace_back(fork_children, i);
  hostile.emplace_back(cancel_threads);
  hostile.emplace_back(cancel_threads);
  hostile.emplace_back(delete_files);
  hostile.emplace_back(raise_signals);
  hostile.emplace_back(raise_signals);
#if !defined(__SANITIZE_THREAD__)  // It does not see where the dynamic linker maps a plugin.
  hostile.emplace_back(load_plugins, argv[1]);
#endif
  hostile.emplace_back(make_models);
  for (auto& thread : hostile) thread.join();

  const auto total = stats->count.total();
  const auto shared = stats->shared.value();
  const auto in_handlers = stats->in_handlers.total();
  const bool may_lose = told > 0;
  const auto agrees = [&](std::uint64_t is, std::uint64_t should) {
    return is == should || (may_lose && is < should);
  };
  expect(agrees(total, counted), "this many counts of threads are lost", static_cast<long>(counted - total));
  expect(agrees(shared, counted), "this many shared counts are lost", static_cast<long>(counted - shared));
  expect(agrees(in_handlers, handled), "this many counts of handlers are lost",
         static_cast<long>(handled - in_handlers));
  std::printf("%lu counts, %lu in handlers, %lu told\n", static_cast<unsigned long>(total),
              static_cast<unsigned long>(in_handlers), static_cast<unsigned long>(told.load()));
  delete stats;
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return wrong == 0 ? 0 : 1;
}

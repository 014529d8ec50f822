// Parts of a test that need a process of their own.
#pragma once

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <new>
#include <source_location>
#include <stdexcept>
#include <utility>

// As CHECK, for processes that the test's report does not reach, and for what must not go on: says where, and
// ends the process.
inline void must(bool holds, std::source_location where = std::source_location::current()) {
  if (holds) return;
  std::fprintf(stderr, "%s:%u: does not hold in process %d\n", where.file_name(), where.line(), ::getpid());
  ::_exit(1);
}

class ChildProcess {
 public:
  static constexpr int kSkipped = 77;  // an exit status: the system does not allow it

  // Runs `run` there. The process ends with it, as by _exit, and with this object.
  template <class Run>
  explicit ChildProcess(Run&& run) {
    std::fflush(nullptr);  // or exit() would print it there once more
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("cannot fork");
    if (pid_ > 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::forward<Run>(run)();
    ::_exit(0);
  }
  ChildProcess(ChildProcess&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess() {
    if (pid_ > 0) kill();
  }

  // Waits for its end. Returns its exit status, or 128 and the signal that ended it.
  int wait() {
    int status = 0;
    const pid_t pid = std::exchange(pid_, -1);
    pid_t ended = 0;
    do {
      ended = ::waitpid(pid, &status, 0);
    } while (ended < 0 && errno == EINTR);
    must(ended == pid);  // or it would seem to have ended well
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  int kill() {
    must(pid_ > 0);  // or all processes would be ended
    ::kill(pid_, SIGKILL);
    return wait();
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

// One T in memory that child processes share.
template <class T>
class SharedMemory {
 public:
  SharedMemory() {
    void* const memory =
        ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    value_ = new (memory) T{};
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { ::munmap(value_, sizeof(T)); }
  T* operator->() const { return value_; }
  T& operator*() const { return *value_; }

 private:
  T* value_;
};

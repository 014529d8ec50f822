// A thread beside that of a test case, of which the test wants to know whether it waits.
#pragma once

#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

class OtherThread {
 public:
  // Calls run() there, once; the end of this object waits for it.
  template <class Run>
  explicit OtherThread(Run run)
      : thread_([this, run = std::move(run)] {
          id_ = ::gettid();
          run();
          done_ = true;
        }) {}
  OtherThread(const OtherThread&) = delete;
  OtherThread& operator=(const OtherThread&) = delete;
  ~OtherThread() { thread_.join(); }

  // Returns when run() is over, or sleeps: whether it sleeps. What it waits for must not come meanwhile.
  [[nodiscard]] bool waits() const {
    while (!done_ && !sleeps()) std::this_thread::yield();
    return !done_;
  }

 private:
  [[nodiscard]] bool sleeps() const {
    if (id_ == 0) return false;
    std::ifstream file("/proc/self/task/" + std::to_string(id_) + "/stat");
    std::string text;
    std::getline(file, text);
    const auto name_end = text.rfind(") ");  // the state comes after the name
    return name_end != std::string::npos && text.compare(name_end + 2, 1, "S") == 0;
  }

  std::atomic<pid_t> id_{0};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

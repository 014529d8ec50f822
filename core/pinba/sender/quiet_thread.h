// Threads that a library starts within other people's programs.
#pragma once

#include <pthread.h>

#include <csignal>
#include <exception>
#include <thread>
#include <utility>

namespace pinba {

// Starts a thread that takes none of the application's signals. False if the system has none to give.
template <class Run>
bool start_quiet_thread(std::thread& thread, Run run) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = true;
  try {
    thread = std::thread(std::move(run));
  } catch (const std::exception&) {
    started = false;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

}  // namespace pinba

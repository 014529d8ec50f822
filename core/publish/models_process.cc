// Models amid what happens to a process: its threads end, it forks, it exits; and the lock, which forks keep.
#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <memory>
#include <new>
#include <utility>

#include "base/failure.h"
#include "base/guest_call.h"
#include "publish/models.h"

namespace mmstats {

using detail::thread_files;

thread_local constinit bool Models::locked_here_ = false;
thread_local constinit bool Models::forking_here_ = false;

Models::Hold::Hold() {
  if (interrupts_itself() || !get().lock()) throw std::bad_alloc();
}

Error Models::is_forking() {
  return failure(ErrorKind::kLimit, {},
                 interrupts_itself()
                     ? "is not done in a handler of a signal that interrupted the library"
                     : "is not done while the process forks, as the fork may wait for this thread");
}

// A signal's handler may come at each instruction: it must find the flag set as long as this thread may
// have the lock.
bool Models::lock() {
  constexpr std::chrono::milliseconds kLook{10};
  constexpr int kLooks = 100;
  locked_here_ = true;
  if (forking_here_) {
    if (::getpid() == forker_) return true;
    // In the child, whose other handlers come before ours.
    begin_child();
    locked_here_ = true;
  }
  // Not try_lock_for: GCC 12's ThreadSanitizer does not see what that calls, and a program that is checked
  // with it would hear of races.
  const auto wait = [&] {
    const auto until = std::chrono::system_clock::now().time_since_epoch() + kLook;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(until);
    const timespec deadline{.tv_sec = seconds.count(),
                            .tv_nsec = std::chrono::nanoseconds(until - seconds).count()};
    return ::pthread_mutex_timedlock(mutex_.native_handle(), &deadline) == 0;
  };
  for (int looks = 0; !mutex_.try_lock() && !wait();) {
    if (!forking_) continue;
    if (++looks < kLooks && !gave_up_) continue;
    gave_up_ = true;
    locked_here_ = false;
    return false;
  }
  if (has_ended_) settle_ended();
  return true;
}

// For what cannot be left undone.
void Models::lock_for_good() {
  while (!lock()) {
  }
}

void Models::unlock() {
  if (!forking_here_) mutex_.unlock();
  locked_here_ = false;
}

void Models::leave_thread() {
  const GuestCall guest;
  ++ends_here();
  // No signal's handler may begin anything in this thread any more.
  locked_here_ = true;
  Ended ended{.files = thread_files, .left = {}};
  if (!lock() && put_off(ended)) return;
  for_each_file_here([&](std::uint32_t number, const std::byte* file) { leave_file(number, file); });
  forget_all_here();
  forget_thread(ended.files);
  unlock();
}

// Whether whoever has the lock next does what the end of this thread asks for. If not, this thread has the
// lock.
bool Models::put_off(Ended& ended) {
  locked_here_ = true;
  try {
    for_each_file_here([&](std::uint32_t number, const std::byte* file) {
      if (file != nullptr) ended.left.emplace_back(number, file);
    });
    const std::lock_guard hold(ended_mutex_);
    ended_.push_back(std::move(ended));
    has_ended_ = true;
  } catch (const std::bad_alloc&) {
    lock_for_good();
    return false;
  }
  forget_all_here();
  locked_here_ = false;
  return true;
}

void Models::leave_file(std::uint32_t number, const std::byte* file) {
  Slot* const slot = file == nullptr ? nullptr : slots_.find(number);
  Impl* const model = slot == nullptr ? nullptr : slot->model.load();
  if (model != nullptr) model->per_thread.leave(file);
}

void Models::forget_thread(std::byte** files) {
  std::erase_if(threads_, [&](const ThreadTables& thread) { return thread.files == files; });
}

// Threads' own memory may not be touched any more once they have ended: so this comes before all else that is
// done with the lock.
void Models::settle_ended() {
  const std::lock_guard hold(ended_mutex_);
  for (const Ended& ended : ended_) {
    for (const auto& [number, file] : ended.left) leave_file(number, file);
    forget_thread(ended.files);
  }
  ended_.clear();
  has_ended_ = false;
}

// What the thread that forks has, and what all threads share: its other handlers may write in the child
// before ours comes.
void Models::give_to_children(bool given) {
  for_each_file_here([&](std::uint32_t number, const std::byte* file) {
    Slot* const slot = file == nullptr ? nullptr : slots_.find(number);
    Impl* const model = slot == nullptr ? nullptr : slot->model.load();
    if (model != nullptr) model->per_thread.give_to_children(file, given);
  });
  slots_.for_each([&](std::uint32_t, Slot& slot) {
    Impl* const model = slot.model;
    if (model == nullptr) return;
    for (Region* region : model->shared.regions()) region->give_to_children(given);
  });
}

// Keeps the lock, so that nobody changes what the child gets. This thread may go on with it: it is not amid
// anything.
void Models::before_fork() {
  const GuestCall guest;
  lock_for_good();
  give_to_children(true);
  forker_ = ::getpid();
  gave_up_ = false;
  forking_ = true;
  forking_here_ = true;
  locked_here_ = false;
}

void Models::after_fork() {
  const GuestCall guest;
  locked_here_ = true;
  give_to_children(false);
  forking_here_ = false;
  forking_ = false;
  if (has_ended_) settle_ended();
  unlock();
}

// In the child of a fork: all files are the parent's, and the only thread is this one. Of other threads'
// regions there is nothing here, so that their number costs no system call.
void Models::begin_child() {
  const GuestCall guest;
  if (!forking_here_) return;  // it was done already
  locked_here_ = true;
  forking_here_ = false;
  forking_ = false;
  // Another thread may have been amid it.
  std::construct_at(&ended_mutex_);
  std::construct_at(&ended_);
  has_ended_ = false;
  told_forking_ = false;
  // It tells its own errors.
  forget_errors();
  forget_all_here();
  threads_.clear();
  std::vector<Region*> had;
  slots_.for_each([&](std::uint32_t number, Slot& slot) {
    Impl* const model = slot.model;
    if (model == nullptr) return;
    forget_shared(slot, number);
    model->per_thread.release(had);
    model->shared.release(had);
    model->no_file.reset();
    model->told = false;
  });
  had.insert(had.end(), free_regions_.begin(), free_regions_.end());
  free_regions_.clear();
  for (Region* region : had) {
    if (!region->is_in_child()) {
      region->leave_to_parent();
      continue;
    }
    region->reset();
    free_regions_.push_back(region);
  }
  unlock();
}

void Models::end_process() {
  const GuestCall guest;
  lock_for_good();
  slots_.for_each([](std::uint32_t, Slot& slot) {
    Impl* const model = slot.model;
    if (model == nullptr || !model->options.remove_at_exit) return;
    // The files stay mapped, for the moment that is left.
    model->publish_no_more();
    model->remove_names();
  });
  unlock();
}

}  // namespace mmstats

// What concerns the process as a whole: Models come and go, threads begin and end, it forks, it exits. One
// lock for all of it, as none of it is on the path of a write.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mmstats/fields.h"
#include "mmstats/model.h"
#include "publish/growing.h"
#include "publish/model_impl.h"
#include "publish/region.h"
#include "publish/telling.h"
#include "publish/thread_tables.h"

namespace mmstats {

class Models {
 public:
  using Impl = Model::Impl;

  static Models& get();
  static Impl& impl_of(Model& model) { return *model.impl_; }

  // Holds the lock. What goes wrong meanwhile is told when it is free again, so that who is told may use
  // Models, too.
  class Lock {
   public:
    explicit Lock(const Impl* model) : model_(model), held_(!interrupts_itself() && get().lock()) {}
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

    // False: a fork does not let go of it, see lock(), or interrupts_itself(). Nothing may be done then.
    explicit operator bool() const { return held_; }

    std::vector<Error> errors;
    bool no_memory = false;  // Impl::no_memory is to be told, too

   private:
    const Impl* model_;
    bool held_;
  };

  // Holds the lock, for what is no Model's. Throws std::bad_alloc if Lock would be false.
  class Hold {
   public:
    Hold();
    ~Hold() { get().unlock(); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
  };

  // Why nothing was done without the lock.
  static Error is_forking();
  // A signal's handler is here, and what it interrupted has the lock.
  static bool interrupts_itself() { return locked_here_ && !forking_here_; }

  // Returns the Model's number.
  std::uint32_t add(Impl* model);
  // With its files, unless its options say that they stay.
  void remove(Impl* model, std::uint32_t number);
  void remove_files(Impl& model);
  // FileSet::publish_again for this thread. Returns what is wrong.
  static std::vector<Error> publish_again(Impl& model, std::uint32_t number, Lock& lock);

  // As Model's functions say, with the lock held by the caller.
  detail::Added add_field(Impl& model, std::uint32_t number, const detail::FieldSpec& wanted,
                          const About& about, std::vector<Error>& errors);
  // `shared`: one for all threads. `kept`: a thread begins with what another one left.
  struct Memory {
    std::size_t size;
    bool shared = false;
    bool kept = false;
  };
  detail::Place add_memory(Impl& model, std::uint32_t number, const Memory& wanted,
                           std::vector<Error>& errors);

  // `in_file`: they are to be in the file. False from then on: they are not.
  detail::Place add_buckets(Impl& model, std::uint32_t number, std::string_view label, unsigned bits,
                            const About& about, const KnownFamily* family, bool& in_file,
                            std::vector<Error>& errors);

  std::byte* enter_thread(detail::Place place);
  // As their namesakes in fields.h.
  std::atomic<std::byte*>* find_shared(detail::Place place);
  std::byte* enter_shared(detail::Place place, std::byte*& file);
  void refuse_amount(detail::Place place);
  void for_each_thread(detail::Place place, void (*visit)(void*, const std::byte*), void* context);

 private:
  struct Slot {
    std::atomic<Impl*> model;
    std::byte* shared;                     // file, with the lock held
    std::atomic<std::byte*> known_shared;  // the same, of a Model that is not a fast one: see Place
    std::atomic<bool> shared_lost;
  };

  // A thread that ended while a fork had the lock.
  struct Ended {
    std::byte** files;  // as in ThreadTables
    std::vector<std::pair<std::uint32_t, const std::byte*>> left;
  };

  Models();
  // A fork has the lock from its first handler to its last one, and may wait in another library's for this
  // very thread: so it is waited for no longer than a second. False: the lock was not had.
  bool lock();
  void unlock();
  void lock_for_good();

  std::uint32_t take_number(Impl* model, std::uint32_t first, std::vector<Error>& errors);
  void forget(Impl* model, std::uint32_t number);
  static void tell_of_cuts(Impl& model, Lock& lock);
  static void forget_shared(Slot& slot, std::uint32_t number);
  ThreadTables& enlist();
  template <class Begin, class Keep>
  std::byte* enter(std::uint32_t number, Begin&& begin, Keep&& keep);
  std::byte* take_region(Impl& model, FileSet& files, std::string_view thread, std::int64_t tid, Lock& lock);
  void leave_thread();
  bool put_off(Ended& ended);
  void leave_file(std::uint32_t number, const std::byte* file);
  void forget_thread(std::byte** files);
  void settle_ended();
  void give_to_children(bool given);
  void before_fork();
  void after_fork();
  void begin_child();
  void end_process();

  static thread_local constinit bool locked_here_ __attribute__((tls_model("initial-exec")));
  // The fork that has the lock is this thread's, whose handlers in other libraries may do anything.
  static thread_local constinit bool forking_here_ __attribute__((tls_model("initial-exec")));

  std::timed_mutex mutex_;
  std::atomic<bool> forking_ = false;  // has the lock
  std::atomic<bool> gave_up_ = false;  // somebody did, waiting for that fork
  pid_t forker_ = 0;
  std::mutex ended_mutex_;  // for a moment, whoever has the lock
  std::vector<Ended> ended_;
  std::atomic<bool> has_ended_ = false;
  Growing<Slot> slots_;                // of the Models, by their numbers
  std::vector<ThreadTables> threads_;  // of those that have any files
  std::deque<Region> regions_;
  std::vector<Region*> free_regions_;
  pthread_key_t thread_end_{};
  bool notices_ends_ = false;  // of threads, by that key
  bool told_shut_out_ = false;
  std::atomic<bool> told_forking_ = false;
};

}  // namespace mmstats

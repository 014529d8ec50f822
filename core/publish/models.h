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

  // Holds the lock. What goes wrong meanwhile is told when it is free again, so that who is told may use
  // Models, too.
  class Lock {
   public:
    explicit Lock(const Impl* model) : model_(model) { get().lock(); }
    ~Lock() {
      // The Model may be gone as soon as the lock is free.
      const auto on_error = errors.empty() ? OnError{} : model_->options.on_error;
      get().unlock();
      for (const Error& error : errors) tell(on_error, error);
    }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

    std::vector<Error> errors;

   private:
    const Impl* model_;
  };

  // Returns the Model's number.
  std::uint32_t add(Impl* model);
  void remove(Impl* model, std::uint32_t number);

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

  std::byte* enter_thread(detail::Place place);
  std::byte* enter_shared(detail::Place place);
  // As their namesakes in fields.h.
  void refuse_amount(detail::Place place);
  void for_each_thread(detail::Place place, void (*visit)(void*, const std::byte*), void* context);

 private:
  struct Slot {
    std::atomic<Impl*> model;
    std::atomic<std::byte*> shared;  // file of a Model that is not a fast one
    std::atomic<bool> shared_lost;
  };

  Models();
  void lock();
  void unlock();

  std::uint32_t take_number(Impl* model, std::uint32_t first, std::vector<Error>& errors);
  void forget(Impl* model, std::uint32_t number);
  ThreadTables& enlist();
  template <class Begin, class Keep>
  std::byte* enter(std::uint32_t number, Begin&& begin, Keep&& keep);
  std::byte* take_region(Impl& model, FileSet& files, std::string_view thread, std::int64_t tid, Lock& lock);
  void leave_thread();
  void begin_child();
  void end_process();

  static thread_local constinit bool locked_here_ __attribute__((tls_model("initial-exec")));

  std::mutex mutex_;
  Growing<Slot> slots_;                // of the Models, by their numbers
  std::vector<ThreadTables> threads_;  // of those that have any files
  std::deque<Region> regions_;
  std::vector<Region*> free_regions_;
  pthread_key_t thread_end_{};
  bool notices_ends_ = false;  // of threads, by that key
  bool told_shut_out_ = false;
};

}  // namespace mmstats

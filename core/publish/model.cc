#include "mmstats/model.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "base/failure.h"
#include "base/hash.h"
#include "format/file_name.h"
#include "mmstats/fields.h"
#include "publish/file_set.h"
#include "publish/region.h"
#include "publish/thread_memory.h"

namespace mmstats {
namespace detail {

thread_local constinit std::byte* thread_files[kMaxModels + 1] = {};
constinit std::atomic<std::byte*> shared_files[kMaxModels + 1] = {};

}  // namespace detail

using detail::kMaxModels;
using detail::shared_files;
using detail::thread_files;

namespace {

alignas(64) constinit std::byte nowhere[Region::kFileBytes + Region::kMemoryBytes] = {};

using OnError = std::function<void(const Error&)>;

// Errors that differ only in the field or the file are of one kind. What does not fit in the table is one
// more.
struct KindOfError {
  std::atomic<std::uint64_t> hash;  // 0: free
  std::atomic<std::uint64_t> errors;
};
constinit std::array<KindOfError, 32> kinds_of_errors{};

// How many errors of its kind this process had, `error` included.
std::uint64_t count_error(const Error& error) {
  // A field's label stands in quotes.
  const std::string_view message = error.message;
  const auto reason = message.substr(message.rfind('"') + 1);
  const auto hash = fnv1a(reason, static_cast<std::uint64_t>(error.kind) << 32U |
                                      static_cast<std::uint32_t>(error.sys_errno)) |
                    1U;
  for (KindOfError& kind : kinds_of_errors) {
    std::uint64_t found = 0;
    if (kind.hash.compare_exchange_strong(found, hash) || found == hash || &kind == &kinds_of_errors.back()) {
      return ++kind.errors;
    }
  }
  return 1;
}

void tell(const OnError& on_error, const Error& error) {
  if (on_error) return on_error(error);
  // A program that makes fields in a loop must not fill its log.
  const auto count = count_error(error);
  if (!std::has_single_bit(count)) return;
  const auto so_far = count == 1 ? "" : " (errors of this kind so far: " + std::to_string(count) + ')';
  const auto line = "mmstats: " + error.text() + so_far + '\n';
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

bool is_nowhere(const std::byte* file) { return file >= std::begin(nowhere) && file < std::end(nowhere); }

struct Model::Impl {
  ModelOptions options;
  FileSet per_thread{options};
  FileSet shared{options};
  std::optional<Error> no_file;  // why there is none
  bool told = false;             // of that

  explicit Impl(ModelOptions options_) : options(std::move(options_)) {}

  // Keeps why there is no file, to be told once.
  void fail(const Error& error, std::vector<Error>& errors) {
    no_file = error;
    if (!std::exchange(told, true)) errors.push_back(error);
  }

  void choose_mode(std::vector<Error>& errors) {
    if (options.mode) {
      if (is_file_mode(*options.mode)) return;
      errors.push_back(bad_mode("the mode of the Model's options"));
      options.mode.reset();
    }
    if (auto mode = environment_mode()) {
      options.mode = *mode;
    } else {
      errors.push_back(mode.error());
    }
  }

  // For good: no more files are made.
  void remove() {
    per_thread.publish_no_more();
    shared.publish_no_more();
    for_each_region([](Region& region) { region.remove(); });
  }

  template <class Do>
  void for_each_region(Do&& act) {
    for (const FileSet* files : {&per_thread, &shared}) {
      for (Region* region : files->regions()) act(*region);
    }
  }
};

// What concerns the process as a whole: Models come and go, threads begin and end, it forks, it exits. One
// lock for all of it, as none of it is on the path of a write.
class Models {
 public:
  using Impl = Model::Impl;

  static Models& get() {
    // Never destroyed: threads may end after main has.
    static auto* const models = new Models;
    return *models;
  }

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

  std::uint32_t add(Impl* model) {
    Lock lock(model);
    model->choose_mode(lock.errors);
    for (std::uint32_t number = 0; number < kMaxModels; ++number) {
      if (models_[number] != nullptr) continue;
      models_[number] = model;
      return number;
    }
    lock.errors.push_back(
        failure(ErrorKind::kLimit, {}, "a process can have 32 Models at a time: this one is not published"));
    return kMaxModels;
  }

  void remove(Impl* model, std::uint32_t number) {
    const Lock lock(model);
    if (number == kMaxModels) return;
    models_[number] = nullptr;
    shared_files[number].store(nullptr, std::memory_order_relaxed);
    for (std::byte** files : threads_) files[number] = nullptr;
    model->for_each_region([](Region& region) { region.detach(); });
    model->per_thread.release(free_regions_);
    model->shared.release(free_regions_);
  }

  std::byte* enter_thread(std::uint32_t number) {
    const auto begin = [&](Impl& model, Lock& lock) {
      if (std::find(threads_.begin(), threads_.end(), thread_files) == threads_.end()) {
        // Only threads whose end is noticed: their memory must be left alone then.
        if (!notices_ends_ || ::pthread_setspecific(thread_end_, static_cast<const void*>(thread_files)) != 0)
          throw std::bad_alloc();
        threads_.push_back(thread_files);
      }
      const auto tid = ::gettid();
      return take_region(model, model.per_thread, std::to_string(tid), tid, lock);
    };
    return enter(number, begin, [&](std::byte* file) { thread_files[number] = file; });
  }

  std::byte* enter_shared(std::uint32_t number) {
    const auto begin = [&](Impl& model, Lock& lock) {
      auto* const file = shared_files[number].load(std::memory_order_relaxed);
      return file != nullptr ? file : take_region(model, model.shared, "shared", ::getpid(), lock);
    };
    return enter(number, begin,
                 [&](std::byte* file) { shared_files[number].store(file, std::memory_order_release); });
  }

 private:
  Models() {
    notices_ends_ = ::pthread_key_create(&thread_end_, [](void* files) {
                      get().leave_thread(static_cast<std::byte**>(files));
                    }) == 0;
    ::pthread_atfork([] { get().lock(); }, [] { get().unlock(); }, [] { get().begin_child(); });
    std::atexit([] { get().end_process(); });
  }

  // A signal's handler may come at each instruction: it must find the flag set as long as this thread may
  // have the lock.
  void lock() {
    locked_here_ = true;
    mutex_.lock();
  }
  void unlock() {
    mutex_.unlock();
    locked_here_ = false;
  }

  // Gives the file that `begin` finds to `keep`. For want of memory it is nowhere, for good: to try again
  // would cost each write a system call.
  template <class Begin, class Keep>
  std::byte* enter(std::uint32_t number, Begin&& begin, Keep&& keep) {
    Impl* const model = models_[number];
    // A Model that is gone has no file, and a signal's handler must not wait for what it interrupted.
    if (model == nullptr || locked_here_) return nowhere;
    Lock lock(model);
    // Threads that run on while the process exits may find it gone by now.
    if (models_[number] != model) return nowhere;
    std::byte* file = nowhere;
    try {
      file = begin(*model, lock);
    } catch (const std::bad_alloc&) {
      model->fail({.kind = ErrorKind::kLimit,
                   .path = {},
                   .offset = 0,
                   .sys_errno = ENOMEM,
                   .message = "values are lost: there is no memory for them (ulimit -v), or no thread key"},
                  lock.errors);
    }
    keep(file);
    return file;
  }

  // The region for a thread that begins: one that another left, or a new one.
  std::byte* take_region(Impl& model, FileSet& files, std::string_view thread, std::int64_t tid, Lock& lock) {
    if (Region* const left = files.take_left(tid)) return left->address();
    if (free_regions_.empty()) free_regions_.push_back(&regions_.emplace_back());
    Region& region = *free_regions_.back();
    region.reset();
    auto filled = files.fill(region, thread, tid, lock.errors);
    free_regions_.pop_back();
    if (!filled) model.fail(filled.error(), lock.errors);
    if (!told_shut_out_) {
      if (auto why = shut_out(model.options.path)) {
        told_shut_out_ = true;
        lock.errors.push_back(std::move(*why));
      }
    }
    return region.address();
  }

  void leave_thread(std::byte** files) {
    lock();
    std::erase(threads_, files);
    for (std::uint32_t number = 0; number < kMaxModels; ++number) {
      const auto* const file = std::exchange(files[number], nullptr);
      Impl* const model = models_[number];
      if (file != nullptr && model != nullptr) model->per_thread.leave(file);
    }
    unlock();
  }

  // In the child of a fork: all files are the parent's, and the only thread is this one.
  void begin_child() {
    // It tells its own errors.
    for (KindOfError& kind : kinds_of_errors) kind.hash = kind.errors = 0;
    std::fill(std::begin(thread_files), std::end(thread_files), nullptr);
    threads_.clear();
    for (std::uint32_t number = 0; number < kMaxModels; ++number) {
      Impl* const model = models_[number];
      if (model == nullptr) continue;
      shared_files[number].store(nullptr, std::memory_order_relaxed);
      model->for_each_region([](Region& region) { region.reset(); });
      model->per_thread.release(free_regions_);
      model->shared.release(free_regions_);
      model->no_file.reset();
      model->told = false;
    }
    unlock();
  }

  void end_process() {
    lock();
    for (Impl* model : models_) {
      if (model != nullptr && model->options.remove_at_exit) model->remove();
    }
    unlock();
  }

  static thread_local constinit bool locked_here_ __attribute__((tls_model("initial-exec")));

  std::mutex mutex_;
  std::array<std::atomic<Impl*>, kMaxModels + 1> models_{};  // by their numbers; the last is of nobody
  std::vector<std::byte**> threads_;                         // the thread_files of those that have any
  std::deque<Region> regions_;
  std::vector<Region*> free_regions_;
  pthread_key_t thread_end_{};
  bool notices_ends_ = false;  // of threads, by that key
  bool told_shut_out_ = false;
};

thread_local constinit bool Models::locked_here_ = false;

namespace detail {

std::byte* enter_thread(std::uint32_t number) noexcept { return Models::get().enter_thread(number); }
std::byte* enter_shared(std::uint32_t number) noexcept { return Models::get().enter_shared(number); }

}  // namespace detail

Model::Model(ModelOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))), number_(Models::get().add(impl_.get())) {}

Model::~Model() {
  if (impl_->options.remove_at_exit) remove();
  Models::get().remove(impl_.get(), number_);
}

std::uint32_t Model::add_field(const detail::FieldSpec& spec, const About& about) {
  Models::Lock lock(impl_.get());
  return (spec.shared ? impl_->shared : impl_->per_thread).add_field(spec, about, lock.errors);
}

std::uint32_t Model::add_memory(std::size_t size) {
  const Models::Lock lock(impl_.get());
  return impl_->per_thread.add_memory(size);
}

Expected<void> Model::open() {
  bool shares = false;
  {
    const Models::Lock lock(impl_.get());
    impl_->told = true;
    shares = impl_->shared.has_fields();
  }
  const detail::Place begin{number_, 0};
  const auto* const file = begin.in_thread();
  const auto* const shared = shares ? begin.in_shared() : nullptr;
  const Models::Lock lock(impl_.get());
  if (impl_->per_thread.is_file(file) && (shared == nullptr || impl_->shared.is_file(shared))) return {};
  return tl::unexpected(impl_->no_file.value_or(
      failure(ErrorKind::kLimit, {}, "there is no memory, or the Model was removed")));
}

Expected<void> Model::flush(Flush how) {
  struct Range {
    std::string path;
    std::byte* address;
    std::size_t bytes;
  };
  std::vector<Range> ranges;
  {
    const Models::Lock lock(impl_.get());
    impl_->for_each_region([&](const Region& region) {
      if (region.is_file()) ranges.push_back({region.path(), region.address(), region.file_bytes()});
    });
  }
  // Without the lock: a disk may take long. The addresses stay valid.
  Expected<void> result;
  for (const Range& range : ranges) {
    if (::msync(range.address, range.bytes, how == Flush::kSync ? MS_SYNC : MS_ASYNC) == 0 || !result)
      continue;
    result = tl::unexpected(system_failure(range.path, "cannot be written to disk"));
  }
  return result;
}

void Model::remove() {
  const Models::Lock lock(impl_.get());
  impl_->remove();
}

std::vector<std::string> Model::paths() const {
  std::vector<std::string> paths;
  const Models::Lock lock(impl_.get());
  impl_->for_each_region([&](const Region& region) {
    if (region.is_file()) paths.push_back(region.path());
  });
  return paths;
}

}  // namespace mmstats

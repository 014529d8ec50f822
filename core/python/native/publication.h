// A Model of the library, as long as a model object or a handle of one of its fields needs it.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "mmstats/cell.h"
#include "mmstats/model.h"
#include "python/native/module_state.h"

namespace mmstats::python {

struct ModelObject;

// Of one interpreter, and counted under its GIL. After its model object has gone nobody is told anything but
// the logger.
class Publication {
 public:
  // Throws std::bad_alloc.
  Publication(State& state, ModelOptions options, ModelObject* owner);
  Publication(const Publication&) = delete;
  Publication& operator=(const Publication&) = delete;

  // Keeps it as long as the block where it is.
  class Hold {
   public:
    explicit Hold(Publication& publication) noexcept : publication_(*publication.hold()) {}
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold() { publication_.drop(); }

   private:
    Publication& publication_;
  };

  Publication* hold() noexcept {
    ++holders_;
    return this;
  }
  void drop() noexcept {
    if (--holders_ == 0) delete this;
  }

  [[nodiscard]] Model& model() noexcept { return model_; }
  [[nodiscard]] State& state() const noexcept { return state_; }
  void forget_owner() noexcept { owner_ = nullptr; }

  // Before a write: makes this thread's file, without the GIL, if there is none.
  void enter() noexcept {
    if (begin_.known_in_thread() == nullptr) [[unlikely]]
      enter(begin_);
  }
  // The same for a place of which known_in_thread() is null.
  [[gnu::cold, gnu::noinline]] void enter(detail::Place place) noexcept;
  // The same of the file of all threads.
  void enter_shared(detail::Place place) noexcept {
    const auto number = place.number();
    if (number >= detail::kFastModels ||
        detail::shared_files[number].load(std::memory_order_acquire) == nullptr) [[unlikely]]
      make_shared(place);
  }

  // Calls on_error for what the library told since; after whatever may have told something. An exception that
  // is set stays so. KeyboardInterrupt and SystemExit of on_error are raised in the main thread, soon; what
  // else it raises goes to sys.unraisablehook.
  void tell() noexcept {
    if (told_.last.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
      tell_all();
  }

 private:
  struct Told {
    std::string text;
    Told* next;
  };
  // The last one first; without a lock, which a fork could leave locked.
  struct ToldList {
    std::atomic<Told*> last = nullptr;

    ToldList() = default;
    ToldList(const ToldList&) = delete;
    ToldList& operator=(const ToldList&) = delete;
    ~ToldList();
  };

  ~Publication() = default;
  // Any thread, with the GIL or without.
  void keep(const Error& error) noexcept;
  [[gnu::cold, gnu::noinline]] void tell_all() noexcept;
  [[gnu::cold, gnu::noinline]] void make_shared(detail::Place place) noexcept;

  State& state_;
  ModelObject* owner_;
  std::size_t holders_ = 1;
  ToldList told_;
  Model model_;          // tells until its end
  detail::Place begin_;  // of this thread's file
};

}  // namespace mmstats::python

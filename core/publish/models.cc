#include "publish/models.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "base/failure.h"
#include "base/guest_call.h"
#include "format/bucket_field.h"
#include "format/file_name.h"
#include "publish/bucket_table.h"
#include "publish/cut_guard.h"
#include "publish/file_set.h"
#include "publish/known_fields.h"

namespace mmstats {

using detail::Added;
using detail::kFastModels;
using detail::Place;
using detail::shared_files;
using detail::thread_files;

namespace {

constexpr std::size_t kMaxMemory = std::size_t{1} << 30U;  // for one field
constexpr std::size_t kAlignment = 64;

// Tells of a fact that has another value, once.
std::optional<Error> other_fact(KnownField& known, const detail::FieldSpec& spec, std::string_view label) {
  if (known.fact.empty() || spec.initial == nullptr || known.told_other ||
      known.fact == std::string_view(static_cast<const char*>(spec.initial), spec.size)) {
    return std::nullopt;
  }
  known.told_other = true;
  return failure(ErrorKind::kInvalid, {},
                 quoted_field(label) + "is there already with another value, which stays");
}

// `what`: of it, "" for all.
Error no_room(const FileSet& files, std::string_view label, std::string_view what = {}) {
  Error error =
      failure(ErrorKind::kLimit, {},
              std::string(what) + quoted_field(label) + (what.empty() ? "is" : "are") +
                  " not published: the file has no room for it; raise the model's max_file_bytes, or use "
                  "several Models");
  error.offset = files.file_bytes();
  return error;
}

}  // namespace

namespace detail {

std::byte* enter_thread(Place place) noexcept {
  const GuestCall guest;
  return Models::get().enter_thread(place);
}
bool has_entered(Place place) noexcept { return file_here(place.number()) != nullptr; }
std::atomic<std::byte*>* find_shared(Place place) noexcept { return Models::get().find_shared(place); }
std::byte* enter_shared(Place place, std::byte*& file) noexcept {
  const GuestCall guest;
  return Models::get().enter_shared(place, file);
}

void refuse_amount(Place place) noexcept {
  const GuestCall guest;
  Models::get().refuse_amount(place);
}
void for_each_thread(Place place, void (*visit)(void*, const std::byte*), void* context) noexcept {
  const GuestCall guest;
  Models::get().for_each_thread(place, visit, context);
}

}  // namespace detail

Models::Lock::~Lock() {
  const auto unlock = [&] {
    if (std::exchange(held_, false)) get().unlock();
  };
  try {
    // The Model may be gone as soon as the lock is free.
    const auto on_error = errors.empty() ? OnError{} : model_->options.on_error;
    unlock();
    for (const Error& error : errors) tell(on_error, error);
  } catch (const std::bad_alloc&) {
    // What is wrong is not told: there is no memory to say it.
    unlock();
  }
  if (no_memory) model_->no_memory.tell(model_->options.on_error);
}

Models& Models::get() {
  // Never destroyed: threads may end after main has.
  static auto* const models = new Models;
  return *models;
}

Models::Models() {
  notices_ends_ = ::pthread_key_create(&thread_end_, [](void*) { get().leave_thread(); }) == 0;
  ::pthread_atfork([] { get().before_fork(); }, [] { get().after_fork(); }, [] { get().begin_child(); });
  std::atexit([] { get().end_process(); });
  std::at_quick_exit([] { get().end_process(); });
}

std::uint32_t Models::add(Impl* model) {
  const GuestCall guest;
  Lock lock(model);
  if (!lock) {
    lock.errors.push_back(failure(ErrorKind::kLimit, {}, "values are lost: a Model " + is_forking().message));
    return kNoNumber;
  }
  model->choose_mode(lock.errors);
  model->choose_prefix(lock.errors);
  return take_number(model, 0, lock.errors);
}

void Models::remove(Impl* model, std::uint32_t number) {
  lock_for_good();
  if (model->options.remove_at_exit) model->remove_names();
  for (const Impl::More& more : model->more) forget(more.impl.get(), more.number);
  forget(model, number);
  unlock();
}

std::vector<Error> Models::publish_again(Impl& model, std::uint32_t number, Lock& lock) {
  std::vector<Error> wrong;
  model.per_thread.publish_again(file_here(number), std::to_string(::gettid()), wrong);
  model.shared.publish_again(nullptr, "shared", wrong);
  tell_of_cuts(model, lock);
  return wrong;
}

void Models::tell_of_cuts(Impl& model, Lock& lock) {
  for (FileSet* files : {&model.per_thread, &model.shared}) {
    if (auto cut = files->take_cut()) lock.errors.push_back(std::move(*cut));
  }
}

void Models::remove_files(Impl& model) {
  lock_for_good();
  model.remove();
  unlock();
}

// A free one, from `first` on.
std::uint32_t Models::take_number(Impl* model, std::uint32_t first, std::vector<Error>& errors) {
  for (std::uint32_t number = first; number < kNoNumber; ++number) {
    Slot& slot = slots_.at(number);
    if (slot.model != nullptr) continue;
    // A thread that the last one's end overtook may have written here since.
    forget_shared(slot, number);
    slot.model = model;
    return number;
  }
  errors.push_back(failure(ErrorKind::kLimit, {}, "values are lost: there are too many Models"));
  return kNoNumber;
}

void Models::forget(Impl* model, std::uint32_t number) {
  Slot* const slot = slots_.find(number);
  if (slot == nullptr) return;
  slot->model = nullptr;
  forget_shared(*slot, number);
  for (ThreadTables& thread : threads_) thread.forget(number);
  model->for_each_region([](Region& region) { region.forget(); });
  model->per_thread.release(free_regions_);
  model->shared.release(free_regions_);
}

void Models::forget_shared(Slot& slot, std::uint32_t number) {
  slot.shared = nullptr;
  slot.known_shared = nullptr;
  slot.shared_lost = false;
  if (number < kFastModels) shared_files[number].store(nullptr, std::memory_order_relaxed);
}

Added Models::add_field(Impl& model, std::uint32_t number, const detail::FieldSpec& wanted,
                        const About& about, std::vector<Error>& errors) {
  auto spec = wanted;
  const bool clean = is_one_line(wanted.label);
  const auto changed = clean ? std::string{} : one_line(std::string(wanted.label));
  if (!clean) spec.label = changed;
  write_with_prefix(model.label, model.options, spec.label);
  const std::string& label = model.label;
  const Kind kind = about.kind.value_or(spec.kind);
  KnownField* const first = model.known.first_of(label);
  if (KnownField* const known = KnownFields::find(first, spec, kind)) {
    if (auto other = other_fact(*known, spec, label)) errors.push_back(std::move(*other));
    return known->added;
  }
  if (!clean) {
    errors.push_back(failure(
        ErrorKind::kInvalid, {},
        quoted_field(wanted.label) + "has tabs, line ends or NULs in its label, which become blanks"));
  }
  FileSet& files = spec.shared ? model.shared : model.per_thread;
  const std::size_t used = files.used_bytes();
  const auto wrong = model.known.check(spec, label, first);
  KnownFamily* const family = model.families.of(label);
  const auto published = wrong.empty() ? files.publish(spec, label, about, family, errors) : std::nullopt;
  Added added{};
  if (published) {
    added.field = place_of(number, *published);
  } else {
    errors.push_back(
        wrong.empty() ? no_room(files, label)
                      : failure(ErrorKind::kInvalid, {}, quoted_field(label) + "is not published: " + wrong));
    // As in a file: the write buffer byte, and then the aligned values.
    added.field = add_memory(model, number,
                             {.size = kAlignment + 2 * spec.size,
                              .shared = spec.shared,
                              .kept = kind == Kind::kCounter || spec.shared},
                             errors) +
                  (kAlignment - 1);
  }
  if (spec.memory > 0) added.memory = add_memory(model, number, {.size = spec.memory}, errors);
  bool in_file = published.has_value();
  if (spec.bucket_bits) {
    added.buckets = add_buckets(model, number, label, *spec.bucket_bits,
                                {.unit = std::string(spec.bucket_unit), .help = about.help, .kind = {}},
                                family, in_file, errors);
  }
  KnownField& field = model.known.add(spec, label, first, kind, added, published.has_value());
  field.no_room = wrong.empty() && !in_file;
  field.of_family = family != nullptr;
  if (family != nullptr) model.families.count(*family, spec.shared, files.used_bytes() - used);
  return added;
}

// Of the histogram whose field STEM.count is `label`.
Place Models::add_buckets(Impl& model, std::uint32_t number, std::string_view label, unsigned bits,
                          const About& about, const KnownFamily* family, bool& in_file,
                          std::vector<Error>& errors) {
  const std::string stem(histogram_stem(label));
  if (in_file && model.options.system_fields) {
    if (const auto at = model.per_thread.add_buckets(stem, bits, about, family, errors))
      return place_of(number, *at);
    errors.push_back(no_room(model.per_thread, label, "the buckets of "));
    in_file = false;
  }
  return add_memory(model, number, {.size = private_table_bytes(bits), .kept = true}, errors);
}

Place Models::add_memory(Impl& model, std::uint32_t number, const Memory& wanted,
                         std::vector<Error>& errors) {
  const std::size_t size = wanted.size;
  if (size > kMaxMemory) {
    errors.push_back(
        failure(ErrorKind::kLimit, {},
                "a field wants more than 1 GiB of memory, and does not get it: its values are lost"));
    return place_of(kNoNumber, 0);
  }
  const auto add_to = [&](Impl& to, std::uint32_t its_number) -> std::optional<Place> {
    const auto offset = (wanted.shared ? to.shared : to.per_thread).add_memory(size, wanted.kept);
    return offset ? std::optional(place_of(its_number, *offset)) : std::nullopt;
  };
  if (const auto place = add_to(model, number)) return *place;
  if (!model.more.empty()) {
    if (const auto place = add_to(*model.more.back().impl, model.more.back().number)) return *place;
  }
  const RegionSize region{.file = kPage, .memory = std::max(RegionSize{}.memory, whole_pages(size))};
  auto& more =
      model.more.emplace_back(Impl::More{std::make_unique<Impl>(model.options.on_error, region), kNoNumber});
  more.number = take_number(more.impl.get(), kFastModels, errors);
  return add_to(*more.impl, more.number).value_or(place_of(kNoNumber, 0));
}

std::byte* Models::enter_thread(Place place) {
  std::byte* file = file_here(place.number());
  if (file == nullptr) {
    const auto begin = [&](Impl& model, Lock& lock) {
      enlist().provide(place.number());
      const auto tid = ::gettid();
      return take_region(model, model.per_thread, std::to_string(tid), tid, lock);
    };
    file = enter(place.number(), begin, [&](std::byte* found) { keep_here(place.number(), found); });
  }
  return file == &lost_file ? fresh_nowhere() : file + place.offset();
}

std::atomic<std::byte*>* Models::find_shared(Place place) {
  if (place.number() < kFastModels) return &shared_files[place.number()];
  Slot* const slot = slots_.find(place.number());
  return slot == nullptr ? nullptr : &slot->known_shared;
}

std::byte* Models::enter_shared(Place place, std::byte*& file) {
  file = nullptr;
  Slot* const slot = slots_.find(place.number());
  if (slot == nullptr || slot->shared_lost.load(std::memory_order_relaxed)) return fresh_nowhere();
  const auto begin = [&](Impl& model, Lock& lock) {
    if (slot->shared == nullptr) slot->shared = take_region(model, model.shared, "shared", ::getpid(), lock);
    return slot->shared;
  };
  std::byte* const found = enter(place.number(), begin, [&](const std::byte* known) {
    if (known == &lost_file) slot->shared_lost.store(true, std::memory_order_relaxed);
  });
  if (found == &lost_file) return fresh_nowhere();
  file = found;
  return found + place.offset();
}

void Models::refuse_amount(Place place) {
  Slot* const slot = slots_.find(place.number());
  Impl* const model = slot == nullptr ? nullptr : slot->model.load();
  if (model == nullptr || locked_here_ || model->told_amount.load(std::memory_order_relaxed)) return;
  // A signal's handler may be here: no Lock, which may take memory.
  if (!lock()) return;
  const bool is_first = slot->model == model && !model->told_amount.exchange(true);
  if (is_first) {
    model->refused_amount.set(model->known.label_at(place),
                              "was given an amount that is negative or no number, which adds nothing; "
                              "further ones are not told");
  }
  unlock();
  if (is_first) model->refused_amount.tell(model->options.on_error);
}

void Models::for_each_thread(Place place, void (*visit)(void*, const std::byte*), void* context) {
  if (locked_here_ || !lock()) return;
  Slot* const slot = slots_.find(place.number());
  Impl* const model = slot == nullptr ? nullptr : slot->model.load();
  if (model != nullptr) {
    model->per_thread.for_each_value(place.offset(), [&](const std::byte* value) { visit(context, value); });
  }
  unlock();
}

// This thread, in the list. Only threads whose end is noticed: their memory must be left alone then. The
// system tells of it a few times while destructors of other keys go on writing, and then no more. Throws
// std::bad_alloc.
ThreadTables& Models::enlist() {
  const auto known = std::find_if(threads_.begin(), threads_.end(),
                                  [](const ThreadTables& thread) { return thread.files == thread_files; });
  if (known != threads_.end()) return *known;
  if (!notices_ends_ || ends_here() >= PTHREAD_DESTRUCTOR_ITERATIONS ||
      ::pthread_setspecific(thread_end_, static_cast<const void*>(thread_files)) != 0)
    throw std::bad_alloc();
  return threads_.emplace_back(ThreadTables::here());
}

// Gives the file that `begin` finds to `keep`, and returns it: lost_file if there is no memory.
template <class Begin, class Keep>
std::byte* Models::enter(std::uint32_t number, Begin&& begin, Keep&& keep) {
  Slot* const slot = slots_.find(number);
  Impl* const model = slot == nullptr ? nullptr : slot->model.load();
  // A Model that is gone has no file, and a signal's handler must not wait for what it interrupted.
  if (model == nullptr || locked_here_) return &lost_file;
  Lock lock(model);
  if (!lock) {
    if (!told_forking_.exchange(true)) {
      lock.errors.push_back(failure(ErrorKind::kLimit, {},
                                    "values are lost: the first write of a thread " + is_forking().message +
                                        "; further ones are not told"));
    }
    return &lost_file;
  }
  // Threads that run on while the process exits may find it gone by now.
  if (slot->model != model) return &lost_file;
  std::byte* file = &lost_file;
  try {
    file = begin(*model, lock);
  } catch (const std::bad_alloc&) {
    // Why is what Model::open() says where it finds no reason.
    lock.no_memory = !std::exchange(model->told, true);
  }
  keep(file);
  return file;
}

// The region for a thread that begins: one that another left, or a new one.
std::byte* Models::take_region(Impl& model, FileSet& files, std::string_view thread, std::int64_t tid,
                               Lock& lock) {
  if (Region* const left = files.take_left(tid)) {
    tell_of_cuts(model, lock);
    return left->address();
  }
  const auto fits = std::find_if(free_regions_.begin(), free_regions_.end(),
                                 [&](const Region* free) { return free->size() == files.region_size(); });
  if (fits == free_regions_.end()) {
    free_regions_.push_back(&regions_.emplace_back(files.region_size()));
    CutGuard::add(*free_regions_.back());
  } else {
    std::iter_swap(fits, free_regions_.end() - 1);
  }
  Region& region = *free_regions_.back();
  region.reset();
  auto filled = files.fill(region, thread, tid, lock.errors);
  free_regions_.pop_back();
  if (forking_here_) region.give_to_children(true);
  if (!filled) model.fail(filled.error(), lock.errors);
  if (!told_shut_out_) {
    if (auto why = shut_out(model.options.path)) {
      told_shut_out_ = true;
      lock.errors.push_back(std::move(*why));
    }
  }
  return region.address();
}

}  // namespace mmstats

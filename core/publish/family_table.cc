#include "publish/family_table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <optional>
#include <span>
#include <utility>

#include "base/failure.h"
#include "base/guest_call.h"
#include "base/keyed_hash.h"
#include "base/text_hash.h"
#include "base/utf8.h"

namespace mmstats::detail {
namespace {

constexpr std::string_view kOther = "other";
constexpr std::size_t kFirstSlots = 16;

constexpr std::size_t round_up(std::size_t size, std::size_t alignment) {
  return (size + alignment - 1) / alignment * alignment;
}

}  // namespace

FamilyTable* add_family(Model& model, const FamilySpec& spec) {
  const GuestCall guest;
  Models::Impl& impl = Models::impl_of(model);
  auto label = with_prefix(impl.options, spec.label);
  auto made = std::make_unique<KnownFamily>(std::move(label), spec);
  std::string wrong;
  {
    const Models::Lock lock(&impl);
    if (!lock) {
      wrong = "it " + Models::is_forking().message;
    } else if (const KnownFamily* const known = impl.families.find(made->label, spec)) {
      return known->table.get();
    } else if (wrong = impl.families.check(made->label, spec); wrong.empty()) {
      made->table = std::make_unique<FamilyTable>(model, *made, spec, true);
      return impl.families.add(std::move(made)).table.get();
    }
  }
  // All that is wrong with it is told with the family.
  auto nowhere = std::make_unique<Model>(ModelOptions{.on_error = [](const Error&) {}});
  nowhere->remove();
  Models::Lock lock(&impl);
  lock.errors.push_back(
      failure(ErrorKind::kInvalid, {},
              "the family \"" + printable(made->label).substr(0, 100) + "\" is not published: " + wrong));
  if (!lock) {
    // A rest that nobody gives back.
    made->table = std::make_unique<FamilyTable>(*nowhere.release(), *made, spec, false);
    return made.release()->table.get();
  }
  // Somebody may have come first.
  if (const KnownFamily* const known = impl.families.find(made->label, spec)) {
    lock.errors.clear();
    return known->table.get();
  }
  if (!impl.families.nowhere) impl.families.nowhere = std::move(nowhere);
  FamilySpec apart = spec;
  const auto number = std::to_string(impl.families.refused());
  apart.label = number;
  made->table = std::make_unique<FamilyTable>(*impl.families.nowhere, *made, apart, false);
  return impl.families.add_refused(std::move(made)).table.get();
}

const void* find_combination(FamilyTable* family, const std::string_view* values, std::size_t count) {
  return family->find(values, count);
}

void remove_combination(FamilyTable* family, const std::string_view* values, std::size_t count) noexcept {
  const GuestCall guest;
  family->remove(values, count);
}

std::size_t expire_combinations(FamilyTable* family) noexcept {
  const GuestCall guest;
  return family->expire();
}

void FamilyTable::DeleteEntry::operator()(Entry* entry) const noexcept {
  std::destroy_at(entry);
  ::operator delete(static_cast<void*>(entry), std::align_val_t{alignment});
}

FamilyTable::FamilyTable(Model& fields, KnownFamily& of, const FamilySpec& spec, bool published)
    : model_(fields),
      impl_(Models::impl_of(fields)),
      family_(of),
      dimensions_(published ? spec.dimensions.size() : 0),  // there may be too many
      published_(published),
      label_(spec.label),
      about_{.unit = spec.about.unit, .help = spec.about.help, .kind = spec.about.kind},
      handle_size_(spec.handle_size),
      handle_alignment_(std::max(spec.handle_alignment, alignof(Entry))),
      make_(spec.make),
      seed_(process_hash_key().low) {
  set_limits(spec.about.max_series, spec.about.expire_after);
  all_slots_.push_back(std::make_unique<Slots>(kFirstSlots));
  slots_ = all_slots_.back().get();
}

FamilyTable::~FamilyTable() = default;

void FamilyTable::limit(std::size_t max_series, std::chrono::seconds expire_after) {
  const Models::Lock lock(&impl_);
  if (lock) set_limits(max_series, expire_after);
}

void FamilyTable::set_limits(std::size_t max_series, std::chrono::seconds expire_after) {
  using std::chrono::seconds;
  constexpr seconds kLongest = std::chrono::ceil<seconds>(Clock::duration::max() / 4);
  max_series_ = std::max<std::size_t>(max_series, 1);
  expire_after_ = Clock::duration(std::clamp(expire_after, seconds{0}, kLongest)).count();
  expire_at_ = Clock::now().time_since_epoch().count() + expire_after_;
  full_ = shown_ >= max_series_;
  no_place_ = !no_place_for_more().empty();
}

const void* FamilyTable::find(const std::string_view* values, std::size_t count) {
  const Key key = key_of(values, count);
  Entry* const known = look_up(key);
  if (known != nullptr && known->state.load(std::memory_order_relaxed) == kInUse) [[likely]]
    return known->handle();
  return find_slowly(key, known);
}

FamilyTable::Key FamilyTable::key_of(const std::string_view* values, std::size_t count) const {
  Key key{.values = values, .count = count, .hash = seed_};
  for (std::size_t i = 0; i < dimensions_; ++i) key.hash = mix_text(key.hash, key[i]);
  return key;
}

bool FamilyTable::is_other(const Key& key) const {
  for (std::size_t i = 0; i < dimensions_; ++i) {
    if (key[i] != kOther) return false;
  }
  return true;
}

bool FamilyTable::is_of(Entry& entry, const Key& key) const {
  const auto* const sizes = reinterpret_cast<const std::uint8_t*>(entry.bytes() + entry.values_at);
  const auto* text = reinterpret_cast<const char*>(sizes + dimensions_);
  for (std::size_t i = 0; i < dimensions_; ++i) {
    if (std::string_view(text, sizes[i]) != key[i]) return false;
    text += sizes[i];
  }
  return true;
}

FamilyTable::Entry* FamilyTable::look_up(const Key& key) const {
  const Slots& slots = *slots_.load(std::memory_order_acquire);
  for (std::size_t i = key.hash & slots.mask;; i = (i + 1) & slots.mask) {
    Entry* const entry = slots.at[i].load(std::memory_order_acquire);
    if (entry == nullptr || (entry->hash == key.hash && is_of(*entry, key))) return entry;
  }
}

class FamilyTable::ReadableKey {
 public:
  ReadableKey(const FamilyTable& table, const Key& key) : key_(key) {
    bool readable = true;
    for (std::size_t i = 0; i < table.dimensions_; ++i) readable = readable && is_utf8(key[i]);
    if (readable) return;
    const GuestCall guest;
    Texts& other = other_.emplace();
    for (std::size_t i = 0; i < table.dimensions_; ++i)
      other.values[i] = other.texts[i] = unescape_value(escape_value(key[i]));
    key_ = table.key_of(other.values.data(), table.dimensions_);
  }
  ReadableKey(const ReadableKey&) = delete;
  ReadableKey& operator=(const ReadableKey&) = delete;
  ~ReadableKey() = default;
  const Key& operator*() const { return key_; }

 private:
  struct Texts {
    std::array<std::string, kMaxDimensions> texts;
    std::array<std::string_view, kMaxDimensions> values;
  };
  Key key_;
  std::optional<Texts> other_;
};

// One that is new, or removed, or was not asked for since somebody looked.
const void* FamilyTable::find_slowly(const Key& as_given, Entry* known) {
  const ReadableKey readable(*this, as_given);
  const Key& key = *readable;
  if (key.values != as_given.values) known = look_up(key);
  const auto is_shown = [&] {
    return (known->state.fetch_or(kAsked, std::memory_order_relaxed) & kShown) != 0;
  };
  if (known != nullptr && is_shown()) return known->handle();
  const bool full = full_.load(std::memory_order_relaxed) ||
                    (known == nullptr && no_place_.load(std::memory_order_relaxed));
  if (full && expire_after_.load(std::memory_order_relaxed) == 0) {
    // Perhaps each request brings a new one: as quick as can be, too.
    Entry* const all = other_.load(std::memory_order_acquire);
    if (all != nullptr && all->state.load(std::memory_order_relaxed) == kInUse) return all->handle();
  }
  if (Models::interrupts_itself()) return find_without_lock(known);
  const GuestCall guest;
  if (!published_) return other().handle();
  if (is_other(key)) return count_as_other(false);
  const auto now = Clock::now();
  if (known == nullptr) expire_some(now);
  if (full_.load(std::memory_order_relaxed) ||
      (known == nullptr && no_place_.load(std::memory_order_relaxed))) {
    return count_as_other(true);
  }
  if (known == nullptr) {
    known = make(key);
    if (known == nullptr) return count_as_other(true);
    if (is_shown()) return known->handle();
  }
  {
    const Models::Lock lock(&impl_);
    if (lock && show(*known, now)) return known->handle();
  }
  return count_as_other(known->in_file);
}

void FamilyTable::remove(const std::string_view* values, std::size_t count) {
  const ReadableKey key(*this, key_of(values, count));
  const Models::Lock lock(&impl_);
  if (!lock || !published_) return;
  if (Entry* const known = look_up(*key)) hide(*known);
}

// For a signal's handler that came amid the library: what can be had as it is. It is shown, if it is not,
// when somebody asks for it elsewhere, or when expire() looks.
const void* FamilyTable::find_without_lock(Entry* known) {
  Entry* const all = other_.load(std::memory_order_acquire);
  if (known == nullptr || (!known->in_file && all != nullptr)) known = all;
  if (known == nullptr) throw std::bad_alloc();
  return known->handle();
}

// `full`: as there may be no more, which is told once.
const void* FamilyTable::count_as_other(bool full) {
  Entry& all = other();
  const bool shown = (all.state.fetch_or(kAsked, std::memory_order_relaxed) & kShown) != 0;
  if (shown && (!full || told_full_.load(std::memory_order_relaxed))) return all.handle();
  Models::Lock lock(&impl_);
  if (!lock) return all.handle();
  show(all, Clock::now());
  if (!full || told_full_.exchange(true)) return all.handle();
  std::string why = no_place_for_more();
  if (why.empty())
    why = "has " + std::to_string(shown_) + " combinations, the most that it may have; raise max_series";
  lock.errors.push_back(failure(ErrorKind::kLimit, {},
                                "the family \"" + printable(family_.label).substr(0, 100) + "\" " + why +
                                    ", or use fewer values: further combinations count as \"other\""));
  return all.handle();
}

FamilyTable::Entry& FamilyTable::other() {
  if (Entry* const known = other_.load(std::memory_order_acquire)) return *known;
  std::array<std::string_view, kMaxDimensions> values;
  values.fill(kOther);
  return *make(key_of(values.data(), dimensions_));
}

// Why no combination can be made that was never there; empty: it can. Room for `other` is kept.
std::string FamilyTable::no_place_for_more() const {
  if (!published_ || entries_.empty()) return {};
  const std::size_t had = entries_.size() - (other_.load(std::memory_order_relaxed) == nullptr ? 0U : 1U);
  if (had / kPlaces >= max_series_) {
    return "has had " + std::to_string(had) + " combinations, " + std::to_string(kPlaces) +
           " times as many as it may have at a time, and removed ones keep their place in the file; raise "
           "max_series";
  }
  const bool shared = !entries_.front()->fields.empty() && entries_.front()->fields.front().shared;
  const FileSet& files = shared ? impl_.shared : impl_.per_thread;
  // A value takes three bytes for one of its own, and blanks.
  const std::size_t one =
      family_.bytes / entries_.size() + dimensions_ * (kOther.size() + 1) + 3 * alignof(std::max_align_t);
  // Fields of other families, and single ones, find room as well.
  const std::size_t most = impl_.options.max_file_bytes / 4 * 3;
  if (files.has_room_for(2 * one) && impl_.families.bytes(shared) + one <= most) return {};
  return "has no room for more combinations in the file (" + std::to_string(had) +
         " have a place there, also removed ones); raise the model's max_file_bytes";
}

// Makes a combination. Without the lock, as who is told what is wrong may call anything: of two that are made
// at once the first one stays, and both are the same fields. Null: there is no place for it.
FamilyTable::Entry* FamilyTable::make(const Key& key) {
  std::string label = label_;
  for (std::size_t i = 0; i < dimensions_; ++i) label += '.' + escape_value(key[i]);
  const std::string whole = with_prefix(impl_.options, label);
  {
    const Models::Lock lock(&impl_);
    if (lock && published_) {
      if (!is_other(key) && !no_place_for_more().empty()) {
        no_place_ = true;
        return nullptr;
      }
      impl_.families.announce(whole, family_);
    }
  }
  OwnedEntry made = new_entry(key);
  make_(model_, label, about_, made->handle());
  const Models::Hold hold;
  return &enter(std::move(made), key, whole);
}

FamilyTable::OwnedEntry FamilyTable::new_entry(const Key& key) const {
  const std::size_t handle_at = round_up(sizeof(Entry), handle_alignment_);
  const std::size_t values_at = handle_at + handle_size_;
  std::size_t size = values_at + dimensions_;
  for (std::size_t i = 0; i < dimensions_; ++i) size += key[i].size();
  void* const memory = ::operator new(size, std::align_val_t{handle_alignment_});
  OwnedEntry entry(::new (memory) Entry, {handle_alignment_});
  entry->hash = key.hash;
  entry->handle_at = static_cast<std::uint32_t>(handle_at);
  entry->values_at = static_cast<std::uint32_t>(values_at);
  std::byte* at = entry->bytes() + values_at;
  for (std::size_t i = 0; i < dimensions_; ++i) *at++ = static_cast<std::byte>(key[i].size());
  for (std::size_t i = 0; i < dimensions_; ++i) {
    at = std::ranges::copy(std::as_bytes(std::span(key[i])), at).out;
  }
  return entry;
}

FamilyTable::Entry& FamilyTable::enter(OwnedEntry made, const Key& key, const std::string& label) {
  if (Entry* const first = look_up(key)) return *first;
  made->is_other = is_other(key);
  const auto take = [&](const std::string& one) {
    const KnownField* const known = impl_.known.of_combination(one);
    if (known == nullptr) return;
    // Somebody may have made it before, with another type: it stays that one.
    made->in_file = made->in_file && known->in_file && !known->no_room;
    if (known->in_file && known->of_family) made->fields.push_back(known->in_files());
  };
  if (!family_.of_histograms) take(label);
  for (const std::string_view ending : kHistogramEndings) {
    if (family_.of_histograms) take(label + std::string(ending));
  }
  made->used_at = Clock::now();
  provide_slots();
  Entry& entry = *entries_.emplace_back(std::move(made));
  put(*all_slots_.back(), entry);
  if (entry.is_other) other_.store(&entry, std::memory_order_release);
  // What has no part in the file has none in it at all.
  if (!show(entry, entry.used_at)) tell_readers(entry, true);
  no_place_ = !no_place_for_more().empty();
  return entry;
}

void FamilyTable::put(const Slots& slots, Entry& entry) {
  std::size_t i = entry.hash & slots.mask;
  while (slots.at[i].load(std::memory_order_relaxed) != nullptr) i = (i + 1) & slots.mask;
  slots.at[i].store(&entry, std::memory_order_release);
}

// For one entry more.
void FamilyTable::provide_slots() {
  const Slots& slots = *all_slots_.back();
  if (2 * (entries_.size() + 1) <= slots.mask) return;
  auto larger = std::make_unique<Slots>(2 * (slots.mask + 1));
  for (const OwnedEntry& each : entries_) put(*larger, *each);
  all_slots_.push_back(std::move(larger));
  slots_.store(all_slots_.back().get(), std::memory_order_release);
}

}  // namespace mmstats::detail

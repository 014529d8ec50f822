// The combinations of one family: found without a lock, added under that of the whole library, as one more
// would have to be kept through each fork.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "format/dimensions.h"
#include "mmstats/family.h"
#include "publish/families.h"
#include "publish/known_fields.h"
#include "publish/models.h"

namespace mmstats::detail {

// Any thread, but remove() and expire() not from within on_error.
class FamilyTable {
 public:
  using Clock = std::chrono::steady_clock;

  // `fields`: where the combinations are made; `of`: what is known there of the family. Both outlive it.
  // `published`: false: all combinations are one. Makes no field yet. Throws std::bad_alloc.
  FamilyTable(Model& fields, KnownFamily& of, const FamilySpec& spec, bool published);
  ~FamilyTable();
  FamilyTable(const FamilyTable&) = delete;
  FamilyTable& operator=(const FamilyTable&) = delete;

  // As find_combination().
  const void* find(const std::string_view* values, std::size_t count);
  // As FamilyAbout has them.
  void limit(std::size_t max_series, std::chrono::seconds expire_after);
  void remove(const std::string_view* values, std::size_t count);
  std::size_t expire(Clock::time_point now = Clock::now());

 private:
  static constexpr std::uint8_t kShown = 1;  // readers see it
  static constexpr std::uint8_t kAsked = 2;  // with() was called since expire() looked
  static constexpr std::uint8_t kInUse = kShown | kAsked;
  // Places in the file, as a multiple of max_series: what is removed keeps its own.
  static constexpr std::size_t kPlaces = 10;

  // A combination as it was asked for.
  struct Key {
    const std::string_view* values;
    std::size_t count;
    std::uint64_t hash;

    // Of dimension i, what counts.
    [[nodiscard]] std::string_view operator[](std::size_t i) const {
      if (i >= count) return {};
      return values[i].size() <= kMaxDimensionValue ? values[i]
                                                    : whole_characters(values[i], kMaxDimensionValue);
    }
  };
  // A key of UTF-8 alone: of another one what its label tells of it.
  class ReadableKey;
  // In one block with what follows it: a handle, and the values behind their sizes.
  struct Entry {
    std::uint64_t hash = 0;
    std::atomic<std::uint8_t> state = kAsked;
    std::uint32_t handle_at = 0;
    std::uint32_t values_at = 0;
    bool is_other = false;
    bool in_file = true;                 // else it is never shown, and what it is given counts as other
    std::vector<PublishedField> fields;  // that can be removed
    Clock::time_point used_at;
    std::uint64_t digest = 0;              // of its values when somebody looked
    std::vector<std::uint64_t> hidden_as;  // FileSet::for_each_change, as it was hidden; in order

    std::byte* bytes() { return reinterpret_cast<std::byte*>(this); }
    void* handle() { return bytes() + handle_at; }
  };
  struct DeleteEntry {
    std::size_t alignment = 0;
    void operator()(Entry* entry) const noexcept;
  };
  using OwnedEntry = std::unique_ptr<Entry, DeleteEntry>;
  struct Slots {
    explicit Slots(std::size_t size) : mask(size - 1), at(std::make_unique<std::atomic<Entry*>[]>(size)) {}
    std::size_t mask;
    std::unique_ptr<std::atomic<Entry*>[]> at;
  };

  Key key_of(const std::string_view* values, std::size_t count) const;
  [[nodiscard]] bool is_other(const Key& key) const;
  [[nodiscard]] bool is_of(Entry& entry, const Key& key) const;
  [[nodiscard]] Entry* look_up(const Key& key) const;
  const void* find_slowly(const Key& as_given, Entry* known);
  const void* find_without_lock(Entry* known);
  const void* count_as_other(bool full);
  Entry& other();
  void expire_some(Clock::time_point now);
  Entry* make(const Key& key);
  [[nodiscard]] OwnedEntry new_entry(const Key& key) const;
  // With the lock:
  void set_limits(std::size_t max_series, std::chrono::seconds expire_after);
  [[nodiscard]] std::string no_place_for_more() const;
  Entry& enter(OwnedEntry made, const Key& key, const std::string& label);
  static void put(const Slots& slots, Entry& entry);
  void provide_slots();
  bool show(Entry& entry, Clock::time_point now);
  void hide(Entry& entry);
  void tell_readers(const Entry& entry, bool removed);
  void for_each_change(const Entry& entry, const std::function<void(std::uint64_t)>& visit) const;
  [[nodiscard]] std::uint64_t digest(const Entry& entry) const;
  [[nodiscard]] bool was_written(const Entry& hidden) const;
  std::size_t look_at(std::size_t& next, Clock::time_point now);

  Model& model_;
  Models::Impl& impl_;
  KnownFamily& family_;
  const std::size_t dimensions_;
  const bool published_;
  const std::string label_;  // without the prefix
  const About about_;
  const std::size_t handle_size_;
  const std::size_t handle_alignment_;
  const std::function<void(Model&, std::string_view, const About&, void*)> make_;

  const std::uint64_t seed_;
  std::atomic<Slots*> slots_;
  std::atomic<Entry*> other_ = nullptr;
  std::atomic<bool> full_ = false;      // max_series are shown
  std::atomic<bool> no_place_ = false;  // for one that was never there
  std::atomic<bool> told_full_ = false;
  std::atomic<Clock::rep> expire_after_ = 0;
  std::atomic<Clock::rep> expire_at_ = 0;  // when what was not used for long is looked for next
  // With the lock:
  std::size_t max_series_ = 1;
  std::vector<std::unique_ptr<Slots>> all_slots_;  // who looks something up may still be in an old one
  std::vector<OwnedEntry> entries_;
  std::size_t shown_ = 0;         // but `other`
  std::size_t next_to_look_ = 0;  // of entries_, in expire_some()
};

}  // namespace mmstats::detail

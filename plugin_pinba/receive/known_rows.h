// The rows that a thread has counted in, by the texts that lead to them: found without a lock, and without
// memory. Bounded, whoever chooses the texts: it forgets all when it is full.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/keyed_hash.h"
#include "base/text_hash.h"

namespace mmstats::receive {

struct Row;

// As a thread knows it.
struct KnownRow {
  Row* row = nullptr;
  std::uint64_t* packet = nullptr;  // the last one that it counted there
};

// The same by TimerEntry::tags_id: those of the last ones. One thread at a time.
class RowsByTags {
 public:
  // Null: not known.
  [[nodiscard]] const KnownRow* find(std::uint64_t id) const {
    if (id == 0 || entries_.empty()) return nullptr;
    const Entry& entry = entries_[id % kMost];
    return entry.id == id ? &entry.known : nullptr;
  }
  // Throws std::bad_alloc.
  void put(std::uint64_t id, const KnownRow& known) {
    if (id == 0) return;
    if (entries_.empty()) entries_.resize(kMost);
    entries_[id % kMost] = {.id = id, .known = known};
  }
  void clear() { entries_.clear(); }

 private:
  static constexpr std::size_t kMost = 16'384;
  struct Entry {
    std::uint64_t id = 0;
    KnownRow known = {};
  };
  std::vector<Entry> entries_;
};

// One thread at a time. `Texts`: a list of std::string_view, with size() and [].
class KnownRows {
 public:
  static constexpr std::size_t kMost = 16'384;
  static constexpr std::size_t kMostBytes = std::size_t{4} << 20;  // of texts
  static constexpr std::size_t kMostText = 255;

  template <class Texts>
  static std::uint64_t hash(const Texts& texts) {
    static const std::uint64_t seed = process_hash_key().low;
    std::uint64_t hash = seed;
    for (std::size_t i = 0; i < texts.size(); ++i) hash = mix_text(hash, texts[i]);
    return hash;
  }

  // `hash`: of the texts. Null: not known.
  template <class Texts>
  [[nodiscard]] const KnownRow* find(std::uint64_t hash, const Texts& texts) const {
    if (count_ == 0) return nullptr;
    for (std::size_t i = hash & mask();; i = (i + 1) & mask()) {
      const Entry& entry = entries_[i];
      if (entry.known.row == nullptr) return nullptr;
      if (entry.hash == hash && entry.texts_count == texts.size() && is_of(entry, texts)) return &entry.known;
    }
  }

  // Of texts that are not known. Longer ones than kMostText are not kept. Throws std::bad_alloc.
  template <class Texts>
  void put(std::uint64_t hash, const Texts& texts, const KnownRow& known) {
    std::string key;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::string_view text = texts[i];
      if (text.size() > kMostText) return;
      key += static_cast<char>(text.size());
      key += text;
    }
    make_room(key.size());
    bytes_ += key.size();
    ++count_;
    place({.known = known, .hash = hash, .texts_count = texts.size(), .key = std::move(key)});
  }

  void clear() {
    entries_.clear();
    count_ = bytes_ = 0;
  }

 private:
  struct Entry {
    KnownRow known = {};
    std::uint64_t hash = 0;
    std::size_t texts_count = 0;
    std::string key = {};  // texts, each behind its size
  };

  [[nodiscard]] std::size_t mask() const { return entries_.size() - 1; }

  template <class Texts>
  static bool is_of(const Entry& entry, const Texts& texts) {
    const char* at = entry.key.data();
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::string_view text = texts[i];
      if (static_cast<unsigned char>(*at) != text.size() || !same_text(at + 1, text.data(), text.size()))
        return false;
      at += 1 + text.size();
    }
    return true;
  }

  void place(Entry entry) {
    std::size_t i = entry.hash & mask();
    while (entries_[i].known.row != nullptr) i = (i + 1) & mask();
    entries_[i] = std::move(entry);
  }

  // For one more, of so many bytes.
  void make_room(std::size_t bytes) {
    constexpr std::size_t kFirst = 64;
    if (count_ == kMost || bytes_ + bytes > kMostBytes) clear();
    if (2 * (count_ + 1) <= entries_.size()) return;
    std::vector<Entry> before(entries_.empty() ? kFirst : 2 * entries_.size());
    before.swap(entries_);
    for (Entry& entry : before) {
      if (entry.known.row != nullptr) place(std::move(entry));
    }
  }

  std::vector<Entry> entries_;  // a power of two of them, or none; half of them empty at least
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace mmstats::receive

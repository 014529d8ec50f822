// The shape that the files of one kind of worker share: where every value is, and the bytes between
// the values. A file that still looks so costs one comparison, and its values are taken by offset.
// Immutable once built; shared by all files of that shape.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/keyed_hash.h"
#include "collect/histogram_binding.h"
#include "collect/rules.h"
#include "collect/shared_binding.h"
#include "collect/shares.h"
#include "format/metadata_index.h"
#include "format/owner.h"
#include "format/struct_codes.h"
#include "mmstats/parse.h"

namespace mmstats {

// Bytes behind the end of every buffer that a Layout looks at, so that eight bytes can be loaded
// wherever a value begins.
inline constexpr std::size_t kLoadSlack = 32;

// Where one number is, and how its bytes are taken.
struct FieldPlan {
  std::uint32_t at = 0;        // of buffer 0, or of the only value
  std::uint32_t flag_at = 0;   // of the write buffer byte
  std::uint64_t mask = 0;      // keeps the item's bytes of eight loaded ones
  std::uint32_t stride = 0;    // from buffer 0 to buffer 1; 0 if unbuffered
  std::uint8_t bad_flags = 0;  // bits that the write buffer byte must not have
  char code = '\0';
  bool swapped = false;
  double scale = 1.0;  // Binding::scale, here because every scan needs it

  // The published item's raw bits. `bytes` has kLoadSlack bytes behind the layout's window.
  [[nodiscard]] std::uint64_t load(const std::byte* bytes) const {
    const std::uint32_t published = (std::to_integer<std::uint32_t>(bytes[flag_at]) ^ 1U) & 1U;
    std::uint64_t raw = 0;
    std::memcpy(&raw, bytes + at + std::size_t{published} * stride, sizeof raw);
    return raw & mask;
  }

  // Whether a counter's raw bits are its value.
  [[nodiscard]] bool stores_counter() const {
    return mask == ~std::uint64_t{0} && !swapped && code != 'q' && code != 'l' && code != 'n';
  }

  // Whether raw bits mean the same in both.
  [[nodiscard]] bool same_type(const FieldPlan& other) const {
    return code == other.code && swapped == other.swapped && mask == other.mask;
  }

  // A whole-number counter's value. A negative one counts nothing yet.
  [[nodiscard]] std::uint64_t counter(std::uint64_t raw) const {
    if (stores_counter()) return raw;
    const auto bytes = static_cast<unsigned>(64 - std::countl_zero(mask)) / 8;
    if (swapped) raw = __builtin_bswap64(raw) >> (64U - 8U * bytes);
    const bool is_signed = struct_code(code).kind == CodeClass::kSigned;
    const bool negative = is_signed && ((raw >> (8U * bytes - 1)) & 1U) != 0;
    return negative ? 0 : raw;
  }

  [[nodiscard]] double number(std::uint64_t raw) const {
    return code == 'd' && !swapped ? std::bit_cast<double>(raw) : to_double(code, swapped, raw);
  }
};

// Who a file says it is, in raw bits. Zero where it does not say.
struct LifeMark {
  std::uint64_t pid = 0;
  std::uint64_t created = 0;
  bool operator==(const LifeMark&) const = default;
};

// Bytes of a file.
struct FileRange {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool operator==(const FileRange&) const = default;
};

class Layout {
 public:
  // `content` was parsed from `bytes`, which hold the whole file or, where the list of fields ends
  // before it, enough of it.
  // `metadata`: of `content`.
  Layout(const ParsedFile& content, std::span<const std::byte> bytes, const Rules& rules,
         const MetadataIndex& metadata);

  // At most so many bytes the layout of such a file takes: at once, for whoever does not want to build what
  // is too large. A few bytes of a file may stand for a thousand values with long labels and texts.
  static std::size_t most_memory(const ParsedFile& content, std::size_t size, const Rules& rules,
                                 const MetadataIndex& metadata);

  // At most so many units of work (work.h) it takes to build it.
  static std::uint64_t most_work(const ParsedFile& content, std::size_t size, const Rules& rules,
                                 const MetadataIndex& metadata);

  // The keyed hash of all bytes that matches() compares: files share a layout if they share it, and nobody
  // can make others that do.
  static std::uint64_t hash(const ParsedFile& content, std::span<const std::byte> bytes);

  // Whether another reading of the file has the same where `content`, which was parsed from `bytes`, says
  // what it is: in labels, types, metadata and the end. And how many bytes that must have.
  static bool same_shape(const ParsedFile& content, std::span<const std::byte> bytes,
                         std::span<const std::byte> again);
  static std::size_t wanted(const ParsedFile& content, std::size_t got);

  // How many bytes to read to be sure, and whether `got` of them at `bytes` look as they did: all but runs().
  [[nodiscard]] std::size_t wanted() const { return window_ + (exact_ ? 2 : 0); }
  [[nodiscard]] bool matches(const std::byte* bytes, std::size_t got) const;

  [[nodiscard]] LifeMark mark(const std::byte* bytes) const;
  // Whether the bytes say nothing else than `mark`.
  [[nodiscard]] bool agrees(const LifeMark& mark, const std::byte* bytes) const;
  // Who `mark` says it is; tid: as in `bytes`, if there are any.
  [[nodiscard]] Owner owner(const LifeMark& mark, const std::byte* bytes = nullptr) const;

  // False: the file says that it is left to the next thread, as format.md has it: its counters count alone.
  [[nodiscard]] bool has_thread(const std::byte* bytes) const {
    return !mapped_ || !tid_ || tid_->load(bytes) != 0;
  }

  // Plans in this order: counters whose raw bits are their value, other counters of whole numbers,
  // counters of fractions, all others.
  [[nodiscard]] std::span<const FieldPlan> plans() const { return plans_; }
  [[nodiscard]] std::size_t plain_counters() const { return plain_counters_; }
  [[nodiscard]] std::size_t whole_counters() const { return whole_counters_; }
  [[nodiscard]] std::size_t counters() const { return counters_; }
  [[nodiscard]] const SharedBinding& binding(std::size_t plan) const { return *bindings_[plan]; }
  // Keyed hash of the plan's label, told apart from equal labels of the same file.
  [[nodiscard]] std::uint64_t label(std::size_t plan) const { return labels_[plan]; }
  [[nodiscard]] std::uint64_t first_label() const { return first_label_; }  // hash of the first that is used
  [[nodiscard]] bool apart() const { return apart_; }  // some series are kept apart by process
  [[nodiscard]] const std::optional<Damage>& damage() const { return damage_; }

  // Where fields of buckets and room for them are: each file of this shape has other ones there.
  [[nodiscard]] std::span<const FileRange> runs() const { return runs_; }
  // Histograms that the file tells of, by number; and the number of the one with that label.
  [[nodiscard]] std::span<const HistogramBinding> histograms() const { return histograms_; }
  [[nodiscard]] std::optional<std::uint32_t> histogram(std::string_view label) const;
  // The plan of a histogram's LABEL.sum, if the file has that counter.
  [[nodiscard]] std::optional<std::size_t> sum(std::size_t histogram) const { return sums_[histogram]; }

  // Bytes that it takes, what its bindings hold included, about.
  [[nodiscard]] std::size_t memory() const { return memory_; }

  // Somebody pays for that out of his share of `memory`, one of several perhaps; and does no more. Whoever
  // has series with its bindings pays for these only while nobody pays for the layout.
  void begin_paying(Shares& memory) const;
  void end_paying(Shares& memory) const;

  // The bytes that hold all values, and what has_thread() looks at: what a second reading must take.
  [[nodiscard]] std::size_t hot_begin() const { return hot_begin_; }
  [[nodiscard]] std::size_t hot_end() const { return hot_end_; }

 private:
  // The value of one plan, while the layout is built.
  struct Value {
    FieldPlan plan;
    std::string label;
    BindingPtr binding;
  };
  void add_field(const Field& field, const Rules& rules, const MetadataIndex& metadata,
                 std::vector<Value>& values);
  void set_plans(std::vector<Value>& values);
  void add_histograms(const Rules& rules, const MetadataIndex& metadata);
  [[nodiscard]] const SharedBinding* histogram_of_sum(std::string_view label) const;
  void find_sums(const std::vector<Value>& values);
  void exempt(std::uint64_t offset, std::uint64_t size);
  void set_window(const ParsedFile& content, std::span<const std::byte> bytes);
  template <class Visit>
  void for_each_binding(Visit&& visit) const;

  // What is compared: bytes between the runs, each part of the pattern a multiple of the compared width long.
  struct Part {
    FileRange bytes;
    std::size_t pattern;
  };
  std::vector<Part> parts_;
  std::vector<std::byte> pattern_;
  std::vector<std::byte> mask_;
  std::vector<FileRange> runs_;
  std::vector<HistogramBinding> histograms_;
  std::vector<std::optional<std::size_t>> sums_;                        // by histogram
  std::unordered_map<std::string, std::uint32_t, KeyedHash> by_label_;  // of histograms
  std::size_t window_ = 0;
  bool exact_ = false;  // the file ends where the window does
  std::vector<FieldPlan> plans_;
  std::vector<std::uint64_t> labels_;
  std::vector<BindingPtr> bindings_;
  std::size_t plain_counters_ = 0;
  std::size_t whole_counters_ = 0;
  std::size_t counters_ = 0;
  std::uint64_t first_label_ = 0;
  bool apart_ = false;
  std::optional<FieldPlan> pid_;
  std::optional<FieldPlan> created_;
  std::optional<FieldPlan> tid_;
  bool mapped_ = false;  // Owner::mapped
  std::optional<Damage> damage_;
  std::size_t hot_begin_ = 0;
  std::size_t hot_end_ = 0;
  std::size_t memory_ = 0;
  mutable std::size_t payers_ = 0;
};

}  // namespace mmstats

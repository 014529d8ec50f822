#include "collect/layout.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/keyed_hash.h"
#include "collect/work.h"
#include "format/bucket_field.h"
#include "format/struct_codes.h"

namespace mmstats {
namespace {

// Compared at once: the compiler makes vector instructions of it.
using Block = std::uint64_t __attribute__((vector_size(32)));

// So many bytes behind damage are part of the shape: when they change, it is parsed again.
constexpr std::uint64_t kDamageWindow = 64;

// A repeated value with more items is data, not a set of metrics.
constexpr std::uint64_t kMaxItems = 1024;

constexpr std::string_view kSum = ".sum";

constexpr std::size_t kPlanMemory = sizeof(FieldPlan) + sizeof(std::uint64_t) + sizeof(BindingPtr);
constexpr std::size_t kHistogramMemory = sizeof(HistogramBinding) + 136;  // the last: its entry by label

// Whether two byte strings differ where the mask has bits. `size` is a multiple of a block's.
// Compiled twice: this is the one loop over all bytes of all files in every scan.
[[gnu::always_inline]] inline bool differs_in_blocks(const std::byte* a, const std::byte* b,
                                                     const std::byte* mask, std::size_t size) {
  Block different{};
  for (std::size_t at = 0; at < size; at += sizeof(Block)) {
    Block left;
    Block right;
    Block bits;
    std::memcpy(&left, a + at, sizeof left);
    std::memcpy(&right, b + at, sizeof right);
    std::memcpy(&bits, mask + at, sizeof bits);
    different |= (left ^ right) & bits;
  }
  return (different[0] | different[1] | different[2] | different[3]) != 0;
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] bool differs_avx2(const std::byte* a, const std::byte* b, const std::byte* mask,
                                          std::size_t size) {
  return differs_in_blocks(a, b, mask, size);
}

bool differs(const std::byte* a, const std::byte* b, const std::byte* mask, std::size_t size) {
  // clang takes it for a bool, g++ for an int.
  // NOLINTNEXTLINE(readability-redundant-casting)
  static const bool has_avx2 = static_cast<bool>(__builtin_cpu_supports("avx2"));
  return has_avx2 ? differs_avx2(a, b, mask, size) : differs_in_blocks(a, b, mask, size);
}
#else
bool differs(const std::byte* a, const std::byte* b, const std::byte* mask, std::size_t size) {
  return differs_in_blocks(a, b, mask, size);
}
#endif

constexpr std::size_t round_up(std::size_t size) {
  return (size + sizeof(Block) - 1) / sizeof(Block) * sizeof(Block);
}

// How much of a file is compared, and whether it ends there.
struct Window {
  std::uint64_t size = 0;
  bool exact = false;
};

Window window_of(const ParsedFile& content, std::uint64_t got) {
  if (content.cut) return {got, true};
  if (content.damage) return {std::min(got, content.damage->offset + kDamageWindow), false};
  if (content.terminated && content.end + 2 <= got) return {content.end + 2, false};
  return {got, true};
}

// Only metadata decides about other fields.
bool is_metadata(const Field& field) { return label_has_suffix(field.label, kMetadataLabel); }

// How many values the field brings, if rules use them.
std::size_t items_of(const Field& field) {
  return field.type.item_size == 0 || field.type.items > kMaxItems ? 0 : field.type.items;
}

bool is_of_run(const Field& field) {
  return bucket_field(field) || (!field.buffered && label_has_suffix(field.label, kRoomLabel));
}

// Fields of buckets and rooms for them that lie one behind the other.
std::vector<FileRange> runs_of(const ParsedFile& content) {
  std::vector<FileRange> runs;
  for (const Field& field : content.fields) {
    if (!is_of_run(field)) continue;
    const auto begin = static_cast<std::uint32_t>(field.offset);
    const auto end = static_cast<std::uint32_t>(field.write_buffer_offset + 1 + field.type.size);
    if (!runs.empty() && runs.back().end == begin) {
      runs.back().end = end;
    } else {
      runs.push_back({begin, end});
    }
  }
  return runs;
}

FieldPlan plan_item(const Field& field, std::uint64_t item) {
  FieldPlan plan;
  plan.at = static_cast<std::uint32_t>(field.write_buffer_offset + 1 + field.type.first_item +
                                       item * field.type.item_size);
  plan.flag_at = static_cast<std::uint32_t>(field.write_buffer_offset);
  plan.mask = ~std::uint64_t{0} >> (64U - 8U * field.type.item_size);
  plan.stride = field.buffered ? static_cast<std::uint32_t>(field.type.size) : 0;
  plan.bad_flags = field.buffered ? 0xFE : 0;
  plan.code = field.type.code;
  plan.swapped = field.type.swapped;
  return plan;
}

}  // namespace

std::uint64_t Layout::hash(const ParsedFile& content, std::span<const std::byte> bytes) {
  KeyedHasher hasher;
  const auto add = [&](std::uint64_t from, std::uint64_t to) {
    hasher.add(std::string_view(reinterpret_cast<const char*>(bytes.data()) + from, to - from));
  };
  const Window window = window_of(content, bytes.size());
  hasher.add(window.size * 2 + (window.exact ? 1 : 0));
  for (const FileRange& run : runs_of(content)) {
    hasher.add(run.begin);
    hasher.add(run.end);
  }
  for (const Field& field : content.fields) {
    if (is_of_run(field)) continue;
    // The numbers make sure that one sequence of bytes is one list of fields.
    hasher.add(field.write_buffer_offset * 2 + (field.buffered ? 1 : 0));
    add(field.offset, field.write_buffer_offset);
    if (!is_metadata(field)) continue;
    const std::uint64_t values = field.write_buffer_offset + 1;
    add(values, values + (field.buffered ? 2 : 1) * field.type.size);
  }
  add(content.end, window.size);
  return hasher.finish();
}

std::size_t Layout::wanted(const ParsedFile& content, std::size_t got) {
  const Window window = window_of(content, got);
  return window.size + (window.exact ? 2 : 0);
}

bool Layout::same_shape(const ParsedFile& content, std::span<const std::byte> bytes,
                        std::span<const std::byte> again) {
  const Window window = window_of(content, bytes.size());
  if (window.exact ? again.size() != window.size : again.size() < window.size) return false;
  const auto same = [&](std::uint64_t from, std::uint64_t to) {
    return std::memcmp(bytes.data() + from, again.data() + from, to - from) == 0;
  };
  return bytes[0] == again[0] && same(content.end, window.size) &&
         std::ranges::all_of(content.fields, [&](const Field& field) {
           const std::uint64_t values = field.write_buffer_offset + 1;
           const bool buffered = again[field.write_buffer_offset] != std::byte{kUnbuffered};
           return buffered == field.buffered && same(field.offset, field.write_buffer_offset) &&
                  (!is_metadata(field) || same(values, values + (buffered ? 2 : 1) * field.type.size));
         });
}

std::size_t Layout::most_memory(const ParsedFile& content, std::size_t size, const Rules& rules,
                                const MetadataIndex& metadata) {
  // What an item's number and the mark of a label that repeats take.
  constexpr std::size_t kMostAdded = 24;
  std::size_t bytes = sizeof(Layout) + 2 * round_up(size);
  for (const Field& field : content.fields) {
    const std::size_t items = items_of(field);
    if (items == 0) continue;
    const auto known = metadata.find(field.label);
    const std::size_t label = field.label.size() + kMostAdded;
    const std::size_t texts = rules.most_text(label, known) + known.unit.size() + known.help.size();
    bytes += items * (kPlanMemory + SharedBinding::most_memory(texts));
  }
  for (const auto& [stem, known] : metadata.histograms()) {
    const std::size_t texts =
        rules.most_text(stem.size() + kMostAdded, known) + known.unit.size() + known.help.size();
    bytes +=
        kHistogramMemory + stem.size() +
        most_histogram_bindings(rules) * (sizeof(HistogramBinding::Part) + SharedBinding::most_memory(texts));
  }
  return bytes;
}

std::uint64_t Layout::most_work(const ParsedFile& content, std::size_t size, const Rules& rules,
                                const MetadataIndex& metadata) {
  std::uint64_t units = work::of_bytes(2 * size);
  const bool has_families = metadata.more_searches() > 0;
  for (const Field& field : content.fields) {
    const auto known = has_families ? metadata.find(field.label) : FieldMetadata();
    units += items_of(field) * rules.most_work(field.label.size(), known);
  }
  for (const auto& [label, known] : metadata.histograms())
    units += most_histogram_bindings(rules) * rules.most_work(label.size(), known);
  return units;
}

Layout::Layout(const ParsedFile& content, std::span<const std::byte> bytes, const Rules& rules,
               const MetadataIndex& metadata)
    : damage_(content.damage) {
  const Window window = window_of(content, bytes.size());
  window_ = window.size;
  exact_ = window.exact;
  set_window(content, bytes);
  add_histograms(rules, metadata);
  for (const Field& field : content.fields) {
    if (!is_metadata_text(field)) continue;
    mapped_ = mapped_ || says_mapped(field.label, metadata_text(field));
  }
  std::vector<Value> values;
  for (const Field& field : content.fields) add_field(field, rules, metadata, values);
  set_plans(values);
  apart_ = std::ranges::any_of(bindings_, [](const auto& binding) { return binding->apart(); }) ||
           std::ranges::any_of(histograms_, [](const HistogramBinding& histogram) {
             return histogram.whole->apart() || std::ranges::any_of(histogram.parts, [](const auto& part) {
                      return part.binding->apart();
                    });
           });
  hot_begin_ = plans_.empty() ? 0 : window_;
  for (const FieldPlan& plan : plans_) {
    hot_begin_ = std::min<std::size_t>(hot_begin_, plan.flag_at);
    hot_end_ = std::max<std::size_t>(hot_end_, plan.at + plan.stride + sizeof(std::uint64_t));
  }
  if (!plans_.empty() && mapped_ && tid_) {
    hot_begin_ = std::min<std::size_t>(hot_begin_, tid_->at);
    hot_end_ = std::max<std::size_t>(hot_end_, tid_->at + sizeof(std::uint64_t));
  }
  hot_end_ = std::min(hot_end_, window_);
  memory_ = sizeof *this + pattern_.size() + mask_.size() + plans_.size() * kPlanMemory;
  for_each_binding([&](const SharedBinding& binding) { memory_ += binding.memory(); });
  for (const HistogramBinding& histogram : histograms_)
    memory_ += kHistogramMemory + histogram.parts.size() * sizeof(HistogramBinding::Part);
}

template <class Visit>
void Layout::for_each_binding(Visit&& visit) const {
  for (const auto& binding : bindings_) visit(*binding);
  for (const HistogramBinding& histogram : histograms_) {
    visit(*histogram.whole);
    for (const auto& part : histogram.parts) visit(*part.binding);
  }
}

void Layout::begin_paying(Shares& memory) const {
  if (payers_++ > 0) return;
  for_each_binding([&](const SharedBinding& binding) {
    binding.paid_with_shape = true;
    if (binding.series > 0) memory.give(binding.payer, binding.memory());
  });
}

// What series pay for is less than what was paid for the layout.
void Layout::end_paying(Shares& memory) const {
  if (--payers_ > 0) return;
  for_each_binding([&](const SharedBinding& binding) {
    binding.paid_with_shape = false;
    if (binding.series > 0) memory.take_anyway(binding.payer, binding.memory());
  });
}

// Takes the values, in the order of plans().
void Layout::set_plans(std::vector<Value>& values) {
  if (!values.empty()) first_label_ = keyed_hash(values.front().label);
  const auto rank = [](const Value& value) {
    if (value.binding->kind != Kind::kCounter) return 3;
    if (is_fraction(value.plan.code)) return 2;
    return value.plan.stores_counter() ? 0 : 1;
  };
  std::vector<Value> sorted;
  sorted.reserve(values.size());
  std::size_t* const ends[] = {&plain_counters_, &whole_counters_, &counters_};
  for (int wanted = 0; wanted <= 3; ++wanted) {
    for (Value& value : values) {
      if (value.binding && rank(value) == wanted) sorted.push_back(std::move(value));
    }
    if (wanted < 3) *ends[wanted] = sorted.size();
  }
  values = std::move(sorted);
  find_sums(values);
  plans_.reserve(values.size());
  labels_.reserve(values.size());
  bindings_.reserve(values.size());
  // A label that gets a number is never the one that is a key.
  std::unordered_map<std::string_view, std::uint64_t, KeyedHash> used;
  for (Value& value : values) {
    const std::uint64_t before = used[value.label]++;
    const std::uint64_t hash = keyed_hash(value.label);
    plans_.push_back(value.plan);
    labels_.push_back(before > 0 ? keyed_hash(hash, before) : hash);
    bindings_.push_back(std::move(value.binding));
  }
}

void Layout::set_window(const ParsedFile& content, std::span<const std::byte> bytes) {
  runs_ = runs_of(content);
  std::size_t most = window_ + (runs_.size() + 1) * (sizeof(Block) - 1);
  for (const FileRange& run : runs_) most -= run.end - run.begin;
  pattern_.reserve(most);
  mask_.reserve(most);
  const auto add = [&](std::size_t begin, std::size_t end) {
    if (begin == end) return;
    parts_.push_back({{static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)}, pattern_.size()});
    const auto part = bytes.subspan(begin, end - begin);
    pattern_.insert(pattern_.end(), part.begin(), part.end());
    mask_.resize(pattern_.size(), std::byte{0xFF});
    pattern_.resize(round_up(pattern_.size()), std::byte{0});
    mask_.resize(pattern_.size(), std::byte{0});
  };
  std::size_t begin = 0;
  for (const FileRange& run : runs_) {
    add(begin, run.begin);
    begin = run.end;
  }
  add(begin, window_);
}

void Layout::add_histograms(const Rules& rules, const MetadataIndex& metadata) {
  for (const auto& [label, known] : metadata.histograms()) {
    by_label_.emplace(label, static_cast<std::uint32_t>(histograms_.size()));
    histograms_.push_back(bind_histogram(rules, label, known));
  }
}

// That whose sum has the label; null: none.
const SharedBinding* Layout::histogram_of_sum(std::string_view label) const {
  if (!label.ends_with(kSum)) return nullptr;
  const auto known = histogram(label.substr(0, label.size() - kSum.size()));
  return known ? histograms_[*known].whole.get() : nullptr;
}

void Layout::find_sums(const std::vector<Value>& values) {
  sums_.resize(histograms_.size());
  // The first of that label, as others have a number behind it.
  for (std::size_t i = counters_; i-- > 0 && !histograms_.empty();) {
    const std::string_view label = values[i].label;
    if (!label.ends_with(kSum)) continue;
    if (const auto known = histogram(label.substr(0, label.size() - kSum.size()))) sums_[*known] = i;
  }
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    if (sums_[i]) histograms_[i].add_series(*values[*sums_[i]].binding, kSum.substr(1));
  }
}

std::optional<std::uint32_t> Layout::histogram(std::string_view label) const {
  if (by_label_.empty()) return std::nullopt;
  const auto known = by_label_.find(std::string(label));
  return known == by_label_.end() ? std::nullopt : std::optional(known->second);
}

// Takes bytes out of the comparison. They are of one part.
void Layout::exempt(std::uint64_t offset, std::uint64_t size) {
  const auto behind =
      std::upper_bound(parts_.begin(), parts_.end(), offset,
                       [](std::uint64_t at, const Part& part) { return at < part.bytes.begin; });
  const Part& part = *(behind - 1);
  std::fill_n(mask_.begin() + static_cast<std::ptrdiff_t>(part.pattern + offset - part.bytes.begin), size,
              std::byte{0});
}

void Layout::add_field(const Field& field, const Rules& rules, const MetadataIndex& metadata,
                       std::vector<Value>& values) {
  if (is_of_run(field)) return;
  const std::uint64_t copies = field.buffered ? 2 : 1;
  // What is not a value over time may change unseen.
  if (!is_metadata(field)) exempt(field.write_buffer_offset + 1, copies * field.type.size);
  if (field.buffered) exempt(field.write_buffer_offset, 1);
  if (!metadata.is_there(field)) return;

  if (field.type.is_scalar_number() && !field.buffered) {
    if (!pid_ && label_has_suffix(field.label, "sys.pid")) pid_ = plan_item(field, 0);
    if (!created_ && label_has_suffix(field.label, "sys.created")) created_ = plan_item(field, 0);
    if (!tid_ && label_has_suffix(field.label, "sys.tid")) tid_ = plan_item(field, 0);
  }
  const std::uint64_t items = items_of(field);
  if (items == 0) return;
  // Buckets tell it.
  if (const auto stem = histogram_stem(field.label); !stem.empty() && histogram(stem)) return;
  const auto known = metadata.find(field.label);
  const SharedBinding* const of_histogram = histogram_of_sum(field.label);
  for (std::uint64_t item = 0; item < items; ++item) {
    std::string label(field.label);
    if (items > 1) label += '.' + std::to_string(item);
    Binding binding = rules.bind(label, field, known, of_histogram);
    if (!binding.used) continue;
    FieldPlan plan = plan_item(field, item);
    plan.scale = binding.scale;
    values.push_back({plan, std::move(label), share(std::move(binding))});
  }
}

bool Layout::matches(const std::byte* bytes, std::size_t got) const {
  if (exact_ ? got != window_ : got < window_) return false;
  return std::none_of(parts_.begin(), parts_.end(), [&](const Part& part) {
    return differs(bytes + part.bytes.begin, pattern_.data() + part.pattern, mask_.data() + part.pattern,
                   round_up(part.bytes.end - part.bytes.begin));
  });
}

LifeMark Layout::mark(const std::byte* bytes) const {
  return {pid_ ? pid_->load(bytes) : 0, created_ ? created_->load(bytes) : 0};
}

bool Layout::agrees(const LifeMark& mark, const std::byte* bytes) const {
  return (!pid_ || pid_->load(bytes) == mark.pid) && (!created_ || created_->load(bytes) == mark.created);
}

Owner Layout::owner(const LifeMark& mark, const std::byte* bytes) const {
  const auto id = [](const std::optional<FieldPlan>& plan, std::uint64_t raw) {
    const double id = plan ? plan->number(raw) : 0;
    return id > 0 && id < 4294967296.0 ? static_cast<std::uint64_t>(id) : 0;
  };
  Owner owner{.pid = id(pid_, mark.pid), .tid = 0, .created = 0, .mapped = mapped_};
  if (created_) owner.created = created_->number(mark.created);
  if (tid_ && bytes != nullptr) owner.tid = id(tid_, tid_->load(bytes));
  return owner;
}

}  // namespace mmstats

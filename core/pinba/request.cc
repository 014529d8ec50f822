#include "pinba/request.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <new>

#include "base/utf8.h"
#include "pinba/hash_slots.h"
#include "pinba/wire.h"

namespace pinba {

using mmstats::utf8_sequence;

namespace {

constexpr std::uint32_t kMaxHits = std::numeric_limits<std::uint32_t>::max();

unsigned byte_at(std::string_view text, std::size_t i) { return static_cast<unsigned char>(text[i]); }

// Eight bytes that are ASCII without NUL, as nearly all are.
bool is_plain(const char* eight) {
  std::uint64_t word = 0;
  std::memcpy(&word, eight, sizeof word);
  constexpr std::uint64_t kLow = 0x0101010101010101;
  constexpr std::uint64_t kHigh = kLow << 7U;
  return ((word | (word - kLow)) & kHigh) == 0;
}

std::uint32_t hash_of(std::string_view text) {
  return static_cast<std::uint32_t>(std::hash<std::string_view>{}(text));
}

}  // namespace

bool is_clean(std::string_view text) {
  // Nearly every text is plain ASCII: the last eight bytes are looked at together too, some of them again.
  std::size_t at = 0;
  while (text.size() - at >= 8 && is_plain(text.data() + at)) at += 8;
  if (text.size() >= 8 && text.size() - at < 8 && is_plain(text.data() + text.size() - 8)) return true;
  text.remove_prefix(at);
  while (!text.empty()) {
    const auto first = static_cast<unsigned char>(text[0]);
    const std::size_t length = first < 0x80 ? 1 : utf8_sequence(text);
    if (length == 0 || first == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  while (!text.empty()) {
    const std::size_t length = text[0] == '\0' ? 0 : utf8_sequence(text);
    if (length == 0) {
      constexpr std::string_view kDigits = "0123456789ABCDEF";
      out += {'\\', 'x', kDigits[byte_at(text, 0) >> 4U], kDigits[byte_at(text, 0) & 0xFU]};
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::uint32_t Dictionary::add(std::string_view text) {
  if (text.empty()) {
    ++filled_;
    text = kEmptyText;
  }
  const std::uint32_t hash = hash_of(text);
  if (2 * (entries_.size() + 1) > slots_.size()) grow();
  const auto same = [&](const Entry& entry) {
    return std::string_view(wire_).substr(entry.begin, entry.length) == text;
  };
  const std::size_t slot = find_slot(slots_, entries_, hash, same);
  if (slots_[slot] != 0) return slots_[slot] - 1;
  // What is in here is clean, so only a new text can need it.
  if (!is_clean(text)) {
    ++escaped_;
    return add(escaped(text));
  }
  std::array<char, 6> head{0x7A};
  std::size_t head_size = 1;
  std::size_t rest = text.size();
  for (; rest >= 0x80 && head_size < head.size() - 1; rest >>= 7U) {
    head[head_size++] = static_cast<char>(rest | 0x80U);
  }
  head[head_size++] = static_cast<char>(rest);
  if (text.size() + head_size > kMaxHits - wire_.size()) throw std::bad_alloc();
  wire_.append(head.data(), head_size);
  entries_.push_back(
      {static_cast<std::uint32_t>(wire_.size()), static_cast<std::uint32_t>(text.size()), hash});
  wire_.append(text);
  slots_[slot] = size();
  return size() - 1;
}

std::uint32_t Dictionary::add(const Dictionary& other, std::uint32_t index) {
  const Entry& entry = other.entries_[index];
  if (2 * (entries_.size() + 1) > slots_.size()) grow();
  const std::string_view text = other[index];
  const std::size_t slot = find_slot(slots_, entries_, entry.hash, [&](const Entry& known) {
    return std::string_view(wire_).substr(known.begin, known.length) == text;
  });
  if (slots_[slot] != 0) return slots_[slot] - 1;
  const std::size_t head_size = 1 + wire::varint_size(entry.length);
  if (entry.length + head_size > kMaxHits - wire_.size()) throw std::bad_alloc();
  entries_.push_back({static_cast<std::uint32_t>(wire_.size() + head_size), entry.length, entry.hash});
  wire_.append(other.wire_, entry.begin - head_size, head_size + entry.length);
  slots_[slot] = size();
  return size() - 1;
}

void Dictionary::grow() { rebuild_slots(slots_, entries_); }

void Dictionary::clear() {
  wire_.clear();
  entries_.clear();
  std::ranges::fill(slots_, 0);
  escaped_ = 0;
  filled_ = 0;
}

void Request::add_tags(const Tags& added) {
  for (const auto& [name, value] : added.pairs()) {
    const TagRef tag = intern(name, value);
    if (std::ranges::find(tags, tag) == tags.end()) tags.push_back(tag);
  }
}

void Request::set_tags(const Tags& replacing) {
  std::erase_if(tags, [&](const TagRef& tag) { return replacing.has(dictionary[tag.name]); });
  add_tags(replacing);
}

void Request::add_timer(std::span<const TagRef> timer_tags_of_it, std::uint64_t hit_count, double value,
                        double timer_ru_utime, double timer_ru_stime) {
  while (hit_count > 0) {
    const auto hits = static_cast<std::uint32_t>(std::min<std::uint64_t>(hit_count, kMaxHits));
    timers.push_back(
        {hits, static_cast<std::uint32_t>(timer_tags_of_it.size()), value, timer_ru_utime, timer_ru_stime});
    timer_tags.insert(timer_tags.end(), timer_tags_of_it.begin(), timer_tags_of_it.end());
    hit_count -= hits;
    value = timer_ru_utime = timer_ru_stime = 0;
  }
}

void Request::add_timer(const Tags& timer_tags_of_it, std::uint64_t hit_count, double value,
                        double timer_ru_utime, double timer_ru_stime) {
  std::vector<TagRef> refs;
  refs.reserve(timer_tags_of_it.pairs().size());
  for (const auto& [name, text] : timer_tags_of_it.pairs()) refs.push_back(intern(name, text));
  add_timer(refs, hit_count, value, timer_ru_utime, timer_ru_stime);
}

void Request::clear() {
  for (std::string* text : {&hostname, &server_name, &script_name}) text->clear();
  request_count = 0;
  document_size = memory_peak = 0;
  request_time = ru_utime = ru_stime = 0;
  timers.clear();
  timer_tags.clear();
  dictionary.clear();
  status.reset();
  memory_footprint.reset();
  requests.clear();
  schema.reset();
  tags.clear();
}

Tags::Braced::Braced(std::initializer_list<Braced> elements) {
  const bool is_mapping = elements.size() > 0 && std::ranges::all_of(elements, [](const Braced& element) {
                            return element.entry_.has_value();
                          });
  for (const Braced& element : elements) {
    const Pairs& from = is_mapping ? *element.entry_ : element.pairs_;
    pairs_.insert(pairs_.end(), from.begin(), from.end());
  }
  if (elements.size() != 2 || !elements.begin()->key_) return;
  entry_.emplace();
  for (const auto& [name, value] : (elements.begin() + 1)->pairs_) {
    entry_->emplace_back("." + *elements.begin()->key_ + name, value);
  }
}

Tags::Tag::Tag(std::string_view name, std::initializer_list<Braced> elements) : name_(name) {
  auto pairs = std::make_unique<Pairs>();
  for (auto& [rest, value] : Braced(elements).pairs_) {
    pairs->emplace_back(std::string(name) + rest, std::move(value));
  }
  hold(std::move(pairs));
}

Tags::Tag::Tag(const Tag& other) : name_(other.name_), data_(other.data_), size_(other.size_) {
  if (size_ == kPairs) hold(std::make_unique<Pairs>(other.pairs()));
}

void Tags::Tag::drop() { delete static_cast<const Pairs*>(data_); }

Tags::Tags(std::initializer_list<Tag> tags) {
  pairs_.reserve(tags.size());
  for (const Tag& tag : tags) {
    tag.visit([this](std::string_view name, std::string_view value) { insert(name, value); });
  }
}

Tags& Tags::add(const Tags& other) {
  for (const auto& [name, value] : other.pairs_) insert(name, value);
  return *this;
}

Tags& Tags::set(const Tags& other) {
  std::erase_if(pairs_, [&](const auto& pair) { return other.has(pair.first); });
  return add(other);
}

bool Tags::has(std::string_view name) const {
  const auto place = std::ranges::lower_bound(
      pairs_, name, {}, [](const auto& pair) -> std::string_view { return pair.first; });
  return place != pairs_.end() && place->first == name;
}

void Tags::insert(std::string_view name, std::string_view value) {
  const auto place = std::ranges::lower_bound(pairs_, std::pair(name, value), {}, [](const auto& pair) {
    return std::pair<std::string_view, std::string_view>(pair);
  });
  if (place != pairs_.end() && place->first == name && place->second == value) return;
  pairs_.emplace(place, name, value);
}

namespace detail {

std::string number_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  // The limits between which Python writes no exponent.
  const double size = std::abs(value);
  const bool plain = value == 0 || (size >= 1e-4 && size < 1e16);
  std::array<char, 64> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(digits.data(), end.ptr);
  if (plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

}  // namespace detail
}  // namespace pinba

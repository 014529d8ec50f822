#include "plugin_pinba/receive/packet.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/keyed_hash.h"
#include "base/text_hash.h"
#include "base/utf8.h"

namespace mmstats::receive {
namespace {

using pinba::Message;
using pinba::Number;

constexpr std::array<std::string_view, kFaults> kFaultNames{
    "no_message", "missing_field", "bad_number",   "uneven_timers", "uneven_tags",
    "bad_index",  "no_hits",       "repeated_tag", "many_tags",     "many_requests"};

constexpr std::size_t kFewTags = 8;  // of which each may be compared with each

std::uint64_t hash_of_name(std::string_view name) {
  static const std::uint64_t seed = process_hash_key().low;
  return mix_text(seed, name);
}

bool is_amount(float value) { return std::isfinite(value) && value >= 0; }

// Whether there is a number of each kind for so many timers.
bool fits(const Message& message, std::size_t timers) {
  return message.hits.size() == timers && message.values.size() == timers &&
         (message.ru_utimes.empty() || message.ru_utimes.size() == timers) &&
         (message.ru_stimes.empty() || message.ru_stimes.size() == timers);
}

}  // namespace

std::string_view to_string(Fault fault) { return kFaultNames[static_cast<std::size_t>(fault)]; }

// One bit for each fault of a request.
class PacketReader::Found {
 public:
  void add(Fault fault) { bits_ |= 1U << static_cast<unsigned>(fault); }
  void add(const Found& others) { bits_ |= others.bits_; }
  [[nodiscard]] bool any() const { return bits_ != 0; }
  void count(FaultCounts& counts) const {
    if (bits_ == 0) return;
    for (std::size_t i = 0; i < kFaults; ++i) counts[i] += bits_ >> i & 1U;
  }

  std::string_view text(const std::optional<pinba::Text>& field) {
    if (!field) add(Fault::kMissingField);
    return field ? field->value : std::string_view();
  }
  std::uint64_t whole(const std::optional<Number>& field) {
    if (!field) add(Fault::kMissingField);
    return field ? low(*field) : 0;
  }
  double amount(const std::optional<pinba::Float>& field) {
    if (!field) add(Fault::kMissingField);
    return field ? amount(field->value) : 0.0;
  }
  double amount(float value) {
    if (!is_amount(value)) add(Fault::kBadNumber);
    return is_amount(value) ? value + 0.0 : 0.0;  // of -0 it makes 0
  }

 private:
  unsigned bits_ = 0;
};

std::span<Packet> PacketReader::read(pinba::Datagram datagram, FaultCounts& faults) {
  packets_.clear();
  timers_.clear();
  tags_.clear();
  to_keep_ = {};
  const bool any =
      pinba::read_early(datagram, message_, kMostRequests).has_value() &&
      (message_.first_field >= pinba::wire::kHostname && message_.first_field < pinba::wire::kFieldsEnd);
  if (any) {
    const std::string_view put_off = message_.put_off.value;
    const TagBlock* const known = put_off.empty() ? nullptr : blocks_.find(put_off);
    if (known == nullptr) {
      if (!put_off.empty() && blocks_.is_wanted()) to_keep_ = put_off;
      pinba::read_later(message_);
    }
    make_room(message_);
    add(message_, known, faults);
  } else {
    ++faults[static_cast<std::size_t>(Fault::kNoMessage)];
  }
  return packets_;
}

void PacketReader::make_room(const Message& message) {
  std::size_t packets = 0;
  std::size_t timers = 0;
  std::size_t tags = 0;
  const auto count = [&](const auto& self, const Message& one) -> void {
    ++packets;
    timers += one.hits.size();
    tags += one.tag_names.size() + std::min(one.request_tag_names.size(), kMostTags);
    for (const Message& inner : one.requests) self(self, inner);
  };
  count(count, message);
  packets_.reserve(packets);
  timers_.reserve(timers);
  tags_.reserve(tags);
}

void PacketReader::add(const Message& message, const TagBlock* known, FaultCounts& faults) {
  Found found;
  texts_.clear();
  for (const pinba::Text& text : message.dictionary)
    texts_.push_back(whole_characters(text.value, kMostTagText));
  dictionary_ = known == nullptr ? texts_ : known->dictionary;
  Packet& packet = packets_.emplace_back();
  packet.host = found.text(message.names[0]);
  packet.server = found.text(message.names[1]);
  packet.script = found.text(message.names[2]);
  if (message.names[3]) packet.schema = message.names[3]->value;
  if (message.status) packet.status = low(*message.status);
  packet.seconds = found.amount(message.times[0]);
  packet.user_seconds = found.amount(message.times[1]);
  packet.system_seconds = found.amount(message.times[2]);
  packet.bytes = found.whole(message.document_size);
  packet.memory = found.whole(message.memory_peak);
  if (message.memory_footprint) packet.memory = low(*message.memory_footprint);
  packet.tags = read_request_tags(message, found);
  packet.timers = read_timers(message, known, found);
  if (message.left_out > 0) found.add(Fault::kManyRequests);
  found.count(faults);
  for (const Message& inner : message.requests) add(inner, nullptr, faults);
}

// None: an index is beyond the dictionary.
std::optional<Tag> PacketReader::tag_of(const Number& name, const Number& value, Found& found) const {
  if (low(name) < dictionary_.size() && low(value) < dictionary_.size())
    return Tag{.name = dictionary_[low(name)], .value = dictionary_[low(value)]};
  found.add(Fault::kBadIndex);
  return std::nullopt;
}

// Appends it unless there is one of its name behind `begin`.
void PacketReader::put(std::size_t begin, const Tag& tag, Found& found) {
  const auto is_same = [&](std::size_t i) { return tags_[i].name == tag.name; };
  if (tags_.size() - begin < kFewTags) {
    for (std::size_t i = begin; i < tags_.size(); ++i) {
      if (is_same(i)) return found.add(Fault::kRepeatedTag);
    }
  } else {
    // Long names that differ at the end alone would cost their bytes with each other.
    if (names_.size() != tags_.size() - begin) {
      names_.clear();
      for (std::size_t i = begin; i < tags_.size(); ++i) names_.push_back(hash_of_name(tags_[i].name));
    }
    const std::uint64_t hash = hash_of_name(tag.name);
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (names_[i] == hash && is_same(begin + i)) return found.add(Fault::kRepeatedTag);
    }
    names_.push_back(hash);
  }
  tags_.push_back(tag);
}

std::span<const Tag> PacketReader::read_request_tags(const Message& message, Found& found) {
  const std::size_t begin = tags_.size();
  if (uneven_request_tags(message)) {
    found.add(Fault::kUnevenTags);
    return {};
  }
  const std::size_t count = message.request_tag_names.size();
  if (count > kMostTags) found.add(Fault::kManyTags);
  names_.clear();
  for (std::size_t i = 0; i < std::min(count, kMostTags); ++i) {
    if (const auto tag = tag_of(message.request_tag_names[i], message.request_tag_values[i], found))
      put(begin, *tag, found);
  }
  return std::span(tags_).subspan(begin);
}

// The tags of a timer, so many from `at` on, behind those that are there. False: they cannot be used.
bool PacketReader::read_tags(const Message& message, std::size_t at, std::size_t count, Found& found) {
  const std::size_t begin = tags_.size();
  if (count > kMostTags) {
    found.add(Fault::kManyTags);
    return false;
  }
  names_.clear();
  for (std::size_t i = at; i < at + count; ++i) {
    const auto tag = tag_of(message.tag_names[i], message.tag_values[i], found);
    if (!tag) {
      tags_.resize(begin);
      return false;
    }
    put(begin, *tag, found);
  }
  return true;
}

void PacketReader::read_timer_tags(const Message& message, std::string_view to_keep, Found& found) {
  Found of_tags;
  std::size_t at = 0;
  for (const Number& tags : message.tag_counts) {
    const std::size_t begin = tags_.size();
    const bool usable = read_tags(message, at, low(tags), of_tags);
    timer_tags_.push_back({.tags = std::span(tags_).subspan(begin), .usable = usable});
    at += low(tags);
  }
  if (!of_tags.any() && !to_keep.empty()) keep_tags(to_keep);
  found.add(of_tags);
}

// Those of timer_tags_.
void PacketReader::keep_tags(std::string_view bytes) {
  TagBlock block;
  block.dictionary = texts_;
  for (const TimerTags& timer : timer_tags_) {
    block.tags.insert(block.tags.end(), timer.tags.begin(), timer.tags.end());
    block.tag_counts.push_back(static_cast<std::uint32_t>(timer.tags.size()));
  }
  blocks_.add(bytes, std::move(block));
}

std::span<TimerEntry> PacketReader::read_timers(const Message& message, const TagBlock* known, Found& found) {
  const std::size_t begin = timers_.size();
  // It is of the first request, whatever becomes of its timers.
  const std::string_view to_keep = std::exchange(to_keep_, {});
  timer_tags_.clear();
  if (known != nullptr) {
    const Tag* at = known->tags.data();
    for (const std::uint32_t count : known->tag_counts) {
      timer_tags_.push_back({.tags = {at, count}, .usable = true});
      at += count;
    }
  }
  if (known == nullptr ? uneven_timers(message).has_value() : !fits(message, timer_tags_.size())) {
    found.add(Fault::kUnevenTimers);
    return {};
  }
  if (known == nullptr) read_timer_tags(message, to_keep, found);
  for (std::size_t i = 0; i < message.hits.size(); ++i) {
    const auto usage = [&](const std::vector<pinba::Float>& list) {
      return list.empty() ? 0.0 : found.amount(list[i].value);
    };
    const TimerEntry timer{.hits = low(message.hits[i]),
                           .seconds = found.amount(message.values[i].value),
                           .user_seconds = usage(message.ru_utimes),
                           .system_seconds = usage(message.ru_stimes),
                           .tags = timer_tags_[i].tags,
                           .tags_id = known == nullptr ? 0 : known->first_id + i};
    if (timer.hits == 0) found.add(Fault::kNoHits);
    if (timer_tags_[i].usable && is_amount(message.values[i].value) && timer.hits > 0)
      timers_.push_back(timer);
  }
  return std::span(timers_).subspan(begin);
}

}  // namespace mmstats::receive

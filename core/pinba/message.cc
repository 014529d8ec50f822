#include "pinba/message.h"

#include <fmt/format.h>

#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

namespace pinba {
namespace {

constexpr int kDeepest = 16;

// Reads one message; all offsets are checked here alone.
class Reader {
 public:
  // `offset` is where `bytes` begins in the datagram.
  Reader(Datagram bytes, std::uint64_t offset, int depth) : bytes_(bytes), base_(offset), depth_(depth) {
    message_.begin = offset;
  }

  mmstats::Expected<Message> read() {
    while (at_ < bytes_.size()) {
      if (!field()) return tl::unexpected(std::move(error_));
    }
    for (std::size_t i = 0; i < 3; ++i) {
      if (!message_.names[i]) return missing(kNames[i]);
      if (!message_.times[i]) return missing(kTimes[i]);
    }
    if (!message_.request_count) return missing(wire::kRequestCount);
    if (!message_.document_size) return missing(wire::kDocumentSize);
    if (!message_.memory_peak) return missing(wire::kMemoryPeak);
    return std::move(message_);
  }

  // Bytes of the field that is next; none: it is none, or cut.
  std::optional<std::size_t> field_size() {
    const std::uint64_t begin = here();
    std::uint64_t key = 0;
    if (!varint(key) || !skip(begin, key >> 3U, static_cast<unsigned>(key & 7U))) return std::nullopt;
    return at_;
  }

 private:
  [[nodiscard]] tl::unexpected<mmstats::Error> missing(wire::Field field) const {
    return tl::unexpected(damaged({here(), fmt::format("the required field {} is missing", name_of(field))}));
  }
  [[nodiscard]] std::uint64_t here() const { return base_ + at_; }
  bool fail(std::uint64_t offset, std::string message) {
    error_ = damaged({offset, std::move(message)});
    return false;
  }

  bool varint(std::uint64_t& value) {
    const std::uint64_t begin = here();
    value = 0;
    for (unsigned i = 0; i < 10; ++i) {
      if (at_ == bytes_.size()) return fail(begin, "a number is cut");
      const auto byte = std::to_integer<std::uint64_t>(bytes_[at_++]);
      value |= (byte & 0x7FU) << (7 * i);
      if (byte < 0x80) return true;
    }
    return fail(begin, "a number has more than 10 bytes");
  }

  bool block(std::string_view name, Text& text) {
    const std::uint64_t begin = here();
    std::uint64_t length = 0;
    if (!varint(length)) return false;
    if (length > bytes_.size() - at_) {
      return fail(begin,
                  fmt::format("{} should have {} bytes, but {} are left", name, length, bytes_.size() - at_));
    }
    text = {{reinterpret_cast<const char*>(bytes_.data()) + at_, static_cast<std::size_t>(length)}, here()};
    at_ += static_cast<std::size_t>(length);
    return true;
  }

  bool word(std::string_view name, Float& number) {
    if (bytes_.size() - at_ < sizeof number.value) return fail(here(), fmt::format("{} is cut", name));
    number.offset = here();
    std::memcpy(&number.value, bytes_.data() + at_, sizeof number.value);
    at_ += sizeof number.value;
    return true;
  }

  bool field() {
    const std::uint64_t begin = here();
    std::uint64_t key = 0;
    if (!varint(key)) return false;
    const std::uint64_t number = key >> 3U;
    const auto type = static_cast<unsigned>(key & 7U);
    if (number == 0 || number >= std::uint64_t{1} << 29U) {
      return fail(begin, fmt::format("there is no field {}", number));
    }
    if (message_.first_field == 0) message_.first_field = number;
    if (number >= wire::kFieldsEnd) return skip(begin, number, type);
    return known(begin, static_cast<unsigned>(number), type);
  }

  bool skip(std::uint64_t begin, std::uint64_t number, unsigned type) {
    const std::string name = fmt::format("unknown field {}", number);
    std::uint64_t ignored = 0;
    Text text;
    Float word_ignored;
    switch (type) {
      case wire::kVarint:
        return varint(ignored);
      case wire::kFixed64:
        return word(name, word_ignored) && word(name, word_ignored);
      case wire::kBytes:
        return block(name, text);
      case wire::kFloat:
        return word(name, word_ignored);
      default:
        return fail(begin, fmt::format("{} has wire type {}", name, type));
    }
  }

  bool wrong_type(std::uint64_t begin, unsigned field, unsigned type) {
    return fail(begin, fmt::format("{} (field {}) has wire type {}", wire::kFieldNames[field], field, type));
  }

  bool one(std::uint64_t begin, unsigned field, unsigned type, std::optional<Number>& to) {
    if (type != wire::kVarint) return wrong_type(begin, field, type);
    to.emplace();
    to->offset = here();
    return varint(to->value);
  }
  bool one(std::uint64_t begin, unsigned field, unsigned type, std::optional<Float>& to) {
    if (type != wire::kFloat) return wrong_type(begin, field, type);
    return word(wire::kFieldNames[field], to.emplace());
  }
  bool one(std::uint64_t begin, unsigned field, unsigned type, std::optional<Text>& to) {
    if (type != wire::kBytes) return wrong_type(begin, field, type);
    return block(wire::kFieldNames[field], to.emplace());
  }

  // A list's element, or a packed list.
  template <class Element>
  bool list(std::uint64_t begin, unsigned field, unsigned type, std::vector<Element>& to) {
    std::optional<Element> element;
    if (type != wire::kBytes) {
      if (!one(begin, field, type, element)) return false;
      to.push_back(*element);
      return true;
    }
    Text packed;
    if (!block(wire::kFieldNames[field], packed)) return false;
    Reader inner(std::as_bytes(std::span(packed.value)), packed.offset, depth_);
    while (inner.at_ < inner.bytes_.size()) {
      if (!inner.one(packed.offset, field, std::is_same_v<Element, Float> ? wire::kFloat : wire::kVarint,
                     element)) {
        error_ = std::move(inner.error_);
        return false;
      }
      to.push_back(*element);
    }
    return true;
  }

  bool request(std::uint64_t begin, unsigned field, unsigned type) {
    std::optional<Text> text;
    if (!one(begin, field, type, text)) return false;
    if (depth_ == kDeepest) return fail(begin, fmt::format("requests are nested deeper than {}", kDeepest));
    auto inner = Reader(std::as_bytes(std::span(text->value)), text->offset, depth_ + 1).read();
    if (!inner) {
      error_ = std::move(inner.error());
      return false;
    }
    message_.requests.push_back(std::move(*inner));
    return true;
  }

  bool known(std::uint64_t begin, unsigned field, unsigned type) {
    switch (field) {
      case wire::kHostname:
      case wire::kServerName:
      case wire::kScriptName:
        return one(begin, field, type, message_.names[field - wire::kHostname]);
      case wire::kRequestCount:
        return one(begin, field, type, message_.request_count);
      case wire::kDocumentSize:
        return one(begin, field, type, message_.document_size);
      case wire::kMemoryPeak:
        return one(begin, field, type, message_.memory_peak);
      case wire::kRequestTime:
      case wire::kRuUtime:
      case wire::kRuStime:
        return one(begin, field, type, message_.times[field - wire::kRequestTime]);
      case wire::kTimerHitCount:
        return list(begin, field, type, message_.hits);
      case wire::kTimerValue:
        return list(begin, field, type, message_.values);
      case wire::kTimerTagCount:
        return list(begin, field, type, message_.tag_counts);
      case wire::kTimerTagName:
        return list(begin, field, type, message_.tag_names);
      case wire::kTimerTagValue:
        return list(begin, field, type, message_.tag_values);
      case wire::kDictionary: {
        std::optional<Text> text;
        if (!one(begin, field, type, text)) return false;
        message_.dictionary.push_back(*text);
        return true;
      }
      case wire::kStatus:
        return one(begin, field, type, message_.status);
      case wire::kMemoryFootprint:
        return one(begin, field, type, message_.memory_footprint);
      case wire::kRequests:
        return request(begin, field, type);
      case wire::kSchema:
        return one(begin, field, type, message_.names[3]);
      case wire::kTagName:
        return list(begin, field, type, message_.request_tag_names);
      case wire::kTagValue:
        return list(begin, field, type, message_.request_tag_values);
      case wire::kTimerRuUtime:
        return list(begin, field, type, message_.ru_utimes);
      default:
        return list(begin, field, type, message_.ru_stimes);
    }
  }

  Datagram bytes_;
  std::size_t at_ = 0;
  std::uint64_t base_;
  int depth_;
  Message message_;
  mmstats::Error error_;
};

const std::vector<Number>& indices_of(const Message& message, wire::Field field) {
  switch (field) {
    case wire::kTimerTagName:
      return message.tag_names;
    case wire::kTimerTagValue:
      return message.tag_values;
    case wire::kTagName:
      return message.request_tag_names;
    default:
      return message.request_tag_values;
  }
}

}  // namespace

std::optional<std::size_t> field_size(Datagram bytes) { return Reader(bytes, 0, 0).field_size(); }

mmstats::Expected<Message> read_message(Datagram datagram) { return Reader(datagram, 0, 0).read(); }

std::optional<mmstats::Damage> uneven_timers(const Message& message) {
  const std::size_t timers = message.hits.size();
  const auto differ = [&](std::string_view name, std::size_t count) {
    return mmstats::Damage{message.begin,
                           fmt::format("{} timers have a hit count, but {} a {}", timers, count, name)};
  };
  if (message.values.size() != timers) return differ("value", message.values.size());
  if (message.tag_counts.size() != timers) return differ("tag count", message.tag_counts.size());
  if (!message.ru_utimes.empty() && message.ru_utimes.size() != timers)
    return differ("ru_utime", message.ru_utimes.size());
  if (!message.ru_stimes.empty() && message.ru_stimes.size() != timers)
    return differ("ru_stime", message.ru_stimes.size());
  std::uint64_t tags = 0;
  for (const Number& count : message.tag_counts) tags += low(count);
  if (message.tag_names.size() != tags || message.tag_values.size() != tags) {
    return mmstats::Damage{
        message.begin, fmt::format("timers should have {} tags, but there are {} names and {} values", tags,
                                   message.tag_names.size(), message.tag_values.size())};
  }
  return std::nullopt;
}

std::optional<mmstats::Damage> uneven_request_tags(const Message& message) {
  if (message.request_tag_names.size() == message.request_tag_values.size()) return std::nullopt;
  return mmstats::Damage{message.begin,
                         fmt::format("request tags have {} names, but {} values",
                                     message.request_tag_names.size(), message.request_tag_values.size())};
}

std::optional<mmstats::Damage> out_of_range(const Message& message, wire::Field field) {
  for (const Number& index : indices_of(message, field)) {
    if (low(index) >= message.dictionary.size()) {
      return mmstats::Damage{
          index.offset, fmt::format("{} {} is beyond the dictionary of {} texts", name_of(field), low(index),
                                    message.dictionary.size())};
    }
  }
  return std::nullopt;
}

}  // namespace pinba

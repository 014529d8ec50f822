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

enum class Needs : std::uint8_t { kRequired, kNothing };

// As if new, but keeps the memory.
void clear(Message& message) {
  message.first_field = 0;
  message.names = {};
  message.times = {};
  for (auto* number : {&message.request_count, &message.document_size, &message.memory_peak, &message.status,
                       &message.memory_footprint}) {
    number->reset();
  }
  for (auto* list : {&message.hits, &message.tag_counts, &message.tag_names, &message.tag_values,
                     &message.request_tag_names, &message.request_tag_values}) {
    list->clear();
  }
  for (auto* list : {&message.values, &message.ru_utimes, &message.ru_stimes}) list->clear();
  message.dictionary.clear();
  message.requests.clear();
  message.left_out = 0;
  message.put_off = {};
}

// How many bytes at the front of `bytes` are fields of timers' tags, and of the dictionary, that can be put
// off.
std::size_t size_to_put_off(Datagram bytes) {
  constexpr std::byte kLong{0x80};  // a number that goes on in the next byte
  std::size_t at = 0;
  // Four numbers of a list at once.
  const auto pass_four = [&](std::uint32_t key) {
    constexpr std::uint64_t kKeysAndLong = 0x80FF80FF80FF80FFU;
    const std::uint64_t keys = key * std::uint64_t{0x0001000100010001U};
    for (std::uint64_t word = 0; bytes.size() - at >= sizeof word; at += sizeof word) {
      std::memcpy(&word, bytes.data() + at, sizeof word);
      if ((word & kKeysAndLong) != keys) return;
    }
  };
  while (bytes.size() - at >= 2) {
    const auto key = std::to_integer<std::uint32_t>(bytes[at]);
    const std::byte number = bytes[at + 1];
    std::size_t size = 2;
    if (key == key_of(wire::kDictionary, wire::kBytes)) {
      size += std::to_integer<std::size_t>(number);
    } else if (key != key_of(wire::kTimerTagCount, wire::kVarint) &&
               key != key_of(wire::kTimerTagName, wire::kVarint) &&
               key != key_of(wire::kTimerTagValue, wire::kVarint)) {
      break;
    }
    if ((number & kLong) != std::byte{} || size > bytes.size() - at) break;
    at += size;
    if (size == 2) pass_four(key);
  }
  return at;
}

// Reads one message; all offsets are checked here alone.
class Reader {
 public:
  // `offset` is where `bytes` begins in the datagram. `message` must outlive it, and so must `requests_left`:
  // how many nested ones may still be read; null: any number.
  Reader(Datagram bytes, std::uint64_t offset, int depth, Needs needs, Message& message,
         std::size_t* requests_left = nullptr)
      : bytes_(bytes),
        base_(offset),
        depth_(depth),
        needs_(needs),
        message_(message),
        requests_left_(requests_left) {
    clear(message_);
    message_.begin = offset;
  }

  mmstats::Expected<void> read() {
    while (at_ < bytes_.size()) {
      if (!field()) return tl::unexpected(std::move(error_));
    }
    if (needs_ == Needs::kNothing) return {};
    for (std::size_t i = 0; i < 3; ++i) {
      if (!message_.names[i]) return missing(kNames[i]);
      if (!message_.times[i]) return missing(kTimes[i]);
    }
    if (!message_.request_count) return missing(wire::kRequestCount);
    if (!message_.document_size) return missing(wire::kDocumentSize);
    if (!message_.memory_peak) return missing(wire::kMemoryPeak);
    return {};
  }

  mmstats::Expected<void> read_early() {
    may_put_off_ = true;
    return read();
  }
  // The fields of `bytes`, behind those that the message has.
  static void read_more(Text bytes, Message& message) {
    Reader reader(std::as_bytes(std::span(bytes.value)), bytes.offset, Kept{}, message);
    while (reader.at_ < reader.bytes_.size() && reader.field()) {
    }
  }

  // Bytes of the field that is next; none: it is none, or cut.
  std::optional<std::size_t> field_size() {
    const std::uint64_t begin = here();
    std::uint64_t key = 0;
    if (!varint(key) || !skip(begin, key >> 3U, static_cast<unsigned>(key & 7U))) return std::nullopt;
    return at_;
  }

 private:
  struct Kept {};
  Reader(Datagram bytes, std::uint64_t offset, Kept /*what the message has*/, Message& message)
      : bytes_(bytes), base_(offset), depth_(0), needs_(Needs::kNothing), message_(message) {}

  // Whether the fields from `begin` on are put off: the first of their kind may be.
  bool puts_off(std::uint64_t begin) {
    if (!std::exchange(may_put_off_, false)) {
      // What is behind others must be read behind them.
      read_later(message_);
      return false;
    }
    const Datagram left = bytes_.subspan(begin - base_);
    const std::size_t size = size_to_put_off(left);
    if (size == 0) return false;
    message_.put_off = {{reinterpret_cast<const char*>(left.data()), size}, begin};
    at_ = begin - base_ + size;
    return true;
  }
  [[nodiscard]] tl::unexpected<mmstats::Error> missing(wire::Field field) const {
    return tl::unexpected(damaged({here(), fmt::format("the required field {} is missing", name_of(field))}));
  }
  [[nodiscard]] std::uint64_t here() const { return base_ + at_; }
  [[gnu::cold, gnu::noinline]] bool fail(std::uint64_t offset, std::string message) {
    error_ = damaged({offset, std::move(message)});
    return false;
  }

  bool varint(std::uint64_t& value) {
    // Most numbers have one byte.
    if (at_ < bytes_.size() && bytes_[at_] < std::byte{0x80}) [[likely]] {
      value = std::to_integer<std::uint64_t>(bytes_[at_++]);
      return true;
    }
    return long_varint(value);
  }
  [[gnu::noinline]] bool long_varint(std::uint64_t& value) {
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

  // Appends one. Its parts are stored where they stay: copied whole, they would be waited for.
  bool element(unsigned /*field*/, std::vector<Number>& to) {
    const std::uint64_t offset = here();
    std::uint64_t value = 0;
    if (!varint(value)) return false;
    Number& number = to.emplace_back();
    number.value = value;
    number.offset = offset;
    return true;
  }
  bool element(unsigned field, std::vector<Float>& to) {
    Float number;
    if (!word(wire::kFieldNames[field], number)) return false;
    Float& last = to.emplace_back();
    last.value = number.value;
    last.offset = number.offset;
    return true;
  }

  [[nodiscard]] bool is_next(Datagram key) const {
    if (bytes_.size() - at_ < key.size() || bytes_[at_] != key[0]) return false;
    return key.size() == 1 || std::memcmp(bytes_.data() + at_, key.data(), key.size()) == 0;
  }

  // A list's element, or a packed list.
  template <class Element>
  bool list(std::uint64_t begin, unsigned field, unsigned type, std::vector<Element>& to) {
    if (type == (std::is_same_v<Element, Float> ? wire::kFloat : wire::kVarint)) [[likely]] {
      // Mostly the next field is the list's next element: its key has the same bytes.
      const Datagram key = bytes_.subspan(begin - base_, here() - begin);
      for (;;) {
        if (!element(field, to)) return false;
        if (!is_next(key)) return true;
        at_ += key.size();
      }
    }
    if (type != wire::kBytes) return wrong_type(begin, field, type);
    Text packed;
    if (!block(wire::kFieldNames[field], packed)) return false;
    const Datagram all = bytes_;
    bytes_ = all.first(at_);
    at_ -= packed.value.size();
    while (at_ < bytes_.size()) {
      if (!element(field, to)) return false;
    }
    bytes_ = all;
    return true;
  }

  bool request(std::uint64_t begin, unsigned field, unsigned type) {
    std::optional<Text> text;
    if (!one(begin, field, type, text)) return false;
    if (requests_left_ != nullptr && *requests_left_ == 0) {
      ++message_.left_out;
      return true;
    }
    if (requests_left_ != nullptr) --*requests_left_;
    if (depth_ == kDeepest) return fail(begin, fmt::format("requests are nested deeper than {}", kDeepest));
    Message& inner = message_.requests.emplace_back();
    auto read =
        Reader(std::as_bytes(std::span(text->value)), text->offset, depth_ + 1, needs_, inner, requests_left_)
            .read();
    if (!read) error_ = std::move(read.error());
    return read.has_value();
  }

  bool known(std::uint64_t begin, unsigned field, unsigned type) {
    if (field >= wire::kTimerTagCount && field <= wire::kDictionary && puts_off(begin)) return true;
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
  Needs needs_;
  Message& message_;
  std::size_t* requests_left_ = nullptr;
  bool may_put_off_ = false;
  mmstats::Error error_;
};

}  // namespace

std::optional<std::size_t> field_size(Datagram bytes) {
  Message unused;
  return Reader(bytes, 0, 0, Needs::kNothing, unused).field_size();
}

mmstats::Expected<Message> read_message(Datagram datagram) {
  Message message;
  if (auto read = Reader(datagram, 0, 0, Needs::kRequired, message).read(); !read)
    return tl::unexpected(std::move(read.error()));
  return message;
}

mmstats::Expected<void> read_fields(Datagram datagram, Message& into, std::size_t most_requests) {
  return Reader(datagram, 0, 0, Needs::kNothing, into, &most_requests).read();
}

mmstats::Expected<void> read_early(Datagram datagram, Message& into, std::size_t most_requests) {
  return Reader(datagram, 0, 0, Needs::kNothing, into, &most_requests).read_early();
}

void read_later(Message& message) {
  if (!message.put_off.value.empty()) Reader::read_more(std::exchange(message.put_off, {}), message);
}

}  // namespace pinba

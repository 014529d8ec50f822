#include "pinba/encode.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <new>

#include "base/utf8.h"

namespace pinba {
namespace {

constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();

// Bytes of a varint and of a length-delimited field.
constexpr std::size_t varint_size(std::uint64_t value) {
  return 1 + static_cast<std::size_t>(std::bit_width(value | 1U) - 1) / 7;
}
constexpr std::size_t text_size(std::string_view text, std::size_t key_size = 1) {
  return key_size + varint_size(text.size()) + text.size();
}

// The key of a field: its number and wire type, as the one or two bytes of its varint.
enum WireType : std::uint8_t { kVarint = 0, kBytes = 2, kFloat = 5 };

// How numbers are written: as short as can be; padded, to be replaced later; or replaced, where the keys are
// there already.
enum class Mode : std::uint8_t { kShort, kPadded, kReplace };

template <unsigned kField, WireType kType, Mode kMode = Mode::kShort>
std::byte* put_key(std::byte* at) {
  constexpr unsigned kKey = (kField << 3U) | kType;
  if constexpr (kMode == Mode::kReplace) return at + (kKey < 0x80 ? 1 : 2);
  if constexpr (kKey < 0x80) {
    *at = std::byte{kKey};
    return at + 1;
  } else {
    at[0] = std::byte{(kKey & 0x7FU) | 0x80U};
    at[1] = std::byte{kKey >> 7U};
    return at + 2;
  }
}

std::byte* put_varint(std::byte* at, std::uint64_t value) {
  while (value >= 0x80) {
    *at++ = static_cast<std::byte>(value | 0x80U);
    value >>= 7U;
  }
  *at++ = static_cast<std::byte>(value);
  return at;
}

// In five bytes, however small it is, so that any other fits in its place.
std::byte* put_padded(std::byte* at, std::uint32_t value) {
  const std::uint32_t low = (value & 0x7FU) | ((value & 0x3F80U) << 1U) | ((value & 0x1FC000U) << 2U) |
                            ((value & 0xFE00000U) << 3U) | 0x80808080U;
  std::memcpy(at, &low, sizeof low);
  at[4] = static_cast<std::byte>(value >> 28U);
  return at + 5;
}

template <unsigned kField, Mode kMode>
std::byte* put_number(std::byte* at, std::uint32_t value) {
  at = put_key<kField, kVarint, kMode>(at);
  return kMode == Mode::kShort ? put_varint(at, value) : put_padded(at, value);
}

template <unsigned kField, Mode kMode>
std::byte* put_float(std::byte* at, float value) {
  at = put_key<kField, kFloat, kMode>(at);
  std::memcpy(at, &value, sizeof value);
  return at + sizeof value;
}

std::byte* put_bytes(std::byte* at, std::string_view text) {
  if (!text.empty()) std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

std::byte* put_text(std::byte* at, std::string_view text) {
  return put_bytes(put_varint(at, text.size()), text);
}

// Seconds as servers can take them: a normal number or 0. What is none, or negative, is 0.
float seconds(double value, Changes& changes) {
  const auto number = static_cast<float>(value);
  const auto bits = std::bit_cast<std::uint32_t>(number);
  // From the least normal number to the largest, in the order of their bits.
  constexpr auto kLeast = std::bit_cast<std::uint32_t>(std::numeric_limits<float>::min());
  constexpr auto kInfinite = std::bit_cast<std::uint32_t>(std::numeric_limits<float>::infinity());
  if (bits - kLeast < kInfinite - kLeast || bits == 0) [[likely]]
    return number;
  // So little is 0 already to a float that is not subnormal.
  if (!(value >= 0 && bits < kLeast) && value != 0) ++changes.numbers;
  return 0;
}

std::uint32_t number(std::uint64_t value, Changes& changes) {
  if (value <= kMost) [[likely]]
    return static_cast<std::uint32_t>(value);
  ++changes.numbers;
  return kMost;
}

// Where in a datagram the numbers of a kept packet are.
struct Places {
  std::byte* numbers = nullptr;
  std::byte* hits = nullptr;
  std::byte* values = nullptr;
  std::byte* status = nullptr;
  std::byte* ru = nullptr;
};

// ---- fields in runs; each ends where the next begins

template <Mode kMode>
std::byte* put_own_numbers(std::byte* at, const Request& request, Changes& changes) {
  at = put_number<4, kMode>(at, request.request_count);
  at = put_number<5, kMode>(at, number(request.document_size, changes));
  at = put_number<6, kMode>(at, number(request.memory_peak, changes));
  at = put_float<7, kMode>(at, seconds(request.request_time, changes));
  at = put_float<8, kMode>(at, seconds(request.ru_utime, changes));
  return put_float<9, kMode>(at, seconds(request.ru_stime, changes));
}

template <Mode kMode>
std::byte* put_hits(std::byte* at, const Request& request) {
  for (const Timer& timer : request.timers) at = put_number<10, kMode>(at, timer.hit_count);
  return at;
}

template <Mode kMode>
std::byte* put_values(std::byte* at, const Request& request, Changes& changes) {
  for (const Timer& timer : request.timers) at = put_float<11, kMode>(at, seconds(timer.value, changes));
  return at;
}

template <Mode kMode>
std::byte* put_status(std::byte* at, const Request& request, Changes& changes) {
  if (request.status) at = put_number<16, kMode>(at, *request.status);
  if (request.memory_footprint) {
    at = put_number<17, kMode>(at, number(*request.memory_footprint, changes));
  }
  return at;
}

template <Mode kMode>
std::byte* put_timer_rusage(std::byte* at, const Request& request, Changes& changes) {
  for (const Timer& timer : request.timers) {
    at = put_float<22, kMode>(at, seconds(timer.ru_utime, changes));
  }
  for (const Timer& timer : request.timers) {
    at = put_float<23, kMode>(at, seconds(timer.ru_stime, changes));
  }
  return at;
}

// Nearly every dictionary is so small that each index has one byte.
template <unsigned kField, std::uint32_t TagRef::*kPart>
std::byte* put_tags(std::byte* at, const std::vector<TagRef>& tags, std::uint32_t texts) {
  if (texts <= 0x80) {
    for (const TagRef& tag : tags) {
      at = put_key<kField, kVarint>(at);
      *at++ = static_cast<std::byte>(tag.*kPart);
    }
  } else {
    for (const TagRef& tag : tags) at = put_varint(put_key<kField, kVarint>(at), tag.*kPart);
  }
  return at;
}

// All of a request whose timers and tags are in order. At most most_bytes() of it.
template <Mode kMode, class Names>
std::byte* put_request(std::byte* at, const Request& request, const Names& names,
                       std::span<const std::byte> nested, Changes& changes, Places& places) {
  const std::uint32_t texts = request.dictionary.size();
  at = put_text(put_key<1, kBytes>(at), names.hostname);
  at = put_text(put_key<2, kBytes>(at), names.server_name);
  at = put_text(put_key<3, kBytes>(at), names.script_name);
  places.numbers = at;
  at = put_own_numbers<kMode>(at, request, changes);
  places.hits = at;
  at = put_hits<kMode>(at, request);
  places.values = at;
  at = put_values<kMode>(at, request, changes);
  for (const Timer& timer : request.timers) at = put_varint(put_key<12, kVarint>(at), timer.tag_count);
  at = put_tags<13, &TagRef::name>(at, request.timer_tags, texts);
  at = put_tags<14, &TagRef::value>(at, request.timer_tags, texts);
  at = put_bytes(at, request.dictionary.wire());
  places.status = at;
  at = put_status<kMode>(at, request, changes);
  if (!nested.empty()) std::memcpy(at, nested.data(), nested.size());
  at += nested.size();
  if (names.has_schema) at = put_text(put_key<19, kBytes>(at), names.schema);
  at = put_tags<20, &TagRef::name>(at, request.tags, texts);
  at = put_tags<21, &TagRef::value>(at, request.tags, texts);
  places.ru = at;
  return put_timer_rusage<kMode>(at, request, changes);
}

template <class Names>
std::size_t most_bytes(const Request& request, const Names& names) {
  constexpr std::size_t kTexts = std::size_t{4} * (2 + 5);
  constexpr std::size_t kNumbers = 3 * 6 + 3 * 5 + 2 * 7;
  constexpr std::size_t kTimer = 6 + 5 + 6 + 6 + 6;
  return kTexts + names.hostname.size() + names.server_name.size() + names.script_name.size() +
         names.schema.size() + kNumbers + request.timers.size() * kTimer + request.timer_tags.size() * 2 * 6 +
         request.dictionary.wire().size() + request.tags.size() * 2 * 7;
}

// What the classic engine keeps.
constexpr std::size_t kClassicName = 32;
constexpr std::size_t kClassicScript = 128;
constexpr std::size_t kClassicSchema = 16;
constexpr std::size_t kClassicText = 64;

constexpr std::uint32_t kNone = kMost;

}  // namespace

void Changes::add(const Changes& other) {
  escaped += other.escaped;
  filled += other.filled;
  cut += other.cut;
  numbers += other.numbers;
  untagged += other.untagged;
  without_hits += other.without_hits;
  timers_dropped += other.timers_dropped;
  tags_dropped += other.tags_dropped;
}

Encoder::Encoder(EncodeOptions options) : options_(options) {
  options_.max_bytes = std::clamp(options_.max_bytes, kMinDatagram, kMaxDatagram);
}

std::span<const Datagram> Encoder::encode(const Request& request) {
  changes_ = {};
  used_ = 0;
  ends_.clear();
  encode_one(request);
  datagrams_.clear();
  std::size_t begin = 0;
  for (const std::size_t end : ends_) {
    datagrams_.push_back(std::span<const std::byte>(bytes_).subspan(begin, end - begin));
    begin = end;
  }
  return datagrams_;
}

Encoder::Names Encoder::names_of(const Request& request) {
  std::array<std::string_view, 4> names{request.hostname, request.server_name, request.script_name};
  if (request.schema) names[3] = *request.schema;
  constexpr std::array<std::size_t, 4> kClassicMost{kClassicName, kClassicName, kClassicScript,
                                                    kClassicSchema};
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!is_clean(names[i])) {
      escaped_[i] = escaped(names[i]);
      names[i] = escaped_[i];
      ++changes_.escaped;
    }
    if (names[i].empty() && options_.fill_empty) {
      names[i] = kEmptyText;
      if (i < 3 || request.schema) ++changes_.filled;
    }
    if (options_.classic && names[i].size() > kClassicMost[i]) {
      names[i] = mmstats::whole_characters(names[i], kClassicMost[i]);
      ++changes_.cut;
    }
  }
  // Half of a datagram is theirs at most: beyond that, none may have more than an eighth.
  std::size_t all = 0;
  for (const std::string_view name : names) all += text_size(name, 2);
  if (all > options_.max_bytes / 2) {
    const std::size_t most = options_.max_bytes / 8 - 5;
    for (std::string_view& name : names) {
      if (name.size() <= most) continue;
      name = mmstats::whole_characters(name, most);
      ++changes_.cut;
    }
  }
  return {names[0], names[1], names[2], names[3], request.schema.has_value() || options_.fill_empty};
}

// Whether all of it can be sent as it is, but for its length.
bool Encoder::is_regular(const Request& request) const {
  const std::uint32_t texts = request.dictionary.size();
  // Without early ends, so that compilers make vectors of it.
  std::uint64_t tags = 0;
  bool empty = false;
  for (const Timer& timer : request.timers) {
    empty |= timer.hit_count == 0 || timer.tag_count == 0;
    tags += timer.tag_count;
  }
  if (empty || tags != request.timer_tags.size()) return false;
  std::uint32_t most = 0;
  for (const TagRef& tag : request.timer_tags) most = std::max({most, tag.name, tag.value});
  for (const TagRef& tag : request.tags) most = std::max({most, tag.name, tag.value});
  if (most >= texts && !(request.timer_tags.empty() && request.tags.empty())) return false;
  if (options_.classic) {
    for (std::uint32_t i = 0; i < texts; ++i) {
      if (request.dictionary[i].size() > kClassicText) return false;
    }
  }
  return true;
}

void Encoder::encode_one(const Request& request) {
  const Names names = names_of(request);
  changes_.escaped += request.dictionary.escaped_count();
  changes_.filled += request.dictionary.filled_count();
  const bool regular = is_regular(request);
  if (request.requests.empty()) {
    if (!regular || !encode_whole(request, names, {})) encode_parts(request, names);
    return;
  }
  std::vector<const Request*> apart;
  const auto nested = embed(request, regular ? most_bytes(request, names) : kMaxDatagram, apart);
  if (!regular || !encode_whole(request, names, nested)) encode_parts(request, names);
  for (const Request* other : apart) encode_one(*other);
}

// The requests within it as fields 18, as many as fit beside the `own` bytes of the rest; `apart` lists the
// others.
std::vector<std::byte> Encoder::embed(const Request& request, std::size_t own,
                                      std::vector<const Request*>& apart) {
  std::vector<std::byte> fields;
  for (const Request& inner : request.requests) {
    if (!options_.nested || own >= options_.max_bytes) {
      apart.push_back(&inner);
      continue;
    }
    Encoder encoder(options_);
    const auto datagrams = encoder.encode(inner);
    const Datagram whole = datagrams.front();
    const std::size_t size = 2 + varint_size(whole.size()) + whole.size();
    if (datagrams.size() > 1 || size > options_.max_bytes - own - fields.size()) {
      apart.push_back(&inner);
      continue;
    }
    std::array<std::byte, 8> head{};
    const std::byte* head_end = put_varint(put_key<18, kBytes>(head.data()), whole.size());
    fields.insert(fields.end(), head.cbegin(), head.cbegin() + (head_end - head.data()));
    fields.insert(fields.end(), whole.begin(), whole.end());
    changes_.add(encoder.changes());
  }
  return fields;
}

bool Encoder::encode_whole(const Request& request, const Names& names, std::span<const std::byte> nested) {
  const std::size_t most = most_bytes(request, names) + nested.size();
  // A number of one byte takes two in place of the six that most_bytes() reckons with.
  if (most / 4 > options_.max_bytes) return false;
  if (bytes_.size() - used_ < most) bytes_.resize(used_ + most);
  Places places;
  const Changes before = changes_;
  std::byte* begin = bytes_.data() + used_;
  const std::byte* end = put_request<Mode::kShort>(begin, request, names, nested, changes_, places);
  const auto size = static_cast<std::size_t>(end - begin);
  if (size > options_.max_bytes) {
    changes_ = before;
    return false;
  }
  used_ += size;
  ends_.push_back(used_);
  return true;
}

void Encoder::encode_parts(const Request& request, const Names& names) {
  const Dictionary& texts = request.dictionary;
  const std::size_t limit = options_.max_bytes;
  const auto text_at = [&](std::uint32_t index) {
    return options_.classic ? mmstats::whole_characters(texts[index], kClassicText) : texts[index];
  };
  const auto part_ref = [&](std::uint32_t index) {
    std::uint32_t& known = part_index_[index];
    if (known == kNone) known = part_.dictionary.add(text_at(index));
    return known;
  };
  const auto is_known = [&](const TagRef& tag) {
    return tag.name < texts.size() && tag.value < texts.size();
  };
  // Bytes that tags add at most, with the keys of their fields.
  const auto tags_size = [&](std::span<const TagRef> tags, std::size_t key_size) {
    const std::size_t new_index_size = varint_size(part_.dictionary.size() + 2 * tags.size());
    const auto one = [&](std::uint32_t index) {
      const std::uint32_t known = part_index_[index];
      return known == kNone ? new_index_size + text_size(text_at(index)) : varint_size(known);
    };
    std::size_t size = 2 * tags.size() * key_size;
    for (const TagRef& tag : tags) size += one(tag.name) + one(tag.value);
    return size;
  };

  std::size_t free = 0;  // bytes that are left in the part
  bool first = true;
  const auto begin_part = [&] {
    part_.clear();
    part_index_.assign(texts.size(), kNone);
    part_.request_count = request.request_count;
    part_.status = request.status;
    if (first) {
      part_.document_size = request.document_size;
      part_.memory_peak = request.memory_peak;
      part_.request_time = request.request_time;
      part_.ru_utime = request.ru_utime;
      part_.ru_stime = request.ru_stime;
      part_.memory_footprint = request.memory_footprint;
    } else if (request.memory_footprint) {
      part_.memory_footprint = 0;
    }
    free = limit - most_bytes(part_, names);
    // A quarter is kept for timers.
    const std::size_t kept = request.timers.empty() ? 0 : free / 4;
    for (const TagRef& tag : request.tags) {
      const std::size_t size = is_known(tag) ? tags_size({&tag, 1}, 2) : limit;
      if (size > free - kept) {
        if (first) ++changes_.tags_dropped;
        continue;
      }
      free -= size;
      part_.tags.push_back({part_ref(tag.name), part_ref(tag.value)});
    }
  };
  const auto end_part = [&] {
    encode_whole(part_, names, {});
    first = false;
  };

  begin_part();
  std::span<const TagRef> tags = request.timer_tags;
  std::vector<TagRef> refs;
  for (const Timer& timer : request.timers) {
    const auto own = tags.first(std::min<std::size_t>(timer.tag_count, tags.size()));
    tags = tags.subspan(own.size());
    if (timer.hit_count == 0) {
      ++changes_.without_hits;
      continue;
    }
    if (own.size() < timer.tag_count || !std::ranges::all_of(own, is_known)) {
      ++changes_.timers_dropped;
      continue;
    }
    if (own.empty()) ++changes_.untagged;
    const auto size_of_it = [&] {
      constexpr std::size_t kFloats = 5 + 6 + 6;
      const std::size_t tags_of_it =
          own.empty() ? std::size_t{8} + text_size(kUntaggedName) + text_size(kUntaggedValue)
                      : tags_size(own, 1);
      return 1 + varint_size(timer.hit_count) + kFloats + 1 + varint_size(own.size()) + tags_of_it;
    };
    std::size_t size = size_of_it();
    if (size > free && options_.continue_timers && !part_.timers.empty()) {
      end_part();
      begin_part();
      size = size_of_it();
    }
    if (size > free) {
      ++changes_.timers_dropped;
      continue;
    }
    free -= size;
    refs.clear();
    for (const TagRef& tag : own) refs.push_back({part_ref(tag.name), part_ref(tag.value)});
    if (own.empty()) refs.push_back(part_.intern(kUntaggedName, kUntaggedValue));
    part_.add_timer(refs, timer.hit_count, timer.value, timer.ru_utime, timer.ru_stime);
  }
  end_part();
}

std::optional<KeptPacket> KeptPacket::make(const Request& request, const EncodeOptions& options) {
  Encoder encoder(options);
  if (!encoder.is_regular(request) || !request.requests.empty()) return std::nullopt;
  const auto names = encoder.names_of(request);
  KeptPacket packet;
  packet.shape_ = request;
  packet.bytes_.resize(most_bytes(request, names));
  Changes changes;
  Places places;
  std::byte* begin = packet.bytes_.data();
  const std::byte* end = put_request<Mode::kPadded>(begin, request, names, {}, changes, places);
  packet.bytes_.resize(static_cast<std::size_t>(end - begin));
  if (packet.bytes_.size() > encoder.options().max_bytes) return std::nullopt;
  packet.numbers_ = static_cast<std::size_t>(places.numbers - begin);
  packet.hits_ = static_cast<std::size_t>(places.hits - begin);
  packet.values_ = static_cast<std::size_t>(places.values - begin);
  packet.status_ = static_cast<std::size_t>(places.status - begin);
  packet.ru_ = static_cast<std::size_t>(places.ru - begin);
  return packet;
}

bool KeptPacket::fits(const Request& request) const {
  return request.requests.empty() && request.timers.size() == shape_.timers.size() &&
         request.hostname == shape_.hostname && request.server_name == shape_.server_name &&
         request.script_name == shape_.script_name && request.schema == shape_.schema &&
         request.status.has_value() == shape_.status.has_value() &&
         request.memory_footprint.has_value() == shape_.memory_footprint.has_value() &&
         request.tags == shape_.tags && request.timer_tags == shape_.timer_tags &&
         request.dictionary == shape_.dictionary &&
         std::ranges::equal(request.timers, shape_.timers, {}, &Timer::tag_count, &Timer::tag_count);
}

bool KeptPacket::patch(const Request& request) {
  if (request.timers.size() != shape_.timers.size() ||
      request.status.has_value() != shape_.status.has_value() ||
      request.memory_footprint.has_value() != shape_.memory_footprint.has_value()) {
    return false;
  }
  bool all_hit = true;
  for (const Timer& timer : request.timers) all_hit &= timer.hit_count != 0;
  if (!all_hit) return false;
  Changes changes;
  std::byte* begin = bytes_.data();
  put_own_numbers<Mode::kReplace>(begin + numbers_, request, changes);
  put_hits<Mode::kReplace>(begin + hits_, request);
  put_values<Mode::kReplace>(begin + values_, request, changes);
  put_status<Mode::kReplace>(begin + status_, request, changes);
  put_timer_rusage<Mode::kReplace>(begin + ru_, request, changes);
  return true;
}

}  // namespace pinba

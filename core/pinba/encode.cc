#include "pinba/encode.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/utf8.h"
#include "pinba/put_request.h"

namespace pinba {

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

PacketNames Encoder::names_of(const Request& request) {
  std::array<std::string_view, 4> names{request.hostname, request.server_name, request.script_name};
  if (request.schema) names[3] = *request.schema;
  const wire::TextLimits classic =
      options_.classic == ClassicEngine::kOriginal ? wire::kOriginalClassicTexts : wire::kClassicTexts;
  const std::array<std::size_t, 4> classic_most{classic.name, classic.name, classic.script, classic.schema};
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
    if (options_.classic != ClassicEngine::kNone && names[i].size() > classic_most[i]) {
      names[i] = mmstats::whole_characters(names[i], classic_most[i]);
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
  if (options_.classic != ClassicEngine::kNone) {
    for (std::uint32_t i = 0; i < texts; ++i) {
      if (request.dictionary[i].size() > wire::kClassicTexts.tag) return false;
    }
  }
  return true;
}

void Encoder::encode_one(const Request& request) {
  const PacketNames names = names_of(request);
  changes_.escaped += request.dictionary.escaped_count();
  changes_.filled += request.dictionary.filled_count();
  if (options_.drop_unused_texts) {
    if (!encode_used(request, names)) encode_parts(request, names);
    for (const Request& inner : request.requests) encode_one(inner);
    return;
  }
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
    const std::size_t size = 2 + wire::varint_size(whole.size()) + whole.size();
    if (datagrams.size() > 1 || size > options_.max_bytes - own - fields.size()) {
      apart.push_back(&inner);
      continue;
    }
    std::array<std::byte, 8> head{};
    const std::byte* head_end = put_varint(put_key<wire::kRequests, wire::kBytes>(head.data()), whole.size());
    fields.insert(fields.end(), head.cbegin(), head.cbegin() + (head_end - head.data()));
    fields.insert(fields.end(), whole.begin(), whole.end());
    changes_.add(encoder.changes());
  }
  return fields;
}

bool Encoder::encode_whole(const Request& request, const PacketNames& names,
                           std::span<const std::byte> nested) {
  const std::size_t most = most_bytes(request, names) + nested.size();
  if (most / 4 > options_.max_bytes) return false;
  if (bytes_.size() - used_ < most) bytes_.resize(used_ + most);
  const Changes before = changes_;
  std::byte* begin = bytes_.data() + used_;
  const std::byte* end = put_request(begin, request, names, nested, changes_);
  const auto size = static_cast<std::size_t>(end - begin);
  if (size > options_.max_bytes) {
    changes_ = before;
    return false;
  }
  used_ += size;
  ends_.push_back(used_);
  return true;
}

}  // namespace pinba

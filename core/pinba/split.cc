// Requests that cannot be sent as they are: too long for one datagram, or with timers and tags to be left out
// or changed.
#include <algorithm>
#include <limits>

#include "base/utf8.h"
#include "pinba/encode.h"
#include "pinba/put_request.h"

namespace pinba {
namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

// What only one of several datagrams may say, as servers add it up.
void copy_costs(const Request& from, Request& to) {
  to.document_size = from.document_size;
  to.memory_peak = from.memory_peak;
  to.request_time = from.request_time;
  to.ru_utime = from.ru_utime;
  to.ru_stime = from.ru_stime;
  to.memory_footprint = from.memory_footprint;
}

}  // namespace

// The index in part_ of the text at `index` of `texts`, of which `text` is what is taken.
std::uint32_t Encoder::part_ref(const Dictionary& texts, std::uint32_t index, std::string_view text) {
  std::uint32_t& known = part_index_[index];
  if (known != kNone) return known;
  part_texts_.push_back(index);
  return known = text.size() == texts[index].size() ? part_.dictionary.add(texts, index)
                                                    : part_.dictionary.add(text);
}

// Not all of the index, of which a part has little.
void Encoder::clear_part() {
  part_.clear();
  for (const std::uint32_t index : part_texts_) part_index_[index] = kNone;
  part_texts_.clear();
}

// The whole request, with no text but those that it uses. False: it does not fit so, or it has what cannot be
// sent as it is.
bool Encoder::encode_used(const Request& request, const PacketNames& names) {
  constexpr std::size_t kLeastTimer = 5;  // bytes
  const Dictionary& texts = request.dictionary;
  if (request.timers.size() > options_.max_bytes / kLeastTimer) return false;
  const auto is_known = [&](const TagRef& tag) {
    return tag.name < texts.size() && tag.value < texts.size();
  };
  if (!std::ranges::all_of(request.tags, is_known) || !std::ranges::all_of(request.timer_tags, is_known))
    return false;
  clear_part();
  if (part_index_.size() < texts.size()) part_index_.resize(texts.size(), kNone);
  const auto with_own_texts = [&](const TagRef& tag) {
    return TagRef{part_ref(texts, tag.name, texts[tag.name]), part_ref(texts, tag.value, texts[tag.value])};
  };
  part_.request_count = request.request_count;
  part_.status = request.status;
  copy_costs(request, part_);
  part_.timers = request.timers;
  for (const TagRef& tag : request.tags) part_.tags.push_back(with_own_texts(tag));
  for (const TagRef& tag : request.timer_tags) part_.timer_tags.push_back(with_own_texts(tag));
  return is_regular(part_) && encode_whole(part_, names, {});
}

void Encoder::encode_parts(const Request& request, const PacketNames& names) {
  const Dictionary& texts = request.dictionary;
  if (part_index_.size() < texts.size()) part_index_.resize(texts.size(), kNone);
  const std::size_t limit = options_.max_bytes;
  const auto text_at = [&](std::uint32_t index) {
    return options_.classic != ClassicEngine::kNone
               ? mmstats::whole_characters(texts[index], wire::kClassicTexts.tag)
               : texts[index];
  };
  const auto ref = [&](std::uint32_t index) { return part_ref(texts, index, text_at(index)); };
  const auto is_known = [&](const TagRef& tag) {
    return tag.name < texts.size() && tag.value < texts.size();
  };
  // Bytes that tags add, with the keys of their fields; more than that where a new text is in them twice.
  const auto tags_size = [&](std::span<const TagRef> tags, std::size_t key_size) {
    std::uint32_t next = part_.dictionary.size();
    const auto one = [&](std::uint32_t index) {
      const std::uint32_t known = part_index_[index];
      return known == kNone ? wire::varint_size(next++) + text_size(text_at(index))
                            : wire::varint_size(known);
    };
    std::size_t size = 2 * tags.size() * key_size;
    for (const TagRef& tag : tags) size += one(tag.name) + one(tag.value);
    return size;
  };
  // As long as it has no tags and timers.
  const auto part_size = [&] {
    const std::size_t most = most_bytes(part_, names);
    if (bytes_.size() - used_ < most) bytes_.resize(used_ + most);
    std::byte* const begin = bytes_.data() + used_;
    Changes again;  // those that end_part() counts
    return static_cast<std::size_t>(put_request(begin, part_, names, {}, again) - begin);
  };

  const std::size_t times_size = has_usage(request) ? 5 + 6 + 6 : 5;  // of a timer
  std::size_t free = 0;                                               // bytes that are left in the part
  bool first = true;
  const auto begin_part = [&] {
    clear_part();
    part_.request_count = request.request_count;
    part_.status = request.status;
    if (first) {
      copy_costs(request, part_);
    } else if (request.memory_footprint) {
      part_.memory_footprint = 0;
    }
    free = limit - part_size();
    // A quarter is kept for timers.
    const std::size_t kept = request.timers.empty() ? 0 : free / 4;
    for (const TagRef& tag : request.tags) {
      const std::size_t size = is_known(tag) ? tags_size({&tag, 1}, 2) : limit;
      if (size > free - kept) {
        if (first) ++changes_.tags_dropped;
        continue;
      }
      free -= size;
      part_.tags.push_back({ref(tag.name), ref(tag.value)});
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
      const std::size_t tags_of_it =
          own.empty() ? std::size_t{8} + text_size(kUntaggedName) + text_size(kUntaggedValue)
                      : tags_size(own, 1);
      return 1 + wire::varint_size(timer.hit_count) + times_size + 1 + wire::varint_size(own.size()) +
             tags_of_it;
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
    for (const TagRef& tag : own) refs.push_back({ref(tag.name), ref(tag.value)});
    if (own.empty()) refs.push_back(part_.intern(kUntaggedName, kUntaggedValue));
    part_.add_timer(refs, timer.hit_count, timer.value, timer.ru_utime, timer.ru_stime);
  }
  end_part();
}

}  // namespace pinba

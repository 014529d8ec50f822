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

}  // namespace

void Encoder::encode_parts(const Request& request, const PacketNames& names) {
  const Dictionary& texts = request.dictionary;
  const std::size_t limit = options_.max_bytes;
  const auto text_at = [&](std::uint32_t index) {
    return options_.classic != ClassicEngine::kNone
               ? mmstats::whole_characters(texts[index], wire::kClassicTexts.tag)
               : texts[index];
  };
  if (part_index_.size() < texts.size()) part_index_.resize(texts.size(), kNone);
  const auto part_ref = [&](std::uint32_t index) {
    std::uint32_t& known = part_index_[index];
    if (known != kNone) return known;
    part_texts_.push_back(index);
    const std::string_view text = text_at(index);
    return known = text.size() == texts[index].size() ? part_.dictionary.add(texts, index)
                                                      : part_.dictionary.add(text);
  };
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
  // Not all of the index, of which a part has little.
  const auto clear_part = [&] {
    part_.clear();
    for (const std::uint32_t index : part_texts_) part_index_[index] = kNone;
    part_texts_.clear();
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
      part_.document_size = request.document_size;
      part_.memory_peak = request.memory_peak;
      part_.request_time = request.request_time;
      part_.ru_utime = request.ru_utime;
      part_.ru_stime = request.ru_stime;
      part_.memory_footprint = request.memory_footprint;
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
    for (const TagRef& tag : own) refs.push_back({part_ref(tag.name), part_ref(tag.value)});
    if (own.empty()) refs.push_back(part_.intern(kUntaggedName, kUntaggedValue));
    part_.add_timer(refs, timer.hit_count, timer.value, timer.ru_utime, timer.ru_stime);
  }
  end_part();
}

}  // namespace pinba

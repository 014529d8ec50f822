#include "plugin_pinba/receive/tag_blocks.h"

#include <atomic>
#include <utility>

#include "base/keyed_hash.h"
#include "base/text_hash.h"

namespace mmstats::receive {
namespace {

// Of all threads, so that no two ever mean the same by one.
std::atomic<std::uint64_t> ids = 1;

std::size_t size_of(std::string_view bytes, const TagBlock& block) {
  return bytes.size() + block.dictionary.size() * sizeof(std::string_view) + block.tags.size() * sizeof(Tag) +
         block.tag_counts.size() * sizeof(std::uint32_t);
}

}  // namespace

const TagBlock* TagBlocks::find(std::string_view bytes) {
  static const std::uint64_t seed = process_hash_key().low;
  hash_ = mix_text(seed, bytes);
  wanted_ = false;
  const auto known = known_.find(hash_);
  if (known == known_.end()) {
    wanted_ = std::exchange(asked_[hash_ % asked_.size()], hash_) == hash_;
    return nullptr;
  }
  return known->second.bytes == bytes ? &known->second.block : nullptr;
}

void TagBlocks::add(std::string_view bytes, TagBlock block) {
  const std::size_t size = size_of(bytes, block);
  if (size > kMostBytes / 16) return;
  if (known_.size() == kMost || bytes_ + size > kMostBytes) {
    known_.clear();
    bytes_ = 0;
  }
  Kept& kept = known_[hash_];
  kept.bytes = bytes;
  const auto own = [&](std::string_view& text) {
    // An empty one is anywhere.
    text = text.empty() ? std::string_view()
                        : std::string_view(kept.bytes).substr(text.data() - bytes.data(), text.size());
  };
  for (std::string_view& text : block.dictionary) own(text);
  for (Tag& tag : block.tags) {
    own(tag.name);
    own(tag.value);
  }
  block.first_id = ids.fetch_add(block.tag_counts.size(), std::memory_order_relaxed);
  bytes_ += size;
  kept.block = std::move(block);
}

}  // namespace mmstats::receive

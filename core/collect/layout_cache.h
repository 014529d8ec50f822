// The shapes of all files, each once. Bounded: a hostile file may have another shape at every scan.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>

#include "collect/layout.h"

namespace mmstats {

class LayoutCache {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{512} << 20U;  // of all shapes; thousands of
                                                                     // applications are far below it

  // The shape of a file with these fields and bytes, made by `rules` if no file had it yet. Null if all
  // shapes together would be too large.
  std::shared_ptr<const Layout> find(const ParsedFile& content, std::span<const std::byte> bytes,
                                     const Rules& rules) {
    const std::uint64_t hash = Layout::hash(content, bytes);
    const auto [begin, end] = layouts_.equal_range(hash);
    for (auto known = begin; known != end; ++known) {
      if (known->second->matches(bytes.data(), bytes.size())) return known->second;
    }
    const MetadataIndex metadata(content);
    if (Layout::most_memory(content, bytes.size(), rules, metadata) > kMaxBytes - bytes_) return nullptr;
    auto layout = std::make_shared<const Layout>(content, bytes, rules, metadata);
    bytes_ += layout->memory();
    has_new_ = true;
    layouts_.emplace(hash, layout);
    return layout;
  }

  // Forgets shapes that no file has any more; forget(shape) is called for each while it still is. Looks only
  // if there were new ones since, or `now_surely`.
  template <class Forget>
  void sweep(Forget&& forget, bool now_surely = false) {
    if (!std::exchange(has_new_, false) && !now_surely) return;
    for (auto known = layouts_.begin(); known != layouts_.end();) {
      if (known->second.use_count() > 1) {
        ++known;
        continue;
      }
      bytes_ -= known->second->memory();
      forget(known->second.get());
      known = layouts_.erase(known);
    }
  }

 private:
  std::unordered_multimap<std::uint64_t, std::shared_ptr<const Layout>> layouts_;  // by hash
  std::size_t bytes_ = 0;
  bool has_new_ = false;  // since the last sweep
};

}  // namespace mmstats

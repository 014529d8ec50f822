// The shapes of all files, each once. Each user whose files have a shape pays for it out of his share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "collect/bound_series.h"
#include "collect/layout.h"
#include "collect/shares.h"
#include "collect/work.h"

namespace mmstats {

class LayoutCache {
 public:
  // `memory`: bytes; lives longer.
  explicit LayoutCache(Shares& memory) : memory_(memory) {}

  // The shape of a file of `owner` with these fields and bytes, made by `rules` if no file had it yet. His
  // share pays for it until his last file forgets it. Null if he may not have as much; `needed` is then how
  // much it is.
  std::shared_ptr<const Layout> find(const ParsedFile& content, std::span<const std::byte> bytes,
                                     const Rules& rules, uid_t owner, std::size_t& needed) {
    const std::uint64_t hash = Layout::hash(content, bytes);
    const auto [begin, end] = layouts_.equal_range(hash);
    for (auto known = begin; known != end; ++known) {
      if (known->second.layout->matches(bytes.data(), bytes.size())) return use(known->second, owner, needed);
    }
    work += metadata_work(content);
    const MetadataIndex metadata(content);
    work += search_work(content, bytes.size(), metadata);
    needed = Layout::most_memory(content, bytes.size(), rules, metadata);
    if (needed > memory_.room(owner)) return nullptr;
    work += Layout::most_work(content, bytes.size(), rules, metadata);
    Entry entry{std::make_shared<const Layout>(content, bytes, rules, metadata), {}};
    auto used = use(entry, owner, needed);
    if (used) layouts_.emplace(hash, std::move(entry));
    return used;
  }

  std::uint64_t work = 0;  // units (work.h) that shapes took which were not known, ever

  // Some file may have forgotten its shape: the next sweep looks.
  void look() { has_unused_ = true; }

  // Forgets shapes that no file has any more; forget(shape) is called for each while it still is.
  template <class Forget>
  void sweep(Forget&& forget) {
    if (!std::exchange(has_unused_, false)) return;
    for (auto known = layouts_.begin(); known != layouts_.end();) {
      auto& [layout, uses] = known->second;
      std::erase_if(uses, [](const auto& use) { return use.second.expired(); });
      if (!uses.empty()) {
        ++known;
        continue;
      }
      forget(layout.get());
      known = layouts_.erase(known);
    }
  }

 private:
  // What the files of one user share, once he pays for it.
  struct Use {
    Use(std::shared_ptr<const Layout> layout_, Held held_, Shares& memory_)
        : layout(std::move(layout_)), held(std::move(held_)), memory(memory_) {
      layout->begin_paying(memory);
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use() { layout->end_paying(memory); }
    std::shared_ptr<const Layout> layout;
    Held held;
    Shares& memory;
  };
  struct Entry {
    std::shared_ptr<const Layout> layout;
    std::vector<std::pair<uid_t, std::weak_ptr<const Use>>> uses;
  };

  // Bytes that a shape and its series take, beside what these say themselves: where they are found, and what
  // the heap has for each of their parts.
  static constexpr std::size_t kMemory = sizeof(Use) + sizeof(Entry) + sizeof(BoundSeries) + 200;

  // What is said of fields is looked up by their labels, if anything is said at all. Lines beyond those of
  // the fields may be of families: each is read three times.
  static std::uint64_t metadata_work(const ParsedFile& content) {
    std::uint64_t bytes = 0;
    std::uint64_t lines = 0;
    for (const Field& field : content.fields) {
      if (!is_metadata_text(field)) continue;
      bytes += field.value.size();
      lines += static_cast<std::uint64_t>(std::ranges::count(metadata_text(field), '\n'));
    }
    const std::uint64_t fields = content.fields.size();
    const std::uint64_t more = lines > fields ? lines - fields : 0;
    return bytes == 0 ? 0 : 3 * bytes + mmstats::work::kMatched * (fields + 3 * more);
  }

  // Each field is looked for five times where there are families: to find histograms, to count what it takes
  // and what work it is, whether it is there, and what it is.
  static std::uint64_t search_work(const ParsedFile& content, std::size_t size,
                                   const MetadataIndex& metadata) {
    constexpr std::uint64_t kTimes = 5;
    return metadata.more_searches() * kTimes * (mmstats::work::kMatched * content.fields.size() + size / 4);
  }

  std::shared_ptr<const Layout> use(Entry& entry, uid_t owner, std::size_t& needed) {
    auto mine = std::find_if(entry.uses.begin(), entry.uses.end(),
                             [&](const auto& use) { return use.first == owner; });
    if (mine != entry.uses.end()) {
      if (const auto use = mine->second.lock()) return {use, use->layout.get()};
    }
    Held held(memory_, owner);
    needed = entry.layout->memory() + BoundSeries::memory(*entry.layout) + kMemory;  // and its series
    if (!held.hold(needed)) return nullptr;
    auto use = std::make_shared<Use>(entry.layout, std::move(held), memory_);
    if (mine == entry.uses.end()) mine = entry.uses.insert(mine, {owner, {}});
    mine->second = use;
    const Layout* const layout = entry.layout.get();
    return {std::move(use), layout};
  }

  Shares& memory_;
  std::unordered_multimap<std::uint64_t, Entry> layouts_;  // by hash
  bool has_unused_ = false;                                // perhaps, since the last sweep
};

}  // namespace mmstats

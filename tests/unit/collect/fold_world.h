// A fold over files in memory, for its tests.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collect/fold.h"
#include "made_file.h"

namespace folded {

using namespace mmstats;

// A file in memory. Readings can be scripted: each takes the next of `scripted`, if there is one.
class MemoryFile : public ByteSource {
 public:
  std::vector<std::byte> bytes;
  std::deque<std::vector<std::byte>> scripted;
  int readings = 0;
  FileId inode;
  uid_t user = 0;

  ssize_t read_at(std::uint64_t offset, std::span<std::byte> into) noexcept override {
    ++readings;
    if (!scripted.empty()) {
      bytes = scripted.front();
      scripted.pop_front();
    }
    if (offset >= bytes.size()) return 0;
    const auto count = std::min(into.size(), bytes.size() - static_cast<std::size_t>(offset));
    std::memcpy(into.data(), bytes.data() + offset, count);
    return static_cast<ssize_t>(count);
  }
  [[nodiscard]] FileId id() const noexcept override { return inode; }
  [[nodiscard]] uid_t owner() const noexcept override { return user; }
  std::int64_t size() noexcept override { return static_cast<std::int64_t>(bytes.size()); }
};

// A fold over files in memory, with owners whose state the test sets.
struct World {
  std::map<FileKey, MemoryFile> files;
  std::map<std::uint64_t, OwnerState> owners;
  Fold fold;
  std::vector<FileKey> gone;
  std::set<FileKey> kept;                // left for a later scan
  std::map<FileKey, std::string> names;  // of files that are not called by their key
  std::chrono::steady_clock::time_point now{std::chrono::hours(1)};
  std::chrono::steady_clock::duration interval = std::chrono::seconds(1);

  explicit World(Rules rules = {}, FoldLimits limits = {})
      : fold(std::move(rules), limits, [this](const Fold::OwnerQuestion& question) {
          const auto known = owners.find(question.owner.pid);
          return known == owners.end() ? OwnerState::kAlive : known->second;
        }) {}

  void put(FileKey key, const MadeFile& made) { files[key].bytes = made.padded(); }

  std::vector<Error> scan() {
    std::vector<Error> errors;
    fold.begin(now += interval);
    for (const FileKey key : gone) {
      const std::string path = name(key);
      const bool replaced = std::ranges::any_of(
          names, [&](const auto& other) { return other.first != key && other.second == path; });
      fold.end_life(key, path, &files[key], replaced);
      files.erase(key);
      names.erase(key);
    }
    gone.clear();
    for (auto& [key, file] : files) {
      const Error* error = kept.contains(key) ? fold.keep(key, name(key)) : fold.read(key, name(key), file);
      if (error != nullptr) errors.push_back(*error);
    }
    fold.finish();
    return errors;
  }

  std::string name(FileKey key) const {
    const auto known = names.find(key);
    return known == names.end() ? "file" + std::to_string(key) : known->second;
  }

  const Series* find(std::string_view name, int slot = -1) {
    for (const Series& series : fold.series()) {
      if (series.name() == name && series.slot == slot) return &series;
    }
    return nullptr;
  }
  std::uint64_t total(std::string_view name, int slot = -1) {
    const Series* series = find(name, slot);
    REQUIRE(series != nullptr);
    CHECK(series->kind == Kind::kCounter);
    CHECK(series->integral);
    return series->total;
  }
  std::optional<double> gauge(std::string_view name, int slot = -1) {
    const Series* series = find(name, slot);
    if (series == nullptr || !series->present) return std::nullopt;
    return series->value;
  }
};

// Units that a scan of these files took.
inline std::uint64_t work_of_scan(World& world) {
  const std::uint64_t before = world.fold.work();
  world.scan();
  return world.fold.work() - before;
}

inline MadeFile worker(std::uint32_t pid, double created, std::uint64_t hits, double latency = 0.5,
                       std::int32_t depth = 1) {
  return MadeFile()
      .buffered("hits", "Q", hits)
      .owner(pid, created)
      .buffered("latency", "d", latency)
      .buffered("depth", "i", depth);
}

inline Rules with(Rule rule) {
  Rules rules;
  REQUIRE(rules.add(std::move(rule)).has_value());
  return rules;
}

}  // namespace folded

// What an agent makes of the files of a program.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "collect/fold.h"
#include "sample.h"

class BytesOfFile : public mmstats::ByteSource {
 public:
  explicit BytesOfFile(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  ssize_t read_at(std::uint64_t offset, std::span<std::byte> into) noexcept override {
    if (offset >= bytes_.size()) return 0;
    const auto size = std::min<std::size_t>(into.size(), bytes_.size() - offset);
    std::memcpy(into.data(), bytes_.data() + offset, size);
    return static_cast<ssize_t>(size);
  }
  std::int64_t size() noexcept override { return static_cast<std::int64_t>(bytes_.size()); }

 private:
  std::vector<std::byte> bytes_;
};

// What an agent makes of the files: series by name.
inline std::map<std::string, mmstats::Series> folded(const std::vector<std::string>& paths) {
  mmstats::Fold fold({}, {}, [](const mmstats::Fold::OwnerQuestion&) { return mmstats::OwnerState::kAlive; });
  fold.begin({});
  for (mmstats::FileKey key = 0; key < paths.size(); ++key) {
    BytesOfFile bytes(sample::read(paths[key]));
    const mmstats::Error* const error = fold.read(key, paths[key], bytes);
    if (error != nullptr) FAIL(error->text());
  }
  fold.finish();
  std::map<std::string, mmstats::Series> series;
  for (const mmstats::Series& one : fold.series()) series.emplace(one.name(), one);
  return series;
}

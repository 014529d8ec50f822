// Series of families, and distributions, as a scan gives them.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "collect/distributions.h"
#include "collect/edit_described.h"
#include "collect/fold.h"
#include "tools/mmash/http.h"

namespace family_series {

using Dimensions = std::vector<mmstats::Dimension>;

inline mmstats::Series member_of(std::string family, mmstats::Kind kind, Dimensions dimensions,
                                 mmstats::Aggregate aggregate = mmstats::Aggregate::kSum) {
  mmstats::Series made;
  edit(made)->name = family;
  for (const auto& [name, value] : dimensions) edit(made)->name += "." + value;
  if (!dimensions.empty()) edit(made)->family = std::move(family);
  edit(made)->dimensions = std::move(dimensions);
  made.kind = kind;
  made.aggregate = aggregate;
  made.present = true;
  return made;
}

inline mmstats::Series count_of(std::string family, Dimensions dimensions, std::uint64_t total) {
  auto made = member_of(std::move(family), mmstats::Kind::kCounter, std::move(dimensions));
  made.integral = true;
  made.total = total;
  return made;
}

inline mmstats::Series level_of(std::string family, Dimensions dimensions, double value,
                                mmstats::Aggregate aggregate) {
  auto made = member_of(std::move(family), mmstats::Kind::kGauge, std::move(dimensions), aggregate);
  made.value = value;
  return made;
}

// With all the pieces that follow.
inline std::string all_pieces(mmash::Response answer) {
  while (answer.more) {
    const auto piece = answer.more();
    CHECK(piece.text.size() < 2 * mmash::kPiece);
    answer.body += piece.text;
    if (piece.last) answer.more = nullptr;
  }
  return answer.body;
}

inline std::unique_ptr<mmstats::Distribution> times_of(std::string family, Dimensions dimensions,
                                                       const std::vector<double>& values) {
  auto made = std::make_unique<mmstats::Distribution>();
  edit(*made)->name = family;
  for (const auto& [name, value] : dimensions) edit(*made)->name += "." + value;
  edit(*made)->family = std::move(family);
  edit(*made)->dimensions = std::move(dimensions);
  made->shown = true;
  for (const double value : values) made->total.add(value);
  return made;
}

}  // namespace family_series

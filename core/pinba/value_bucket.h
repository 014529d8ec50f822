// Times of about the same size: what EqualTimers::kByValue takes for one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "pinba/request.h"

namespace pinba {

// Of two times of one bucket the larger is at most 4 % larger.
int bucket_of(double seconds);

// The part of a sorted list whose bucket that is, or a new one; where there are `most`, the nearest one.
template <class Part>
Part& part_of(std::vector<Part>& parts, int bucket, std::size_t most) {
  const auto place = std::ranges::lower_bound(parts, bucket, {}, &Part::bucket);
  if (place != parts.end() && place->bucket == bucket) return *place;
  if (parts.size() < most) {
    Part part;
    part.bucket = bucket;
    return *parts.insert(place, part);
  }
  if (place == parts.begin()) return *place;
  const bool is_nearer_below = place == parts.end() || bucket - (place - 1)->bucket < place->bucket - bucket;
  return is_nearer_below ? *(place - 1) : *place;
}

}  // namespace pinba

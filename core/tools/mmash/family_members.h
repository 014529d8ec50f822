// Families, and where their members are: what answers for scripts are made of.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collect/distributions.h"
#include "collect/fold.h"
#include "format/dimensions.h"
#include "tools/mmash/http.h"
#include "tools/mmash/where.h"

namespace mmash {

// Of one scan. A later one has the same at each index, and more behind.
struct Folded {
  std::span<const mmstats::Series> series;
  std::span<const std::unique_ptr<mmstats::Distribution>> distributions;
  std::chrono::steady_clock::time_point time;
};
// What is there now.
using Look = std::function<Folded()>;

// Where a member of a family is: among series, or among distributions.
struct Place {
  std::uint32_t index : 31 = 0;
  std::uint32_t is_distribution : 1 = 0;
};
using Places = std::vector<Place>;

// What is there: one of both. As long as what is folded.
struct Member {
  Member(const Folded& now, Place place);

  [[nodiscard]] bool is_there() const;
  [[nodiscard]] const std::string& label() const;  // of its family, if it is of one
  [[nodiscard]] const std::vector<mmstats::Dimension>& dimensions() const;
  [[nodiscard]] const std::string& unit() const;
  [[nodiscard]] const std::string& help() const;
  [[nodiscard]] std::string_view kind() const;

  const mmstats::Series* series = nullptr;
  const mmstats::Distribution* distribution = nullptr;
};

// `wanted`: whether one is to be looked at. Those of a family, which have the same label, kind, unit and
// names of dimensions, are side by side.
Places members(const Folded& now, const std::function<bool(const Member&)>& wanted);
// The end of the family that begins there.
std::size_t family_end(const Folded& now, const Places& places, std::size_t begin);

// Of a family's places: those with the same values.
struct Group {
  std::uint32_t begin = 0;
  std::uint32_t count = 0;
};
// Groups by the dimensions at `by`, in the order of their values, of those that match. They are put side by
// side, before the others.
std::vector<Group> grouped(const Folded& now, std::span<Place> places, const Where& where,
                           std::span<const std::size_t> by);

// How its numbers become one. Precondition: places of one family, one at least.
mmstats::Aggregate aggregate_of(const Folded& now, std::span<const Place> places);

// Its place among the dimensions; as many as there are: it is none of them.
std::size_t place_of(const std::vector<mmstats::Dimension>& dimensions, std::string_view name);
// Empty: there is no such place.
std::string_view value_at(const std::vector<mmstats::Dimension>& dimensions, std::size_t place);

// `text_of`: of an item, a text.
std::string texts_json(const auto& items, const auto& text_of) {
  std::string json = "[";
  for (const auto& item : items) json += (&item == &*items.begin() ? "" : ", ") + json_string(text_of(item));
  return json += "]";
}
// The first members of a family's object, which it does not end.
std::string head_json(const Member& first, std::size_t count);

}  // namespace mmash

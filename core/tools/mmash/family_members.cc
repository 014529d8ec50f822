#include "tools/mmash/family_members.h"

#include <fmt/format.h>

#include <algorithm>
#include <compare>
#include <tuple>

#include "tools/mmash/value_json.h"

namespace mmash {

using mmstats::Dimension;
using mmstats::Kind;
using mmstats::Series;

Member::Member(const Folded& now, Place place) {
  static const Series kGone;
  if (place.is_distribution == 0) {
    series = &now.series[place.index];
  } else if (const auto* const one = now.distributions[place.index].get(); one != nullptr) {
    distribution = one;
  } else {
    series = &kGone;
  }
}

bool Member::is_there() const { return series != nullptr ? series->present : distribution->shown; }

const std::string& Member::label() const {
  const auto& family = series != nullptr ? series->family() : distribution->family();
  if (!family.empty()) return family;
  return series != nullptr ? series->name() : distribution->name();
}

const std::vector<Dimension>& Member::dimensions() const {
  return series != nullptr ? series->dimensions() : distribution->dimensions();
}

const std::string& Member::unit() const { return series != nullptr ? series->unit() : distribution->unit(); }

const std::string& Member::help() const { return series != nullptr ? series->help() : distribution->help(); }

std::string_view Member::kind() const {
  return series != nullptr ? mmstats::to_string(series->kind) : kHistogramWord;
}

namespace {

// Families: what has the same label, kind, unit and names of dimensions.
std::strong_ordering compare_families(const Member& a, const Member& b) {
  const auto key = [](const Member& one) {
    return std::tuple<std::string_view, std::string_view, std::string_view>(one.label(), one.kind(),
                                                                            one.unit());
  };
  if (const auto order = key(a) <=> key(b); order != 0) return order;
  const auto& first = a.dimensions();
  const auto& second = b.dimensions();
  return std::lexicographical_compare_three_way(
      first.begin(), first.end(), second.begin(), second.end(),
      [](const Dimension& one, const Dimension& other) { return one.name <=> other.name; });
}

}  // namespace

Places members(const Folded& now, const std::function<bool(const Member&)>& wanted) {
  Places found;
  const auto add = [&](Place place) {
    if (const Member member(now, place); member.is_there() && wanted(member)) found.push_back(place);
  };
  for (std::uint32_t i = 0; i < now.distributions.size(); ++i) add({.index = i, .is_distribution = 1});
  for (std::uint32_t i = 0; i < now.series.size(); ++i) add({.index = i, .is_distribution = 0});
  std::ranges::stable_sort(
      found, [&](Place a, Place b) { return compare_families(Member(now, a), Member(now, b)) < 0; });
  found.shrink_to_fit();
  return found;
}

std::size_t family_end(const Folded& now, const Places& places, std::size_t begin) {
  const Member first(now, places[begin]);
  std::size_t end = begin + 1;
  while (end < places.size() && compare_families(first, Member(now, places[end])) == 0) ++end;
  return end;
}

std::string head_json(const Member& first, std::size_t count) {
  return fmt::format(R"({{"label": {}, "kind": "{}", "unit": {}, "help": {}, "dimensions": {}, "series": {})",
                     json_string(first.label()), first.kind(), json_string(first.unit()),
                     json_string(first.help()),
                     texts_json(first.dimensions(), [](const auto& one) { return one.name; }), count);
}

std::size_t place_of(const std::vector<Dimension>& dimensions, std::string_view name) {
  return static_cast<std::size_t>(std::ranges::find(dimensions, name, &Dimension::name) - dimensions.begin());
}

std::string_view value_at(const std::vector<Dimension>& dimensions, std::size_t place) {
  return place < dimensions.size() ? std::string_view(dimensions[place].value) : std::string_view();
}

// Which of those that types chose is a family's: as for the files of a series (series_table.cc).
mmstats::Aggregate aggregate_of(const Folded& now, std::span<const Place> places) {
  if (places.front().is_distribution != 0) return mmstats::Aggregate::kSum;
  const Series& first = now.series[places.front().index];
  if (first.kind == Kind::kCounter) return mmstats::Aggregate::kSum;
  const auto of = [&](Place place) {
    const auto one = now.series[place.index].aggregate;
    if (one != mmstats::Aggregate::kByKind && one != mmstats::Aggregate::kNone) return one;
    return first.kind == Kind::kTimestamp ? mmstats::Aggregate::kMax : mmstats::Aggregate::kSum;
  };
  const auto one = of(places.front());
  const auto some_are = [&](mmstats::Aggregate aggregate) {
    return std::ranges::any_of(places, [&](Place place) { return of(place) == aggregate; });
  };
  if (std::ranges::all_of(places, [&](Place place) { return of(place) == one; })) return one;
  return some_are(mmstats::Aggregate::kMax)   ? mmstats::Aggregate::kMax
         : some_are(mmstats::Aggregate::kAvg) ? mmstats::Aggregate::kAvg
                                              : mmstats::Aggregate::kSum;
}

std::vector<Group> grouped(const Folded& now, std::span<Place> places, const Where& where,
                           std::span<const std::size_t> by) {
  const auto others = std::ranges::stable_partition(
      places, [&](Place place) { return where.matches(Member(now, place).dimensions()); });
  const auto wanted = places.first(places.size() - others.size());
  const auto compare = [&](Place a, Place b) {
    const auto& first = Member(now, a).dimensions();
    const auto& second = Member(now, b).dimensions();
    for (const auto at : by) {
      if (const auto order = value_at(first, at) <=> value_at(second, at); order != 0) return order;
    }
    return std::strong_ordering::equal;
  };
  std::ranges::stable_sort(wanted, [&](Place a, Place b) { return compare(a, b) < 0; });
  std::vector<Group> groups;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (i == 0 || compare(wanted[i - 1], wanted[i]) != 0)
      groups.push_back({.begin = static_cast<std::uint32_t>(i), .count = 0});
    ++groups.back().count;
  }
  return groups;
}

}  // namespace mmash

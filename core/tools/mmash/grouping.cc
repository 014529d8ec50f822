#include "tools/mmash/grouping.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "base/failure.h"
#include "tools/mmash/family_members.h"
#include "tools/mmash/group_sum.h"

namespace mmash {
namespace {

using mmstats::Dimension;
using Texts = std::vector<std::string>;

enum class Order : std::uint8_t { kValue, kRate, kName };

struct Asked {
  Texts by;
  Where where = {};
  std::size_t top = Grouping::kMostGroups;
  Order order = Order::kValue;
};

bool has_all(const std::vector<Dimension>& dimensions, const Asked& asked) {
  return asked.where.fits(dimensions) && std::ranges::all_of(asked.by, [&](const std::string& name) {
           return place_of(dimensions, name) < dimensions.size();
         });
}

tl::unexpected<mmstats::Error> refuse(std::string message) {
  return tl::unexpected(mmstats::failure(mmstats::ErrorKind::kInvalid, {}, std::move(message)));
}

mmstats::Expected<Asked> parse(const Request& request) {
  Asked asked;
  for (const auto& [name, value] : request.parameters) {
    if (name == "by") {
      if (std::ranges::find(asked.by, value) == asked.by.end()) asked.by.push_back(value);
    } else if (name == "where") {
      if (auto added = asked.where.add(value); !added) return tl::unexpected(std::move(added.error()));
    } else if (name == "top") {
      const auto read = std::from_chars(value.data(), value.data() + value.size(), asked.top);
      if (read.ec != std::errc{} || read.ptr != value.data() + value.size() ||
          asked.top > Grouping::kMostGroups) {
        return refuse(fmt::format("top={}: it takes a whole number, at most {}", mmstats::printable(value),
                                  Grouping::kMostGroups));
      }
    } else if (name == "sort") {
      if (value != "value" && value != "rate" && value != "name") {
        return refuse(fmt::format("sort={}: it takes value, rate or name", mmstats::printable(value)));
      }
      asked.order = value == "rate" ? Order::kRate : value == "name" ? Order::kName : Order::kValue;
    } else {
      return refuse(fmt::format("{}: the parameters are by, where, top and sort", mmstats::printable(name)));
    }
  }
  return asked;
}

// The answer of one request.
class GroupsText {
 public:
  GroupsText(Asked asked, Places places, Growth growth)
      : asked_(std::move(asked)), places_(std::move(places)), growth_(std::move(growth)) {}

  // What comes next, of about `size` bytes.
  Piece next(const Folded& now, std::size_t size) {
    Piece piece;
    while (piece.text.size() < size && !piece.last) {
      if (at_ < shown_.size()) {
        add_group(now, shown_[at_++], piece.text);
      } else if (in_family_) {
        end_family(piece.text);
      } else if (begin_ < places_.size()) {
        begin_family(now, piece.text);
      } else {
        piece.text += "]}";
        piece.last = true;
      }
    }
    return piece;
  }

 private:
  [[nodiscard]] std::span<const Place> of(const Group& group) const {
    return std::span(places_).subspan(group.begin, group.count);
  }
  // What it is ordered by; what has none comes last.
  [[nodiscard]] double weight(const Folded& now, const Group& group) const {
    double weight = 0;
    bool known = false;
    if (asked_.order == Order::kRate) {
      for (const Place place : of(group)) {
        const auto gained = growth_.of(now, place);
        known = known || gained;
        weight += gained.value_or(0);
      }
    } else if (places_[group.begin].is_distribution != 0) {
      for (const Place place : of(group)) {
        const Member member(now, place);
        if (member.is_there()) weight += static_cast<double>(member.distribution->total.count());
      }
      known = true;
    } else {
      GroupSum sum(aggregate_);
      for (const Place place : of(group)) sum.add(now, place, growth_);
      weight = sum.number();
      known = true;
    }
    return known && !std::isnan(weight) ? weight : -std::numeric_limits<double>::infinity();
  }

  void begin_family(const Folded& now, std::string& into) {
    end_ = family_end(now, places_, begin_);
    const Member first(now, places_[begin_]);
    kind_ = first.kind();
    aggregate_ = aggregate_of(now, std::span(places_).subspan(begin_, end_ - begin_));
    by_.clear();
    for (const auto& name : asked_.by) by_.push_back(place_of(first.dimensions(), name));
    auto groups = grouped(now, std::span(places_).subspan(begin_, end_ - begin_), asked_.where, by_);
    for (auto& group : groups) group.begin += static_cast<std::uint32_t>(begin_);
    const std::size_t most = std::min(asked_.top, groups.size());
    std::size_t count = 0;
    for (const auto& group : groups) count += group.count;
    if (asked_.order != Order::kName) {
      std::vector<std::pair<double, std::uint32_t>> order;
      order.reserve(groups.size());
      for (const auto& group : groups) {
        order.emplace_back(-weight(now, group), static_cast<std::uint32_t>(order.size()));
      }
      std::ranges::sort(order);
      std::vector<Group> sorted;
      sorted.reserve(groups.size());
      for (const auto& [weight, at] : order) sorted.push_back(groups[at]);
      groups = std::move(sorted);
    }
    left_ = groups.size() - most;
    if (left_ > 0) {
      rest_.emplace(aggregate_);
      rest_seconds_ = growth_.seconds(now);
      for (std::size_t i = most; i < groups.size(); ++i) {
        for (const Place place : of(groups[i])) rest_->add(now, place, growth_);
      }
    }
    shown_.assign(groups.begin(), groups.begin() + static_cast<std::ptrdiff_t>(most));
    at_ = 0;
    in_family_ = true;
    into += begin_ == 0 ? "" : ", ";
    into += head_json(first, count);
    into += fmt::format(R"(, "aggregate": "{}", "by": {}, "groups": [)", mmstats::to_string(aggregate_),
                        texts_json(asked_.by, [](const auto& name) { return name; }));
  }

  void add_group(const Folded& now, const Group& group, std::string& into) const {
    GroupSum sum(aggregate_);
    for (const Place place : of(group)) sum.add(now, place, growth_);
    const auto& dimensions = Member(now, places_[group.begin]).dimensions();
    into += at_ == 1 ? "" : ", ";
    into += R"({"values": )" + texts_json(by_, [&](std::size_t at) { return value_at(dimensions, at); });
    into += ", " + sum.json(kind_, growth_.seconds(now)) + "}";
  }

  void end_family(std::string& into) {
    into += "]";
    if (rest_) {
      into += fmt::format(R"(, "other": {{"groups": {}, {}}})", left_, rest_->json(kind_, rest_seconds_));
    }
    into += "}";
    begin_ = end_;
    in_family_ = false;
    shown_ = {};
    at_ = 0;
    rest_.reset();
  }

  Asked asked_;
  Places places_;  // of all families
  Growth growth_;  // as it was at the request
  // Of the family that is written.
  bool in_family_ = false;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::string_view kind_;
  mmstats::Aggregate aggregate_ = mmstats::Aggregate::kSum;
  std::vector<std::size_t> by_;  // places of the dimensions
  std::vector<Group> shown_;
  std::size_t at_ = 0;            // of shown_: the next one
  std::size_t left_ = 0;          // groups that are not shown
  std::optional<GroupSum> rest_;  // and what they make together
  double rest_seconds_ = 0;       // for its rate
};

}  // namespace

Response Grouping::families(Look look) {
  const auto now = look();
  auto places = members(now, [](const Member& member) { return !member.dimensions().empty(); });
  // The first of each family, and how many there are.
  std::vector<std::pair<Place, std::uint32_t>> all;
  for (std::size_t begin = 0; begin < places.size();) {
    const auto end = family_end(now, places, begin);
    all.emplace_back(places[begin], static_cast<std::uint32_t>(end - begin));
    begin = end;
  }
  return in_pieces(json_response(R"({"families": [)"),
                   [look = std::move(look), all = std::move(all), at = std::size_t{0}]() mutable {
                     const auto now = look();
                     Piece piece;
                     for (; at < all.size() && piece.text.size() < kPiece; ++at) {
                       const auto& [place, count] = all[at];
                       piece.text += (at == 0 ? "" : ", ") + head_json(Member(now, place), count) + "}";
                     }
                     piece.last = at == all.size();
                     if (piece.last) piece.text += "]}";
                     return piece;
                   });
}

Response Grouping::groups(std::string_view label, const Request& request, Look look) {
  auto asked = parse(request);
  if (!asked) return error_response(400, asked.error().message);
  const auto now = look();
  growth_.note(now);
  auto places = members(now, [&](const Member& member) {
    return member.label() == label && has_all(member.dimensions(), *asked);
  });
  if (places.empty()) {
    const bool any = !asked->by.empty() || asked->where.limits();
    return error_response(404, fmt::format("nothing has the label {}{}", mmstats::printable(label),
                                           any ? " and these dimensions" : ""));
  }
  return in_pieces(
      json_response(R"({"families": [)"),
      [look = std::move(look), text = GroupsText(std::move(*asked), std::move(places), growth_)]() mutable {
        return text.next(look(), kPiece);
      });
}

}  // namespace mmash

#include "tools/mmash/family_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/failure.h"
#include "tools/mmash/csv_text.h"
#include "tools/mmash/group_sum.h"
#include "tools/mmash/value_json.h"
#include "tools/mmash/where.h"
#include "tools/mmash/word_search.h"

namespace mmash {
namespace {

using mmstats::Dimension;

constexpr double kNoFigure = std::numeric_limits<double>::quiet_NaN();

enum class Column : std::uint8_t { kValue, kCount, kSum, kRate, kShare, kMean, kP50, kP99 };
constexpr std::array<std::string_view, 8> kColumnNames{"value", "count", "sum", "rate",
                                                       "share", "mean",  "p50", "p99"};
constexpr std::array kHistogramColumns{Column::kCount, Column::kSum, Column::kRate, Column::kShare,
                                       Column::kMean,  Column::kP50, Column::kP99};
constexpr std::array kOfCounter{Column::kValue, Column::kRate, Column::kShare};
constexpr std::array kOfOthers{Column::kValue};
constexpr std::string_view kByName = "name";

std::optional<Column> column_named(std::string_view name) {
  for (std::size_t i = 0; i < kColumnNames.size(); ++i) {
    if (kColumnNames[i] == name) return static_cast<Column>(i);
  }
  return std::nullopt;
}

std::string_view name_of(Column column) { return kColumnNames[static_cast<std::size_t>(column)]; }

std::span<const Column> columns_of(std::string_view kind) {
  if (kind == kHistogramWord) return kHistogramColumns;
  if (kind == mmstats::to_string(mmstats::Kind::kCounter)) return kOfCounter;
  return kOfOthers;
}

// What the share is of.
Column total_column(std::string_view kind) { return kind == kHistogramWord ? Column::kSum : Column::kValue; }

bool has_column(std::string_view kind, std::string_view name) {
  return name == kByName ||
         std::ranges::any_of(columns_of(kind), [&](Column one) { return name_of(one) == name; });
}

enum class Format : std::uint8_t { kJson, kCsv };

struct TableAsked {
  Format format = Format::kJson;
  std::optional<std::string> kind = {};
  std::optional<std::string> unit = {};
  std::optional<std::string> dimensions = {};  // their names, with commas
  Where where = {};
  WordSearch search = {};
  std::size_t top = FamilyRows::kUsualRows;
  std::string sort = {};  // empty: by what the share is of
};

std::string names_of(const std::vector<Dimension>& dimensions) {
  std::string names;
  for (const auto& [name, value] : dimensions) names += (names.empty() ? "" : ",") + name;
  return names;
}

bool is_wanted(const TableAsked& asked, const Member& member) {
  return (!asked.kind || *asked.kind == member.kind()) && (!asked.unit || *asked.unit == member.unit()) &&
         (!asked.dimensions || *asked.dimensions == names_of(member.dimensions())) &&
         asked.where.fits(member.dimensions());
}

tl::unexpected<mmstats::Error> refuse_table(std::string message) {
  return tl::unexpected(mmstats::failure(mmstats::ErrorKind::kInvalid, {}, std::move(message)));
}

mmstats::Expected<TableAsked> parse_table(const Request& request) {
  TableAsked asked;
  for (const auto& [name, value] : request.parameters) {
    if (name == "format") {
      if (value != "json" && value != "csv") {
        return refuse_table(fmt::format("format={}: it takes json or csv", mmstats::printable(value)));
      }
      asked.format = value == "csv" ? Format::kCsv : Format::kJson;
    } else if (name == "kind") {
      asked.kind = value;
    } else if (name == "unit") {
      asked.unit = value;
    } else if (name == "dimensions") {
      asked.dimensions = value;
    } else if (name == "where") {
      if (auto added = asked.where.add(value); !added) return tl::unexpected(std::move(added.error()));
    } else if (name == "search") {
      auto search = WordSearch::make(value);
      if (!search) return tl::unexpected(std::move(search.error()));
      asked.search = std::move(*search);
    } else if (name == "top") {
      const auto read = std::from_chars(value.data(), value.data() + value.size(), asked.top);
      if (read.ec != std::errc{} || read.ptr != value.data() + value.size() ||
          asked.top > FamilyRows::kMostRows) {
        return refuse_table(fmt::format("top={}: it takes a whole number, at most {}",
                                        mmstats::printable(value), FamilyRows::kMostRows));
      }
    } else if (name == "sort") {
      if (value != kByName && !column_named(value)) {
        return refuse_table(fmt::format("sort={}: it takes name or one of {}", mmstats::printable(value),
                                        fmt::join(kColumnNames, ", ")));
      }
      asked.sort = value;
    } else {
      return refuse_table(
          fmt::format("{}: the parameters are format, kind, unit, dimensions, where, search, top and sort",
                      mmstats::printable(name)));
    }
  }
  return asked;
}

// Of all values of a histogram.
double sum_of(const Folded& now, const mmstats::Distribution& one) {
  if (one.sum >= 0) {
    const auto& sum = now.series[static_cast<std::size_t>(one.sum)];
    return sum.integral ? static_cast<double>(sum.total) : sum.value;
  }
  return one.total.count() > 0 ? one.total.mean() * static_cast<double>(one.total.count()) : 0;
}

// Values of several series or histograms, and what is to be said of them.
class RowSum {
 public:
  explicit RowSum(mmstats::Aggregate aggregate) : values_(aggregate) {}

  void add(const Folded& now, std::span<const Place> places, const Growth& growth) {
    for (const Place place : places) {
      values_.add(now, place, growth);
      const Member member(now, place);
      if (member.distribution != nullptr && member.is_there()) sum_ += sum_of(now, *member.distribution);
    }
  }

  [[nodiscard]] bool is_there() const { return values_.members() > 0; }
  [[nodiscard]] std::string number_text() const { return values_.number_text(); }
  // `seconds`: what a rate is over; `all`: what a share is of.
  [[nodiscard]] double figure(Column column, double seconds, double all) const {
    const auto count = static_cast<double>(values_.buckets().count());
    switch (column) {
      case Column::kSum:
        return sum_;
      case Column::kRate:
        return values_.gained() ? *values_.gained() / seconds : kNoFigure;
      case Column::kShare:
        return (count > 0 ? sum_ : values_.number()) / all;
      case Column::kMean:
        return count > 0 ? sum_ / count : kNoFigure;
      case Column::kP50:
        return count > 0 ? values_.buckets().percentile(50) : kNoFigure;
      case Column::kP99:
        return count > 0 ? values_.buckets().percentile(99) : kNoFigure;
      default:
        return values_.number();
    }
  }

 private:
  GroupSum values_;
  double sum_ = 0;
};

// The answer of one request.
class TableText {
 public:
  TableText(TableAsked asked, Places places, Growth growth)
      : asked_(std::move(asked)), places_(std::move(places)), growth_(std::move(growth)) {}

  // What comes next, of about `size` bytes.
  Piece next(const Folded& now, std::size_t size) {
    Piece piece;
    while (piece.text.size() < size && !piece.last) {
      if (at_ < rows_.size()) {
        add_row(now, rows_[at_++], piece.text);
      } else if (in_family_) {
        end_family(piece.text);
      } else if (begin_ < places_.size()) {
        begin_family(now, piece.text);
      } else {
        if (!is_csv()) piece.text += "]}";
        piece.last = true;
      }
    }
    return piece;
  }

 private:
  struct TableRow {
    Group group = {};
    std::string number = {};             // exact: of the first column
    std::array<double, 6> figures = {};  // of the columns behind it
  };

  [[nodiscard]] bool is_csv() const { return asked_.format == Format::kCsv; }
  [[nodiscard]] std::span<const Place> of(const Group& group) const {
    return std::span(places_).subspan(group.begin, group.count);
  }
  [[nodiscard]] RowSum sum_of_group(const Folded& now, const Group& group) const {
    RowSum sum(aggregate_);
    sum.add(now, of(group), growth_);
    return sum;
  }
  [[nodiscard]] TableRow row_of(const RowSum& sum, const Group& group) const {
    TableRow row{.group = group, .number = sum.number_text()};
    for (std::size_t i = 1; i < columns_.size(); ++i)
      row.figures[i - 1] = sum.figure(columns_[i], seconds_, all_);
    return row;
  }

  void begin_family(const Folded& now, std::string& into) {
    const auto end = family_end(now, places_, begin_);
    const auto members = std::span(places_).subspan(begin_, end - begin_);
    const Member first(now, members.front());
    const auto& dimensions = first.dimensions();
    columns_ = columns_of(first.kind());
    aggregate_ = aggregate_of(now, members);
    seconds_ = growth_.seconds(now);
    const std::string head = head_json(first, members.size());
    const auto total = total_column(first.kind());
    const auto sort = asked_.sort.empty() ? name_of(total) : std::string_view(asked_.sort);

    std::vector<std::size_t> by(dimensions.size());
    std::iota(by.begin(), by.end(), 0);
    auto groups = grouped(now, members, asked_.where, by);
    for (auto& group : groups) group.begin += static_cast<std::uint32_t>(begin_);
    const auto column = column_named(sort);  // none: by name
    all_ = 0;
    std::vector<std::pair<double, std::uint32_t>> order;  // of those that are found, what is greatest first
    for (std::uint32_t i = 0; i < groups.size(); ++i) {
      const auto sum = sum_of_group(now, groups[i]);
      const double part = sum.figure(total, seconds_, kNoFigure);
      if (!std::isnan(part)) all_ += part;
      if (!asked_.search.finds(Member(now, of(groups[i]).front()).dimensions())) continue;
      double weight = 0;
      if (column) {
        weight = *column == Column::kShare ? part : sum.figure(*column, seconds_, kNoFigure);
        if (std::isnan(weight)) weight = -std::numeric_limits<double>::infinity();
      }
      order.emplace_back(-weight, i);
    }
    std::ranges::sort(order);

    rows_.clear();
    rows_.reserve(std::min(asked_.top, order.size()));
    RowSum rest(aggregate_);
    for (std::size_t i = 0; i < order.size(); ++i) {
      const Group& group = groups[order[i].second];
      if (i < asked_.top) {
        rows_.push_back(row_of(sum_of_group(now, group), group));
      } else {
        rest.add(now, of(group), growth_);
      }
    }
    if (order.size() > rows_.size()) {
      rest_ = row_of(rest, {.begin = 0, .count = static_cast<std::uint32_t>(order.size() - rows_.size())});
    }
    at_ = 0;
    in_family_ = true;
    any_row_ = false;
    if (is_csv()) {
      add_csv_head(dimensions, into);
    } else {
      into += begin_ == 0 ? "" : ", ";
      into += head;
      into += fmt::format(R"(, "seconds": {}, "sort": "{}", "rows": [)", number_json(seconds_), sort);
    }
    begin_ = end;
  }

  void add_csv_head(const std::vector<Dimension>& dimensions, std::string& into) const {
    std::string line;
    for (const auto& [name, value] : dimensions) {
      line += (line.empty() ? "" : ",") + std::string(column_named(name) ? "dimension." : "") + name;
    }
    for (const Column column : columns_) (line += line.empty() ? "" : ",") += name_of(column);
    into += line + "\r\n";
  }

  void add_row(const Folded& now, const TableRow& row, std::string& into) {
    const Member member(now, places_[row.group.begin]);
    if (!member.is_there()) return;  // it went since
    const auto& dimensions = member.dimensions();
    if (is_csv()) {
      for (const auto& [name, value] : dimensions) {
        add_csv_field(into, value);
        into += ',';
      }
      into += row.number == "null" ? "" : row.number;
      for (std::size_t i = 1; i < columns_.size(); ++i) {
        into += ',';
        if (std::isfinite(row.figures[i - 1])) into += number_json(row.figures[i - 1]);
      }
      into += "\r\n";
      return;
    }
    into += std::exchange(any_row_, true) ? ", " : "";
    into += R"({"values": )" + texts_json(dimensions, [](const auto& one) { return one.value; });
    add_figures(row, into);
    into += "}";
  }

  void add_figures(const TableRow& row, std::string& into) const {
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      into += fmt::format(R"(, "{}": {})", name_of(columns_[i]),
                          i == 0 ? row.number : number_json(row.figures[i - 1]));
    }
  }

  void end_family(std::string& into) {
    if (!is_csv()) {
      into += "]";
      if (rest_) {
        into += fmt::format(R"(, "other": {{"rows": {})", rest_->group.count);
        add_figures(*rest_, into);
        into += "}";
      }
      into += "}";
    }
    in_family_ = false;
    rows_ = {};
    at_ = 0;
    rest_.reset();
  }

  TableAsked asked_;
  Places places_;          // of all families
  Growth growth_;          // as it was at the request
  std::size_t begin_ = 0;  // of places_: the next family
  // Of the family that is written.
  bool in_family_ = false;
  std::span<const Column> columns_;
  mmstats::Aggregate aggregate_ = mmstats::Aggregate::kSum;
  double seconds_ = 0;
  double all_ = 0;
  std::vector<TableRow> rows_;
  std::size_t at_ = 0;  // of rows_: the next one
  bool any_row_ = false;
  std::optional<TableRow> rest_;  // what is not shown, together
};

// A name for who keeps the answer as a file.
std::string file_name(std::string_view label) {
  std::string name(label.substr(0, 100));
  for (char& c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
    if (!plain && c != '.' && c != '-') c = '_';
  }
  return name + ".csv";
}

}  // namespace

Response FamilyRows::answer(std::string_view label, const Request& request, Look look) {
  auto asked = parse_table(request);
  if (!asked) return error_response(400, asked.error().message);
  const auto now = look();
  growth_.note(now);
  auto places = members(
      now, [&](const Member& member) { return member.label() == label && is_wanted(*asked, member); });
  if (places.empty()) {
    const bool any = asked->kind || asked->unit || asked->dimensions || asked->where.limits();
    return error_response(404, fmt::format("nothing has the label {}{}", mmstats::printable(label),
                                           any ? " and is of this kind, unit and dimensions" : ""));
  }
  std::size_t families = 0;
  for (std::size_t begin = 0; begin < places.size(); begin = family_end(now, places, begin)) {
    ++families;
    const auto kind = Member(now, places[begin]).kind();
    if (!asked->sort.empty() && !has_column(kind, asked->sort)) {
      return error_response(400, fmt::format("sort={}: a {} has no such column", asked->sort, kind));
    }
  }
  const bool is_csv = asked->format == Format::kCsv;
  if (is_csv && families > 1) {
    return error_response(400,
                          fmt::format("{} families have this label: choose one of them by kind, unit and "
                                      "dimensions, which /series/ tells",
                                      families));
  }
  auto response = is_csv
                      ? Response{.content_type = "text/csv; charset=utf-8; header=present",
                                 .headers = {{"Cache-Control", "no-store"},
                                             {"Content-Disposition",
                                              fmt::format("attachment; filename=\"{}\"", file_name(label))}}}
                      : json_response(R"({"families": [)");
  return in_pieces(
      std::move(response),
      [look = std::move(look), text = TableText(std::move(*asked), std::move(places), growth_)]() mutable {
        return text.next(look(), kPiece);
      });
}

}  // namespace mmash

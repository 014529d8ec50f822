#include "tools/pollstats/columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>
#include <utility>

#include "mmstats/metadata.h"
#include "tools/pollstats/number_text.h"
#include "tools/pollstats/text_cells.h"
#include "tools/shared/json_text.h"
#include "tools/shared/value_text.h"

namespace pollstats {
namespace {

using mmstats::Series;

constexpr std::size_t kLongestField = 65535;  // bytes, as of a label
constexpr std::size_t kNarrowest = 8;         // cells of a column on a terminal

constexpr std::string_view kBold = "\033[1m";
constexpr std::string_view kYellow = "\033[33m";
constexpr std::string_view kReset = "\033[0m";

// The one of a column's series that has a value.
const Sample* current(std::span<const std::uint32_t> series, const Samples& samples) {
  for (const auto index : series) {
    if (samples.all()[index].present) return &samples.all()[index];
  }
  return nullptr;
}

// Counters come first.
void add(std::vector<std::uint32_t>& to, std::span<const Series> series, std::uint32_t index) {
  to.insert(series[index].kind == mmstats::Kind::kCounter ? to.begin() : to.end(), index);
}

std::string change_text(const Sample* sample, std::size_t width) {
  if (sample == nullptr) return "-";
  if (sample->whole) return number_text(sample->added, width);
  return number_text(sample->kind == mmstats::Kind::kCounter ? *sample->change : sample->value, width);
}

std::string rate_text(const Sample* sample, std::size_t width) {
  return sample != nullptr && sample->rate ? number_text(*sample->rate, width) : "-";
}

// A whole number that a double holds exactly is written as one.
std::string number_json(double number) {
  constexpr double kExact = 9007199254740992;  // 2^53
  const bool whole = number == std::floor(number) && std::fabs(number) <= kExact;
  return whole ? fmt::to_string(static_cast<std::int64_t>(number)) : mmstats::item_json(number);
}

std::string number_json(const std::optional<double>& number) {
  return number ? number_json(*number) : "null";
}

std::string sample_json(const Sample& sample, bool first) {
  const std::string value = sample.whole ? fmt::to_string(sample.total) : number_json(sample.value);
  const std::string change = first          ? "null"
                             : sample.whole ? fmt::to_string(sample.added)
                                            : number_json(sample.change);
  return fmt::format(R"({{"kind": "{}", "value": {}, "change": {}, "rate": {}}})", to_string(sample.kind),
                     value, change, number_json(sample.rate));
}

}  // namespace

mmstats::Expected<Columns> Columns::parse(std::string_view fields, const std::string& prefix) {
  const auto refused = [](std::string message) {
    return tl::unexpected(mmstats::Error{.kind = mmstats::ErrorKind::kInvalid,
                                         .path = {},
                                         .offset = 0,
                                         .sys_errno = 0,
                                         .message = std::move(message)});
  };
  Columns columns;
  columns.prefix_ = prefix;
  while (true) {
    const std::size_t comma = fields.find(',');
    const auto name = fields.substr(0, comma);
    if (name.empty()) return refused("FIELD: an empty name; write FIELD,FIELD without blanks");
    Field field{prefix + std::string(name), std::nullopt, {}};
    if (field.text.size() > kLongestField) return refused("FIELD: a name is longer than any label");
    if (has_wildcard(name)) {
      // The prefix is meant as it stands.
      auto pattern = FieldPattern::compile(name, prefix);
      if (!pattern) return tl::unexpected(pattern.error());
      field.pattern = std::move(*pattern);
    } else {
      columns.by_label_.emplace(field.text, columns.fields_.size());
    }
    field.columns.push_back({field.text, {}});
    columns.fields_.push_back(std::move(field));
    if (comma == std::string_view::npos) return columns;
    fields.remove_prefix(comma + 1);
  }
}

std::vector<std::string> Columns::patterns() const {
  std::vector<std::string> patterns;
  patterns.reserve(fields_.size());
  for (const Field& field : fields_) {
    patterns.push_back(field.pattern ? field.pattern->re2() : quoted_re2(field.text));
  }
  return patterns;
}

bool Columns::update(std::span<const Series> series) {
  bool changed = false;
  for (; seen_ < series.size(); ++seen_) {
    const auto index = static_cast<std::uint32_t>(seen_);
    const std::string& name = series[seen_].name;
    const auto [begin, end] = by_label_.equal_range(name);
    for (auto found = begin; found != end; ++found) {
      add(fields_[found->second].columns.front().series, series, index);
    }
    for (Field& field : fields_) {
      if (!field.pattern || !field.pattern->matches(name)) continue;
      // Until now it stood for itself.
      if (field.columns.front().series.empty()) field.columns.clear();
      auto column = std::ranges::lower_bound(field.columns, name, {}, &Column::label);
      if (column == field.columns.end() || column->label != name) {
        column = field.columns.insert(column, {name, {}});
        changed = true;
      }
      add(column->series, series, index);
    }
  }
  return changed;
}

std::vector<std::string> Columns::missing() const {
  std::vector<std::string> missing;
  for (const Field& field : fields_) {
    if (!field.pattern && field.columns.front().series.empty()) missing.push_back(field.text);
  }
  return missing;
}

template <class Visit>
void Columns::for_each_column(Visit&& visit) const {
  for (const Field& field : fields_) {
    for (const Column& column : field.columns) visit(column);
  }
}

std::string_view Columns::title(const Column& column) const {
  return std::string_view(column.label).substr(prefix_.size());
}

// What the terminal has for each column; no more than is of use.
std::size_t Columns::width(const Look& look) const {
  if (!look.terminal_width) return kColumnWidth;
  std::size_t count = 0;
  std::size_t wanted = kColumnWidth;
  for_each_column([&](const Column& column) {
    count += look.rate ? 2 : 1;
    wanted = std::max(wanted, cells(mmstats::printable(title(column))) + (look.rate ? 4 : 2));
  });
  const std::size_t room = *look.terminal_width + 1;  // a bar less than columns
  return std::clamp(room / std::max<std::size_t>(count, 1), kNarrowest + 1, wanted + 1) - 1;
}

std::string Columns::header(const Look& look) const {
  const std::size_t room = width(look);
  std::string header;
  const auto add_title = [&](std::string_view text) {
    // On a terminal the end is kept: names that a pattern found begin alike.
    const std::string cut = look.terminal_width ? last_cells(text, room, "<") : first_cells(text, room);
    if (!header.empty()) header += '|';
    if (look.colour) header += kBold;
    header += centred(cut, room);
    if (look.colour) header += kReset;
  };
  for_each_column([&](const Column& column) {
    const std::string text = mmstats::printable(title(column));
    add_title(text);
    if (look.rate) add_title(text + "/s");
  });
  return header;
}

std::string Columns::line(const Samples& samples, const Look& look) const {
  const std::size_t room = width(look) - 1;
  // Where there is no terminal, all digits: who reads it may count with them.
  const std::size_t digits = look.terminal_width ? room : std::string::npos;
  std::string line;
  const auto add_number = [&](std::string_view text) {
    if (!line.empty()) line += '|';
    if (look.colour) line += kYellow;
    line += right_aligned(text, room);
    if (look.colour) line += kReset;
    line += ' ';
  };
  for_each_column([&](const Column& column) {
    const Sample* sample = current(column.series, samples);
    add_number(change_text(sample, digits));
    if (look.rate) add_number(rate_text(sample, digits));
  });
  return line;
}

std::string Columns::json(const Samples& samples, std::chrono::system_clock::time_point at) const {
  const double seconds = std::chrono::duration<double>(at.time_since_epoch()).count();
  std::string json = fmt::format(R"({{"time": {:.3f}, "fields": {{)", seconds);
  std::unordered_set<std::string_view> told;
  for (const Field& field : fields_) {
    for (const Column& column : field.columns) {
      // A pattern that matches nothing is no field.
      if (field.pattern && column.series.empty()) continue;
      if (!told.insert(column.label).second) continue;
      if (told.size() > 1) json += ", ";
      const Sample* sample = current(column.series, samples);
      json += mmstats::json_text(column.label) + ": ";
      json += sample == nullptr ? "null" : sample_json(*sample, samples.scans() == 1);
    }
  }
  return json + "}}";
}

}  // namespace pollstats

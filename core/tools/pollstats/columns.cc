#include "tools/pollstats/columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>
#include <utility>

#include "base/failure.h"
#include "base/keyed_hash.h"
#include "format/bucket_field.h"
#include "mmstats/metadata.h"
#include "tools/pollstats/number_text.h"
#include "tools/pollstats/text_cells.h"
#include "tools/shared/dimensions_text.h"
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

std::string_view title(const auto& column) { return std::string_view(column.label).substr(column.prefix); }

std::string about_json(const Series& series) {
  if (series.family().empty()) return {};
  auto dimensions = mmstats::Json::object();
  for (const auto& [name, value] : series.dimensions()) dimensions[name] = value;
  return fmt::format(R"(, "family": {}, "dimensions": {})", mmstats::json_text(series.family()),
                     mmstats::json_text(dimensions));
}

// Counters come first.
void add(auto& column, std::span<const Series> series, std::uint32_t index) {
  auto& all = column.series;
  all.insert(series[index].kind == mmstats::Kind::kCounter ? all.begin() : all.end(), index);
  if (column.about.empty()) column.about = about_json(series[index]);
  if (column.unit.empty()) column.unit = series[index].unit();
  column.counter = column.counter || series[index].kind == mmstats::Kind::kCounter;
}

std::string change_text(const Sample* sample, std::size_t width) {
  if (sample == nullptr) return "-";
  if (sample->whole) return number_text(sample->added, width);
  return number_text(sample->kind == mmstats::Kind::kCounter ? *sample->change : sample->value, width);
}

std::string rate_of(const Sample* sample, std::size_t width) {
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

std::string sample_json(const Sample& sample, bool first, std::string_view about) {
  const std::string value = sample.whole ? fmt::to_string(sample.total) : number_json(sample.value);
  const std::string change = first          ? "null"
                             : sample.whole ? fmt::to_string(sample.added)
                                            : number_json(sample.change);
  return fmt::format(R"({{"kind": "{}", "value": {}, "change": {}, "rate": {}{}}})", to_string(sample.kind),
                     value, change, number_json(sample.rate), about);
}

}  // namespace

mmstats::Expected<Columns::Form> Columns::make_form(std::string_view name, const std::string& prefix) {
  Form form{prefix + std::string(name), std::nullopt, {}};
  if (form.text.size() > kLongestField) {
    return tl::unexpected(
        mmstats::failure(mmstats::ErrorKind::kInvalid, {}, "FIELD: a name is longer than any label"));
  }
  if (has_wildcard(name)) {
    // The prefix is meant as it stands.
    auto pattern = FieldPattern::compile(name, prefix);
    if (!pattern) return tl::unexpected(pattern.error());
    form.pattern = std::move(*pattern);
  }
  form.columns.push_back({form.text, prefix.size(), {}});
  return form;
}

mmstats::Expected<Columns> Columns::parse(std::string_view fields, const std::string& prefix) {
  Columns columns;
  const bool can_have_dot = !prefix.empty() && !prefix.ends_with('.');
  while (true) {
    const std::size_t comma = fields.find(',');
    const auto name = fields.substr(0, comma);
    if (name.empty()) {
      return tl::unexpected(mmstats::failure(mmstats::ErrorKind::kInvalid, {},
                                             "FIELD: an empty name; write FIELD,FIELD without blanks"));
    }
    auto plain = make_form(name, prefix);
    if (!plain) return tl::unexpected(plain.error());
    Field field{std::move(*plain), std::nullopt};
    if (can_have_dot) {
      if (auto dotted = make_form(name, prefix + '.')) field.dotted = std::move(*dotted);
    }
    const std::size_t number = columns.fields_.size();
    if (!field.plain.pattern) {
      columns.by_label_.emplace(field.plain.text, std::pair(number, false));
      if (field.dotted) columns.by_label_.emplace(field.dotted->text, std::pair(number, true));
    }
    columns.fields_.push_back(std::move(field));
    if (comma == std::string_view::npos) return columns;
    fields.remove_prefix(comma + 1);
  }
}

std::vector<std::string> Columns::patterns() const {
  std::vector<std::string> patterns;
  const auto add_form = [&](const Form& form) {
    if (form.pattern) return patterns.push_back(form.pattern->re2());
    // It may be a family: the values of dimensions are behind it, but before a histogram's ending.
    const std::string_view text = form.text;
    patterns.push_back(quoted_re2(text) + R"((?:\..*)?)");
    if (mmstats::histogram_stem(text).empty() && !text.ends_with(".sum")) return;
    const std::size_t ending = text.rfind('.');
    patterns.push_back(quoted_re2(text.substr(0, ending)) + R"(\..*)" + quoted_re2(text.substr(ending)));
  };
  for (const Field& field : fields_) {
    add_form(field.plain);
    if (field.dotted) add_form(*field.dotted);
  }
  return patterns;
}

std::vector<mmstats::Percentile> Columns::percentiles() const {
  auto percentiles = mmstats::default_percentiles();
  const auto add_ending = [&](const std::string& text) {
    const auto wanted = mmstats::percentile_of_ending(std::string_view(text).substr(text.rfind('.') + 1));
    if (wanted && std::ranges::find(percentiles, *wanted) == percentiles.end())
      percentiles.push_back(*wanted);
  };
  for (const Field& field : fields_) {
    add_ending(field.plain.text);
    if (field.dotted) add_ending(field.dotted->text);
  }
  return percentiles;
}

// A series that fits the form's pattern. True: there is one column more.
bool Columns::take(Form& form, std::span<const Series> series, std::uint32_t index) {
  const std::size_t prefix = form.columns.front().prefix;
  // Until now it stood for itself.
  if (!form.has_series()) form.columns.clear();
  const auto place_of = [&](const std::string& name) {
    return std::ranges::lower_bound(form.columns, name, {}, &Column::label);
  };
  const auto& one = series[index];
  std::string name = one.name();
  auto column = place_of(name);
  if (column != form.columns.end() && column->label == name && !column->is_of(series, index)) {
    // Of two with one name, that of a family is named in full.
    if (one.dimensions().empty()) {
      Column other = std::move(*column);
      form.columns.erase(column);
      const auto& first = series[other.series.front()];
      other.label = mmstats::full_name(first.family(), first.dimensions());
      other.prefix = std::min(prefix, first.family().size());
      form.columns.insert(place_of(other.label), std::move(other));
    } else {
      name = mmstats::full_name(one.family(), one.dimensions());
    }
    column = place_of(name);
  }
  const bool is_new = column == form.columns.end() || column->label != name;
  if (is_new)
    column = form.columns.insert(
        column, {name, name == one.name() ? prefix : std::min(prefix, one.family().size()), {}});
  add(*column, series, index);
  return is_new;
}

// A field without wildcards may be a series, or a family of many.
bool Columns::take_by_label(const std::string& label, std::span<const Series> series, std::uint32_t index) {
  bool changed = false;
  const auto [begin, end] = by_label_.equal_range(label);
  for (auto found = begin; found != end; ++found) {
    const auto [number, dotted] = found->second;
    Field& field = fields_[number];
    const Form* const before = &field.shown();
    Form& form = dotted ? *field.dotted : field.plain;
    Column& first = form.columns.front();
    if (first.label == series[index].name() && first.is_of(series, index)) {
      add(first, series, index);
    } else {
      changed = take(form, series, index) || changed;
    }
    changed = changed || before != &field.shown();
  }
  return changed;
}

bool Columns::update(std::span<const Series> series) {
  bool changed = false;
  for (; seen_ < series.size(); ++seen_) {
    const auto index = static_cast<std::uint32_t>(seen_);
    const std::string& name = series[seen_].name();
    changed = take_by_label(name, series, index) || changed;
    const std::string& family = series[seen_].family();
    if (!family.empty() && family != name) changed = take_by_label(family, series, index) || changed;
    for (Field& field : fields_) {
      if (!field.plain.pattern) continue;
      const bool plain = field.plain.pattern->matches(name) && take(field.plain, series, index);
      const bool dotted =
          field.dotted && field.dotted->pattern->matches(name) && take(*field.dotted, series, index);
      changed = changed || plain || dotted;
    }
  }
  return changed;
}

std::vector<Columns::Missing> Columns::missing() const {
  std::vector<Missing> missing;
  for (const Field& field : fields_) {
    const Form& form = field.shown();
    if (!form.has_series()) missing.push_back({form.text, form.pattern.has_value()});
  }
  return missing;
}

template <class Visit>
void Columns::for_each_column(Visit&& visit) const {
  for (const Field& field : fields_) {
    for (const Column& column : field.shown().columns) visit(column);
  }
}

std::size_t Columns::rates() const {
  std::size_t count = 0;
  for_each_column([&](const Column& column) { count += column.counter ? 1 : 0; });
  return count;
}

// What the terminal has for each column; no more than is of use.
std::size_t Columns::width(const Look& look) const {
  if (!look.terminal_width) return kColumnWidth;
  std::size_t count = 0;
  std::size_t wanted = kColumnWidth;
  for_each_column([&](const Column& column) {
    const bool rate = look.rate && column.counter;
    count += rate ? 2 : 1;
    const std::size_t unit = column.unit.empty() ? 0 : cells(mmstats::printable(column.unit)) + 3;
    wanted = std::max(
        wanted, cells(mmstats::printable(title(column))) + std::max<std::size_t>(unit, rate ? 2 : 0) + 2);
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
    // Scripts know columns by their titles; and a name is worth more than its unit.
    const std::string with_unit = fmt::format("{} [{}]", text, mmstats::printable(column.unit));
    const bool tells_unit = look.terminal_width && !column.unit.empty() && cells(with_unit) <= room;
    add_title(tells_unit ? with_unit : text);
    if (look.rate && column.counter) add_title(text + "/s");
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
    if (look.rate && column.counter) add_number(rate_of(sample, digits));
  });
  return line;
}

std::string Columns::json(const Samples& samples, std::chrono::system_clock::time_point at) const {
  const double seconds = std::chrono::duration<double>(at.time_since_epoch()).count();
  std::string json = fmt::format(R"({{"time": {:.3f}, "fields": {{)", seconds);
  std::unordered_set<std::string_view, mmstats::KeyedHash> told;
  for (const Field& field : fields_) {
    const Form& form = field.shown();
    for (const Column& column : form.columns) {
      // A pattern that matches nothing is no field.
      if (form.pattern && column.series.empty()) continue;
      if (!told.insert(column.label).second) continue;
      if (told.size() > 1) json += ", ";
      const Sample* sample = current(column.series, samples);
      json += mmstats::json_text(column.label) + ": ";
      json += sample == nullptr ? "null" : sample_json(*sample, samples.scans() == 1, column.about);
    }
  }
  return json + "}}";
}

}  // namespace pollstats

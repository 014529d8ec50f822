#include "tools/pollstats/live_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <ranges>
#include <unordered_map>

#include "base/keyed_hash.h"
#include "tools/pollstats/text_cells.h"
#include "tools/shared/dimensions_text.h"

namespace pollstats {
namespace {

constexpr std::string_view kCountEnding = ".count";

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lowered(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

bool contains(std::string_view text, std::string_view lowered_word) {
  return lowered_word.empty() ||
         std::search(text.begin(), text.end(), lowered_word.begin(), lowered_word.end(),
                     [](char a, char b) { return lower(a) == b; }) != text.end();
}

std::optional<double> sort_value(const Sample& sample, LiveView::Sort sort) {
  switch (sort) {
    case LiveView::Sort::kValue:
      return sample.value;
    case LiveView::Sort::kRate:
      return sample.rate;
    default:
      return sample.change;
  }
}

}  // namespace

void LiveView::take(std::span<const mmstats::Series> series, Distributions distributions,
                    const Samples& samples, Facts facts) {
  series_ = series;
  distributions_ = distributions;
  samples_ = &samples;
  facts_ = std::move(facts);
  if (!facts_.complaint.empty()) complaint_ = shown(facts_.complaint, unicode_);
  add_labels();
  arrange();
}

void LiveView::begin_anew() {
  series_ = {};
  distributions_ = {};
  samples_ = nullptr;
  labels_.clear();
  known_distributions_ = 0;
  rows_.clear();
  scroll_ = {.page = scroll_.page};
  if (processes_of_) leave_processes();
}

void LiveView::add_labels() {
  if (labels_.size() == series_.size() && known_distributions_ == distributions_.size()) return;
  for (std::size_t i = labels_.size(); i < series_.size(); ++i) {
    Label label;
    label.text = label_text(series_[i].name(), series_[i].family());
    label.cells = cells(label.text);
    label.row = static_cast<std::uint32_t>(i);
    labels_.push_back(std::move(label));
    for (const auto& dimension : series_[i].dimensions()) {
      if (dimensions_.size() < kMostDimensions) dimensions_.insert(dimension.name);
    }
  }
  find_distributions();
  name_in_full();
  for (Label& label : labels_) set_passes(label);
  std::vector<std::uint32_t> order(labels_.size());
  std::iota(order.begin(), order.end(), 0);
  // As people count: worker9 before worker10.
  std::ranges::stable_sort(order, [&](std::uint32_t a, std::uint32_t b) {
    return ::strverscmp(labels_[a].text.c_str(), labels_[b].text.c_str()) < 0;
  });
  for (std::size_t rank = 0; rank < order.size(); ++rank) labels_[order[rank]].rank = rank;
}

// Where values of dimensions are left out, the prefix may be longer than what is left.
std::string_view LiveView::without_prefix(std::string_view name, std::string_view family) const {
  const bool has_prefix = name.size() >= prefix_ && (family.empty() || family.size() >= prefix_);
  return has_prefix ? name.substr(prefix_) : name;
}

std::string LiveView::full_text(const std::string& family,
                                const std::vector<mmstats::Dimension>& dimensions) const {
  return shown(mmstats::full_name(without_prefix(family, family), dimensions), unicode_);
}

std::string LiveView::label_text(std::string_view name, std::string_view family) const {
  return shown(without_prefix(name, family), unicode_);
}

// One row shows what a histogram's buckets tell: that of its count, which every one of them has.
void LiveView::find_distributions() {
  known_distributions_ = distributions_.size();
  std::vector<std::uint32_t> rows(distributions_.size(), kNoDistribution);  // by distribution
  // Null: it is not of a histogram that has a row.
  const auto row_of = [&](const mmstats::Series& one) {
    const bool has = one.distribution >= 0 && distributions_[static_cast<std::size_t>(one.distribution)] &&
                     distributions_[static_cast<std::size_t>(one.distribution)]->shown && one.slot == -1;
    return has ? &rows[static_cast<std::size_t>(one.distribution)] : nullptr;
  };
  for (std::uint32_t i = 0; i < series_.size(); ++i) {
    const mmstats::Series& one = series_[i];
    auto* const row = row_of(one);
    if (row == nullptr || one.kind != mmstats::Kind::kCounter) continue;
    const auto number = static_cast<std::uint32_t>(one.distribution);
    const std::string_view name = distributions_[number]->name();
    if (distributions_[number]->sum == static_cast<std::int32_t>(i)) continue;
    Label& label = labels_[i];
    label.text = label_text(name, distributions_[number]->family());
    label.cells = cells(label.text);
    label.distribution = number;
    *row = i;
  }
  for (std::uint32_t i = 0; i < series_.size(); ++i) {
    const auto* const row = row_of(series_[i]);
    if (row == nullptr || *row == kNoDistribution) continue;
    const bool is_sum = distributions_[static_cast<std::size_t>(series_[i].distribution)]->sum ==
                        static_cast<std::int32_t>(i);
    if (!is_sum) labels_[i].row = *row;
  }
}

// Series of families that would be shown as others are.
void LiveView::name_in_full() {
  const auto set = [&](std::uint32_t index) {
    Label& label = labels_[index];
    const auto set_text = [&](const auto& one) {
      if (!one.dimensions().empty()) label.text = full_text(one.family(), one.dimensions());
    };
    if (label.distribution == kNoDistribution) {
      set_text(series_[index]);
    } else {
      set_text(*distributions_[label.distribution]);
    }
    label.cells = cells(label.text);
  };
  std::unordered_map<std::string_view, std::uint32_t, mmstats::KeyedHash> first;
  for (std::uint32_t i = 0; i < series_.size(); ++i) {
    const auto [known, is_new] = first.try_emplace(series_[i].name(), i);
    if (is_new || are_one_combination(series_[known->second], series_[i])) continue;
    set(known->second);
    set(i);
  }
}

void LiveView::set_passes(Label& label) const {
  // One who looks for a histogram's count finds it.
  label.passes =
      passes(label.distribution == kNoDistribution ? label.text : label.text + std::string(kCountEnding));
}

void LiveView::set_filter(std::string filter) {
  filter_ = std::move(filter);
  words_.clear();
  wild_.clear();
  for (std::string_view rest = filter_; !rest.empty();) {
    const std::size_t blank = std::min(rest.find(' '), rest.size());
    const auto word = rest.substr(0, blank);
    rest.remove_prefix(std::min(rest.size(), blank + 1));
    // One that is too much for the matcher, or not complete yet, is taken as plain text.
    auto pattern = has_wildcard(word) ? FieldPattern::compile(fmt::format("*{}*", word))
                                      : mmstats::Expected<FieldPattern>(tl::unexpected(mmstats::Error{}));
    if (pattern) {
      wild_.push_back(std::move(*pattern));
    } else {
      words_.push_back(lowered(word));
    }
  }
  for (Label& label : labels_) set_passes(label);
  scroll_.selected = scroll_.top = 0;
  arrange();
}

bool LiveView::passes(std::string_view label) const {
  return std::ranges::all_of(words_, [&](const std::string& word) { return contains(label, word); }) &&
         std::ranges::all_of(wild_, [&](const FieldPattern& pattern) { return pattern.matches(label); });
}

// Which series are shown, and in what order.
void LiveView::arrange() {
  rows_.clear();
  widest_ = 0;
  if (samples_ == nullptr) return;
  const auto samples = samples_->all();
  for (Label& label : labels_) label.listed = false;
  for (const Label& label : labels_) {
    if (label.passes) labels_[label.row].listed = true;
  }
  for (std::uint32_t i = 0; i < labels_.size(); ++i) {
    if (!samples[i].present || !labels_[i].listed) continue;
    rows_.push_back(i);
    widest_ = std::max(widest_, labels_[i].cells);
  }
  if (sort_ == Sort::kName) {
    std::ranges::sort(rows_, {}, [&](std::uint32_t i) { return labels_[i].rank; });
    if (reversed_) std::ranges::reverse(rows_);
  } else {
    // The largest first; series without that number last, whichever way it goes.
    struct Place {
      double value;
      std::size_t rank;
      std::uint32_t series;
    };
    std::vector<Place> places;
    places.reserve(rows_.size());
    for (const auto i : rows_) {
      const double value = sort_value(samples[i], sort_).value_or(std::numeric_limits<double>::quiet_NaN());
      places.push_back({std::isnan(value) ? -std::numeric_limits<double>::infinity()
                        : reversed_       ? -value
                                          : value,
                        labels_[i].rank, i});
    }
    std::ranges::sort(places, [](const Place& a, const Place& b) {
      return a.value != b.value ? a.value > b.value : a.rank < b.rank;
    });
    std::ranges::transform(places, rows_.begin(), &Place::series);
  }
  scroll_.settle(rows_.size());
}

void LiveView::sort_by(Sort sort) {
  reversed_ = sort == sort_ && !reversed_;
  sort_ = sort;
  scroll_.selected = scroll_.top = 0;
  arrange();
}

}  // namespace pollstats

#include "publish/families.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "format/bucket_field.h"
#include "format/dimensions.h"
#include "publish/family_table.h"
#include "publish/known_fields.h"

namespace mmstats {
namespace {

constexpr std::size_t kMaxLabel = 4096;  // bytes, so that a label with values fits into a field

constexpr std::size_t kMaxSaid = 8192;  // of what is said of it: a line must fit

// How many parts the labels of a family's fields have behind its own, at least and at most.
struct Parts {
  std::size_t least;
  std::size_t most;
};

Parts parts_of(std::size_t dimensions, bool of_histograms) {
  // latency.GET.count, latency.GET.buckets.5
  return of_histograms ? Parts{dimensions + 1, dimensions + 2} : Parts{dimensions, dimensions};
}

// Whether a field could be of both families: the label of one is that of the other with some values.
bool may_meet(std::string_view label, Parts parts, std::string_view other, Parts other_parts) {
  if (label.size() < other.size()) return may_meet(other, other_parts, label, parts);
  if (!label.starts_with(other) || (label.size() > other.size() && label[other.size()] != '.')) return false;
  const auto rest = label.substr(other.size());
  const auto more = static_cast<std::size_t>(std::count(rest.begin(), rest.end(), '.'));
  return parts.least + more <= other_parts.most && other_parts.least <= parts.most + more;
}

std::string wrong_dimensions(std::span<const std::string_view> dimensions) {
  if (dimensions.empty() || dimensions.size() > kMaxDimensions)
    return "it has " + std::to_string(dimensions.size()) + " dimensions; give it 1 to 16";
  for (auto name = dimensions.begin(); name != dimensions.end(); ++name) {
    const auto wrong = wrong_dimension_name(*name);
    if (!wrong.empty()) return "its dimension \"" + printable(*name) + "\": " + wrong;
    if (std::find(dimensions.begin(), name, *name) != name)
      return "its dimension \"" + printable(*name) + "\" is there twice";
  }
  return {};
}

}  // namespace

KnownFamily::KnownFamily(std::string label_, const detail::FamilySpec& spec)
    : label(std::move(label_)),
      dimensions(spec.dimensions.begin(), spec.dimensions.end()),
      made_by(spec.made_by),
      parameters(spec.parameters),
      kind(spec.about.kind),
      of_histograms(spec.of_histograms),
      unit(spec.about.unit),
      help(spec.about.help) {}
KnownFamily::~KnownFamily() = default;

bool KnownFamily::is(const detail::FamilySpec& spec) const {
  return made_by == spec.made_by && parameters == spec.parameters && kind == spec.about.kind &&
         std::equal(dimensions.begin(), dimensions.end(), spec.dimensions.begin(), spec.dimensions.end());
}

std::string KnownFamily::line(const detail::FieldSpec& first, Kind kind) const {
  const auto bits = first.bucket_bits;
  std::string line = label + '\t' + std::string(bits ? kHistogramKind : to_string(kind)) + '\t' +
                     one_line(std::string(whole_characters(unit, kMaxSaid))) + '\t' +
                     one_line(std::string(whole_characters(help, kMaxSaid))) + '\t' +
                     (bits ? bucket_scheme(*bits) : "") + '\t';
  for (const std::string& name : dimensions) line += (&name == dimensions.data() ? "" : " ") + name;
  return line += '\n';
}

KnownFamily* Families::with_label(const std::string& label) const {
  const auto found = families_.find(label);
  return found == families_.end() ? nullptr : found->second.get();
}

KnownFamily* Families::find(const std::string& label, const detail::FamilySpec& spec) const {
  if (KnownFamily* const known = with_label(label); known != nullptr && known->is(spec)) return known;
  for (const auto& refused : refused_) {
    if (refused->label == label && refused->is(spec)) return refused.get();
  }
  return nullptr;
}

std::string Families::check(const std::string& label, const detail::FamilySpec& spec) const {
  if (label.empty()) return "its label is empty; give it one";
  if (label.size() > kMaxLabel) return "its label has more than 4,096 bytes; shorten it";
  if (!is_utf8(label)) return "its label is not UTF-8; encode it";
  if (!is_one_line(label)) return "its label has tabs, line ends or NULs";
  if (auto wrong = wrong_dimensions(spec.dimensions); !wrong.empty()) return wrong;
  for (const auto& [other, family] : families_) {
    if (other == label)
      return "another family has its label, with other dimensions or of another class, kind or size; give it "
             "another label";
    if (may_meet(label, parts_of(spec.dimensions.size(), spec.of_histograms), other,
                 parts_of(family->dimensions.size(), family->of_histograms))) {
      return "fields of it and of the family \"" + printable(other) +
             "\" could have the same label; give it another label";
    }
  }
  return {};
}

KnownFamily& Families::add(std::unique_ptr<KnownFamily> family) {
  auto label = family->label;
  return *families_.emplace(std::move(label), std::move(family)).first->second;
}

KnownFamily& Families::add_refused(std::unique_ptr<KnownFamily> family) {
  return *refused_.emplace_back(std::move(family));
}

KnownFamily* Families::of(const std::string& label) const {
  if (combinations_.empty()) return nullptr;
  const auto of_histograms = [&](const std::string& combination, bool wanted) -> KnownFamily* {
    const auto known = combinations_.find(combination);
    return known != combinations_.end() && known->second->of_histograms == wanted ? known->second : nullptr;
  };
  if (KnownFamily* const family = of_histograms(label, false)) return family;
  for (const std::string_view ending : kHistogramEndings) {
    if (!label.ends_with(ending)) continue;
    if (KnownFamily* const family = of_histograms(label.substr(0, label.size() - ending.size()), true))
      return family;
  }
  return nullptr;
}

}  // namespace mmstats

#include "publish/known_fields.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/utf8.h"
#include "format/bucket_field.h"
#include "format/owner.h"
#include "mmstats/parse.h"

namespace mmstats {

using detail::FieldSpec;

namespace {

constexpr std::size_t kMaxSize = UINT16_MAX;  // of a label, a type, a text
constexpr std::size_t kMaxPrefix = 1024;

// What the library writes itself, and readers find by the end of a label.
constexpr std::string_view kReserved[] = {"sys.pid",     "sys.tid",      "sys.uid",    "sys.gid",
                                          "sys.created", kMetadataLabel, kWriterLabel, kRoomLabel};

bool is_reserved(std::string_view label) {
  // Nearly all labels end before this: it costs less than to compare with each.
  if (!label.substr(0, std::min(label.rfind('.'), label.size())).ends_with("sys")) return false;
  return std::any_of(std::begin(kReserved), std::end(kReserved),
                     [&](std::string_view reserved) { return label_has_suffix(label, reserved); });
}

bool ends_part_of_line(char c) {
  // One comparison for nearly all that a text has.
  if (static_cast<unsigned char>(c) > '\n') [[likely]]
    return false;
  return c == '\t' || c == '\n' || c == '\0';
}

std::string_view fact_of(const FieldSpec& spec) {
  if (spec.buffered || spec.kind != Kind::kProperty || spec.initial == nullptr) return {};
  return {static_cast<const char*>(spec.initial), spec.size};
}

}  // namespace

bool is_one_line(std::string_view text) { return std::none_of(text.begin(), text.end(), ends_part_of_line); }

std::string one_line(std::string text) {
  std::replace_if(text.begin(), text.end(), ends_part_of_line, ' ');
  return text;
}

void append_one_line(std::string& into, std::string_view text) {
  const auto size = static_cast<std::ptrdiff_t>(into.size());
  into += text;
  std::replace_if(into.begin() + size, into.end(), ends_part_of_line, ' ');
}

std::string with_prefix(const ModelOptions& options, std::string_view label) {
  std::string whole;
  whole.reserve(options.label_prefix.size() + 1 + label.size());
  write_with_prefix(whole, options, label);
  return whole;
}

void write_with_prefix(std::string& into, const ModelOptions& options, std::string_view label) {
  into = options.label_prefix;
  if (options.dot_after_prefix && !into.empty() && into.back() != '.') into += '.';
  into += label;
}

std::string wrong_prefix(std::string_view prefix) {
  if (prefix.size() > kMaxPrefix) return "the prefix of its labels has more than 1,024 bytes; shorten it";
  if (!is_utf8(prefix)) return "the prefix of its labels is not UTF-8; encode it";
  return {};
}

std::string quoted_field(std::string_view label) {
  return "field \"" + printable(label).substr(0, 100) + "\" ";
}

KnownField::KnownField(const FieldSpec& spec, Kind its_kind, const detail::Added& its_added, bool in_the_file)
    : type(spec.type),
      made_by(spec.made_by),
      size(spec.size),
      memory(spec.memory),
      parameter(spec.parameter),
      bucket_bits(spec.bucket_bits),
      buffered(spec.buffered),
      shared(spec.shared),
      kind(its_kind),
      added(its_added),
      in_file(in_the_file),
      published(in_the_file),
      fact(fact_of(spec)) {}

bool KnownField::is(const FieldSpec& spec, Kind its_kind) const {
  return type == spec.type && made_by == spec.made_by && size == spec.size && memory == spec.memory &&
         parameter == spec.parameter && bucket_bits == spec.bucket_bits && buffered == spec.buffered &&
         shared == spec.shared && kind == its_kind;
}

KnownField* KnownFields::first_of(std::string_view label) {
  const auto found = fields_.find(label);
  return found == fields_.end() ? nullptr : &found->second;
}

KnownField* KnownFields::find(KnownField* first, const FieldSpec& spec, Kind kind) {
  KnownField* known = first;
  while (known != nullptr && !known->is(spec, kind)) known = known->other.get();
  return known;
}

std::string_view KnownFields::label_at(detail::Place value) const {
  for (const auto& [label, first] : fields_) {
    for (const KnownField* known = &first; known != nullptr; known = known->other.get()) {
      const auto at = known->added.field;
      if (at.number() == value.number() && at.offset() + 1 == value.offset()) return label;
    }
  }
  return {};
}

std::string KnownFields::check(const FieldSpec& spec, std::string_view label, const KnownField* first) const {
  if (label.empty()) return "an empty label would end the file's list of fields; give it one";
  if (label.size() > kMaxSize) return "its label has more than 65,535 bytes; shorten it";
  if (!is_utf8(label)) return "its label is not UTF-8; encode it";
  if (options_.system_fields && is_reserved(label)) {
    return "the library writes that field itself; give it another label, or take the model's "
           "system_fields away";
  }
  if (first != nullptr && first->published) {
    return "its label is there already, with another type, size or kind; give each field its own";
  }
  if (spec.size == 0 || spec.size > kMaxSize) return "its value must have 1 to 65,535 bytes";
  return {};
}

const KnownField* KnownFields::of_combination(std::string_view label) const {
  const auto found = fields_.find(label);
  if (found == fields_.end()) return nullptr;
  const KnownField* best = &found->second;
  for (const KnownField* known = best; known != nullptr; known = known->other.get()) {
    if (known->of_family) return known;
    if (!best->in_file) best = known;
  }
  return best;
}

KnownField& KnownFields::add(const FieldSpec& spec, std::string_view label, KnownField* first, Kind kind,
                             const detail::Added& added, bool in_file) {
  if (first == nullptr) {
    auto* const kept = static_cast<char*>(memory_.allocate(label.size(), 1));
    label.copy(kept, label.size());
    return fields_.try_emplace({kept, label.size()}, spec, kind, added, in_file).first->second;
  }
  auto field = std::make_unique<KnownField>(spec, kind, added, in_file);
  // One that is published may come after those that were not.
  first->published = first->published || in_file;
  field->other = std::move(first->other);
  first->other = std::move(field);
  return *first->other;
}

}  // namespace mmstats

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

std::string_view fact_of(const FieldSpec& spec) {
  if (spec.buffered || spec.kind != Kind::kProperty || spec.initial == nullptr) return {};
  return {static_cast<const char*>(spec.initial), spec.size};
}

}  // namespace

bool is_one_line(std::string_view text) {
  return text.find_first_of({"\t\n\0", 3}) == std::string_view::npos;
}

std::string one_line(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return c == '\t' || c == '\n' || c == '\0'; }, ' ');
  return text;
}

std::string with_prefix(const ModelOptions& options, std::string_view label) {
  std::string whole = options.label_prefix;
  if (options.dot_after_prefix && !whole.empty() && whole.back() != '.') whole += '.';
  return whole += label;
}

std::string wrong_prefix(std::string_view prefix) {
  if (prefix.size() > kMaxPrefix) return "the prefix of its labels has more than 1,024 bytes; shorten it";
  if (!is_utf8(prefix)) return "the prefix of its labels is not UTF-8; encode it";
  return {};
}

std::string quoted_field(std::string_view label) {
  return "field \"" + printable(label).substr(0, 100) + "\" ";
}

bool KnownField::is(const FieldSpec& spec, Kind its_kind) const {
  return type == spec.type && made_by == spec.made_by && size == spec.size && memory == spec.memory &&
         parameter == spec.parameter && bucket_bits == spec.bucket_bits && buffered == spec.buffered &&
         shared == spec.shared && kind == its_kind;
}

KnownField* KnownFields::find(const FieldSpec& spec, const std::string& label, Kind kind) {
  const auto found = fields_.find(label);
  KnownField* known = found == fields_.end() ? nullptr : &found->second;
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

std::string KnownFields::check(const FieldSpec& spec, const std::string& label) const {
  if (label.empty()) return "an empty label would end the file's list of fields; give it one";
  if (label.size() > kMaxSize) return "its label has more than 65,535 bytes; shorten it";
  if (!is_utf8(label)) return "its label is not UTF-8; encode it";
  if (options_.system_fields && label.find("sys.") != std::string::npos &&
      std::any_of(std::begin(kReserved), std::end(kReserved),
                  [&](std::string_view reserved) { return label_has_suffix(label, reserved); })) {
    return "the library writes that field itself; give it another label, or take the model's "
           "system_fields away";
  }
  if (const auto found = fields_.find(label); found != fields_.end() && found->second.published) {
    return "its label is there already, with another type, size or kind; give each field its own";
  }
  if (spec.size == 0 || spec.size > kMaxSize) return "its value must have 1 to 65,535 bytes";
  return {};
}

const KnownField* KnownFields::of_combination(const std::string& label) const {
  const auto found = fields_.find(label);
  if (found == fields_.end()) return nullptr;
  const KnownField* best = &found->second;
  for (const KnownField* known = best; known != nullptr; known = known->other.get()) {
    if (known->of_family) return known;
    if (!best->in_file) best = known;
  }
  return best;
}

KnownField& KnownFields::add(const FieldSpec& spec, const std::string& label, Kind kind,
                             const detail::Added& added, bool in_file) {
  KnownField field{.type = std::string(spec.type),
                   .made_by = std::string(spec.made_by),
                   .size = spec.size,
                   .memory = spec.memory,
                   .parameter = spec.parameter,
                   .bucket_bits = spec.bucket_bits,
                   .buffered = spec.buffered,
                   .shared = spec.shared,
                   .kind = kind,
                   .added = added,
                   .in_file = in_file,
                   .no_room = false,
                   .of_family = false,
                   .published = in_file,
                   .fact = std::string(fact_of(spec)),
                   .told_other = false,
                   .other = nullptr};
  const auto first = fields_.find(label);
  if (first == fields_.end()) return fields_.emplace(label, std::move(field)).first->second;
  // One that is published may come after those that were not.
  first->second.published = first->second.published || in_file;
  field.other = std::move(first->second.other);
  first->second.other = std::make_unique<KnownField>(std::move(field));
  return *first->second.other;
}

}  // namespace mmstats

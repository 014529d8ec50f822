// The fields that a Model has been asked for, by label and type: what is asked for again is the same field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "mmstats/fields.h"
#include "mmstats/model.h"

namespace mmstats {

// Whether a text has no tab, line end or NUL, and may stand in a line of metadata.
bool is_one_line(std::string_view text);
// Those become blanks.
std::string one_line(std::string text);
void append_one_line(std::string& into, std::string_view text);

// `label` with the prefix of all labels before it.
std::string with_prefix(const ModelOptions& options, std::string_view label);
// The same, in the place of what is there.
void write_with_prefix(std::string& into, const ModelOptions& options, std::string_view label);

// What is wrong with a prefix, if anything.
std::string wrong_prefix(std::string_view prefix);

// "field "LABEL" ", with a label that is fit for a log.
std::string quoted_field(std::string_view label);

// A field in the files.
struct PublishedField {
  bool shared;
  std::uint32_t write_buffer;  // offset
  std::uint32_t type_size;     // bytes, without blanks
  std::uint32_t bytes;         // of all its values

  // Of a field that was told to have one: of the last blank in its type.
  [[nodiscard]] std::size_t blank() const { return write_buffer - type_size - 1; }
};

struct KnownField {
  KnownField(const detail::FieldSpec& spec, Kind its_kind, const detail::Added& its_added, bool in_the_file);

  // What makes two fields of one label one.
  std::string type;
  std::string made_by;
  std::size_t size;
  std::size_t memory;
  std::size_t parameter;
  std::optional<unsigned> bucket_bits;
  bool buffered;
  bool shared;
  Kind kind;

  detail::Added added;
  bool in_file;
  bool no_room = false;               // for it, or for its buckets
  bool of_family = false;             // it can be removed
  bool published;                     // in the first of a label: that any of them is
  std::string fact;                   // its value, if it does not change
  bool told_other = false;            // that somebody wanted another value
  std::unique_ptr<KnownField> other;  // of the same label

  [[nodiscard]] bool is(const detail::FieldSpec& spec, Kind its_kind) const;
  // Precondition: in_file.
  [[nodiscard]] PublishedField in_files() const {
    return {.shared = shared,
            .write_buffer = added.field.offset(),
            .type_size = static_cast<std::uint32_t>(type.size()),
            .bytes = static_cast<std::uint32_t>(buffered ? 2 * size : size)};
  }
};

// One thread at a time.
class KnownFields {
 public:
  // `options` must outlive it.
  explicit KnownFields(const ModelOptions& options) : options_(options) {}

  // The first of a label, which has its prefix. Null: nobody asked for one yet.
  KnownField* first_of(std::string_view label);
  // Null: not asked for yet. `first`: the first of its label.
  static KnownField* find(KnownField* first, const detail::FieldSpec& spec, Kind kind);
  // Why it cannot be published, if it cannot.
  [[nodiscard]] std::string check(const detail::FieldSpec& spec, std::string_view label,
                                  const KnownField* first) const;
  // The label of the field whose first value is there; empty if there is none. Takes no memory. O(fields).
  [[nodiscard]] std::string_view label_at(detail::Place value) const;
  // `first`: of its label. `in_file`: no other field may have the label any more.
  KnownField& add(const detail::FieldSpec& spec, std::string_view label, KnownField* first, Kind kind,
                  const detail::Added& added, bool in_file);
  // Null: nobody asked for one. The one that a family asked for, if there is one, else that in the file.
  [[nodiscard]] const KnownField* of_combination(std::string_view label) const;

 private:
  const ModelOptions& options_;
  // Of the fields and their labels, which are only added: a Model of many pays for few allocations. Not from
  // the default resource, which is the host program's: it may refuse, or end before the Model does.
  std::pmr::monotonic_buffer_resource memory_{std::pmr::new_delete_resource()};
  std::pmr::unordered_map<std::string_view, KnownField> fields_{&memory_};  // by their labels
};

}  // namespace mmstats

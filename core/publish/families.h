// The families that a Model has: which fields are theirs, and so have no line of metadata of their own.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mmstats/family.h"
#include "mmstats/fields.h"
#include "mmstats/model.h"

namespace mmstats {

struct KnownFamily {
  // `label_`: with its prefix.
  KnownFamily(std::string label_, const detail::FamilySpec& spec);
  ~KnownFamily();
  KnownFamily(const KnownFamily&) = delete;
  KnownFamily& operator=(const KnownFamily&) = delete;

  std::string label;
  std::vector<std::string> dimensions;
  std::string made_by;
  std::string parameters;
  std::optional<Kind> kind;
  bool of_histograms;  // its fields have a stem
  std::string unit;    // of histograms: of their values
  std::string help;
  std::unique_ptr<detail::FamilyTable> table;
  bool described = false;  // its line is in the metadata
  std::size_t bytes = 0;   // that its fields take in a file

  [[nodiscard]] bool is(const detail::FamilySpec& spec) const;

  // Its line, from the first field that it gets.
  [[nodiscard]] std::string line(const detail::FieldSpec& first, Kind kind) const;
};

// One thread at a time.
class Families {
 public:
  // Labels have their prefixes. Null: there is none like that.
  [[nodiscard]] KnownFamily* find(const std::string& label, const detail::FamilySpec& spec) const;
  [[nodiscard]] KnownFamily* with_label(const std::string& label) const;
  // Why there cannot be such a family, if there cannot.
  [[nodiscard]] std::string check(const std::string& label, const detail::FamilySpec& spec) const;
  // Precondition: check() has nothing against it.
  KnownFamily& add(std::unique_ptr<KnownFamily> family);
  // One that is not published.
  KnownFamily& add_refused(std::unique_ptr<KnownFamily> family);
  [[nodiscard]] std::size_t refused() const { return refused_.size(); }
  // Where the fields of those are: a Model without files. Null: there are none.
  std::unique_ptr<Model> nowhere;

  // From now on the fields of this label, or those of a histogram of it, are the family's.
  void announce(std::string label, KnownFamily& family) { combinations_[std::move(label)] = &family; }
  // Whose field it is: null, no family's.
  [[nodiscard]] KnownFamily* of(const std::string& label) const;

  // A field of the family takes so many bytes in each file.
  void count(KnownFamily& family, bool shared, std::size_t bytes) {
    family.bytes += bytes;
    (shared ? shared_bytes_ : thread_bytes_) += bytes;
  }
  // Of all families, in the file of a thread or in that of all threads.
  [[nodiscard]] std::size_t bytes(bool shared) const { return shared ? shared_bytes_ : thread_bytes_; }

 private:
  std::unordered_map<std::string, std::unique_ptr<KnownFamily>> families_;
  std::vector<std::unique_ptr<KnownFamily>> refused_;
  std::size_t thread_bytes_ = 0;
  std::size_t shared_bytes_ = 0;
  std::unordered_map<std::string, KnownFamily*> combinations_;
};

// What the labels of a histogram's fields end with.
inline constexpr std::array<std::string_view, 8> kHistogramEndings{".count", ".sum", ".min", ".max",
                                                                   ".p50",   ".p90", ".p99", ".p999"};

}  // namespace mmstats

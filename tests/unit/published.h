// What a published file says to others: to our parser, and to an independent reader, which is asked once
// for all files of a test program, by a test case at its end.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "mmstats/format.h"
#include "mmstats/model.h"
#include "mmstats/parse.h"
#include "mmstats/settle.h"
#include "sample.h"
#include "temporary_folder.h"
#include "told.h"

// Keeps what was read, each file with what our parser says of it, for tests/integration/mmstats_reader.py.
class SecondReader {
 public:
  static SecondReader& get() {
    static SecondReader reader;
    return reader;
  }

  void keep(const mmstats::Reading& reading) {
    auto fields = nlohmann::json::array();
    for (const mmstats::Field& field : reading.content.fields) {
      fields.push_back({{"label", field.label},
                        {"type", mmstats::trimmed_type(field.type_text)},
                        {"buffered", field.buffered},
                        {"value", told(field)}});
    }
    const auto name = std::to_string(kept_++);
    folder_.write(name + ".mmstats", reading.snapshot.bytes);
    sample::write(folder_, name + ".json", nlohmann::json{{"fields", fields}}.dump());
  }

  // True if it reads the same in all files; says what differs.
  [[nodiscard]] bool agrees() const {
    const std::string command = "/usr/bin/python3 -B '" MMSTATS_READER "' '" + folder_.path() + "'";
    return kept_ > 0 && std::system(command.c_str()) == 0;
  }

 private:
  TemporaryFolder folder_;
  int kept_ = 0;
};

// One file, as it was when this was made.
class Published {
 public:
  explicit Published(const std::string& path) {
    auto reading = mmstats::read_settled(path);
    if (!reading) FAIL(reading.error().text());
    reading_ = std::move(*reading);
    CHECK(!reading_.content.damage);
    CHECK(reading_.content.terminated);
    SecondReader::get().keep(reading_);
  }
  // Of a Model that has one file.
  explicit Published(const mmstats::Model& model) : Published(only_path(model)) {}

  static std::string only_path(const mmstats::Model& model) {
    const auto paths = model.paths();
    REQUIRE(paths.size() == 1);
    return paths[0];
  }

  [[nodiscard]] const mmstats::Field* find(std::string_view label) const {
    for (const mmstats::Field& field : fields()) {
      if (field.label == label) return &field;
    }
    return nullptr;
  }
  [[nodiscard]] const mmstats::Field& field(std::string_view label) const {
    const mmstats::Field* const found = find(label);
    if (found == nullptr) throw std::runtime_error("no field " + std::string(label));
    return *found;
  }
  [[nodiscard]] std::string type(std::string_view label) const {
    return mmstats::trimmed_type(field(label).type_text);
  }
  [[nodiscard]] nlohmann::json value(std::string_view label) const { return told(field(label)); }
  // The bytes of a value as a T.
  template <class T>
  [[nodiscard]] T number(std::string_view label) const {
    const auto bytes = field(label).value;
    REQUIRE(bytes.size() == sizeof(T));
    T number{};
    std::memcpy(&number, bytes.data(), sizeof number);
    return number;
  }

  [[nodiscard]] const mmstats::ParsedFile& content() const { return reading_.content; }
  [[nodiscard]] const std::vector<mmstats::Field>& fields() const { return reading_.content.fields; }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return reading_.snapshot.bytes; }
  // All texts labelled sys.metadata, one after the other.
  [[nodiscard]] std::string metadata() const {
    std::string text;
    for (const mmstats::Field& field : fields()) {
      if (mmstats::label_has_suffix(field.label, mmstats::kMetadataLabel)) {
        text += told(field).get<std::string>();
      }
    }
    return text;
  }

 private:
  mmstats::Reading reading_;
};

inline constexpr double kInfinite = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Options of a Model whose files are in `folder`, and of which nothing may go wrong.
inline mmstats::ModelOptions published_in(const TemporaryFolder& folder) {
  return {.path = folder.path(),
          .file_name = "{PID}-{TID}.mmstats",
          .on_error = [](const mmstats::Error& error) { FAIL_CHECK(error.text()); }};
}

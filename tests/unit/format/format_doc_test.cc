// Each example in core/doc/format.md is a file, and says what the parser says.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "format/bucket_field.h"
#include "format/dimensions.h"
#include "format/metadata_index.h"
#include "mmstats/format.h"
#include "mmstats/metadata.h"
#include "mmstats/parse.h"

namespace {

struct Row {
  std::string label;
  std::string type;
  std::string buffered;
  std::string value;
};

struct Example {
  std::vector<std::byte> bytes;
  std::vector<Row> rows;
};

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(' ');
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// A line has hexadecimal bytes, then at least two blanks, then what they mean.
void add_bytes(const std::string& line, std::vector<std::byte>& bytes) {
  std::istringstream words(line.substr(0, line.find("  ")));
  for (std::string word; words >> word;)
    bytes.push_back(static_cast<std::byte>(std::stoi(word, nullptr, 16)));
}

void add_row(const std::string& line, std::vector<Row>& rows) {
  std::istringstream cells(line.substr(1));
  std::vector<std::string> texts;
  for (std::string cell; std::getline(cells, cell, '|');) texts.push_back(trimmed(cell));
  REQUIRE(texts.size() == 4);
  if (texts[0] != "label" && texts[0] != "---") rows.push_back({texts[0], texts[1], texts[2], texts[3]});
}

// In their order. The table of an example ends with the next line that is none.
std::vector<Example> read_examples() {
  std::ifstream in(TEST_DATA "/../../core/doc/format.md");
  REQUIRE(in);
  std::vector<Example> examples;
  enum { kBefore, kHex, kAfter, kInTable } where = kBefore;
  for (std::string line; std::getline(in, line);) {
    const bool is_row = line.starts_with("|");
    if (where == kHex && line == "```") {
      where = kAfter;
    } else if (where == kHex) {
      add_bytes(line, examples.back().bytes);
    } else if (line == "```hex") {
      where = kHex;
      examples.emplace_back();
    } else if (where == kAfter || where == kInTable) {
      if (is_row) add_row(line, examples.back().rows);
      where = is_row ? kInTable : where == kInTable ? kBefore : kAfter;
    }
  }
  return examples;
}

std::string text_of(const mmstats::Field& field) {
  std::ostringstream out;
  for (const auto& item : mmstats::decode(field.type_text, field.value)) {
    if (out.tellp() > 0) out << ' ';
    std::visit(
        [&](const auto& value) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(value)>, std::monostate>) out << value;
        },
        item);
  }
  return out.str();
}

void check(const Example& example, mmstats::ParsedFile& file) {
  mmstats::parse(example.bytes, file);
  CHECK(!file.damage);
  CHECK(file.terminated);
  CHECK(file.end + 2 == example.bytes.size());
  REQUIRE(file.fields.size() == example.rows.size());
  REQUIRE(!example.rows.empty());
  for (std::size_t i = 0; i < file.fields.size(); ++i) {
    const mmstats::Field& field = file.fields[i];
    const Row& row = example.rows[i];
    CAPTURE(row.label);
    CHECK(field.label == row.label);
    CHECK(mmstats::trimmed_type(field.type_text) == row.type);
    CHECK((field.buffered ? "yes" : "no") == row.buffered);
    CHECK(text_of(field) == row.value);
  }
}

}  // namespace

TEST_CASE("the documented examples parse to the documented fields") {
  const auto examples = read_examples();
  REQUIRE(examples.size() == 3);
  mmstats::ParsedFile file;
  check(examples[0], file);
  const auto offset = [&](const char* in) {
    return in - reinterpret_cast<const char*>(examples[0].bytes.data());
  };
  // As the text says: the room's count is one aligned word, and the counters are aligned.
  CHECK(file.fields[2].label.ends_with(mmstats::kRoomLabel));
  CHECK(offset(file.fields[2].type_text.data() + file.fields[2].type_text.size()) % 8 == 0);
  const auto buckets = mmstats::bucket_field(file.fields[3]);
  REQUIRE(buckets);
  CHECK(buckets->stem == "app.size");
  CHECK(buckets->power == 3);
  CHECK(offset(reinterpret_cast<const char*>(file.fields[3].value.data())) % 8 == 0);

  check(examples[1], file);
  const mmstats::MetadataIndex known(file);
  CHECK(known.find(file.fields[0].label).family == "app.responses");
  CHECK(known.find(file.fields[1].label).values == "PUT.1%2E5");
  CHECK_FALSE(mmstats::is_removed(file.fields[0]));
  CHECK(mmstats::is_removed(file.fields[1]));
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(file.fields[i].type_text.find_first_of(" \t") == 0);
    CHECK((file.fields[i].value.data() - examples[1].bytes.data()) % 8 == 0);
  }

  check(examples[2], file);

  // As the text above it says: the first value is aligned, the second is not.
  const auto lies_at = [&](std::size_t i) { return file.fields[i].value.data() - examples[2].bytes.data(); };
  CHECK(lies_at(0) == 24);
  CHECK(lies_at(1) % 8 != 0);

  const auto metadata = text_of(file.fields.back());
  CHECK(mmstats::label_has_suffix(file.fields.back().label, mmstats::kMetadataLabel));
  CHECK(mmstats::find_metadata(metadata, "app.requests").kind == mmstats::Kind::kCounter);
}

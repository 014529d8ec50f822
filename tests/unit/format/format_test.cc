// The struct grammar and the decoding of values, against what Python's own struct module says
// (tests/data/struct_formats.json, which tests/data/struct_formats.py wrote).
#include "mmstats/format.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

using mmstats::decode;
using mmstats::parse_type;
using mmstats::Scalar;
using nlohmann::json;

namespace {

const json& table() {
  static const json parsed = json::parse(std::ifstream(TEST_DATA "/struct_formats.json"));
  return parsed;
}

std::vector<std::byte> from_hex(const std::string& hex) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::string to_hex(std::string_view text) {
  std::string hex;
  for (const char c : text) {
    constexpr const char* kDigits = "0123456789abcdef";
    hex += kDigits[static_cast<unsigned char>(c) >> 4U];
    hex += kDigits[static_cast<unsigned char>(c) & 0xFU];
  }
  return hex;
}

// The item in the words of the table. Unsigned numbers and floats come back as such, so that a wrong
// type of scalar shows.
json told_in_table(const Scalar& item) {
  if (const auto* value = std::get_if<bool>(&item)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&item)) return *value;
  if (const auto* value = std::get_if<std::uint64_t>(&item)) return *value;
  if (const auto* value = std::get_if<std::string_view>(&item)) return {{"bytes", to_hex(*value)}};
  if (const auto* value = std::get_if<double>(&item)) {
    if (std::isnan(*value)) return "nan";
    if (std::isinf(*value)) return *value > 0 ? "inf" : "-inf";
    return *value;
  }
  return nullptr;
}

double as_double(const json& item) {
  if (item.is_boolean()) return item.get<bool>() ? 1 : 0;
  if (item == "nan") return std::nan("");
  if (item == "inf") return HUGE_VAL;
  if (item == "-inf") return -HUGE_VAL;
  return item.get<double>();
}

bool same_double(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

}  // namespace

TEST_CASE("every format has the size that Python's struct gives it, or is refused as there") {
  for (const json& row : table()["formats"]) {
    const auto text = row["format"].get<std::string>();
    CAPTURE(text);
    const auto type = parse_type(text);
    // Python reads nothing from nothing; a field without a type is damage to its readers and to us.
    const bool nothing = text.find_first_not_of("@=<>! \t") == std::string::npos;
    REQUIRE(type.has_value() == (!row["size"].is_null() && !nothing));
    if (type) CHECK(type->size == row["size"].get<std::uint64_t>());
  }
}

TEST_CASE("every value decodes to the items that Python's struct unpacks") {
  std::size_t values = 0;
  for (const json& row : table()["formats"]) {
    const auto text = row["format"].get<std::string>();
    const auto type = parse_type(text);
    if (!type || !row.contains("values")) continue;
    for (const json& sample : row["values"]) {
      CAPTURE(text);
      CAPTURE(sample.dump());
      const auto bytes = from_hex(sample["hex"]);
      json got = json::array();
      for (const Scalar& item : decode(text, bytes)) got.push_back(told_in_table(item));
      // Compared as texts, so that 1 is not 1.0, nor 0.0 -0.0.
      CHECK(got.dump() == sample["items"].dump());
      CHECK(type->items == sample["items"].size());
      ++values;
    }
  }
  CHECK(values > 500);
}

TEST_CASE("every number becomes the double that its decoded item is") {
  std::size_t numbers = 0;
  for (const json& row : table()["formats"]) {
    const auto text = row["format"].get<std::string>();
    const auto type = parse_type(text);
    if (!type || type->item_size == 0 || !row.contains("values")) continue;
    for (const json& sample : row["values"]) {
      const auto bytes = from_hex(sample["hex"]);
      for (std::size_t i = 0; i < type->items; ++i) {
        std::uint64_t raw = 0;
        std::memcpy(&raw, bytes.data() + type->first_item + i * type->item_size, type->item_size);
        CAPTURE(text);
        CAPTURE(sample.dump());
        const double got = mmstats::to_double(type->code, type->swapped, raw);
        CHECK(same_double(got, as_double(sample["items"][i])));
        ++numbers;
      }
    }
  }
  CHECK(numbers > 1000);
}

TEST_CASE("a type says where its items are, if they are alike and lie back to back") {
  struct Row {
    const char* text;
    std::uint64_t items;
    char code;
    bool swapped;
    int item_size;
    std::uint64_t first_item;
    bool scalar_number;
  };
  const Row rows[] = {
      {"Q", 1, 'Q', false, 8, 0, true},      {"       Q", 1, 'Q', false, 8, 0, true},
      {"1d", 1, 'd', false, 8, 0, true},     {"?", 1, '?', false, 1, 0, true},
      {"4d", 4, 'd', false, 8, 0, false},    {"2d d", 3, 'd', false, 8, 0, false},
      {">Q", 1, 'Q', true, 8, 0, true},      {"!h", 1, 'h', true, 2, 0, true},
      {"<Q", 1, 'Q', false, 8, 0, true},     {"=Q", 1, 'Q', false, 8, 0, true},
      {"@Q", 1, 'Q', false, 8, 0, true},     {"l", 1, 'l', false, 8, 0, true},
      {"<l", 1, 'i', false, 4, 0, true},     {">3L", 3, 'I', true, 4, 0, false},
      {"xxQ", 1, 'Q', false, 8, 8, true},    {"<xxQ", 1, 'Q', false, 8, 2, true},
      {"Qx", 1, 'Q', false, 8, 0, true},     {"0Qd", 1, 'd', false, 8, 0, true},
      {"b0qq", 2, '\0', false, 0, 0, false}, {"x0qq", 1, 'q', false, 8, 8, true},
      {"bxb", 2, '\0', false, 0, 0, false},  {"dxd", 2, '\0', false, 0, 0, false},
      {"Id", 2, '\0', false, 0, 0, false},   {"255s", 1, 's', false, 0, 0, false},
      {"0s", 1, 's', false, 0, 0, false},    {"9p", 1, 'p', false, 0, 0, false},
      {"c", 1, 'c', false, 0, 0, false},     {"4c", 4, 'c', false, 0, 0, false},
      {"4s2s", 2, 's', false, 0, 0, false},  {"x", 0, '\0', false, 0, 0, false},
      {"12x", 0, '\0', false, 0, 0, false},  {"0Q", 0, '\0', false, 0, 0, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const auto type = parse_type(row.text);
    REQUIRE(type);
    CHECK(type->items == row.items);
    CHECK(type->code == row.code);
    CHECK(type->swapped == row.swapped);
    CHECK(type->item_size == row.item_size);
    if (row.item_size != 0) CHECK(type->first_item == row.first_item);
    CHECK(type->is_scalar_number() == row.scalar_number);
  }
}

TEST_CASE("a format that is refused names the reason and the byte") {
  struct Row {
    std::string_view text;
    std::uint64_t offset;
    const char* message;
  };
  const Row rows[] = {
      {"", 0, "nothing in it"},
      {"   ", 3, "nothing in it"},
      {">", 1, "nothing in it"},
      {"Z", 0, "unknown code 'Z'"},
      {"  4Z", 3, "unknown code 'Z'"},
      {"QQ!", 2, "unknown code '!'"},
      {"Q\x1b", 1, "unknown code '\\x1B'"},
      {std::string_view("q\0", 2), 1, "unknown code '\\x00'"},
      {"4 d", 1, "unknown code ' '"},
      {"Q 12", 2, "count without a code"},
      {">n", 1, "code 'n' is known in native order only"},
      {"9223372036854775808x", 0, "count too large"},
      {"x 1152921504606846976Q", 21, "size too large"},
      {"9223372036854775807xQ", 20, "size too large"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const auto type = parse_type(row.text);
    REQUIRE(!type);
    CHECK(type.error().kind == mmstats::ErrorKind::kInvalid);
    CHECK(type.error().offset == row.offset);
    CHECK(type.error().message == row.message);
    CHECK(type.error().path.empty());
  }
}

TEST_CASE("a bool is true for any byte but 0") {
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::byte value[] = {static_cast<std::byte>(byte)};
    const auto items = decode("?", value);
    REQUIRE(items.size() == 1);
    CHECK(std::get<bool>(items[0]) == (byte != 0));
    CHECK(mmstats::to_double('?', false, byte) == (byte != 0 ? 1 : 0));
  }
}

TEST_CASE("a Pascal string is as long as it says, but not longer than its field") {
  struct Row {
    const char* type;
    std::string_view bytes;
    std::string_view want;
  };
  const Row rows[] = {
      {"5p", {"\x02xyzw", 5}, "xy"}, {"5p", {"\xFFxyzw", 5}, "xyzw"}, {"1p", {"\x09", 1}, ""},
      {"0p", {"", 0}, ""},           {"4p", {"\x03x\0y", 4}, "x"},
  };
  for (const Row& row : rows) {
    const auto items = decode(row.type, std::as_bytes(std::span(row.bytes)));
    REQUIRE(items.size() == 1);
    CHECK(std::get<std::string_view>(items[0]) == row.want);
  }
}

TEST_CASE("what does not fit its type decodes to nothing") {
  const std::vector<std::byte> seven(7);
  CHECK(decode("Q", seven).empty());
  CHECK(decode("Z", seven).empty());
  CHECK(decode("9223372036854775807s", seven).empty());
  CHECK(decode("7x", seven).empty());
  CHECK(decode("7B", seven).size() == 7);
}

TEST_CASE("codes that are no numbers become the double 0") {
  for (const char code : {'s', 'p', 'c', 'x', '\0', 'Z'}) CHECK(mmstats::to_double(code, false, 7) == 0);
}

TEST_CASE("blanks are taken out of a type, all of Python's and no other byte") {
  CHECK(mmstats::trimmed_type("   Q") == "Q");
  CHECK(mmstats::trimmed_type(" I\t\n\v\f\rd ") == "Id");
  CHECK(mmstats::trimmed_type("") == "");
  CHECK(mmstats::trimmed_type("Q\xA0") == "Q\xA0");
}

// Any bytes at all, as a file and as a type: what the parser says of them must hold together.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "bounded_work.h"
#include "mmstats/format.h"
#include "mmstats/parse.h"

namespace {

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "parse_fuzz: does not hold: %s\n", what);
  std::abort();
}

// Reads every byte of it, so that a view out of bounds shows.
std::uint64_t touch(std::string_view text) {
  std::uint64_t sum = 0;
  for (const char c : text) sum += static_cast<unsigned char>(c);
  return sum;
}

bool is_printable(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

void check_type(std::string_view text) {
  const auto type = mmstats::parse_type(text);
  if (!type) {
    require(type.error().kind == mmstats::ErrorKind::kInvalid, "a wrong type is an invalid argument");
    require(type.error().offset <= text.size(), "a type's error lies within it");
    require(is_printable(type.error().message), "a type's error can be printed");
    return;
  }
  require(type->item_size <= type->size || type->items == 0, "an item is no larger than the value");
  if (type->item_size == 0 || type->items == 0) return;
  require(type->items <= type->size / type->item_size, "all items fit into the value");
  require(type->first_item <= type->size - type->items * type->item_size, "all items lie within the value");
}

void check_field(const mmstats::Field& field) {
  check_type(field.type_text);
  touch(mmstats::trimmed_type(field.type_text));
  touch(field.label);
  std::uint64_t items = 0;
  mmstats::for_each_item(field.type_text, field.value, [&](const mmstats::Scalar& item) {
    if (const auto* text = std::get_if<std::string_view>(&item)) touch(mmstats::printable(*text));
    if (field.type.item_size != 0) {
      std::uint64_t raw = 0;
      std::memcpy(&raw, field.value.data() + field.type.first_item + items * field.type.item_size,
                  field.type.item_size);
      const double number = mmstats::to_double(field.type.code, field.type.swapped, raw);
      if (const auto* decoded = std::get_if<double>(&item)) {
        require(*decoded == number || (*decoded != *decoded && number != number),
                "both decoders agree on a float");
      }
      if (const auto* decoded = std::get_if<std::uint64_t>(&item)) {
        require(static_cast<double>(*decoded) == number, "both decoders agree on an unsigned number");
      }
      if (const auto* decoded = std::get_if<std::int64_t>(&item)) {
        require(static_cast<double>(*decoded) == number, "both decoders agree on a signed number");
      }
    }
    ++items;
  });
  require(items == field.type.items, "a value has as many items as its type says");
}

std::uint64_t end_of(const mmstats::Field& field) {
  return field.write_buffer_offset + 1 + (field.buffered ? 2 : 1) * field.type.size;
}

void check_file(std::span<const std::byte> bytes) {
  mmstats::ParsedFile file;
  mmstats::parse(bytes, file);
  std::uint64_t at = bytes.empty() || bytes[0] != mmstats::kVersion1 ? 0 : 1;
  for (const auto& field : file.fields) {
    require(field.offset == at, "a field begins where the one before it ends");
    at = end_of(field);
    require(at <= bytes.size(), "a field lies within the bytes");
    check_field(field);
  }
  require(file.end == at, "the end is that of the last field");
  require(!(file.terminated && file.damage), "a list that ended is not damaged");
  if (file.damage) {
    require(file.damage->offset >= at && file.damage->offset <= bytes.size(),
            "damage lies behind the fields");
    require(!file.damage->message.empty() && is_printable(file.damage->message), "damage can be printed");
  } else {
    require(file.terminated || bytes.size() - at <= 1, "a list ends by itself or with the bytes");
  }
  require(!file.cut || file.damage, "what is cut is damaged");

  // The sound fields alone are a file without damage, with the same fields.
  if (at == 0) return;
  mmstats::ParsedFile again;
  mmstats::parse(bytes.first(at), again);
  require(!again.damage && again.end == at, "the sound fields are a sound file");
  require(std::ranges::equal(file.fields, again.fields,
                             [](const auto& a, const auto& b) {
                               return a.label == b.label && a.type_text == b.type_text &&
                                      a.offset == b.offset && a.value.data() == b.value.data() &&
                                      a.value.size() == b.value.size();
                             }),
          "the sound fields are the same without what follows");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BoundedWork bounded;
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  check_file(bytes);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_type(text);
  touch(mmstats::printable(text));
  return 0;
}

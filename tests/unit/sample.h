// Bytes of mmstats files, right and wrong ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "temporary_folder.h"

namespace sample {

inline std::string number(std::uint64_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// A 16-bit size, then the text.
inline std::string sized(std::string_view text) {
  const auto size = static_cast<std::uint16_t>(text.size());
  std::string out(reinterpret_cast<const char*>(&size), sizeof size);
  return out.append(text);
}

// `values`: one value if `write_buffer` is 0xFF, else both.
inline std::string field(std::string_view label, std::string_view type, std::uint8_t write_buffer,
                         std::string_view values) {
  return sized(label) + sized(type) + static_cast<char>(write_buffer) + std::string(values);
}

// A buffered counter that publishes `value`.
inline std::string counter(std::string_view label, std::uint64_t value) {
  return field(label, "Q", 1, number(value) + number(0));
}

inline std::string file(std::string_view fields) {
  return "\x01" + std::string(fields) + std::string(2, '\0');
}

inline std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

inline std::vector<std::byte> read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  const auto view = bytes(text);
  return {view.begin(), view.end()};
}

// Writes a file, new or over what it held, and returns its path.
inline std::string write(const TemporaryFolder& folder, const std::string& name, std::string_view content) {
  folder.write(name, bytes(content));
  return folder / name;
}

}  // namespace sample

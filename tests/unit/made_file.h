// mmstats files made for a test: bytes of fields, with what a test wants to be wrong in them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

class MadeFile {
 public:
  MadeFile() { bytes_.push_back(std::byte{1}); }

  // A buffered field: `published` is in buffer 1 with write buffer 0, as right after creation.
  template <class T>
  MadeFile& buffered(std::string_view label, std::string_view type, T published) {
    head(label, type);
    bytes_.push_back(std::byte{0});
    append(T{});
    append(published);
    return *this;
  }

  template <class T>
  MadeFile& unbuffered(std::string_view label, std::string_view type, T value) {
    head(label, type);
    bytes_.push_back(std::byte{0xFF});
    append(value);
    return *this;
  }

  MadeFile& text(std::string_view label, std::string_view value, std::size_t size) {
    head(label, std::to_string(size) + "s");
    bytes_.push_back(std::byte{0xFF});
    std::string padded(value);
    padded.resize(size, '\0');
    raw(padded);
    return *this;
  }

  MadeFile& owner(std::uint32_t pid, double created) {
    return unbuffered("sys.pid", "I", pid).unbuffered("sys.created", "d", created);
  }

  MadeFile& raw(std::string_view more) {
    const auto* begin = reinterpret_cast<const std::byte*>(more.data());
    bytes_.insert(bytes_.end(), begin, begin + more.size());
    return *this;
  }

  // The file padded with zeros to whole pages, as writers make it.
  [[nodiscard]] std::vector<std::byte> padded() const {
    auto all = bytes_;
    all.resize((all.size() + 2 + 4095) / 4096 * 4096);
    return all;
  }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  void head(std::string_view label, std::string_view type) {
    append(static_cast<std::uint16_t>(label.size()));
    raw(label);
    append(static_cast<std::uint16_t>(type.size()));
    raw(type);
  }
  template <class T>
  void append(T value) {
    raw({reinterpret_cast<const char*>(&value), sizeof value});
  }

  std::vector<std::byte> bytes_;
};

// What a file says that is made now (`sys.created`), Unix seconds.
inline double unix_now() { return static_cast<double>(::time(nullptr)); }

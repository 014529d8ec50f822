#include "mmstats/format.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "format/scalar_number.h"
#include "format/struct_codes.h"

namespace mmstats {
namespace {

// What Python can hold in a Py_ssize_t: no format's size goes above it, nor does a count.
constexpr std::uint64_t kMaxSize = std::numeric_limits<std::int64_t>::max();

// Walks over a struct format, group by group (`4d` is a group), and lays it out. Both what finds
// sizes and what decodes values go through here, so they cannot disagree.
class FormatLayout {
 public:
  enum class Step : std::uint8_t { kGroup, kEnd, kError };

  explicit FormatLayout(std::string_view text) : text_(text) {
    if (text.empty()) return;
    const bool little = std::endian::native == std::endian::little;
    switch (text[0]) {
      case '@':
        break;
      case '=':
        native_ = false;
        break;
      case '<':
        native_ = false;
        swapped_ = !little;
        break;
      case '>':
      case '!':
        native_ = false;
        swapped_ = little;
        break;
      default:
        return;
    }
    at_ = 1;
  }

  // Goes to the next group, which the accessors then describe.
  Step next() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
    if (at_ == text_.size()) return Step::kEnd;
    count_ = 1;
    if (is_digit(text_[at_])) {
      const std::size_t digits = at_;
      count_ = 0;
      for (; at_ < text_.size() && is_digit(text_[at_]); ++at_) {
        const auto digit = static_cast<std::uint64_t>(text_[at_] - '0');
        if (count_ > (kMaxSize - digit) / 10) return fail(digits, "count too large");
        count_ = count_ * 10 + digit;
      }
      if (at_ == text_.size()) return fail(digits, "count without a code");
    }
    letter_ = text_[at_];
    code_ = &struct_code(letter_);
    if (code_->kind == CodeClass::kUnknown) return fail(at_, "unknown code '{}'");
    if (!native_) {
      if (code_->native_only) return fail(at_, "code '{}' is known in native order only");
      // So that a letter alone tells the size of its items.
      if (letter_ == 'l') letter_ = 'i';
      if (letter_ == 'L') letter_ = 'I';
      code_ = &struct_code(letter_);
    }
    item_size_ = code_->size;
    if (native_) {
      // As Python does: a group of no items aligns what follows all the same.
      const std::uint64_t padding = (item_size_ - size_ % item_size_) % item_size_;
      if (padding > kMaxSize - size_) return fail(at_, "size too large");
      size_ += padding;
    }
    if (count_ > (kMaxSize - size_) / item_size_) return fail(at_, "size too large");
    offset_ = size_;
    size_ += count_ * item_size_;
    ++at_;
    return Step::kGroup;
  }

  [[nodiscard]] char letter() const { return letter_; }
  [[nodiscard]] CodeClass kind() const { return code_->kind; }
  [[nodiscard]] std::uint64_t offset() const { return offset_; }  // of the group in the value
  [[nodiscard]] std::uint8_t item_size() const { return item_size_; }
  // `4s` is one item of 4 bytes, `4c` is four of 1; `4x` is none.
  [[nodiscard]] std::uint64_t items() const {
    if (letter_ == 's' || letter_ == 'p') return 1;
    return code_->kind == CodeClass::kPad ? 0 : count_;
  }
  [[nodiscard]] std::uint64_t group_size() const { return count_ * item_size_; }

  [[nodiscard]] std::uint64_t size() const { return size_; }  // of all groups so far
  [[nodiscard]] bool swapped() const { return swapped_; }
  [[nodiscard]] std::size_t error_offset() const { return at_; }
  [[nodiscard]] const char* error() const { return error_; }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  Step fail(std::size_t offset, const char* reason) {
    at_ = offset;
    error_ = reason;
    return Step::kError;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool native_ = true;
  bool swapped_ = false;
  std::uint64_t size_ = 0;
  char letter_ = '\0';
  const StructCode* code_ = kStructCodes.data();
  std::uint64_t count_ = 0;
  std::uint64_t offset_ = 0;
  std::uint8_t item_size_ = 0;
  const char* error_ = "";
};

// `reason` may have a place for the byte that is to blame, "{}".
Error invalid_type(std::string_view text, std::size_t offset, std::string_view reason) {
  std::string message(reason);
  if (const auto place = message.find("{}"); place != std::string::npos)
    message.replace(place, 2, printable(text.substr(offset, 1)));
  return {.kind = ErrorKind::kInvalid,
          .path = {},
          .offset = offset,
          .sys_errno = 0,
          .message = std::move(message)};
}

// The bits of a number of `size` bytes (1, 2, 4 or 8) at `bytes`.
std::uint64_t load(const std::byte* bytes, std::size_t size, bool swapped) {
  switch (size) {
    case 1:
      return std::to_integer<std::uint64_t>(*bytes);
    case 2: {
      std::uint16_t bits = 0;
      std::memcpy(&bits, bytes, sizeof bits);
      return swapped ? __builtin_bswap16(bits) : bits;
    }
    case 4: {
      std::uint32_t bits = 0;
      std::memcpy(&bits, bytes, sizeof bits);
      return swapped ? __builtin_bswap32(bits) : bits;
    }
    default: {
      std::uint64_t bits = 0;
      std::memcpy(&bits, bytes, sizeof bits);
      return swapped ? __builtin_bswap64(bits) : bits;
    }
  }
}

std::int64_t sign_extended(std::uint64_t bits, std::size_t size) {
  const unsigned unused = 64 - 8 * static_cast<unsigned>(size);
  return static_cast<std::int64_t>(bits << unused) >> unused;
}

// IEEE 754 binary16: 1 sign bit, 5 of exponent, 10 of fraction.
double half_to_double(std::uint64_t bits) {
  const int exponent = static_cast<int>((bits >> 10U) & 0x1FU);
  const auto fraction = static_cast<double>(bits & 0x3FFU);
  double magnitude = 0;
  if (exponent == 0) {
    magnitude = std::ldexp(fraction, -24);
  } else if (exponent == 31) {
    magnitude =
        fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  } else {
    magnitude = std::ldexp(1024 + fraction, exponent - 25);
  }
  return (bits & 0x8000U) != 0 ? -magnitude : magnitude;
}

double float_from_bits(std::uint64_t bits, std::size_t size) {
  if (size == 8) return std::bit_cast<double>(bits);
  if (size == 4) return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  return half_to_double(bits);
}

Scalar number(CodeClass kind, const std::byte* bytes, std::size_t size, bool swapped) {
  const std::uint64_t bits = load(bytes, size, swapped);
  switch (kind) {
    case CodeClass::kBool:
      return bits != 0;
    case CodeClass::kSigned:
      return sign_extended(bits, size);
    case CodeClass::kUnsigned:
      return bits;
    default:
      return float_from_bits(bits, size);
  }
}

std::string_view text_in(char letter, std::span<const std::byte> bytes) {
  if (letter == 'p' && !bytes.empty()) {
    // The first byte counts those that follow; it may claim more than there are.
    const auto length = std::to_integer<std::size_t>(bytes[0]);
    bytes = bytes.subspan(1);
    bytes = bytes.first(std::min(length, bytes.size()));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return text.substr(0, text.find('\0'));
}

}  // namespace

Expected<ValueType> parse_type(std::string_view text) {
  ValueType type;
  FormatLayout layout(text);
  type.swapped = layout.swapped();
  bool groups = false;
  bool uniform = true;          // all items have one code and lie back to back
  std::uint64_t next_item = 0;  // where one must begin to lie so
  for (;;) {
    const FormatLayout::Step step = layout.next();
    if (step == FormatLayout::Step::kError) {
      return tl::unexpected(invalid_type(text, layout.error_offset(), layout.error()));
    }
    if (step == FormatLayout::Step::kEnd) break;
    groups = true;
    if (layout.items() == 0) continue;
    if (type.items == 0) {
      type.code = layout.letter();
      type.first_item = layout.offset();
      type.item_size = layout.kind() == CodeClass::kText ? 0 : layout.item_size();
    } else if (type.code != layout.letter() || next_item != layout.offset()) {
      uniform = false;
    }
    type.items += layout.items();
    next_item = layout.size();
  }
  if (!groups) return tl::unexpected(invalid_type(text, text.size(), "nothing in it"));
  if (!uniform) {
    type.code = '\0';
    type.item_size = 0;
  }
  type.size = layout.size();
  return type;
}

void for_each_item(std::string_view text, std::span<const std::byte> value,
                   const std::function<void(const Scalar&)>& visit) {
  const auto type = parse_type(text);
  if (!type || value.size() < type->size) return;
  FormatLayout layout(text);
  while (layout.next() == FormatLayout::Step::kGroup) {
    if (layout.letter() == 's' || layout.letter() == 'p') {
      visit(text_in(layout.letter(), value.subspan(layout.offset(), layout.group_size())));
      continue;
    }
    for (std::uint64_t i = 0; i < layout.items(); ++i) {
      const auto item = value.subspan(layout.offset() + i * layout.item_size(), layout.item_size());
      if (layout.kind() == CodeClass::kText) {
        visit(text_in(layout.letter(), item));
      } else {
        visit(number(layout.kind(), item.data(), item.size(), layout.swapped()));
      }
    }
  }
}

Scalar scalar_number(const ValueType& type, std::span<const std::byte> value) {
  return number(struct_code(type.code).kind, value.data() + type.first_item, type.item_size, type.swapped);
}

std::vector<Scalar> decode(std::string_view text, std::span<const std::byte> value) {
  std::vector<Scalar> items;
  for_each_item(text, value, [&](const Scalar& item) { items.push_back(item); });
  return items;
}

std::string trimmed_type(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (!is_blank(c)) out += c;
  }
  return out;
}

double to_double(char code, bool swapped, std::uint64_t raw) {
  const StructCode& known = struct_code(code);
  if (!known.is_number()) return 0;
  const std::size_t size = known.size;
  std::byte bytes[sizeof raw];
  std::memcpy(bytes, &raw, sizeof raw);
  const std::uint64_t bits = load(bytes, size, swapped);
  switch (known.kind) {
    case CodeClass::kBool:
      return bits != 0 ? 1 : 0;
    case CodeClass::kSigned:
      return static_cast<double>(sign_extended(bits, size));
    case CodeClass::kUnsigned:
      return static_cast<double>(bits);
    default:
      return float_from_bits(bits, size);
  }
}

}  // namespace mmstats

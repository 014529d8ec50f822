#include "publish/telling.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/hash.h"
#include "base/utf8.h"

namespace mmstats {
namespace {

// Errors that differ only in the field or the file are of one kind. What does not fit in the table is one
// more.
struct KindOfError {
  std::atomic<std::uint64_t> hash;  // 0: free
  std::atomic<std::uint64_t> errors;
};
constinit std::array<KindOfError, 32> kinds_of_errors{};

// How many errors of its kind this process had, `error` included.
std::uint64_t count_error(const Error& error) {
  // A field's label stands in quotes.
  const std::string_view message = error.message;
  const auto reason = message.substr(message.rfind('"') + 1);
  const auto hash = fnv1a(reason, static_cast<std::uint64_t>(error.kind) << 32U |
                                      static_cast<std::uint32_t>(error.sys_errno)) |
                    1U;
  for (KindOfError& kind : kinds_of_errors) {
    std::uint64_t found = 0;
    if (kind.hash.compare_exchange_strong(found, hash) || found == hash || &kind == &kinds_of_errors.back()) {
      return ++kind.errors;
    }
  }
  return 1;
}

}  // namespace

void tell(const OnError& on_error, const Error& error) {
  if (on_error) return on_error(error);
  // A program that makes fields in a loop must not fill its log.
  const auto count = count_error(error);
  if (!std::has_single_bit(count)) return;
  const auto so_far = count == 1 ? "" : " (errors of this kind so far: " + std::to_string(count) + ')';
  const auto line = "mmstats: " + error.text() + so_far + '\n';
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

void ReadyError::set(std::string_view label, std::string_view what) {
  constexpr std::size_t kMaxLabel = 100;
  auto& message = error_.message;
  message = "field \"";
  for (label = whole_characters(label, kMaxLabel); !label.empty();) {
    const std::size_t length = utf8_sequence(label);
    const auto character = label.substr(0, std::max<std::size_t>(length, 1));
    message += length == 0 || steers_display(character) ? "?" : character;
    label.remove_prefix(character.size());
  }
  message += "\" ";
  message += whole_characters(what, kMaxMessage - message.size());
}

void ReadyError::set_no_memory(std::string_view what) {
  error_.kind = ErrorKind::kLimit;
  error_.sys_errno = ENOMEM;
  error_.message = whole_characters(what, kMaxMessage);
}

void ReadyError::tell(const OnError& on_error) const {
  if (on_error) return on_error(error_);
  const auto count = count_error(error_);
  if (!std::has_single_bit(count)) return;
  std::array<char, kMaxMessage + 100> line{};
  std::size_t size = 0;
  const auto append = [&](std::string_view text) {
    size += text.copy(line.data() + size, line.size() - size);
  };
  append("mmstats: ");
  append(error_.message);
  if (count > 1) {
    append(" (errors of this kind so far: ");
    std::array<char, 20> digits{};
    const auto* const end = std::to_chars(digits.begin(), digits.end(), count).ptr;
    append({digits.data(), static_cast<std::size_t>(end - digits.data())});
    append(")");
  }
  append("\n");
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), size);
}

void forget_errors() {
  for (KindOfError& kind : kinds_of_errors) kind.hash = kind.errors = 0;
}

}  // namespace mmstats

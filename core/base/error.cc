#include "mmstats/error.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

#include "base/utf8.h"

namespace mmstats {

std::string printable(std::string_view foreign) {
  std::string out;
  out.reserve(foreign.size());
  for (;;) {
    const std::size_t plain = plain_prefix(foreign);
    out += foreign.substr(0, plain);
    foreign.remove_prefix(plain);
    if (foreign.empty()) return out;
    const std::size_t length = utf8_sequence(foreign);
    const std::string_view sequence = foreign.substr(0, length == 0 ? 1 : length);
    if (length == 0 || steers_display(sequence)) {
      for (const char c : sequence) {
        constexpr const char* kDigits = "0123456789ABCDEF";
        const auto byte = static_cast<unsigned char>(c);
        out += {'\\', 'x', kDigits[byte >> 4U], kDigits[byte & 0xFU]};
      }
    } else {
      out += sequence;
    }
    foreign.remove_prefix(sequence.size());
  }
}

std::string Error::text() const {
  std::string out;
  if (!path.empty()) out = printable(path) + ": ";
  out += message;
  if (sys_errno != 0) out += ": " + std::generic_category().message(sys_errno);
  return out;
}

}  // namespace mmstats

#include "pinba/request_text.h"

#include "mmstats/error.h"

namespace pinba {

std::string tags_text(const Request& request, std::span<const TagRef> tags, std::string_view separator) {
  std::string text;
  for (const auto& [name, value] : tags) {
    if (!text.empty()) text += separator;
    text +=
        mmstats::printable(request.dictionary[name]) + "=" + mmstats::printable(request.dictionary[value]);
  }
  return text;
}

}  // namespace pinba

// What several programs that show requests have in common.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "pinba/request.h"

namespace pinba {

// Tags as NAME=VALUE with a separator between them, printable. They must be of the request's dictionary.
std::string tags_text(const Request& request, std::span<const TagRef> tags, std::string_view separator);

// Calls visit(timer, tags) for each timer of a request whose timers are in order.
template <class Visit>
void for_each_timer(const Request& request, Visit visit) {
  std::span<const TagRef> left = request.timer_tags;
  for (const Timer& timer : request.timers) {
    visit(timer, left.first(timer.tag_count));
    left = left.subspan(timer.tag_count);
  }
}

}  // namespace pinba

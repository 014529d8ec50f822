// How a program hears what went wrong with its metrics.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "mmstats/error.h"

namespace mmstats {

using OnError = std::function<void(const Error&)>;

// As ModelOptions::on_error says. Any thread.
void tell(const OnError& on_error, const Error& error);

// One of kInvalid, or that there is no memory, for which the memory is there already: so it can be told by a
// signal's handler, and where there is none.
class ReadyError {
 public:
  ReadyError() { error_.message.reserve(kMaxMessage); }

  // Says that `what` is so of the field `label`, both cut where there is no more room. Takes no memory.
  void set(std::string_view label, std::string_view what);
  // Says that there was no memory, and what that means. Takes none.
  void set_no_memory(std::string_view what);
  // As tell(). Takes no memory, but what `on_error` does.
  void tell(const OnError& on_error) const;

 private:
  static constexpr std::size_t kMaxMessage = 400;
  Error error_{.kind = ErrorKind::kInvalid, .path = {}, .offset = 0, .sys_errno = 0, .message = {}};
};

// Begins to count errors anew: in the child of a fork, which tells its own.
void forget_errors();

}  // namespace mmstats

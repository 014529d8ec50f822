// How a program hears what went wrong with its metrics.
#pragma once

#include <functional>

#include "mmstats/error.h"

namespace mmstats {

using OnError = std::function<void(const Error&)>;

// As ModelOptions::on_error says. Any thread.
void tell(const OnError& on_error, const Error& error);

// Begins to count errors anew: in the child of a fork, which tells its own.
void forget_errors();

}  // namespace mmstats

// The value of a field that holds one number: no type is read again for it, as for_each_item() does.
#pragma once

#include <cstddef>
#include <span>

#include "mmstats/format.h"

namespace mmstats {

// Preconditions: type.is_scalar_number(); `value` holds type.size bytes. A bool, a whole number or a
// fraction. Pure; from any thread.
Scalar scalar_number(const ValueType& type, std::span<const std::byte> value);

}  // namespace mmstats

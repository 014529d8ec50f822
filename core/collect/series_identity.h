// What tells the series of one binding from those of all others, beside its worker slot.
#pragma once

#include "base/keyed_hash.h"
#include "collect/shared_binding.h"

namespace mmstats {

// Adds it to what is hashed: no two are written alike, whatever bytes names and values have. A hash stands
// for the identity: two meet by a chance of 2^-64 that nobody can choose.
void add_identity(const SharedBinding& binding, KeyedHasher& hasher);

}  // namespace mmstats

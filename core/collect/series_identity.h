// What tells the series of one binding from those of all others, beside its worker slot.
#pragma once

#include <string>

#include "collect/rules.h"

namespace mmstats {

// Appends it to a key. No two identities are written alike, whatever bytes names and values have, but by a
// chance of 2^-64 that nobody can choose. What has no dimensions costs as much as its name.
void append_identity(const Binding& binding, std::string& key);

}  // namespace mmstats

// Values as the original tools, written in Python, show them: for people and as JSON.
// Pure functions; from any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "mmstats/format.h"
#include "mmstats/parse.h"

namespace mmstats {

// The fewest digits that read back as the same number, and never like a whole one: 2.0, 1e+16, nan, -inf.
std::string float_text(double value);

// 42, 0.5, True; texts made printable; nothing of an item that is none.
std::string item_text(const Scalar& item);

// As JSON. NaN is no value: null. Infinity becomes a string: "inf", "-inf"; what is not UTF-8 in a text is
// replaced.
std::string item_json(const Scalar& item);

// Hands out a field's value in pieces: `none` if it has no item, brackets around several. Item by item, since
// a foreign file may hold millions of them in one value.
void write_value(const Field& field, std::string_view none, std::string (*text_of)(const Scalar&),
                 const std::function<void(std::string_view)>& write);

}  // namespace mmstats

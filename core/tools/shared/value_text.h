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

// The same, behind what is in `out`: there are tens of thousands of values in a second's output.
void append_item_text(std::string& out, const Scalar& item);
void append_item_json(std::string& out, const Scalar& item);

// Appends a field's value: `none` if it has no item, brackets around several. Calls `after_item` between
// several, which may take what is in `out`: a foreign file may hold millions of items in one value.
void append_value(std::string& out, const Field& field, std::string_view none,
                  void (*append_item)(std::string&, const Scalar&),
                  const std::function<void()>& after_item = {});

}  // namespace mmstats

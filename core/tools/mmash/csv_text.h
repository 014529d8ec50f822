// Foreign text as a field of CSV (RFC 4180).
#pragma once

#include <string>
#include <string_view>

namespace mmash {

// Appends a field that no spreadsheet takes for a formula, and no terminal for a command. What is not UTF-8,
// and characters that command a terminal, line ends and tabs among them, are written as \xNN: so a record is
// a line. A ' is put before =, +, -, @ (or blanks and one of these) and before a ', where they begin the text
// or follow a semicolon, which is what programs of half the world take for the end of a field, quoted or not.
// To remove a ' from each of these places gives the text back.
void add_csv_field(std::string& into, std::string_view foreign);

}  // namespace mmash

// JSON as Python's json.dumps writes it, which the original tools use: ", " and ": " between the parts. Texts
// that are not UTF-8 are repaired, and characters that would command a terminal are escaped; exact integers;
// fractions by their fewest digits. Pure functions; from any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace mmstats {

using Json = nlohmann::ordered_json;

// Beyond ASCII: as it is as far as it commands no terminal, or escaped.
enum class JsonTexts : bool { kUtf8, kAscii };

// Appends a text, as json_text() writes it. What is printing ASCII, as nearly all is, costs little.
void append_json(std::string& out, std::string_view text, JsonTexts texts = JsonTexts::kUtf8);

// A fraction that is no number becomes null.
std::string json_text(const Json& value, JsonTexts texts = JsonTexts::kUtf8);

}  // namespace mmstats

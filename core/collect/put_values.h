// Texts that a configuration gives to series, and to what sinks make of them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collect/label_pattern.h"
#include "format/dimensions.h"
#include "mmstats/error.h"

namespace mmstats {

// `text` as put_groups() has it, and each %{NAME} as the value of that dimension. None: there is no dimension
// of that name. %%{ is the text %{. Values are foreign bytes, and are not looked at again.
std::optional<std::string> put_values(std::string_view text, std::string_view label,
                                      std::span<const std::string> groups,
                                      std::span<const Dimension> dimensions);

// The same for a text that is a label: values are as in labels, so that no two of them become one.
std::optional<std::string> put_label(std::string_view text, std::string_view label,
                                     std::span<const std::string> groups,
                                     std::span<const Dimension> dimensions);

// The dimensions that the text asks for.
std::vector<std::string> asked_dimensions(std::string_view text);

// And the numbers of groups, each once.
std::vector<std::size_t> asked_groups(std::string_view text);

// How many values and groups the text may ask for, at most.
std::size_t most_values(std::string_view text);

// Whether a text for put_values() asks only for groups that the pattern has, and for dimensions that there
// may be: if the pattern of a label has groups with names, these are all. `of_family`: the pattern is one of
// families, whose dimensions only files tell. Error: kInvalid.
Expected<void> check_values(const re2::RE2& pattern, bool of_family, const std::string& text);

}  // namespace mmstats

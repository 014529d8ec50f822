// Dimensions as OpenMetrics writes labels. Pure; from any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "format/dimensions.h"

namespace mmstats {

// What becomes of a dimension without a value: Prometheus knows no difference to one that is not there.
enum class EmptyValues : bool { kLeftOut, kShown };

// method="GET",status="200", without braces. Values are printable().
std::string dimensions_text(const std::vector<Dimension>& dimensions, EmptyValues empty);

// web.responses{method="GET",status="200"}; the label alone where there is no dimension.
std::string full_name(std::string_view label, const std::vector<Dimension>& dimensions);

}  // namespace mmstats

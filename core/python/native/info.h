// Handles of texts that belong together.
#pragma once

#include <string>
#include <string_view>

#include "python/native/publication.h"

namespace mmstats::python {

// `texts`: a mapping, or something to call for one; or null. Throws std::bad_alloc.
PyObject* new_info(Publication& publication, std::string_view label, const About& about, PyObject* texts);

}  // namespace mmstats::python

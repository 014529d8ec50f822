// Handles of families.
#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>

#include "python/native/field_object.h"

namespace mmstats::python {

// What a FamilyField has when its handle is made. Both objects are borrowed.
struct FamilyParts {
  FieldObject* field;    // of the combinations
  PyObject* dimensions;  // a tuple of str
  std::size_t max_series;
  std::chrono::seconds expire_after;
};

// Throws std::bad_alloc.
PyObject* new_family(Publication& publication, std::string_view label, const FamilyParts& parts);

}  // namespace mmstats::python

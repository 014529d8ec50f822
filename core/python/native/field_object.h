// What classes declare: `hits = CounterField(unit="hits")`. All sorts of fields are one struct.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mmstats/model.h"
#include "python/native/module_state.h"
#include "python/native/number_type.h"

namespace mmstats::python {

class Publication;

enum class FieldSort : std::uint8_t {
  kCounter,
  kAverage,
  kMovingAverage,
  kWindowAverage,
  kTimer,
  kHistogram,
  kMovingHistogram,
  kWindowHistogram,
  kFamily,
  kInfo,
  kNumber,
  kString,
  kStaticNumber,
  kStaticText,
  kSystem,
};

// What the classes of fields differ in.
struct FieldClass {
  FieldSort sort;
  const NumberType* number = nullptr;  // of kNumber and kStaticNumber
};

struct FieldObject {
  PyObject_HEAD const FieldClass* made_as;
  State* state;
  PyObject* label;  // str or None
  PyObject* unit;   // str
  PyObject* help;   // str
  PyObject* key;    // str, the attribute's name; or null
  // The timer, the value of a fact, the initial one of a number or text, the texts of an Info, the field of a
  // family; or null.
  PyObject* value;
  PyObject* dimensions;  // of a family: a tuple of str
  std::size_t size;      // or seconds
  std::size_t max_series;
  std::int64_t expire_after;  // seconds
  std::uint64_t raw;          // the initial value of a number, as its bytes are
  unsigned precision;
  int kind;  // of a number: a Kind, or -1
  bool shared;
};

inline FieldObject* field_of(PyObject* object) noexcept { return reinterpret_cast<FieldObject*>(object); }

// What it says of itself. Throws std::bad_alloc; none: an exception is set.
std::optional<About> about_of(const FieldObject& field);

// The handle of that label, which the library makes if there is none; of a fact its value. Throws
// std::bad_alloc.
PyObject* make_handle(FieldObject* field, Publication& publication, std::string_view label);

// The label that was given, or else `key`; null if both are none. Borrowed.
inline PyObject* label_of(const FieldObject* field, PyObject* key) noexcept {
  return field->label == Py_None ? key : field->label;
}

}  // namespace mmstats::python

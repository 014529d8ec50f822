// The types of numbers, behind one interface: what a handle of a number can do.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

#include "mmstats/cell.h"
#include "python/native/object.h"

namespace mmstats::python {

class Publication;

// A handle.
struct NumberObject;

struct NumberType {
  char code;  // of module struct
  // A value as its bytes are. False: it is no such number.
  bool (*convert)(PyObject* value, std::uint64_t& raw);
  PyObject* (*to_python)(std::uint64_t raw);
  // The place of the value. Throws std::bad_alloc.
  detail::Place (*add_field)(Model& model, std::string_view label, const About& about, std::uint64_t raw,
                             bool shared);
  void (*add_fact)(Model& model, std::string_view label, const About& about, std::uint64_t raw);
  bool (*set)(NumberObject* number, PyObject* value);
  PyObject* (*get)(NumberObject* number);
  bool (*add)(NumberObject* number, PyObject* amount, bool subtract);
  PyObject* (*total)(NumberObject* number);
};

// The value of `from` as C has it: a whole number modulo its size, a truth, a fraction. False: it is none
// (TypeError), or too large for a double (OverflowError), or whatever it raised.
template <detail::Number T>
bool convert(PyObject* from, T& into) noexcept {
  if constexpr (std::is_same_v<T, bool>) {
    const int truth = call<PyObject_IsTrue>(from);
    into = truth > 0;
    return truth >= 0;
  } else if constexpr (std::is_floating_point_v<T>) {
    const double value = PyFloat_CheckExact(from) ? PyFloat_AS_DOUBLE(from) : call<PyFloat_AsDouble>(from);
    if (value == -1.0 && PyErr_Occurred() != nullptr) [[unlikely]]
      return false;
    if constexpr (sizeof(T) < sizeof(double)) {
      constexpr double kMost = std::numeric_limits<T>::max();
      constexpr T kInfinity = std::numeric_limits<T>::infinity();
      if (value > kMost || value < -kMost) [[unlikely]] {
        into = value > 0 ? kInfinity : -kInfinity;
        return true;
      }
    }
    into = static_cast<T>(value);
    return true;
  } else {
    if (!PyLong_Check(from)) [[unlikely]] {
      const Ref whole(call<PyNumber_Index>(from));
      return whole && convert(whole.get(), into);
    }
    const unsigned long long value = PyLong_AsUnsignedLongLongMask(from);
    if (value == ~0ULL && PyErr_Occurred() != nullptr) [[unlikely]]
      return false;
    into = static_cast<T>(value);
    return true;
  }
}

template <detail::Number T>
PyObject* to_python(T value) noexcept {
  if constexpr (std::is_same_v<T, bool>) {
    return PyBool_FromLong(value ? 1 : 0);
  } else if constexpr (std::is_floating_point_v<T>) {
    return PyFloat_FromDouble(value);
  } else if constexpr (std::is_signed_v<T>) {
    return PyLong_FromLongLong(value);
  } else {
    return PyLong_FromUnsignedLongLong(value);
  }
}

template <detail::Number T>
const NumberType& number_type() noexcept;

}  // namespace mmstats::python

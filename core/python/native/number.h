// Handles of numbers.
#pragma once

#include <atomic>
#include <bit>

#include "python/native/number_type.h"
#include "python/native/publication.h"

namespace mmstats::python {

struct NumberObject {
  PyObject_HEAD Publication* publication;
  const NumberType* type;
  detail::Place place;
  bool shared;
  bool only_grows;
};

// Throws nothing.
PyObject* new_number(Publication& publication, const NumberType& type, detail::Place place, bool shared,
                     bool only_grows) noexcept;

template <detail::Number T>
T* address_of(const NumberObject* number) noexcept {
  if (number->shared) [[unlikely]] {
    number->publication->enter_shared(number->place);
    return reinterpret_cast<T*>(number->place.in_shared());
  }
  std::byte* address = number->place.known_in_thread();
  if (address == nullptr) [[unlikely]] {
    number->publication->enter(number->place);
    address = number->place.in_thread();
  }
  return reinterpret_cast<T*>(address);
}

template <detail::Number T>
bool set_number(const NumberObject* number, PyObject* value) noexcept {
  T converted{};
  if (!convert(value, converted)) [[unlikely]]
    return false;
  std::atomic_ref(*address_of<T>(number)).store(converted, std::memory_order_relaxed);
  return true;
}

template <detail::Number T>
PyObject* get_number(const NumberObject* number) noexcept {
  return to_python(std::atomic_ref(*address_of<T>(number)).load(std::memory_order_relaxed));
}

}  // namespace mmstats::python

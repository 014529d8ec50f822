// What is made of the fields that a class declares, for one instance of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "python/native/field_object.h"

namespace mmstats::python {

// Handles by the addresses of their fields. Each instance has its own, as one field may be in several
// classes.
class DeclaredHandles {
 public:
  // Borrowed; null: there is none.
  [[nodiscard]] PyObject* find(const FieldObject* field) const noexcept {
    if (table_.empty()) return nullptr;
    for (std::size_t at = place_of(field);; at = next(at)) {
      if (table_[at].field == field) [[likely]]
        return table_[at].handle;
      if (table_[at].field == nullptr) return nullptr;
    }
  }

  // Precondition: there is none. Throws std::bad_alloc: nothing has changed.
  void add(FieldObject* field, PyObject* handle) {
    if (2 * (count_ + 1) > table_.size()) grow();
    put({field, handle});
    ++count_;
    Py_INCREF(field);
    Py_INCREF(handle);
  }

  void clear() noexcept {
    auto all = std::exchange(table_, {});
    count_ = 0;
    for (auto& each : all) {
      python::clear(each.field);
      python::clear(each.handle);
    }
  }

  int traverse(visitproc visit, void* arg) const {
    for (const auto& each : table_) {
      Py_VISIT(each.field);
      Py_VISIT(each.handle);
    }
    return 0;
  }

 private:
  struct Declared {
    FieldObject* field = nullptr;  // owned, so that no other one gets its address
    PyObject* handle = nullptr;    // owned
  };

  [[nodiscard]] std::size_t place_of(const FieldObject* field) const noexcept {
    constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15;
    return (reinterpret_cast<std::uintptr_t>(field) * kGolden) >> shift_;
  }
  [[nodiscard]] std::size_t next(std::size_t at) const noexcept { return (at + 1) & (table_.size() - 1); }

  void put(const Declared& declared) noexcept {
    std::size_t at = place_of(declared.field);
    while (table_[at].field != nullptr) at = next(at);
    table_[at] = declared;
  }
  void grow() {
    constexpr unsigned kLeastBits = 3;
    constexpr unsigned kAddressBits = 64;
    const unsigned bits = table_.empty() ? kLeastBits : kAddressBits - shift_ + 1;
    std::vector<Declared> before(std::size_t{1} << bits);
    table_.swap(before);
    shift_ = kAddressBits - bits;
    for (const auto& each : before) {
      if (each.field != nullptr) put(each);
    }
  }

  std::vector<Declared> table_;  // 2**n places, half of them free at least
  std::size_t count_ = 0;
  unsigned shift_ = 0;  // 64 - n
};

}  // namespace mmstats::python

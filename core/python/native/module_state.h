// What one interpreter has of the module: its types. It lives as long as any object of them.
#pragma once

#include "python/native/object.h"

namespace mmstats::python {

// What readers leave to those that come later.
struct ReaderMemory;

struct State {
  PyTypeObject* model = nullptr;
  PyTypeObject* field = nullptr;  // the base of all fields
  PyTypeObject* counter = nullptr;
  PyTypeObject* number = nullptr;
  PyTypeObject* string = nullptr;
  PyTypeObject* average = nullptr;
  PyTypeObject* timer = nullptr;
  PyTypeObject* histogram = nullptr;
  PyTypeObject* scope = nullptr;
  PyTypeObject* scope_method = nullptr;
  PyTypeObject* info = nullptr;
  PyTypeObject* family = nullptr;
  PyTypeObject* reader = nullptr;
  PyTypeObject* stats_iterator = nullptr;
  PyObject* stat = nullptr;  // a named tuple
  PyObject* duplicate_field_name = nullptr;
  PyObject* invalid_version = nullptr;
  ReaderMemory* reader_memory = nullptr;  // held

  // Calls visit(object) for each; what it returns, if that is not 0.
  template <class Visit>
  int for_each(Visit&& visit) {
    for (PyTypeObject** type : {&model, &field, &counter, &number, &string, &average, &timer, &histogram,
                                &scope, &scope_method, &info, &family, &reader, &stats_iterator}) {
      if (const int result = visit(reinterpret_cast<PyObject*&>(*type))) return result;
    }
    for (PyObject** object : {&stat, &duplicate_field_name, &invalid_version}) {
      if (const int result = visit(*object)) return result;
    }
    return 0;
  }
};

extern PyModuleDef native_module;

// Of a type that the module made, and of none that derives from it.
inline State& state_of(PyTypeObject* exact) noexcept {
  return *static_cast<State*>(PyType_GetModuleState(exact));
}
// Of a type that may derive from one of ours. Null with an exception set: it does not.
inline State* find_state(PyTypeObject* type) noexcept {
  PyObject* const module = call<PyType_GetModuleByDef>(type, &native_module);
  return module == nullptr ? nullptr : static_cast<State*>(PyModule_GetState(module));
}

// Each makes its types, and puts into the module what programs may see.
bool add_model(PyObject* module, State& state);
bool add_fields(PyObject* module, State& state);
bool add_counter(PyObject* module, State& state);
bool add_number(PyObject* module, State& state);
bool add_string(PyObject* module, State& state);
bool add_average(PyObject* module, State& state);
bool add_timing(PyObject* module, State& state);  // before the types that are timed
bool add_timer(PyObject* module, State& state);
bool add_histogram(PyObject* module, State& state);
bool add_info(PyObject* module, State& state);
bool add_family(PyObject* module, State& state);
bool add_reader(PyObject* module, State& state);
void forget_reader_memory(State& state) noexcept;

// A type of `spec`; it is put into the module under the last part of its name. Null with an exception set.
inline PyTypeObject* add_type(PyObject* module, PyType_Spec& spec, PyTypeObject* base = nullptr) noexcept {
  PyObject* const type = call<PyType_FromModuleAndSpec>(module, &spec, reinterpret_cast<PyObject*>(base));
  if (type == nullptr) return nullptr;
  if (call<PyModule_AddType>(module, reinterpret_cast<PyTypeObject*>(type)) < 0) {
    const Ref unused(type);
    return nullptr;
  }
  return reinterpret_cast<PyTypeObject*>(type);
}

}  // namespace mmstats::python

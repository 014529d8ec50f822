// mmstats._native: the module.
#include "mmstats/mmstats.h"
#include "python/native/module_state.h"

namespace mmstats::python {
namespace {

int fill_module(PyObject* module) {
  auto& state = *static_cast<State*>(PyModule_GetState(module));
  if (call<PyModule_AddStringConstant>(module, "__version__", mmstats_version()) < 0) return -1;
  state.duplicate_field_name =
      call<PyErr_NewExceptionWithDoc>("mmstats.fields.DuplicateFieldName",
                                      "Two declared fields of a model have one label.", nullptr, nullptr);
  if (state.duplicate_field_name == nullptr ||
      call<PyModule_AddObjectRef>(module, "DuplicateFieldName", state.duplicate_field_name) < 0) {
    return -1;
  }
  for (const auto add : {add_model, add_fields, add_counter, add_number, add_string, add_average, add_timing,
                         add_timer, add_histogram, add_info, add_family, add_reader}) {
    if (!add(module, state)) return -1;
  }
  return 0;
}

int traverse_module(PyObject* module, visitproc visit, void* arg) {
  auto* const state = static_cast<State*>(PyModule_GetState(module));
  return state == nullptr ? 0 : state->for_each([&](PyObject*& object) -> int {
    Py_VISIT(object);
    return 0;
  });
}

int clear_module(PyObject* module) {
  auto* const state = static_cast<State*>(PyModule_GetState(module));
  if (state == nullptr) return 0;
  forget_reader_memory(*state);
  return state->for_each([](PyObject*& object) -> int {
    clear(object);
    return 0;
  });
}

void free_module(void* module) { (void)clear_module(static_cast<PyObject*>(module)); }

PyModuleDef_Slot kSlots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(fill_module)},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {},
};

}  // namespace

PyModuleDef native_module{
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "mmstats._native",
    .m_doc = "Models, fields, handles and the reader, over libmmstats.",
    .m_size = sizeof(State),
    .m_methods = nullptr,
    .m_slots = kSlots,
    .m_traverse = traverse_module,
    .m_clear = clear_module,
    .m_free = free_module,
};

}  // namespace mmstats::python

// NOLINTNEXTLINE(bugprone-reserved-identifier): Python asks for this name
PyMODINIT_FUNC PyInit__native() { return PyModuleDef_Init(&mmstats::python::native_module); }

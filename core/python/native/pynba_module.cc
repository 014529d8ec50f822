// The extension module pynba._native.
#include <Python.h>

#include "python/native/pynba_client.h"
#include "python/native/pynba_ref.h"
#include "python/native/pynba_state.h"
#include "python/native/pynba_tags.h"

namespace pynba {
namespace {

State& state_in(PyObject* module) { return *static_cast<State*>(PyModule_GetState(module)); }

int add_type(PyObject* module, PyTypeObject*& place, PyTypeObject* made) {
  place = made;
  return made == nullptr ? -1 : PyModule_AddType(module, made);
}

int exec(PyObject* module) {
  State& state = state_in(module);
  if (add_type(module, state.timer_type, make_timer_type(module)) != 0 ||
      add_type(module, state.collector_type, make_collector_type(module)) != 0 ||
      add_type(module, state.client_type, make_client_type(module)) != 0 ||
      add_type(module, state.body_type, make_body_type(module)) != 0 ||
      add_type(module, state.proxy_type, make_proxy_type(module)) != 0) {
    return -1;
  }
  state.current = PyContextVar_New("pynba", nullptr);
  if (state.current == nullptr || PyModule_AddObjectRef(module, "current", state.current) != 0) return -1;
  const auto intern = [](PyObject*& place, const char* text) {
    place = PyUnicode_InternFromString(text);
    return place != nullptr;
  };
  const bool good = intern(state.name_timer, "timer") && intern(state.name_elapsed, "elapsed") &&
                    intern(state.name_tags, "tags") && intern(state.name_timers, "timers") &&
                    intern(state.name_discard, "discard") && intern(state.name_items, "items") &&
                    intern(state.name_outside, "_outside") && intern(state.name_close, "close") &&
                    intern(state.name_end, "end") && intern(state.name_failed, "failed");
  return good ? 0 : -1;
}

int traverse(PyObject* module, visitproc visit, void* arg) {
  State& state = state_in(module);
  Py_VISIT(state.timer_type);
  Py_VISIT(state.collector_type);
  Py_VISIT(state.client_type);
  Py_VISIT(state.body_type);
  Py_VISIT(state.proxy_type);
  Py_VISIT(state.current);
  Py_VISIT(state.measured);
  Py_VISIT(state.left_out);
  Py_VISIT(state.mapping_type);
  Py_VISIT(state.sequence_type);
  Py_VISIT(state.set_type);
  return 0;
}

int clear(PyObject* module) {
  State& state = state_in(module);
  Py_CLEAR(state.timer_type);
  Py_CLEAR(state.collector_type);
  Py_CLEAR(state.client_type);
  Py_CLEAR(state.body_type);
  Py_CLEAR(state.proxy_type);
  Py_CLEAR(state.current);
  Py_CLEAR(state.name_timer);
  Py_CLEAR(state.name_elapsed);
  Py_CLEAR(state.name_tags);
  Py_CLEAR(state.name_timers);
  Py_CLEAR(state.name_discard);
  Py_CLEAR(state.name_items);
  Py_CLEAR(state.name_outside);
  Py_CLEAR(state.name_close);
  Py_CLEAR(state.name_end);
  Py_CLEAR(state.name_failed);
  Py_CLEAR(state.measured);
  Py_CLEAR(state.left_out);
  Py_CLEAR(state.mapping_type);
  Py_CLEAR(state.sequence_type);
  Py_CLEAR(state.set_type);
  return 0;
}

PyMethodDef functions[] = {
    {"flattener", flattener, METH_O,
     PyDoc_STR(
         "flattener($module, tags, /)\n--\n\n"
         "The tags as a sorted list of pairs of texts, each once.\n\n"
         "    >>> flattener({'foo': [12, 13], 'bar': {'baz': lambda: 'x'}})\n"
         "    [('bar.baz', 'x'), ('foo', '12'), ('foo', '13')]\n\n"
         "A sequence or set gives a pair for each element, a mapping NAME.KEY, a callable is called first.\n"
         "A tag that raises is logged and left out. TypeError if tags is no mapping.")},
    {"encode", as_method(encode), METH_FASTCALL,
     PyDoc_STR("encode($module, /, *arguments)\n--\n\nThe bytes of one datagram: see "
               "pynba.core.Reporter.prepare.")},
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef_Slot slots[] = {{Py_mod_exec, reinterpret_cast<void*>(exec)},
#if PY_VERSION_HEX >= 0x030C0000
                            {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
                            {0, nullptr}};

}  // namespace

PyModuleDef module_definition = {PyModuleDef_HEAD_INIT,
                                 "pynba._native",
                                 PyDoc_STR("The native part of pynba; use pynba itself."),
                                 sizeof(State),
                                 functions,
                                 slots,
                                 traverse,
                                 clear,
                                 [](void* module) { clear(static_cast<PyObject*>(module)); }};

State* state_of(PyTypeObject* type) {
  PyObject* module = PyType_GetModuleByDef(type, &module_definition);
  return module == nullptr ? nullptr : &state_in(module);
}

PyObject* imported(PyObject*& cache, const char* from, const char* name) {
  if (cache != nullptr) return cache;
  const Ref module(call<PyImport_ImportModule>(from));
  Ref found(module ? call<PyObject_GetAttrString>(module.get(), name) : nullptr);
  if (!found) return nullptr;
  if (cache == nullptr) cache = found.release();  // the import may have come here as well
  return cache;
}

bool tell_left_out(State& state, std::string_view what) {
  if (!is_ordinary_error()) return false;
  const Ref raised = take_exception();
  PyObject* log = imported(state.left_out, "pynba.log", "left_out");
  const Ref name(log == nullptr ? nullptr : as_unicode(what));
  const Ref done(name ? call<PyObject_CallFunctionObjArgs>(log, name.get(), raised.get(), nullptr) : nullptr);
  if (done) return true;
  if (!is_ordinary_error()) return false;
  call<PyErr_Clear>();
  return true;
}

PyObject* tags_of_call(PyObject* const* arguments, Py_ssize_t positional, PyObject* names) {
  if (positional != 0) {
    set_error(PyExc_TypeError, "tags are given by name: timer(name='value')");
    return nullptr;
  }
  Ref tags(call<PyDict_New>());
  if (!tags) return nullptr;
  const Py_ssize_t count = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (call<PyDict_SetItem>(tags.get(), PyTuple_GET_ITEM(names, i), arguments[i]) != 0) return nullptr;
  }
  return tags.release();
}

}  // namespace pynba

// NOLINTNEXTLINE(bugprone-reserved-identifier): Python asks for this name
PyMODINIT_FUNC PyInit__native() { return PyModuleDef_Init(&pynba::module_definition); }

// The native base of LocalProxy: timers of the current request, at the price of one look-up.
#include <Python.h>

#include <algorithm>
#include <iterator>

#include "python/native/pynba_ref.h"
#include "python/native/pynba_state.h"

namespace pynba {
namespace {

constexpr Py_ssize_t kUsualTags = 8;

PyObject* proxy_timer(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
  State* state = state_of(Py_TYPE(self));
  if (state == nullptr) return nullptr;
  PyObject* found = nullptr;
  if (call<PyContextVar_Get>(state->current, Py_None, &found) != 0) return nullptr;
  const Ref current(found);
  const Py_ssize_t tags = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  if (current.get() != Py_None && count == 0 && tags <= kUsualTags) {
    PyObject* given[kUsualTags + 1];
    given[0] = current.get();
    std::copy_n(arguments, tags, std::begin(given) + 1);
    return call<PyObject_VectorcallMethod>(state->name_timer, std::begin(given), 1, names);
  }
  const Ref dict(tags_of_call(arguments, count, names));
  if (!dict) return nullptr;
  if (current.get() == Py_None) return call<PyObject_CallMethodOneArg>(self, state->name_outside, dict.get());
  const Ref timer(call<PyObject_GetAttr>(current.get(), state->name_timer));
  const Ref nothing(call<PyTuple_New>(0));
  return timer && nothing ? call<PyObject_Call>(timer.get(), nothing.get(), dict.get()) : nullptr;
}

void proxy_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef proxy_methods[] = {
    {"timer", as_method(proxy_timer), METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR(
         "timer($self, /, **tags)\n--\n\nA new Timer of the current request.\n\n"
         "Where there is none: a decorator, whose function is measured for the request that is current\n"
         "when it runs; RuntimeError is raised there if there is none either.")},
    {nullptr, nullptr, 0, nullptr}};

PyDoc_STRVAR(proxy_doc, "The current request: see pynba.stacked.LocalProxy.");

PyType_Slot proxy_slots[] = {{Py_tp_doc, const_cast<char*>(proxy_doc)},
                             {Py_tp_dealloc, reinterpret_cast<void*>(proxy_dealloc)},
                             {Py_tp_methods, proxy_methods},
                             {0, nullptr}};

PyType_Spec proxy_spec = {"pynba._native.Proxy", sizeof(PyObject), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, proxy_slots};

}  // namespace

PyTypeObject* make_proxy_type(PyObject* module) {
  return reinterpret_cast<PyTypeObject*>(PyType_FromModuleAndSpec(module, &proxy_spec, nullptr));
}

}  // namespace pynba

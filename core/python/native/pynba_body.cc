// The native base of what a WSGI server gets in place of an application's body: its request is current while
// it runs, and ends with close().
#include <Python.h>
#include <structmember.h>

#include <cstddef>

#include "python/native/pynba_ref.h"
#include "python/native/pynba_state.h"

namespace pynba {
namespace {

struct BodyObject {
  PyObject_HEAD State* state;
  PyObject* call;  // pynba.wsgi's: it learns the bytes and the end
  PyObject* collector;
  PyObject* result;  // what the application returned
  PyObject* iterator;
  unsigned long long size;  // bytes that were handed on
  bool is_over;
};

BodyObject* body_of(PyObject* self) { return reinterpret_cast<BodyObject*>(self); }

// Makes a collector the current one until it ends.
class Current {
 public:
  Current(const State& state, PyObject* collector)
      : variable_(state.current), token_(call<PyContextVar_Set>(variable_, collector)) {}
  ~Current() {
    if (!token_) return;
    const RaisedAside aside;
    if (call<PyContextVar_Reset>(variable_, token_.get()) != 0)
      call<PyErr_Clear>();  // another thread or task
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;
  // False with an exception.
  explicit operator bool() const { return static_cast<bool>(token_); }

 private:
  PyObject* variable_;
  Ref token_;
};

PyObject* body_new(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
  static const char* const kNames[] = {"call", "collector", "result", nullptr};
  PyObject* owner = nullptr;
  PyObject* collector = nullptr;
  PyObject* result = nullptr;
  if (call<PyArg_ParseTupleAndKeywords>(arguments, keywords, "OOO:Body", const_cast<char**>(kNames), &owner,
                                        &collector, &result) == 0) {
    return nullptr;
  }
  State* state = state_of(type);
  auto* self = state == nullptr ? nullptr : allocate<PyObject>(type);
  if (self == nullptr) return nullptr;
  body_of(self)->state = state;  // the rest is 0
  body_of(self)->call = Ref::to(owner).release();
  body_of(self)->collector = Ref::to(collector).release();
  body_of(self)->result = Ref::to(result).release();
  return self;
}

int body_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(body_of(self)->call);
  Py_VISIT(body_of(self)->collector);
  Py_VISIT(body_of(self)->result);
  Py_VISIT(body_of(self)->iterator);
  return 0;
}

int body_clear(PyObject* self) {
  Py_CLEAR(body_of(self)->call);
  Py_CLEAR(body_of(self)->collector);
  Py_CLEAR(body_of(self)->result);
  Py_CLEAR(body_of(self)->iterator);
  return 0;
}

// Tells the call its bytes and its end, once. False with an exception.
bool end(BodyObject& body) {
  const Ref owner = Ref::to(body.call);
  if (body.is_over || !owner) return true;
  body.is_over = true;
  const Ref size(PyLong_FromUnsignedLongLong(body.size));
  return size && Ref(call<PyObject_CallMethodOneArg>(owner.get(), body.state->name_end, size.get()));
}

// A server has to call close(); of one that does not, the request is sent all the same.
void body_finalize(PyObject* self) {
  const RaisedAside aside;
  if (!end(*body_of(self))) call<PyErr_Clear>();  // there is nobody to tell
}

void body_dealloc(PyObject* self) {
  if (PyObject_CallFinalizerFromDealloc(self) < 0) return;
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  body_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

// What the server makes of a body that raises before its first byte. The exception stays raised, unless one
// that is no ordinary error comes of it.
void tell_failure(const BodyObject& body) {
  const Ref owner = Ref::to(body.call);
  if (body.size != 0 || !owner) return;
  Ref raised = take_exception();
  if (!Ref(call<PyObject_CallMethodNoArgs>(owner.get(), body.state->name_failed))) {
    if (!is_ordinary_error()) return;
    call<PyErr_Clear>();
  }
  raise_again(std::move(raised));
}

// False with an exception that is no ordinary error.
bool count(BodyObject& body, PyObject* chunk) {
  const Py_ssize_t size =
      PyBytes_CheckExact(chunk) != 0 ? PyBytes_GET_SIZE(chunk) : call<PyObject_Size>(chunk);
  if (size >= 0) {
    body.size += static_cast<unsigned long long>(size);
    return true;
  }
  if (!is_ordinary_error()) return false;
  call<PyErr_Clear>();  // the server judges it
  return true;
}

PyObject* body_next(PyObject* self) {
  BodyObject& body = *body_of(self);
  Ref chunk;
  {
    const Current current(*body.state, body.collector != nullptr ? body.collector : Py_None);
    if (!current) return nullptr;
    if (body.iterator == nullptr) {
      const Ref result = Ref::to(body.result != nullptr ? body.result : Py_None);
      PyObject* made = call<PyObject_GetIter>(result.get());
      Ref old(std::exchange(body.iterator, made));
    }
    const Ref iterator = Ref::to(body.iterator);
    if (iterator) chunk = Ref(call<PyIter_Next>(iterator.get()));
  }
  if (!chunk) {
    if (PyErr_Occurred() != nullptr) tell_failure(body);
    return nullptr;
  }
  return count(body, chunk.get()) ? chunk.release() : nullptr;
}

// Calls the application's own close(), if it has one. False with an exception.
bool close_result(const BodyObject& body) {
  const Ref result = Ref::to(body.result);
  if (!result || PyList_CheckExact(result.get()) != 0 || PyTuple_CheckExact(result.get()) != 0) return true;
  const Ref close(call<PyObject_GetAttr>(result.get(), body.state->name_close));
  if (!close) {
    if (PyErr_ExceptionMatches(PyExc_AttributeError) == 0) return false;
    call<PyErr_Clear>();
    return true;
  }
  if (close.get() == Py_None) return true;
  const Current current(*body.state, body.collector != nullptr ? body.collector : Py_None);
  return current && Ref(call<PyObject_CallNoArgs>(close.get()));
}

PyObject* body_close(PyObject* self, PyObject* /*unused*/) {
  BodyObject& body = *body_of(self);
  if (!close_result(body)) {
    Ref raised = take_exception();
    if (!end(body)) {
      if (!is_ordinary_error()) return nullptr;
      call<PyErr_WriteUnraisable>(self);
    }
    raise_again(std::move(raised));
    return nullptr;
  }
  if (!end(body)) return nullptr;
  Py_RETURN_NONE;
}

PyMethodDef body_methods[] = {
    {"close", body_close, METH_NOARGS,
     PyDoc_STR("close($self, /)\n--\n\nClose the application's body, and end the request.")},
    {nullptr, nullptr, 0, nullptr}};

PyMemberDef body_members[] = {
    {"result", T_OBJECT, offsetof(BodyObject, result), READONLY, PyDoc_STR("What the application returned.")},
    {nullptr, 0, 0, 0, nullptr}};

PyDoc_STRVAR(body_doc,
             "Body(call, collector, result)\n--\n\n"
             "An application's iterable; collector is current while it runs. At its end call.end(bytes) is\n"
             "called, once; call.failed() before that if it raises before its first byte.");

PyType_Slot body_slots[] = {{Py_tp_doc, const_cast<char*>(body_doc)},
                            {Py_tp_new, reinterpret_cast<void*>(body_new)},
                            {Py_tp_dealloc, reinterpret_cast<void*>(body_dealloc)},
                            {Py_tp_finalize, reinterpret_cast<void*>(body_finalize)},
                            {Py_tp_traverse, reinterpret_cast<void*>(body_traverse)},
                            {Py_tp_clear, reinterpret_cast<void*>(body_clear)},
                            {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
                            {Py_tp_iternext, reinterpret_cast<void*>(body_next)},
                            {Py_tp_methods, body_methods},
                            {Py_tp_members, body_members},
                            {0, nullptr}};

PyType_Spec body_spec = {"pynba._native.Body", sizeof(BodyObject), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, body_slots};

}  // namespace

PyTypeObject* make_body_type(PyObject* module) {
  return reinterpret_cast<PyTypeObject*>(PyType_FromModuleAndSpec(module, &body_spec, nullptr));
}

}  // namespace pynba

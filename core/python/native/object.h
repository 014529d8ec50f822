// What all of the extension module needs of CPython: owned references, and no exception that crosses into it.
//
// Throughout: the GIL is held unless said otherwise. A function that returns PyObject* gives a new reference,
// or null with an exception set; one that returns bool, false with an exception set.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <cxxabi.h>
#include <structmember.h>
#include <unistd.h>

#include <exception>
#include <new>
#include <optional>
#include <utility>

namespace mmstats::python {

// Where a thread stays that the interpreter ends.
[[noreturn]] inline void wait_for_the_end() noexcept {
  for (;;) ::pause();
}

// act(), in which Python code may run. When the interpreter ends, it ends other threads that want the GIL
// back, which unwinds their stacks, as a C++ exception does, through whatever called Python. Such a thread
// waits here for the end of the process, as it does from Python 3.14 on: it may neither let go of an object,
// for it has no GIL, nor leave a function that throws nothing.
template <class Act>
auto run_python(Act&& act) noexcept {
  try {
    return std::forward<Act>(act)();
  } catch (...) {
    wait_for_the_end();
  }
}

// kFunction(args...), of CPython. All of its functions that may run Python code are called so: also those
// that only make or free an object that the collector tracks, for it may finalize others, and those that set
// an exception.
template <auto kFunction, class... Args>
auto call(Args... args) noexcept {
  // NOLINTNEXTLINE(bugprone-multi-level-implicit-pointer-conversion): some take a place of any type
  return run_python([&] { return kFunction(args...); });
}

// As PyErr_Format.
template <class... Args>
void set_error(PyObject* type, const char* format, Args... args) noexcept {
  (void)call<PyErr_Format>(type, format, args...);
}

// A reference that is given back. Any Python code may run then.
class Ref {
 public:
  Ref() = default;
  // Takes over a new one; or null.
  explicit Ref(PyObject* owned) noexcept : object_(owned) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref&& other) noexcept {
    const Ref before(std::exchange(object_, std::exchange(other.object_, nullptr)));
    return *this;
  }
  Ref(const Ref&) = delete;
  Ref& operator=(const Ref&) = delete;
  ~Ref() {
    // Without a thread state there is no GIL: a call was forgotten, and the interpreter ends this thread.
    if (object_ != nullptr && _PyThreadState_UncheckedGet() != nullptr) {
      run_python([this] { Py_DECREF(object_); });
    }
  }

  static Ref to(PyObject* borrowed) noexcept { return Ref(Py_XNewRef(borrowed)); }

  [[nodiscard]] PyObject* get() const noexcept { return object_; }
  [[nodiscard]] PyObject* release() noexcept { return std::exchange(object_, nullptr); }
  explicit operator bool() const noexcept { return object_ != nullptr; }

 private:
  PyObject* object_ = nullptr;
};

// Gives back a reference that a struct owns, or null.
template <class Object>
void clear(Object*& member) noexcept {
  const Ref before(reinterpret_cast<PyObject*>(std::exchange(member, nullptr)));
}

// The member keeps that from now on. `borrowed`: may be null.
inline void replace(PyObject*& member, PyObject* borrowed) noexcept {
  const Ref before(std::exchange(member, Py_XNewRef(borrowed)));
}

// Of a type that the collector tracks; all zeros. Null with an exception set: there is no memory.
template <class Object>
Object* allocate(PyTypeObject* type, Py_ssize_t items = 0) noexcept {
  return reinterpret_cast<Object*>(run_python([&] { return type->tp_alloc(type, items); }));
}
// The same without what follows the head.
template <class Object>
Object* allocate_bare(PyTypeObject* type) noexcept {
  return run_python([&] { return PyObject_GC_New(Object, type); });
}

// Sets the exception that stands for the one that is being handled.
inline void set_error_of_exception() noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    call<PyErr_NoMemory>();
  } catch (const std::exception& error) {
    set_error(PyExc_SystemError, "%s", error.what());
#ifdef __GLIBCXX__
  } catch (const abi::__forced_unwind&) {
    wait_for_the_end();  // a call was forgotten
#endif
  } catch (...) {
    set_error(PyExc_SystemError, "mmstats: an unknown exception");
  }
}

// act(), or `failed` with an exception set.
template <class Act, class Result>
Result guarded(Result failed, Act&& act) noexcept {
  try {
    return std::forward<Act>(act)();
  } catch (...) {
    set_error_of_exception();
    return failed;
  }
}

template <class Act>
PyObject* guarded(Act&& act) noexcept {
  return guarded(static_cast<PyObject*>(nullptr), std::forward<Act>(act));
}

// act() without the GIL. It must neither touch an object nor throw.
template <class Act>
auto without_gil(Act&& act) noexcept {
  struct Released {
    PyThreadState* state = PyEval_SaveThread();
    Released() = default;
    Released(const Released&) = delete;
    Released& operator=(const Released&) = delete;
    ~Released() {
      run_python([this] { PyEval_RestoreThread(state); });
    }
  };
  const Released released;
  return std::forward<Act>(act)();
}

// The same of what may throw std::bad_alloc: none with MemoryError set.
template <class Act>
auto without_gil_or_memory(Act&& act) noexcept {
  using Result = decltype(act());
  auto result = without_gil([&]() noexcept -> std::optional<Result> {
    try {
      return act();
    } catch (const std::bad_alloc&) {
      return std::nullopt;
    }
  });
  if (!result) call<PyErr_NoMemory>();
  return result;
}

// Keeps an exception that is set while other things are done.
class KeptError {
 public:
  KeptError() noexcept { PyErr_Fetch(&type_, &value_, &traceback_); }
  ~KeptError() { call<PyErr_Restore>(type_, value_, traceback_); }
  KeptError(const KeptError&) = delete;
  KeptError& operator=(const KeptError&) = delete;

 private:
  PyObject* type_ = nullptr;
  PyObject* value_ = nullptr;
  PyObject* traceback_ = nullptr;
};

// The end of every object of a heap type.
template <class Object>
void free_object(Object* self) noexcept {
  const Ref type(reinterpret_cast<PyObject*>(Py_TYPE(self)));
  Py_TYPE(self)->tp_free(self);
}

// repr(): "<Counter value=7>". `value`: or none with an exception set.
template <class Object>
PyObject* show(Object* self, const char* what, const Ref& value) noexcept {
  const Ref name(value ? call<PyType_GetName>(Py_TYPE(self)) : nullptr);
  return name ? call<PyUnicode_FromFormat>("<%U %s=%R>", name.get(), what, value.get()) : nullptr;
}

// PyMethodDef has one type for all functions.
template <class Function>
PyCFunction as_method(Function* function) noexcept {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace mmstats::python

#include "python/native/pynba_tags.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "python/native/pynba_ref.h"

namespace pynba {
namespace {

constexpr int kDeepest = 16;
// Of one set of tags: no datagram holds as many pairs.
constexpr std::size_t kMostPairs = 1000;
constexpr Py_ssize_t kMostVisited = 10'000;
constexpr Py_ssize_t kVisitsUntilSignals = 1000;

// Texts, numbers, bools and None: their text needs no foreign code.
bool append_plain(PyObject* value, std::string& out) {
  if (PyUnicode_CheckExact(value) != 0) {
    Py_ssize_t size = 0;
    const char* text = call<PyUnicode_AsUTF8AndSize>(value, &size);
    if (text == nullptr) {
      call<PyErr_Clear>();  // a lone surrogate: see append_text
      return false;
    }
    out.append(text, static_cast<std::size_t>(size));
    return true;
  }
  if (PyLong_CheckExact(value) != 0) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow != 0) return false;
    char digits[24];
    auto* const end = std::to_chars(std::begin(digits), std::end(digits), number).ptr;
    out.append(std::begin(digits), end);
    return true;
  }
  if (PyFloat_CheckExact(value) != 0) {
    char* digits = PyOS_double_to_string(PyFloat_AS_DOUBLE(value), 'r', 0, Py_DTSF_ADD_DOT_0, nullptr);
    if (digits == nullptr) {
      call<PyErr_Clear>();
      return false;
    }
    out.append(digits);
    PyMem_Free(digits);
    return true;
  }
  if (value == Py_True) return out.append("True"), true;
  if (value == Py_False) return out.append("False"), true;
  if (value == Py_None) return out.append("None"), true;
  return false;
}

bool append_unicode(PyObject* value, std::string& out) {
  Py_ssize_t size = 0;
  const char* text = call<PyUnicode_AsUTF8AndSize>(value, &size);
  if (text != nullptr) {
    out.append(text, static_cast<std::size_t>(size));
    return true;
  }
  if (PyErr_ExceptionMatches(PyExc_UnicodeError) == 0) return false;
  call<PyErr_Clear>();
  const Ref bytes(call<PyUnicode_AsEncodedString>(value, "utf-8", "backslashreplace"));
  if (!bytes) return false;
  out.append(PyBytes_AS_STRING(bytes.get()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get())));
  return true;
}

// -1 with an exception.
int is_instance(PyObject* value, PyObject*& cache, const char* name) {
  PyObject* type = imported(cache, "collections.abc", name);
  return type == nullptr ? -1 : call<PyObject_IsInstance>(value, type);
}

// Null with an exception.
PyObject* items_of(State& state, PyObject* mapping) {
  if (PyDict_CheckExact(mapping) != 0) return call<PyDict_Items>(mapping);
  const Ref items(call<PyObject_CallMethodNoArgs>(mapping, state.name_items));
  return items ? list_of(items.get(), kMostVisited + 1) : nullptr;  // one more than will be visited
}

}  // namespace

PyObject* list_of(PyObject* iterable, Py_ssize_t at_most) {
  const Ref iterator(call<PyObject_GetIter>(iterable));
  Ref list(iterator ? call<PyList_New>(0) : nullptr);
  while (list && PyList_GET_SIZE(list.get()) < at_most) {
    const Ref element(call<PyIter_Next>(iterator.get()));
    if (!element) break;
    if (call<PyList_Append>(list.get(), element.get()) != 0) return nullptr;
  }
  return PyErr_Occurred() == nullptr ? list.release() : nullptr;
}

bool append_text(PyObject* value, std::string& out) {
  if (append_plain(value, out)) return true;
  if (PyUnicode_Check(value) != 0) return append_unicode(value, out);
  if (PyBytes_Check(value) != 0) {
    out.append(PyBytes_AS_STRING(value), static_cast<std::size_t>(PyBytes_GET_SIZE(value)));
    return true;
  }
  const Ref text(call<PyObject_Str>(value));
  return text && append_unicode(text.get(), out);
}

TagTexts::Text TagTexts::put(std::string_view added) {
  const Text where{texts_.size(), added.size()};
  texts_.append(added);
  return where;
}

bool TagTexts::put(PyObject* value, Text& where) {
  const std::size_t begin = texts_.size();
  // Foreign code may run in str(): nobody but us has texts_, and a reference to it is good whatever it does.
  std::string made;
  if (!append_plain(value, texts_)) {
    texts_.resize(begin);
    if (!append_text(value, made)) return false;
    texts_ += made;
  }
  where = {begin, texts_.size() - begin};
  return true;
}

bool TagTexts::add_pair(Text name, Text value) {
  if (pairs_.size() == kMostPairs) {
    set_error(PyExc_ValueError, "more than %zu tags", kMostPairs);
    return false;
  }
  pairs_.push_back({name, value});
  return true;
}

// Counts an item or element. False with an exception if there were too many, or of a signal's handler.
bool TagTexts::visit_next() {
  if (visited_ == kMostVisited) {
    set_error(PyExc_ValueError, "more than %zd elements in tags", kMostVisited);
    return false;
  }
  return ++visited_ % kVisitsUntilSignals != 0 || call<PyErr_CheckSignals>() == 0;
}

// The usual case: a dict of plain names and values, in which no foreign code runs. False, with nothing added
// and no exception, if it is none.
bool TagTexts::add_plain(PyObject* dict) {
  const std::size_t texts = texts_.size();
  const std::size_t pairs = pairs_.size();
  Py_ssize_t at = 0;
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  while (PyDict_Next(dict, &at, &key, &value) != 0) {
    const std::size_t name = texts_.size();
    bool good = PyUnicode_CheckExact(key) != 0 && append_plain(key, texts_);
    const std::size_t middle = texts_.size();
    good = good && append_plain(value, texts_) && pairs_.size() < kMostPairs;
    if (!good) {
      texts_.resize(texts);
      pairs_.resize(pairs);
      return false;
    }
    pairs_.push_back({{name, middle - name}, {middle, texts_.size() - middle}});
  }
  return true;
}

bool TagTexts::tell_of(State& state, PyObject* key) {
  if (!is_ordinary_error()) return false;
  Ref raised = take_exception();
  std::string what = "tag ";
  if (!append_text(key, what)) {
    if (!is_ordinary_error()) return false;
    call<PyErr_Clear>();
  }
  raise_again(std::move(raised));
  return tell_left_out(state, what);
}

bool TagTexts::add_items(State& state, Text prefix, PyObject* mapping, int depth, bool is_outermost) {
  const Ref items(items_of(state, mapping));
  if (!items) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items.get()); ++i) {
    if (!visit_next()) return is_outermost && tell_left_out(state, "tags");
    PyObject* const item = PyList_GET_ITEM(items.get(), i);
    if (PyTuple_Check(item) == 0 || PyTuple_GET_SIZE(item) != 2) {
      set_error(PyExc_TypeError, "items() of tags must give pairs");
      return false;
    }
    PyObject* const key = PyTuple_GET_ITEM(item, 0);
    const std::size_t pairs = pairs_.size();
    std::string full(text(prefix));
    if (!is_outermost) full += '.';
    if (append_text(key, full) && add_value(state, put(full), PyTuple_GET_ITEM(item, 1), depth)) continue;
    if (!is_outermost) return false;
    pairs_.resize(pairs);
    if (!tell_of(state, key)) return false;
  }
  return true;
}

bool TagTexts::add_elements(State& state, Text name, PyObject* iterable, int depth) {
  const Ref iterator(call<PyObject_GetIter>(iterable));
  if (!iterator) return false;
  while (const Ref element = Ref(call<PyIter_Next>(iterator.get()))) {
    if (!visit_next() || !add_value(state, name, element.get(), depth)) return false;
  }
  return PyErr_Occurred() == nullptr;
}

bool TagTexts::add_value(State& state, Text name, PyObject* value, int depth) {
  const std::size_t begin = texts_.size();
  if (append_plain(value, texts_)) return add_pair(name, {begin, texts_.size() - begin});
  texts_.resize(begin);
  const auto add_as_text = [&] {
    Text where{};
    return put(value, where) && add_pair(name, where);
  };
  if (PyUnicode_Check(value) != 0 || PyBytes_Check(value) != 0 || PyLong_Check(value) != 0)
    return add_as_text();
  if (depth == kDeepest) {
    set_error(PyExc_ValueError, "tags are nested more than %d deep", kDeepest);
    return false;
  }
  if (PyCallable_Check(value) != 0) {
    const Ref result(call<PyObject_CallNoArgs>(value));
    return result && add_value(state, name, result.get(), depth + 1);
  }
  if (PyDict_Check(value) != 0) return add_items(state, name, value, depth + 1, false);
  if (PyList_Check(value) != 0 || PyTuple_Check(value) != 0 || PyAnySet_Check(value) != 0 ||
      PyIter_Check(value) != 0) {
    return add_elements(state, name, value, depth + 1);
  }
  int is = is_instance(value, state.mapping_type, "Mapping");
  if (is > 0) return add_items(state, name, value, depth + 1, false);
  if (is == 0) is = is_instance(value, state.sequence_type, "Sequence");
  if (is == 0) is = is_instance(value, state.set_type, "Set");
  if (is < 0) return false;
  return is > 0 ? add_elements(state, name, value, depth + 1) : add_as_text();
}

bool TagTexts::add(State& state, PyObject* tags) {
  if (PyDict_CheckExact(tags) != 0 && add_plain(tags)) return true;
  if (PyDict_Check(tags) == 0) {
    const int is = is_instance(tags, state.mapping_type, "Mapping");
    if (is < 0) return false;
    // Whatever has items() did for the original.
    if (is == 0 && call<PyObject_HasAttrString>(tags, "items") == 0) {
      set_error(PyExc_TypeError, "tags must be a mapping, not %.100s", Py_TYPE(tags)->tp_name);
      return false;
    }
  }
  return add_items(state, Text{texts_.size(), 0}, tags, 0, true);
}

void TagTexts::sort() {
  const auto before = [this](const Pair& a, const Pair& b) {
    return std::pair(text(a.name), text(a.value)) < std::pair(text(b.name), text(b.value));
  };
  const auto same = [this](const Pair& a, const Pair& b) {
    return text(a.name) == text(b.name) && text(a.value) == text(b.value);
  };
  std::ranges::sort(pairs_, before);
  pairs_.erase(std::unique(pairs_.begin(), pairs_.end(), same), pairs_.end());
}

PyObject* flattener(PyObject* module, PyObject* tags) {
  return guarded([&]() -> PyObject* {
    auto* state = static_cast<State*>(PyModule_GetState(module));
    TagTexts texts;
    if (!texts.add(*state, tags)) return nullptr;
    texts.sort();
    Ref list(call<PyList_New>(0));
    if (!list) return nullptr;
    bool good = true;
    texts.visit([&](std::string_view name, std::string_view value) {
      if (!good) return;
      const Ref pair(call<Py_BuildValue>("(NN)", as_unicode(name), as_unicode(value)));
      good = pair && call<PyList_Append>(list.get(), pair.get()) == 0;
    });
    return good ? list.release() : nullptr;
  });
}

}  // namespace pynba

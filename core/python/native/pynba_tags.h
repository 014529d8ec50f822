// Tags as programs write them -> pairs of texts.
#pragma once

#include <Python.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "python/native/pynba_state.h"

namespace pynba {

// Appends the text of `value` to `out`: of str and bytes themselves, else as str() has it; what has no UTF-8
// is escaped. False with an exception.
bool append_text(PyObject* value, std::string& out);

// A list of what `iterable` gives first, which is the caller's alone, whatever foreign code runs later. Null
// with an exception.
PyObject* list_of(PyObject* iterable, Py_ssize_t at_most);

// Owns the texts of one set of tags. Foreign code may run while tags are added; it cannot reach these texts.
class TagTexts {
 public:
  // Adds what a mapping stands for: text and numbers give a pair, a sequence or set one for each element, a
  // mapping NAME.KEY, recursively; a callable is called first. A tag that raises, is nested too deeply, or
  // has too many elements is logged and left out; of elements without end those that come after it too. False
  // with an exception that is no ordinary error, or if `tags` is no mapping (TypeError).
  bool add(State& state, PyObject* tags);

  // By name and value, each pair once; then visit() has them in that order.
  void sort();
  template <class Visit>
  void visit(Visit&& visit_pair) const {
    for (const Pair& pair : pairs_) visit_pair(text(pair.name), text(pair.value));
  }
  [[nodiscard]] std::size_t size() const { return pairs_.size(); }
  void clear() {
    texts_.clear();
    pairs_.clear();
    visited_ = 0;
  }

 private:
  struct Text {
    std::size_t begin;
    std::size_t size;
  };
  struct Pair {
    Text name;
    Text value;
  };

  [[nodiscard]] std::string_view text(Text where) const {
    return std::string_view(texts_).substr(where.begin, where.size);
  }
  Text put(std::string_view added);
  bool put(PyObject* value, Text& where);
  bool add_plain(PyObject* dict);
  bool add_items(State& state, Text prefix, PyObject* mapping, int depth, bool is_outermost);
  bool add_value(State& state, Text name, PyObject* value, int depth);
  bool add_elements(State& state, Text name, PyObject* iterable, int depth);
  bool add_pair(Text name, Text value);
  bool visit_next();
  static bool tell_of(State& state, PyObject* key);

  std::string texts_;
  std::vector<Pair> pairs_;
  Py_ssize_t visited_ = 0;  // items and elements, whether they gave a pair or not
};

// flattener(tags) -> list of pairs of texts.
PyObject* flattener(PyObject* module, PyObject* tags);

}  // namespace pynba

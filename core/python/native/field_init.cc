// What the classes of fields are made with: their arguments.
#include "python/native/field_init.h"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <tuple>

#include "python/native/text.h"

namespace mmstats::python {
namespace {

constexpr std::size_t kMostText = 65535;  // bytes of a value
constexpr long kMostSize = 65536;
constexpr long kMostSeconds = 3600;

// The arguments that fields have in common. Borrowed, or null: not given.
struct Common {
  PyObject* label = nullptr;
  PyObject* unit = nullptr;
  PyObject* help = nullptr;
};

bool set_common(FieldObject* self, const Common& common) noexcept {
  const auto& [label, unit, help] = common;
  if (label != nullptr && label != Py_None) {
    if (!PyUnicode_Check(label)) {
      set_error(PyExc_TypeError, "label must be a str, not %.200s", Py_TYPE(label)->tp_name);
      return false;
    }
    replace(self->label, PyUnicode_GET_LENGTH(label) > 0 ? label : Py_None);
  }
  for (const auto& [given, member, name] :
       {std::tuple(unit, &self->unit, "unit"), std::tuple(help, &self->help, "help")}) {
    if (given == nullptr || given == Py_None) continue;
    if (!PyUnicode_Check(given)) {
      set_error(PyExc_TypeError, "%s must be a str, not %.200s", name, Py_TYPE(given)->tp_name);
      return false;
    }
    replace(*member, given);
  }
  return true;
}

bool set_size(FieldObject* self, long size, long most, const char* name) noexcept {
  if (size < 1 || size > most) {
    set_error(PyExc_ValueError, "%s must be 1 to %ld, not %ld", name, most, size);
    return false;
  }
  self->size = static_cast<std::size_t>(size);
  return true;
}

bool set_precision(FieldObject* self, int precision) noexcept {
  if (precision != 4 && precision != 8 && precision != 16 && precision != 32) {
    set_error(PyExc_ValueError, "precision must be 4, 8, 16 or 32, not %d", precision);
    return false;
  }
  self->precision = static_cast<unsigned>(precision);
  return true;
}

bool set_kind(FieldObject* self, PyObject* kind) noexcept {
  if (kind == nullptr || kind == Py_None) return true;
  Utf8 word;
  if (!word.take(kind, "kind")) return false;
  const auto known = parse_kind(word.view());
  if (!known) {
    set_error(PyExc_ValueError, "kind must be counter, gauge, timestamp or state, not %R", kind);
    return false;
  }
  self->kind = static_cast<int>(*known);
  return true;
}

// PyArg_ParseTupleAndKeywords; it takes the names as char*.
template <std::size_t kCount, class... Into>
bool parse(PyObject* args, PyObject* keywords, const char* format, const char* const (&names)[kCount],
           Into*... into) noexcept {
  return call<PyArg_ParseTupleAndKeywords>(args, keywords, format, const_cast<char**>(names), into...) != 0;
}

}  // namespace

// Whether a number is what was made: a class may derive from several of ours, and an object get another
// class.
bool is_number(const FieldObject* self) noexcept {
  if (self->made_as->number != nullptr) return true;
  set_error(PyExc_TypeError, "%R was not made as a number", self);
  return false;
}

int init_counter(PyObject* object, PyObject* args, PyObject* keywords) {
  Common common;
  int shared = 0;
  static const char* const names[] = {"label", "unit", "help", "shared", nullptr};
  if (!parse(args, keywords, "|O$OOp:CounterField", names, &common.label, &common.unit, &common.help,
             &shared))
    return -1;
  field_of(object)->shared = shared != 0;
  return set_common(field_of(object), common) ? 0 : -1;
}

int init_shared_counter(PyObject* object, PyObject* args, PyObject* keywords) {
  Common common;
  static const char* const names[] = {"label", "unit", "help", nullptr};
  if (!parse(args, keywords, "|O$OO:SharedCounterField", names, &common.label, &common.unit, &common.help))
    return -1;
  field_of(object)->shared = true;
  return set_common(field_of(object), common) ? 0 : -1;
}

int init_average(PyObject* object, PyObject* args, PyObject* keywords) {
  Common common;
  static const char* const names[] = {"label", "unit", "help", nullptr};
  if (!parse(args, keywords, "|O$OO:AverageField", names, &common.label, &common.unit, &common.help))
    return -1;
  return set_common(field_of(object), common) ? 0 : -1;
}

namespace {

template <bool kSeconds>
int init_sized_average(PyObject* object, PyObject* args, PyObject* keywords) {
  Common common;
  long size = kSeconds ? 60 : 100;
  static const char* const names[] = {kSeconds ? "seconds" : "size", "label", "unit", "help", nullptr};
  if (!parse(args, keywords, kSeconds ? "|lO$OO:WindowAverageField" : "|lO$OO:MovingAverageField", names,
             &size, &common.label, &common.unit, &common.help)) {
    return -1;
  }
  return set_size(field_of(object), size, kSeconds ? kMostSeconds : kMostSize, names[0]) &&
                 set_common(field_of(object), common)
             ? 0
             : -1;
}

}  // namespace

int init_moving_average(PyObject* object, PyObject* args, PyObject* keywords) {
  return init_sized_average<false>(object, args, keywords);
}
int init_window_average(PyObject* object, PyObject* args, PyObject* keywords) {
  return init_sized_average<true>(object, args, keywords);
}

int init_timer(PyObject* object, PyObject* args, PyObject* keywords) {
  PyObject* timer = nullptr;
  Common common;
  long size = 100;
  static const char* const names[] = {"timer", "size", "label", "unit", "help", nullptr};
  if (!parse(args, keywords, "|OlO$OO:TimerField", names, &timer, &size, &common.label, &common.unit,
             &common.help))
    return -1;
  FieldObject* const self = field_of(object);
  if (timer != nullptr && timer != Py_None) {
    if (PyCallable_Check(timer) == 0) {
      set_error(PyExc_TypeError, "timer must be callable, not %.200s", Py_TYPE(timer)->tp_name);
      return -1;
    }
    replace(self->value, timer);
  }
  const Ref seconds(PyUnicode_InternFromString("seconds"));
  if (!seconds) return -1;
  replace(self->unit, seconds.get());
  return set_size(self, size, kMostSize, "size") && set_common(self, common) ? 0 : -1;
}

int init_histogram(PyObject* object, PyObject* args, PyObject* keywords) {
  Common common;
  int precision = 32;
  static const char* const names[] = {"label", "precision", "unit", "help", nullptr};
  if (!parse(args, keywords, "|O$iOO:HistogramField", names, &common.label, &precision, &common.unit,
             &common.help))
    return -1;
  return set_precision(field_of(object), precision) && set_common(field_of(object), common) ? 0 : -1;
}

namespace {

template <bool kSeconds>
int init_sized_histogram(PyObject* object, PyObject* args, PyObject* keywords) {
  Common common;
  long size = kSeconds ? 60 : 1000;
  int precision = 32;
  static const char* const names[] = {
      kSeconds ? "seconds" : "size", "label", "precision", "unit", "help", nullptr};
  if (!parse(args, keywords, kSeconds ? "|lO$iOO:WindowHistogramField" : "|lO$iOO:MovingHistogramField",
             names, &size, &common.label, &precision, &common.unit, &common.help)) {
    return -1;
  }
  return set_size(field_of(object), size, kSeconds ? kMostSeconds : kMostSize, names[0]) &&
                 set_precision(field_of(object), precision) && set_common(field_of(object), common)
             ? 0
             : -1;
}

}  // namespace

int init_moving_histogram(PyObject* object, PyObject* args, PyObject* keywords) {
  return init_sized_histogram<false>(object, args, keywords);
}
int init_window_histogram(PyObject* object, PyObject* args, PyObject* keywords) {
  return init_sized_histogram<true>(object, args, keywords);
}

namespace {

bool is_dimension(std::string_view name) noexcept {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && is_letter(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); }) &&
         !name.starts_with("__") && name != "le" && name != "quantile";
}

// A tuple of str.
bool check_dimensions(PyObject* names) noexcept {
  const Py_ssize_t count = PyTuple_GET_SIZE(names);
  if (count < 1 || count > 16) {
    set_error(PyExc_ValueError, "a family has 1 to 16 dimensions, not %zd", count);
    return false;
  }
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* const name = PyTuple_GET_ITEM(names, i);
    Utf8 text;
    if (!text.take(name, "a dimension")) return false;
    if (!is_dimension(text.view())) {
      set_error(PyExc_ValueError,
                "the dimension %R is no name as OpenMetrics has them: a letter or _, then letters, digits "
                "and _; not le, quantile or __...",
                name);
      return false;
    }
    for (Py_ssize_t before = 0; before < i; ++before) {
      const int order = call<PyUnicode_Compare>(PyTuple_GET_ITEM(names, before), name);
      if (order == -1 && PyErr_Occurred() != nullptr) return false;
      if (order != 0) continue;
      set_error(PyExc_ValueError, "the dimension %R is there twice", name);
      return false;
    }
  }
  return true;
}

}  // namespace

int init_family(PyObject* object, PyObject* args, PyObject* keywords) {
  FieldObject* const self = field_of(object);
  PyObject* field = nullptr;
  PyObject* dimensions = nullptr;
  Common common;
  Py_ssize_t max_series = 1000;
  long long expire_after = 0;
  static const char* const names[] = {"field", "dimensions", "label", "max_series", "expire_after", nullptr};
  if (!parse(args, keywords, "O!O|O$nL:FamilyField", names, self->state->field, &field, &dimensions,
             &common.label, &max_series, &expire_after)) {
    return -1;
  }
  const auto sort = field_of(field)->made_as->sort;
  if (sort >= FieldSort::kStaticNumber || sort == FieldSort::kFamily || sort == FieldSort::kInfo) {
    set_error(PyExc_TypeError, "there are no families of %.200s", Py_TYPE(field)->tp_name);
    return -1;
  }
  if (PyUnicode_Check(dimensions)) {
    set_error(PyExc_TypeError, "dimensions must be a sequence of str, not one str");
    return -1;
  }
  const Ref all(call<PySequence_Tuple>(dimensions));
  if (!all) return -1;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(all.get()); ++i) {
    if (PyUnicode_Check(PyTuple_GET_ITEM(all.get(), i))) continue;
    set_error(PyExc_TypeError, "dimensions must be a sequence of str");
    return -1;
  }
  if (!check_dimensions(all.get())) return -1;
  if (max_series < 1 || expire_after < 0) {
    set_error(PyExc_ValueError, "max_series must be 1 at least, and expire_after not negative");
    return -1;
  }
  self->max_series = static_cast<std::size_t>(max_series);
  // A hundred years: the library counts in nanoseconds.
  self->expire_after = std::min(expire_after, 100LL * 365 * 86400);
  const Ref name =
      Ref::to(common.label == nullptr || common.label == Py_None ? field_of(field)->label : common.label);
  replace(self->value, field);
  replace(self->dimensions, all.get());
  common.label = name.get();
  return set_common(self, common) ? 0 : -1;
}

namespace {

// False, perhaps with an exception set: it has not.
bool has_attribute(PyObject* object, const char* name) noexcept {
  // The interpreter keeps names that it looked up, at each address of them once more.
  const Ref interned(PyUnicode_InternFromString(name));
  if (!interned) return false;
  const Ref found(call<PyObject_GetAttr>(object, interned.get()));
  if (!found && PyErr_ExceptionMatches(PyExc_AttributeError) != 0) call<PyErr_Clear>();
  return static_cast<bool>(found);
}

}  // namespace

int init_info(PyObject* object, PyObject* args, PyObject* keywords) {
  PyObject* texts = nullptr;
  Common common;
  static const char* const names[] = {"texts", "label", "help", nullptr};
  if (!parse(args, keywords, "|OO$O:InfoField", names, &texts, &common.label, &common.help)) return -1;
  if (texts != nullptr) {
    if (texts != Py_None && PyCallable_Check(texts) == 0 && !has_attribute(texts, "items")) {
      if (PyErr_Occurred() == nullptr)
        set_error(PyExc_TypeError, "texts must be a dict of texts, or callable, not %.200s",
                  Py_TYPE(texts)->tp_name);
      return -1;
    }
    replace(field_of(object)->value, texts);
  }
  return set_common(field_of(object), common) ? 0 : -1;
}

namespace {

bool set_initial(FieldObject* self, PyObject* initial) noexcept {
  if (!is_number(self)) return false;
  if (initial == nullptr) return true;
  if (!self->made_as->number->convert(initial, self->raw)) return false;
  replace(self->value, initial);
  return true;
}

}  // namespace

int init_number(PyObject* object, PyObject* args, PyObject* keywords) {
  FieldObject* const self = field_of(object);
  PyObject* initial = nullptr;
  PyObject* kind = nullptr;
  Common common;
  int shared = 0;
  static const char* const names[] = {"label", "initial", "unit", "help", "kind", "shared", nullptr};
  if (!parse(args, keywords, "|OO$OOOp:NumberField", names, &common.label, &initial, &common.unit,
             &common.help, &kind, &shared))
    return -1;
  if (!is_number(self)) return -1;
  const char code = self->made_as->number->code;
  if (shared != 0 && (code == 'b' || code == 'B')) {
    set_error(PyExc_ValueError, "a byte cannot be shared");
    return -1;
  }
  self->shared = shared != 0;
  return set_initial(self, initial) && set_kind(self, kind) && set_common(self, common) ? 0 : -1;
}

int init_bool(PyObject* object, PyObject* args, PyObject* keywords) {
  FieldObject* const self = field_of(object);
  PyObject* initial = nullptr;
  PyObject* kind = nullptr;
  Common common;
  static const char* const names[] = {"initial", "label", "unit", "help", "kind", nullptr};
  if (!parse(args, keywords, "|OO$OOO:BoolField", names, &initial, &common.label, &common.unit, &common.help,
             &kind))
    return -1;
  // The original took it, too: each text is true.
  if (initial != nullptr && PyUnicode_Check(initial) &&
      call<PyErr_WarnFormat>(PyExc_RuntimeWarning, 1,
                             "BoolField(%R) begins as %s; if that is its label, write label=%R", initial,
                             PyUnicode_GET_LENGTH(initial) > 0 ? "True" : "False", initial) < 0) {
    return -1;
  }
  return set_initial(self, initial) && set_kind(self, kind) && set_common(self, common) ? 0 : -1;
}

int init_string(PyObject* object, PyObject* args, PyObject* keywords) {
  FieldObject* const self = field_of(object);
  PyObject* initial = nullptr;
  Common common;
  long size = 255;
  static const char* const names[] = {"size", "label", "initial", "unit", "help", nullptr};
  if (!parse(args, keywords, "|lO$OOO:StringField", names, &size, &common.label, &initial, &common.unit,
             &common.help))
    return -1;
  if (initial != nullptr) {
    Utf8 text;
    if (!text.take(initial, "initial")) return -1;
    replace(self->value, initial);
  }
  return set_size(self, size, kMostText, "size") && set_common(self, common) ? 0 : -1;
}

int init_static_number(PyObject* object, PyObject* args, PyObject* keywords) {
  PyObject* value = nullptr;
  Common common;
  static const char* const names[] = {"label", "value", "unit", "help", nullptr};
  if (!parse(args, keywords, "|OO$OO:StaticField", names, &common.label, &value, &common.unit, &common.help))
    return -1;
  if (value != nullptr) replace(field_of(object)->value, value);
  return set_common(field_of(object), common) ? 0 : -1;
}

int init_static_text(PyObject* object, PyObject* args, PyObject* keywords) {
  PyObject* value = nullptr;
  Common common;
  long size = 256;
  static const char* const names[] = {"label", "value", "size", "unit", "help", nullptr};
  if (!parse(args, keywords, "|OOl$OO:StaticTextField", names, &common.label, &value, &size, &common.unit,
             &common.help))
    return -1;
  if (value != nullptr) replace(field_of(object)->value, value);
  return set_size(field_of(object), size, kMostText, "size") && set_common(field_of(object), common) ? 0 : -1;
}

int init_system(PyObject* object, PyObject* args, PyObject* keywords) {
  Common common;
  static const char* const names[] = {"label", nullptr};
  if (!parse(args, keywords, "U:SystemField", names, &common.label)) return -1;
  for (const char* known : {"sys.pid", "sys.tid", "sys.uid", "sys.gid", "sys.created"}) {
    if (PyUnicode_CompareWithASCIIString(common.label, known) == 0)
      return set_common(field_of(object), common) ? 0 : -1;
  }
  set_error(PyExc_ValueError, "the library writes no field %R", common.label);
  return -1;
}

}  // namespace mmstats::python

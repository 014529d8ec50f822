#include "python/native/family_object.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "mmstats/family.h"
#include "python/native/average.h"
#include "python/native/counter.h"
#include "python/native/histogram.h"
#include "python/native/number.h"
#include "python/native/string.h"
#include "python/native/text.h"
#include "python/native/timer.h"

namespace mmstats::python {
namespace {

constexpr std::size_t kMostValues = 16;  // more dimensions no family has

struct FamilyObject;

// What the library keeps for a combination.
template <class Field>
struct Combination {
  Field field;
  PyObject* handle = nullptr;  // that some family keeps
};

struct FamilyObject {
  struct Kept {
    PyObject** known;  // Combination::handle
    PyObject* handle;  // owned
  };

  PyObject_HEAD Publication* publication;
  detail::FamilyTable* table;
  FieldObject* field;  // of the combinations
  PyObject* dimensions;
  PyObject* (*handle_of)(FamilyObject* self, void* combination);
  std::vector<Kept> kept;
};

// A new reference to the combination's handle, which is made if there is none.
template <class Field, class Make>
PyObject* keep_handle(FamilyObject* self, void* combination, Make make) {
  auto& known = *static_cast<Combination<Field>*>(combination);
  if (known.handle != nullptr) [[likely]]
    return Py_NewRef(known.handle);
  Ref handle(make(*self->publication, known.field, *self->field));
  if (!handle) return nullptr;
  // To make it may have run anything.
  if (known.handle == nullptr) {
    self->kept.push_back({&known.handle, handle.get()});
    known.handle = handle.release();
  }
  return Py_NewRef(known.handle);
}

// Says how the fields of combinations are made, and their handles.
template <class Field, class MakeField, class MakeHandle>
void describe_combinations(detail::FamilySpec& spec, FamilyObject* self, MakeField make_field,
                           MakeHandle /*stateless*/) {
  spec.handle_size = sizeof(Combination<Field>);
  spec.handle_alignment = alignof(Combination<Field>);
  spec.of_histograms = std::is_base_of_v<detail::Distribution, Field>;
  spec.make = [make_field](Model& model, std::string_view label, const About& about, void* into) {
    ::new (into) Combination<Field>{make_field(model, label, about), nullptr};
  };
  self->handle_of = [](FamilyObject* family, void* combination) {
    return keep_handle<Field>(family, combination, MakeHandle{});
  };
}

// False: there are no families of such fields (TypeError).
bool describe_field(detail::FamilySpec& spec, FamilyObject* self) {
  const FieldObject& field = *self->field;
  const auto size = field.size;
  const auto precision = field.precision;
  const auto as_average = [](Publication& publication, const auto& its, const FieldObject&) {
    return new_average(publication, its);
  };
  const auto as_histogram = [](Publication& publication, const auto& its, const FieldObject&) {
    return new_histogram(publication, its);
  };
  switch (field.made_as->sort) {
    case FieldSort::kCounter:
      describe_combinations<detail::Place>(
          spec, self,
          [shared = field.shared](Model& model, std::string_view label, const About& about) {
            return shared ? SharedCounter(model, label, about).place() : Counter(model, label, about).place();
          },
          [](Publication& publication, detail::Place place, const FieldObject& its) {
            return new_counter(publication, place, its.shared);
          });
      return true;
    case FieldSort::kNumber:
      describe_combinations<detail::Place>(
          spec, self,
          [type = field.made_as->number, raw = field.raw, shared = field.shared](
              Model& model, std::string_view label, const About& about) {
            return type->add_field(model, label, about, raw, shared);
          },
          [](Publication& publication, detail::Place place, const FieldObject& its) {
            return new_number(publication, *its.made_as->number, place, its.shared,
                              its.kind == static_cast<int>(Kind::kCounter));
          });
      return true;
    case FieldSort::kString:
      describe_combinations<StringField>(
          spec, self,
          [size](Model& model, std::string_view label, const About& about) {
            return StringField(model, label, about, size);
          },
          [](Publication& publication, const StringField& its, const FieldObject& of) {
            return new_string(publication, its, of.size);
          });
      return true;
    case FieldSort::kAverage:
      describe_combinations<Average>(
          spec, self,
          [](Model& model, std::string_view label, const About& about) {
            return Average(model, label, about);
          },
          as_average);
      return true;
    case FieldSort::kMovingAverage:
      describe_combinations<MovingAverage>(
          spec, self,
          [size](Model& model, std::string_view label, const About& about) {
            return MovingAverage(model, label, about, size);
          },
          as_average);
      return true;
    case FieldSort::kWindowAverage:
      describe_combinations<WindowAverage>(
          spec, self,
          [size](Model& model, std::string_view label, const About& about) {
            return WindowAverage(model, label, about, size);
          },
          as_average);
      return true;
    case FieldSort::kTimer:
      describe_combinations<MovingAverage>(
          spec, self,
          [size](Model& model, std::string_view label, const About& about) {
            return MovingAverage(model, label, about, size);
          },
          [](Publication& publication, const MovingAverage& its, const FieldObject& of) {
            return new_timer(publication, its, of.value);
          });
      return true;
    case FieldSort::kHistogram:
      describe_combinations<Histogram>(
          spec, self,
          [precision](Model& model, std::string_view label, const About& about) {
            return Histogram(model, label, about, precision);
          },
          as_histogram);
      return true;
    case FieldSort::kMovingHistogram:
      describe_combinations<MovingHistogram>(
          spec, self,
          [size, precision](Model& model, std::string_view label, const About& about) {
            return MovingHistogram(model, label, about, size, precision);
          },
          as_histogram);
      return true;
    case FieldSort::kWindowHistogram:
      describe_combinations<WindowHistogram>(
          spec, self,
          [size, precision](Model& model, std::string_view label, const About& about) {
            return WindowHistogram(model, label, about, size, precision);
          },
          as_histogram);
      return true;
    default:
      set_error(PyExc_TypeError, "there are no families of %.200s", Py_TYPE(self->field)->tp_name);
      return false;
  }
}

// ---- values

// The values of a combination, as texts.
class Values {
 public:
  Values() = default;
  Values(const Values&) = delete;
  Values& operator=(const Values&) = delete;
  ~Values() {
    for (std::size_t i = 0; i < held_count_; ++i) clear(held_[i]);
  }

  // False: there are too many, or a name is wrong (TypeError), or what str() raised.
  bool take(const FamilyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* names) noexcept;
  [[nodiscard]] const std::string_view* data() const noexcept { return texts_.data(); }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

 private:
  bool take(PyObject* value, std::size_t at) noexcept;
  bool take_named(const FamilyObject* self, PyObject* name, PyObject* value) noexcept;

  std::array<std::string_view, kMostValues> texts_;
  std::array<std::array<char, 24>, kMostValues> digits_;
  std::array<PyObject*, kMostValues> held_;  // the first held_count_, owned
  std::size_t held_count_ = 0;
  std::size_t count_ = 0;
};

bool Values::take(PyObject* value, std::size_t at) noexcept {
  if (PyUnicode_CheckExact(value)) [[likely]] {
    Py_ssize_t size = 0;
    if (const char* const bytes = call<PyUnicode_AsUTF8AndSize>(value, &size)) [[likely]] {
      texts_[at] = {bytes, static_cast<std::size_t>(size)};
      return true;
    }
    call<PyErr_Clear>();
  } else if (PyBool_Check(value)) {
    texts_[at] = value == Py_True ? "true" : "false";
    return true;
  } else if (PyLong_CheckExact(value)) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow == 0) {
      auto& digits = digits_[at];
      auto* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
      texts_[at] = {digits.data(), static_cast<std::size_t>(end - digits.data())};
      return true;
    }
  }
  // Whatever has to be made.
  Ref text = PyBytes_Check(value) ? Ref::to(value) : Ref(call<PyObject_Str>(value));
  if (text && PyUnicode_Check(text.get()))
    text = Ref(call<PyUnicode_AsEncodedString>(text.get(), "utf-8", "replace"));
  if (!text) return false;
  PyObject* const bytes = held_[held_count_++] = text.release();
  texts_[at] = {PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
  return true;
}

bool Values::take_named(const FamilyObject* self, PyObject* name, PyObject* value) noexcept {
  const Py_ssize_t dimensions = PyTuple_GET_SIZE(self->dimensions);
  for (Py_ssize_t i = 0; i < dimensions; ++i) {
    const int order = PyUnicode_Compare(PyTuple_GET_ITEM(self->dimensions, i), name);
    if (order == -1 && PyErr_Occurred() != nullptr) return false;
    if (order != 0) continue;
    const auto at = static_cast<std::size_t>(i);
    if (at < count_ && texts_[at].data() != nullptr) {
      set_error(PyExc_TypeError, "the dimension %R is given twice", name);
      return false;
    }
    count_ = std::max(count_, at + 1);
    return take(value, at);
  }
  set_error(PyExc_TypeError, "the family has no dimension %R", name);
  return false;
}

bool Values::take(const FamilyObject* self, PyObject* const* args, Py_ssize_t nargs,
                  PyObject* names) noexcept {
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  const Py_ssize_t most = std::min(PyTuple_GET_SIZE(self->dimensions), static_cast<Py_ssize_t>(kMostValues));
  if (nargs > most) {
    set_error(PyExc_TypeError, "the family has %zd dimensions, not %zd", most, nargs);
    return false;
  }
  for (Py_ssize_t i = 0; i < nargs; ++i) {
    if (!take(args[i], static_cast<std::size_t>(i))) return false;
  }
  count_ = static_cast<std::size_t>(nargs);
  for (Py_ssize_t i = 0; i < named; ++i) {
    if (!take_named(self, PyTuple_GET_ITEM(names, i), args[nargs + i])) return false;
  }
  return true;
}

// ---- the type

PyObject* family_with(FamilyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* names) {
  Values values;
  if (!values.take(self, args, nargs, names)) return nullptr;
  return guarded([&] {
    const void* const found = detail::find_combination(self->table, values.data(), values.size());
    // The library only keeps it; nobody else uses it.
    PyObject* const handle = self->handle_of(self, const_cast<void*>(found));
    self->publication->tell();
    return handle;
  });
}

PyObject* family_remove(FamilyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* names) {
  Values values;
  if (!values.take(self, args, nargs, names)) return nullptr;
  detail::remove_combination(self->table, values.data(), values.size());
  self->publication->tell();
  Py_RETURN_NONE;
}

PyObject* family_expire(FamilyObject* self, PyObject* /*unused*/) {
  const auto removed = without_gil([&] { return detail::expire_combinations(self->table); });
  self->publication->tell();
  return PyLong_FromSize_t(removed);
}

PyObject* family_get_dimensions(FamilyObject* self, void* /*closure*/) { return Py_NewRef(self->dimensions); }

int family_traverse(FamilyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(self->field);
  Py_VISIT(self->dimensions);
  for (const auto& kept : self->kept) Py_VISIT(kept.handle);
  return 0;
}

void drop_handles(FamilyObject* self) {
  auto all = std::exchange(self->kept, {});
  for (const auto& kept : all) {
    if (*kept.known == kept.handle) *kept.known = nullptr;
  }
  for (auto& kept : all) clear(kept.handle);
}

int family_clear(FamilyObject* self) {
  drop_handles(self);
  return 0;
}

void family_dealloc(FamilyObject* self) {
  PyObject_GC_UnTrack(self);
  drop_handles(self);
  std::destroy_at(&self->kept);
  clear(self->field);
  clear(self->dimensions);
  self->publication->drop();
  free_object(self);
}

PyObject* family_repr(FamilyObject* self) {
  return show(self, "dimensions", Ref(family_get_dimensions(self, nullptr)));
}

PyMethodDef kFamilyMethods[] = {
    {"with_", as_method(family_with), METH_FASTCALL | METH_KEYWORDS,
     "with_(*values, **named): the handle of one combination, with a value for each dimension."},
    {"labels", as_method(family_with), METH_FASTCALL | METH_KEYWORDS, "with_() as prometheus_client has it."},
    {"remove", as_method(family_remove), METH_FASTCALL | METH_KEYWORDS,
     "remove(*values, **named): hides the combination from readers until with_() asks for it again."},
    {"expire", as_method(family_expire), METH_NOARGS,
     "Removes combinations that were not used for expire_after; returns how many."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, nullptr},
    {},
};
PyGetSetDef kFamilyProperties[] = {
    {"dimensions", reinterpret_cast<getter>(family_get_dimensions), nullptr, "Their names.", nullptr},
    {},
};
PyType_Slot kFamilySlots[] = {
    {Py_tp_repr, reinterpret_cast<void*>(family_repr)},
    {Py_tp_doc, const_cast<char*>("One metric with a handle for each combination of its dimensions.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(family_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(family_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(family_clear)},
    {Py_tp_methods, kFamilyMethods},
    {Py_tp_getset, kFamilyProperties},
    {},
};
PyType_Spec kFamilySpec{
    .name = "mmstats._native.Family",
    .basicsize = sizeof(FamilyObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = kFamilySlots,
};

// What makes two families of one label and sort one.
std::string parameters_of(const FieldObject& field) {
  std::string all;
  const char code = field.made_as->number == nullptr ? '-' : field.made_as->number->code;
  for (const std::uint64_t each :
       {static_cast<std::uint64_t>(static_cast<unsigned char>(code)), static_cast<std::uint64_t>(field.size),
        static_cast<std::uint64_t>(field.precision), field.raw,
        static_cast<std::uint64_t>(field.shared ? 1 : 0)}) {
    all += std::to_string(each) + ' ';
  }
  return all;
}

}  // namespace

PyObject* new_family(Publication& publication, std::string_view label, const FamilyParts& parts) {
  FieldObject* const inner = parts.field;
  const auto said = about_of(*inner);
  if (!said) return nullptr;
  std::vector<Utf8> texts(static_cast<std::size_t>(PyTuple_GET_SIZE(parts.dimensions)));
  std::vector<std::string_view> dimensions;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (!texts[i].take(PyTuple_GET_ITEM(parts.dimensions, static_cast<Py_ssize_t>(i)), "a dimension"))
      return nullptr;
    dimensions.push_back(texts[i].view());
  }
  const FamilyAbout about{.unit = said->unit,
                          .help = said->help,
                          .kind = said->kind,
                          .max_series = parts.max_series,
                          .expire_after = parts.expire_after};
  const auto parameters = parameters_of(*inner);
  const auto made_by = "python " + std::to_string(static_cast<int>(inner->made_as->sort));

  auto* const family = allocate<FamilyObject>(publication.state().family);
  if (family == nullptr) return nullptr;
  ::new (&family->kept) std::vector<FamilyObject::Kept>();
  family->publication = publication.hold();
  Ref made(reinterpret_cast<PyObject*>(family));
  family->field = inner;
  Py_INCREF(inner);
  family->dimensions = Py_NewRef(parts.dimensions);
  detail::FamilySpec spec{.label = label,
                          .dimensions = dimensions,
                          .about = about,
                          .made_by = made_by,
                          .parameters = parameters,
                          .make = {}};
  if (!describe_field(spec, family)) return nullptr;
  family->table = detail::add_family(publication.model(), spec);
  return made.release();
}

bool add_family(PyObject* module, State& state) {
  state.family = add_type(module, kFamilySpec);
  return state.family != nullptr;
}

}  // namespace mmstats::python

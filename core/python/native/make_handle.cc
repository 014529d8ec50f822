// From what a class declares to what an instance has of it.
#include <chrono>
#include <optional>
#include <string_view>

#include "mmstats/fields.h"
#include "python/native/average.h"
#include "python/native/counter.h"
#include "python/native/family_object.h"
#include "python/native/field_object.h"
#include "python/native/histogram.h"
#include "python/native/info.h"
#include "python/native/number.h"
#include "python/native/publication.h"
#include "python/native/string.h"
#include "python/native/text.h"
#include "python/native/timer.h"

namespace mmstats::python {

std::optional<About> about_of(const FieldObject& field) {
  About about;
  Utf8 unit;
  Utf8 help;
  if (!unit.take(field.unit, "unit") || !help.take(field.help, "help")) return std::nullopt;
  about.unit = unit.view();
  about.help = help.view();
  if (field.kind >= 0) about.kind = static_cast<Kind>(field.kind);
  return about;
}

namespace {

// The value of a fact: what was given, or what calling that gives.
Ref evaluate(const FieldObject* field) noexcept {
  if (field->value == nullptr || field->value == Py_None) {
    set_error(PyExc_ValueError, "value must be set: %R", field);
    return {};
  }
  const Ref given = Ref::to(field->value);
  Ref value =
      PyCallable_Check(given.get()) != 0 ? Ref(call<PyObject_CallNoArgs>(given.get())) : Ref::to(given.get());
  if (value && value.get() == Py_None) {
    set_error(PyExc_ValueError, "value must be set, but calling it gave None: %R", field);
    return {};
  }
  return value;
}

// The beginning of `text` that has at most `size` bytes, in whole characters.
std::string_view cut_text(std::string_view text, std::size_t size) noexcept {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) --size;
  return text.substr(0, size);
}

PyObject* make_fact(FieldObject* field, Model& model, std::string_view label, const About& about) {
  const Ref value = evaluate(field);
  if (!value) return nullptr;
  if (const NumberType* const number = field->made_as->number) {
    std::uint64_t raw = 0;
    if (!number->convert(value.get(), raw)) return nullptr;
    number->add_fact(model, label, about, raw);
    return number->to_python(raw);
  }
  Utf8 text;
  if (!text.take(value.get(), "the value of a text field")) return nullptr;
  StaticTextField(model, label, text.view(), about, field->size);
  const auto cut = cut_text(text.view(), field->size);
  return decode_text(cut.substr(0, cut.find('\0')));
}

}  // namespace

PyObject* make_handle(FieldObject* field, Publication& publication, std::string_view label) {
  // __init__ of the field may run again, by whatever runs here, and replace them.
  const Ref value = Ref::to(field->value);
  const Ref dimensions = Ref::to(field->dimensions);
  Model& model = publication.model();
  const auto about = about_of(*field);
  if (!about) return nullptr;
  const auto size = field->size;
  switch (field->made_as->sort) {
    case FieldSort::kCounter:
      return new_counter(
          publication,
          field->shared ? SharedCounter(model, label, *about).place() : Counter(model, label, *about).place(),
          field->shared);
    case FieldSort::kAverage:
      return new_average(publication, Average(model, label, *about));
    case FieldSort::kMovingAverage:
      return new_average(publication, MovingAverage(model, label, *about, size));
    case FieldSort::kWindowAverage:
      return new_average(publication, WindowAverage(model, label, *about, size));
    case FieldSort::kTimer:
      return new_timer(publication, MovingAverage(model, label, *about, size), value.get());
    case FieldSort::kHistogram:
      return new_histogram(publication, Histogram(model, label, *about, field->precision));
    case FieldSort::kMovingHistogram:
      return new_histogram(publication, MovingHistogram(model, label, *about, size, field->precision));
    case FieldSort::kWindowHistogram:
      return new_histogram(publication, WindowHistogram(model, label, *about, size, field->precision));
    case FieldSort::kFamily:
      if (!value || !PyObject_TypeCheck(value.get(), field->state->field) || !dimensions) break;
      return new_family(publication, label,
                        {.field = field_of(value.get()),
                         .dimensions = dimensions.get(),
                         .max_series = field->max_series,
                         .expire_after = std::chrono::seconds(field->expire_after)});
    case FieldSort::kInfo:
      return new_info(publication, label, *about, value.get());
    case FieldSort::kNumber: {
      const NumberType& type = *field->made_as->number;
      return new_number(publication, type, type.add_field(model, label, *about, field->raw, field->shared),
                        field->shared, about->kind == Kind::kCounter);
    }
    case FieldSort::kString: {
      Utf8 initial;
      if (value && !initial.take(value.get(), "initial")) return nullptr;
      return new_string(publication, StringField(model, label, *about, size, initial.view()), size);
    }
    case FieldSort::kStaticNumber:
    case FieldSort::kStaticText:
      return make_fact(field, model, label, *about);
    case FieldSort::kSystem:
      set_error(PyExc_TypeError, "the library writes this field itself");
      return nullptr;
  }
  set_error(PyExc_TypeError, "__init__ of the field has not run");
  return nullptr;
}

}  // namespace mmstats::python

#include "python/native/info.h"

#include <new>

#include "python/native/string.h"
#include "python/native/text.h"

namespace mmstats::python {
namespace {

constexpr std::size_t kInfoText = 255;  // bytes

struct InfoObject {
  PyObject_HEAD Publication* publication;
  std::string label;
  About about;
  PyObject* texts;  // a dict: key, String
};

// The text field of that key, which is made if there is none; null with an exception set. Others may replace
// it at any time.
Ref string_of(InfoObject* self, PyObject* key) {
  if (!PyUnicode_Check(key)) {
    set_error(PyExc_TypeError, "the key of a text must be a str, not %.200s", Py_TYPE(key)->tp_name);
    return {};
  }
  Ref known = Ref::to(call<PyDict_GetItemWithError>(self->texts, key));
  if (known || PyErr_Occurred() != nullptr) return known;
  Utf8 name;
  if (!name.take(key, "the key of a text")) return {};
  const auto label = self->label + '.' + std::string(name.view());
  Publication& publication = *self->publication;
  Ref made(
      new_string(publication, StringField(publication.model(), label, self->about, kInfoText), kInfoText));
  if (!made || call<PyDict_SetItem>(self->texts, key, made.get()) < 0) return {};
  publication.tell();
  return made;
}

bool set_text(InfoObject* self, PyObject* key, PyObject* value) {
  const Ref text(call<PyObject_Str>(value));
  if (!text) return false;
  const Ref string = string_of(self, key);
  return string && set_string(reinterpret_cast<StringObject*>(string.get()), text.get());
}

bool set_texts(InfoObject* self, PyObject* texts) {
  const Ref items(call<PyMapping_Items>(texts));
  if (!items) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items.get()); ++i) {
    const Ref item = Ref::to(PyList_GET_ITEM(items.get(), i));
    if (!PyTuple_Check(item.get()) || PyTuple_GET_SIZE(item.get()) != 2) {
      set_error(PyExc_TypeError, "a mapping's items are pairs");
      return false;
    }
    if (!set_text(self, PyTuple_GET_ITEM(item.get(), 0), PyTuple_GET_ITEM(item.get(), 1))) return false;
  }
  return true;
}

PyObject* info_set(InfoObject* self, PyObject* args, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    PyObject* texts = nullptr;
    if (call<PyArg_UnpackTuple>(args, "set", 0, 1, &texts) == 0) return nullptr;
    if (texts != nullptr && !set_texts(self, texts)) return nullptr;
    if (keywords != nullptr && !set_texts(self, keywords)) return nullptr;
    Py_RETURN_NONE;
  });
}

PyObject* info_get_value(InfoObject* self, void* /*closure*/) {
  Ref all(call<PyDict_New>());
  const Ref items(call<PyDict_Items>(self->texts));
  if (!all || !items) return nullptr;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items.get()); ++i) {
    PyObject* const item = PyList_GET_ITEM(items.get(), i);
    const Ref text(get_string(reinterpret_cast<StringObject*>(PyTuple_GET_ITEM(item, 1))));
    if (!text || call<PyDict_SetItem>(all.get(), PyTuple_GET_ITEM(item, 0), text.get()) < 0) return nullptr;
  }
  return all.release();
}

int info_traverse(InfoObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(self->texts);
  return 0;
}

// The dictionary stays: what runs here may still use it.
int info_clear(InfoObject* self) {
  call<PyDict_Clear>(self->texts);
  return 0;
}

void info_dealloc(InfoObject* self) {
  PyObject_GC_UnTrack(self);
  clear(self->texts);
  std::destroy_at(&self->label);
  std::destroy_at(&self->about);
  self->publication->drop();
  free_object(self);
}

PyObject* info_repr(InfoObject* self) { return show(self, "value", Ref(info_get_value(self, nullptr))); }

PyMethodDef kInfoMethods[] = {
    {"set", as_method(info_set), METH_VARARGS | METH_KEYWORDS,
     "set(texts={}, /, **more): sets these, as str(); other keys keep what they have."},
    {},
};
PyGetSetDef kInfoProperties[] = {
    {"value", reinterpret_cast<getter>(info_get_value), nullptr, "This thread's texts, by their keys.",
     nullptr},
    {},
};
PyType_Slot kInfoSlots[] = {
    {Py_tp_repr, reinterpret_cast<void*>(info_repr)},
    {Py_tp_doc, const_cast<char*>("Texts that belong together, each in a field LABEL.KEY.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(info_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(info_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(info_clear)},
    {Py_tp_methods, kInfoMethods},
    {Py_tp_getset, kInfoProperties},
    {},
};
PyType_Spec kInfoSpec{
    .name = "mmstats._native.Info",
    .basicsize = sizeof(InfoObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = kInfoSlots,
};

}  // namespace

PyObject* new_info(Publication& publication, std::string_view label, const About& about, PyObject* texts) {
  Ref given = Ref::to(texts);
  if (given && PyCallable_Check(given.get()) != 0) {
    given = Ref(call<PyObject_CallNoArgs>(given.get()));
    if (!given) return nullptr;
  }
  std::string its_label(label);
  About its_about = about;
  Ref known(call<PyDict_New>());
  auto* const info = known ? allocate_bare<InfoObject>(publication.state().info) : nullptr;
  if (info == nullptr) return nullptr;
  info->publication = publication.hold();
  ::new (&info->label) std::string(std::move(its_label));
  ::new (&info->about) About(std::move(its_about));
  info->texts = known.release();
  PyObject_GC_Track(info);
  Ref made(reinterpret_cast<PyObject*>(info));
  if (given && given.get() != Py_None && !set_texts(info, given.get())) return nullptr;
  return made.release();
}

bool add_info(PyObject* module, State& state) {
  state.info = add_type(module, kInfoSpec);
  return state.info != nullptr;
}

}  // namespace mmstats::python

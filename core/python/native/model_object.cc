#include "python/native/model_object.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "mmstats/parse.h"
#include "mmstats/snapshot.h"
#include "python/native/model_arguments.h"
#include "python/native/model_fields.h"
#include "python/native/text.h"

namespace mmstats::python {
namespace {

ModelObject* model_of(PyObject* object) { return reinterpret_cast<ModelObject*>(object); }

PyObject* model_new(PyTypeObject* type, PyObject* /*args*/, PyObject* /*keywords*/) {
  const Ref empty(PyUnicode_FromStringAndSize("", 0));
  if (!empty) return nullptr;
  auto* const self = allocate<ModelObject>(type);
  if (self == nullptr) return nullptr;
  ::new (&self->declared) DeclaredHandles();
  ::new (&self->last_path) std::string();
  self->label_prefix = Py_NewRef(empty.get());
  return reinterpret_cast<PyObject*>(self);
}

// `stats.hits` in half the time that the interpreter needs to find the field in the class and ask it.
PyObject* model_getattro(PyObject* object, PyObject* name) {
  ModelObject* const self = model_of(object);
  const auto* const pair = known_pair(self, name);
  if (self->known_version == Py_TYPE(object)->tp_version_tag) [[likely]] {
    if (pair[0].name == name) return Py_NewRef(pair[0].handle);
    if (pair[1].name == name) return Py_NewRef(pair[1].handle);
  }
  return PyObject_GenericGetAttr(object, name);
}

// Lets go of the publication: whoever keeps a handle keeps it from now on.
void end_publication(ModelObject* self) noexcept {
  Publication* const publication = std::exchange(self->publication, nullptr);
  if (publication == nullptr) return;
  publication->forget_owner();
  if (self->remove_at_exit && !self->removed) guarded(0, [&] { return publication->model().remove(), 0; });
  publication->drop();
}

bool begin(ModelObject* self, const ModelArguments& arguments) {
  State* const state = find_state(Py_TYPE(self));
  if (state == nullptr) return false;
  auto options = arguments.options();
  if (!options) return false;
  if (self->publication != nullptr) {  // made by what ran meanwhile
    set_error(PyExc_RuntimeError, "__init__ of the model runs twice");
    return false;
  }
  self->remove_at_exit = options->remove_at_exit;
  self->system_fields = options->system_fields;
  self->created = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  if (arguments.label_prefix != Py_None) replace(self->label_prefix, arguments.label_prefix);
  replace(self->on_error, arguments.on_error == Py_None ? nullptr : arguments.on_error);
  self->publication = new Publication(*state, std::move(*options), self);
  Publication& publication = *self->publication;
  const Publication::Hold hold(publication);
  const bool declared = declare_all(self, *state);
  if (declared && arguments.open != 0) publication.enter();
  publication.tell();
  return declared;
}

int model_init(PyObject* object, PyObject* args, PyObject* keywords) {
  ModelObject* const self = model_of(object);
  if (self->publication != nullptr) {
    set_error(PyExc_RuntimeError, "__init__ of the model runs twice");
    return -1;
  }
  ModelArguments arguments;
  if (!arguments.parse(args, keywords)) return -1;
  if (guarded(false, [&] { return begin(self, arguments); })) return 0;
  const KeptError kept;
  end_publication(self);
  forget_declared(self);
  return -1;
}

int model_traverse(ModelObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(self->on_error);
  return self->declared.traverse(visit, arg);
}

int model_clear(ModelObject* self) {
  clear(self->on_error);
  forget_declared(self);
  return 0;
}

void model_dealloc(ModelObject* self) {
  PyObject_GC_UnTrack(self);
  if (self->weak_references != nullptr) call<PyObject_ClearWeakRefs>(reinterpret_cast<PyObject*>(self));
  end_publication(self);
  model_clear(self);
  clear(self->label_prefix);
  std::destroy_at(&self->declared);
  std::destroy_at(&self->last_path);
  free_object(self);
}

// One of its files, if it has any.
PyObject* some_path(ModelObject* self) noexcept {
  Publication* const publication = self->publication;
  if (!self->last_path.empty() || publication == nullptr) return decode_path(self->last_path);
  const Publication::Hold hold(*publication);
  const auto paths = without_gil_or_memory([&] { return publication->model().paths(); });
  return paths ? decode_path(paths->empty() ? std::string() : paths->front()) : nullptr;
}

PyObject* model_repr(ModelObject* self) {
  const Ref name(call<PyType_GetName>(Py_TYPE(self)));
  const Ref path(some_path(self));
  return name && path ? call<PyUnicode_FromFormat>("<%U %R>", name.get(), path.get()) : nullptr;
}

void set_os_error(const Error& error, bool removed) noexcept {
  const Ref message(decode_text(removed ? "the model was removed" : std::string_view(error.message)));
  const Ref path(error.path.empty() ? Py_NewRef(Py_None) : decode_path(error.path));
  const int number = error.sys_errno == 0 ? EIO : error.sys_errno;
  const Ref exception(
      message && path ? call<PyObject_CallFunction>(PyExc_OSError, "iOO", number, message.get(), path.get())
                      : nullptr);
  if (exception)
    call<PyErr_SetObject>(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
}

// act(model) without the GIL, and an OSError if it fails.
template <class Act>
PyObject* do_with_files(ModelObject* self, Act&& act) noexcept {
  Publication* const publication = publication_of(self);
  if (publication == nullptr) return nullptr;
  const Publication::Hold hold(*publication);
  const auto done = without_gil_or_memory([&] { return act(publication->model()); });
  if (done && !*done) set_os_error(done->error(), self->removed);
  publication->tell();
  if (!done || !*done) return nullptr;
  Py_RETURN_NONE;
}

PyObject* model_open(ModelObject* self, PyObject* /*unused*/) {
  return do_with_files(self, [](Model& model) { return model.open(); });
}

PyObject* model_reopen(ModelObject* self, PyObject* /*unused*/) {
  return do_with_files(self, [](Model& model) { return model.reopen(); });
}

PyObject* model_flush(ModelObject* self, PyObject* args, PyObject* keywords) {
  int async = 0;
  PyObject* named = nullptr;  // borrowed
  if (keywords != nullptr) {
    for (const char* name : {"async", "async_"}) {
      PyObject* const given = call<PyDict_GetItemString>(keywords, name);
      if (given != nullptr) named = given;
    }
  }
  const Py_ssize_t wanted = named == nullptr ? 0 : 1;
  if (PyTuple_GET_SIZE(args) + (keywords == nullptr ? 0 : PyDict_GET_SIZE(keywords)) > 1 ||
      (keywords != nullptr && PyDict_GET_SIZE(keywords) != wanted)) {
    set_error(PyExc_TypeError, "flush(async_=False)");
    return nullptr;
  }
  if (PyTuple_GET_SIZE(args) == 1) named = PyTuple_GET_ITEM(args, 0);
  if (named != nullptr) async = call<PyObject_IsTrue>(named);
  if (async < 0) return nullptr;
  if (self->removed) Py_RETURN_NONE;
  return do_with_files(self,
                       [&](Model& model) { return model.flush(async != 0 ? Flush::kAsync : Flush::kSync); });
}

PyObject* model_remove(ModelObject* self, PyObject* /*unused*/) {
  self->removed = true;
  return do_with_files(self, [](Model& model) {
    model.remove();
    return Expected<void>();
  });
}

PyObject* model_add(ModelObject* self, PyObject* args, PyObject* keywords) {
  Publication* const publication = publication_of(self);
  if (publication == nullptr) return nullptr;
  PyObject* object = nullptr;
  PyObject* label = Py_None;
  static const char* const names[] = {"field", "label", nullptr};
  if (call<PyArg_ParseTupleAndKeywords>(args, keywords, "O!|O:add", const_cast<char**>(names),
                                        publication->state().field, &object, &label) == 0) {
    return nullptr;
  }
  auto* const field = reinterpret_cast<FieldObject*>(object);
  if (label == Py_None) label = label_of(field, field->key);
  if (label == nullptr) {
    set_error(PyExc_ValueError, "a field needs a label");
    return nullptr;
  }
  if (!PyUnicode_Check(label)) {
    set_error(PyExc_TypeError, "label must be a str, not %.200s", Py_TYPE(label)->tp_name);
    return nullptr;
  }
  const Ref held = Ref::to(label);
  Utf8 text;
  if (!text.take(label, "label")) return nullptr;
  const Publication::Hold hold(*publication);
  PyObject* const handle = guarded([&] { return make_handle(field, *publication, text.view()); });
  publication->tell();
  return handle;
}

// Of this thread's file now. False: an exception is set. Empty: there is none.
bool current_path(ModelObject* self, std::string& into) noexcept {
  Publication* const publication = publication_of(self);
  if (publication == nullptr) return false;
  if (self->removed) return true;
  const Publication::Hold hold(*publication);
  auto path = without_gil_or_memory([&] { return publication->model().path(); });
  publication->tell();
  if (!path) return false;
  into = std::move(*path);
  if (into.empty()) return true;
  return guarded(false, [&] { return self->last_path = into, true; });
}

PyObject* model_get_filename(ModelObject* self, void* /*closure*/) {
  std::string path;
  if (!current_path(self, path)) return nullptr;
  return decode_path(path.empty() ? self->last_path : path);
}

PyObject* model_get_filenames(ModelObject* self, void* /*closure*/) {
  Publication* const publication = publication_of(self);
  if (publication == nullptr) return nullptr;
  const Publication::Hold hold(*publication);
  const auto paths = without_gil_or_memory([&] { return publication->model().paths(); });
  if (!paths) return nullptr;
  Ref list(call<PyList_New>(0));
  for (const auto& path : *paths) {
    const Ref text(decode_path(path));
    if (!list || !text || call<PyList_Append>(list.get(), text.get()) < 0) return nullptr;
  }
  return list.release();
}

PyObject* model_get_size(ModelObject* self, void* /*closure*/) {
  std::string path;
  if (!current_path(self, path)) return nullptr;
  struct ::stat status{};
  const bool there = !path.empty() && ::stat(path.c_str(), &status) == 0;
  return PyLong_FromLongLong(there ? status.st_size : 0);
}

PyObject* model_get_label_prefix(ModelObject* self, void* /*closure*/) {
  return Py_NewRef(self->label_prefix);
}
PyObject* model_get_removed(ModelObject* self, void* /*closure*/) {
  return PyBool_FromLong(self->removed ? 1 : 0);
}

PyMethodDef kModelMethods[] = {
    {"open", as_method(model_open), METH_NOARGS,
     "Makes this thread's file now; again if somebody deleted it. OSError: why there is none."},
    {"reopen", as_method(model_reopen), METH_NOARGS,
     "Makes files again that were deleted or could not be made: this thread's and those of ended threads. "
     "OSError: "
     "why one of them cannot be."},
    {"flush", as_method(model_flush), METH_VARARGS | METH_KEYWORDS,
     "flush(async_=False): has the files written to disk, and waits for it unless async. Also as async, by a "
     "dictionary. OSError."},
    {"remove", as_method(model_remove), METH_NOARGS,
     "Takes all files of this process away, for good. Fields go on, on private memory."},
    {"add", as_method(model_add), METH_VARARGS | METH_KEYWORDS,
     "add(field, label=None): the handle of the field of that label, which is made if there is none. The "
     "label_prefix is put before the label."},
    {},
};
PyGetSetDef kModelProperties[] = {
    {"filename", reinterpret_cast<getter>(model_get_filename), nullptr,
     "Full path of this thread's file, which is made if need be; of the last one if it was removed.",
     nullptr},
    {"filenames", reinterpret_cast<getter>(model_get_filenames), nullptr,
     "Paths of all files that this process has of the model now.", nullptr},
    {"size", reinterpret_cast<getter>(model_get_size), nullptr,
     "Bytes of this thread's file; 0: there is none.", nullptr},
    {"label_prefix", reinterpret_cast<getter>(model_get_label_prefix), nullptr, "What all labels begin with.",
     nullptr},
    {"removed", reinterpret_cast<getter>(model_get_removed), nullptr, "Whether remove() was called.",
     nullptr},
    {},
};
PyMemberDef kModelMembers[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ModelObject, weak_references), READONLY, nullptr},
    {},
};
PyType_Slot kModelSlots[] = {
    {Py_tp_doc,
     const_cast<char*>("What a program publishes. Each thread that touches it has a file of its own.")},
    {Py_tp_new, reinterpret_cast<void*>(model_new)},
    {Py_tp_init, reinterpret_cast<void*>(model_init)},
    {Py_tp_dealloc, reinterpret_cast<void*>(model_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(model_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(model_clear)},
    {Py_tp_repr, reinterpret_cast<void*>(model_repr)},
    {Py_tp_getattro, reinterpret_cast<void*>(model_getattro)},
    {Py_tp_methods, kModelMethods},
    {Py_tp_getset, kModelProperties},
    {Py_tp_members, kModelMembers},
    {},
};
PyType_Spec kModelSpec{
    .name = "mmstats._native.Model",
    .basicsize = sizeof(ModelObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = kModelSlots,
};

// sys.created in a file.
std::optional<double> created_in(const std::string& path, const std::string& label) {
  const auto snapshot = read_snapshot(path);
  if (!snapshot) return std::nullopt;
  ParsedFile content;
  parse(snapshot->bytes, content);
  const auto found = std::ranges::find(content.fields, std::string_view(label), &Field::label);
  if (found == content.fields.end() || found->value.size() != sizeof(double)) return std::nullopt;
  double created = 0;
  std::memcpy(&created, found->value.data(), sizeof created);
  return created;
}

}  // namespace

PyObject* system_value(ModelObject* instance, PyObject* label) noexcept {
  Publication* const publication = publication_of(instance);
  if (publication == nullptr) return nullptr;
  if (!instance->system_fields) Py_RETURN_NONE;
  const auto is = [&](const char* name) { return PyUnicode_CompareWithASCIIString(label, name) == 0; };
  if (is("sys.pid")) return PyLong_FromLong(::getpid());
  if (is("sys.tid")) return PyLong_FromLong(::gettid());
  if (is("sys.uid")) return PyLong_FromUnsignedLong(::getuid());
  if (is("sys.gid")) return PyLong_FromUnsignedLong(::getgid());
  std::string path;
  Utf8 prefix;
  if (!current_path(instance, path) || !prefix.take(instance->label_prefix, "label_prefix")) return nullptr;
  if (path.empty()) return PyFloat_FromDouble(instance->created);
  const auto created =
      without_gil_or_memory([&] { return created_in(path, std::string(prefix.view()) + "sys.created"); });
  if (!created) return nullptr;
  return PyFloat_FromDouble(created->value_or(instance->created));
}

bool add_model(PyObject* module, State& state) {
  state.model = add_type(module, kModelSpec);
  return state.model != nullptr;
}

}  // namespace mmstats::python

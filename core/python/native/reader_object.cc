// Reading: `for label, value in Reader(data)`.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "mmstats/settle.h"
#include "python/native/module_state.h"
#include "python/native/number_type.h"
#include "python/native/text.h"

namespace mmstats::python {

// Files are read in hundreds, one after the other, and those of one program have the same labels in the same
// order.
struct ReaderMemory {
  static constexpr std::size_t kLabels = 1024;
  static constexpr std::size_t kMostLabel = 128;  // bytes
  static constexpr std::size_t kMostFields = 8192;

  ReaderMemory* hold() noexcept {
    ++holders;
    return this;
  }
  void drop() noexcept {
    if (--holders == 0) delete this;
  }

  std::size_t holders = 1;  // the module and its readers: a collection may free them in any order
  ParsedFile spare;         // of the reader that ended last: its memory
  std::vector<Ref> labels;  // the last ASCII label in the first places of a file; up to kLabels
};

namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30U;  // of a file: what a writer can be told to make

struct ReaderObject {
  PyObject_HEAD Reading* reading;  // owned; null: __init__ has not run
  ReaderMemory* memory;            // held; null as long as `reading` is
};

struct StatsIterator {
  PyObject_HEAD ReaderObject* reader;
  std::size_t next;
  PyObject* last;  // a Stat; or null
};

// ---- values

template <class T>
T load(const std::byte* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

PyObject* text_value(std::span<const std::byte> bytes) noexcept {
  const auto* const text = reinterpret_cast<const char*>(bytes.data());
  return decode_text({text, ::strnlen(text, bytes.size())});
}

// What is neither usual nor in this machine's order of bytes.
PyObject* unusual_value(const Field& field) noexcept {
  return guarded([&] {
    std::optional<PyObject*> first;
    for_each_item(field.type_text, field.value, [&](const Scalar& item) {
      if (first) return;
      first = std::visit(
          [](const auto& value) -> PyObject* {
            using Value = std::decay_t<decltype(value)>;
            if constexpr (std::is_same_v<Value, std::monostate>) {
              return Py_NewRef(Py_None);
            } else if constexpr (std::is_same_v<Value, std::string_view>) {
              return decode_text(value);
            } else {
              return to_python(value);
            }
          },
          item);
    });
    return first.value_or(nullptr) == nullptr && PyErr_Occurred() == nullptr ? Py_NewRef(Py_None) : *first;
  });
}

PyObject* value_of_field(const Field& field) noexcept {
  const ValueType& type = field.type;
  if (type.items == 1 && !type.swapped) [[likely]] {
    const std::byte* const at = field.value.data() + type.first_item;
    switch (type.code) {
      case 'Q':
      case 'L':
      case 'N':
        if (type.item_size == 8) return PyLong_FromUnsignedLongLong(load<std::uint64_t>(at));
        break;
      case 'q':
      case 'l':
      case 'n':
        if (type.item_size == 8) return PyLong_FromLongLong(load<std::int64_t>(at));
        break;
      case 'I':
        return PyLong_FromUnsignedLong(load<std::uint32_t>(at));
      case 'i':
        return PyLong_FromLong(load<std::int32_t>(at));
      case 'H':
        return PyLong_FromLong(load<std::uint16_t>(at));
      case 'h':
        return PyLong_FromLong(load<std::int16_t>(at));
      case 'B':
        return PyLong_FromLong(load<std::uint8_t>(at));
      case 'b':
        return PyLong_FromLong(load<std::int8_t>(at));
      case '?':
        return PyBool_FromLong(load<std::uint8_t>(at) != 0 ? 1 : 0);
      case 'f':
        return PyFloat_FromDouble(load<float>(at));
      case 'd':
        return PyFloat_FromDouble(load<double>(at));
      case 's':
        return text_value(field.value.subspan(type.first_item));
      default:
        break;
    }
  }
  return unusual_value(field);
}

// ---- the iterator

bool is_text(PyObject* text, std::string_view bytes) noexcept {
  return PyUnicode_IS_COMPACT_ASCII(text) &&
         PyUnicode_GET_LENGTH(text) == static_cast<Py_ssize_t>(bytes.size()) &&
         std::memcmp(PyUnicode_1BYTE_DATA(text), bytes.data(), bytes.size()) == 0;
}

// The label of the field in that place of a file.
Ref label_at(ReaderMemory& memory, std::size_t place, std::string_view label) noexcept {
  auto& labels = memory.labels;
  if (place < labels.size() && labels[place] && is_text(labels[place].get(), label)) [[likely]]
    return Ref::to(labels[place].get());
  Ref text(decode_text(label));
  if (text && place < ReaderMemory::kLabels && label.size() <= ReaderMemory::kMostLabel) {
    if (place < labels.size()) {
      labels[place] = Ref::to(text.get());
    } else if (place == labels.size()) {
      const KeptError none;
      (void)guarded(false, [&] { return labels.push_back(Ref::to(text.get())), true; });
    }
  }
  return text;
}

PyObject* next_stat(StatsIterator* self) {
  if (self->reader == nullptr) return nullptr;
  const auto& fields = self->reader->reading->content.fields;
  if (self->next >= fields.size()) return nullptr;
  const std::size_t place = self->next++;
  const Field& field = fields[place];
  Ref label = label_at(*self->reader->memory, place, field.label);
  if (!label) return nullptr;
  Ref value(value_of_field(field));
  if (!value) return nullptr;
#if PY_VERSION_HEX < 0x030E0000  // from then on a tuple remembers its hash
  // Nobody else has the last one any more, as in `for label, value in reader`.
  if (PyObject* const last = self->last; last != nullptr && Py_REFCNT(last) == 1) {
    const Ref label_before(
        std::exchange(reinterpret_cast<PyTupleObject*>(last)->ob_item[0], label.release()));
    const Ref value_before(
        std::exchange(reinterpret_cast<PyTupleObject*>(last)->ob_item[1], value.release()));
    return Py_NewRef(last);
  }
#endif
  auto* const type = reinterpret_cast<PyTypeObject*>(state_of(Py_TYPE(self)).stat);
  auto* const stat = allocate<PyObject>(type, 2);
  if (stat == nullptr) return nullptr;
  PyTuple_SET_ITEM(stat, 0, label.release());
  PyTuple_SET_ITEM(stat, 1, value.release());
  replace(self->last, stat);
  return stat;
}

int iterator_traverse(StatsIterator* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(self->reader);
  Py_VISIT(self->last);
  return 0;
}
int iterator_clear(StatsIterator* self) {
  clear(self->last);
  clear(self->reader);
  return 0;
}
void iterator_dealloc(StatsIterator* self) {
  PyObject_GC_UnTrack(self);
  iterator_clear(self);
  free_object(self);
}

PyType_Slot kIteratorSlots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(iterator_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(iterator_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(iterator_clear)},
    {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
    {Py_tp_iternext, reinterpret_cast<void*>(next_stat)},
    {},
};
PyType_Spec kIteratorSpec{
    .name = "mmstats._native.StatsIterator",
    .basicsize = sizeof(StatsIterator),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = kIteratorSlots,
};

// ---- the reader

void set_invalid_version(const State& state, std::span<const std::byte> bytes) noexcept {
  const Ref first(
      PyBytes_FromStringAndSize(reinterpret_cast<const char*>(bytes.data()), bytes.empty() ? 0 : 1));
  if (first) set_error(state.invalid_version, "%R", first.get());
}

// Gives the reader what it is to read. False: it is of another version.
bool fill_reader(const State& state, ReaderObject* reader, std::unique_ptr<Reading> reading) noexcept {
  const auto& bytes = reading->snapshot.bytes;
  if (bytes.empty() || bytes.front() != kVersion1) {
    set_invalid_version(state, bytes);
    return false;
  }
  delete std::exchange(reader->reading, reading.release());
  if (reader->memory == nullptr) reader->memory = state.reader_memory->hold();
  return true;
}

int reader_init(PyObject* self, PyObject* args, PyObject* keywords) {
  Py_buffer buffer;
  static const char* const names[] = {"data", nullptr};
  const State* const state = find_state(Py_TYPE(self));
  if (state == nullptr ||
      call<PyArg_ParseTupleAndKeywords>(args, keywords, "y*:Reader", const_cast<char**>(names), &buffer) == 0)
    return -1;
  const bool filled = guarded(false, [&] {
    auto reading = std::make_unique<Reading>();
    reading->content = std::exchange(state->reader_memory->spare, {});
    const auto* const bytes = static_cast<const std::byte*>(buffer.buf);
    reading->snapshot.bytes.assign(bytes, bytes + buffer.len);
    parse(reading->snapshot.bytes, reading->content);
    return fill_reader(*state, reinterpret_cast<ReaderObject*>(self), std::move(reading));
  });
  call<PyBuffer_Release>(&buffer);
  return filled ? 0 : -1;
}

// What it reads; null with an exception set: nothing.
const Reading* reading_of(const ReaderObject* self) noexcept {
  if (self->reading == nullptr) set_error(PyExc_RuntimeError, "__init__ of the reader has not run");
  return self->reading;
}

// The original followed links. `memory`: to parse into.
Expected<Reading> read_path(const std::string& path, bool settle, ParsedFile& memory) {
  const auto read = [&](const std::string& from) -> Expected<Reading> {
    if (settle) return read_settled(from, kMostBytes);
    auto snapshot = read_snapshot(from, kMostBytes);
    if (!snapshot) return tl::unexpected(std::move(snapshot.error()));
    Reading reading;
    reading.snapshot = std::move(*snapshot);
    reading.content = std::move(memory);
    parse(reading.snapshot.bytes, reading.content);
    return reading;
  };
  auto reading = read(path);
  if (reading || reading.error().kind != ErrorKind::kNotRegular) return reading;
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), std::free);
  return real == nullptr || path == real.get() ? std::move(reading) : read(real.get());
}

void set_read_error(const State& state, const Error& error, PyObject* path) noexcept {
  if (error.kind == ErrorKind::kUnfinished || error.kind == ErrorKind::kNotMmstats) {
    set_error(state.invalid_version, "%R: %s", path, error.message.c_str());
    return;
  }
  if (error.sys_errno != 0) {  // as open() says it
    errno = error.sys_errno;
    (void)call<PyErr_SetFromErrnoWithFilenameObject>(PyExc_OSError, path);
    return;
  }
  const int number = error.kind == ErrorKind::kTooLarge ? EFBIG : EINVAL;
  const Ref message(decode_text(error.message));
  const Ref exception(message ? call<PyObject_CallFunction>(PyExc_OSError, "iOO", number, message.get(), path)
                              : nullptr);
  if (exception)
    call<PyErr_SetObject>(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
}

PyObject* reader_from_path(PyObject* type, PyObject* args, PyObject* keywords) {
  PyObject* path = nullptr;
  int settle = 0;
  static const char* const names[] = {"path", "settle", nullptr};
  if (call<PyArg_ParseTupleAndKeywords>(args, keywords, "O|p:from_path", const_cast<char**>(names), &path,
                                        &settle) == 0)
    return nullptr;
  auto* const wanted = reinterpret_cast<PyTypeObject*>(type);
  const State* const state = find_state(wanted);
  std::string name;
  if (state == nullptr || !encode_path(path, name)) return nullptr;
  ParsedFile memory = std::exchange(state->reader_memory->spare, {});
  auto reading = without_gil_or_memory([&] { return read_path(name, settle != 0, memory); });
  if (!reading) return nullptr;
  if (!*reading) {
    set_read_error(*state, reading->error(), path);
    return nullptr;
  }
  Ref reader(allocate<PyObject>(wanted));
  const bool filled = reader && guarded(false, [&] {
                        return fill_reader(*state, reinterpret_cast<ReaderObject*>(reader.get()),
                                           std::make_unique<Reading>(std::move(**reading)));
                      });
  return filled ? reader.release() : nullptr;
}

void reader_dealloc(ReaderObject* self) {
  if (self->reading != nullptr && self->reading->content.fields.capacity() <= ReaderMemory::kMostFields)
    self->memory->spare = std::move(self->reading->content);
  delete self->reading;
  if (self->memory != nullptr) self->memory->drop();
  free_object(self);
}

PyObject* reader_iter(ReaderObject* self) {
  if (reading_of(self) == nullptr) return nullptr;
  PyTypeObject* const type = find_state(Py_TYPE(self))->stats_iterator;
  auto* const iterator = allocate_bare<StatsIterator>(type);
  if (iterator == nullptr) return nullptr;
  iterator->reader = self;
  Py_INCREF(self);
  iterator->next = 0;
  iterator->last = nullptr;
  PyObject_GC_Track(iterator);
  return reinterpret_cast<PyObject*>(iterator);
}

Py_ssize_t reader_length(ReaderObject* self) {
  const Reading* const reading = reading_of(self);
  return reading == nullptr ? -1 : static_cast<Py_ssize_t>(reading->content.fields.size());
}

PyObject* reader_get_version(ReaderObject* /*self*/, void* /*closure*/) { return PyLong_FromLong(1); }

PyObject* reader_get_damage(ReaderObject* self, void* /*closure*/) {
  const Reading* const reading = reading_of(self);
  if (reading == nullptr) return nullptr;
  const auto& damage = reading->content.damage;
  if (!damage) Py_RETURN_NONE;
  return guarded(
      [&] { return decode_text("byte " + std::to_string(damage->offset) + ": " + damage->message); });
}

PyMethodDef kReaderMethods[] = {
    {"from_path", as_method(reader_from_path), METH_VARARGS | METH_KEYWORDS | METH_CLASS,
     "from_path(path, settle=False): reads a file; until no value is torn, if it is to settle."},
    {},
};
PyGetSetDef kReaderProperties[] = {
    {"version", reinterpret_cast<getter>(reader_get_version), nullptr, "1.", nullptr},
    {"damage", reinterpret_cast<getter>(reader_get_damage), nullptr,
     "What ended the list of fields early, and at which byte; None: nothing did.", nullptr},
    {},
};
PyType_Slot kReaderSlots[] = {
    {Py_tp_doc,
     const_cast<char*>("Reader(data): iterates the label and value of each field in the bytes of a file.")},
    {Py_tp_new, reinterpret_cast<void*>(PyType_GenericNew)},
    {Py_tp_init, reinterpret_cast<void*>(reader_init)},
    {Py_tp_dealloc, reinterpret_cast<void*>(reader_dealloc)},
    {Py_tp_iter, reinterpret_cast<void*>(reader_iter)},
    {Py_sq_length, reinterpret_cast<void*>(reader_length)},
    {Py_tp_methods, kReaderMethods},
    {Py_tp_getset, kReaderProperties},
    {},
};
PyType_Spec kReaderSpec{
    .name = "mmstats._native.Reader",
    .basicsize = sizeof(ReaderObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = kReaderSlots,
};

}  // namespace

void forget_reader_memory(State& state) noexcept {
  if (state.reader_memory != nullptr) std::exchange(state.reader_memory, nullptr)->drop();
}

bool add_reader(PyObject* module, State& state) {
  state.reader_memory = guarded(static_cast<ReaderMemory*>(nullptr), [] { return new ReaderMemory; });
  if (state.reader_memory == nullptr) return false;
  const Ref collections(call<PyImport_ImportModule>("collections"));
  const Ref make(collections ? call<PyObject_GetAttrString>(collections.get(), "namedtuple") : nullptr);
  const Ref args(make ? call<Py_BuildValue>("(s(ss))", "Stat", "label", "value") : nullptr);
  const Ref keywords(args ? call<Py_BuildValue>("{ss}", "module", "mmstats.reader") : nullptr);
  state.stat = keywords ? call<PyObject_Call>(make.get(), args.get(), keywords.get()) : nullptr;
  if (state.stat == nullptr || call<PyModule_AddObjectRef>(module, "Stat", state.stat) < 0) return false;
  state.invalid_version = call<PyErr_NewExceptionWithDoc>(
      "mmstats.reader.InvalidMmStatsVersion", "The bytes are of no version that is known.", nullptr, nullptr);
  if (state.invalid_version == nullptr ||
      call<PyModule_AddObjectRef>(module, "InvalidMmStatsVersion", state.invalid_version) < 0) {
    return false;
  }
  state.stats_iterator =
      reinterpret_cast<PyTypeObject*>(call<PyType_FromModuleAndSpec>(module, &kIteratorSpec, nullptr));
  state.reader = add_type(module, kReaderSpec);
  return state.stats_iterator != nullptr && state.reader != nullptr;
}

}  // namespace mmstats::python

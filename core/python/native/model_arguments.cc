#include "python/native/model_arguments.h"

#include <stdlib.h>

#include <cstring>
#include <string>
#include <string_view>

#include "python/native/text.h"

namespace mmstats::python {
namespace {

// What {CMD} stands for: the script's name, as in the original, and not "python3".
std::string command_name() {
  PyObject* const argv = PySys_GetObject("argv");  // borrowed
  std::string name;
  if (argv != nullptr && PyList_Check(argv) && PyList_GET_SIZE(argv) > 0) {
    const Ref first = Ref::to(PyList_GET_ITEM(argv, 0));
    if (!encode_path(first.get(), name)) call<PyErr_Clear>();
  }
  name.erase(0, name.rfind('/') + 1);  // of npos 0
  constexpr std::size_t kMostBytes = 100;
  if (name.size() > kMostBytes) name.resize(kMostBytes);
  return name.empty() || name == "-c" || name == "-m" ? "python" : name;
}

void put_command(std::string& pattern) {
  constexpr std::string_view kCommand = "{CMD}";
  if (pattern.find(kCommand) == std::string::npos) return;
  const auto command = command_name();
  for (std::size_t at = 0; (at = pattern.find(kCommand, at)) != std::string::npos; at += command.size())
    pattern.replace(at, kCommand.size(), command);
}

const char* environment(const char* name) { return ::secure_getenv(name); }

bool set_paths(ModelOptions& options, PyObject* path, PyObject* file_name) {
  if (path != Py_None) {
    if (!encode_path(path, options.path)) return false;
  } else if (const char* const chosen = environment("MMSTATS_PATH")) {
    // Only if there is something to put in: the library says more of folders that it chose.
    if (std::strstr(chosen, "{CMD}") != nullptr) options.path = chosen;
  }
  put_command(options.path);
  if (file_name != Py_None) {
    if (!encode_path(file_name, options.file_name)) return false;
  } else if (const char* const chosen = environment("MMSTATS_FILES")) {
    options.file_name = chosen;
  }
  if (options.file_name.empty()) options.file_name = "{CMD}-{PID}-{TID}.mmstats";
  put_command(options.file_name);
  return true;
}

}  // namespace

bool ModelArguments::parse(PyObject* args, PyObject* keywords) noexcept {
  static const char* const names[] = {"path",           "filename", "label_prefix",   "system_fields",
                                      "remove_at_exit", "mode",     "max_file_bytes", "on_error",
                                      "open",           nullptr};
  return call<PyArg_ParseTupleAndKeywords>(args, keywords, "|OOO$ppOnOp:Model", const_cast<char**>(names),
                                           &path, &file_name, &label_prefix, &system_fields, &remove_at_exit,
                                           &mode, &max_file_bytes, &on_error, &open) != 0;
}

std::optional<ModelOptions> ModelArguments::options() const {
  ModelOptions options;
  options.dot_after_prefix = false;
  if (label_prefix != Py_None) {
    if (!PyUnicode_Check(label_prefix)) {
      set_error(PyExc_TypeError, "label_prefix must be a str, not %.200s", Py_TYPE(label_prefix)->tp_name);
      return std::nullopt;
    }
    Utf8 prefix;
    if (!prefix.take(label_prefix, "label_prefix")) return std::nullopt;
    options.label_prefix = prefix.view();
  }
  if (!set_paths(options, path, file_name)) return std::nullopt;
  if (mode != Py_None) {
    const unsigned long value = call<PyLong_AsUnsignedLong>(mode);
    if (value == ~0UL && PyErr_Occurred() != nullptr) return std::nullopt;
    constexpr unsigned long kMostMode = 0777;
    if (value > kMostMode) {
      set_error(PyExc_ValueError, "mode=%lu is no set of permissions: they are written as 0o%lu", value,
                value <= 777 ? value : 640UL);
      return std::nullopt;
    }
    options.mode = static_cast<unsigned>(value);
  }
  if (on_error != Py_None && PyCallable_Check(on_error) == 0) {
    set_error(PyExc_TypeError, "on_error must be callable, not %.200s", Py_TYPE(on_error)->tp_name);
    return std::nullopt;
  }
  options.system_fields = system_fields != 0;
  options.remove_at_exit = remove_at_exit != 0;
  constexpr Py_ssize_t kLeastFile = 64 << 10;
  constexpr Py_ssize_t kMostFile = 1 << 30;
  if (max_file_bytes < kLeastFile || max_file_bytes > kMostFile) {
    set_error(PyExc_ValueError, "max_file_bytes must be %zd to %zd, not %zd", kLeastFile, kMostFile,
              max_file_bytes);
    return std::nullopt;
  }
  options.max_file_bytes = static_cast<std::size_t>(max_file_bytes);
  return options;
}

}  // namespace mmstats::python

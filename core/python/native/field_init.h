// __init__ of the classes of fields. Each: 0, or -1 with an exception set.
#pragma once

#include "python/native/field_object.h"

namespace mmstats::python {

// Whether a number is what was made: a class may derive from several of ours, and an object get another
// class.
bool is_number(const FieldObject* self) noexcept;

int init_counter(PyObject* object, PyObject* args, PyObject* keywords);
int init_shared_counter(PyObject* object, PyObject* args, PyObject* keywords);
int init_average(PyObject* object, PyObject* args, PyObject* keywords);
int init_moving_average(PyObject* object, PyObject* args, PyObject* keywords);
int init_window_average(PyObject* object, PyObject* args, PyObject* keywords);
int init_timer(PyObject* object, PyObject* args, PyObject* keywords);
int init_histogram(PyObject* object, PyObject* args, PyObject* keywords);
int init_moving_histogram(PyObject* object, PyObject* args, PyObject* keywords);
int init_window_histogram(PyObject* object, PyObject* args, PyObject* keywords);
int init_family(PyObject* object, PyObject* args, PyObject* keywords);
int init_info(PyObject* object, PyObject* args, PyObject* keywords);
int init_number(PyObject* object, PyObject* args, PyObject* keywords);
int init_bool(PyObject* object, PyObject* args, PyObject* keywords);
int init_string(PyObject* object, PyObject* args, PyObject* keywords);
int init_static_number(PyObject* object, PyObject* args, PyObject* keywords);
int init_static_text(PyObject* object, PyObject* args, PyObject* keywords);
int init_system(PyObject* object, PyObject* args, PyObject* keywords);

}  // namespace mmstats::python

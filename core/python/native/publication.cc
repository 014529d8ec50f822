#include "python/native/publication.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "python/native/model_object.h"
#include "python/native/text.h"

namespace mmstats::python {
namespace {

detail::Place begin_of(std::uint32_t number) {
  const auto entry = static_cast<std::uint16_t>(std::min(number, detail::kFastModels));
  const auto* const files = reinterpret_cast<const char*>(&detail::thread_files[entry]);
  return {number, entry, static_cast<std::int32_t>(files - detail::thread_base()), 0};
}

// logging.getLogger("mmstats").warning("%s", line)
Ref warn(PyObject* line) {
  const Ref logging(call<PyImport_ImportModule>("logging"));
  if (!logging) return {};
  const Ref logger(call<PyObject_CallMethod>(logging.get(), "getLogger", "s", "mmstats"));
  if (!logger) return {};
  return Ref(call<PyObject_CallMethod>(logger.get(), "warning", "sO", "%s", line));
}

int raise_kept(void* kept) {
  const Ref exception(static_cast<PyObject*>(kept));
  call<PyErr_SetObject>(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
  return -1;
}

// Has the exception that is set raised in the main thread, once that runs Python code. False, and it stays
// set: it is none that ends programs, or there is no room for it.
bool raise_later() noexcept {
  if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) == 0 && PyErr_ExceptionMatches(PyExc_SystemExit) == 0)
    return false;
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) return false;
  PyObject* type = nullptr;
  PyObject* exception = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &exception, &traceback);
  call<PyErr_NormalizeException>(&type, &exception, &traceback);
  if (Py_AddPendingCall(raise_kept, exception) < 0) {
    call<PyErr_Restore>(type, exception, traceback);
    return false;
  }
  clear(type);
  clear(traceback);
  return true;
}

}  // namespace

Publication::Publication(State& state, ModelOptions options, ModelObject* owner)
    : state_(state),
      owner_(owner),
      model_([&] {
        options.on_error = [this](const Error& error) { keep(error); };
        return std::move(options);
      }()),
      begin_(begin_of(model_.number())) {}

Publication::ToldList::~ToldList() {
  for (Told* told = last.load(); told != nullptr;) delete std::exchange(told, told->next);
}

void Publication::enter(detail::Place place) noexcept {
  // Of models after the first, places are never known.
  if (detail::has_entered(place)) return;
  without_gil([&] { (void)place.in_thread(); });
  tell();
}

void Publication::make_shared(detail::Place place) noexcept {
  const auto* const known = detail::find_shared(place);
  if (known == nullptr || known->load(std::memory_order_acquire) != nullptr) return;
  without_gil([&] { (void)place.in_shared(); });
  tell();
}

void Publication::keep(const Error& error) noexcept {
  try {
    auto told = std::make_unique<Told>(Told{error.text(), told_.last.load()});
    while (!told_.last.compare_exchange_weak(told->next, told.get())) {
    }
    (void)told.release();
  } catch (const std::bad_alloc&) {
    // There is nothing to say it with.
  }
}

void Publication::tell_all() noexcept {
  const KeptError kept;
  const Hold hold(*this);  // whoever is told may let go of the model
  Told* in_order = nullptr;
  for (Told* told = told_.last.exchange(nullptr); told != nullptr;) {
    Told* const next = std::exchange(told->next, in_order);
    in_order = std::exchange(told, next);
  }
  while (in_order != nullptr) {
    const std::unique_ptr<Told> told(std::exchange(in_order, in_order->next));
    const Ref line(decode_text(told->text));
    const Ref on_error = Ref::to(owner_ == nullptr ? nullptr : owner_->on_error);
    Ref result;
    if (line) {
      result = on_error ? Ref(call<PyObject_CallOneArg>(on_error.get(), line.get())) : warn(line.get());
    }
    if (!result && !raise_later()) call<PyErr_WriteUnraisable>(on_error.get());
  }
}

}  // namespace mmstats::python

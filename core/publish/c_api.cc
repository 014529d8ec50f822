// The C interface, function by function in the order of mmstats.h: hence more than 400 lines.
#define MMSTATS_NO_INLINE
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <unordered_map>
#include <utility>
#include <variant>

#include "base/guest_call.h"
#include "format/file_name.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "mmstats/mmstats.h"
#include "mmstats/model.h"
#include "publish/models.h"
#include "publish/thread_tables.h"

using mmstats::About;
using mmstats::Kind;

struct mmstats_model {
  mmstats::ModelOptions options;
  std::unique_ptr<mmstats::Model> model;  // made with the first field, when the options are known
  // That the caller has, by label and type: what is asked for again is the same.
  std::unordered_map<std::string, std::shared_ptr<void>> handles;
  // Both under the lock of the whole library: one more would have to be kept through each fork.
  using Hold = mmstats::Models::Hold;

  // Throws std::bad_alloc.
  mmstats::Model& get() {
    std::unique_ptr<mmstats::Model> made;
    mmstats::ModelOptions chosen;
    {
      const Hold hold;
      if (model) return *model;
      chosen = options;
    }
    // Without the lock, as it is the Model that takes it, and as who is told may call anything.
    made = std::make_unique<mmstats::Model>(std::move(chosen));
    const Hold hold;
    if (!model) model = std::move(made);
    return *model;
  }
};

// Begins with what the inline function in mmstats.h knows of it.
struct mmstats_counter {
  explicit mmstats_counter(const mmstats::Counter& counter)
      : where(counter.place().where()), field(counter) {}
  // One that no thread has by itself.
  explicit mmstats_counter(const mmstats::SharedCounter& counter)
      : where(mmstats::place_of(mmstats::kNoNumber, 0).where()), field(counter) {}

  std::uint64_t where;
  std::variant<mmstats::Counter, mmstats::SharedCounter> field;
};
static_assert(std::is_standard_layout_v<mmstats_counter>);

struct mmstats_string {
  mmstats::StringField field;
};

struct mmstats_average {
  std::variant<mmstats::Average, mmstats::MovingAverage, mmstats::WindowAverage> field;
};

struct mmstats_histogram {
  std::variant<mmstats::Histogram, mmstats::MovingHistogram, mmstats::WindowHistogram> field;
};

// A number whose type is known when the program runs.
struct mmstats_number {
  mmstats_number() = default;
  mmstats_number(const mmstats_number&) = delete;
  mmstats_number& operator=(const mmstats_number&) = delete;
  virtual ~mmstats_number() = default;
  virtual void set(std::int64_t value) noexcept = 0;
  virtual void set_unsigned(std::uint64_t value) noexcept = 0;
  virtual void set_double(double value) noexcept = 0;
  virtual void add(std::int64_t amount) noexcept = 0;
  [[nodiscard]] virtual double value() const noexcept = 0;
  [[nodiscard]] virtual double total() const noexcept = 0;
};

namespace {

constexpr const char* kVersion = MMSTATS_VERSION;

template <class T>
T bounded(double value) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(value);
  } else {
    using Limits = std::numeric_limits<T>;
    if (std::isnan(value)) return 0;
    if (value <= static_cast<double>(Limits::min())) return Limits::min();
    // The largest may not be a double; then the next one above it is.
    if (value >= static_cast<double>(Limits::max())) return Limits::max();
    return static_cast<T>(value);
  }
}

template <class T, bool kShared>
class NumberOf final : public mmstats_number {
 public:
  NumberOf(mmstats::Model& model, std::string_view label, const About& about, bool buffered)
      : cell_(model, label, about, Kind::kGauge, T{}, buffered), only_grows_(about.kind == Kind::kCounter) {}
  void set(std::int64_t value) noexcept override { cell_.store(static_cast<T>(value)); }
  void set_unsigned(std::uint64_t value) noexcept override { cell_.store(static_cast<T>(value)); }
  void set_double(double value) noexcept override { cell_.store(bounded<T>(value)); }
  void add(std::int64_t amount) noexcept override {
    if (only_grows_ && amount < 0) return cell_.refuse();
    if constexpr (std::is_same_v<T, bool>) {
      cell_.store(amount != 0 || cell_.load());
    } else {
      cell_.add(static_cast<T>(amount));
    }
  }
  [[nodiscard]] double value() const noexcept override { return static_cast<double>(cell_.load()); }
  [[nodiscard]] double total() const noexcept override { return static_cast<double>(cell_.total()); }

 private:
  mmstats::detail::Cell<T, kShared> cell_;
  bool only_grows_;
};

const char* text_or_empty(const char* text) { return text == nullptr ? "" : text; }

About about(const char* unit, const char* help, std::optional<Kind> kind = {}) {
  return {.unit = text_or_empty(unit), .help = text_or_empty(help), .kind = kind};
}

// What two handles differ in beside their labels, and their classes.
struct Which {
  std::uint64_t type = 0;
  std::uint64_t kind = 0;
  std::uint64_t size = 0;
  bool shared = false;
};

// What `make` gives for a Model and a label, kept with `model`; null if there is no memory, whatever it
// throws.
template <class Handle, class Field, class Make>
Handle* keep(mmstats_model* model, const char* label, const Which& which, Make&& make) noexcept {
  const mmstats::GuestCall guest;
  if (model == nullptr) return nullptr;
  try {
    const std::string name = text_or_empty(label);
    auto key = std::string(typeid(Field).name()) + '\0' + std::to_string(which.type) + ',' +
               std::to_string(which.kind) + ',' + std::to_string(which.size) + (which.shared ? 's' : 't') +
               name;
    mmstats::Model& fields = model->get();
    {
      const mmstats_model::Hold hold;
      const auto known = model->handles.find(key);
      if (known != model->handles.end()) return static_cast<Handle*>(known->second.get());
    }
    // Without the lock, as who is told may call anything. Of two that are made at once both are one field.
    std::shared_ptr<Handle> made = make(fields, name);
    if (made == nullptr) return nullptr;
    const mmstats_model::Hold hold;
    return static_cast<Handle*>(model->handles.emplace(std::move(key), std::move(made)).first->second.get());
  } catch (...) {
    return nullptr;
  }
}

template <class Handle, class Field, class... Size>
Handle* make_handle(mmstats_model* model, const char* label, const char* unit, const char* help,
                    Size... size) noexcept {
  const Which which{.size = (std::uint64_t{0} + ... + size)};
  return keep<Handle, Field>(model, label, which, [&](mmstats::Model& fields, const std::string& name) {
    return std::make_unique<Handle>(Handle{Field(fields, name, about(unit, help), size...)});
  });
}

// Calls `act` with a value of the C++ type that `type` stands for. False: it stands for none.
template <class Act>
bool with_type(mmstats_type type, Act&& act) {
  switch (type) {
    case MMSTATS_INT64:
      act(std::int64_t{});
      return true;
    case MMSTATS_UINT64:
      act(std::uint64_t{});
      return true;
    case MMSTATS_INT32:
      act(std::int32_t{});
      return true;
    case MMSTATS_UINT32:
      act(std::uint32_t{});
      return true;
    case MMSTATS_INT16:
      act(std::int16_t{});
      return true;
    case MMSTATS_UINT16:
      act(std::uint16_t{});
      return true;
    case MMSTATS_BYTE:
      act(std::int8_t{});
      return true;
    case MMSTATS_UBYTE:
      act(std::uint8_t{});
      return true;
    case MMSTATS_BOOL:
      act(bool{});
      return true;
    case MMSTATS_FLOAT:
      act(float{});
      return true;
    case MMSTATS_DOUBLE:
      act(double{});
      return true;
  }
  return false;
}

std::optional<Kind> to_kind(mmstats_kind kind, mmstats_type type) {
  switch (kind) {
    case MMSTATS_DEFAULT:
      return type == MMSTATS_BOOL ? Kind::kState : Kind::kGauge;
    case MMSTATS_COUNTER:
      return Kind::kCounter;
    case MMSTATS_GAUGE:
      return Kind::kGauge;
    case MMSTATS_TIMESTAMP:
      return Kind::kTimestamp;
    case MMSTATS_STATE:
      return Kind::kState;
    case MMSTATS_PROPERTY:
      return Kind::kProperty;
  }
  return std::nullopt;
}

template <bool kShared>
mmstats_number* make_number(mmstats_model* model, mmstats_type type, mmstats_kind kind, const char* label,
                            const char* unit, const char* help) noexcept {
  const auto known_kind = to_kind(kind, type);
  if (!known_kind) return nullptr;
  const Which which{.type = static_cast<std::uint64_t>(type),
                    .kind = static_cast<std::uint64_t>(*known_kind),
                    .shared = kShared};
  return keep<mmstats_number, mmstats_number>(
      model, label, which, [&](mmstats::Model& fields, const std::string& name) {
        std::unique_ptr<mmstats_number> number;
        with_type(type, [&]<class T>(T) {
          if constexpr (!kShared || sizeof(T) > 1) {
            number = std::make_unique<NumberOf<T, kShared>>(fields, name, about(unit, help, known_kind),
                                                            sizeof(T) > 1);
          }
        });
        return number;
      });
}

template <class Value>
int make_static(mmstats_model* model, mmstats_type type, const char* label, Value value) noexcept {
  const mmstats::GuestCall guest;
  if (model == nullptr) return ENOMEM;
  try {
    const bool known = with_type(type, [&]<class T>(T) {
      const auto converted =
          std::is_same_v<Value, double> ? bounded<T>(static_cast<double>(value)) : static_cast<T>(value);
      mmstats::StaticField<T>(model->get(), text_or_empty(label), converted);
    });
    return known ? 0 : EINVAL;
  } catch (...) {
    return ENOMEM;
  }
}

template <class Set>
int set_option(mmstats_model* model, Set&& set) noexcept {
  const mmstats::GuestCall guest;
  if (model == nullptr) return ENOMEM;
  try {
    const mmstats_model::Hold hold;
    if (model->model) return EBUSY;
    set(model->options);
    return 0;
  } catch (...) {
    return ENOMEM;
  }
}

int errno_of(const mmstats::Error& error) { return error.sys_errno == 0 ? EIO : error.sys_errno; }

double seconds_since(std::uint64_t started) {
  return static_cast<double>(static_cast<std::int64_t>(mmstats_clock() - started)) * 1e-9;
}

template <class Handle>
double add_since(Handle* handle, std::uint64_t started) {
  const double seconds = seconds_since(started);
  if (handle != nullptr) std::visit([&](auto& field) { field.add(seconds); }, handle->field);
  return seconds;
}

}  // namespace

const char* mmstats_version(void) { return kVersion; }

mmstats_model* mmstats_model_new(const char* label_prefix) {
  const mmstats::GuestCall guest;
  try {
    auto model = std::make_unique<mmstats_model>();
    model->options.label_prefix = text_or_empty(label_prefix);
    return model.release();
  } catch (...) {
    return nullptr;
  }
}

int mmstats_model_set_path(mmstats_model* model, const char* path) {
  return set_option(model, [&](auto& options) { options.path = text_or_empty(path); });
}

int mmstats_model_set_file_name(mmstats_model* model, const char* file_name) {
  return set_option(model, [&](auto& options) { options.file_name = text_or_empty(file_name); });
}

int mmstats_model_set_mode(mmstats_model* model, unsigned mode) {
  if (!mmstats::is_file_mode(mode)) return EINVAL;
  return set_option(model, [&](auto& options) { options.mode = mode; });
}

int mmstats_model_set_system_fields(mmstats_model* model, bool system_fields) {
  return set_option(model, [&](auto& options) { options.system_fields = system_fields; });
}

int mmstats_model_set_max_file_bytes(mmstats_model* model, std::size_t max_file_bytes) {
  return set_option(model, [&](auto& options) { options.max_file_bytes = max_file_bytes; });
}

int mmstats_model_set_remove_at_exit(mmstats_model* model, bool remove_at_exit) {
  return set_option(model, [&](auto& options) { options.remove_at_exit = remove_at_exit; });
}

int mmstats_model_set_on_error(mmstats_model* model, void (*on_error)(void*, const char*), void* context) {
  return set_option(model, [&](auto& options) {
    options.on_error = nullptr;
    if (on_error == nullptr) return;
    options.on_error = [on_error, context](const mmstats::Error& error) {
      on_error(context, error.text().c_str());
    };
  });
}

int mmstats_model_open(mmstats_model* model, char* reason, std::size_t size) {
  const mmstats::GuestCall guest;
  if (model == nullptr) return ENOMEM;
  try {
    const auto opened = model->get().open();
    if (opened) return 0;
    if (reason != nullptr && size > 0) {
      const auto text = opened.error().text();
      const std::size_t length = std::min(text.size(), size - 1);
      std::memcpy(reason, text.data(), length);
      reason[length] = '\0';
    }
    return errno_of(opened.error());
  } catch (...) {
    return ENOMEM;
  }
}

int mmstats_model_flush(mmstats_model* model, bool async) {
  const mmstats::GuestCall guest;
  if (model == nullptr) return ENOMEM;
  try {
    const auto flushed = model->get().flush(async ? mmstats::Flush::kAsync : mmstats::Flush::kSync);
    return flushed ? 0 : errno_of(flushed.error());
  } catch (...) {
    return ENOMEM;
  }
}

int mmstats_survive_cut_files(void) {
  const auto installed = mmstats::survive_cut_files();
  return installed ? 0 : errno_of(installed.error());
}

int mmstats_model_reopen(mmstats_model* model) {
  const mmstats::GuestCall guest;
  if (model == nullptr) return ENOMEM;
  try {
    const auto reopened = model->get().reopen();
    return reopened ? 0 : errno_of(reopened.error());
  } catch (...) {
    return ENOMEM;
  }
}

void mmstats_model_remove(mmstats_model* model) {
  const mmstats::GuestCall guest;
  if (model == nullptr) return;
  try {
    model->get().remove();
  } catch (const std::bad_alloc&) {
    // Then there is no file either.
  }
}

void mmstats_model_free(mmstats_model* model) {
  const mmstats::GuestCall guest;
  delete model;
}

mmstats_counter* mmstats_counter_new(mmstats_model* model, const char* label, const char* unit,
                                     const char* help) {
  return make_handle<mmstats_counter, mmstats::Counter>(model, label, unit, help);
}

mmstats_counter* mmstats_shared_counter_new(mmstats_model* model, const char* label, const char* unit,
                                            const char* help) {
  return make_handle<mmstats_counter, mmstats::SharedCounter>(model, label, unit, help);
}

void mmstats_counter_incr(mmstats_counter* counter, std::uint64_t amount) {
  if (counter != nullptr) std::visit([&](auto& field) { field.incr(amount); }, counter->field);
}

std::uint64_t mmstats_counter_value(const mmstats_counter* counter) {
  return counter == nullptr ? 0 : std::visit([](const auto& field) { return field.value(); }, counter->field);
}

std::uint64_t mmstats_counter_total(const mmstats_counter* counter) {
  return counter == nullptr ? 0 : std::visit([](const auto& field) { return field.total(); }, counter->field);
}

void mmstats_counter_set(mmstats_counter* counter, std::uint64_t value) {
  if (counter != nullptr) std::visit([&](auto& field) { field.set_value(value); }, counter->field);
}

mmstats_number* mmstats_number_new(mmstats_model* model, mmstats_type type, mmstats_kind kind,
                                   const char* label, const char* unit, const char* help) {
  return make_number<false>(model, type, kind, label, unit, help);
}

mmstats_number* mmstats_shared_number_new(mmstats_model* model, mmstats_type type, mmstats_kind kind,
                                          const char* label, const char* unit, const char* help) {
  return make_number<true>(model, type, kind, label, unit, help);
}

void mmstats_number_set(mmstats_number* number, std::int64_t value) {
  if (number != nullptr) number->set(value);
}

void mmstats_number_set_unsigned(mmstats_number* number, std::uint64_t value) {
  if (number != nullptr) number->set_unsigned(value);
}

void mmstats_number_set_double(mmstats_number* number, double value) {
  if (number != nullptr) number->set_double(value);
}

void mmstats_number_add(mmstats_number* number, std::int64_t amount) {
  if (number != nullptr) number->add(amount);
}

double mmstats_number_value(const mmstats_number* number) { return number == nullptr ? 0 : number->value(); }

double mmstats_number_total(const mmstats_number* number) { return number == nullptr ? 0 : number->total(); }

int mmstats_static_int(mmstats_model* model, mmstats_type type, const char* label, std::int64_t value) {
  return make_static(model, type, label, value);
}

int mmstats_static_double(mmstats_model* model, mmstats_type type, const char* label, double value) {
  return make_static(model, type, label, value);
}

int mmstats_static_text(mmstats_model* model, const char* label, const char* value, std::size_t size) {
  const mmstats::GuestCall guest;
  if (model == nullptr) return ENOMEM;
  try {
    mmstats::StaticTextField(model->get(), text_or_empty(label), text_or_empty(value), {}, size);
    return 0;
  } catch (...) {
    return ENOMEM;
  }
}

mmstats_string* mmstats_string_new(mmstats_model* model, const char* label, std::size_t size,
                                   const char* help) {
  return make_handle<mmstats_string, mmstats::StringField>(model, label, nullptr, help, size);
}

void mmstats_string_set(mmstats_string* string, const char* text) {
  if (string != nullptr) string->field.set(text_or_empty(text));
}

void mmstats_string_set_bytes(mmstats_string* string, const char* text, std::size_t size) {
  if (string != nullptr && (text != nullptr || size == 0)) string->field.set({text, size});
}

mmstats_average* mmstats_average_new(mmstats_model* model, const char* label, const char* unit,
                                     const char* help) {
  return make_handle<mmstats_average, mmstats::Average>(model, label, unit, help);
}

mmstats_average* mmstats_moving_average_new(mmstats_model* model, std::size_t size, const char* label,
                                            const char* unit, const char* help) {
  return make_handle<mmstats_average, mmstats::MovingAverage>(model, label, unit, help, size);
}

mmstats_average* mmstats_window_average_new(mmstats_model* model, std::size_t seconds, const char* label,
                                            const char* unit, const char* help) {
  return make_handle<mmstats_average, mmstats::WindowAverage>(model, label, unit, help, seconds);
}

void mmstats_average_add(mmstats_average* average, double value) {
  if (average != nullptr) std::visit([&](auto& field) { field.add(value); }, average->field);
}

double mmstats_average_add_since(mmstats_average* average, std::uint64_t started) {
  return add_since(average, started);
}

double mmstats_average_value(const mmstats_average* average) {
  return average == nullptr ? 0 : std::visit([](const auto& field) { return field.value(); }, average->field);
}

mmstats_histogram* mmstats_histogram_new(mmstats_model* model, const char* label, const char* unit,
                                         const char* help) {
  return make_handle<mmstats_histogram, mmstats::Histogram>(model, label, unit, help);
}

mmstats_histogram* mmstats_moving_histogram_new(mmstats_model* model, std::size_t size, const char* label,
                                                const char* unit, const char* help) {
  return make_handle<mmstats_histogram, mmstats::MovingHistogram>(model, label, unit, help, size);
}

mmstats_histogram* mmstats_window_histogram_new(mmstats_model* model, std::size_t seconds, const char* label,
                                                const char* unit, const char* help) {
  return make_handle<mmstats_histogram, mmstats::WindowHistogram>(model, label, unit, help, seconds);
}

void mmstats_histogram_add(mmstats_histogram* histogram, double value) {
  if (histogram != nullptr) std::visit([&](auto& field) { field.add(value); }, histogram->field);
}

double mmstats_histogram_add_since(mmstats_histogram* histogram, std::uint64_t started) {
  return add_since(histogram, started);
}

std::uint64_t mmstats_clock(void) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

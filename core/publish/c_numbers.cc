// The C interface to numbers whose types are known when the program runs, in the order of mmstats.h.
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/guest_call.h"
#include "mmstats/fields.h"
#include "mmstats/model.h"
#include "publish/c_family.h"
#include "publish/c_model.h"

using mmstats::About;
using mmstats::about;
using mmstats::handle_with;
using mmstats::keep;
using mmstats::keep_family;
using mmstats::Kind;
using mmstats::text_or_empty;
using mmstats::Which;

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

// Null: `type` is none, or cannot be shared.
template <bool kShared>
std::unique_ptr<mmstats_number> number_of(mmstats_type type, mmstats::Model& fields, std::string_view label,
                                          const About& said) {
  std::unique_ptr<mmstats_number> number;
  with_type(type, [&]<class T>(T) {
    if constexpr (!kShared || sizeof(T) > 1)
      number = std::make_unique<NumberOf<T, kShared>>(fields, label, said, sizeof(T) > 1);
  });
  return number;
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
        return number_of<kShared>(type, fields, name, about(unit, help, known_kind));
      });
}

template <bool kShared>
mmstats_family* make_number_family(mmstats_model* model, mmstats_type type, mmstats_kind kind,
                                   const char* label, const char* const* dimensions, const char* unit,
                                   const char* help) noexcept {
  const auto known_kind = to_kind(kind, type);
  const bool known_type =
      with_type(type, []<class T>(T) {}) &&
      !(kShared && (type == MMSTATS_BYTE || type == MMSTATS_UBYTE || type == MMSTATS_BOOL));
  if (!known_kind || !known_type) return nullptr;
  const Which which{.type = static_cast<std::uint64_t>(type),
                    .kind = static_cast<std::uint64_t>(*known_kind),
                    .shared = kShared};
  const auto make = [type](mmstats::Model& fields, std::string_view whole, const About& said) {
    return std::shared_ptr<mmstats_number>(number_of<kShared>(type, fields, whole, said));
  };
  const std::string made_by = std::string("number ") + static_cast<char>(type) + (kShared ? "s" : "t");
  return keep_family<mmstats_number>(model, label, dimensions, about(unit, help, known_kind), which, made_by,
                                     make);
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

}  // namespace

mmstats_number* mmstats_number_new(mmstats_model* model, mmstats_type type, mmstats_kind kind,
                                   const char* label, const char* unit, const char* help) {
  return make_number<false>(model, type, kind, label, unit, help);
}

mmstats_number* mmstats_shared_number_new(mmstats_model* model, mmstats_type type, mmstats_kind kind,
                                          const char* label, const char* unit, const char* help) {
  return make_number<true>(model, type, kind, label, unit, help);
}

mmstats_family* mmstats_number_family_new(mmstats_model* model, mmstats_type type, mmstats_kind kind,
                                          const char* label, const char* const* dimensions, const char* unit,
                                          const char* help) {
  return make_number_family<false>(model, type, kind, label, dimensions, unit, help);
}

mmstats_family* mmstats_shared_number_family_new(mmstats_model* model, mmstats_type type, mmstats_kind kind,
                                                 const char* label, const char* const* dimensions,
                                                 const char* unit, const char* help) {
  return make_number_family<true>(model, type, kind, label, dimensions, unit, help);
}

mmstats_number* mmstats_number_with(mmstats_family* family, const char* const* values) {
  return handle_with<mmstats_number>(family, values);
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

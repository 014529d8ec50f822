// A Model as the C interface has it, and the handles of its fields.
#pragma once

// What is inline for applications is a function of the library here.
#define MMSTATS_NO_INLINE

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/guest_call.h"
#include "mmstats/mmstats.h"
#include "mmstats/model.h"
#include "publish/models.h"

// Any thread.
struct mmstats_model {
  mmstats::ModelOptions options;
  std::unique_ptr<mmstats::Model> model;  // made with the first field, when the options are known
  // That the caller has, by label and type: what is asked for again is the same.
  std::unordered_map<std::string, std::shared_ptr<void>> handles;
  std::vector<std::shared_ptr<void>> of_families;
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

namespace mmstats {

// For null, as C programs say it, too.
inline const char* text_or_empty(const char* text) { return text == nullptr ? "" : text; }

inline About about(const char* unit, const char* help, std::optional<Kind> kind = {}) {
  return {.unit = text_or_empty(unit), .help = text_or_empty(help), .kind = kind};
}

// What two handles differ in beside their labels, and their classes.
struct Which {
  std::uint64_t type = 0;
  std::uint64_t kind = 0;
  std::uint64_t size = 0;
  bool shared = false;
};

// What `make(fields, name)` gives for a Model and a label, kept with `model`; null if there is no memory,
// whatever it throws.
template <class Handle, class Field, class Make>
Handle* keep(mmstats_model* model, const char* label, const Which& which, Make&& make) noexcept {
  const GuestCall guest;
  if (model == nullptr) return nullptr;
  try {
    const std::string name = text_or_empty(label);
    auto key = std::string(typeid(Field).name()) + '\0' + std::to_string(which.type) + ',' +
               std::to_string(which.kind) + ',' + std::to_string(which.size) + (which.shared ? 's' : 't') +
               name;
    Model& fields = model->get();
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

}  // namespace mmstats

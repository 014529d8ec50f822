// Changes of what series and distributions are called, in tests that make their own.
#pragma once

#include <utility>

#include "collect/shared_binding.h"

namespace mmstats {

// edit(series)->name = "x": the series has a binding of its own then.
class EditDescribed {
 public:
  explicit EditDescribed(Described& described) : described_(described) {
    binding_.name = described.name();
    binding_.family = described.family();
    binding_.dimensions = described.dimensions();
    binding_.asked = described.asked();
    binding_.groups = described.groups();
    binding_.unit = described.unit();
    binding_.help = described.help();
    binding_.rule = described.rule();
  }
  EditDescribed(const EditDescribed&) = delete;
  EditDescribed& operator=(const EditDescribed&) = delete;
  ~EditDescribed() { described_.binding = share(std::move(binding_)); }
  Binding* operator->() { return &binding_; }

 private:
  Described& described_;
  Binding binding_;
};

inline EditDescribed edit(Described& described) { return EditDescribed(described); }

}  // namespace mmstats

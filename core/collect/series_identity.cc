#include "collect/series_identity.h"

#include <cstdint>
#include <string_view>

namespace mmstats {
namespace {

void add_text(std::string_view text, KeyedHasher& hasher) {
  hasher.add(std::uint64_t{text.size()});
  hasher.add(text);
}

}  // namespace

void add_identity(const SharedBinding& binding, KeyedHasher& hasher) {
  hasher.add(std::uint64_t{binding.kind == Kind::kCounter ? 1U : 0U});
  add_text(binding.sink_type(), hasher);
  add_text(binding.name(), hasher);
  const auto& dimensions = binding.dimensions();
  const auto& asked = binding.asked();
  hasher.add(std::uint64_t{dimensions.size()});
  hasher.add(std::uint64_t{asked.size()});
  if (dimensions.empty() && asked.empty()) return;
  add_text(binding.family(), hasher);
  for (const auto* all : {&dimensions, &asked}) {
    for (const auto& [name, value] : *all) {
      add_text(name, hasher);
      add_text(value, hasher);
    }
  }
}

}  // namespace mmstats

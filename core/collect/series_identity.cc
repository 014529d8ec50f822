#include "collect/series_identity.h"

#include <cstdint>
#include <string_view>

#include "base/keyed_hash.h"

namespace mmstats {
namespace {

void append_number(std::uint64_t number, std::string& key) {
  key.append(reinterpret_cast<const char*>(&number), sizeof number);
}

void append_text(std::string_view text, std::string& key) {
  append_number(text.size(), key);
  key.append(text);
}

}  // namespace

void append_identity(const Binding& binding, std::string& key) {
  const bool counter = binding.kind == Kind::kCounter;
  key.append(binding.sink_type).push_back('\0');
  if (binding.dimensions.empty() && binding.asked.empty()) {
    key.push_back(counter ? 'c' : 'g');
    key.append(binding.name);
    return;
  }
  key.push_back(counter ? 'C' : 'G');
  append_text(binding.name, key);
  append_text(binding.family, key);
  for (const auto* dimensions : {&binding.dimensions, &binding.asked}) {
    // The names of all combinations are the same: a hash of them is enough, and saves memory.
    KeyedHasher names;
    for (const Dimension& one : *dimensions) {
      names.add(one.name.size());
      names.add(one.name);
    }
    append_number(names.finish(), key);
    append_number(dimensions->size(), key);
    for (const Dimension& one : *dimensions) append_text(one.value, key);
  }
}

}  // namespace mmstats

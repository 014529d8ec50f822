#include "collect/shared_binding.h"

#include <utility>

namespace mmstats {
namespace {

constexpr std::size_t kAllocation = 16;  // of the heap, about

}  // namespace

SharedBinding::SharedBinding(Binding&& binding)
    : rule(binding.rule),
      kind(binding.kind),
      aggregate(binding.aggregate),
      within_process(binding.within_process),
      used(binding.used),
      by_kind(binding.by_kind),
      stripped(binding.stripped),
      scale(binding.scale),
      name_(std::move(binding.name)) {
  name_.shrink_to_fit();
  binding.dimensions.shrink_to_fit();
  binding.asked.shrink_to_fit();
  if (binding.family.empty() && binding.dimensions.empty() && binding.asked.empty() &&
      binding.groups.empty() && binding.sink_type.empty() && binding.unit.empty() && binding.help.empty()) {
    return;
  }
  more_ = std::make_unique<const More>(More{.family = std::move(binding.family),
                                            .dimensions = std::move(binding.dimensions),
                                            .asked = std::move(binding.asked),
                                            .groups = std::move(binding.groups),
                                            .sink_type = std::move(binding.sink_type),
                                            .unit = std::move(binding.unit),
                                            .help = std::move(binding.help)});
}

std::size_t SharedBinding::most_memory(std::size_t texts) {
  return sizeof(SharedBinding) + sizeof(More) + 3 * kAllocation + texts;
}

std::size_t SharedBinding::memory() const {
  std::size_t size = sizeof *this + 2 * kAllocation + name_.size();  // its own, and the name's
  if (!more_) return size;
  size += sizeof(More) + kAllocation + more_->family.size() + more_->sink_type.size() + more_->unit.size() +
          more_->help.size() + (more_->dimensions.size() + more_->asked.size()) * sizeof(Dimension);
  for (const auto* dimensions : {&more_->dimensions, &more_->asked}) {
    for (const auto& [name, value] : *dimensions) size += name.size() + value.size();
  }
  for (const std::string& group : more_->groups) size += sizeof(std::string) + group.size();
  return size;
}

}  // namespace mmstats

#include "collect/vain_names.h"

namespace mmstats {
namespace {

// Names that are remembered, for each folder or file that may be read.
constexpr std::size_t kNamesPerFile = 4;
// After so many scans those are forgotten that were not seen in them.
constexpr std::uint64_t kScansToForget = 64;

std::size_t most_names(std::size_t max_files) {
  return max_files > ~std::size_t{0} / kNamesPerFile ? max_files : max_files * kNamesPerFile;
}

}  // namespace

VainNames::VainNames(std::size_t max_files)
    : looks_(Looks::per_scan(max_files)), room_(most_names(max_files)) {}

void VainNames::begin_scan() {
  looks_.begin_scan();
  if (++scan_ % kScansToForget == 0) {
    std::erase_if(names_, [&](const auto& entry) {
      const Name& name = entry.second;
      if (name.seen + kScansToForget >= scan_) return false;
      room_.give(name.owner, 1);
      return true;
    });
  }
  for (auto& [hash, name] : names_) turns_.add(name.owner, name.turn);
  turns_.choose(scan_, [](uid_t, std::size_t) {});
}

VainNames::Answer VainNames::ask(std::uint64_t name, uid_t folder_owner) {
  const auto known = names_.find(name);
  if (known == names_.end()) return looks_.may_look(folder_owner) ? Answer::kLook : Answer::kLeftOut;
  Name& remembered = known->second;
  remembered.seen = scan_;
  if (!remembered.turn.waits) return Answer::kLook;
  return remembered.no_room ? Answer::kLeftOut : Answer::kNothing;
}

void VainNames::was_in_vain(std::uint64_t name, uid_t folder_owner, uid_t owner, bool no_room) {
  const auto known = names_.find(name);
  if (known != names_.end() && known->second.owner == owner) {
    known->second.no_room = no_room;
    return;
  }
  if (known != names_.end()) {
    room_.give(known->second.owner, 1);
    names_.erase(known);
  }
  // The names of one who is not bound would be looked at at each scan.
  const bool remembered = turns_.is_bound(owner) && room_.take(owner, 1);
  if (remembered) names_.insert({name, {owner, no_room, {scan_, false}, scan_}});
  looks_.in_vain(folder_owner, !remembered);
}

}  // namespace mmstats

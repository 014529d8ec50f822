// What files and wild folders share: their number, and the descriptors that are held.
#pragma once

#include "collect/discover.h"
#include "collect/shares.h"
#include "collect/subordinate_ids.h"

namespace mmstats {

// No locks; one thread at a time.
struct DiscoveryRoom {
  // Raises the process's soft limit of descriptors, as far as the hard one allows.
  explicit DiscoveryRoom(const DiscoveryLimits& limits);

  SubordinateIds ids;
  int ceiling;         // descriptors of ours stay below it
  Shares places;       // of files that are read and of wild folders: each takes one
  Shares descriptors;  // those files and folders, held
};

}  // namespace mmstats

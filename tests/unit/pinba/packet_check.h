// What is true of every packet that we make, judged by protobuf's own library: the rules of
// core/doc/packet.md.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "pinba.pb.h"
#include "pinba/encode.h"

// The message in a datagram. Aborts the test if there is none.
pinba_wire::Request parsed(pinba::Datagram datagram);

// A request that has what every server wants, and the texts "name" and "value", which are of no tag yet.
pinba_wire::Request sound_message();

// The first rule that a datagram breaks; empty if it is safe everywhere.
std::string broken_rule(pinba::Datagram datagram, std::size_t max_bytes = pinba::kDefaultDatagram,
                        bool nested_allowed = false);

// Tags as texts, in the order of the packet.
using TagTexts = std::vector<std::pair<std::string, std::string>>;
TagTexts request_tags(const pinba_wire::Request& message);

struct TimerSum {
  std::uint64_t hits = 0;
  double value = 0;
  double ru_utime = 0;
  double ru_stime = 0;
};
// Timers by their sorted tags; those with equal ones are added up, into `sums`.
void add_timers(const pinba_wire::Request& message, std::map<TagTexts, TimerSum>& sums);

// A message without its dictionary's order: what it says, as text, to compare.
std::string meaning(const pinba_wire::Request& message);

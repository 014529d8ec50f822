// Datagram -> Request, for tools and tests, and what real servers make of a datagram that is not exact. Any
// bytes at all may be given. Pure functions; may be called from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mmstats/cpp20.h"
#include "mmstats/error.h"
#include "mmstats/export.h"
#include "pinba/encode.h"
#include "pinba/request.h"

namespace pinba {

// Strict. Error: kDamaged, with the reason and the byte, if the bytes are not a message (cut, wrong wire
// type, number of more than 10 bytes, nested deeper than 16), a required field is missing, the timers' lists
// differ in length, or a tag points beyond the dictionary. Unknown fields are skipped; of a field that should
// be there once, the last counts; lists may be packed. Numbers and names are as in the packet; texts of
// the dictionary as Dictionary::add() takes them.
MMSTATS_API mmstats::Expected<Request> decode(Datagram datagram);

// kClassic: both that are called so; kOriginalClassic: 1.2 and before alone, not the fork that is maintained.
enum class Server : std::uint8_t { kPinba2, kClassic, kCollectd, kOriginalClassic };
MMSTATS_API std::string_view name_of(Server server);

enum class Effect : std::uint8_t {
  kWrong,    // it is counted, but shown with another name or number
  kPartial,  // a part (timers, tags, nested requests) is lost
  kDropped,  // the packet is lost
  kCrash,    // the server can crash
};
MMSTATS_API std::string_view name_of(Effect effect);

struct Finding {
  Server server = Server::kPinba2;
  Effect effect = Effect::kWrong;
  std::uint64_t offset = 0;  // byte in the datagram
  std::string message;       // what is wrong and what the server does; printable
};

// What each server would do wrong; nothing for a packet that is safe everywhere. In the order of offsets.
MMSTATS_API std::vector<Finding> check(Datagram datagram);

}  // namespace pinba

// Tags of timers that a reader has met before.
#include <doctest/doctest.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinba/packet_check.h"
#include "plugin_pinba/receive/packet.h"
#include "plugin_pinba/receive/rewrites.h"

namespace {

using mmstats::receive::FaultCounts;
using mmstats::receive::Packet;
using mmstats::receive::PacketReader;
using mmstats::receive::TagBlock;
using mmstats::receive::TagBlocks;
using mmstats::receive::TimerEntry;

std::string datagram_with(const std::vector<std::string>& groups, std::size_t hits) {
  pinba_wire::Request message;
  message.set_script_name("/cart");
  message.add_dictionary("group");
  for (const auto& group : groups) message.add_dictionary(group);
  for (std::size_t i = 0; i < hits; ++i) {
    message.add_timer_hit_count(1);
    message.add_timer_value(0.5F);
  }
  for (std::size_t i = 0; i < groups.size(); ++i) {
    message.add_timer_tag_count(1);
    message.add_timer_tag_name(0);
    message.add_timer_tag_value(static_cast<std::uint32_t>(1 + i));
  }
  return message.SerializePartialAsString();
}

struct Told {
  std::vector<std::string> groups;
  std::vector<std::uint64_t> ids;
  FaultCounts faults{};
};

Told read(PacketReader& reader, const std::string& datagram) {
  Told told;
  for (const Packet& packet : reader.read(std::as_bytes(std::span(datagram)), told.faults)) {
    for (const TimerEntry& timer : packet.timers) {
      told.groups.emplace_back(timer.tags[0].value);
      told.ids.push_back(timer.tags_id);
    }
  }
  return told;
}

// How many times the reader has to be asked before it knows the tags of the datagram; at most 4.
int times_until_known(PacketReader& reader, const std::string& datagram) {
  int times = 0;
  while (times < 4 && read(reader, datagram).ids[0] == 0) ++times;
  return times;
}

std::string add_to(TagBlocks& blocks, std::string bytes) {
  for (int time = 0; time < 2; ++time) {
    REQUIRE(blocks.find(bytes) == nullptr);
    CHECK(blocks.is_wanted() == (time == 1));
  }
  blocks.add(bytes,
             TagBlock{.dictionary = {std::string_view(bytes).substr(0, 4)}, .tags = {}, .tag_counts = {1}});
  return bytes;
}

}  // namespace

TEST_CASE("tags that come for the third time are known, and each timer's have a number of their own") {
  PacketReader reader;
  const std::string ours = datagram_with({"db", "cache"}, 2);
  const std::string others = datagram_with({"db", "queue"}, 2);
  CHECK(times_until_known(reader, ours) == 2);
  CHECK(times_until_known(reader, others) == 2);
  const Told first = read(reader, ours);
  const Told second = read(reader, others);
  CHECK(first.groups == std::vector<std::string>{"db", "cache"});
  CHECK(second.groups == std::vector<std::string>{"db", "queue"});
  CHECK(first.ids[1] == first.ids[0] + 1);
  CHECK(second.ids[0] > first.ids[1]);
  // Of another thread, too.
  PacketReader other;
  REQUIRE(times_until_known(other, ours) == 2);
  CHECK(read(other, ours).ids[0] > second.ids[1]);
}

TEST_CASE("numbers that do not fit to known tags are a fault, as with others") {
  PacketReader reader;
  REQUIRE(times_until_known(reader, datagram_with({"db", "cache"}, 2)) == 2);
  for (const std::size_t hits : {0, 1, 3}) {
    const Told told = read(reader, datagram_with({"db", "cache"}, hits));
    CHECK(told.groups.empty());
    CHECK(told.faults[static_cast<std::size_t>(mmstats::receive::Fault::kUnevenTimers)] == 1);
  }
}

TEST_CASE("tags of nested requests are not taken for those of the request around them") {
  PacketReader reader;
  const std::string inner = datagram_with({"db"}, 1);
  // Its own timers cannot be used.
  const std::string outer =
      datagram_with({"cache"}, 0) + "\x92\x01" + static_cast<char>(inner.size()) + inner;
  for (int time = 0; time < 4; ++time) CHECK(read(reader, outer).groups == std::vector<std::string>{"db"});
  CHECK(read(reader, datagram_with({"cache"}, 1)).groups == std::vector<std::string>{"cache"});
}

TEST_CASE("a dictionary that goes on behind other fields is read whole") {
  PacketReader reader;
  // A second value in the place of the first text's, which refers to a text behind the status.
  const std::string good = datagram_with({"db"}, 1);
  const std::string more = good + "\x80\x01\x05" + "\x50\x01" + std::string("\x5d\0\0\0\x3f", 5) +
                           "\x60\x01" + std::string("\x68\0", 2) + "\x70\x02" + "\x7a\x05queue";
  for (int time = 0; time < 4; ++time) {
    CHECK(read(reader, good).groups == std::vector<std::string>{"db"});
    CHECK(read(reader, more).groups == std::vector<std::string>{"db", "queue"});
  }
}

TEST_CASE("what is rewritten in one packet is not in the next") {
  PacketReader reader;
  mmstats::receive::Rewrites rewrites;
  REQUIRE(rewrites.add({mmstats::receive::KeySource::kTimerTag, "group"}, "db", "any"));
  const std::string datagram = datagram_with({"db", "cache"}, 2);
  REQUIRE(times_until_known(reader, datagram) == 2);
  for (int time = 0; time < 2; ++time) {
    FaultCounts faults{};
    mmstats::receive::Rewrites::Texts texts;
    Packet& packet = reader.read(std::as_bytes(std::span(datagram)), faults)[0];
    CHECK(packet.timers[0].tags[0].value == "db");
    rewrites.apply(packet, texts);
    CHECK(packet.timers[0].tags[0].value == "any");
    CHECK(packet.timers[0].tags_id == 0);
    CHECK(packet.timers[1].tags[0].value == "cache");
    CHECK(packet.timers[1].tags_id != 0);
  }
}

TEST_CASE("blocks are bounded in number and in bytes") {
  TagBlocks blocks;
  const std::string first = add_to(blocks, "text 0");
  for (std::size_t i = 1; i < TagBlocks::kMost; ++i) add_to(blocks, "text " + std::to_string(i));
  const TagBlock* const known = blocks.find(first);
  REQUIRE(known != nullptr);
  CHECK(known->dictionary[0] == "text");
  CHECK(known->dictionary[0].data() != first.data());
  add_to(blocks, "one more");
  CHECK(blocks.find(first) == nullptr);
  CHECK(blocks.find("one more") != nullptr);

  const std::string large(TagBlocks::kMostBytes / 20, 'x');
  for (int i = 0; i < 20; ++i) add_to(blocks, large + std::to_string(i));
  CHECK(blocks.find("one more") == nullptr);
  const std::string too_large(TagBlocks::kMostBytes / 8, 'x');
  add_to(blocks, too_large);
  CHECK(blocks.find(too_large) == nullptr);
}

// What requests of a datagram are: those of real clients, and those that nobody should send.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "pinba/packet_check.h"
#include "plugin_pinba/receive/packet.h"

using namespace mmstats::receive;

namespace {

pinba::Datagram datagram_of(const std::string& text) { return std::as_bytes(std::span(text)); }

// Seconds that this thread has worked, whatever else the machine does.
double processor_time() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::string text_of_file(const std::string& name) {
  std::ifstream file(std::string(TEST_DATA) + "/pinba/" + name, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  REQUIRE(!bytes.empty());
  return bytes;
}

std::string told(std::span<const Tag> tags) {
  std::string text;
  for (const Tag& tag : tags) text += fmt::format("{}{}={}", text.empty() ? "" : ",", tag.name, tag.value);
  return text;
}

// "host server script schema status", then numbers of the request, its tags, and each timer.
std::string told(const Packet& packet) {
  std::string text =
      fmt::format("{} {} {} {} {} | {:g} {:g} {:g} {} {} | {}", packet.host, packet.server, packet.script,
                  packet.schema, packet.status, packet.seconds, packet.user_seconds, packet.system_seconds,
                  packet.bytes, packet.memory, told(packet.tags));
  for (const TimerEntry& timer : packet.timers) {
    text += fmt::format(" | {} in {:g} {:g} {:g} {}", timer.hits, timer.seconds, timer.user_seconds,
                        timer.system_seconds, told(timer.tags));
  }
  return text;
}

std::string told(const FaultCounts& faults) {
  std::string text;
  for (std::size_t i = 0; i < kFaults; ++i) {
    if (faults[i] == 0) continue;
    text += fmt::format("{}{}", text.empty() ? "" : " ", to_string(static_cast<Fault>(i)));
    if (faults[i] > 1) text += fmt::format(" {}", faults[i]);
  }
  return text;
}

// Of a reader that read something else before: nothing of that may be left. It reads the datagram until it
// knows its tags, which may change nothing.
struct Reading {
  PacketReader reader;
  std::vector<std::string> requests;
  std::string faults;

  explicit Reading(const std::string& datagram) {
    FaultCounts counts{};
    const std::string before = text_of_file("php-timers.bin");
    reader.read(datagram_of(before), counts);
    for (int time = 0; time < 3; ++time) {
      const auto known = std::exchange(requests, {});
      counts = {};
      for (const Packet& packet : reader.read(datagram_of(datagram), counts))
        requests.push_back(told(packet));
      if (time > 0) CHECK(requests == known);
      if (time > 0) CHECK(told(counts) == faults);
      faults = told(counts);
    }
  }
};

pinba_wire::Request good_message() {
  pinba_wire::Request message;
  message.set_hostname("web1");
  message.set_server_name("shop");
  message.set_script_name("/cart");
  message.set_request_count(7);
  message.set_document_size(1000);
  message.set_memory_peak(2000);
  message.set_request_time(0.5);
  message.set_ru_utime(0.25);
  message.set_ru_stime(0.125);
  message.set_status(200);
  for (const char* text : {"group", "db", "op", "get", "put"}) message.add_dictionary(text);
  for (const std::uint32_t op : {3U, 4U}) {
    message.add_timer_hit_count(op);
    message.add_timer_value(0.25F * static_cast<float>(op));
    message.add_timer_tag_count(2);
    message.add_timer_tag_name(0);
    message.add_timer_tag_name(2);
    message.add_timer_tag_value(1);
    message.add_timer_tag_value(op);
  }
  message.add_tag_name(0);
  message.add_tag_value(4);
  return message;
}

using Change = std::function<void(pinba_wire::Request&)>;
std::string changed(const Change& change) {
  auto message = good_message();
  change(message);
  return message.SerializePartialAsString();
}

constexpr const char* kHead = "web1 shop /cart  200 | 0.5 0.25 0.125 1000 2000 | group=put";
constexpr const char* kFirstTimer = " | 3 in 0.75 0 0 group=db,op=get";
constexpr const char* kSecondTimer = " | 4 in 1 0 0 group=db,op=put";
const std::string kGood = std::string(kHead) + kFirstTimer + kSecondTimer;

// A field of the wire, of bytes.
std::string block(unsigned field, const std::string& bytes) {
  std::string text;
  const auto put = [&](std::size_t number) {
    for (; number >= 128; number >>= 7U) text += static_cast<char>(number | 128U);
    text += static_cast<char>(number);
  };
  put(field << 3U | 2U);
  put(bytes.size());
  return text + bytes;
}

}  // namespace

TEST_CASE("packets of real clients are read") {
  const struct {
    const char* file;
    const char* want;
    const char* faults;
  } rows[] = {
      {"php-timers.bin",
       "web2 shop.example.com /cart https 0 | 0.004808 0.000301 0 0 2277376 | app=shop"
       " | 2 in 0.004528 2.3e-05 0 group=mysql,op=insert | 1 in 0.25 0 0 group=memcache,op=get",
       ""},
  };
  for (const auto& row : rows) {
    CAPTURE(row.file);
    const Reading reading(text_of_file(row.file));
    REQUIRE(reading.requests.size() == 1);
    CHECK(reading.requests[0] == row.want);
    CHECK(reading.faults == row.faults);
  }
}

TEST_CASE("what libprotobuf reads of a real client's packet, we read") {
  for (const char* name : {"php-timers.bin", "pynba-timers.bin", "pynba-minimal.bin"}) {
    CAPTURE(name);
    const auto bytes = text_of_file(name);
    const auto message = parsed(datagram_of(bytes));
    PacketReader reader;
    FaultCounts faults{};
    const auto requests = reader.read(datagram_of(bytes), faults);
    REQUIRE(requests.size() == 1);
    const Packet& packet = requests[0];
    CHECK(packet.host == message.hostname());
    CHECK(packet.server == message.server_name());
    CHECK(packet.script == message.script_name());
    CHECK(packet.status == message.status());
    CHECK(packet.seconds == message.request_time());
    CHECK(packet.memory == message.memory_footprint());
    CHECK(std::cmp_equal(packet.timers.size(), message.timer_hit_count_size()));
    std::uint64_t hits = 0;
    double seconds = 0;
    for (const TimerEntry& timer : packet.timers) {
      hits += timer.hits;
      seconds += timer.seconds;
    }
    std::uint64_t want_hits = 0;
    double want_seconds = 0;
    for (int i = 0; i < message.timer_hit_count_size(); ++i) {
      want_hits += message.timer_hit_count(i);
      want_seconds += message.timer_value(i);
    }
    CHECK(hits == want_hits);
    CHECK(seconds == want_seconds);
  }
}

TEST_CASE("what is wrong in a request is left out and counted, and the rest of it is used") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const struct {
    const char* what;
    std::string datagram;
    std::string want;  // empty: no request
    const char* faults;
  } rows[] = {
      {"nothing", changed([](auto&) {}), kGood, ""},
      {"no bytes", "", "", "no_message"},
      {"a text", "GET / HTTP/1.0\r\n", "", "no_message"},
      {"cut", changed([](auto&) {}).substr(0, 100), "", "no_message"},
      {"an unknown field alone", block(100, "x"), "", "no_message"},
      {"unknown fields behind", changed([](auto&) {}) + block(100, "x"), kGood, ""},
      {"another first field", block(15, "group") + changed([](auto& m) {
                                m.mutable_dictionary()->erase(m.mutable_dictionary()->begin());
                              }),
       kGood, ""},
      {"no script", changed([](auto& m) { m.clear_script_name(); }),
       "web1 shop   200 | 0.5 0.25 0.125 1000 2000 | group=put" + std::string(kFirstTimer) + kSecondTimer,
       "missing_field"},
      {"no times", changed([](auto& m) {
         m.clear_request_time();
         m.clear_ru_stime();
       }),
       "web1 shop /cart  200 | 0 0.25 0 1000 2000 | group=put" + std::string(kFirstTimer) + kSecondTimer,
       "missing_field"},
      {"no request count, which nobody uses", changed([](auto& m) { m.clear_request_count(); }), kGood, ""},
      {"empty names", changed([](auto& m) {
         m.set_server_name("");
         m.set_schema("");
       }),
       "web1  /cart  200 | 0.5 0.25 0.125 1000 2000 | group=put" + std::string(kFirstTimer) + kSecondTimer,
       ""},
      {"a negative time", changed([](auto& m) { m.set_request_time(-1); }),
       "web1 shop /cart  200 | 0 0.25 0.125 1000 2000 | group=put" + std::string(kFirstTimer) + kSecondTimer,
       "bad_number"},
      {"a time that is -0", changed([](auto& m) { m.set_request_time(-0.0F); }),
       "web1 shop /cart  200 | 0 0.25 0.125 1000 2000 | group=put" + std::string(kFirstTimer) + kSecondTimer,
       ""},
      {"times that are none", changed([](auto& m) {
         m.set_request_time(kNan);
         m.set_ru_utime(kInfinity);
       }),
       "web1 shop /cart  200 | 0 0 0.125 1000 2000 | group=put" + std::string(kFirstTimer) + kSecondTimer,
       "bad_number"},
      {"a footprint beside the peak", changed([](auto& m) { m.set_memory_footprint(5); }),
       "web1 shop /cart  200 | 0.5 0.25 0.125 1000 5 | group=put" + std::string(kFirstTimer) + kSecondTimer,
       ""},
      {"a status of 32 bits", changed([](auto& m) { m.set_status(4'294'967'295U); }),
       "web1 shop /cart  4294967295 | 0.5 0.25 0.125 1000 2000 | group=put" + std::string(kFirstTimer) +
           kSecondTimer,
       ""},
      {"a timer without hits", changed([](auto& m) { m.set_timer_hit_count(0, 0); }),
       std::string(kHead) + kSecondTimer, "no_hits"},
      {"a timer of no amount", changed([](auto& m) { m.set_timer_value(1, kNan); }),
       std::string(kHead) + kFirstTimer, "bad_number"},
      {"a timer of a negative amount", changed([](auto& m) { m.set_timer_value(0, -1); }),
       std::string(kHead) + kSecondTimer, "bad_number"},
      {"a timer without tags", changed([](auto& m) {
         m.set_timer_tag_count(0, 0);
         m.set_timer_tag_count(1, 4);
         m.set_timer_tag_name(0, 3);
         m.set_timer_tag_name(1, 4);
       }),
       std::string(kHead) + " | 3 in 0.75 0 0  | 4 in 1 0 0 get=db,put=get,group=db,op=put", ""},
      {"a tag beyond the dictionary", changed([](auto& m) { m.set_timer_tag_value(0, 5); }),
       std::string(kHead) + kSecondTimer, "bad_index"},
      {"a name beyond the dictionary", changed([](auto& m) { m.set_timer_tag_name(3, 0xFFFFFFFF); }),
       std::string(kHead) + kFirstTimer, "bad_index"},
      {"a request tag beyond the dictionary", changed([](auto& m) {
         m.set_tag_name(0, 5);
         m.add_tag_name(2);
         m.add_tag_value(1);
       }),
       "web1 shop /cart  200 | 0.5 0.25 0.125 1000 2000 | op=db" + std::string(kFirstTimer) + kSecondTimer,
       "bad_index"},
      {"fewer values than hits", changed([](auto& m) { m.mutable_timer_value()->RemoveLast(); }), kHead,
       "uneven_timers"},
      {"fewer tags than are said", changed([](auto& m) { m.set_timer_tag_count(0, 0xFFFFFFFF); }), kHead,
       "uneven_timers"},
      {"rusage of one timer of two", changed([](auto& m) { m.add_timer_ru_utime(1); }), kHead,
       "uneven_timers"},
      {"rusage of both, one of them no number", changed([](auto& m) {
         for (const float value : {1.0F, -1.0F}) {
           m.add_timer_ru_utime(value);
           m.add_timer_ru_stime(2);
         }
       }),
       std::string(kHead) + " | 3 in 0.75 1 2 group=db,op=get | 4 in 1 0 2 group=db,op=put", "bad_number"},
      {"fewer values of request tags than names", changed([](auto& m) { m.add_tag_name(0); }),
       "web1 shop /cart  200 | 0.5 0.25 0.125 1000 2000 | " + std::string(kFirstTimer) + kSecondTimer,
       "uneven_tags"},
      {"the same tag twice, once by another index", changed([](auto& m) {
         m.add_dictionary("group");
         m.set_timer_tag_name(1, 5);
         m.add_tag_name(5);
         m.add_tag_value(1);
       }),
       std::string(kHead) + " | 3 in 0.75 0 0 group=db" + kSecondTimer, "repeated_tag"},
      {"more tags than a timer may have", changed([](auto& m) {
         m.set_timer_tag_count(0, 65);
         for (int i = 0; i < 63; ++i) {
           m.add_timer_tag_name(0);
           m.add_timer_tag_value(0);
         }
       }),
       // Those of the second timer are at the end, and are the same.
       std::string(kHead) + " | 4 in 1 0 0 group=group", "repeated_tag many_tags"},
      {"more request tags than there may be", changed([](auto& m) {
         for (int i = 0; i < 70; ++i) {
           m.add_dictionary(fmt::format("n{}", i));
           m.add_tag_name(static_cast<std::uint32_t>(5 + i));
           m.add_tag_value(0);
         }
         m.clear_timer_hit_count();
         m.clear_timer_value();
         m.clear_timer_tag_count();
         m.clear_timer_tag_name();
         m.clear_timer_tag_value();
       }),
       [] {
         std::string want = kHead;
         for (int i = 0; i < 63; ++i) want += fmt::format(",n{}=group", i);
         return want;
       }(),
       "many_tags"},
      {"texts that are long", changed([](auto& m) {
         m.set_dictionary(1, std::string(254, 'x') + "\xC3\xA9");
         m.set_script_name(std::string(300, 's'));
       }),
       "web1 shop " + std::string(300, 's') + "  200 | 0.5 0.25 0.125 1000 2000 | group=put" +
           " | 3 in 0.75 0 0 group=" + std::string(254, 'x') +
           ",op=get | 4 in 1 0 0 group=" + std::string(254, 'x') + ",op=put",
       ""},
      {"packed lists",
       changed([](auto& m) {
         m.clear_timer_hit_count();
         m.clear_timer_value();
       }) + block(10, "\x03\x04") +
           block(11, std::string("\0\0\x40\x3F\0\0\x80\x3F", 8)),
       kGood, ""},
      {"bytes that are no text", changed([](auto& m) { m.set_hostname(std::string("\xFF\0x", 3)); }),
       std::string("\xFF\0x", 3) + kGood.substr(4), ""},
  };
  for (const auto& row : rows) {
    CAPTURE(row.what);
    const Reading reading(row.datagram);
    CHECK(reading.requests == (row.want.empty() ? std::vector<std::string>{} : std::vector{row.want}));
    CHECK(reading.faults == row.faults);
  }
}

TEST_CASE("a request and those that are nested in it are requests, each with faults of its own") {
  auto message = good_message();
  for (const char* script : {"/a", "/b"}) {
    auto* inner = message.add_requests();
    *inner = good_message();
    inner->set_script_name(script);
    inner->set_timer_hit_count(0, 0);
  }
  auto* innermost = message.mutable_requests(1)->add_requests();
  innermost->set_hostname("web9");
  const Reading reading(message.SerializePartialAsString());
  const auto with_script = [](const std::string& script) {
    return "web1 shop " + script + std::string(kHead).substr(15) + kSecondTimer;
  };
  CHECK(reading.requests ==
        std::vector<std::string>{kGood, with_script("/a"), with_script("/b"), "web9    0 | 0 0 0 0 0 | "});
  CHECK(reading.faults == "missing_field no_hits 2");
}

TEST_CASE("of very many nested requests a bounded number is read, and the fault is counted once") {
  std::string datagram = changed([](auto&) {});
  while (datagram.size() + 3 <= 65'507) datagram += std::string("\x92\x01\x00", 3);
  const Reading reading(datagram);
  CHECK(reading.requests.size() == 1 + kMostRequests);
  CHECK(reading.requests[0] == kGood);
  CHECK(reading.faults == fmt::format("missing_field {} many_requests", kMostRequests));
  // At any depth.
  const std::string good = changed([](auto&) {});
  std::string inner;
  for (int i = 0; i < 1500; ++i) inner += std::string("\x92\x01\x00", 3);
  const Reading nested(good + block(18, good + inner) + block(18, good));
  CHECK(nested.requests.size() == 1 + kMostRequests);
  CHECK(nested.faults == fmt::format("missing_field {} many_requests 2", kMostRequests - 1));
}

TEST_CASE("a reader that read large datagrams of all shapes keeps little memory") {
  PacketReader reader;
  FaultCounts faults{};
  const auto fill = [](const std::string& unit, std::string datagram = {}) {
    while (datagram.size() + unit.size() <= 65'507) datagram += unit;
    return datagram;
  };
  const auto used = [] {
    const auto memory = ::mallinfo2();
    return memory.uordblks + memory.hblkhd;
  };
  const std::size_t before = used();
  const std::string large_request = changed([](auto& m) {
    for (int i = 0; i < 5000; ++i) {
      m.add_timer_hit_count(1);
      m.add_timer_value(1);
      m.add_timer_tag_count(0);
    }
  });
  // Each of the nested ones in turn is the large one.
  for (int at = 0; at < 200; ++at) {
    std::string datagram;
    for (int i = 0; i < at; ++i) datagram += std::string("\x92\x01\x00", 3);
    datagram += block(18, large_request);
    CHECK(reader.read(datagram_of(datagram), faults).size() == static_cast<std::size_t>(at) + 2);
  }
  for (const char* unit : {"\x7a\x01x", "\x50\x01", "\x58\x01", "\x60\x01", "\x68\x01", "\x70\x01"})
    reader.read(datagram_of(fill(unit)), faults);
  const std::size_t after = used();
  CHECK(after - std::min(before, after) < std::size_t{24} << 20);
}

TEST_CASE("the cost of a datagram is linear in its size, whatever its texts are") {
  // 64 tags a timer, whose names are long, and differ at the end alone or not at all.
  for (const bool same : {false, true}) {
    CAPTURE(same);
    auto message = good_message();
    message.clear_timer_hit_count();
    message.clear_timer_value();
    message.clear_timer_tag_count();
    message.clear_timer_tag_name();
    message.clear_timer_tag_value();
    message.clear_dictionary();
    message.clear_tag_name();
    message.clear_tag_value();
    for (int i = 0; i < 64; ++i)
      message.add_dictionary(std::string(240, 'n') + (same ? "" : std::to_string(i)));
    while (message.ByteSizeLong() < 65'000) {
      message.add_timer_hit_count(1);
      message.add_timer_value(1);
      message.add_timer_tag_count(64);
      for (std::uint32_t i = 0; i < 64; ++i) {
        message.add_timer_tag_name(i);
        message.add_timer_tag_value(i);
      }
    }
    const std::string datagram = message.SerializeAsString();
    // The least of several: a virtual machine that stood still has worked meanwhile, by its own clock.
    double least = std::numeric_limits<double>::infinity();
    for (int times = 0; times < 3; ++times) {
      PacketReader reader;
      FaultCounts faults{};
      const double begin = processor_time();
      const auto requests = reader.read(datagram_of(datagram), faults);
      least = std::min(least, processor_time() - begin);
      REQUIRE(requests.size() == 1);
      CHECK(requests[0].timers.size() > 100);
      CHECK(requests[0].timers[0].tags.size() == (same ? 1 : 64));
    }
    CHECK(least < 1);
  }
}

TEST_CASE("no byte of a packet can be cut or bent so that reading it goes astray") {
  for (const char* name : {"php-timers.bin", "pynba-timers.bin", "pynba-minimal.bin"}) {
    const auto good = text_of_file(name);
    PacketReader reader;
    const auto read = [&](const std::vector<char>& bytes) {
      FaultCounts faults{};
      const auto requests = reader.read(std::as_bytes(std::span(bytes)), faults);
      CHECK(requests.empty() == (faults[0] > 0));
      for (const Packet& packet : requests) {
        CHECK((std::isfinite(packet.seconds) && packet.seconds >= 0));
        for (const TimerEntry& timer : packet.timers) {
          CHECK(timer.hits > 0);
          CHECK((std::isfinite(timer.seconds) && timer.seconds >= 0));
        }
      }
    };
    for (std::size_t length = 0; length < good.size(); ++length)
      read({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)});
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
      std::vector<char> bent(good.begin(), good.end());
      bent[bit / 8] = static_cast<char>(bent[bit / 8] ^ (1 << (bit % 8)));
      read(bent);
    }
  }
}

// Reading datagrams: those of real clients, and those that nobody should send.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <set>
#include <string>

#include "pinba/decode.h"
#include "pinba/packet_check.h"

using pinba::decode;
using pinba::Effect;
using pinba::Server;

namespace {

pinba::Datagram bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string file_text(const std::string& name) {
  std::ifstream file(std::string(TEST_DATA) + "/pinba/" + name, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  REQUIRE(!bytes.empty());
  return bytes;
}

pinba_wire::Request good_message() {
  auto message = sound_message();
  for (int i = 0; i < 2; ++i) {
    message.add_timer_hit_count(1);
    message.add_timer_value(0.25);
    message.add_timer_tag_count(1);
    message.add_timer_tag_name(0);
    message.add_timer_tag_value(1);
  }
  message.add_tag_name(0);
  message.add_tag_value(1);
  return message;
}

using Change = std::function<void(pinba_wire::Request&)>;
std::string changed(const Change& change) {
  auto message = good_message();
  change(message);
  return message.SerializePartialAsString();
}

// "Pinba2 dropped, classic partly lost", with the offsets left out.
std::string findings_of(const std::string& datagram) {
  std::set<std::string> all;
  for (const auto& finding : pinba::check(bytes_of(datagram))) {
    CHECK(finding.offset <= datagram.size());
    CHECK(!finding.message.empty());
    all.insert(std::string(name_of(finding.server)) + " " + std::string(name_of(finding.effect)));
  }
  std::string text;
  for (const auto& finding : all) text += (text.empty() ? "" : ", ") + finding;
  return text;
}

}  // namespace

TEST_CASE("the packets of real clients are read as their text says") {
  for (const std::string name : {"php-timers", "pynba-timers", "pynba-minimal"}) {
    CAPTURE(name);
    const auto bytes = file_text(name + ".bin");
    const auto text = file_text(name + ".txt");
    CHECK(parsed(bytes_of(bytes)).DebugString() == text);
    const auto request = decode(bytes_of(bytes));
    REQUIRE(request);
    const auto message = parsed(bytes_of(bytes));
    CHECK(request->hostname == message.hostname());
    CHECK(request->server_name == message.server_name());
    CHECK(request->script_name == message.script_name());
    CHECK(request->request_count == message.request_count());
    CHECK(request->document_size == message.document_size());
    CHECK(request->memory_peak == message.memory_peak());
    CHECK(request->request_time == message.request_time());
    CHECK(request->ru_utime == message.ru_utime());
    CHECK(request->ru_stime == message.ru_stime());
    CHECK(request->status == message.status());
    CHECK(request->memory_footprint == message.memory_footprint());
    CHECK(request->schema.has_value() == message.has_schema());
    CHECK(request->schema.value_or("") == message.schema());
    REQUIRE(std::cmp_equal(request->dictionary.size(), message.dictionary_size()));
    for (int i = 0; i < message.dictionary_size(); ++i) {
      CHECK(request->dictionary[static_cast<std::uint32_t>(i)] == message.dictionary(i));
    }
    REQUIRE(std::cmp_equal(request->timers.size(), message.timer_hit_count_size()));
    for (int i = 0; i < message.timer_hit_count_size(); ++i) {
      const auto& timer = request->timers[static_cast<std::size_t>(i)];
      CHECK(timer.hit_count == message.timer_hit_count(i));
      CHECK(timer.value == message.timer_value(i));
      CHECK(timer.tag_count == message.timer_tag_count(i));
      CHECK(timer.ru_utime == (message.timer_ru_utime_size() == 0 ? 0 : message.timer_ru_utime(i)));
    }
    for (int i = 0; i < message.timer_tag_name_size(); ++i) {
      const auto& tag = request->timer_tags[static_cast<std::size_t>(i)];
      CHECK(tag.name == message.timer_tag_name(i));
      CHECK(tag.value == message.timer_tag_value(i));
    }
    CHECK(std::cmp_equal(request->tags.size(), message.tag_name_size()));
  }
}

TEST_CASE("packed lists and unknown fields are read too") {
  auto message = good_message();
  message.GetReflection()->MutableUnknownFields(&message)->AddVarint(100, 5);
  message.GetReflection()->MutableUnknownFields(&message)->AddFixed64(101, 5);
  message.GetReflection()->MutableUnknownFields(&message)->AddFixed32(102, 5);
  message.GetReflection()->MutableUnknownFields(&message)->AddLengthDelimited(103, "five");
  // Fields 10 and 11 once more, packed: 1, 300 and 0.5, 1.
  std::string packed = message.SerializeAsString();
  packed += std::string("\x52\x03\x01\xAC\x02", 5);
  packed += std::string("\x5A\x08\0\0\0\x3F\0\0\x80\x3F", 10);
  packed += std::string("\x62\x02\0\0", 4);
  const auto want = parsed(bytes_of(packed));
  REQUIRE(want.timer_hit_count(3) == 300);
  const auto request = decode(bytes_of(packed));
  REQUIRE(request);
  REQUIRE(request->timers.size() == 4);
  CHECK(request->timers[3].hit_count == 300);
  CHECK(request->timers[2].value == want.timer_value(2));
  CHECK(request->timers[3].value == want.timer_value(3));
}

TEST_CASE("a datagram that is no exact message is refused with the reason and the byte") {
  const auto good = good_message().SerializeAsString();
  const struct {
    std::string bytes;
    std::uint64_t offset;
    const char* message;
  } rows[] = {
      {"", 0, "byte 0: the required field hostname is missing"},
      {"text", 0, "byte 0: timer_tag_value (field 14) has wire type 4"},
      {std::string("\x0a\x05web", 5), 1, "byte 1: hostname should have 5 bytes, but 3 are left"},
      {std::string("\x08\x05", 2), 0, "byte 0: hostname (field 1) has wire type 0"},
      {std::string("\x00\x05", 2), 0, "byte 0: there is no field 0"},
      {std::string("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12), 1,
       "byte 1: a number has more than 10 bytes"},
      // 2^64 - 1 and 2^64 - 12, of which some sum with an offset would be small again.
      {std::string("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11), 1,
       "byte 1: hostname should have 18446744073709551615 bytes, but 0 are left"},
      {std::string("\x0a\xf4\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                   "abcd",
                   15),
       1, "byte 1: hostname should have 18446744073709551604 bytes, but 4 are left"},
      {good + std::string("\xa2\x06\xf4\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12), good.size() + 2,
       "unknown field 100 should have 18446744073709551604 bytes, but 0 are left"},
      {good + std::string("\x52\xf8\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11), good.size() + 1,
       "timer_hit_count should have 18446744073709551608 bytes, but 0 are left"},
      {std::string("\x3d\x00\x00", 3), 1, "byte 1: request_time is cut"},
      {std::string("\x20\x80", 2), 1, "byte 1: a number is cut"},
      {good + std::string("\x0b", 1), good.size(), "(field 1) has wire type 3"},
      {good + std::string("\xa3\x06", 2), good.size(), "unknown field 100 has wire type 3"},
      {changed([](auto& m) { m.clear_ru_stime(); }), 0, "the required field ru_stime is missing"},
      {changed([](auto& m) { m.clear_memory_peak(); }), 0, "the required field memory_peak is missing"},
      {changed([](auto& m) { m.add_timer_value(1); }), 0, "2 timers have a hit count, but 3 a value"},
      {changed([](auto& m) { m.set_timer_tag_count(0, 2); }), 0,
       "timers should have 3 tags, but there are 2 names and 2 values"},
      {changed([](auto& m) { m.set_timer_tag_count(0, 0xFFFFFFFF); }), 0,
       "timers should have 4294967296 tags"},
      {changed([](auto& m) { m.add_tag_name(0); }), 0, "request tags have 2 names, but 1 values"},
      {changed([](auto& m) { m.set_timer_tag_value(1, 2); }), 0,
       "timer_tag_value 2 is beyond the dictionary of 2 texts"},
      {changed([](auto& m) { m.set_tag_name(0, 7); }), 0, "tag_name 7 is beyond the dictionary of 2 texts"},
      {changed([](auto& m) { m.add_timer_ru_utime(0); }), 0, "2 timers have a hit count, but 1 a ru_utime"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.message);
    const auto request = decode(bytes_of(row.bytes));
    REQUIRE(!request);
    CHECK(request.error().kind == mmstats::ErrorKind::kDamaged);
    CAPTURE(request.error().message);
    CHECK(request.error().message.find(row.message) != std::string::npos);
    if (row.offset != 0) CHECK(request.error().offset == row.offset);
  }
}

TEST_CASE("requests that are nested without end are refused") {
  std::string inner = good_message().SerializeAsString();
  for (int depth = 1; depth <= 40; ++depth) {
    auto outer = good_message();
    outer.add_requests()->ParseFromString(inner);
    inner = outer.SerializeAsString();
    const auto request = decode(bytes_of(inner));
    CHECK(request.has_value() == (depth <= 16));
  }
}

TEST_CASE("no byte of a packet can be cut or bent so that reading it goes astray") {
  for (const char* name : {"php-timers.bin", "pynba-timers.bin", "pynba-minimal.bin"}) {
    const auto good = file_text(name);
    for (std::size_t length = 0; length < good.size(); ++length) {
      const std::vector<char> cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
      const auto request = decode(std::as_bytes(std::span(cut)));
      pinba_wire::Request message;
      if (request) CHECK(message.ParseFromArray(cut.data(), static_cast<int>(cut.size())));
      pinba::check(std::as_bytes(std::span(cut)));
    }
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
      std::vector<char> bent(good.begin(), good.end());
      bent[bit / 8] = static_cast<char>(bent[bit / 8] ^ (1 << (bit % 8)));
      const auto request = decode(std::as_bytes(std::span(bent)));
      pinba_wire::Request message;
      if (request) CHECK(message.ParseFromArray(bent.data(), static_cast<int>(bent.size())));
      pinba::check(std::as_bytes(std::span(bent)));
    }
  }
}

TEST_CASE("what each server would do wrong is said") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto good = good_message().SerializeAsString();
  const struct {
    std::string bytes;
    const char* want;
  } rows[] = {
      {good, ""},
      {"\x10", "Pinba2 dropped, classic crash, collectd dropped"},
      {changed([](auto& m) { m.clear_hostname(); }), "Pinba2 dropped, classic crash, collectd dropped"},
      {good.substr(6) + good.substr(0, 6), "Pinba2 dropped"},
      {changed([](auto& m) { *m.add_requests() = good_message(); }),
       "Pinba2 partly lost, collectd partly lost, original classic partly lost"},
      // Of what is in it, the classic engine alone reads anything.
      {changed([](auto& m) {
         *m.add_requests() = good_message();
         m.mutable_requests(0)->set_timer_value(0, -1);
       }),
       "Pinba2 partly lost, classic wrong, collectd partly lost, original classic partly lost"},
      {changed([](auto& m) { m.set_timer_hit_count(0, 0); }), "Pinba2 dropped, classic partly lost"},
      {changed([](auto& m) {
         m.set_timer_tag_count(0, 0);
         m.mutable_timer_tag_name()->RemoveLast();
         m.mutable_timer_tag_value()->RemoveLast();
       }),
       "classic partly lost"},
      {changed([](auto& m) { m.set_timer_value(0, -1); }), "Pinba2 dropped, classic wrong"},
      {changed([](auto& m) { m.set_timer_value(0, kNan); }), "Pinba2 dropped, classic wrong"},
      {changed([](auto& m) { m.set_timer_value(0, kInfinity); }), "Pinba2 wrong, classic wrong"},
      {changed([](auto& m) { m.set_request_time(kNan); }), "Pinba2 dropped, classic wrong, collectd wrong"},
      {changed([](auto& m) { m.set_request_time(kInfinity); }),
       "Pinba2 dropped, classic wrong, collectd wrong"},
      {changed([](auto& m) { m.set_request_time(1e-40F); }), "Pinba2 dropped, classic wrong, collectd wrong"},
      {changed([](auto& m) { m.set_ru_utime(-1); }), "Pinba2 wrong, classic wrong, collectd wrong"},
      {changed([](auto& m) { m.add_timer_value(1); }), "Pinba2 dropped, classic crash"},
      {changed([](auto& m) { m.set_timer_tag_count(0, 2); }), "Pinba2 dropped, classic crash"},
      {changed([](auto& m) { m.set_timer_tag_value(1, 2); }), "Pinba2 crash, classic partly lost"},
      {changed([](auto& m) { m.set_tag_value(0, 2); }), "Pinba2 crash, classic partly lost"},
      {changed([](auto& m) { m.set_hostname(std::string(33, 'x')); }), "original classic wrong"},
      {changed([](auto& m) { m.set_server_name(std::string(64, 'x')); }), "original classic wrong"},
      {changed([](auto& m) { m.set_server_name(std::string(65, 'x')); }),
       "classic wrong, original classic wrong"},
      {changed([](auto& m) { m.set_hostname(std::string(32, 'x')); }), ""},
      {changed([](auto& m) { m.set_script_name(std::string(129, 'x')); }), "classic wrong"},
      {changed([](auto& m) { m.set_schema(std::string(17, 'x')); }), "classic wrong"},
      {changed([](auto& m) { m.set_dictionary(0, std::string(65, 'x')); }), "classic wrong"},
      {changed([](auto& m) { m.set_dictionary(0, std::string("a\0b", 3)); }), "classic wrong"},
      {changed([](auto& m) { m.set_dictionary(0, "\xFF"); }), "Pinba2 wrong, classic wrong"},
      {changed([](auto& m) { m.set_server_name(""); }), "Pinba2 partly lost, classic wrong"},
      {changed([](auto& m) { m.clear_schema(); }), "Pinba2 partly lost, classic wrong"},
      {changed([](auto& m) { m.set_dictionary(1, ""); }), "Pinba2 partly lost, classic wrong"},
      {changed([](auto& m) { m.set_status(70000); }), "classic wrong"},
      {changed([](auto& m) {
         m.set_timer_tag_count(0, 2);
         m.add_timer_tag_name(0);
         m.add_timer_tag_value(0);
       }),
       "Pinba2 wrong, classic wrong"},
      // The same name from another place of the dictionary is the same name.
      {changed([](auto& m) {
         m.set_timer_tag_count(0, 2);
         m.add_timer_tag_name(2);
         m.add_timer_tag_value(0);
         m.add_dictionary(m.dictionary(static_cast<int>(m.timer_tag_name(0))));
         m.mutable_timer_tag_name()->SwapElements(1, 2);
       }),
       "Pinba2 wrong, classic wrong"},
      {changed([](auto& m) {
         m.add_tag_name(m.tag_name(0));
         m.add_tag_value(m.tag_value(0) == 0 ? 1 : 0);
       }),
       "Pinba2 wrong"},
      {changed([](auto& m) {
         m.add_dictionary("x");
         m.add_tag_name(2);
         m.add_tag_value(m.tag_value(0));
       }),
       ""},
  };
  for (std::size_t i = 0; i < std::size(rows); ++i) {
    CAPTURE(i);
    CHECK(findings_of(rows[i].bytes) == rows[i].want);
  }
  // php-pinba leaves nothing out; pynba sends an empty server name and schema.
  CHECK(findings_of(file_text("php-timers.bin")) == "");
  CHECK(findings_of(file_text("pynba-minimal.bin")) == "Pinba2 partly lost, classic wrong");
  CHECK(findings_of(file_text("pynba-timers.bin")) == "Pinba2 wrong, classic wrong");
}

TEST_CASE("a finding names its byte") {
  const auto bytes = changed([](auto& m) { m.set_tag_value(0, 2); });
  const auto findings = pinba::check(bytes_of(bytes));
  REQUIRE(findings.size() == 2);
  // Field 21 is the last but for none: its key has two bytes, then comes the index.
  CHECK(findings[0].offset == bytes.size() - 1);
  CHECK(findings[0].server == Server::kPinba2);
  CHECK(findings[0].effect == Effect::kCrash);
}

TEST_CASE("findings about thousands of timers with one long tag name are short") {
  const auto bytes = changed([](auto& m) {
    m.set_dictionary(0, std::string(30'000, '\x01'));
    for (int i = 0; i < 2000; ++i) {
      m.add_timer_hit_count(1);
      m.add_timer_value(0);
      m.add_timer_tag_count(2);
      for (int tag = 0; tag < 2; ++tag) {
        m.add_timer_tag_name(0);
        m.add_timer_tag_value(1);
      }
    }
  });
  std::size_t size = 0;
  for (const auto& finding : pinba::check(bytes_of(bytes))) size += finding.message.size();
  CHECK(size > 2 * 2000 * 50);
  CHECK(size < 2 * 2000 * 1000);
}

TEST_CASE("a tag name that is in the dictionary twice is found twice in a list") {
  const auto bytes = changed([](auto& m) {
    m.add_dictionary("name");
    m.add_tag_name(2);
    m.add_tag_value(1);
  });
  CHECK(findings_of(bytes) == "Pinba2 wrong");
}

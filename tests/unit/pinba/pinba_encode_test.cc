// Packets: what libprotobuf and protobuf-c read from them, and whether every server can take them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>

#include "pinba/decode.h"
#include "pinba/encode.h"
#include "pinba/packet_check.h"

using pinba::EncodeOptions;
using pinba::Encoder;
using pinba::Request;
using pinba::Tags;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Request without_timers() {
  Request request;
  request.hostname = "web2";
  request.server_name = "shop.example.com";
  request.script_name = "/cart";
  request.request_count = 3;
  request.document_size = 2048;
  request.memory_peak = 2097152;
  request.request_time = 0.25;
  request.ru_utime = 0.125;
  request.ru_stime = 0.0625;
  request.status = 404;
  request.memory_footprint = 2277376;
  request.schema = "https";
  request.add_tag("app", "shop");
  return request;
}

Request shop_request() {
  Request request = without_timers();
  request.add_timer(Tags{{"group", "mysql"}, {"op", "insert"}}, 2, 0.5, 0.25, 0.125);
  request.add_timer(Tags{{"group", "memcache"}, {"op", "get"}}, 1, 0.75);
  return request;
}

Request with_timers(int count) {
  Request request = shop_request();
  request.timers.clear();
  request.timer_tags.clear();
  for (int i = 0; i < count; ++i) {
    request.add_timer(Tags{{"metric", "web.requests.kind" + std::to_string(i)}, {"group", i % 10}},
                      static_cast<std::uint64_t>(i) + 1, 0.5 * i);
  }
  return request;
}

// The only datagram, which must be safe.
pinba_wire::Request encoded(const Request& request, const EncodeOptions& options = {}) {
  Encoder encoder(options);
  const auto datagrams = encoder.encode(request);
  REQUIRE(datagrams.size() == 1);
  CHECK(broken_rule(datagrams[0], options.max_bytes, options.nested) == "");
  return parsed(datagrams[0]);
}

std::vector<pinba_wire::Request> all_encoded(Encoder& encoder, const Request& request) {
  std::vector<pinba_wire::Request> messages;
  for (const auto datagram : encoder.encode(request)) {
    CHECK(broken_rule(datagram, encoder.options().max_bytes, encoder.options().nested) == "");
    messages.push_back(parsed(datagram));
  }
  return messages;
}

std::vector<std::byte> file_bytes(const std::string& name) {
  std::ifstream file(std::string(TEST_DATA) + "/pinba/" + name, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  REQUIRE(!bytes.empty());
  const auto view = std::as_bytes(std::span(bytes));
  return {view.begin(), view.end()};
}

std::string texts_of(const pinba_wire::Request& message) {
  std::string all;
  for (const auto& text : message.dictionary()) all += text + ",";
  return all;
}

}  // namespace

TEST_CASE("a request is encoded with all its fields") {
  const auto message = encoded(shop_request());
  CHECK(message.hostname() == "web2");
  CHECK(message.server_name() == "shop.example.com");
  CHECK(message.script_name() == "/cart");
  CHECK(message.request_count() == 3);
  CHECK(message.document_size() == 2048);
  CHECK(message.memory_peak() == 2097152);
  CHECK(message.request_time() == 0.25F);
  CHECK(message.ru_utime() == 0.125F);
  CHECK(message.ru_stime() == 0.0625F);
  CHECK(message.status() == 404);
  CHECK(message.memory_footprint() == 2277376);
  CHECK(message.schema() == "https");
  CHECK(request_tags(message) == TagTexts{{"app", "shop"}});
  std::map<TagTexts, TimerSum> sums;
  add_timers(message, sums);
  REQUIRE(sums.size() == 2);
  const TimerSum sum = sums[{{"group", "mysql"}, {"op", "insert"}}];
  CHECK(sum.hits == 2);
  CHECK(sum.value == 0.5);
  CHECK(sum.ru_utime == 0.25);
  CHECK(sum.ru_stime == 0.125);
  CHECK(texts_of(message) == "app,shop,group,mysql,op,insert,memcache,get,");
}

TEST_CASE("an empty request is safe") {
  const auto message = encoded(Request{});
  CHECK(message.hostname() == "<empty>");
  CHECK(message.schema() == "<empty>");
  CHECK(!message.has_status());
  CHECK(!message.has_memory_footprint());
}

TEST_CASE("the requests of real clients are encoded to the same message") {
  for (const char* name : {"php-timers.bin", "pynba-timers.bin", "pynba-minimal.bin"}) {
    CAPTURE(name);
    const auto bytes = file_bytes(name);
    const auto request = pinba::decode(bytes);
    REQUIRE(request);
    Encoder encoder({.fill_empty = false});
    const auto datagrams = encoder.encode(*request);
    REQUIRE(datagrams.size() == 1);
    auto want = parsed(bytes);
    // pynba sends no rusage of timers, of which 0 is the meaning.
    CHECK(meaning(parsed(datagrams[0])) == meaning(want));
    CHECK(!encoder.changes().any());
  }
}

TEST_CASE("each kind of number is made safe") {
  constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();
  const struct {
    double given;
    float sent;
    unsigned changes;
  } times[] = {
      {0.0, 0, 0},
      {-0.0, 0, 0},
      {1.5, 1.5F, 0},
      {kNan, 0, 1},
      {-1.0, 0, 1},
      {kInfinity, 0, 1},
      {-kInfinity, 0, 1},
      {1e39, 0, 1},
      {1e-40, 0, 0},
      {std::numeric_limits<float>::min(), std::numeric_limits<float>::min(), 0},
      {std::numeric_limits<float>::max(), std::numeric_limits<float>::max(), 0},
  };
  for (const auto& row : times) {
    CAPTURE(row.given);
    Request request = shop_request();
    request.request_time = request.ru_utime = request.ru_stime = row.given;
    for (auto& timer : request.timers) timer.value = timer.ru_utime = timer.ru_stime = row.given;
    Encoder encoder;
    const auto messages = all_encoded(encoder, request);
    REQUIRE(messages.size() == 1);
    CHECK(messages[0].request_time() == row.sent);
    CHECK(messages[0].timer_value(1) == row.sent);
    REQUIRE(messages[0].timer_ru_stime_size() == (row.given == 0 ? 0 : 2));
    if (row.given != 0) CHECK(messages[0].timer_ru_stime(0) == row.sent);
    CHECK(encoder.changes().numbers == 9 * row.changes);
  }
  Request request = shop_request();
  request.document_size = std::uint64_t{kMost} + 1;
  request.memory_peak = std::uint64_t{1} << 40U;
  request.memory_footprint = kMost;
  Encoder encoder;
  const auto messages = all_encoded(encoder, request);
  CHECK(messages[0].document_size() == kMost);
  CHECK(messages[0].memory_peak() == kMost);
  CHECK(messages[0].memory_footprint() == kMost);
  CHECK(encoder.changes().numbers == 2);
}

TEST_CASE("names that servers cannot take are changed, and it is said") {
  using namespace std::string_literals;
  Request request = shop_request();
  request.hostname = "";
  request.server_name = "nul\0inside"s;
  request.script_name = "caf\xE9";
  request.add_tag("", "v\0"s);
  Encoder encoder;
  const auto messages = all_encoded(encoder, request);
  CHECK(messages[0].hostname() == "<empty>");
  CHECK(messages[0].server_name() == "nul\\x00inside");
  CHECK(messages[0].script_name() == "caf\\xE9");
  CHECK(request_tags(messages[0]) == TagTexts{{"app", "shop"}, {"<empty>", "v\\x00"}});
  CHECK(encoder.changes() == pinba::Changes{.escaped = 3, .filled = 2});
}

TEST_CASE("timers that servers cannot take are left out or given a tag") {
  Request request = shop_request();
  request.timers[0].hit_count = 0;
  request.timers.push_back({1, 0, 0.5});
  Encoder encoder;
  auto messages = all_encoded(encoder, request);
  REQUIRE(messages.size() == 1);
  std::map<TagTexts, TimerSum> sums;
  add_timers(messages[0], sums);
  REQUIRE(sums.size() == 2);
  CHECK(sums[{{"group", "memcache"}, {"op", "get"}}].hits == 1);
  CHECK(sums[{{"timer", "untagged"}}].value == 0.5);
  CHECK(encoder.changes() == pinba::Changes{.untagged = 1, .without_hits = 1});
  CHECK(texts_of(messages[0]).find("insert") == std::string::npos);

  // Tags that are not there, or that nothing is known of.
  request = shop_request();
  request.timer_tags[3].value = 100;
  request.tags.push_back({100, 0});
  messages = all_encoded(encoder, request);
  CHECK(messages[0].timer_hit_count_size() == 1);
  CHECK(encoder.changes() == pinba::Changes{.timers_dropped = 1, .tags_dropped = 1});
  request = shop_request();
  request.timers[1].tag_count = 0xFFFFFFFF;
  messages = all_encoded(encoder, request);
  CHECK(messages[0].timer_hit_count_size() == 1);
  CHECK(encoder.changes() == pinba::Changes{.timers_dropped = 1});
  request = shop_request();
  request.timer_tags.push_back({0, 0});
  messages = all_encoded(encoder, request);
  CHECK(messages[0].timer_hit_count_size() == 2);
}

TEST_CASE("timers that do not fit are sent in further datagrams, with nothing lost or counted twice") {
  for (const std::size_t limit : {256U, 300U, 1400U, 9000U, 65507U}) {
    for (const int count : {1, 50, 3000}) {
      CAPTURE(limit);
      CAPTURE(count);
      Request request = with_timers(count);
      request.request_count = 7;
      Encoder encoder({.max_bytes = limit});
      const auto messages = all_encoded(encoder, request);
      CHECK(!encoder.changes().any());
      std::map<TagTexts, TimerSum> sums;
      double seconds = 0;
      std::uint64_t bytes = 0;
      for (const auto& message : messages) {
        add_timers(message, sums);
        seconds += message.request_time() + message.ru_utime() + message.ru_stime();
        bytes += message.document_size() + message.memory_peak() + message.memory_footprint();
        CHECK(message.script_name() == "/cart");
        CHECK(message.status() == 404);
        CHECK(message.request_count() == 7);
        CHECK(request_tags(message) == TagTexts{{"app", "shop"}});
      }
      CHECK(seconds == 0.25 + 0.125 + 0.0625);
      CHECK(bytes == 2048 + 2097152 + 2277376);
      REQUIRE(std::ssize(sums) == count);
      for (int i = 0; i < count; ++i) {
        const auto& sum =
            sums[{{"group", std::to_string(i % 10)}, {"metric", "web.requests.kind" + std::to_string(i)}}];
        CHECK(sum.hits == static_cast<std::uint64_t>(i) + 1);
        CHECK(sum.value == 0.5 * i);
      }
      // Datagrams are filled: none but the last has room for two more timers.
      const auto datagrams = encoder.encode(request);
      for (std::size_t i = 0; i + 1 < datagrams.size(); ++i) CHECK(datagrams[i].size() > limit - 2 * 80);
    }
  }
}

TEST_CASE("a datagram is full before another is begun") {
  Encoder encoder;
  const auto messages = all_encoded(encoder, with_timers(2000));
  REQUIRE(messages.size() > 10);
  int sent = 0;
  for (std::size_t i = 0; i + 1 < messages.size(); ++i) {
    // One timer more than it has.
    Request more = without_timers();
    const int count = messages[i].timer_value_size();
    for (int j = sent; j <= sent + count; ++j) {
      more.add_timer(Tags{{"metric", "web.requests.kind" + std::to_string(j)}, {"group", j % 10}},
                     static_cast<std::uint64_t>(j) + 1, 0.5 * j);
    }
    if (i > 0) {
      more.document_size = more.memory_peak = 0;
      more.memory_footprint = 0;
    }
    Encoder larger({.max_bytes = 2 * pinba::kDefaultDatagram});
    const auto one = larger.encode(more);
    REQUIRE(one.size() == 1);
    CHECK(one[0].size() > pinba::kDefaultDatagram);
    sent += count;
  }
}

TEST_CASE("processor times of timers are sent for all of a packet, or for none where none has any") {
  Request request = without_timers();
  request.add_timer(Tags{{"op", "get"}}, 1, 0.5);
  request.add_timer(Tags{{"op", "set"}}, 1, 0.5);
  const auto without = encoded(request);
  CHECK(without.timer_value_size() == 2);
  CHECK(without.timer_ru_utime_size() == 0);
  CHECK(without.timer_ru_stime_size() == 0);
  request.timers[1].ru_stime = 0.25;
  const auto with = encoded(request);
  REQUIRE(with.timer_ru_utime_size() == 2);
  REQUIRE(with.timer_ru_stime_size() == 2);
  CHECK(with.timer_ru_stime(0) == 0);
  CHECK(with.timer_ru_stime(1) == 0.25F);
  CHECK(with.ByteSizeLong() == without.ByteSizeLong() + 2 * 2 * 6);
}

TEST_CASE("texts that no tag points to are left out where that is asked for") {
  // All texts would fit, or not.
  for (const int count : {20, 500}) {
    for (const auto classic : {pinba::ClassicEngine::kNone, pinba::ClassicEngine::kMaintained}) {
      CAPTURE(count);
      CAPTURE(static_cast<int>(classic));
      // As one that keeps its dictionary from request to request.
      Request kept = with_timers(count);
      Encoder plain({.classic = classic});
      Encoder encoder({.classic = classic, .drop_unused_texts = true});
      for (const int first : {0, count / 2, count - 1, 0}) {
        Request fresh = without_timers();
        kept.timers.clear();
        kept.timer_tags.clear();
        for (int i = first; i < std::min(first + 30, count); i += 3) {
          const Tags tags{{"metric", "web.requests.kind" + std::to_string(i)}, {"group", i % 10}};
          kept.add_timer(tags, 2, 0.5 * i);
          fresh.add_timer(tags, 2, 0.5 * i);
        }
        const auto datagrams = encoder.encode(kept);
        const auto want = plain.encode(fresh);
        REQUIRE(datagrams.size() == 1);
        REQUIRE(want.size() == 1);
        CHECK(std::ranges::equal(datagrams[0], want[0]));
      }
    }
  }
}

TEST_CASE("what fits into one datagram is sent whole, with a dictionary that is kept as without") {
  const auto both = [](const Request& request) {
    std::vector<std::vector<std::byte>> sent;
    for (const bool drop : {false, true}) {
      Encoder encoder({.drop_unused_texts = drop});
      const auto datagrams = encoder.encode(request);
      REQUIRE(datagrams.size() == 1);
      CHECK_FALSE(encoder.changes().any());
      sent.emplace_back(datagrams[0].begin(), datagrams[0].end());
    }
    CHECK(sent[0] == sent[1]);
  };
  Request thrice = without_timers();
  const std::string value(560, 'v');
  thrice.add_timer(Tags{{"a", value}, {"b", value}, {"c", value}}, 3, 0);
  both(thrice);
  Request tags = without_timers();
  for (int i = 0; i < 8; ++i)
    tags.add_tag("tag" + std::to_string(i), std::string(120, static_cast<char>('a' + i)));
  tags.add_timer(Tags{{"metric", "hits"}}, 3, 0);
  both(tags);
}

TEST_CASE("a text of another dictionary is added as it would be by itself") {
  pinba::Dictionary other;
  for (int i = 0; i < 300; ++i)
    other.add("text" + std::to_string(i) + std::string(static_cast<std::size_t>(i), 'x'));
  pinba::Dictionary copied;
  pinba::Dictionary added;
  for (std::uint32_t i = 0; i < 300; ++i) {
    const std::uint32_t index = i * 7 % 300;
    CHECK(copied.add(other, index) == added.add(other[index]));
    CHECK(copied.add(other, index) == copied.add(other[index]));
  }
  CHECK(copied == added);
  CHECK(copied.size() == 300);
}

TEST_CASE("indices of one byte and of two are told apart") {
  for (int texts = 126; texts <= 131; ++texts) {
    for (const std::size_t limit : {1400U, 3000U, 65507U}) {
      CAPTURE(texts);
      CAPTURE(limit);
      Request request;
      request.hostname = request.server_name = request.script_name = "/wide";
      request.schema = "http";
      request.add_tag("all", "all");
      // With "all", a dictionary of so many texts; each is a value of one timer, the last one a name, too.
      for (int i = 1; i < texts; ++i) {
        const auto text = "t" + std::to_string(i);
        request.add_timer(Tags{{i + 1 == texts ? text : std::string("all"), text}}, 1, i);
      }
      request.add_tag("t" + std::to_string(texts - 1), "t" + std::to_string(texts - 1));
      REQUIRE(request.dictionary.size() == static_cast<std::uint32_t>(texts));
      Encoder encoder({.max_bytes = limit});
      const auto messages = all_encoded(encoder, request);
      CHECK(!encoder.changes().any());
      std::map<TagTexts, TimerSum> sums;
      const auto last = "t" + std::to_string(texts - 1);
      for (const auto& message : messages) {
        add_timers(message, sums);
        CHECK(request_tags(message) == TagTexts{{"all", "all"}, {last, last}});
      }
      REQUIRE(std::ssize(sums) == texts - 1);
      for (int i = 1; i < texts; ++i) {
        const auto text = "t" + std::to_string(i);
        CHECK(sums[{{i + 1 == texts ? text : "all", text}}].value == i);
      }
    }
  }
}

TEST_CASE("for a server that reads no timers a request is one datagram") {
  Encoder encoder({.continue_timers = false});
  const auto messages = all_encoded(encoder, with_timers(3000));
  REQUIRE(messages.size() == 1);
  CHECK(messages[0].request_time() == 0.25F);
  CHECK(messages[0].timer_hit_count_size() + encoder.changes().timers_dropped == 3000);
}

TEST_CASE("what is too large for a datagram by itself is cut or dropped, and it is said") {
  Request request = shop_request();
  request.hostname = request.server_name = request.script_name = std::string(5000, 'x');
  request.schema = std::string(5000, 'y');
  Encoder encoder;
  auto messages = all_encoded(encoder, request);
  REQUIRE(messages.size() == 1);
  CHECK(messages[0].hostname() == std::string(1400 / 8 - 5, 'x'));
  CHECK(encoder.changes() == pinba::Changes{.cut = 4});
  CHECK(messages[0].timer_hit_count_size() == 2);

  // Half of a datagram is for names: with their lengths and keys, these four have 700 bytes, or 703.
  request.schema = "http";
  for (const std::size_t size : {227U, 228U}) {
    request.hostname = request.server_name = request.script_name = std::string(size, 'x');
    messages = all_encoded(encoder, request);
    CHECK(messages[0].script_name().size() == (size == 227 ? size : 1400 / 8 - 5));
    CHECK(encoder.changes().cut == (size == 227 ? 0 : 3));
  }

  // A cut is between characters: this one has two bytes.
  request.hostname.clear();
  for (int i = 0; i < 1000; ++i) request.hostname += "\xC3\xA9";
  request.server_name = "s" + request.hostname;
  all_encoded(encoder, request);

  request = shop_request();
  request.add_timer(Tags{{"large", std::string(2000, 'x')}}, 1, 1);
  request.add_timer(Tags{{"small", 1}}, 1, 1);
  request.add_tag("large", std::string(3000, 'x'));
  messages = all_encoded(encoder, request);
  std::map<TagTexts, TimerSum> sums;
  for (const auto& message : messages) add_timers(message, sums);
  CHECK(sums.size() == 3);
  CHECK(encoder.changes() == pinba::Changes{.timers_dropped = 1, .tags_dropped = 1});

  request = shop_request();
  for (int i = 0; i < 1000; ++i) request.add_tag("tag" + std::to_string(i), std::to_string(i));
  messages = all_encoded(encoder, request);
  sums.clear();
  for (const auto& message : messages) add_timers(message, sums);
  CHECK(sums.size() == 2);
  CHECK(request_tags(messages[0]).size() + encoder.changes().tags_dropped == 1001);
}

TEST_CASE("for the classic engine strings are cut where it would cut them") {
  Request request = shop_request();
  request.hostname = std::string(70, 'h');
  request.server_name = std::string(63, 's') + "\xC3\xA9";
  request.script_name = std::string(200, 'p');
  request.schema = std::string(17, 'z');
  request.add_timer(Tags{{"a", std::string(64, 'x') + "1"}}, 1, 1);
  request.add_timer(Tags{{"a", std::string(64, 'x') + "2"}}, 1, 1);
  auto original = request;
  original.server_name = std::string(31, 's') + "\xC3\xA9";
  auto message = encoded(original, {.classic = pinba::ClassicEngine::kOriginal});
  CHECK(message.hostname() == std::string(32, 'h'));
  CHECK(message.server_name() == std::string(31, 's'));
  CHECK(message.script_name() == std::string(128, 'p'));
  CHECK(message.schema() == std::string(16, 'z'));
  message = encoded(request, {.classic = pinba::ClassicEngine::kMaintained});
  CHECK(message.hostname() == std::string(64, 'h'));
  CHECK(message.server_name() == std::string(63, 's'));
  CHECK(message.script_name() == std::string(128, 'p'));
  CHECK(message.schema() == std::string(16, 'z'));
  std::map<TagTexts, TimerSum> sums;
  add_timers(message, sums);
  CHECK(sums[{{"a", std::string(64, 'x')}}].hits == 2);
  message = encoded(request);
  CHECK(message.script_name() == request.script_name);
  sums.clear();
  add_timers(message, sums);
  CHECK(sums.size() == 4);
}

TEST_CASE("requests within a request are sent by themselves, or nested where asked for") {
  Request request = shop_request();
  for (int i = 0; i < 3; ++i) {
    request.requests.push_back(with_timers(10));
    request.requests.back().script_name = "/inner" + std::to_string(i);
  }
  request.requests[1].requests.push_back(shop_request());
  Encoder apart;
  auto messages = all_encoded(apart, request);
  REQUIRE(messages.size() == 5);
  CHECK(messages[0].script_name() == "/cart");
  CHECK(messages[4].script_name() == "/inner2");

  Encoder nested({.max_bytes = 9000, .nested = true});
  messages = all_encoded(nested, request);
  REQUIRE(messages.size() == 1);
  REQUIRE(messages[0].requests_size() == 3);
  CHECK(messages[0].requests(1).requests(0).script_name() == "/cart");
  CHECK(messages[0].requests(2).timer_hit_count_size() == 10);

  Encoder some({.nested = true});
  messages = all_encoded(some, request);
  std::size_t requests = 0;
  for (const auto& message : messages) {
    requests += 1 + static_cast<std::size_t>(message.requests_size());
    for (const auto& inner : message.requests()) requests += static_cast<std::size_t>(inner.requests_size());
  }
  CHECK(messages.size() > 1);
  CHECK(requests == 5);

  // A request that must be changed takes none in.
  request.timers[0].hit_count = 0;
  messages = all_encoded(nested, request);
  CHECK(messages.size() == 4);
}

TEST_CASE("limits are kept within what a datagram can be") {
  CHECK(Encoder({.max_bytes = 0}).options().max_bytes == 256);
  CHECK(Encoder({.max_bytes = 1'000'000}).options().max_bytes == 65507);
  CHECK(pinba::datagram_of_mtu(1500) == 1452);
  CHECK(pinba::datagram_of_mtu(0) == 256);
  CHECK(pinba::datagram_of_mtu(65536) == 65488);
}

TEST_CASE("the packet in the documentation is the one that is made") {
  std::ifstream file(PACKET_DOC);
  std::vector<std::byte> documented;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("```")) {
      inside = !inside;
    } else if (inside) {
      std::istringstream bytes(line.substr(0, 31));
      for (unsigned byte = 0; bytes >> std::hex >> byte;) documented.push_back(static_cast<std::byte>(byte));
    }
  }
  Request request;
  request.hostname = "web1";
  request.server_name = "srv";
  request.script_name = "/";
  request.request_time = 0.25;
  request.status = 200;
  request.schema = "http";
  request.add_timer(Tags{{"op", "get"}}, 2, 0.5);
  Encoder encoder;
  CHECK(std::ranges::equal(encoder.encode(request).front(), documented));
  CHECK(broken_rule(documented) == "");
}

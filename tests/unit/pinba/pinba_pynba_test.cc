// The examples of pynba's README and of its folder of examples, in C++, and what pynba sends of them.
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "pinba/monitor.h"
#include "pinba/only_packet.h"
#include "pinba/packet_check.h"
#include "udp_receiver.h"

using pinba::Client;
using pinba::CurrentScope;
using pinba::RequestMonitor;

namespace {

// @pynba.timer(outsider="bar")
const auto outside = pinba::wrap({{"outsider", "bar"}}, [] {});

// pynba has an entry of one hit for each run: how many of which tags.
using Entries = std::map<TagTexts, int>;
Entries entries_of(const pinba_wire::Request& message) {
  Entries entries;
  int tag = 0;
  for (int i = 0; i < message.timer_hit_count_size(); ++i) {
    CHECK(message.timer_hit_count(i) == 1);
    TagTexts tags;
    for (const int end = tag + static_cast<int>(message.timer_tag_count(i)); tag < end; ++tag) {
      tags.emplace_back(message.dictionary(static_cast<int>(message.timer_tag_name(tag))),
                        message.dictionary(static_cast<int>(message.timer_tag_value(tag))));
    }
    ++entries[tags];
  }
  return entries;
}

// Serves one request with app(client), and gives its packet.
template <class App>
pinba_wire::Request packet_of(const App& app, pinba::ClientOptions options = {}) {
  UdpReceiver server;
  const auto client = Client::make({.servers = {server.server()}}, std::move(options));
  REQUIRE(client);
  app(*client);
  return only_packet(server);
}

}  // namespace

TEST_CASE("what pynba sent of its README's timer is what we send") {
  std::ifstream file(std::string(TEST_DATA) + "/pinba/pynba-timers.bin", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  auto pynbas = parsed(std::as_bytes(std::span(bytes)));
  auto ours = packet_of([](const Client& client) {
    RequestMonitor request(client, "/checkout");
    request.set_hostname("web1.example.com");
    request.set_server_name("srv");
    request.set_schema("https");
    request.set_status(404);
    request.set_document_size(2048);
    request.set_memory_peak(1 << 20);
    request.set_memory_footprint(512 << 10);
    request.add_tags({{"app", "shop"}, {"env", "prod"}});
    request.add_timer({{"foo", "bar"}, {"baz", {"seq1", "seq2"}}, {"qux", {{"map1", "val1"}}}}, 1, 0.125);
    request.add_timer({{"group", "mysql"}, {"op", "select"}}, 1, 0.0625);
  });
  CHECK(ours.request_time() > 0);
  for (auto* message : {&pynbas, &ours}) {
    // What was measured; pynba counts from 1, and php-pinba and we from 0.
    message->clear_request_time();
    message->clear_ru_utime();
    message->clear_ru_stime();
    message->clear_request_count();
  }
  CHECK(meaning(ours) == meaning(pynbas));
  // Entry by entry, and tag by tag in its order.
  CHECK(entries_of(ours) == entries_of(pynbas));
  CHECK(entries_of(ours) ==
        Entries{{{{"baz", "seq1"}, {"baz", "seq2"}, {"foo", "bar"}, {"qux.map1", "val1"}}, 1},
                {{{"group", "mysql"}, {"op", "select"}}, 1}});
}

TEST_CASE("timers of pynba's README and of its simple example") {
  const auto message = packet_of([](const Client& client) {
    const RequestMonitor request(client, "/");
    const CurrentScope current(request);

    auto timer = pinba::timer({{"foo", "bar"}});
    timer.start();
    timer.stop();
    pinba::current_request()->set_document_size(1234);
    pinba::current_request()->set_memory_peak(5678);

    auto single = pinba::timer({{"tag1", "foo"}, {"tag2", "bar"}});
    single.start();
    single.stop();
    {
      const auto timed = pinba::timer({{"tag3", "foo"}, {"tag4", "bar"}}).scope();
    }
    const auto long_process = pinba::wrap({{"tag5", "foo"}, {"tag6", "bar"}}, [] {});
    long_process();
  });
  CHECK(message.status() == 200);
  CHECK(message.document_size() == 1234);
  CHECK(message.memory_peak() == 5678);
  CHECK(entries_of(message) == Entries{{{{"foo", "bar"}}, 1},
                                       {{{"tag1", "foo"}, {"tag2", "bar"}}, 1},
                                       {{{"tag3", "foo"}, {"tag4", "bar"}}, 1},
                                       {{{"tag5", "foo"}, {"tag6", "bar"}}, 1}});
}

TEST_CASE("the application of pynba's example") {
  pinba::ClientOptions options;
  options.prefix = "[foo]";
  const auto message = packet_of(
      [](const Client& client) {
        const auto app = [&](const std::string& path) {
          const RequestMonitor request(client, path);
          const CurrentScope current(request);
          if (path == "/favicon.ico") pinba::current_request()->set_enabled(false);

          const auto timer1 =
              pinba::timer({{"foo", {"foo", "foo2"}}, {"bar", {"bar", "bar2"}}, {"baz", "baz"}});
          auto timer2 = pinba::timer({{"multi_bar", {"multi1", "multi2"}}, {"baz", "baz"}});
          timer2.start();
          {
            const auto timed = pinba::timer({{"context_bar", "bar"}, {"context_baz", "baz"}}).scope();
          }
          const auto trololo = pinba::wrap({{"decorator_bar", "bar"}, {"decorator_baz", "baz"}},
                                           [] { return std::string("foo"); });
          for (int i = 0; i < 5; ++i) CHECK(trololo() == "foo");
          outside();
          outside();
        };
        app("/favicon.ico");
        app("/index");
        outside();  // for no request
      },
      options);
  CHECK(message.script_name() == "[foo]/index");
  // The first never ran; the second ran until the request ended.
  CHECK(entries_of(message) ==
        Entries{{{{"baz", "baz"}, {"multi_bar", "multi1"}, {"multi_bar", "multi2"}}, 1},
                {{{"context_bar", "bar"}, {"context_baz", "baz"}}, 1},
                {{{"decorator_bar", "bar"}, {"decorator_baz", "baz"}}, 5},
                {{{"outsider", "bar"}}, 2}});
}

// Measuring from inside of a program: what arrives at a server of a request, its timers and scripts.
#include <doctest/doctest.h>

#include <ctime>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>

#include "held_calls.h"
#include "loopback_address.h"
#include "other_thread.h"
#include "patience.h"
#include "pinba/monitor.h"
#include "pinba/packet_check.h"
#include "udp_receiver.h"

using namespace std::chrono_literals;
using pinba::Client;
using pinba::ClientOptions;
using pinba::CurrentScope;
using pinba::RequestMonitor;
using pinba::Tags;

namespace {

using Timers = std::map<TagTexts, TimerSum>;

// A server, a client of it, and what the client logged.
struct Site {
  explicit Site(ClientOptions options = {}) {
    options.log = [this](std::string_view message) {
      const std::lock_guard lock(mutex);
      logged.emplace_back(message);
    };
    auto made = Client::make({.servers = {server.server()}}, std::move(options));
    REQUIRE(made);
    client.emplace(std::move(*made));
  }

  pinba_wire::Request received() {
    const auto packet = server.receive();
    REQUIRE(packet);
    const auto bytes = std::as_bytes(std::span(*packet));
    CHECK(broken_rule(bytes) == "");
    return parsed(bytes);
  }
  Timers received_timers() {
    Timers timers;
    add_timers(received(), timers);
    return timers;
  }

  UdpReceiver server;
  std::mutex mutex;
  std::vector<std::string> logged;
  std::optional<Client> client;
};

// Uses so much processor time, which takes at least as long.
void work(std::chrono::nanoseconds time) {
  const auto used = [] {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  };
  const auto end = used() + time;
  while (used() < end) {
  }
}

}  // namespace

TEST_CASE("a request is sent when its scope ends, with its names, numbers and tags") {
  ClientOptions options;
  options.hostname = "web1";
  options.server_name = "shop.example.com";
  options.schema = "https";
  options.prefix = "/shop";
  options.tags = Tags{{"env", "prod"}};
  Site site(options);
  for (unsigned i = 0; i < 3; ++i) {
    {
      RequestMonitor request(*site.client, "/index");
      request.set_script_name("/cart");
      request.set_status(404);
      request.set_document_size(2048);
      request.set_memory_peak(1 << 20);
      request.set_memory_footprint(1 << 21);
      request.add_tags({{"app", "shop"}});
      work(2ms);
      CHECK(request.started());
      CHECK(request.elapsed() > 0.002);
      CHECK(site.server.received().empty());
    }
    const auto message = site.received();
    CHECK(message.hostname() == "web1");
    CHECK(message.server_name() == "shop.example.com");
    CHECK(message.schema() == "https");
    CHECK(message.script_name() == "/shop/cart");
    CHECK(message.request_count() == i);
    CHECK(message.status() == 404);
    CHECK(message.document_size() == 2048);
    CHECK(message.memory_peak() == 1 << 20);
    CHECK(message.memory_footprint() == 1 << 21);
    CHECK(message.request_time() >= 0.002F);
    CHECK(message.ru_utime() + message.ru_stime() > 0.001F);
    CHECK(request_tags(message) == TagTexts{{"env", "prod"}, {"app", "shop"}});
  }
  CHECK(site.logged.empty());
}

TEST_CASE("a tag of a request replaces those of its name, as in a dictionary") {
  ClientOptions options;
  options.tags = Tags{{"app", "default"}, {"dc", {"fra", "ams"}}};
  Site site(options);
  {
    RequestMonitor request(*site.client, "/");
    request.add_tags({{"app", "shop"}, {"release", 12}});
    request.add_tags({{"release", 13}});
    request.flush();
    request.add_tags({{"app", "shop"}, {"dc", "lon"}});
  }
  CHECK(request_tags(site.received()) ==
        TagTexts{{"dc", "ams"}, {"dc", "fra"}, {"app", "shop"}, {"release", "13"}});
  CHECK(request_tags(site.received()) == TagTexts{{"release", "13"}, {"app", "shop"}, {"dc", "lon"}});
}

TEST_CASE("a request that sets nothing has pynba's defaults") {
  Site site;
  {
    RequestMonitor request(*site.client, "/");
  }
  const auto message = site.received();
  std::array<char, 256> host{};
  REQUIRE(::gethostname(host.data(), host.size() - 1) == 0);
  CHECK(message.hostname() == host.data());
  CHECK(message.status() == 200);
  CHECK(message.document_size() == 0);
  CHECK(message.timer_hit_count_size() == 0);
}

TEST_CASE("timers count what they measure, in scopes, by hand and around functions") {
  Site site;
  {
    RequestMonitor request(*site.client, "/");
    {
      const auto scope = request.timer({{"how", "scope"}}).scope();
      work(2ms);
    }
    auto by_hand = request.timer({{"how", "hand"}});
    CHECK(!by_hand.elapsed());
    for (int i = 0; i < 2; ++i) {
      by_hand.start();
      CHECK(by_hand.started());
      work(1ms);
      by_hand.stop();
      CHECK(by_hand.elapsed().value() >= 0.001);
    }
    auto again = by_hand.clone();
    CHECK(!again.elapsed());
    {
      const auto scope = again.scope();
      again.stop();  // before its scope ends
    }
    const auto twice = request.timer({{"how", "function"}}).wrap([](int number) { return 2 * number; });
    auto called = twice;
    CHECK(called(3) + called(4) == 14);
    auto running = request.timer({{"how", "running"}});
    running.start();
    auto moved = std::move(running);
    work(1ms);
    const auto never = request.timer({{"how", "never"}});
    auto discarded = request.timer({{"how", "discarded"}});
    discarded.start();
    discarded.stop();
    discarded.discard();
    CHECK(!discarded.elapsed());
    request.add_timer(Tags{{"how", "elsewhere"}}, 5, 2.5);
    CHECK(request.send());
    CHECK(!request.send());
  }
  auto timers = site.received_timers();
  CHECK(timers.size() == 5);
  CHECK(timers[{{"how", "scope"}}].value >= 0.002);
  CHECK(timers[{{"how", "hand"}}].hits == 3);
  CHECK(timers[{{"how", "hand"}}].value >= 0.002);
  CHECK(timers[{{"how", "function"}}].hits == 2);
  CHECK(timers[{{"how", "running"}}].hits == 1);
  CHECK(timers[{{"how", "running"}}].value >= 0.001);
  CHECK(timers[{{"how", "elsewhere"}}].hits == 5);
  CHECK(site.server.received().empty());
  CHECK(site.logged.empty());
}

TEST_CASE("tags of timers are flattened, sorted, and each is there once") {
  Site site;
  {
    RequestMonitor request(*site.client, "/");
    const auto a = request.timer({{"b", 2}, {"a", std::vector<int>{2, 1, 2}}, {"b", 2}}).scope();
    const auto same = request.timer(Tags{{"a", 1}, {"b", 2}, {"a", 2}}).scope();
    const auto none = request.timer({}).scope();
  }
  auto timers = site.received_timers();
  CHECK(timers.size() == 2);
  CHECK(timers[{{"a", "1"}, {"a", "2"}, {"b", "2"}}].hits == 2);
  CHECK(timers[{{"timer", "untagged"}}].hits == 1);
}

TEST_CASE("timers with equal tags have few entries, one, or one each, as is wanted") {
  using pinba::EqualTimers;
  for (const auto& [equal, want] : {std::pair(EqualTimers::kByValue, 10),
                                    std::pair(EqualTimers::kSeparate, 10), std::pair(EqualTimers::kOne, 1)}) {
    ClientOptions options;
    options.equal_timers = equal;
    Site site(options);
    {
      RequestMonitor request(*site.client, "/");
      for (int i = 0; i < 10; ++i) request.add_timer({{"op", "get"}}, 1, 1 + i);
    }
    const auto message = site.received();
    CHECK(message.timer_hit_count_size() == want);
    CHECK(message.timer_hit_count(0) == 10 / want);
    CHECK(message.timer_value(0) == (want == 1 ? 55 : 1));
  }
}

TEST_CASE("runs of one timer stay apart by their time, unless that is not wanted") {
  using pinba::EqualTimers;
  for (const auto equal : {EqualTimers::kByValue, EqualTimers::kOne}) {
    ClientOptions options;
    options.equal_timers = equal;
    Site site(options);
    pinba_wire::Request message;
    std::chrono::nanoseconds longest_other{};
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    // Until no other run lasted so long that it may share the slow one's entry, as where a busy machine held
    // it up.
    do {
      REQUIRE(std::chrono::steady_clock::now() < deadline);
      longest_other = {};
      {
        RequestMonitor request(*site.client, "/");
        auto timer = request.timer({{"op", "get"}});
        for (int i = 0; i < 20; ++i) {
          const auto begun = std::chrono::steady_clock::now();
          {
            const auto scope = timer.scope();
            if (i == 10) work(20ms);
          }
          const auto took = std::chrono::steady_clock::now() - begun;
          if (i != 10) longest_other = std::max<std::chrono::nanoseconds>(longest_other, took);
        }
      }
      message = site.received();
    } while (longest_other > 1ms);
    std::uint64_t hits = 0;
    float slowest = 0;
    for (int i = 0; i < message.timer_hit_count_size(); ++i) {
      const auto of_entry = message.timer_hit_count(i);
      hits += of_entry;
      slowest = std::max(slowest, message.timer_value(i) / static_cast<float>(of_entry));
    }
    CHECK(hits == 20);
    CHECK((message.timer_hit_count_size() > 1) == (equal == EqualTimers::kByValue));
    if (equal == EqualTimers::kByValue) CHECK(slowest >= 0.02F);
  }
}

TEST_CASE("starting or stopping twice is told, and thrown only where that is wanted") {
  for (const bool raise : {false, true}) {
    ClientOptions options;
    options.raise_on_fail = raise;
    Site site(options);
    {
      RequestMonitor request(*site.client, "/");
      auto timer = request.timer({{"a", 1}});
      const auto fails = [&](auto&& call) {
        if (raise) {
          CHECK_THROWS_AS(call(), pinba::MonitorError);
        } else {
          call();
        }
      };
      fails([&] { timer.stop(); });
      timer.start();
      fails([&] { timer.start(); });
      timer.stop();
      fails([&] { timer.stop(); });
      fails([&] { request.start(); });
      request.stop();
      fails([&] { request.stop(); });
      request.start();
      request.send();
      fails([&] { request.start(); });
    }
    CHECK(site.logged.size() == 6);
    CHECK(site.received_timers()[{{"a", "1"}}].hits == 1);
  }
}

TEST_CASE("a request that cannot be handed on is told, and thrown only where that is wanted") {
  // The name may be known as not found before the first loss, or still be looked up after the last.
  for (const auto& [raise, early] : {std::pair(false, true), {true, true}, {false, false}, {true, false}}) {
    CAPTURE(raise);
    CAPTURE(early);
    std::promise<void> may_end;
    if (early) may_end.set_value();
    std::vector<std::string> losses;
    ClientOptions options;
    options.raise_on_fail = raise;
    options.log = [&](std::string_view message) {
      // What else there is to tell, of the name, follows in the same line or comes alone.
      if (message.find("datagrams were dropped") != std::string_view::npos) {
        losses.emplace_back(message.substr(0, message.find(';')));
      }
    };
    auto client = Client::make({.servers = {"pinba.example"},
                                .queue_packets = 0,
                                .resolve =
                                    [end = may_end.get_future().share()](auto&...) {
                                      end.wait();
                                      return std::vector<pinba::Address>{};
                                    }},
                               options);
    REQUIRE(client);
    if (early) {
      const auto deadline = std::chrono::steady_clock::now() + kPatience;
      while (client->sender().counts().not_found == 0) {
        REQUIRE(std::chrono::steady_clock::now() < deadline);
        std::this_thread::sleep_for(1ms);
      }
    }
    {
      RequestMonitor request(*client, "/");
      if (raise) {
        CHECK_THROWS_AS(request.flush(), pinba::MonitorError);
        CHECK_THROWS_AS(request.send(), pinba::MonitorError);
      } else {
        request.flush();
        CHECK(!request.send());
      }
      CHECK(!request.send());  // once is all
    }
    {
      const RequestMonitor request(*client, "/ends");
    }
    {
      RequestMonitor request(*client, "/disabled");
      request.set_enabled(false);
      request.flush();
      CHECK(!request.send());
    }
    CHECK(client->sender().counts().dropped == 3);
    CHECK(losses == std::vector<std::string>{"1 datagrams were dropped", "2 datagrams were dropped"});
    if (!early) may_end.set_value();
  }
}

TEST_CASE("the log tells of a server that is not found or refuses packets, long before anything is lost") {
  std::vector<std::string> logged;
  ClientOptions options;
  options.log = [&](std::string_view message) { logged.emplace_back(message); };
  const UnheardPort place;
  const std::string nobody = place.server();
  auto client = Client::make({.servers = {"pinba.example", nobody},
                              .retry_interval = 1ms,
                              .resolve = [&](auto&...) { return std::vector<pinba::Address>{}; }},
                             options);
  REQUIRE(client);
  const auto counts = [&](std::size_t server) { return client->sender().counts(server); };
  std::size_t sent = 0;
  const auto tells = [&](const std::string& what) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::ranges::none_of(logged,
                                [&](const auto& line) { return line.find(what) != std::string::npos; })) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      RequestMonitor(*client, "/").send();
      ++sent;
      std::this_thread::sleep_for(1ms);
    }
    return true;
  };
  CHECK(tells("server pinba.example: its name is not found; "));
  CHECK(tells("server " + nobody + ": 1 datagrams came back"));
  CHECK(counts(0).dropped == 0);
  // No more than powers of two of each.
  for (std::uint64_t known = 0; counts(0).not_found < 50 || counts(1).refused < 50;) {
    const auto now = counts(0).not_found;
    if (std::exchange(known, now) == now) {
      std::this_thread::sleep_for(1ms);
      continue;
    }
    RequestMonitor(*client, "/").send();
    ++sent;
  }
  const auto lines = [&](const char* what) {
    return std::ranges::count_if(logged,
                                 [&](const auto& line) { return line.find(what) != std::string::npos; });
  };
  CHECK(lines("not found") <= std::bit_width(counts(0).not_found));
  CHECK(lines("came back") <= std::bit_width(counts(1).refused));
  CHECK(counts(0).queued == sent);
}

TEST_CASE("the log tells of the last packet's refusal when the client ends") {
  std::vector<std::string> logged;
  ClientOptions options;
  options.log = [&](std::string_view message) { logged.emplace_back(message); };
  const UnheardPort place;
  const std::string nobody = place.server();
  {
    const auto client = Client::make({.servers = {nobody}}, options);
    REQUIRE(client);
    RequestMonitor(*client, "/").send();
    CHECK(logged.empty());
  }
  CHECK(logged == std::vector<std::string>{"server " + nobody + ": 1 datagrams came back"});
}

TEST_CASE("the log tells that a server takes packets again, and of the next time that it does not") {
  const UnheardPort kept;
  const auto port = kept.port();
  const std::string place = kept.server();
  std::optional<UdpReceiver> server(std::in_place, AF_INET, port);
  const auto is_known =
      std::make_shared<std::atomic<bool>>(false);  // a look-up may last longer than all else
  std::vector<std::string> logged;
  ClientOptions options;
  options.log = [&](std::string_view message) { logged.emplace_back(message); };
  auto client = Client::make({.servers = {place, "pinba.example"},
                              .retry_interval = 1ms,
                              .resolve =
                                  [is_known, port](auto&...) {
                                    if (!*is_known) return std::vector<pinba::Address>{};
                                    return std::vector{loopback_address(port)};
                                  }},
                             options);
  REQUIRE(client);
  const auto tells = [&](const std::string& what) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    for (const auto before = logged.size();;) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      RequestMonitor(*client, "/").send();
      for (auto i = before; i < logged.size(); ++i) {
        if (logged[i].find(what) != std::string::npos) return true;
      }
      std::this_thread::sleep_for(1ms);
    }
  };
  CHECK(tells("server pinba.example: its name is not found"));
  *is_known = true;
  CHECK(tells("server pinba.example: its name is found again"));
  for (int round = 0; round < 2; ++round) {
    server.reset();
    // The first failure is news each time, whatever failed before.
    const auto came_back = [&](int requests) {
      const auto before = static_cast<std::ptrdiff_t>(logged.size());
      for (int i = 0; i < requests; ++i) RequestMonitor(*client, "/").send();
      return std::any_of(logged.begin() + before, logged.end(), [&](const std::string& line) {
        const auto at = line.find("server " + place + ": ");
        return at != std::string::npos && line.find("datagrams came back", at) != std::string::npos;
      });
    };
    CHECK(came_back(2));
    for (const auto enough = client->sender().counts(0).refused + 20;
         client->sender().counts(0).refused < enough;) {
      RequestMonitor(*client, "/").send();
    }
    server.emplace(AF_INET, port);
    CHECK(tells("server " + place + ": takes datagrams again; "));
    CHECK(!came_back(5));
  }
}

TEST_CASE("the log may use the request that it is told of") {
  std::optional<RequestMonitor> request;
  ClientOptions options;
  UdpReceiver server;
  int told = 0;
  options.log = [&](std::string_view) {
    ++told;
    if (request) request->timer({{"from", "log"}}).start();
  };
  options.max_timers = 1;
  auto client = Client::make({.servers = {server.server()}}, options);
  REQUIRE(client);
  request.emplace(*client, std::string("bad\0name", 8));
  request->add_timer(Tags{{"a", 1}}, 1, 1);
  request->add_timer(Tags{{"a", 2}}, 1, 1);
  request->stop();
  request->stop();
  request->send();
  CHECK(told == 2);
}

TEST_CASE("flush sends now and starts over, without the timers of before") {
  Site site;
  {
    RequestMonitor request(*site.client, "/");
    request.add_tags({{"app", "shop"}});
    auto timer = request.timer({{"part", 1}});
    timer.start();
    request.flush();
    CHECK(site.received_timers()[{{"part", "1"}}].hits == 1);
    CHECK(request.started());
    // Its timers are gone, but may still be used.
    timer.start();
    timer.stop();
    {
      const auto late = timer.clone().scope();
    }
    const auto next = request.timer({{"part", 2}}).scope();
  }
  const auto message = site.received();
  Timers timers;
  add_timers(message, timers);
  CHECK(timers.size() == 1);
  CHECK(timers[{{"part", "2"}}].hits == 1);
  CHECK(request_tags(message) == TagTexts{{"app", "shop"}});
  CHECK(message.dictionary_size() == 4);
}

TEST_CASE("a function that is wrapped at start-up is measured for whatever request is current") {
  Site site;
  int calls = 0;
  const auto load = pinba::wrap({{"op", "load"}}, [&](int number) {
    ++calls;
    return 2 * number;
  });
  CHECK(load(1) == 2);  // there is no request
  for (int i = 0; i < 2; ++i) {
    {
      const RequestMonitor request(*site.client, "/" + std::to_string(i));
      const CurrentScope current(request);
      CHECK(load(i) == 2 * i);
      CHECK(load(5) == 10);
    }
    const auto message = site.received();
    CHECK(message.script_name() == "/" + std::to_string(i));
    Timers timers;
    add_timers(message, timers);
    CHECK(timers[{{"op", "load"}}].hits == 2);
  }
  CHECK(calls == 5);
}

TEST_CASE("a request that was moved from does nothing") {
  Site site;
  RequestMonitor from(*site.client, "/");
  RequestMonitor to(std::move(from));
  // NOLINTBEGIN(bugprone-use-after-move)
  from.set_script_name("/from");
  from.set_hostname("h");
  from.set_server_name("s");
  from.set_schema("x");
  from.set_status(1);
  from.set_document_size(1);
  from.set_memory_peak(1);
  from.set_memory_footprint(1);
  from.add_tags({{"a", 1}});
  from.set_enabled(true);
  from.add_timer({{"a", 1}}, 1, 1);
  from.timer({{"a", 1}}).start();
  from.timer(Tags{{"a", 1}}).start();
  from.start();
  from.stop();
  CHECK(!from.started());
  CHECK(from.elapsed() == 0);
  from.flush();
  CHECK(!from.send());
  from.discard();
  {
    const CurrentScope current(from);
    pinba::timer({{"a", 1}}).start();
    pinba::current_request()->set_status(1);
  }
  // NOLINTEND(bugprone-use-after-move)
  CHECK(to.send());
  const auto message = site.received();
  CHECK(message.script_name() == "/");
  CHECK(message.status() == 200);
  CHECK(message.timer_hit_count_size() == 0);
  CHECK(site.logged.empty());
}

TEST_CASE("the log says what was changed of which request") {
  Site site;
  {
    RequestMonitor request(*site.client, "/cart");
    request.set_hostname("a\xFF");
    request.add_timer({}, 1, -1);
  }
  REQUIRE(site.logged.size() == 1);
  CHECK(
      site.logged[0] ==
      "1 requests were changed to be safe for servers; now that of script \"/cart\": 1 texts with NUL or not "
      "UTF-8, 1 numbers that cannot be sent, 1 timers without tags");
}

TEST_CASE("what is not enabled or discarded is not sent") {
  ClientOptions options;
  options.enabled = false;
  Site off(options);
  {
    RequestMonitor request(*off.client, "/");
  }
  {
    RequestMonitor request(*off.client, "/on");
    request.set_enabled(true);
  }
  CHECK(off.received().script_name() == "/on");
  Site site;
  {
    RequestMonitor request(*site.client, "/");
    request.discard();
    auto timer = request.timer({{"a", 1}});
    timer.start();
  }
  CHECK(site.server.received().empty());
  CHECK(site.logged.empty());
}

TEST_CASE("the current request is the innermost of the thread") {
  Site site;
  {
    const auto nowhere = pinba::timer({{"a", 1}}).scope();
  }
  CHECK(!pinba::current_request());
  {
    RequestMonitor outer(*site.client, "/outer");
    const CurrentScope current(outer);
    {
      RequestMonitor inner(*site.client, "/inner");
      const CurrentScope nested(inner);
      const auto timed = pinba::timer({{"in", "inner"}}).scope();
    }
    CHECK(site.received_timers().contains({{"in", "inner"}}));
    const auto timed = pinba::timer({{"in", "outer"}}).scope();
    pinba::current_request()->set_script_name("/renamed");
    CHECK(site.server.received().empty());
  }
  const auto message = site.received();
  CHECK(message.script_name() == "/renamed");
  CHECK(message.timer_hit_count_size() == 1);
  CHECK(!pinba::current_request());
}

TEST_CASE("a request can be handed to other threads, and shared by several") {
  Site site;
  {
    RequestMonitor request(*site.client, "/");
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        const CurrentScope current(request);
        for (int i = 0; i < 250; ++i) const auto timed = pinba::timer({{"thread", i % 3}}).scope();
      });
    }
    for (auto& thread : threads) thread.join();
  }
  // In as many packets as it takes.
  std::uint64_t hits = 0;
  while (hits < 1000) {
    for (const auto& [tags, sum] : site.received_timers()) hits += sum.hits;
  }
  CHECK(hits == 1000);
  CHECK(site.server.received().empty());
}

TEST_CASE("scopes may end in any order and in another thread") {
  Site site;
  RequestMonitor a(*site.client, "/a");
  RequestMonitor b(*site.client, "/b");
  auto scope_a = std::make_unique<CurrentScope>(a);
  auto scope_b = std::make_unique<CurrentScope>(b);
  scope_a.reset();
  pinba::current_request()->add_tags({{"current", "b"}});
  std::thread([&] { scope_b.reset(); }).join();
  CHECK(!pinba::current_request());
  b.send();
  CHECK(request_tags(site.received()) == TagTexts{{"current", "b"}});
}

TEST_CASE("timers and scopes may outlive their request and its client") {
  pinba::RequestTimer timer;
  std::optional<CurrentScope> scope;
  {
    Site site;
    RequestMonitor request(*site.client, "/");
    timer = request.timer({{"a", 1}});
    timer.start();
    scope.emplace(request);
    request.send();
    CHECK(site.received_timers().size() == 1);
  }
  timer.clone().start();
  CHECK(!timer.started());
  {
    const auto late = pinba::timer({{"b", 1}}).scope();
  }
}

TEST_CASE("more timers than allowed are left out, and it is said") {
  ClientOptions options;
  options.max_timers = 10;
  options.encode.max_bytes = 9000;
  Site site(options);
  {
    RequestMonitor request(*site.client, "/");
    for (int i = 0; i < 25; ++i) const auto scope = request.timer({{"n", i}}).scope();
  }
  CHECK(site.received_timers().size() == 10);
  REQUIRE(site.logged.size() == 1);
  CHECK(site.logged[0] == "15 timers were left out of requests that had too many");
}

TEST_CASE(
    "timers that have not ended yet, clones, and those that were measured elsewhere are within the bound, "
    "too") {
  ClientOptions options;
  options.max_timers = 10;
  Site site(options);
  const auto many = [&](int more) {
    RequestMonitor request(*site.client, "/");
    std::vector<pinba::RequestTimer> timers;
    for (int i = 0; i < 4; ++i) timers.push_back(request.timer({{"n", i}}));
    for (int i = 4; i < 6; ++i) timers.push_back(request.timer(Tags{{"n", i}}));
    for (int i = 6; i < 9; ++i) request.add_timer(Tags{{"n", i}}, 1, 1);
    timers.push_back(timers[0].clone());
    for (int i = 0; i < more; ++i) timers.push_back(request.timer({{"more", i}}));
    for (int i = 0; i < more; ++i) timers.push_back(timers[0].clone());
    for (auto& timer : timers) timer.start();
  };
  many(0);
  CHECK(site.received_timers().size() == 9);
  CHECK(site.logged.empty());
  many(2);
  auto timers = site.received_timers();
  CHECK(timers.size() == 9);
  CHECK(timers[{{"n", "0"}}].hits == 2);
  REQUIRE(site.logged.size() == 1);
  CHECK(site.logged[0] == "4 timers were left out of requests that had too many");
  // Nobody who measured elsewhere is told less.
  {
    RequestMonitor request(*site.client, "/");
    for (int i = 0; i < 14; ++i) request.add_timer(Tags{{"n", i}}, 1, 1);
    request.flush();
    CHECK(site.received_timers().size() == 10);
    for (int i = 0; i < 10; ++i) request.add_timer(Tags{{"n", i}}, 1, 1);
  }
  CHECK(site.received_timers().size() == 10);
  // Of those that are left out, powers of two are told.
  REQUIRE(site.logged.size() == 2);
  CHECK(site.logged[1] == "8 timers were left out of requests that had too many");
  // Those of before a flush were told with it: these are the 9th to the 12th.
  {
    RequestMonitor request(*site.client, "/");
    for (int i = 0; i < 14; ++i) request.add_timer(Tags{{"n", i}}, 1, 1);
  }
  CHECK(site.logged.size() == 2);
}

TEST_CASE("many requests and timers at once leave nothing for those that come after them") {
  ClientOptions options;
  options.equal_timers = pinba::EqualTimers::kOne;
  Site site(options);
  for (int round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<RequestMonitor>> requests;
    for (int i = 0; i < 100; ++i) {
      requests.push_back(std::make_unique<RequestMonitor>(*site.client, "/" + std::to_string(i)));
      requests.back()->set_document_size(round == 0 ? 1 : 0);
      if (round == 0) requests.back()->add_tags({{"first", "round"}});
    }
    std::vector<pinba::RequestTimer> timers;
    for (int i = 0; i < 300; ++i) {
      timers.push_back(requests[0]->timer({{"n", i % 10}}));
      timers.back().start();
    }
    for (auto& request : requests) CHECK(request->send());
    timers.clear();
    requests.clear();
    for (int i = 0; i < 100; ++i) {
      const auto message = site.received();
      CHECK(message.document_size() == (round == 0 ? 1 : 0));
      CHECK(message.tag_name_size() == (round == 0 ? 1 : 0));
      CHECK(message.timer_hit_count_size() == (i == 0 ? 10 : 0));
      if (i == 0) CHECK(message.timer_hit_count(0) == 30);
    }
  }
}

TEST_CASE("while a request is sent, whoever else uses it waits") {
  using Call = std::function<void(RequestMonitor&, pinba::RequestTimer&)>;
  const std::vector<Call> calls{
      [](auto& request, auto&) { request.set_script_name("/new"); },
      [](auto& request, auto&) { request.set_status(500); },
      [](auto& request, auto&) { request.add_tags({{"late", "tag"}}); },
      [](auto& request, auto&) { request.set_enabled(true); },
      [](auto& request, auto&) { static_cast<void>(request.timer({{"late", "timer"}})); },
      [](auto& request, auto&) { static_cast<void>(request.timer(Tags{{"late", "timer"}})); },
      [](auto& request, auto&) { request.add_timer(Tags{{"late", "timer"}}, 1, 1); },
      [](auto& request, auto&) { request.start(); },
      [](auto& request, auto&) { request.stop(); },
      [](auto& request, auto&) { CHECK(request.started()); },
      [](auto& request, auto&) { CHECK(request.elapsed() >= 0); },
      [](auto& request, auto&) { request.flush(); },
      [](auto& request, auto&) { request.send(); },
      [](auto& request, auto&) { request.discard(); },
      [](auto&, auto& timer) { timer.start(); },
      [](auto&, auto& timer) { timer.stop(); },
      [](auto&, auto& timer) { CHECK(!timer.started()); },
      [](auto&, auto& timer) { CHECK(!timer.elapsed()); },
      [](auto&, auto& timer) { static_cast<void>(timer.clone()); },
      [](auto&, auto& timer) { timer.discard(); },
      [](auto&, auto& timer) { timer = {}; },
  };
  for (std::size_t i = 0; i < calls.size(); ++i) {
    CAPTURE(i);
    Site site;
    RequestMonitor request(*site.client, "/old");
    auto timer = request.timer({{"some", "timer"}});
    std::optional<OtherThread> other;
    if (!held::while_held(
            SYS_sendmsg, 1, [&] { request.flush(); },
            [&] {
              other.emplace([&] { calls[i](request, timer); });
              CHECK(other->waits());
            }))
      return;
    other.reset();
    // What came later is of the next one.
    const auto message = site.received();
    CHECK(message.script_name() == "/old");
    CHECK(message.status() == 200);
    CHECK(message.tag_name_size() == 0);
  }
}

TEST_CASE("the memory of one request does not show in the next") {
  Site site;
  for (int i = 0; i < 5; ++i) {
    {
      RequestMonitor request(*site.client, "/");
      const auto timed = request.timer({{"n", i}}).scope();
      auto unused = request.timer({{"m", i}});
      if (i % 2 == 0) {
        unused.start();
        request.send();
        unused.stop();
      }
    }
    const auto message = site.received();
    CHECK(message.timer_hit_count_size() == 2 - i % 2);
    CHECK(message.status() == 200);
    CHECK(message.document_size() == 0);
  }
}

TEST_CASE("a script is measured under its command line") {
  Site site;
  {
    pinba::ScriptMonitor script(*site.client);
    script.set_status(0);
  }
  const auto message = site.received();
  CHECK(message.script_name().find("pinba_monitor_test") != std::string::npos);
  CHECK(message.status() == 0);
  pinba::ScriptMonitor named(*site.client, "nightly");
  CHECK(named.send());
  CHECK(site.received().script_name() == "nightly");
}

TEST_CASE("processor time can be that of the thread, of timers too, or none") {
  for (const auto rusage : {ClientOptions::Rusage::kThread, ClientOptions::Rusage::kNone}) {
    ClientOptions options;
    options.rusage = rusage;
    options.timer_rusage = true;
    Site site(options);
    {
      RequestMonitor request(*site.client, "/");
      const auto timed = request.timer({{"a", 1}}).scope();
      work(5ms);
    }
    const auto message = site.received();
    CHECK((message.ru_utime() + message.ru_stime() > 0) == (rusage == ClientOptions::Rusage::kThread));
    CHECK(message.timer_ru_utime(0) + message.timer_ru_stime(0) > 0.001F);
  }
}

TEST_CASE("a request has the processor time of its own thread, a script that of its process") {
  using Rusage = ClientOptions::Rusage;
  const auto used_by = [](Rusage rusage, bool is_script) {
    ClientOptions options;
    options.rusage = rusage;
    Site site(options);
    {
      std::optional<RequestMonitor> request;
      if (is_script) {
        request.emplace(pinba::ScriptMonitor(*site.client, "/"));
      } else {
        request.emplace(*site.client, "/");
      }
      std::thread([] { work(200ms); }).join();
    }
    const auto message = site.received();
    return message.ru_utime() + message.ru_stime();
  };
  CHECK(used_by(Rusage::kDefault, false) < 0.1F);
  CHECK(used_by(Rusage::kDefault, true) > 0.15F);
  CHECK(used_by(Rusage::kProcess, false) > 0.15F);
  CHECK(used_by(Rusage::kThread, true) < 0.1F);
}

TEST_CASE("processor time is 0 where another thread stops what was started") {
  ClientOptions options;
  options.timer_rusage = true;
  Site site(options);
  RequestMonitor request(*site.client, "/");
  auto timer = request.timer({{"a", 1}});
  timer.start();
  std::thread([&] {
    work(50ms);
    timer.stop();
    request.send();
  }).join();
  const auto message = site.received();
  CHECK(message.ru_utime() + message.ru_stime() == 0);
  CHECK(message.timer_hit_count(0) == 1);
  CHECK(message.timer_ru_utime_size() == 0);  // 0 is left out
  CHECK(message.timer_ru_stime_size() == 0);
}

TEST_CASE("a request that was measured elsewhere is sent as it is") {
  Site site;
  pinba::Request request;
  request.hostname = "db1";
  request.add_timer(Tags{{"a", 1}}, 7, 1.5);
  CHECK(site.client->send(request));
  const auto message = site.received();
  CHECK(message.hostname() == "db1");
  CHECK(message.timer_hit_count(0) == 7);
}

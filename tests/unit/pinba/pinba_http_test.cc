// The middleware in a real HTTP server, and what any other server calls.
#include <doctest/doctest.h>

#include <thread>

#include "patience.h"
#include "pinba/httplib.h"
#include "pinba/packet_check.h"
#include "udp_receiver.h"

namespace {

// The library would give up after seconds, at both ends.
void be_patient(httplib::Client& browser) {
  browser.set_connection_timeout(kPatience);
  browser.set_read_timeout(kPatience);
  browser.set_write_timeout(kPatience);
}
void be_patient(httplib::Server& server) {
  server.set_read_timeout(kPatience);
  server.set_write_timeout(kPatience);
  server.set_keep_alive_timeout(std::chrono::seconds(kPatience).count());
}

pinba_wire::Request received(UdpReceiver& server) {
  const auto packet = server.receive();
  REQUIRE(packet);
  const auto bytes = std::as_bytes(std::span(*packet));
  CHECK(broken_rule(bytes) == "");
  return parsed(bytes);
}

}  // namespace

TEST_CASE("requests of cpp-httplib are measured, each with the timers of its handler") {
  UdpReceiver pinba_server;
  const auto client = pinba::Client::make({.servers = {pinba_server.server()}}, {.prefix = "/api"});
  REQUIRE(client);
  httplib::Server server;
  int before = 0;
  int after = 0;
  pinba::HttplibOptions options;
  options.before = [&](const auto&, auto&) {
    ++before;
    return httplib::Server::HandlerResponse::Unhandled;
  };
  options.after = [&](const auto&, const auto&) { ++after; };
  pinba::monitor(server, *client, options);
  server.Get("/cart", [](const httplib::Request&, httplib::Response& response) {
    const auto timed = pinba::timer({{"op", "select"}}).scope();
    response.set_content("twelve bytes", "text/plain");
  });
  server.Get("/throws", [](const httplib::Request&, httplib::Response&) { throw std::runtime_error("no"); });
  be_patient(server);
  const int port = server.bind_to_any_port("127.0.0.1");
  REQUIRE(port > 0);
  std::thread serving([&] { server.listen_after_bind(); });
  {
    httplib::Client browser("127.0.0.1", port);
    be_patient(browser);
    browser.set_keep_alive(true);
    // What is sent is what counts, and newer libraries compress it if the client can read that.
    browser.set_default_headers({{"Accept-Encoding", "identity"}});
    REQUIRE(browser.Get("/cart?user=5"));
    auto message = received(pinba_server);
    CHECK(message.script_name() == "/api/cart");
    CHECK(message.server_name() == "127.0.0.1");
    CHECK(message.schema() == "http");
    CHECK(message.status() == 200);
    CHECK(message.document_size() == 12);
    CHECK(message.request_time() > 0);
    std::map<TagTexts, TimerSum> timers;
    add_timers(message, timers);
    CHECK(timers[{{"op", "select"}}].hits == 1);

    REQUIRE(browser.Get("/absent"));
    message = received(pinba_server);
    CHECK(message.script_name() == "/api/<404>");
    CHECK(message.status() == 404);
    CHECK(message.timer_hit_count_size() == 0);

    REQUIRE(browser.Get("/throws"));
    message = received(pinba_server);
    CHECK(message.status() == 500);
  }
  server.stop();
  serving.join();
  CHECK(before == 3);
  CHECK(after == 3);
  CHECK(pinba_server.received().empty());
}

namespace {

// A server with the middleware, a browser, and the Pinba server that is told.
struct Shop {
  explicit Shop(pinba::HttplibOptions options = {}) {
    auto made = pinba::Client::make({.servers = {pinba_server.server()}});
    REQUIRE(made);
    pinba::monitor(server, *made, std::move(options));
  }
  void open() {
    be_patient(server);
    const int port = server.bind_to_any_port("127.0.0.1");
    REQUIRE(port > 0);
    serving = std::thread([this] { server.listen_after_bind(); });
    browser.emplace("127.0.0.1", port);
    be_patient(*browser);
    browser->set_default_headers({{"Accept-Encoding", "identity"}});
  }
  ~Shop() {
    browser.reset();
    server.stop();
    if (serving.joinable()) serving.join();
  }
  UdpReceiver pinba_server;
  httplib::Server server;
  std::thread serving;
  std::optional<httplib::Client> browser;
};

}  // namespace

TEST_CASE("the size of a response is what was sent of its body, unless the handler set it") {
  const std::string text(5000, 'x');
  pinba::HttplibOptions options;
  int routed = 0;
  options.routed = [&](const auto&, auto&) { ++routed; };
  Shop shop(options);
  shop.server.Get("/body", [&](const auto&, auto& response) { response.set_content(text, "text/plain"); });
  shop.server.Get("/set", [&](const auto&, auto& response) {
    response.set_content(text, "text/plain");
    pinba::current_request()->set_document_size(77);
  });
  shop.server.Get("/provider", [&](const auto&, auto& response) {
    response.set_content_provider(
        text.size(), "text/plain", [&](std::size_t offset, std::size_t length, httplib::DataSink& sink) {
          // In several calls.
          return sink.write(text.data() + offset, std::min<std::size_t>(length, 999));
        });
  });
  shop.server.Get("/chunks", [&](const auto&, auto& response) {
    response.set_chunked_content_provider("text/plain", [&](std::size_t offset, httplib::DataSink& sink) {
      if (offset < 3 * text.size()) return sink.write(text.data(), text.size());
      sink.done();
      return true;
    });
  });
  shop.server.Get("/stream", [&](const auto&, auto& response) {
    response.set_content_provider("text/plain", [&](std::size_t offset, httplib::DataSink& sink) {
      if (offset == 0) {
        sink.os << text;
      } else {
        sink.done();
      }
      return true;
    });
  });
  shop.open();
  const auto size_of = [&](const char* path, const httplib::Headers& headers = {}) {
    const auto answer = shop.browser->Get(path, headers);
    REQUIRE(answer);
    const auto message = received(shop.pinba_server);
    if (std::string(path) != "/set") CHECK(message.document_size() == answer->body.size());
    return message.document_size();
  };
  CHECK(size_of("/body") == 5000);
  CHECK(size_of("/set") == 77);
  CHECK(size_of("/provider") == 5000);
  CHECK(size_of("/chunks") == 15'000);
  CHECK(size_of("/stream") == 5000);
  const httplib::Headers range{{"Range", "bytes=100-299"}};
  CHECK(size_of("/body", range) == 200);
  CHECK(size_of("/provider", range) == 200);
  for (const char* path : {"/body", "/provider", "/chunks"}) {
    REQUIRE(shop.browser->Head(path));
    CHECK(received(shop.pinba_server).document_size() == 0);
  }
  CHECK(routed == 10);
}

TEST_CASE("scripts are named by their routes, and no more of them than a server can keep") {
  pinba::HttplibOptions options;
  options.max_routes = 5;
  Shop shop(options);
  const auto good = [](const auto&, auto& response) { response.set_content("good", "text/plain"); };
  shop.server.Get(R"(/cart/(\d+))", good);
  shop.server.Get(R"(/a/((\d+)-(\d+))/b/(\w+))", good);
  shop.server.Get(R"(/any/.*)", good);
  shop.server.Get(R"(/opt(/x)?)", good);
  shop.server.Get("/plain", good);
  shop.server.Get("/named", [&](const auto&, auto&) { pinba::current_request()->set_script_name("given"); });
  shop.server.Get("/missing/(.*)", [&](const auto&, auto& response) { response.status = 404; });
  shop.open();
  const auto name_of = [&](const std::string& path) {
    REQUIRE(shop.browser->Get(path.c_str()));
    return received(shop.pinba_server).script_name();
  };
  CHECK(name_of("/cart/5") == "/cart/*");
  CHECK(name_of("/cart/6?x=1") == "/cart/*");
  CHECK(name_of("/a/1-2/b/x") == "/a/*/b/*");
  CHECK(name_of("/opt") == "/opt");
  CHECK(name_of("/missing/7") == "/missing/*");
  CHECK(name_of("/plain") == "/plain");
  CHECK(name_of("/named") == "given");
  for (int i = 0; i < 20; ++i) CHECK(name_of("/none/" + std::to_string(i)) == "/<404>");
  for (int i = 0; i < 20; ++i) CHECK(name_of("/any/" + std::to_string(i)) == "/<other>");
  CHECK(name_of("/cart/7") == "/cart/*");
}

TEST_CASE("whoever has names of routes gives them when a request comes, or when it is answered") {
  {
    pinba::HttplibOptions options;
    options.route = [](const httplib::Request& request, const httplib::Response& response) {
      return request.method + " " + std::to_string(response.status);
    };
    Shop shop(options);
    shop.open();
    REQUIRE(shop.browser->Get("/x"));
    CHECK(received(shop.pinba_server).script_name() == "GET 404");
  }
  pinba::HttplibOptions options;
  options.script_name = [](const httplib::Request& request) { return "script of " + request.path; };
  Shop shop(options);
  shop.open();
  REQUIRE(shop.browser->Get("/x"));
  CHECK(received(shop.pinba_server).script_name() == "script of /x");
}

TEST_CASE("any HTTP server can measure a request by its beginning and end") {
  UdpReceiver pinba_server;
  const auto client = pinba::Client::make({.servers = {pinba_server.server()}});
  REQUIRE(client);
  const struct {
    const char *target, *host, *script, *server;
  } rows[] = {
      {"/cart?user=5", "shop.example.com:8080", "/cart", "shop.example.com"},
      {"/", "[::1]:80", "/", "[::1]"},
      {"/", "[::1]", "/", "[::1]"},
      {"/", "[::1", "/", "["},
      {"?", "", "<empty>", "<empty>"},
  };
  for (const auto& row : rows) {
    auto request = pinba::begin_http(*client, row.target, row.host, "https");
    CHECK(pinba::end_http(request, 302, 5'000'000'000));
    const auto message = received(pinba_server);
    CHECK(message.script_name() == row.script);
    CHECK(message.server_name() == row.server);
    CHECK(message.schema() == "https");
    CHECK(message.status() == 302);
    CHECK(message.document_size() == 0xFFFFFFFF);
  }
  // What was set stays, and what was not has the route's name.
  for (const bool set : {false, true}) {
    auto request = pinba::begin_http(*client, "/cart/5");
    if (set) {
      request.set_document_size(0);
      request.set_script_name("/mine");
    }
    CHECK(pinba::end_http(request, 200, 10, "/cart/*"));
    const auto message = received(pinba_server);
    CHECK(message.document_size() == (set ? 0 : 10));
    CHECK(message.script_name() == (set ? "/mine" : "/cart/*"));
  }
}

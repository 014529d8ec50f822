// The middleware in a real HTTP server, and what any other server calls.
#include <doctest/doctest.h>

#include <thread>

#include "pinba/httplib.h"
#include "pinba/packet_check.h"
#include "udp_receiver.h"

namespace {

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
  const int port = server.bind_to_any_port("127.0.0.1");
  REQUIRE(port > 0);
  std::thread serving([&] { server.listen_after_bind(); });
  {
    httplib::Client browser("127.0.0.1", port);
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
    CHECK(message.script_name() == "/api/absent");
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
}

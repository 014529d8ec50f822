// Packets that come to a socket of this machine.
#include "plugin_pinba/receive/listener.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/eventfd.h>

#include <string>
#include <vector>

#include "pinba/listen.h"
#include "pinba/sender.h"
#include "plugin_pinba/receive/networks.h"
#include "receive/datagram_sender.h"

using namespace mmstats::receive;

namespace {

// A listener, what it took, and an end that can be told.
struct Receiving {
  static mmstats::Descriptor socket_at(const std::string& where, int buffer) {
    auto socket = pinba::listen_at(where, buffer, false);
    if (!socket) FAIL(socket.error().text());
    return std::move(*socket);
  }

  explicit Receiving(const std::string& where = "127.0.0.1:0", int buffer = 8 << 20)
      : Receiving(socket_at(where, buffer)) {}
  explicit Receiving(mmstats::Descriptor socket)
      : address(pinba::address_of(socket)), listener(std::move(socket)), ends(::eventfd(0, EFD_CLOEXEC)) {}

  bool receive() {
    return listener.receive(ends.get(), [&](pinba::Datagram datagram, const sockaddr_storage& from) {
      packets.emplace_back(reinterpret_cast<const char*>(datagram.data()), datagram.size());
      sources.push_back(source_of(from));
    });
  }
  // Until there are so many: each call waits for the next ones.
  void receive_until(std::size_t count) {
    while (packets.size() < count) CHECK(receive());
  }

  std::string address;
  Listener listener;
  mmstats::Descriptor ends;
  std::vector<std::string> packets;
  std::vector<Source> sources;
};

std::vector<std::string> numbered(std::size_t count) {
  std::vector<std::string> packets;
  for (std::size_t i = 0; i < count; ++i) packets.push_back(fmt::format("packet {}", i));
  return packets;
}

}  // namespace

TEST_CASE("packets are taken as they are, in their order, with their sender") {
  for (const char* where : {"127.0.0.1:0", "[::1]:0", ":0"}) {
    CAPTURE(where);
    Receiving receiving(where);
    DatagramSender sender(receiving.address);
    std::vector<std::string> want{"", "x", std::string(1500, 'y'), std::string(65'507, 'z'),
                                  std::string("\0\xFF", 2)};
    for (const auto& packet : want) sender.send(packet);
    receiving.receive_until(want.size());
    CHECK(receiving.packets == want);
    for (const Source source : receiving.sources) CHECK(source == receiving.sources.front());
    CHECK(receiving.listener.lost() == 0);
  }
}

TEST_CASE("more packets than are taken at once are taken one batch after the other") {
  Receiving receiving;
  DatagramSender sender(receiving.address);
  const auto want = numbered(3 * Listener::kBatch + 5);
  for (const auto& packet : want) sender.send(packet);
  CHECK(receiving.receive());
  CHECK(receiving.packets.size() == Listener::kBatch);
  receiving.receive_until(want.size());
  CHECK(receiving.packets == want);
}

TEST_CASE("at the end all that had come is taken first, and nothing is waited for") {
  for (const std::size_t count :
       {std::size_t{0}, std::size_t{1}, 2 * Listener::kBatch, 5 * Listener::kBatch + 1}) {
    CAPTURE(count);
    Receiving receiving;
    DatagramSender sender(receiving.address);
    const auto want = numbered(count);
    for (const auto& packet : want) sender.send(packet);
    REQUIRE(::eventfd_write(receiving.ends.get(), 1) == 0);
    CHECK(!receiving.receive());
    CHECK(receiving.packets == want);
  }
}

TEST_CASE("the end is noticed while packets never cease") {
  Receiving receiving;
  DatagramSender sender(receiving.address);
  // Each packet that is taken brings another one, so that all batches are full.
  std::size_t taken = 0;
  const auto more = [&](pinba::Datagram, const sockaddr_storage&) {
    sender.send("more");
    if (++taken == 3 * Listener::kBatch) REQUIRE(::eventfd_write(receiving.ends.get(), 1) == 0);
  };
  for (std::size_t i = 0; i < 2 * Listener::kBatch; ++i) sender.send("first");
  int calls = 0;
  while (receiving.listener.receive(receiving.ends.get(), more)) REQUIRE(++calls < 100);
  CHECK(taken > 3 * Listener::kBatch);
}

TEST_CASE("packets for which there was no room are counted") {
  // The least that the system gives.
  Receiving receiving("127.0.0.1:0", 1);
  DatagramSender sender(receiving.address);
  constexpr std::size_t kSent = 500;
  std::size_t sent = 0;
  for (int burst = 0; burst < 3; ++burst) {
    for (std::size_t i = 0; i < kSent; ++i) sender.send("packet");
    sent += kSent;
    // Those that had room, and one that has room now: with it comes how many had none.
    const std::size_t before = receiving.packets.size();
    CHECK(receiving.receive());
    CHECK(receiving.packets.size() > before);
    const std::size_t taken = receiving.packets.size();
    sender.send("one more");
    ++sent;
    receiving.receive_until(taken + 1);
    CHECK(receiving.listener.lost() > 0);
    CHECK(receiving.packets.size() + receiving.listener.lost() == sent);
  }
  // Without one more, at the end at the latest.
  for (std::size_t i = 0; i < kSent; ++i) sender.send("packet");
  sent += kSent;
  REQUIRE(::eventfd_write(receiving.ends.get(), 1) == 0);
  CHECK(!receiving.receive());
  CHECK(receiving.packets.size() + receiving.listener.lost() == sent);
}

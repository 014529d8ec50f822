// Sending over real sockets: what arrives, what is counted, and what goes wrong without hurting the caller.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <atomic>
#include <condition_variable>
#include <latch>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>
#include <thread>

#include "child_process.h"
#include "held_calls.h"
#include "loopback_address.h"
#include "other_thread.h"
#include "patience.h"
#include "pinba/sender.h"
#include "temporary_folder.h"
#include "udp_receiver.h"

using namespace std::chrono_literals;
using pinba::Sender;
using pinba::SenderOptions;

namespace {

pinba::Datagram bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

Sender made(SenderOptions options) {
  auto sender = Sender::make(std::move(options));
  REQUIRE(sender);
  return std::move(*sender);
}

bool eventually(const std::function<bool()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

// Who knows names, until the end of a test: a look-up may last longer than its sender.
class Names {
 public:
  explicit Names(std::function<std::vector<pinba::Address>()> answer) { known_->answer = std::move(answer); }
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;
  ~Names() {
    const std::lock_guard lock(known_->mutex);
    known_->answer = [] { return std::vector<pinba::Address>{}; };
  }
  [[nodiscard]] pinba::Resolve resolve() const {
    return [known = known_](auto&...) {
      const std::lock_guard lock(known->mutex);
      return known->answer();
    };
  }

 private:
  struct Known {
    std::mutex mutex;
    std::function<std::vector<pinba::Address>()> answer;
  };
  std::shared_ptr<Known> known_ = std::make_shared<Known>();
};

}  // namespace

TEST_CASE("packets arrive as they are, over IPv4 and IPv6") {
  UdpReceiver v4;
  std::optional<UdpReceiver> v6;
  std::vector<std::string> servers{v4.server()};
  try {
    v6.emplace(AF_INET6);
    servers.push_back("[::1]:" + std::to_string(v6->port()));
  } catch (const std::system_error& error) {
    const auto code = error.code().value();
    if (code != EAFNOSUPPORT && code != EADDRNOTAVAIL) throw;
    MESSAGE("skipped in part: there is no IPv6 here");
  }
  Sender sender = made({.servers = servers});
  const std::string largest(pinba::kMaxDatagram, 'x');
  for (const std::string& packet : {std::string("a"), std::string(400, 'b'), largest}) {
    CHECK(sender.send(bytes_of(packet)));
    CHECK(v4.receive() == packet);
    if (v6) CHECK(v6->receive() == packet);
  }
  CHECK(sender.counts(0).sent == 3);
  CHECK(sender.counts().sent == 3 * servers.size());
  CHECK(sender.counts().bytes == servers.size() * (1 + 400 + largest.size()));
  CHECK(sender.counts().dropped == 0);
}

TEST_CASE("servers are read as host and port") {
  for (const char* good : {"localhost", "localhost:30002", "127.0.0.1", "127.0.0.1:1", "::1", "[::1]",
                           "[::1]:65535", "no-such-host.invalid:30002"}) {
    CAPTURE(good);
    CHECK(
        Sender::make({.servers = {good}, .resolve = [](auto&...) { return std::vector<pinba::Address>{}; }}));
  }
  for (const char* bad :
       {"", ":30002", "localhost:", "localhost:0", "localhost:65536", "localhost:http", "[::1", "[::1]30002",
        "[]:1", "localhost:1x", "a,b", "a b", "a:1,b:2", "a,", " a", "a\t", "a;b"}) {
    CAPTURE(bad);
    const auto sender = Sender::make({.servers = {bad}});
    REQUIRE(!sender);
    CHECK(sender.error().kind == mmstats::ErrorKind::kInvalid);
    CHECK(sender.error().message.find("HOST:PORT") != std::string::npos);
  }
  CHECK(!Sender::make({}));
}

TEST_CASE("a list of servers is taken apart at commas and blanks, and each is there once") {
  using Servers = std::vector<std::string>;
  CHECK(pinba::split_servers("a") == Servers{"a"});
  CHECK(pinba::split_servers(" a:1,b  [::1]:2 ,\t::1\n") == Servers{"a:1", "b", "[::1]:2", "::1"});
  CHECK(pinba::split_servers("").empty());
  CHECK(pinba::split_servers(" , ").empty());
  const auto none = [](auto&...) { return std::vector<pinba::Address>{}; };
  for (const auto& twice : {Servers{"a", "a"}, {"a", "b", "A:30002"}, {"[::1]:5", "b", "[::1]:5"}}) {
    const auto sender = Sender::make({.servers = twice, .resolve = none});
    REQUIRE(!sender);
    CHECK(sender.error().message.find("twice") != std::string::npos);
  }
  CHECK(Sender::make({.servers = {"a", "a:1", "b"}, .resolve = none}));
}

TEST_CASE("packets that may wait are sent together, in order") {
  UdpReceiver server;
  Sender sender =
      made({.servers = {server.server()}, .linger = 1h, .batch_packets = 1000, .burst_packets = 0});
  std::vector<std::string> packets;
  for (int i = 0; i < 300; ++i) {
    // Runs of equal sizes between others, and some that are too large for a segment.
    packets.push_back(std::to_string(i) +
                      std::string(i % 10 < 6 ? 400 : 7 * (i % 10) + (i % 50 == 9 ? 3000 : 0), '.'));
  }
  for (const auto& packet : packets) CHECK(sender.send(bytes_of(packet)));
  CHECK(server.received().empty());
  CHECK(sender.counts().queued == 300);
  CHECK(sender.flush());
  CHECK(server.received(packets.size()) == packets);
  const auto counts = sender.counts();
  CHECK(counts.sent == 300);
  CHECK(counts.queued == 0);
  CHECK(counts.calls < 10);

  // As many as make a batch are sent without being told to.
  Sender batches = made({.servers = {server.server()}, .linger = 1h, .batch_packets = 8});
  for (int i = 0; i < 20; ++i) batches.send(bytes_of(packets[0]));
  CHECK(server.received(16).size() == 16);

  // The rest when their time has come.
  Sender soon = made({.servers = {server.server()}, .linger = 5ms});
  soon.send(bytes_of("late"));
  CHECK(server.receive() == "late");
}

TEST_CASE("several packets at once need few calls") {
  UdpReceiver server;
  Sender sender = made({.servers = {server.server()}});
  const std::vector<std::string> texts{"a", "bb", "ccc", "ccc"};
  std::vector<pinba::Datagram> datagrams;
  for (const auto& text : texts) datagrams.push_back(bytes_of(text));
  CHECK(sender.send(datagrams) == 4);
  CHECK(server.received(texts.size()) == texts);
  CHECK(sender.counts().calls == 1);
}

// A server's buffer holds some 90 large packets, and what it loses is told nobody.
TEST_CASE("more packets than a server may hold leave in bursts") {
  const auto packet = std::string(1400, 'x');
  const std::vector<pinba::Datagram> many(139, bytes_of(packet));
  UdpReceiver server;
  {
    Sender sender = made({.servers = {server.server()}, .burst_pause = 1h});
    CHECK(sender.send(many) == many.size());
    CHECK(sender.counts().sent == 32);
    CHECK(sender.counts().queued == many.size() - 32);
    CHECK(!sender.flush());
    CHECK(sender.counts().sent == 32);
    CHECK(server.received(32).size() == 32);

    Sender others = made({.servers = {server.server()}, .burst_packets = 5, .burst_pause = 1h});
    for (int i = 0; i < 9; ++i) CHECK(others.send(bytes_of(packet)));
    CHECK(server.received(5).size() == 5);

    Sender at_once = made({.servers = {server.server()}, .burst_packets = 0});
    CHECK(at_once.send(many) == many.size());
    CHECK(at_once.counts().sent == many.size());
  }
  // The rest follows by itself, when it is asked for, and at the end.
  UdpReceiver patient;
  const auto arrive = [&] { CHECK(patient.received(many.size()).size() == many.size()); };
  Sender sender = made({.servers = {patient.server()}});
  CHECK(sender.send(many) == many.size());
  arrive();
  std::thread receiver(arrive);
  CHECK(sender.send(many) == many.size());
  CHECK(sender.flush(kPatience));
  CHECK(sender.counts().sent == 2 * many.size());
  receiver.join();
  receiver = std::thread(arrive);
  // In two bursts: for how many there is time then depends on the machine.
  made({.servers = {patient.server()}, .linger = 1h, .batch_packets = 1000, .burst_packets = 70}).send(many);
  receiver.join();
}

TEST_CASE("equal packets are cut from one message, as many and as large as every system and link can take") {
  UdpReceiver server;
  Sender sender =
      made({.servers = {server.server()}, .linger = 1h, .batch_packets = 1000, .burst_packets = 0});
  for (int i = 0; i < 200; ++i) sender.send(bytes_of("equal"));
  CHECK(sender.flush());
  CHECK(server.received(200) == std::vector<std::string>(200, "equal"));
  CHECK(sender.counts().calls == 1);
  // These are no segments: each is a message, and several go by another call.
  const std::string large(2000, 'x');
  if (!held::while_held(
          SYS_sendmmsg, 1,
          [&] {
            for (int i = 0; i < 5; ++i) sender.send(bytes_of(large));
            CHECK(sender.flush());
          },
          [] {}))
    return;
  CHECK(server.received(5).size() == 5);
  CHECK(sender.counts().sent == 205);
}

TEST_CASE("what is no datagram is dropped") {
  UdpReceiver server;
  Sender sender = made({.servers = {server.server()}});
  CHECK(!sender.send(bytes_of(std::string(pinba::kMaxDatagram + 1, 'x'))));
  CHECK(!sender.send(pinba::Datagram{}));
  CHECK(sender.counts().dropped == 2);
  CHECK(sender.send(bytes_of("next")));
  CHECK(server.receive() == "next");
}

TEST_CASE("a server that is away costs no packet that is sent after it is back") {
  const UnheardPort place;
  Sender sender = made({.servers = {place.server()}});
  for (int i = 0; i < 10; ++i) CHECK(sender.send(bytes_of("lost")));
  // Each but the last came back, and was told of by the next.
  CHECK(sender.counts().sent == 10);
  CHECK(sender.counts().refused == 9);
  UdpReceiver server(AF_INET, place.port());
  CHECK(sender.send(bytes_of("first")));
  CHECK(server.receive() == "first");
  // The same for packets of one size that go together.
  Sender batch = made({.servers = {server.server()}, .linger = 1h});
  for (int i = 0; i < 5; ++i) batch.send(bytes_of("equal"));
  CHECK(batch.flush());
  CHECK(server.received(5).size() == 5);
}

TEST_CASE("a flush tells of the refusal of what was sent last") {
  const UnheardPort place;
  Sender sender = made({.servers = {place.server()}});
  CHECK(sender.send(bytes_of("lost")));
  CHECK(sender.counts().refused == 0);
  CHECK(sender.flush());
  CHECK(sender.counts().refused == 1);
  CHECK(sender.flush());
  CHECK(sender.counts().refused == 1);
}

TEST_CASE("how often a name was not found is counted until it is") {
  UdpReceiver server;
  std::atomic<bool> known = false;
  const Names names(
      [&] { return known ? std::vector{loopback_address(server.port())} : std::vector<pinba::Address>{}; });
  Sender sender = made(
      {.servers = {server.server(), "pinba.example"}, .retry_interval = 1ms, .resolve = names.resolve()});
  CHECK(eventually([&] { return sender.counts(1).not_found > 3; }));
  CHECK(sender.counts(0).not_found == 0);
  CHECK(sender.counts().not_found > 3);
  known = true;
  CHECK(eventually([&] { return sender.counts().not_found == 0; }));
}

TEST_CASE("a name that is not known yet holds packets back, and no more than the queue has room for") {
  UdpReceiver server;
  std::atomic<bool> known = false;
  std::atomic<int> asked = 0;
  const Names names([&] {
    ++asked;
    return known ? std::vector{loopback_address(server.port())} : std::vector<pinba::Address>{};
  });
  Sender sender =
      made({.servers = {"pinba.example:30002"},
            .queue_packets = 10,
            .retry_interval = 5ms,
            .resolve = [resolve = names.resolve()](const std::string& host, const std::string& port) {
              CHECK(host == "pinba.example");
              CHECK(port == "30002");
              return resolve(host, port);
            }});
  for (int i = 0; i < 100; ++i) CHECK(sender.send(bytes_of(std::to_string(i))) == (i < 10));
  CHECK(eventually([&] { return asked > 3; }));
  CHECK(sender.counts().queued == 10);
  CHECK(sender.counts().dropped == 90);
  known = true;
  for (int i = 0; i < 10; ++i) CHECK(server.receive() == std::to_string(i));
  CHECK(sender.counts().sent == 10);
}

TEST_CASE("memory stays within the bound in bytes too") {
  Sender sender = made({.servers = {"pinba.example"}, .queue_bytes = 1000, .resolve = [](auto&...) {
                          return std::vector<pinba::Address>{};
                        }});
  const std::string packet(300, 'x');
  for (int i = 0; i < 1000; ++i) sender.send(bytes_of(packet));
  CHECK(sender.counts().queued == 3);
  CHECK(sender.counts().dropped == 997);
  for (const std::size_t bound : {899U, 900U}) {
    Sender exact = made({.servers = {"pinba.example"}, .queue_bytes = bound, .resolve = [](auto&...) {
                           return std::vector<pinba::Address>{};
                         }});
    for (int i = 0; i < 4; ++i) exact.send(bytes_of(packet));
    CHECK(exact.counts().queued == bound / 300);
  }
}

// A Unix socket, as loopback's UDP has always room: who sends to it has to wait until it is read.
TEST_CASE("a full socket buffer holds nobody up, and what was taken is sent when there is room") {
  const TemporaryFolder folder;
  sockaddr_un path{};
  path.sun_family = AF_UNIX;
  const std::string name = folder / "full";
  REQUIRE(name.size() < sizeof path.sun_path);
  std::ranges::copy(name, path.sun_path);
  const int server = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  REQUIRE(::bind(server, reinterpret_cast<sockaddr*>(&path), sizeof path) == 0);
  pinba::Address address;
  std::memcpy(&address.storage, &path, sizeof path);
  address.length = sizeof path;

  constexpr std::size_t kRoom = 100;  // of the queue
  SenderOptions options{.servers = {"pinba.example"},
                        .queue_packets = kRoom,
                        .burst_packets = 0,
                        .resolve = [address](auto&...) { return std::vector{address}; }};
  SUBCASE("sent at once") {}
  SUBCASE("though what waits may wait long") {
    options.linger = 1h;
    options.batch_packets = 1;
  }
  Sender sender = made(std::move(options));
  std::vector<std::string> taken;
  const auto send = [&] {
    // Two of equal sizes in a row would be cut from one message, which is UDP's.
    auto packet = std::to_string(taken.size());
    packet.resize(10 + taken.size() % 2, '.');
    const bool good = sender.send(bytes_of(packet));
    if (good) taken.push_back(std::move(packet));
    return good;
  };
  REQUIRE(send());
  REQUIRE(eventually([&] { return sender.counts().sent == 1; }));
  while (taken.size() < 100'000 && send()) {
  }
  for (int i = 0; i < 1000; ++i) CHECK(!send());
  const auto full = sender.counts();
  CHECK(full.queued == kRoom);
  CHECK(full.sent == taken.size() - kRoom);
  CHECK(full.dropped == 1001);
  CHECK(!sender.flush());
  CHECK(!sender.flush(10ms));

  // Nobody calls the sender: its thread looks again.
  std::vector<std::string> arrived;
  std::array<char, 100> bytes;
  CHECK(eventually([&] {
    ssize_t size = 0;
    while ((size = ::recv(server, bytes.data(), bytes.size(), 0)) > 0) {
      arrived.emplace_back(bytes.data(), static_cast<std::size_t>(size));
    }
    return arrived.size() >= taken.size();
  }));
  CHECK(arrived == taken);
  CHECK(sender.counts().queued == 0);
  ::close(server);
}

TEST_CASE("a look-up that hangs or throws holds nobody up") {
  std::mutex mutex;
  std::condition_variable wake;
  bool asked_once = false;
  bool over = false;
  bool left = false;
  {
    Sender sender =
        made({.servers = {"pinba.example"}, .resolve = [&](auto&...) -> std::vector<pinba::Address> {
                std::unique_lock lock(mutex);
                asked_once = true;
                wake.notify_all();
                wake.wait(lock, [&] { return over; });
                left = true;
                wake.notify_all();
                return {};
              }});
    CHECK(sender.send(bytes_of("waits")));
    CHECK(!sender.flush());
    CHECK(!sender.flush(20ms));
    std::unique_lock lock(mutex);
    CHECK(wake.wait_for(lock, kPatience, [&] { return asked_once; }));
  }
  {
    std::unique_lock lock(mutex);
    over = true;
    wake.notify_all();
    CHECK(wake.wait_for(lock, kPatience, [&] { return left; }));
  }
  std::atomic<int> asked = 0;
  const Names names([&]() -> std::vector<pinba::Address> {
    ++asked;
    throw std::runtime_error("no");
  });
  Sender sender = made({.servers = {"pinba.example"}, .retry_interval = 1ms, .resolve = names.resolve()});
  CHECK(eventually([&] { return asked > 3; }));
}

TEST_CASE("a server that moved is found again") {
  UdpReceiver old_place;
  UdpReceiver new_place;
  std::atomic<std::uint16_t> port = old_place.port();
  const Names names([&] { return std::vector{loopback_address(port)}; });
  Sender sender = made({.servers = {"pinba.example"}, .resolve_interval = 5ms, .resolve = names.resolve()});
  CHECK(sender.send(bytes_of("one")));
  CHECK(old_place.receive() == "one");
  port = new_place.port();
  CHECK(eventually([&] {
    sender.send(bytes_of("two"));
    return !new_place.received().empty();
  }));
  CHECK(sender.counts().dropped == 0);
}

TEST_CASE("of several addresses of a name the one that answers is used") {
  UdpReceiver server;
  const UnheardPort nobody;
  const Names names(
      [&] { return std::vector{loopback_address(nobody.port()), loopback_address(server.port())}; });
  Sender sender = made({.servers = {"pinba.example"}, .resolve = names.resolve()});
  CHECK(eventually([&] {
    sender.send(bytes_of("text"));
    return !server.received().empty();
  }));
  CHECK(sender.flush());
  const auto refused = sender.counts().refused;
  for (int i = 0; i < 10; ++i) sender.send(bytes_of(std::to_string(i)));
  for (int i = 0; i < 10; ++i) {
    auto packet = server.receive();
    while (packet == "text") packet = server.receive();  // some of the first ones were still on their way
    CHECK(packet == std::to_string(i));
  }
  CHECK(sender.counts().refused == refused);
}

TEST_CASE("what an address of a name refuses is sent to the next, even if nothing more is sent") {
  UdpReceiver server;
  const UnheardPort first;
  const UnheardPort second;
  // A name that is found before there is a packet for it lets that linger.
  std::atomic<bool> is_known = true;
  const auto become_known = [&](bool known) {
    is_known = known;
    is_known.notify_all();
  };
  const Names names([&] {
    is_known.wait(false);
    return std::vector{loopback_address(first.port()), loopback_address(second.port()),
                       loopback_address(server.port())};
  });
  const auto make = [&] {
    return made({.servers = {"pinba.example"}, .linger = 1h, .resolve = names.resolve()});
  };
  SUBCASE("when it is flushed") {
    for (const std::size_t packets : {1, 5}) {
      Sender sender = make();
      for (std::size_t i = 0; i < packets; ++i) sender.send(bytes_of("equal"));
      std::vector<std::string> arrived;
      CHECK(eventually([&] {
        sender.flush();
        std::ranges::move(server.received(), std::back_inserter(arrived));
        return arrived.size() >= packets;
      }));
      CHECK(arrived == std::vector<std::string>(packets, "equal"));
      CHECK(sender.counts().sent == packets);
      CHECK(sender.counts().refused == 0);
    }
  }
  SUBCASE("though several of several sizes wait") {
    Sender sender = make();
    const std::vector<std::string> packets{"a", "bb", "cc", "ddd", "e"};
    for (const auto& packet : packets) sender.send(bytes_of(packet));
    CHECK(eventually([&] { return sender.flush() && sender.counts().sent == packets.size(); }));
    CHECK(sender.flush(kPatience));
    CHECK(server.received(packets.size()) == packets);
    CHECK(sender.counts().refused == 0);
  }
  SUBCASE("when it is flushed with time for refusals") {
    Sender sender = make();
    sender.send(bytes_of("only"));
    CHECK(sender.flush(kPatience));
    CHECK(server.receive() == "only");
  }
  SUBCASE("though nobody asks for a refusal") {
    become_known(false);
    Sender sender = make();
    sender.send(bytes_of("only"));
    become_known(true);
    CHECK(server.receive() == "only");
    CHECK(sender.counts().refused == 0);
  }
  SUBCASE("though nobody asks, and the caller sent it") {
    Sender sender = made({.servers = {"pinba.example"}, .resolve = names.resolve()});
    CHECK(eventually([&] { return sender.counts().addresses == 3; }));
    sender.send(bytes_of("only"));
    CHECK(server.receive() == "only");
    CHECK(sender.counts().refused == 0);
  }
  SUBCASE("when the sender ends") {
    // It does not wait for refusals, and a busy system may tell them late: then the packet is lost with it.
    CHECK(eventually([&] {
      {
        become_known(false);
        Sender sender = make();
        sender.send(bytes_of("only"));
        become_known(true);
        if (!eventually([&] { return sender.counts().sent == 1; })) return false;
      }
      return server.receive(100ms) == "only";
    }));
  }
}

TEST_CASE("what all addresses of a name refuse is sent to each once") {
  for (const std::size_t addresses : {1U, 2U, 3U}) {
    const std::vector<UnheardPort> places(addresses);
    std::vector<pinba::Address> nobody;
    for (const auto& place : places) nobody.push_back(loopback_address(place.port()));
    Sender sender = made(
        {.servers = {"pinba.example"}, .linger = 1h, .retry_interval = 1h, .resolve = [nobody](auto&...) {
           return nobody;
         }});
    sender.send(bytes_of("lost"));
    CHECK(eventually([&] {
      sender.flush();
      return sender.counts().refused == 1;
    }));
    CHECK(sender.flush());
    CHECK(sender.counts().refused == 1);
    CHECK(sender.counts().calls == addresses);
  }
}

TEST_CASE("packets are spread over servers by script, each script to one") {
  std::vector<UdpReceiver> servers(3);
  SenderOptions options;
  for (const auto& server : servers) options.servers.push_back(server.server());
  options.spread = SenderOptions::Spread::kByScript;
  Sender sender = made(options);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 100; ++i) {
      const auto script = "/route" + std::to_string(i);
      CHECK(sender.send(bytes_of(script), script));
    }
  }
  CHECK(sender.flush(kPatience));  // more than a burst
  std::set<std::string> all;
  for (const auto& packets : received_by({&servers[0], &servers[1], &servers[2]}, 200)) {
    const std::set<std::string> scripts(packets.begin(), packets.end());
    CHECK(packets.size() == 2 * scripts.size());
    CHECK(scripts.size() > 10);
    all.insert(scripts.begin(), scripts.end());
  }
  CHECK(all.size() == 100);
}

TEST_CASE("a system that cuts no messages gets each packet by itself") {
  UdpReceiver server;
  // One message of equal packets goes by sendmsg, several by sendmmsg.
  for (const int error : {EINVAL, EMSGSIZE})
    if (!held::while_failing(SYS_sendmsg, error, [&] {
          Sender sender = made({.servers = {server.server()}, .linger = 1h});
          for (int round = 0; round < 3; ++round) {
            for (int i = 0; i < 5; ++i) sender.send(bytes_of("equal"));
            CHECK(sender.flush());
            CHECK(server.received(5) == std::vector<std::string>(5, "equal"));
          }
          CHECK(sender.counts().sent == 15);
          CHECK(sender.counts().dropped == 0);
          // What it does not take at all is dropped, and what comes after it is sent.
          sender.send(bytes_of("alone"));
          CHECK(sender.flush());
          CHECK(sender.counts().dropped == 1);
          sender.send(bytes_of("a"));
          sender.send(bytes_of("b"));
          CHECK(sender.flush());
          CHECK(server.received(2) == std::vector<std::string>{"a", "b"});
          CHECK(sender.counts().dropped == 1);
          CHECK(sender.counts().refused == 0);
        }))
      return;
}

TEST_CASE("a server that cannot be connected to is tried again when the pause is over, not before") {
  // Without SO_BROADCAST there is no connection to it.
  constexpr const char* kBroadcast = "255.255.255.255:30002";
  for (const auto pause : {std::chrono::milliseconds(1h), 1ms}) {
    std::atomic<int> tries = 0;
    if (!held::while_held(
            SYS_connect, held::kAtEach,
            [&] {
              Sender sender = made({.servers = {kBroadcast}, .retry_interval = pause});
              for (int i = 0; i < 20; ++i) CHECK(sender.send(bytes_of("waits")));
              CHECK(!sender.flush());
              CHECK(!sender.flush(5ms));
              if (pause == 1ms) CHECK(eventually([&] { return tries > 3; }));
              CHECK(sender.counts().queued == 20);
              CHECK(sender.counts().dropped == 0);
            },
            [&] { ++tries; }))
      return;
    if (pause != 1ms) CHECK(tries <= 1);
  }
}

TEST_CASE("while one thread sends, others that use the sender wait, and nothing is sent twice") {
  using Call = std::function<void(Sender&)>;
  const std::vector<Call> calls{[](Sender& sender) { sender.flush(); },
                                [](Sender& sender) { sender.flush(kPatience); },
                                [](Sender& sender) { sender.send(bytes_of("second")); },
                                [](Sender& sender) { CHECK(sender.counts().sent == 1); },
                                [](Sender& sender) { CHECK(sender.counts(0).queued == 0); }};
  for (std::size_t i = 0; i < calls.size(); ++i) {
    CAPTURE(i);
    UdpReceiver server;
    Sender sender = made({.servers = {server.server()}});
    std::optional<OtherThread> other;
    if (!held::while_held(
            SYS_sendmsg, 1, [&] { sender.send(bytes_of("first")); },
            [&] {
              other.emplace([&] { calls[i](sender); });
              CHECK(other->waits());
              CHECK(server.received().empty());
            }))
      return;
    other.reset();
    const std::size_t all = i == 2 ? 2 : 1;
    const auto packets = server.received(all);
    CHECK(packets.size() == all);
    CHECK(packets.front() == "first");
  }
}

TEST_CASE("many threads may send through one sender") {
  UdpReceiver server;
  Sender sender = made({.servers = {server.server()}, .linger = 1ms, .queue_packets = 100'000});
  std::set<std::string> all;
  for (int round = 0; round < 5; ++round) {
    std::latch all_here(4);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        all_here.arrive_and_wait();  // or one may be done before the next is there
        // As many as the receiving socket holds, should it be read late.
        for (int i = 0; i < 100; ++i) sender.send(bytes_of(std::to_string(1000 * t + 100 * round + i)));
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(sender.flush(kPatience));
    const auto packets = server.received(400);
    CHECK(packets.size() == 400);
    all.insert(packets.begin(), packets.end());
  }
  CHECK(all.size() == 2000);
}

#if !defined(__SANITIZE_THREAD__)  // It takes a child's first thread for the parent's, whose stack it got.
TEST_CASE("after fork the child sends for itself, and nothing twice") {
  UdpReceiver server;
  // No mutex, which may be held at the fork.
  const auto known = std::make_shared<std::atomic<bool>>(false);
  Sender sender = made({.servers = {server.server(), "pinba.example"},
                        .linger = 1h,
                        .retry_interval = 1ms,
                        .resolve = [known, port = server.port()](auto&...) {
                          return *known ? std::vector{loopback_address(port)} : std::vector<pinba::Address>{};
                        }});
  sender.send(bytes_of("parent"));
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    bool good = sender.counts().queued == 0 && sender.flush();
    *known = true;
    good = good && sender.send(bytes_of("child")) && sender.flush(kPatience) && sender.counts().sent == 2;
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(server.received(2) == std::vector<std::string>{"child", "child"});
  CHECK(sender.counts().queued == 2);
  *known = true;
  CHECK(sender.flush(kPatience));
  CHECK(server.received(2) == std::vector<std::string>{"parent", "parent"});
}

TEST_CASE("a child looks names up by itself, though the parent does so at that moment") {
  UdpReceiver server;
  // No mutex, which may be held at the fork.
  struct Asked {
    std::atomic<bool> begun = false;
    std::atomic<bool> over = false;
    const pid_t parent = ::getpid();
  };
  const auto asked = std::make_shared<Asked>();
  Sender sender = made({.servers = {"pinba.example"}, .resolve = [asked, port = server.port()](auto&...) {
                          asked->begun = true;
                          while (::getpid() == asked->parent && !asked->over) std::this_thread::yield();
                          return std::vector{loopback_address(port)};
                        }});
  CHECK(sender.send(bytes_of("parent")));
  REQUIRE(eventually([&] { return asked->begun.load(); }));
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::_exit(sender.send(bytes_of("child")) && sender.flush(kPatience) && sender.counts().sent == 1 ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(server.receive() == "child");
  asked->over = true;
  CHECK(server.receive() == "parent");
}

TEST_CASE("a child looks names up by itself, though it has addresses") {
  UdpReceiver old_place;
  UdpReceiver new_place;
  const auto known = std::make_shared<std::atomic<std::uint16_t>>(old_place.port());
  Sender sender = made({.servers = {"pinba.example"}, .resolve_interval = 5ms, .resolve = [known](auto&...) {
                          return std::vector{loopback_address(*known)};
                        }});
  CHECK(sender.send(bytes_of("parent")));
  CHECK(old_place.receive() == "parent");
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    *known = new_place.port();
    const bool good = eventually([&] {
      sender.send(bytes_of("child"));
      return !new_place.received().empty();
    });
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

// The child processes are in a network of their own, as root or where anybody may have one.
TEST_CASE(
    "what a firewall or a router sends back is counted, whoever is told of it, and costs no other packet") {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) ::_exit(77);
    const int raw = ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    const int server = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq up{};
    std::strcpy(up.ifr_name, "lo");
    up.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
    must(raw >= 0 && ::ioctl(server, SIOCSIFFLAGS, &up) == 0);
    const auto place = loopback_address(30002);
    const auto* address = reinterpret_cast<const sockaddr*>(&place.storage);
    must(::bind(server, address, place.length) == 0);
    // Takes a packet, and says that its way is forbidden, as firewalls do, or too narrow, as routers do.
    const auto send_back = [&](const std::string& want, std::uint8_t code) {
      std::array<char, 100> packet{};
      sockaddr_in from{};
      socklen_t length = sizeof from;
      const auto size =
          ::recvfrom(server, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
      must(size >= 0 && std::string_view(packet.data(), static_cast<std::size_t>(size)) == want);
      struct {
        icmphdr icmp;
        iphdr ip;
        udphdr udp;
      } answer{};
      answer.icmp.type = ICMP_DEST_UNREACH;
      answer.icmp.code = code;
      if (code == ICMP_FRAG_NEEDED) answer.icmp.un.frag.mtu = htons(600);
      answer.ip.version = 4;
      answer.ip.ihl = sizeof answer.ip / 4;
      answer.ip.protocol = IPPROTO_UDP;
      answer.ip.saddr = answer.ip.daddr = htonl(INADDR_LOOPBACK);
      answer.ip.tot_len = htons(sizeof answer.ip + sizeof answer.udp);
      answer.udp.source = from.sin_port;
      answer.udp.dest = htons(30002);
      std::array<std::uint16_t, sizeof answer / 2> words{};
      std::memcpy(words.data(), &answer, sizeof answer);
      std::uint32_t sum = 0;
      for (const auto word : words) sum += word;
      sum = (sum & 0xFFFFU) + (sum >> 16U);
      answer.icmp.checksum = static_cast<std::uint16_t>(~(sum + (sum >> 16U)));
      must(::sendto(raw, &answer, sizeof answer, 0, address, place.length) == sizeof answer);
    };
    Sender sender = made({.servers = {"127.0.0.1:30002"}});
    std::uint64_t refused = 0;
    for (const std::uint8_t code :
         {ICMP_HOST_ANO, ICMP_PKT_FILTERED, ICMP_NET_ANO, ICMP_HOST_UNKNOWN, ICMP_FRAG_NEEDED}) {
      // A flush asks for it, once.
      sender.send(bytes_of("flushed"));
      send_back("flushed", code);
      must(sender.flush());
      must(sender.counts().refused == ++refused);
      must(sender.flush());
      // The next packet meets it, and is sent.
      sender.send(bytes_of("met"));
      send_back("met", code);
      sender.send(bytes_of("next"));
      must(sender.counts().refused == ++refused);
      std::array<char, 4> next{};
      must(::recv(server, next.data(), next.size(), 0) == 4 && std::memcmp(next.data(), "next", 4) == 0);
      must(sender.flush());
      must(sender.counts().refused == refused && sender.counts().dropped == 0);
    }
    must(sender.counts().sent == 3 * refused / 2);
    // Who ends waits for what comes back from far away, and no longer.
    Sender last = made({.servers = {"127.0.0.1:30002"}});
    last.send(bytes_of("last"));
    {
      OtherThread ends([&] { last.flush(kPatience, kPatience); });
      must(ends.waits());
      send_back("last", ICMP_PKT_FILTERED);
    }
    must(last.counts().refused == 1);
    must(last.flush(kPatience, kPatience));
    // Nor does the system lose its way to send equal packets by one call.
    const auto take_all = [&] {
      std::array<char, 8> equal{};
      for (int i = 0; i < 5; ++i) must(::recv(server, equal.data(), equal.size(), MSG_DONTWAIT) == 5);
    };
    Sender together = made({.servers = {"127.0.0.1:30002"}, .linger = 1h});
    together.send(bytes_of("large"));
    must(together.flush());
    send_back("large", ICMP_FRAG_NEEDED);
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 5; ++i) together.send(bytes_of("equal"));
      must(together.flush());
      take_all();
    }
    must(together.counts().calls == 3 && together.counts().refused == 1 && together.counts().dropped == 0);
    // Of a name, what came back goes to the next address.
    const int other = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto second = loopback_address(30003);
    must(::bind(other, reinterpret_cast<const sockaddr*>(&second.storage), second.length) == 0);
    Sender named = made({.servers = {"pinba.example"}, .linger = 1h, .resolve = [&](auto&...) {
                           return std::vector{place, second};
                         }});
    named.send(bytes_of("again"));
    must(eventually([&] { return named.flush() && named.counts().sent == 1; }));
    send_back("again", ICMP_PKT_FILTERED);
    must(named.flush());
    std::array<char, 5> again{};
    must(::recv(other, again.data(), again.size(), 0) == 5 && std::memcmp(again.data(), "again", 5) == 0);
    must(named.counts().refused == 0 && named.counts().dropped == 0);
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (WEXITSTATUS(status) == 77) {
    MESSAGE("skipped: no network of its own");
  } else {
    CHECK(status == 0);
  }
}

TEST_CASE("a machine that gets another address loses no packet") {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) ::_exit(77);
    const int control = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto inet = [](const char* text) {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      ::inet_pton(AF_INET, text, &address.sin_addr);
      sockaddr plain{};
      std::memcpy(&plain, &address, sizeof plain);
      return plain;
    };
    const auto set_address = [&](const char* device, const char* address) {
      ifreq request{};
      std::strcpy(request.ifr_name, device);
      request.ifr_addr = inet(address);
      return ::ioctl(control, SIOCSIFADDR, &request) == 0;
    };
    ifreq up{};
    std::strcpy(up.ifr_name, "lo");
    up.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
    rtentry route{};
    std::string device = "lo";
    route.rt_dst = inet("203.0.113.1");
    route.rt_genmask = inet("255.255.255.255");
    route.rt_flags = RTF_UP | RTF_HOST;
    route.rt_dev = device.data();
    bool good = ::ioctl(control, SIOCSIFFLAGS, &up) == 0 && set_address("lo:1", "192.0.2.1") &&
                ::ioctl(control, SIOCADDRT, &route) == 0;
    Sender sender = made({.servers = {"203.0.113.1"}, .linger = 1h});
    const auto send_all = [&] {
      for (int i = 0; i < 5; ++i) sender.send(bytes_of("equal"));
      return sender.flush();
    };
    good = good && send_all() && set_address("lo:1", "198.51.100.1") && send_all();
    good = good && sender.counts().sent == 10 && sender.counts().dropped == 0;
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (WEXITSTATUS(status) == 77) {
    MESSAGE("skipped: no network of its own");
  } else {
    CHECK(status == 0);
  }
}
#endif

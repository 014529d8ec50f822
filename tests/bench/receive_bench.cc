// The cost of a packet in a Pinba server.
//   receive_bench --benchmark_counters_tabular=true
// Packets of 636 bytes with 10 timers of 3 tags, 64 at a time over a socket of this machine. The floor takes
// them by recvmmsg(2), and drops them. Processor time of the thread that receives, medians of the same run.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "collect/watch.h"
#include "pinba/listen.h"
#include "plugin_pinba/receive/listener.h"
#include "plugin_pinba/receive/networks.h"
#include "plugin_pinba/receive/packet.h"
#include "plugin_pinba/receive/reports.h"
#include "spent.h"
#include "temporary_folder.h"

namespace {

using namespace mmstats::receive;

constexpr std::size_t kBatch = 64;
constexpr std::size_t kRounds = 2000;

// Where what is published goes.
struct Published {
  Published() { ::setenv("MMSTATS_PATH", folder.path().c_str(), 1); }
  TemporaryFolder folder;
};

// So many scripts, and ten timers in each: a row for each server of them.
std::vector<std::string> packets_of(std::size_t count) {
  std::vector<std::string> packets;
  pinba::Encoder encoder;
  for (std::size_t i = 0; i < count; ++i) {
    pinba::Request request;
    request.hostname = "web12.example.com";
    request.server_name = "shop.example.com";
    request.script_name = fmt::format("/checkout/confirm/{:04}", i % 50);
    request.document_size = 20'480;
    request.memory_peak = 2'097'152;
    request.memory_footprint = 2'277'376;
    request.status = 200;
    request.schema = "https";
    request.request_time = 0.001 * static_cast<double>(1 + i % 997);
    request.ru_utime = 0.03;
    request.ru_stime = 0.01;
    request.add_tag("app", "shop");
    request.add_tag("release", "12.4");
    for (std::size_t j = 0; j < 10; ++j) {
      request.add_timer(pinba::Tags{{"group", j < 5 ? "mysql" : "memcache"},
                                    {"op", fmt::format("select{}", j)},
                                    {"server", fmt::format("db{}", (i + j) % 8)}},
                        1 + (i + j) % 3, 0.0001 * static_cast<double>(1 + (i * j) % 991), 0.001, 0.0005);
    }
    const auto datagram = encoder.encode(request).front();
    packets.emplace_back(reinterpret_cast<const char*>(datagram.data()), datagram.size());
  }
  return packets;
}

class Sender {
 public:
  explicit Sender(const mmstats::Descriptor& to) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    ::getsockname(to.get(), reinterpret_cast<sockaddr*>(&address), &length);
    socket_ = mmstats::Descriptor(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) std::abort();
  }
  void send(const std::string& packet) const {
    benchmark::DoNotOptimize(::send(socket_.get(), packet.data(), packet.size(), 0));
  }
  void send_batch(const std::vector<std::string>& packets, std::size_t& next) const {
    for (std::size_t i = 0; i < kBatch; ++i) send(packets[next++ % packets.size()]);
  }

 private:
  mmstats::Descriptor socket_;
};

mmstats::Descriptor listening() {
  auto socket = pinba::listen_at("127.0.0.1:0", 8 << 20, false);
  if (!socket) std::abort();
  return std::move(*socket);
}

// As simple as can be.
class Floor {
 public:
  Floor() : socket_(listening()), bytes_(kBatch * kSize) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      vectors_[i] = {bytes_.data() + i * kSize, kSize};
      headers_[i].msg_hdr.msg_iov = &vectors_[i];
      headers_[i].msg_hdr.msg_iovlen = 1;
    }
  }
  [[nodiscard]] const mmstats::Descriptor& socket() const { return socket_; }
  void wait_at_most(std::chrono::microseconds time) const {
    const timeval value{.tv_sec = 0, .tv_usec = time.count()};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value);
  }
  std::size_t receive() {
    const int got = ::recvmmsg(socket_.get(), headers_.data(), kBatch, MSG_WAITFORONE, nullptr);
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  }

 private:
  static constexpr std::size_t kSize = 2048;
  mmstats::Descriptor socket_;
  std::vector<std::byte> bytes_;
  std::array<iovec, kBatch> vectors_{};
  std::array<mmsghdr, kBatch> headers_{};
};

pinba::Datagram datagram_of(const std::string& packet) { return std::as_bytes(std::span(packet)); }

// What a thread of the server does, and who sends to it. The rows of all packets are there.
class Ours {
 public:
  explicit Ours(const std::vector<std::string>& packets) {
    for (const auto& packet : packets) take(datagram_of(packet));
  }
  [[nodiscard]] const Sender& sender() const { return sender_; }
  [[nodiscard]] const FaultCounts& faults() const { return faults_; }
  // What there is, or what comes within a second; how many.
  std::size_t receive() {
    taken_ = 0;
    listener_.receive(ends_.get(), visit_);
    return taken_;
  }
  std::span<Packet> read(pinba::Datagram datagram) { return reader_.read(datagram, faults_); }
  void take(pinba::Datagram datagram) { visit_(datagram, {}); }

 private:
  static ReportsOptions options() {
    ReportsOptions options;
    options.reports = default_reports("pinba", 500);
    return options;
  }

  Published published_;
  mmstats::Descriptor socket_ = listening();
  Sender sender_{socket_};
  Listener listener_{std::move(socket_)};
  mmstats::Descriptor ends_{::eventfd(0, EFD_CLOEXEC)};
  Reports reports_{options()};
  Reports::Caches caches_;
  PacketReader reader_;
  FaultCounts faults_{};
  std::size_t taken_ = 0;
  Listener::Visit visit_ = [this](pinba::Datagram datagram, const sockaddr_storage& from) {
    ++taken_;
    for (const Packet& packet : read(datagram)) reports_.count(packet, source_of(from), caches_);
  };
};

void receive(benchmark::State& state) {
  const auto packets = packets_of(400);
  Floor floor;
  const Sender to_floor(floor.socket());
  Ours server(packets);
  std::vector<double> floors, ours, decodes, counts;
  for (auto _ : state) {
    double floor_seconds = 0;
    double our_seconds = 0;
    std::size_t next = 0;
    const double clock = processor_seconds_of([] {});
    for (std::size_t round = 0; round < kRounds; ++round) {
      std::size_t dropped = 0;
      to_floor.send_batch(packets, next);
      floor_seconds += processor_seconds_of([&] {
        while (dropped < kBatch) dropped += floor.receive();
      });
      std::size_t taken = 0;
      server.sender().send_batch(packets, next);
      our_seconds += processor_seconds_of([&] {
        while (taken < kBatch) taken += server.receive();
      });
    }
    floors.push_back(floor_seconds - kRounds * clock);
    ours.push_back(our_seconds - kRounds * clock);
    state.SetIterationTime(our_seconds);
    decodes.push_back(processor_seconds_of([&] {
      for (std::size_t i = 0; i < kRounds * kBatch; ++i)
        benchmark::DoNotOptimize(server.read(datagram_of(packets[i % packets.size()])).data());
    }));
    counts.push_back(processor_seconds_of([&] {
      for (std::size_t i = 0; i < kRounds * kBatch; ++i)
        server.take(datagram_of(packets[i % packets.size()]));
    }));
  }
  for (const std::uint64_t fault : server.faults()) {
    if (fault != 0) state.SkipWithError("faults");
  }
  const auto ns = [](std::vector<double>& times) { return median(times) * 1e9 / (kRounds * kBatch); };
  state.counters["bytes"] = static_cast<double>(packets[0].size());
  state.counters["ns_floor"] = ns(floors);
  state.counters["ns_ours"] = ns(ours);
  state.counters["ns_decode"] = ns(decodes);
  state.counters["ns_count"] = ns(counts) - ns(decodes);
  state.counters["ratio"] = ns(ours) / ns(floors);
}

// What one thread sends evenly to another. Receivers have buffers of 8 MiB.
struct Sent {
  double per_second;  // that there really were
  std::size_t lost;
};

// `receive`: takes what there is, and waits a little if there is nothing; how many it took.
template <class Receive>
Sent send_evenly(const Sender& to, const std::vector<std::string>& packets, double per_second,
                 const Receive& receive) {
  using Clock = std::chrono::steady_clock;
  constexpr double kSeconds = 1;
  std::atomic<bool> over = false;
  std::size_t got = 0;
  std::jthread receiver([&] {
    for (bool last = false;;) {
      const std::size_t some = receive();
      got += some;
      if (last && some == 0) return;
      last = over;
    }
  });
  const auto begin = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  std::size_t sent = 0;
  while (static_cast<double>(sent) < per_second * kSeconds && elapsed() < 2 * kSeconds) {
    if (static_cast<double>(sent) <= elapsed() * per_second) to.send(packets[sent++ % packets.size()]);
  }
  const double took = elapsed();
  over = true;
  receiver.join();
  return {static_cast<double>(sent) / took, sent - got};
}

void losses(benchmark::State& state) {
  const auto packets = packets_of(400);
  Floor floor;
  floor.wait_at_most(std::chrono::milliseconds(20));
  const Sender to_floor(floor.socket());
  Ours server(packets);
  for (auto _ : state) {
    // It ends where packets are lost, or where no more can be sent.
    double most = 0;
    for (double rate = 50'000;; rate *= 1.2) {
      const Sent sent = send_evenly(to_floor, packets, rate, [&] { return floor.receive(); });
      if (sent.lost > 0 || sent.per_second < 0.95 * rate) break;
      most = sent.per_second;
    }
    const Sent ours = send_evenly(server.sender(), packets, 0.4 * most, [&] { return server.receive(); });
    state.counters["floor_per_second"] = most;
    state.counters["ours_per_second"] = ours.per_second;
    state.counters["ours_lost"] = static_cast<double>(ours.lost);
  }
}

// So many rows, of 8 values with their distribution: counting in them, and a reader that reads them all.
void many_rows(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(0));
  const Published published;
  ReportsOptions options;
  options.reports = {default_reports("pinba", 2 * rows).front()};
  options.timers_by_tags = false;
  options.max_all_rows = 4 * rows;
  Reports reports(options);
  Reports::Caches caches;
  std::vector<std::string> scripts;
  for (std::size_t i = 0; i < rows; ++i) scripts.push_back(fmt::format("/checkout/confirm/{}", i));
  Packet packet;
  packet.host = "web12";
  packet.server = "shop";
  packet.seconds = 0.25;
  packet.user_seconds = packet.system_seconds = 0.01;
  packet.bytes = packet.memory = 1000;
  const auto count_all = [&] {
    for (const std::string& script : scripts) {
      packet.script = script;
      reports.count(packet, 1, caches);
    }
  };
  const double first = processor_seconds_of(count_all);
  mmstats::Watch watch({.globs = {published.folder / "*.mmstats"}, .discovery = {}, .fold = {}}, {});
  auto now = std::chrono::steady_clock::now();
  std::vector<double> counts, scans;
  for (auto _ : state) {
    counts.push_back(processor_seconds_of(count_all));
    scans.push_back(processor_seconds_of(
        [&] { watch.scan(std::chrono::system_clock::now(), now += std::chrono::seconds(10)); }));
    state.SetIterationTime(counts.back());
  }
  const auto per_row = 1e9 / static_cast<double>(rows);
  state.counters["ns_new_row"] = first * per_row;
  state.counters["ns_count"] = median(counts) * per_row;
  state.counters["ns_scan_a_row"] = median(scans) * per_row;
  state.counters["files"] = static_cast<double>(watch.files());
}

}  // namespace

BENCHMARK(receive)->UseManualTime()->Iterations(9)->Unit(benchmark::kMillisecond);
BENCHMARK(losses)->Iterations(1)->Unit(benchmark::kSecond);
BENCHMARK(many_rows)->Arg(100)->Arg(10'000)->UseManualTime()->Iterations(9)->Unit(benchmark::kMillisecond);

BENCHMARK_MAIN();

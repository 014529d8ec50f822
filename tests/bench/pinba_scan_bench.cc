// What the forwarder costs on top of the fold: a scan's series made into requests, encoded and handed to the
// system, against the scan itself.
//   pinba_scan_bench --benchmark_counters_tabular=true
// `workers`: 1,000 files of the same 100 labels, all values changed. `labels`: 1,000 files of 100 labels of
// their own each, so 100,000 series. `forward_over_scan` is the ratio; `map_ms`, `encode_ms` and `send_ms`
// are the parts of it. `floor_ms`: one `sendmmsg` for each 64 of the same packets and nothing else;
// `beyond_floor` is what the forwarder takes beside that, over the scan. `kept_bytes`: memory that the mapper
// keeps for each series.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "collect/watch.h"
#include "pinba/encode.h"
#include "pinba/sender.h"
#include "plugin_pinba/forward/request_mapper.h"
#include "spent.h"
#include "worker_files.h"

namespace {

// A port that takes everything and reads nothing.
class Sink {
 public:
  Sink() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      std::abort();
    }
    server_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  ~Sink() { ::close(fd_); }
  [[nodiscard]] const std::string& server() const { return server_; }

 private:
  int fd_;
  std::string server_;
};

// The system's part of sending alone.
class BareSending {
 public:
  explicit BareSending(const std::string& server) : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(server.substr(server.find(':') + 1))));
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::abort();
  }
  BareSending(const BareSending&) = delete;
  BareSending& operator=(const BareSending&) = delete;
  ~BareSending() { ::close(fd_); }

  double seconds_of(std::span<const pinba::Datagram> datagrams) {
    std::vector<iovec> vectors;
    for (const auto& datagram : datagrams)
      vectors.push_back({const_cast<std::byte*>(datagram.data()), datagram.size()});  // only read
    std::vector<mmsghdr> messages(vectors.size());
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      messages[i].msg_hdr.msg_iov = &vectors[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    return processor_seconds_of([&] {
      constexpr std::size_t kBatch = 64;
      for (std::size_t at = 0; at < messages.size(); at += kBatch) {
        const std::size_t count = std::min(kBatch, messages.size() - at);
        if (::sendmmsg(fd_, &messages[at], static_cast<unsigned>(count), 0) != static_cast<int>(count))
          std::abort();
      }
    });
  }

 private:
  int fd_;
};

std::size_t memory_in_use() {
  const auto heap = ::mallinfo2();
  return heap.uordblks + heap.hblkhd;
}

void run(benchmark::State& state, bool own_labels) {
  constexpr int kFiles = 1000;
  constexpr int kFields = 100;
  WorkerFiles files(kFiles, kFields, {}, own_labels);
  mmstats::WatchOptions options;
  options.globs = {files.glob()};
  mmstats::Watch watch(std::move(options), mmstats::Rules{});
  const auto now = std::chrono::system_clock::now() + std::chrono::seconds(5);
  const auto scan = [&] { watch.scan(now, std::chrono::steady_clock::now()); };
  scan();
  const std::size_t memory = memory_in_use();
  mmstats::forward::Mapping mapping;
  mapping.group = "bench";
  mapping.hostname = "host";
  mmstats::forward::RequestMapper mapper(std::move(mapping));
  mapper.start_from(watch.series(), watch.distributions());
  const std::size_t kept = memory_in_use() - memory;
  const Sink sink;
  auto sender = pinba::Sender::make({.servers = {sink.server()}, .burst_packets = 0});
  pinba::Encoder encoder({.drop_unused_texts = true});

  BareSending bare(sink.server());
  std::vector<double> scans;
  std::vector<double> forwards;
  std::vector<double> encodings;
  std::vector<double> sends;
  std::vector<double> floors;
  std::vector<double> beyond_floors;
  std::size_t datagrams = 0;
  std::size_t bytes = 0;
  for (auto _ : state) {
    files.move_on();
    scans.push_back(processor_seconds_of(scan));
    double encoding = 0;
    double sent = 0;
    double floor = 0;
    datagrams = bytes = 0;
    const double all = processor_seconds_of([&] {
      mapper.scan(watch.series(), watch.distributions(), now, [&](const pinba::Request& request) {
        std::span<const pinba::Datagram> encoded;
        encoding += processor_seconds_of([&] { encoded = encoder.encode(request); });
        sent += processor_seconds_of([&] { sender->send(encoded, request.script_name); });
        floor += processor_seconds_of([&] {
          floors.push_back(bare.seconds_of(encoded));
          datagrams += encoded.size();
          for (const auto& datagram : encoded) bytes += datagram.size();
        });
      });
    });
    forwards.push_back(all - floor);
    encodings.push_back(encoding);
    sends.push_back(sent);
    beyond_floors.push_back(forwards.back() - floors.back());
    state.SetIterationTime(forwards.back());
  }
  const double scan_seconds = median(scans);
  const double forward_seconds = median(forwards);
  const double encode_seconds = median(encodings);
  const double send_seconds = median(sends);
  state.counters["scan_ms"] = scan_seconds * 1e3;
  state.counters["forward_ms"] = forward_seconds * 1e3;
  state.counters["map_ms"] = (forward_seconds - encode_seconds - send_seconds) * 1e3;
  state.counters["encode_ms"] = encode_seconds * 1e3;
  state.counters["send_ms"] = send_seconds * 1e3;
  state.counters["floor_ms"] = median(floors) * 1e3;
  state.counters["forward_over_scan"] = forward_seconds / scan_seconds;
  state.counters["beyond_floor"] = median(beyond_floors) / scan_seconds;
  state.counters["kept_bytes"] = static_cast<double>(kept) / static_cast<double>(watch.series().size());
  state.counters["bytes"] = static_cast<double>(bytes);
  state.counters["series"] = static_cast<double>(watch.series().size());
  state.counters["datagrams"] = static_cast<double>(datagrams);
}

void workers(benchmark::State& state) { run(state, false); }
void labels(benchmark::State& state) { run(state, true); }

BENCHMARK(workers)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(200);
BENCHMARK(labels)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(30);

}  // namespace

BENCHMARK_MAIN();

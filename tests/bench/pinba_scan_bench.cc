// What the forwarder costs on top of the fold: a scan's series made into requests, encoded and handed to the
// system, against the scan itself.
//   pinba_scan_bench --benchmark_counters_tabular=true
// `workers`: 1,000 files of the same 100 labels, all values changed. `labels`: 1,000 files of 100 labels of
// their own each, so 100,000 series. `forward_over_scan` is the ratio; `send_ms` is the part of it that
// sending takes.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
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

void run(benchmark::State& state, bool own_labels) {
  constexpr int kFiles = 1000;
  constexpr int kFields = 100;
  WorkerFiles files(kFiles, kFields, {}, own_labels);
  mmstats::WatchOptions options;
  options.globs = {files.glob()};
  mmstats::Watch watch(std::move(options), mmstats::Rules{});
  mmstats::forward::Mapping mapping;
  mapping.group = "bench";
  mapping.hostname = "host";
  mmstats::forward::RequestMapper mapper(std::move(mapping));
  const Sink sink;
  auto sender = pinba::Sender::make({.servers = {sink.server()}, .burst_packets = 0});
  pinba::Encoder encoder;
  const auto now = std::chrono::system_clock::now() + std::chrono::seconds(5);
  const auto scan = [&] { watch.scan(now, std::chrono::steady_clock::now()); };
  scan();
  mapper.start_from(watch.series(), watch.distributions());

  std::vector<double> scans;
  std::vector<double> forwards;
  std::vector<double> sends;
  std::size_t datagrams = 0;
  for (auto _ : state) {
    files.move_on();
    scans.push_back(processor_seconds_of(scan));
    double sent = 0;
    datagrams = 0;
    forwards.push_back(processor_seconds_of([&] {
      mapper.scan(watch.series(), watch.distributions(), now, [&](const pinba::Request& request) {
        const auto encoded = encoder.encode(request);
        datagrams += encoded.size();
        sent += processor_seconds_of([&] { sender->send(encoded, request.script_name); });
      });
    }));
    sends.push_back(sent);
    state.SetIterationTime(forwards.back());
  }
  const double scan_seconds = median(scans);
  const double forward_seconds = median(forwards);
  state.counters["scan_ms"] = scan_seconds * 1e3;
  state.counters["forward_ms"] = forward_seconds * 1e3;
  state.counters["send_ms"] = median(sends) * 1e3;
  state.counters["forward_over_scan"] = forward_seconds / scan_seconds;
  state.counters["series"] = static_cast<double>(watch.series().size());
  state.counters["datagrams"] = static_cast<double>(datagrams);
}

void workers(benchmark::State& state) { run(state, false); }
void labels(benchmark::State& state) { run(state, true); }

BENCHMARK(workers)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(200);
BENCHMARK(labels)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(30);

}  // namespace

BENCHMARK_MAIN();

// The cost of Pinba packets: making one, sending many, and what a measured request costs its application.
//   pinba_bench --benchmark_counters_tabular=true
// A request has 10 timers of 3 tags and 2 request tags. Its message is filled and serialized from the same
// Request by libprotobuf (a message that is used again, and one on an arena) and protobuf-c (as php-pinba
// fills it). The ratios are of medians in the same run: best / ours.
#include <benchmark/benchmark.h>
#include <google/protobuf/arena.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "pinba.pb-c.h"
#include "pinba.pb.h"
#include "pinba/encode.h"
#include "pinba/monitor.h"
#include "spent.h"
#include "udp_receiver.h"

namespace {

pinba::Request usual_request() {
  pinba::Request request;
  request.hostname = "web12.example.com";
  request.server_name = "shop.example.com";
  request.script_name = "/checkout/confirm";
  request.document_size = 20'480;
  request.memory_peak = 2'097'152;
  request.memory_footprint = 2'277'376;
  request.status = 200;
  request.schema = "https";
  request.request_time = 0.25;
  request.ru_utime = 0.03;
  request.ru_stime = 0.01;
  request.add_tag("app", "shop");
  request.add_tag("release", "12.4");
  for (int i = 0; i < 10; ++i) {
    request.add_timer(pinba::Tags{{"group", i < 5 ? "mysql" : "memcache"},
                                  {"op", "select" + std::to_string(i)},
                                  {"server", "db" + std::to_string(i % 3)}},
                      static_cast<std::uint64_t>(i) + 1, 0.01 * i, 0.001 * i, 0.0005 * i);
  }
  return request;
}

// Other numbers for each packet.
void change(pinba::Request& request, std::size_t round) {
  request.request_time = 0.001 * static_cast<double>(round % 1000);
  for (auto& timer : request.timers) {
    timer.hit_count = static_cast<std::uint32_t>(1 + round % 300);
    timer.value += 0.001;
  }
}

void fill(const pinba::Request& request, pinba_wire::Request& message) {
  message.set_hostname(request.hostname);
  message.set_server_name(request.server_name);
  message.set_script_name(request.script_name);
  message.set_request_count(request.request_count);
  message.set_document_size(static_cast<std::uint32_t>(request.document_size));
  message.set_memory_peak(static_cast<std::uint32_t>(request.memory_peak));
  message.set_request_time(static_cast<float>(request.request_time));
  message.set_ru_utime(static_cast<float>(request.ru_utime));
  message.set_ru_stime(static_cast<float>(request.ru_stime));
  message.set_status(*request.status);
  message.set_memory_footprint(static_cast<std::uint32_t>(*request.memory_footprint));
  message.set_schema(*request.schema);
  for (const auto& timer : request.timers) {
    message.add_timer_hit_count(timer.hit_count);
    message.add_timer_value(static_cast<float>(timer.value));
    message.add_timer_tag_count(timer.tag_count);
    message.add_timer_ru_utime(static_cast<float>(timer.ru_utime));
    message.add_timer_ru_stime(static_cast<float>(timer.ru_stime));
  }
  for (const auto& tag : request.timer_tags) {
    message.add_timer_tag_name(tag.name);
    message.add_timer_tag_value(tag.value);
  }
  for (const auto& tag : request.tags) {
    message.add_tag_name(tag.name);
    message.add_tag_value(tag.value);
  }
  for (std::uint32_t i = 0; i < request.dictionary.size(); ++i) {
    const auto text = request.dictionary[i];
    message.add_dictionary(text.data(), text.size());
  }
}

// Lists whose memory is used again; protobuf-c wants texts that end with NUL, which ours need not: they are
// copied.
struct OtherMessage {
  PinbaWire__Request message = PINBA_WIRE__REQUEST__INIT;
  std::vector<std::uint32_t> hits, counts, names, values, tag_names, tag_values;
  std::vector<float> times, utimes, stimes;
  std::vector<std::string> texts;
  std::vector<char*> dictionary;

  std::size_t pack(pinba::Request& request, std::uint8_t* to) {
    message.hostname = request.hostname.data();
    message.server_name = request.server_name.data();
    message.script_name = request.script_name.data();
    message.document_size = static_cast<std::uint32_t>(request.document_size);
    message.memory_peak = static_cast<std::uint32_t>(request.memory_peak);
    message.request_time = static_cast<float>(request.request_time);
    message.ru_utime = static_cast<float>(request.ru_utime);
    message.ru_stime = static_cast<float>(request.ru_stime);
    message.has_status = 1;
    message.status = *request.status;
    message.has_memory_footprint = 1;
    message.memory_footprint = static_cast<std::uint32_t>(*request.memory_footprint);
    message.schema = request.schema->data();
    for (auto* list : {&hits, &counts, &names, &values, &tag_names, &tag_values}) list->clear();
    for (auto* list : {&times, &utimes, &stimes}) list->clear();
    for (const auto& timer : request.timers) {
      hits.push_back(timer.hit_count);
      counts.push_back(timer.tag_count);
      times.push_back(static_cast<float>(timer.value));
      utimes.push_back(static_cast<float>(timer.ru_utime));
      stimes.push_back(static_cast<float>(timer.ru_stime));
    }
    for (const auto& tag : request.timer_tags) {
      names.push_back(tag.name);
      values.push_back(tag.value);
    }
    for (const auto& tag : request.tags) {
      tag_names.push_back(tag.name);
      tag_values.push_back(tag.value);
    }
    texts.resize(request.dictionary.size());
    dictionary.clear();
    for (std::uint32_t i = 0; i < request.dictionary.size(); ++i) {
      texts[i] = request.dictionary[i];
      dictionary.push_back(texts[i].data());
    }
    const auto give = [](auto& list, auto*& to, std::size_t& count) {
      to = list.data();
      count = list.size();
    };
    give(hits, message.timer_hit_count, message.n_timer_hit_count);
    give(times, message.timer_value, message.n_timer_value);
    give(counts, message.timer_tag_count, message.n_timer_tag_count);
    give(names, message.timer_tag_name, message.n_timer_tag_name);
    give(values, message.timer_tag_value, message.n_timer_tag_value);
    give(dictionary, message.dictionary, message.n_dictionary);
    give(tag_names, message.tag_name, message.n_tag_name);
    give(tag_values, message.tag_value, message.n_tag_value);
    give(utimes, message.timer_ru_utime, message.n_timer_ru_utime);
    give(stimes, message.timer_ru_stime, message.n_timer_ru_stime);
    return pinba_wire__request__pack(&message, to);
  }
};

void encode(benchmark::State& state) {
  constexpr std::size_t kRounds = 1000;  // so that the clock costs nothing
  pinba::Request request = usual_request();
  std::vector<char> out(65536);
  std::vector<char> copy(65536);
  std::vector<char> arena_block(65536);
  pinba_wire::Request message;
  OtherMessage other;
  pinba::Encoder encoder;
  std::size_t size = 0;
  std::size_t round = 0;
  const auto time_of = [&](auto&& work) {
    return processor_seconds_of([&] {
      for (std::size_t i = 0; i < kRounds; ++i) {
        change(request, ++round);
        work();
        benchmark::ClobberMemory();
      }
    });
  };
  std::vector<double> nothing, reused, arena, protobuf_c, fresh, copied;
  for (auto _ : state) {
    nothing.push_back(time_of([] {}));
    reused.push_back(time_of([&] {
      message.Clear();
      fill(request, message);
      size = message.ByteSizeLong();
      message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(out.data()));
    }));
    arena.push_back(time_of([&] {
      google::protobuf::Arena memory(arena_block.data(), arena_block.size());
      auto* made = google::protobuf::Arena::CreateMessage<pinba_wire::Request>(&memory);
      fill(request, *made);
      size = made->ByteSizeLong();
      made->SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(out.data()));
    }));
    protobuf_c.push_back(
        time_of([&] { size = other.pack(request, reinterpret_cast<std::uint8_t*>(out.data())); }));
    fresh.push_back(time_of([&] { benchmark::DoNotOptimize(encoder.encode(request).front().data()); }));
    copied.push_back(time_of([&] {
      benchmark::DoNotOptimize(copy.data());
      std::memcpy(copy.data(), out.data(), size);
    }));
    state.SetIterationTime(fresh.back());
  }
  if (encoder.encode(request).front().size() != size) state.SkipWithError("not the same packet");
  const double floor = median(nothing);
  const auto ns = [&](std::vector<double>& times) { return (median(times) - floor) * 1e9 / kRounds; };
  const double best = std::min({ns(reused), ns(arena), ns(protobuf_c)});
  state.counters["bytes"] = static_cast<double>(size);
  state.counters["ns_reused"] = ns(reused);
  state.counters["ns_arena"] = ns(arena);
  state.counters["ns_protobuf_c"] = ns(protobuf_c);
  state.counters["ns_fresh"] = ns(fresh);
  state.counters["ns_memcpy"] = ns(copied);
  state.counters["fresh_vs_best"] = best / ns(fresh);
}

// The same with the work of finding each text in the dictionary: from tags as an application has them.
void build_and_encode(benchmark::State& state) {
  const pinba::Request shape = usual_request();
  std::vector<std::pair<std::string, std::string>> tags;
  for (const auto& tag : shape.timer_tags)
    tags.emplace_back(shape.dictionary[tag.name], shape.dictionary[tag.value]);
  pinba::Encoder encoder;
  pinba::Request request;
  pinba::TimerMerge merge;
  for (auto _ : state) {
    request.clear();
    merge.clear();
    request.hostname = shape.hostname;
    request.server_name = shape.server_name;
    request.script_name = shape.script_name;
    request.schema = shape.schema;
    std::array<pinba::TagRef, 3> refs;
    for (std::size_t i = 0; i < tags.size(); i += 3) {
      for (std::size_t j = 0; j < 3; ++j) refs[j] = request.intern(tags[i + j].first, tags[i + j].second);
      merge.add(request, refs, 1, 0.5);
    }
    benchmark::DoNotOptimize(encoder.encode(request).front().data());
  }
}

// Reads all that arrives, as a server does.
class Drain {
 public:
  explicit Drain(UdpReceiver& server) : server_(server), thread_([this] { run(); }) {}
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;
  ~Drain() {
    over_ = true;
    thread_.join();
  }

 private:
  void run() {
    while (!over_) server_.discard(std::chrono::milliseconds(20));
  }
  UdpReceiver& server_;
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

void send(benchmark::State& state) {
  constexpr std::size_t kPackets = 20'000;
  const bool equal = state.range(0) != 0;
  UdpReceiver server;
  const Drain drain(server);
  const std::vector<std::byte> bytes(500);
  const auto packet = [&](std::size_t i) { return pinba::Datagram(bytes).first(equal ? 400 : 399 + i % 3); };
  const int plain = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(server.port());
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto sender = pinba::Sender::make({.servers = {server.server()},
                                     .linger = std::chrono::hours(1),
                                     .batch_packets = 512,
                                     .burst_packets = 0});
  std::vector<double> singles, batches;
  for (auto _ : state) {
    singles.push_back(processor_seconds_of([&] {
      for (std::size_t i = 0; i < kPackets; ++i) {
        const auto data = packet(i);
        benchmark::DoNotOptimize(
            ::sendto(plain, data.data(), data.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to));
      }
    }));
    batches.push_back(processor_seconds_of([&] {
      for (std::size_t i = 0; i < kPackets; ++i) sender->send(packet(i));
      sender->flush();
    }));
    state.SetIterationTime(batches.back());
  }
  ::close(plain);
  if (sender->counts().dropped != 0) state.SkipWithError("dropped");
  const double one = median(singles);
  const double batch = median(batches);
  state.counters["sendto_per_s"] = kPackets / one;
  state.counters["sender_per_s"] = kPackets / batch;
  state.counters["vs_sendto"] = one / batch;
}

void requests_of(const pinba::Client& client, std::size_t count) {
  const std::array<const char*, 10> operations{"select0", "select1", "select2", "select3", "select4",
                                               "select5", "select6", "select7", "select8", "select9"};
  for (std::size_t i = 0; i < count; ++i) {
    const pinba::RequestMonitor request(client, "/checkout/confirm");
    const pinba::CurrentScope current(request);
    for (const char* operation : operations) {
      const auto timed = pinba::timer({{"group", "mysql"}, {"op", operation}, {"server", "db1"}}).scope();
    }
  }
}

void monitored_request(benchmark::State& state) {
  constexpr std::size_t kRequests = 1000;
  UdpReceiver server;
  const Drain drain(server);
  const pinba::ClientOptions options{.tags = pinba::Tags{{"app", "shop"}, {"release", 12}}};
  pinba::ClientOptions disabled = options;
  disabled.enabled = false;
  const auto client = pinba::Client::make({.servers = {server.server()}, .burst_packets = 0}, options);
  const auto off = pinba::Client::make({.servers = {server.server()}}, disabled);
  auto plain = pinba::Sender::make({.servers = {server.server()}, .burst_packets = 0});
  const std::vector<std::byte> packet(600);
  std::vector<double> requests, sends, disabled_requests;
  for (auto _ : state) {
    requests.push_back(processor_seconds_of([&] { requests_of(*client, kRequests); }));
    disabled_requests.push_back(processor_seconds_of([&] { requests_of(*off, kRequests); }));
    sends.push_back(processor_seconds_of([&] {
      for (std::size_t i = 0; i < kRequests; ++i) plain->send(packet);
    }));
    state.SetIterationTime(requests.back());
  }
  const double request = median(requests);
  const double send = median(sends);
  state.counters["ns_request"] = request * 1e9 / kRequests;
  state.counters["ns_sending"] = send * 1e9 / kRequests;
  state.counters["share_of_sending"] = send / request;
  state.counters["ns_disabled"] = median(disabled_requests) * 1e9 / kRequests;
  state.counters["share_of_disabled"] = median(disabled_requests) / request;
}

BENCHMARK(encode)->UseManualTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(build_and_encode)->Unit(benchmark::kNanosecond);
BENCHMARK(send)->ArgName("equal_sizes")->Arg(0)->Arg(1)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(monitored_request)->UseManualTime()->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();

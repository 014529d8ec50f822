// Any number of packets, good and damaged, and floods of tags, through reader and reports in a process of
// their own: its memory stays as it is, all is counted, and nobody hides what others send.
//
// MMSTATS_SOAK_PACKETS: how many packets (default 1,000,000); MMSTATS_SOAK_TAGS: how many tags of a flood
// (default 400,000); a tenth of that under sanitizers. MMSTATS_CHAOS_SEED: of random packets (default 1, so
// that all runs judge the same ones). For many, run the program itself: ctest ends what takes long.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "asked_number.h"
#include "base/descriptor.h"
#include "child_process.h"
#include "pinba/encode.h"
#include "plugin_pinba/receive/packet.h"
#include "plugin_pinba/receive/reports.h"
#include "receive/report_reader.h"

using namespace mmstats::receive;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // They need memory of their own, and time.
#else
constexpr bool kSanitized = false;
#endif

// Rows are made anew in each second one or so.
constexpr std::size_t kSteps = 40;
constexpr std::size_t kRows = 60;
constexpr std::size_t kAllRows = 500;
constexpr std::size_t kTagSets = 24;
constexpr std::size_t kMostGrowth = std::size_t{4} << 20U;
// The allocator needs some lives of rows until it keeps as much as it will.
constexpr std::size_t kMostResidentGrowth = std::size_t{40} << 20U;

constexpr Source kHonest = 1;
// Nobody else has these, even by chance.
constexpr const char* kHonestName = "/honest/sender";
constexpr std::uint32_t kHonestStatus = 3'141'592'653;

std::uint64_t asked(const char* variable, std::uint64_t otherwise) {
  return asked_number(variable, kSanitized ? otherwise / 10 : otherwise);
}

// All that was sent so far, and the process that took it.
struct Taken {
  std::uint64_t packets = 0;
  std::uint64_t without_message = 0;
  std::uint64_t requests = 0;
  std::uint64_t hits = 0;
  std::uint64_t honest = 0;  // requests
  std::size_t rows = 0;
  // Bytes. What was given back may stay resident, so that it is there for the next rows.
  std::size_t used = 0;
  std::size_t resident = 0;
};

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t all = 0;
  std::size_t resident = 0;
  statm >> all >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

ReportsOptions few_rows() {
  ReportsOptions options;
  options.reports = default_reports("pinba", kRows);
  options.reports.push_back({.label = "pinba.tag",
                             .counted = Counted::kRequests,
                             .keys = {{{KeySource::kRequestTag, "tag"}, "tag"}},
                             .filter = {},
                             .max_rows = kRows});
  options.max_rows = kRows;
  options.max_tag_sets = kTagSets;
  options.max_all_rows = kAllRows;
  return options;
}

class Taker {
 public:
  Taken taken;

  // Requests of the datagram, which the reader may change.
  std::span<Packet> take(pinba::Datagram datagram, Source source, FaultCounts& faults) {
    ++taken.packets;
    const auto packets = reader_.read(datagram, faults);
    const auto no_message = faults[static_cast<std::size_t>(Fault::kNoMessage)];
    must(packets.empty() == (no_message == 1));
    taken.without_message += no_message;
    for (const Packet& packet : packets) count(packet, source);
    return packets;
  }
  void count(const Packet& packet, Source source) {
    ++taken.requests;
    for (const TimerEntry& timer : packet.timers) taken.hits += timer.hits;
    reports_.count(packet, source, caches_);
  }
  void sweep() { must(reports_.sweep() <= kAllRows); }
  void look_at_itself() {
    taken.rows = reports_.rows();
    const struct mallinfo2 memory = ::mallinfo2();
    taken.used = memory.uordblks + memory.hblkhd;
    taken.resident = resident_bytes();
  }

 private:
  Reports reports_{few_rows()};
  Reports::Caches caches_;
  PacketReader reader_;
};

// A process that takes what `step` sends, again and again, as it is told. To it, `step` is kept.
class TakingProcess {
 public:
  explicit TakingProcess(const std::function<void(Taker&)>& step) : TakingProcess(make_ends(), step) {}

  // What it has taken with one more step.
  Taken step() {
    Taken taken;
    REQUIRE(::send(end_.get(), "", 1, MSG_NOSIGNAL) == 1);
    REQUIRE(::recv(end_.get(), &taken, sizeof taken, 0) == sizeof taken);  // else it is dead
    return taken;
  }

 private:
  using Ends = std::array<mmstats::Descriptor, 2>;

  static Ends make_ends() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
      throw std::runtime_error("cannot make sockets");
    return {mmstats::Descriptor(ends[0]), mmstats::Descriptor(ends[1])};
  }
  TakingProcess(Ends ends, const std::function<void(Taker&)>& step)
      : end_(std::move(ends[0])), process_([&] {
          Taker taker;
          char told = 0;
          while (::recv(ends[1].get(), &told, 1, 0) == 1) {
            taker.sweep();
            step(taker);
            taker.look_at_itself();
            must(::send(ends[1].get(), &taker.taken, sizeof taker.taken, MSG_NOSIGNAL) == sizeof taker.taken);
          }
        }) {}

  mmstats::Descriptor end_;
  ChildProcess process_;
};

// Takes all steps and reads after each. The last state.
Taken take_all(const std::function<void(Taker&)>& step, ReportReader& reader) {
  TakingProcess process(step);
  std::vector<Taken> steps;
  while (steps.size() < kSteps) {
    steps.push_back(process.step());
    CHECK(steps.back().rows <= kAllRows);
    reader.scan();
  }
  // The most of a tenth, as some steps have rows of two lives.
  const auto check_growth = [&](const char* what, std::size_t Taken::* bytes, std::size_t growth) {
    const auto most = [&](auto begin) {
      std::size_t found = 0;
      for (auto step = begin; step != begin + kSteps / 10; ++step) found = std::max(found, *step.*bytes);
      return found;
    };
    const std::size_t first = most(steps.begin());
    const std::size_t last = most(steps.end() - kSteps / 10);
    MESSAGE(fmt::format("{} packets: at most {} KiB {} in the first tenth, {} in the last one",
                        steps.back().packets, first >> 10U, what, last >> 10U));
    if (!kSanitized) CHECK(last <= first + growth);
  };
  check_growth("used", &Taken::used, kMostGrowth);
  check_growth("resident", &Taken::resident, kMostResidentGrowth);
  return steps.back();
}

constexpr std::array<const char*, 4> kDefaultReports{"script", "server", "host", "status"};

// Each request is in each report of requests, each hit in one of timers, and the honest sender's are in rows
// of their own.
void check_sums(const ReportReader& reader, const Taken& taken) {
  const auto sums = reader.sums();
  std::uint64_t hits = 0;
  for (const auto& [label, sum] : sums) {
    if (label.starts_with("pinba.timer.") && label.ends_with(".seconds.count")) hits += sum;
  }
  CHECK(hits == taken.hits);
  for (const std::string report : kDefaultReports) {
    CAPTURE(report);
    CHECK(sums.at("pinba." + report + ".requests") == taken.requests);
    CHECK(sums.at("pinba." + report + ".seconds.count") == taken.requests);
    const auto rows = reader.rows_ever("pinba." + report + ".requests");
    CHECK(rows.at(report + "=other") > 0);
    CHECK(rows.at(report == "status" ? fmt::format("status={}", kHonestStatus)
                                     : fmt::format("{}={}", report, kHonestName)) == taken.honest);
  }
  REQUIRE(taken.honest > 0);
  const auto honest = static_cast<double>(taken.honest);
  const std::string name = kHonestName;
  CHECK(reader.total("pinba.script.seconds.sum", "script=" + name) == 0.5 * honest);
  CHECK(reader.total("pinba.tag.requests", "tag=" + name) == honest);
  for (const std::string tag : {"group", "honest"}) {
    CAPTURE(tag);
    CHECK(reader.total("pinba.timer.@" + tag + ".requests", tag + '=' + name) == honest);
    CHECK(reader.total("pinba.timer.@" + tag + ".seconds.count", tag + '=' + name) == 2 * honest);
    CHECK(reader.total("pinba.timer.@" + tag + ".seconds.sum", tag + '=' + name) == 0.25 * honest);
  }
}

void add_timer(pinba::Request& request, std::string_view name, std::string_view value, std::uint32_t hits,
               double seconds) {
  const std::array tags{request.intern(name, value)};
  request.add_timer(tags, hits, seconds);
}

std::string datagram_of(const pinba::Request& request) {
  pinba::Encoder encoder({.nested = true});
  const auto datagrams = encoder.encode(request);
  must(datagrams.size() == 1);
  return {reinterpret_cast<const char*>(datagrams[0].data()), datagrams[0].size()};
}

std::string honest_datagram() {
  pinba::Request request;
  request.hostname = request.server_name = request.script_name = kHonestName;
  request.status = kHonestStatus;
  request.request_time = 0.5;
  request.add_tag("tag", kHonestName);
  for (const char* tag : {"group", "honest"}) add_timer(request, tag, kHonestName, 2, 0.25);
  return datagram_of(request);
}

// A good datagram, and what it has.
struct Good {
  std::string bytes;
  std::size_t requests = 1;
  std::uint64_t hits = 0;
};

class RandomPackets {
 public:
  explicit RandomPackets(std::uint64_t seed) : random_(seed) { renew(); }

  // Others than before.
  void renew() {
    for (Good& good : good_) {
      good = {};
      pinba::Request request = make_request(good);
      if (below(8) == 0) {
        good.requests += 1 + below(2);
        while (request.requests.size() + 1 < good.requests) request.requests.push_back(make_request(good));
      }
      good.bytes = datagram_of(request);
    }
  }
  const Good& good() { return good_[below(good_.size())]; }
  // Valid until the next call.
  const std::string& damaged() {
    damaged_ = good().bytes;
    for (auto times = 1 + below(3); times > 0; --times) {
      const auto at = below(damaged_.size() + 1);
      switch (below(5)) {
        case 0:
          if (at < damaged_.size()) damaged_[at] = static_cast<char>(random_());
          break;
        case 1:
          if (at < damaged_.size()) damaged_[at] = static_cast<char>(damaged_[at] ^ (1 << below(8)));
          break;
        case 2:
          damaged_.resize(at);
          break;
        case 3: {
          const std::uint64_t bytes = random_();
          damaged_.insert(at, reinterpret_cast<const char*>(&bytes), 1 + below(sizeof bytes));
          break;
        }
        default: {
          const std::string& other = good().bytes;
          damaged_.replace(at, std::string::npos, other, below(other.size()), std::string::npos);
        }
      }
    }
    return damaged_;
  }
  std::uint64_t below(std::uint64_t end) { return random_() % end; }

 private:
  pinba::Request make_request(Good& good) {
    pinba::Request request;
    request.hostname = text("web");
    request.server_name = text("shop");
    request.script_name = text("/");
    request.request_time = static_cast<double>(below(1000)) / 64;
    request.document_size = below(100'000);
    if (below(2) == 0) request.status = static_cast<std::uint32_t>(200 + below(300));
    if (below(2) == 0) request.add_tag("tag", text("v"));
    for (auto timers = below(3); timers > 0; --timers) {
      const std::uint32_t hits = below(50) == 0 ? 0xFFFFFFFF : static_cast<std::uint32_t>(1 + below(3));
      add_timer(request, below(2) == 0 ? "group" : text("n"), text("v"), hits, 0.125);
      good.hits += hits;
    }
    return request;
  }
  // Of some that come again, or one that does not; any bytes, now and then.
  std::string text(std::string_view prefix) {
    if (below(4) != 0) return fmt::format("{}{}", prefix, below(30));
    std::string any;
    for (auto size = below(12); size > 0; --size) any += static_cast<char>(random_());
    return any;
  }

  std::mt19937_64 random_;
  std::array<Good, 256> good_;
  std::string damaged_;
};

}  // namespace

TEST_CASE("of random good and damaged packets all is counted, and memory does not grow") {
  const std::uint64_t packets = asked("MMSTATS_SOAK_PACKETS", 1'000'000);
  const std::uint64_t seed = asked_number("MMSTATS_CHAOS_SEED", 1);
  MESSAGE(fmt::format("MMSTATS_CHAOS_SEED={}", seed));
  ReportReader reader;
  RandomPackets random(seed);
  const std::string honest = honest_datagram();
  const auto bytes_of = [](const std::string& text) { return std::as_bytes(std::span(text)); };
  const Taken taken = take_all(
      [&](Taker& taker) {
        for (std::uint64_t i = 0; i < packets / kSteps; ++i) {
          FaultCounts faults{};
          if (i % 8192 == 0) random.renew();
          if (i % 16 == 0) {
            taker.take(bytes_of(honest), kHonest, faults);
            ++taker.taken.honest;
          } else if (i % 2 == 0) {
            const Good& good = random.good();
            const std::uint64_t hits = taker.taken.hits;
            must(taker.take(bytes_of(good.bytes), 2 + random.below(2), faults).size() == good.requests);
            must(faults == FaultCounts{} && taker.taken.hits - hits == good.hits);
          } else {
            taker.take(bytes_of(random.damaged()), 2 + random.below(2), faults);
          }
        }
      },
      reader);
  CHECK(taken.packets == packets / kSteps * kSteps);
  // Damage is what is meant: most can be used in part.
  CHECK(taken.without_message > packets / 20);
  CHECK(taken.without_message < packets / 2);
  check_sums(reader, taken);
}

TEST_CASE("a flood of tags costs no memory, hides nobody, and is told as others") {
  const std::uint64_t tags = asked("MMSTATS_SOAK_TAGS", 400'000);
  ReportReader reader;
  std::uint64_t number = 0;
  const Taken taken = take_all(
      [&](Taker& taker) {
        MadePacket honest(kHonestName, 0.5);
        honest.tags({{"tag", kHonestName}});
        for (const char* tag : {"group", "honest"}) honest.timer({{tag, kHonestName}}, 2);
        for (std::uint64_t i = 0; i < tags / kSteps; ++i, ++number) {
          // Each text is there once.
          const std::string text = fmt::format("{:x}", number);
          MadePacket flood(text);
          flood.tags({{"tag", text}}).timer({{"group", text}}).timer({{'t' + text, text}});
          Packet& packet = flood.packet();
          packet.host = packet.server = text;
          packet.status = static_cast<std::uint32_t>(number);
          ++taker.taken.packets;
          taker.count(packet, 2);
          if (i % 64 != 32) continue;
          Packet& good = honest.packet();
          good.host = good.server = kHonestName;
          good.status = kHonestStatus;
          ++taker.taken.packets;
          ++taker.taken.honest;
          taker.count(good, kHonest);
        }
      },
      reader);
  check_sums(reader, taken);
  const std::uint64_t flood = taken.packets - taken.honest;
  CHECK(flood == tags / kSteps * kSteps);
  // What has a row of its own came once; the others are all of the rest.
  const auto check_others = [&](const std::string& label) {
    CAPTURE(label);
    std::uint64_t own = 0;
    std::uint64_t others = 0;
    for (const auto& [row, count] : reader.rows_ever(label)) {
      if (row.ends_with("=other")) {
        others += count;
      } else if (count != taken.honest) {
        CHECK(count == 1);
        ++own;
      }
    }
    CHECK(own > 0);
    CHECK(own <= kRows * kSteps);
    CHECK(others == flood - own);
  };
  for (const std::string report : kDefaultReports) check_others("pinba." + report + ".requests");
  check_others("pinba.tag.requests");
  check_others("pinba.timer.@group.requests");
  std::uint64_t own_sets = 0;
  for (const auto& [label, sum] : reader.sums()) {
    if (!label.starts_with("pinba.timer.@t") || !label.ends_with(".requests")) continue;
    CHECK(sum == 1);
    ++own_sets;
  }
  CHECK(own_sets > 0);
  CHECK(own_sets <= kTagSets * kSteps);
  CHECK(reader.sums().at("pinba.timer.other_tags.requests") == flood - own_sets);
}

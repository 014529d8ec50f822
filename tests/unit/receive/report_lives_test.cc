// Rows that are made anew, reports that become others, and threads that count meanwhile: a reader's totals
// stay what was sent.
//
// MMSTATS_HISTORIES: how many random ones (default 12). MMSTATS_HISTORY_SEED: which is the first; with it
// alone, it is the only one.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "asked_number.h"
#include "plugin_pinba/receive/reports.h"
#include "receive/report_reader.h"

namespace {
// In this thread: how many there were, and the number of one that fails.
thread_local std::size_t allocations = 0;
thread_local std::size_t failing = 0;

void* allocate(std::size_t size, std::size_t alignment) {
  ++allocations;
  if (failing != 0 && --failing == 0) throw std::bad_alloc();
  void* memory = nullptr;
  if (::posix_memalign(&memory, std::max(alignment, sizeof(void*)), size) != 0) throw std::bad_alloc();
  return memory;
}
}  // namespace

// Not inlined: the compiler takes the pairs for unequal ones.
[[gnu::noinline]] void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
// The sanitizer has its own, whose memory is not free's.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  try {
    return allocate(size, alignof(std::max_align_t));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

using namespace mmstats::receive;

namespace {

ReportSpec by_script(std::size_t max_rows, const std::string& label = "r") {
  return {.label = label,
          .counted = Counted::kRequests,
          .keys = {{{KeySource::kScript, {}}, "script"}},
          .filter = {},
          .max_rows = max_rows};
}

ReportsOptions with(std::vector<ReportSpec> reports) {
  ReportsOptions options;
  options.reports = std::move(reports);
  options.timers_by_tags = false;
  return options;
}

// Sweeps, and a reader that looks between them.
void sweep(Reports& reports, ReportReader& reader, int times) {
  for (int i = 0; i < times; ++i) {
    reader.scan();
    reports.sweep();
  }
  reader.scan();
}

}  // namespace

TEST_CASE("rows that are not used any more leave the files, and totals stay") {
  ReportReader reader;
  Reports reports(with({by_script(10)}));
  Reports::Caches caches;
  for (const char* script : {"/old", "/live", "/also"}) send_to(reports, caches, MadePacket(script));
  sweep(reports, reader, 1);
  send_to(reports, caches, MadePacket("/live"));
  send_to(reports, caches, MadePacket("/also"));
  sweep(reports, reader, 1);
  send_to(reports, caches, MadePacket("/live"));
  send_to(reports, caches, MadePacket("/also"));
  // Not used since the call before the last one.
  CHECK(reader.rows("r.requests") ==
        std::map<std::string, double>{{"script=/old", 1}, {"script=/live", 2}, {"script=/also", 2}});
  CHECK(reports.sweep() == 0);
  send_to(reports, caches, MadePacket("/live"));
  reader.scan();
  // What ended is there until the next call.
  CHECK(reader.rows("r.requests") ==
        std::map<std::string, double>{{"script=/old", 1}, {"script=/live", 4}, {"script=/also", 3}});
  CHECK(reports.sweep() == 1);
  reader.scan();
  CHECK(reader.rows("r.requests") == std::map<std::string, double>{{"script=/live", 4}});
  // Who comes back goes on, as does its distribution.
  send_to(reports, caches, MadePacket("/old", 2));
  reader.scan();
  CHECK(reader.rows("r.requests") == std::map<std::string, double>{{"script=/old", 2}, {"script=/live", 4}});
  CHECK(reader.total("r.seconds.count", "script=/old") == 2);
  CHECK(reader.distribution("r.seconds", "script=/old")->total.count() == 2);
  CHECK(reader.total("r.requests", "script=/also") == 3);
}

TEST_CASE("rows are not made anew for less than a quarter, unless one has not been used for long") {
  ReportReader reader;
  Reports reports(with({by_script(20)}));
  Reports::Caches caches;
  for (int i = 0; i < 10; ++i) send_to(reports, caches, MadePacket(fmt::format("/{}", i)));
  const auto use_and_sweep = [&] {
    for (int i = 2; i < 10; ++i) send_to(reports, caches, MadePacket(fmt::format("/{}", i)));
    sweep(reports, reader, 1);
  };
  for (int round = 0; round < 8; ++round) {
    use_and_sweep();
    CHECK(reader.rows("r.requests").size() == 10);
  }
  use_and_sweep();
  use_and_sweep();
  CHECK(reader.rows("r.requests").size() == 8);
  CHECK(reader.sum("r.requests") == 10 + 10 * 8);
}

TEST_CASE("rows that leave make room for others, in the report and beside it") {
  ReportReader reader;
  auto options = with({by_script(4), by_script(4, "s")});
  options.max_all_rows = 8;
  Reports reports(options);
  Reports::Caches caches;
  for (int i = 0; i < 9; ++i) send_to(reports, caches, MadePacket(fmt::format("/{}", i)));
  reader.scan();
  CHECK(reader.total("r.requests", "script=other") == 6);
  sweep(reports, reader, 3);
  for (int i = 10; i < 19; ++i) send_to(reports, caches, MadePacket(fmt::format("/{}", i)));
  sweep(reports, reader, 1);
  for (const char* label : {"r.requests", "s.requests"}) {
    CHECK(reader.rows(label) ==
          std::map<std::string, double>{
              {"script=/10", 1}, {"script=/11", 1}, {"script=/12", 1}, {"script=other", 12}});
    CHECK(reader.sum(label) == 18);
  }
}

TEST_CASE("a set of tags that is not used any more makes room for another one") {
  ReportReader reader;
  ReportsOptions options;
  options.max_tag_sets = 1;
  Reports reports(options);
  Reports::Caches caches;
  send_to(reports, caches, MadePacket().timer({{"a", "1"}}));
  send_to(reports, caches, MadePacket().timer({{"b", "1"}}));
  sweep(reports, reader, 3);
  send_to(reports, caches, MadePacket().timer({{"a", "1"}}));
  sweep(reports, reader, 3);
  sweep(reports, reader, 1);
  send_to(reports, caches, MadePacket().timer({{"b", "1"}}));
  send_to(reports, caches, MadePacket().timer({{"a", "1"}}));
  reader.scan();
  CHECK(reader.total("pinba.timer.@a.requests", "a=1") == 2);
  CHECK(reader.total("pinba.timer.@b.requests", "b=1") == 1);
  CHECK(reader.total("pinba.timer.other_tags.requests") == 2);
}

TEST_CASE("a thread that is idle keeps no rows that others have made anew") {
  ReportReader reader;
  Reports reports(with({by_script(10)}));
  Reports::Caches idle;
  Reports::Caches caches;
  send_to(reports, idle, MadePacket("/a"));
  sweep(reports, reader, 4);
  CHECK(reader.files() == 0);
  send_to(reports, caches, MadePacket("/a"));
  send_to(reports, idle, MadePacket("/a"));
  reader.scan();
  CHECK(reader.files() == 1);
  CHECK(reader.total("r.requests", "script=/a") == 3);
}

TEST_CASE("with other options, reports that stay the same go on, and others end or begin") {
  ReportReader reader;
  auto options = with({by_script(10, "stays"), by_script(10, "changes"), by_script(10, "goes")});
  options.timers_by_tags = true;
  Reports reports(options);
  Reports::Caches caches;
  const auto send = [&] { send_to(reports, caches, MadePacket("/a").timer({{"group", "db"}})); };
  send();
  reader.scan();
  const auto files = reader.files();
  options.reports = {by_script(10, "comes"), by_script(11, "changes"), by_script(10, "stays")};
  send();
  reports.change(options);
  send();
  reader.scan();
  CHECK(reader.total("stays.requests", "script=/a") == 3);
  CHECK(reader.total("changes.requests", "script=/a") == 3);
  CHECK(reader.total("goes.requests", "script=/a") == 2);
  CHECK(reader.total("comes.requests", "script=/a") == 1);
  CHECK(reader.total("pinba.timer.@group.requests", "group=db") == 3);
  CHECK(reader.files() == files + 2);
  reports.sweep();
  reader.scan();
  CHECK(reader.files() == files + 2);
  reports.sweep();
  reader.scan();
  CHECK(reader.files() == files);
  // Nothing was lost by that, and what is there goes on.
  options.timers_by_tags = false;
  reports.change(options);
  send();
  sweep(reports, reader, 2);
  CHECK(reader.files() == files - 1);
  CHECK(reader.total("stays.requests", "script=/a") == 4);
  CHECK(reader.total("changes.requests", "script=/a") == 4);
  CHECK(reader.total("goes.requests", "script=/a") == 2);
  CHECK(reader.total("pinba.timer.@group.requests", "group=db") == 3);
}

TEST_CASE("what a thread remembers may outlive the reports, and serve others") {
  ReportReader reader;
  Reports::Caches caches;
  for (int i = 1; i <= 3; ++i) {
    Reports reports(with({by_script(10)}));
    send_to(reports, caches, MadePacket("/a"));
    reader.scan();
    CHECK(reader.total("r.requests", "script=/a") == i);
  }
}

TEST_CASE("rows that a thread knows are counted in without memory") {
  ReportReader reader;
  ReportsOptions options;
  options.reports = default_reports("pinba", 500);
  options.reports.push_back({.label = "mixed",
                             .counted = Counted::kTimers,
                             .keys = {{{KeySource::kScript, {}}, "script"},
                                      {{KeySource::kStatus, {}}, "status"},
                                      {{KeySource::kTimerTag, "group"}, "group"}},
                             .filter = {},
                             .max_rows = 100});
  Reports reports(options);
  Reports::Caches caches;
  std::vector<MadePacket> packets;
  for (int i = 0; i < 40; ++i) {
    MadePacket& packet = packets.emplace_back(fmt::format("/a/long/name/of/a/script/{}", i));
    for (int j = 0; j < 8; ++j) {
      packet.timer({{"group", fmt::format("group of timers {}", i)},
                    {"server", fmt::format("server{}.example.com", j)},
                    {"op", "select"}},
                   j % 2 + 1);
    }
  }
  const auto count_all = [&] {
    std::size_t made = 0;
    for (MadePacket& made_packet : packets) {
      const Packet& packet = made_packet.packet();
      const std::size_t before = allocations;
      reports.count(packet, 1, caches);
      made += allocations - before;
    }
    return made;
  };
  CHECK(count_all() > 0);
  CHECK(count_all() == 0);
  reports.sweep();
  CHECK(count_all() > 0);
  CHECK(count_all() == 0);
}

TEST_CASE("where there is no memory, nothing is damaged, and the next packet counts") {
  ReportReader reader;
  auto options = with({by_script(40)});
  options.timers_by_tags = true;
  options.max_rows = 40;
  options.max_all_rows = 80;
  Reports reports(options);
  Reports::Caches caches;
  const auto packet_of = [](int row) {
    return MadePacket(fmt::format("/{}", row))
        .timer({{"group", fmt::format("a group of this name {}", row)}, {"op", "x"}});
  };
  // Whether it did not fail at that allocation.
  const auto tried = [](std::size_t at, auto&& work) {
    failing = at;
    try {
      work();
    } catch (const std::bad_alloc&) {
      return false;
    }
    failing = 0;
    return true;
  };
  // So that there are files: one that cannot be made is not tried again.
  send_to(reports, caches, packet_of(0));
  std::size_t failed = 0;
  double sent = 1;
  for (int row = 1; row < 40; ++row) {
    MadePacket packet = packet_of(row);
    const Packet& made = packet.packet();
    std::size_t at = 1;
    while (!tried(at, [&] { reports.count(made, 1, caches); })) ++at;
    failed += at - 1;
    ++sent;
  }
  CHECK(failed > 20);
  reader.scan();
  for (const char* label : {"r.requests", "pinba.timer.@group@op.requests"}) {
    CAPTURE(label);
    CHECK(reader.sum(label) >= sent);
    CHECK(reader.sum(label) <= sent + static_cast<double>(failed));
  }
  for (std::size_t at = 1; at < 20; ++at) {
    tried(at, [&] { reports.sweep(); });
    reader.scan();
  }
  failing = 0;
  // All that had been taken of what is bounded was given back: as many rows as at first.
  CHECK(reports.sweep() == 0);
  for (int i = 0; i < 200; ++i)
    send_to(reports, caches,
            MadePacket(fmt::format("/{}", i)).timer({{"group", std::to_string(i)}, {"op", "x"}}));
  reader.scan();
  CHECK(reader.rows("r.requests").size() == 31);
  // And those of before.
  CHECK(reader.rows("pinba.timer.@group@op.requests").size() == 31 + 30);
}

TEST_CASE("nothing is lost of what threads count while all rows are made anew") {
  ReportReader reader;
  auto options = with({by_script(8)});
  options.timers_by_tags = true;
  options.max_rows = 8;
  Reports reports(options);
  constexpr int kThreads = 3;
  std::atomic<bool> over = false;
  std::vector<std::atomic<std::uint64_t>> sent(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      Reports::Caches caches;
      std::mt19937 random(static_cast<unsigned>(i));
      std::vector<MadePacket> packets;
      for (int j = 0; j < 12; ++j) {
        packets.push_back(MadePacket(fmt::format("/{}", j))
                              .timer({{"group", fmt::format("{}", j)}})
                              .timer({{"group", fmt::format("{}", j)}, {"op", "x"}}));
      }
      while (!over) {
        // A part of them at a time, so that others are idle.
        const std::size_t from = random() % packets.size();
        for (int j = 0; j < 200; ++j) {
          reports.count(packets[(from + random() % 3) % packets.size()].packet(), static_cast<Source>(i),
                        caches);
          ++sent[static_cast<std::size_t>(i)];
        }
      }
    });
  }
  const auto all_sent = [&] {
    std::uint64_t all = 0;
    for (const auto& each : sent) all += each;
    return all;
  };
  for (int round = 0; round < 60; ++round) {
    const std::uint64_t before = all_sent();
    while (all_sent() < before + 300) std::this_thread::yield();
    reader.scan();
    reports.sweep();
    if (round % 20 == 19) {
      options.reports = {by_script(8 + static_cast<std::size_t>(round % 40))};
      reports.change(options);
    }
  }
  over = true;
  for (auto& thread : threads) thread.join();
  reader.scan();
  const auto all = static_cast<double>(all_sent());
  for (const char* label : {"r.requests", "r.seconds.count", "pinba.timer.@group.requests",
                            "pinba.timer.@group@op.seconds.count"}) {
    CAPTURE(label);
    CHECK(reader.sum(label) == all);
  }
}

namespace {

// A thread that does one thing after the other, as it is told.
class Worker {
 public:
  Worker() : thread_([this] { run(); }) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() {
    tell({});
    thread_.join();
  }
  void call(std::function<void(Reports::Caches&)> work) {
    tell(std::move(work));
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !work_; });
  }

 private:
  void tell(std::function<void(Reports::Caches&)> work) {
    const std::lock_guard lock(mutex_);
    over_ = !work;
    work_ = std::move(work);
    changed_.notify_all();
  }
  void run() {
    Reports::Caches caches;
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return over_ || work_; });
      if (over_) return;
      work_(caches);
      work_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void(Reports::Caches&)> work_;
  bool over_ = false;
  std::thread thread_;
};

// What was sent, as a reader must have it.
struct Sent {
  std::uint64_t requests = 0;
  std::uint64_t timers = 0;
  std::uint64_t hits = 0;
  double seconds = 0;  // of requests
  double timer_seconds = 0;
  std::map<std::string, std::uint64_t> of_script;
};

void run_history(std::uint64_t seed) {
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t end) { return random() % end; };
  ReportReader reader;
  // With room for all, each row is right by itself.
  const bool roomy = below(2) == 0;
  const std::uint64_t scripts = 2 + below(30);
  ReportsOptions options = with({by_script(roomy ? 200 : 1 + below(12))});
  options.timers_by_tags = true;
  options.max_rows = roomy ? 200 : 1 + below(12);
  options.max_tag_sets = roomy ? 20 : 1 + below(4);
  options.max_all_rows = roomy ? 2000 : 1 + below(40);
  Reports reports(options);
  std::vector<std::unique_ptr<Worker>> workers(1 + below(3));
  for (auto& worker : workers) worker = std::make_unique<Worker>();
  Sent sent;
  std::uint64_t live = 0;  // scripts from here on are used
  const auto send = [&] {
    const auto number = (live + below(1 + scripts / 2)) % scripts;
    MadePacket packet(fmt::format("/{}", number), 0.25 * static_cast<double>(1 + below(8)));
    sent.seconds += packet.packet().seconds;
    ++sent.requests;
    ++sent.of_script[fmt::format("script=/{}", number)];
    for (auto timers = below(4); timers > 0; --timers) {
      MadePacket::Tags tags;
      for (auto names = below(4); names > 0; --names)
        tags.emplace_back(fmt::format("t{}", names), fmt::format("{}", below(scripts)));
      const auto hits = static_cast<std::uint32_t>(1 << below(4));
      packet.timer(tags, hits, 0.5 * hits);
      ++sent.timers;
      sent.hits += hits;
      sent.timer_seconds += 0.5 * hits;
    }
    const Source source = 1 + below(4);
    workers[below(workers.size())]->call(
        [&](Reports::Caches& caches) { reports.count(packet.packet(), source, caches); });
  };
  const auto steps = 50 + below(100);
  bool scanned = true;  // since the last sweep
  for (std::uint64_t step = 0; step < steps; ++step) {
    switch (below(20)) {
      case 0:
      case 1:
        // Who reads less often than rows are made anew may miss what they counted.
        if (!scanned) reader.scan();
        reports.sweep();
        scanned = false;
        break;
      case 2:
      case 3:
        reader.scan();
        scanned = true;
        break;
      case 4:
        live += below(scripts);
        break;
      case 5:
        workers[below(workers.size())] = std::make_unique<Worker>();
        break;
      case 6:
        if (below(4) != 0) break;
        options.reports = {by_script(roomy ? 200 + below(2) : 1 + below(12))};
        if (below(2) == 0) options.max_rows = roomy ? 200 + below(2) : 1 + below(12);
        reports.change(options);
        break;
      default:
        for (auto packets = 1 + below(10); packets > 0; --packets) send();
    }
  }
  reader.scan();
  CHECK(reader.sum("r.requests") == static_cast<double>(sent.requests));
  CHECK(reader.sum("r.seconds.count") == static_cast<double>(sent.requests));
  CHECK(reader.sum("r.seconds.sum") == doctest::Approx(sent.seconds));
  CHECK(reader.sum("r.bytes") == 1000 * static_cast<double>(sent.requests));
  CHECK(reader.sum("r.user_seconds") == doctest::Approx(0.25 * static_cast<double>(sent.requests)));
  double hits = 0;
  double seconds = 0;
  double user = 0;
  for (const std::string set : {".untagged", ".@t1", ".@t1@t2", ".@t1@t2@t3", ".other_tags"}) {
    hits += reader.sum("pinba.timer" + set + ".seconds.count");
    seconds += reader.sum("pinba.timer" + set + ".seconds.sum");
    user += reader.sum("pinba.timer" + set + ".user_seconds");
  }
  CHECK(hits == static_cast<double>(sent.hits));
  CHECK(seconds == doctest::Approx(sent.timer_seconds));
  CHECK(user == doctest::Approx(0.0625 * static_cast<double>(sent.timers)));
  if (!roomy) return;
  for (const auto& [script, requests] : sent.of_script) {
    CAPTURE(script);
    CHECK(reader.total("r.requests", script) == static_cast<double>(requests));
    CHECK(reader.total("r.seconds.count", script) == static_cast<double>(requests));
  }
  CHECK(reader.total("r.requests", "script=other") == 0);
}

}  // namespace

TEST_CASE("in random histories a reader's totals are what was sent") {
  const bool one_only = std::getenv("MMSTATS_HISTORY_SEED") != nullptr;
  const std::uint64_t first = asked_number("MMSTATS_HISTORY_SEED", 1);
  const std::uint64_t histories = asked_number("MMSTATS_HISTORIES", one_only ? 1 : 12);
  for (std::uint64_t i = 0; i < histories; ++i) run_history(first + i);
}

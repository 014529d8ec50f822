// Any bytes at all, as a packet that a Pinba server counts in its reports: all that the reader of packets
// returns is in them, whatever there is room for.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "bounded_work.h"
#include "collect/watch.h"
#include "mmstats/parse.h"
#include "mmstats/snapshot.h"
#include "plugin_pinba/receive/packet.h"
#include "plugin_pinba/receive/reports.h"
#include "temporary_folder.h"

namespace {

using namespace mmstats::receive;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "pinba_receive_fuzz: does not hold: %s\n", what);
  std::abort();
}

constexpr std::size_t kRows = 3;
constexpr std::size_t kTagSets = 2;
constexpr std::size_t kAllRows = 12;
// Of a label: of sets whose names become equal, those that end included, and those of all others.
constexpr std::size_t kMostShown = 2 * kTagSets * (kRows + 1);

ReportsOptions few_rows() {
  ReportsOptions options;
  options.reports = default_reports("pinba", kRows);
  options.reports.push_back({.label = "pinba.mixed",
                             .counted = Counted::kTimers,
                             .keys = {{{KeySource::kTimerTag, "group"}, "group"},
                                      {{KeySource::kRequestTag, "group"}, "request_group"},
                                      {{KeySource::kScript, {}}, "script"}},
                             .filter = {},
                             .max_rows = kRows});
  options.max_rows = kRows;
  options.max_tag_sets = kTagSets;
  options.max_all_rows = kAllRows;
  return options;
}

// Reports that go on from input to input, what was counted in them, and who reads them.
struct World {
  World() { ::setenv("MMSTATS_PATH", folder.path().c_str(), 1); }

  TemporaryFolder folder;
  Reports reports{few_rows()};
  Reports::Caches caches;
  PacketReader reader;
  mmstats::Watch watch{{.globs = {folder / "*.mmstats"}, .discovery = {}, .fold = {}}, {}};
  std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now();
  std::uint64_t inputs = 0;
  std::uint64_t requests = 0;
  std::uint64_t hits = 0;

  void scan() {
    now += std::chrono::seconds(10);
    require(watch.scan(std::chrono::system_clock::now(), now).errors.empty(), "files can be read");
  }
};

void check_packet(const Packet& packet) {
  const auto is_amount = [](double value) { return std::isfinite(value) && value >= 0; };
  require(is_amount(packet.seconds) && is_amount(packet.user_seconds) && is_amount(packet.system_seconds),
          "times are amounts");
  const auto check_tags = [](std::span<const Tag> tags) {
    require(tags.size() <= kMostTags, "tags are bounded");
    for (std::size_t i = 0; i < tags.size(); ++i) {
      require(tags[i].name.size() <= kMostTagText && tags[i].value.size() <= kMostTagText,
              "texts of tags are bounded");
      for (std::size_t j = 0; j < i; ++j) require(tags[i].name != tags[j].name, "names of tags differ");
    }
  };
  check_tags(packet.tags);
  for (const TimerEntry& timer : packet.timers) {
    require(timer.hits > 0 && is_amount(timer.seconds) && is_amount(timer.user_seconds) &&
                is_amount(timer.system_seconds),
            "timers have hits, and amounts");
    check_tags(timer.tags);
  }
}

bool same_tags(std::span<const Tag> a, std::span<const Tag> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Tag& one, const Tag& other) {
    return one.name == other.name && one.value == other.value;
  });
}

// What a reader makes of a datagram must not depend on what it read before.
void check_against_new_reader(pinba::Datagram datagram, std::span<const Packet> packets) {
  PacketReader reader;
  FaultCounts faults{};
  const auto others = reader.read(datagram, faults);
  require(packets.size() == others.size(), "there are as many requests");
  for (std::size_t i = 0; i < packets.size(); ++i) {
    require(packets[i].script == others[i].script && same_tags(packets[i].tags, others[i].tags),
            "requests are the same");
    require(packets[i].timers.size() == others[i].timers.size(), "there are as many timers");
    for (std::size_t j = 0; j < packets[i].timers.size(); ++j) {
      require(packets[i].timers[j].hits == others[i].timers[j].hits &&
                  same_tags(packets[i].timers[j].tags, others[i].timers[j].tags),
              "timers are the same");
    }
  }
}

// By the prefix of their report's labels. Readers know totals of more: of all rows that there ever were.
std::map<std::string, std::size_t> rows_in_files(const TemporaryFolder& folder) {
  constexpr std::string_view kPid = "sys.pid";
  std::map<std::string, std::size_t> rows;
  mmstats::ParsedFile file;
  for (const auto& entry : boost::filesystem::directory_iterator(folder.path())) {
    const auto snapshot = mmstats::read_snapshot(entry.path().native());
    require(snapshot.has_value(), "files can be read");
    mmstats::parse(snapshot->bytes, file);
    const auto pid = std::find_if(file.fields.begin(), file.fields.end(), [&](const auto& field) {
      return mmstats::label_has_suffix(field.label, kPid);
    });
    require(pid != file.fields.end(), "files are whole");
    const std::string prefix(pid->label.substr(0, pid->label.size() - kPid.size()));
    rows[prefix] += static_cast<std::size_t>(
        std::count_if(file.fields.begin(), file.fields.end(),
                      [&](const auto& field) { return field.label.starts_with(prefix + "requests"); }));
  }
  return rows;
}

void check_reports(World& world) {
  world.scan();
  std::map<std::string, std::uint64_t> sums;
  std::uint64_t hits = 0;
  for (const auto& series : world.watch.series()) {
    const std::string& label = series.family().empty() ? series.name() : series.family();
    sums[label] += series.total;
    if (label.starts_with("pinba.timer") && label.ends_with(".seconds.count")) hits += series.total;
  }
  for (const char* label : {"script", "server", "host", "status"}) {
    require(sums["pinba." + std::string(label) + ".requests"] == world.requests,
            "each request is in each report of requests");
    require(sums["pinba." + std::string(label) + ".seconds.count"] == world.requests,
            "each request is in each distribution");
  }
  require(hits == world.hits, "each hit is in a report of timers");
  for (const auto& [prefix, count] : rows_in_files(world.folder)) {
    require(count <= kMostShown, "rows are bounded");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BoundedWork bounded;
  static auto made = std::make_unique<World>();
  // A reader keeps the totals of all names that there ever were.
  if (made->inputs == 2000) {
    made.reset();
    made = std::make_unique<World>();
  }
  World& world = *made;
  const pinba::Datagram datagram(reinterpret_cast<const std::byte*>(data), size);
  FaultCounts faults{};
  for (int time = 0; time < 2; ++time) world.reader.read(datagram, faults);
  faults = {};
  const auto packets = world.reader.read(datagram, faults);
  check_against_new_reader(datagram, packets);
  require(packets.empty() == (faults[static_cast<std::size_t>(Fault::kNoMessage)] == 1),
          "there is a request, or that there is none is a fault");
  require(packets.size() <= 1 + kMostRequests, "requests are bounded");
  for (const std::uint64_t count : faults)
    require(count <= packets.size() + 1, "a fault counts once a request");
  for (const Packet& packet : packets) {
    check_packet(packet);
    ++world.requests;
    for (const TimerEntry& timer : packet.timers) world.hits += timer.hits;
    world.reports.count(packet, size % 3, world.caches);
  }
  check_reports(world);
  // So that there are new rows now and then.
  if (++world.inputs % 4 == 0) {
    require(world.reports.sweep() <= kAllRows, "all rows are bounded");
    world.scan();
  }
  return 0;
}

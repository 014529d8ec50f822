#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "collectd/config_text.h"
#include "collectd/stub_host.h"
#include "made_file.h"
#include "patience.h"
#include "plugin_collectd/guard.h"
#include "temporary_folder.h"
#include "unused_pid.h"

using config_text::section;
using mmstats::collectd::FaultLog;
using mmstats::collectd::guarded;

namespace {

// Standard output of a command, line by line.
std::vector<std::string> lines_of(const std::string& command) {
  std::vector<std::string> lines;
  const auto close = [](std::FILE* pipe) { CHECK(pclose(pipe) == 0); };
  const std::unique_ptr<std::FILE, decltype(close)> pipe(popen(command.c_str(), "r"), close);
  REQUIRE(pipe);
  std::string text;
  std::array<char, 4096> buffer;
  while (const auto n = std::fread(buffer.data(), 1, buffer.size(), pipe.get()))
    text.append(buffer.data(), n);
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// A worker's file. Its counter comes first, so that `count` finds it.
void publish(const TemporaryFolder& folder, const std::string& name, std::uint64_t hits) {
  MadeFile file;
  file.buffered("hits", "Q", hits).buffered("load", "d", 0.5).buffered("a/b", "I", std::uint32_t{7});
  folder.write(name, file.owner(static_cast<std::uint32_t>(getpid()), unix_seconds()).padded());
}

// Sets the counter of a published file, in place.
void count(const TemporaryFolder& folder, const std::string& name, std::uint64_t hits) {
  constexpr std::streamoff kSecondBuffer = 1 + 2 + 4 + 2 + 1 + 1 + 8;
  std::fstream file(folder / name, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(kSecondBuffer);
  file.write(reinterpret_cast<const char*>(&hits), sizeof hits);
  CHECK(file.flush());
}

// A block that reads all mmstats files of `folder`.
std::string files(const std::string& name, const TemporaryFolder& folder, const std::string& options = "") {
  return "<Files \"" + name + "\">\nPath \"" + folder.path() + "/*.mmstats\"\n" + options + "</Files>\n";
}

std::map<std::string, stub_host::Dispatched> by_identity(const stub_host::Host& host) {
  std::map<std::string, stub_host::Dispatched> all;
  for (const auto& value : host.dispatched()) CHECK(all.emplace(value.identity, value).second);
  return all;
}

std::vector<std::string> told;

void tell(const char* callback, const char* what) { told.push_back(std::string(callback) + ": " + what); }

// While it lives, the process can open so many descriptors more.
class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t count) {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const int next = ::dup(0);
    ::close(next);
    rlimit few = before_;
    few.rlim_cur = static_cast<rlim_t>(next) + count;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("the module exports its entry and nothing else") {
  const auto symbols = lines_of(NM " -D --defined-only '" MODULE_FILE "'");
  REQUIRE(symbols.size() == 1);
  CHECK(symbols[0].ends_with(" T module_register"));
}

TEST_CASE("the module needs no protobuf, as other modules bring their own") {
  std::size_t needed = 0;
  for (const auto& line : lines_of(READELF " -d '" MODULE_FILE "'")) {
    if (line.find("(NEEDED)") == std::string::npos) continue;
    ++needed;
    CHECK_MESSAGE(line.find("protobuf") == std::string::npos, line);
  }
  CHECK(needed > 0);
}

TEST_CASE("loaded without a configuration, the module reads what MMSTATS_GLOB names") {
  const TemporaryFolder folder;
  publish(folder, "a.mmstats", 5);
  publish(folder, "b.mmstats", 7);
  setenv("MMSTATS_GLOB", (folder / "*.mmstats").c_str(), 1);
  {
    stub_host::Host host;
    REQUIRE(host.init() == 0);
    REQUIRE(host.readers().size() == 1);
    CHECK(host.readers()[0].name == "mmstats");
    CHECK(host.readers()[0].interval == 10.0);
    REQUIRE(host.log().size() == 1);
    CHECK(host.log()[0].find("reads " + folder.path() + "/*.mmstats every 10 s") != std::string::npos);

    CHECK(host.read("mmstats") == 0);
    const auto values = by_identity(host);
    REQUIRE(values.size() == 3);
    CHECK(values.at("mmstats/derive-hits").derive == 12);
    CHECK(values.at("mmstats/gauge-load").number == 0.5);
    CHECK(values.at("mmstats/gauge-a_b-c31904682941").number == 14);
    for (const auto& [identity, value] : values) {
      CHECK(value.time == values.begin()->second.time);
      CHECK(value.interval == 10.0);
    }
  }
  unsetenv("MMSTATS_GLOB");
}

TEST_CASE("each block of each section gets a reader of its own") {
  const TemporaryFolder folder;
  publish(folder, "a.mmstats", 5);
  stub_host::Host host;
  CHECK(host.config(section(files("one", folder, "Interval 2\n"))) == 0);
  CHECK(host.config(section(files("two", folder, "ReportSelf true\nColour blue\n") +
                            "<Files \"three\">\nPath \"here\"\n</Files>")) == 0);
  REQUIRE(host.init() == 0);
  REQUIRE(host.readers().size() == 2);
  CHECK(host.readers()[0].name == "mmstats/one");
  CHECK(host.readers()[0].interval == 2.0);
  CHECK(host.readers()[1].name == "mmstats/two");
  CHECK(host.readers()[1].interval == 10.0);
  CHECK(host.log()[0].starts_with("mmstats plugin: <Files \"two\">: Colour \"blue\" is left out"));

  CHECK(host.read("mmstats/one") == 0);
  CHECK(by_identity(host).size() == 3);
  CHECK(by_identity(host).at("mmstats-one/derive-hits").interval == 2.0);
  CHECK(host.read("mmstats/two") == 0);
  const auto values = by_identity(host);
  CHECK(values.size() == 17);
  CHECK(values.at("mmstats-two/count-files").number == 1);
  CHECK(values.at("mmstats-two/count-series").number == 3);
  CHECK(values.at("mmstats-two/count-damaged_files").number == 0);
  CHECK(values.at("mmstats-two/count-unreadable_files").number == 0);
  CHECK(values.at("mmstats-two/count-unreadable_folders").number == 0);
  CHECK(values.at("mmstats-two/count-dead_files").number == 0);
  CHECK(values.at("mmstats-two/memory-kept").number > 100);
  CHECK(values.at("mmstats-two/count-series_given_back").number == 0);
  CHECK(values.at("mmstats-two/errors-unstable_values").derive == 0);
  CHECK(values.at("mmstats-two/duration-scan").number > 0);
}

TEST_CASE("init fails if no block is usable, or if the host takes none") {
  {
    stub_host::Host host;
    host.config(section("<Files \"three\">\nPath \"here\"\n</Files>"));
    CHECK(host.init() != 0);
    CHECK(host.readers().empty());
  }
  stub_host::Host host;
  host.config(section("<Files \"one\">\n</Files>\n<Files \"two\">\n</Files>"));
  host.refuse_readers();
  CHECK(host.init() != 0);
}

TEST_CASE("a section that is never used is freed at shutdown") {
  stub_host::Host host;
  CHECK(host.config(section("<Files \"one\">\n</Files>")) == 0);
}

TEST_CASE("nothing is thrown into the host") {
  const TemporaryFolder folder;
  publish(folder, "a.mmstats", 5);
  stub_host::Host host;
  host.config(section(files("all", folder)));
  REQUIRE(host.init() == 0);
  const auto lines = host.log().size();
  host.throw_when_dispatching(true);
  CHECK(host.read("mmstats/all") == mmstats::collectd::kThrew);
  CHECK(host.read("mmstats/all") == mmstats::collectd::kThrew);
  CHECK(host.log().size() == lines + 1);
  CHECK(host.log().back() == "mmstats plugin: reading failed: thrown by the host");
  host.throw_when_dispatching(false);
  CHECK(host.read("mmstats/all") == 0);
  CHECK(by_identity(host).at("mmstats-all/derive-hits").derive == 5);
}

TEST_CASE("an interval is logged as it was written, though collectd keeps it in parts of a second") {
  const TemporaryFolder folder;
  publish(folder, "a.mmstats", 5);
  stub_host::Host host;
  host.config(section(files("quick", folder, "Interval 0.2\n")));
  REQUIRE(host.init() == 0);
  const auto& log = host.log();
  CHECK(std::ranges::any_of(log,
                            [](const auto& line) { return line.find(" every 0.2 s") != std::string::npos; }));
}

TEST_CASE("all values of a scan have its time and the block's interval, the module's own too") {
  const TemporaryFolder folder;
  publish(folder, "a.mmstats", 5);
  stub_host::Host host;
  host.config(section(files("all", folder, "ReportSelf true\nInterval 2.75\n")));
  REQUIRE(host.init() == 0);
  CHECK(host.readers().at(0).interval == 2.75);
  std::uint64_t last = 0;
  for (int scan = 0; scan < 3; ++scan) {
    CHECK(host.read("mmstats/all") == 0);
    REQUIRE(host.dispatched().size() == 17);
    const auto time = host.dispatched().front().time;
    for (const auto& value : host.dispatched()) {
      CHECK(value.time == time);
      CHECK(value.interval == 2.75);
    }
    CHECK(time > last);
    last = time;
  }
}

TEST_CASE("the module's own values tell files, damaged ones, those of the dead and series apart") {
  const TemporaryFolder folder;
  publish(folder, "a.mmstats", 5);
  publish(folder, "b.mmstats", 5);
  for (int i = 0; i < 3; ++i) {
    folder.write("bad" + std::to_string(i) + ".mmstats",
                 MadeFile().buffered("hits", "Q", std::uint64_t{5}).raw("\x09").bytes());
  }
  folder.write("dead.mmstats",
               MadeFile().buffered("gone", "Q", std::uint64_t{2}).owner(kUnusedPid, unix_seconds()).padded());
  stub_host::Host host;
  host.config(section(files("all", folder, "ReportSelf true\n")));
  REQUIRE(host.init() == 0);
  CHECK(host.read("mmstats/all") == 0);
  const auto values = by_identity(host);
  CHECK(values.at("mmstats-all/count-files").number == 6);
  CHECK(values.at("mmstats-all/count-damaged_files").number == 3);
  CHECK(values.at("mmstats-all/count-dead_files").number == 1);
  CHECK(values.at("mmstats-all/count-series").number == 4);
  CHECK(values.at("mmstats-all/errors-unstable_values").derive == 0);
}

TEST_CASE("no series takes the name of one of the module's own values") {
  const TemporaryFolder folder;
  publish(folder, "a.mmstats", 5);
  const std::string rule =
      "<Metric \"load\">\nKind \"gauge\"\nType \"count\"\nTypeInstance \"files\"\n</Metric>\n";
  stub_host::Host host;
  host.config(section(files("all", folder, "ReportSelf true\n" + rule) + files("plain", folder, rule)));
  REQUIRE(host.init() == 0);
  CHECK(host.read("mmstats/all") == 0);
  const auto values = by_identity(host);  // which meets no identity twice
  CHECK(values.size() == 17);
  CHECK(values.at("mmstats-all/count-files").number == 1);
  CHECK(host.read("mmstats/plain") == 0);
  CHECK(by_identity(host).at("mmstats-plain/count-files").number == 0.5);
}

TEST_CASE("a gauge goes with its file, and a counter stays") {
  const TemporaryFolder folder;
  publish(folder, "a.mmstats", 5);
  stub_host::Host host;
  host.config(section(files("all", folder)));
  REQUIRE(host.init() == 0);
  CHECK(host.read("mmstats/all") == 0);
  CHECK(by_identity(host).count("mmstats-all/gauge-load") == 1);
  REQUIRE(::unlink((folder / "a.mmstats").c_str()) == 0);
  CHECK(host.read("mmstats/all") == 0);
  const auto values = by_identity(host);
  CHECK(values.size() == 1);
  CHECK(values.at("mmstats-all/derive-hits").derive == 5);
}

TEST_CASE("a counter is sent as its type takes it") {
  constexpr double kLarge = 1e19;  // above 2^63, below 2^64
  const TemporaryFolder folder;
  folder.write("a.mmstats", MadeFile()
                                .buffered("a", "d", kLarge)
                                .buffered("b", "d", kLarge)
                                .buffered("c", "d", kLarge)
                                .owner(static_cast<std::uint32_t>(getpid()), unix_seconds())
                                .padded());
  stub_host::Host host;
  host.config(section(files("all", folder,
                            "<Metric \"a\">\nKind \"counter\"\n</Metric>\n"
                            "<Metric \"b\">\nKind \"counter\"\nType \"counter\"\n</Metric>\n"
                            "<Metric \"c\">\nScale 0.5\n</Metric>\n")));
  REQUIRE(host.init() == 0);
  CHECK(host.read("mmstats/all") == 0);
  const auto values = by_identity(host);
  CHECK(values.at("mmstats-all/derive-a").derive == std::numeric_limits<std::int64_t>::max());
  CHECK(static_cast<std::uint64_t>(values.at("mmstats-all/counter-b").derive) == 10'000'000'000'000'000'000U);
  CHECK(values.at("mmstats-all/gauge-c").number == kLarge / 2);
}

TEST_CASE("a counter that is no number adds nothing, whatever its type") {
  const double none = std::numeric_limits<double>::quiet_NaN();
  const TemporaryFolder folder;
  folder.write("a.mmstats", MadeFile()
                                .buffered("a", "d", none)
                                .buffered("b", "d", none)
                                .buffered("c", "d", 1.5)
                                .owner(static_cast<std::uint32_t>(getpid()), unix_seconds())
                                .padded());
  stub_host::Host host;
  host.config(section(files("all", folder,
                            "<Metric \"[ac]\">\nKind \"counter\"\n</Metric>\n"
                            "<Metric \"b\">\nKind \"counter\"\nType \"counter\"\n</Metric>\n")));
  REQUIRE(host.init() == 0);
  CHECK(host.read("mmstats/all") == 0);
  const auto values = by_identity(host);
  CHECK(values.size() == 3);
  CHECK(values.at("mmstats-all/derive-a").derive == 0);
  CHECK(values.at("mmstats-all/counter-b").derive == 0);
  CHECK(values.at("mmstats-all/derive-c").derive == 1);
}

TEST_CASE("types are checked against the host's when the module begins") {
  const TemporaryFolder folder;
  const auto of_type = [&](const std::string& type) {
    stub_host::Host host;
    host.config(section(files("all", folder, "<Metric \"a\">\nType \"" + type + "\"\n</Metric>\n")));
    REQUIRE(host.init() == 0);
    REQUIRE(!host.log().empty());
    const std::string begin =
        R"(mmstats plugin: <Files "all">, <Metric "a">: Type ")" + type + "\" is left out: ";
    const auto& line = host.log()[0];
    return line.starts_with(begin) ? line.substr(begin.size()) : "";
  };
  for (const char* good : {"gauge", "derive", "counter", "latency"}) CHECK(of_type(good).empty());
  CHECK(of_type("absolute").starts_with("its data source is ABSOLUTE"));
  CHECK(of_type("if_octets").starts_with("it has 2 data sources"));
  CHECK(of_type("nonsense").starts_with("no types.db"));
}

TEST_CASE("where the host lacks the default types, it is told that their values are lost") {
  const TemporaryFolder folder;
  stub_host::Host host;
  host.config(section(files("all", folder)));
  host.know_types(false);
  REQUIRE(host.init() == 0);
  for (const std::string type : {"derive", "gauge"}) {
    CHECK(std::ranges::count_if(host.log(), [&](const auto& line) {
            return line.starts_with("mmstats plugin: type \"" + type + "\" is unknown");
          }) == 1);
  }
}

TEST_CASE("values beyond MaxSeries are told of once, and again when they have become twice as many") {
  const TemporaryFolder folder;
  publish(folder, "a.mmstats", 5);
  stub_host::Host host;
  host.config(section(files("all", folder, "MaxSeries 1\n")));
  REQUIRE(host.init() == 0);
  const auto told = [&] {
    return std::ranges::count_if(host.log(),
                                 [](const auto& line) { return line.find("MaxSeries") != line.npos; });
  };
  for (int scan = 0; scan < 3; ++scan) CHECK(host.read("mmstats/all") == 0);
  CHECK(by_identity(host).size() == 1);
  CHECK(told() == 1);
  CHECK(host.log().back() ==
        "mmstats plugin: <Files \"all\">: 2 values were left out, as there are 1 series already: Include "
        "fewer labels, or raise MaxSeries or MaxMemory");
  folder.write("b.mmstats", MadeFile().buffered("b1", "i", 1).buffered("b2", "i", 2).padded());
  CHECK(host.read("mmstats/all") == 0);
  CHECK(told() == 1);
  folder.write("c.mmstats", MadeFile().buffered("c", "i", 1).padded());
  CHECK(host.read("mmstats/all") == 0);
  CHECK(told() == 2);
}

TEST_CASE("a file that is too large is told of with the option that says so") {
  const TemporaryFolder folder;
  std::ofstream(folder / "a.mmstats", std::ios::binary) << std::string(70'000, '\1');
  stub_host::Host host;
  host.config(section(files("all", folder, "MaxFileSize 65536\n")));
  REQUIRE(host.init() == 0);
  CHECK(host.read("mmstats/all") == 0);
  CHECK(host.log().back().ends_with(" (MaxFileSize)"));
  std::ofstream(folder / "b.mmstats", std::ios::binary) << "text";
  CHECK(host.read("mmstats/all") == 0);
  CHECK(host.log().back().find("b.mmstats") != std::string::npos);
  CHECK_FALSE(host.log().back().ends_with(" (MaxFileSize)"));
}

TEST_CASE("a line that collectd would cut loses its middle, and has no control characters") {
  const TemporaryFolder folder;
  stub_host::Host host;
  const auto value = std::string(3000, 'x');
  host.config(section(files("all", folder, "Colour \"\x1b[2J" + value + "\"\n")));
  REQUIRE(host.init() == 0);
  const auto& line = host.log().at(0);
  CHECK(line.starts_with("mmstats plugin: <Files \"all\">: Colour \"\\x1B[2Jxxx"));
  CHECK(line.find(" ... ") != std::string::npos);
  CHECK(line.ends_with("Stale, StripPrefix"));
  CHECK(line.size() < 1000);
}

TEST_CASE("a scan allocates nothing once it has seen the files") {
  const TemporaryFolder folder;
  for (int i = 0; i < 50; ++i) publish(folder, std::to_string(i) + ".mmstats", 1);
  stub_host::Host host;
  host.config(
      section(files("sum", folder, "ReportSelf true\n") + files("apart", folder, "Aggregate \"none\"\n")));
  REQUIRE(host.init() == 0);
  host.keep_dispatched(false);
  const auto read_all = [&](std::uint64_t hits) {
    for (int i = 0; i < 50; ++i) count(folder, std::to_string(i) + ".mmstats", hits);
    const auto before = stub_host::allocations();
    for (const char* reader : {"mmstats/sum", "mmstats/apart"}) {
      const std::string name = reader;
      CHECK(host.read(name) == 0);
    }
    return stub_host::allocations() - before;
  };
  CHECK(read_all(2) > 0);  // what is counted is what the module does
  for (std::uint64_t hits = 3; hits < 10; ++hits) read_all(hits);
  for (std::uint64_t hits = 10; hits < 20; ++hits) CHECK(read_all(hits) == 0);

  host.keep_dispatched(true);
  CHECK(host.read("mmstats/sum") == 0);
  CHECK(by_identity(host).at("mmstats-sum/derive-hits").derive == 50 * 19);
}

TEST_CASE("a callback that throws returns an error, and is told of once until it went well") {
  told.clear();
  FaultLog faults(tell);
  int calls = 0;
  const auto failing = [&]() -> int {
    ++calls;
    throw std::runtime_error("no such luck");
  };
  CHECK(guarded("reading", faults, failing) == mmstats::collectd::kThrew);
  CHECK(guarded("reading", faults, failing) == mmstats::collectd::kThrew);
  CHECK(calls == 2);
  CHECK(told == std::vector<std::string>{"reading: no such luck"});

  CHECK(guarded("reading", faults, [] { return 7; }) == 7);
  CHECK(told.size() == 1);
  CHECK(guarded("reading", faults, []() -> int { throw 5; }) == mmstats::collectd::kThrew);
  CHECK(told.size() == 2);
  CHECK(told[1] == "reading: something that is no std::exception");

  FaultLog others(tell);
  CHECK(guarded("init", others, []() -> int { throw std::bad_alloc(); }) == mmstats::collectd::kThrew);
  REQUIRE(told.size() == 3);
  CHECK(told[2].starts_with("init: "));
}

TEST_CASE("every complaint is logged once, as soon as there is room") {
  const TemporaryFolder folder;
  for (int i = 0; i < 25; ++i) {
    folder.write("bad" + std::to_string(i) + ".mmstats",
                 MadeFile().buffered("hits", "Q", std::uint64_t{5}).raw("\x09").bytes());
  }
  stub_host::Host host;
  host.config(section(files("all", folder)));
  REQUIRE(host.init() == 0);
  const auto count = [&](std::string_view word) {
    return std::ranges::count_if(host.log(), [&](const auto& line) { return line.find(word) != line.npos; });
  };
  REQUIRE(host.read("mmstats/all") == 0);
  CHECK(count("/bad") == 10);
  CHECK(count("complaints that wait to be logged: 15 (at most 10 at a scan and 30 in a minute)") == 1);
  for (int scan = 0; scan < 5; ++scan) CHECK(host.read("mmstats/all") == 0);
  for (int i = 0; i < 25; ++i) CHECK(count("/bad" + std::to_string(i) + ".mmstats: ") == 1);
  CHECK(count("that wait") == 1);
}

TEST_CASE(
    "what cannot be read is counted and told, and is no error, after which collectd would wait longer") {
  const TemporaryFolder folder;
  // As for root nothing is forbidden: a folder that is a circle of links, and no descriptor for a file.
  REQUIRE(::symlink("circle", (folder / "circle").c_str()) == 0);
  stub_host::Host host;
  host.config(section("<Files \"all\">\nPath \"" + folder.path() +
                      "/circle/*\"\nReportSelf true\n</Files>\n" +
                      files("denied", folder, "ReportSelf true\n")));
  REQUIRE(host.init() == 0);
  for (int scan = 0; scan < 2; ++scan) {
    CHECK(host.read("mmstats/all") == 0);
    CHECK(by_identity(host).at("mmstats-all/count-unreadable_folders").number == 1);
  }
  CHECK(std::ranges::count_if(host.log(),
                              [](const auto& line) { return line.find("/circle: ") != line.npos; }) == 1);

  CHECK(host.read("mmstats/denied") == 0);  // lists the folder
  publish(folder, "a.mmstats", 5);
  {
    const FewDescriptors one(1);  // for the folder's listing, none for the file
    CHECK(host.read("mmstats/denied") == 0);
  }
  CHECK(by_identity(host).at("mmstats-denied/count-unreadable_files").number == 1);
  CHECK(host.read("mmstats/denied") == 0);
  CHECK(by_identity(host).at("mmstats-denied/count-unreadable_files").number == 0);
  CHECK(by_identity(host).at("mmstats-denied/derive-hits").derive == 5);
}

TEST_CASE("what the configuration asks for and is not there is told once, when it is looked for") {
  const TemporaryFolder folder;
  stub_host::Host host;
  const std::string there = "Path \"" + folder.path() + "/{a,nosuch}*.mmstats\"\n";
  host.config(section(
      "<Files \"all\">\n" + there + "Path \"" + folder.path() + "/later/*.mmstats\"\n" +
      "StripPrefix \"shop\"\nInclude \"hits\" \"missing\"\n" +
      "<Metric \"hits\">\nScale 2\n</Metric>\n<Metric \"h.ts[.]x\">\nScale 2\n</Metric>\n</Files>\n" +
      files("good", folder, "Include \"h.*\"\nStripPrefix \"\"\n<Metric \"l.*\">\nScale 2\n</Metric>\n")));
  REQUIRE(host.init() == 0);
  const auto before = host.log().size();
  using Lines = std::vector<std::string>;
  auto told = [&, seen = before]() mutable {
    CHECK(host.read("mmstats/all") == 0);
    Lines lines(host.log().begin() + static_cast<std::ptrdiff_t>(seen), host.log().end());
    seen = host.log().size();
    return lines;
  };
  const std::string name = "mmstats plugin: <Files \"all\">: ";
  const auto missing =
      name + folder.path() + "/later: does not exist; its files are read as soon as there are any";
  CHECK(told() == Lines{name + "0 files match now: Path \"" + folder.path() + "/a*.mmstats\", \"" +
                            folder.path() + "/nosuch*.mmstats\"",
                        missing});
  CHECK(told().empty());
  publish(folder, "a.mmstats", 5);
  CHECK(told() == Lines{name + "StripPrefix \"shop\" matched no label of 5, such as \"hits\"",
                        name + "Include \"missing\" matched no label of 5, such as \"hits\"",
                        name + "<Metric \"h.ts[.]x\"> matched no label of 5, such as \"hits\""});
  CHECK(told().empty());
  // A folder is told again when it was there meanwhile.
  REQUIRE(::mkdir((folder / "later").c_str(), 0755) == 0);
  CHECK(told().empty());
  REQUIRE(::rmdir((folder / "later").c_str()) == 0);
  CHECK(told() == Lines{missing});
  CHECK(told().empty());
  // Nothing is told where nothing is wrong.
  CHECK(host.read("mmstats/good") == 0);
  CHECK(told().empty());
}

TEST_CASE("true and false arrive as they were written") {
  const TemporaryFolder folder;
  publish(folder, "a.mmstats", 5);
  const auto rule = [](const std::string& ignore) {
    return "<Metric \"load\">\nIgnore " + ignore + "\n</Metric>\n";
  };
  stub_host::Host host;
  host.config(section(files("yes", folder, "ReportSelf true\n" + rule("true")) +
                      files("no", folder, "ReportSelf false\n" + rule("false"))));
  REQUIRE(host.init() == 0);
  CHECK(host.read("mmstats/yes") == 0);
  CHECK(by_identity(host).count("mmstats-yes/count-files") == 1);
  CHECK(by_identity(host).count("mmstats-yes/gauge-load") == 0);
  CHECK(host.read("mmstats/no") == 0);
  CHECK(by_identity(host).count("mmstats-no/count-files") == 0);
  CHECK(by_identity(host).count("mmstats-no/gauge-load") == 1);
}

TEST_CASE("mistakes are logged as errors, and what may be meant otherwise as warnings") {
  const TemporaryFolder folder;
  stub_host::Host host;
  host.config(section(files("all", folder, "Colour 1\n<Metric \"d+\">\nScale 2\n</Metric>\n")));
  REQUIRE(host.init() == 0);
  const auto level_of = [&](std::string_view text) {
    for (std::size_t i = 0; i < host.log().size(); ++i) {
      if (host.log()[i].find(text) != std::string::npos) return host.log_levels().at(i);
    }
    return -1;
  };
  constexpr int kError = 3;
  constexpr int kWarning = 4;
  constexpr int kInfo = 6;
  CHECK(level_of("Colour 1 is left out") == kError);
  CHECK(level_of("stands for the letter itself") == kWarning);
  CHECK(level_of(" every 10 s") == kInfo);
  folder.write("bad.mmstats", MadeFile().buffered("hits", "Q", std::uint64_t{5}).raw("\x09").bytes());
  CHECK(host.read("mmstats/all") == 0);
  CHECK(level_of("bad.mmstats: ") == kWarning);
  CHECK(std::ranges::none_of(host.log(),
                             [](const auto& line) { return line.find("(MaxFileSize)") != line.npos; }));
}

TEST_CASE("the module's own values tell files from folders, and count what is left out") {
  const TemporaryFolder folder;
  publish(folder, "a.mmstats", 5);
  publish(folder, "b.mmstats", 5);
  publish(folder, "c.mmstats", 5);
  stub_host::Host host;
  host.config(section(files("few", folder, "ReportSelf true\nMaxFiles 1\n") +
                      files("denied", folder, "ReportSelf true\n")));
  REQUIRE(host.init() == 0);
  CHECK(host.read("mmstats/few") == 0);
  CHECK(by_identity(host).at("mmstats-few/count-left_out_files").number == 2);
  CHECK(by_identity(host).at("mmstats-few/count-files").number == 1);
  CHECK(by_identity(host).at("mmstats-few/count-put_off_files").number == 0);
  CHECK(by_identity(host).at("mmstats-few/count-put_off_folders").number == 0);
  CHECK(host.read("mmstats/denied") == 0);
  publish(folder, "d.mmstats", 5);
  {
    const FewDescriptors one(1);  // for the folder's listing, none for the file
    CHECK(host.read("mmstats/denied") == 0);
  }
  CHECK(by_identity(host).at("mmstats-denied/count-unreadable_files").number == 1);
  CHECK(by_identity(host).at("mmstats-denied/count-unreadable_folders").number == 0);
  CHECK(by_identity(host).at("mmstats-denied/count-left_out_files").number == 0);
}

TEST_CASE("that files or folders are left out is told at the first scan that leaves them out") {
  const TemporaryFolder folder;
  for (int i = 0; i < 30; ++i)
    boost::filesystem::create_symlink("nowhere", folder / ("link" + std::to_string(i) + ".mmstats"));
  publish(folder, "a.mmstats", 5);
  const TemporaryFolder wild;
  boost::filesystem::create_directory(wild / "a");
  stub_host::Host host;
  host.config(section(files("few", folder, "MaxFiles 1\nReportSelf true\n") + "<Files \"wild\">\nPath \"" +
                      wild.path() + "/*/*.mmstats\"\nMaxFiles 1\n" + "ReportSelf true\n</Files>\n"));
  REQUIRE(host.init() == 0);
  const auto told = [&](std::string_view what) {
    return std::ranges::count_if(host.log(), [&](const auto& line) {
      return line.find(what) != line.npos && line.find("raise MaxFiles") != line.npos;
    });
  };
  CHECK(host.read("mmstats/few") == 0);
  CHECK(host.read("mmstats/wild") == 0);
  CHECK(told("") == 0);
  CHECK(by_identity(host).at("mmstats-wild/count-left_out_folders").number == 0);
  publish(folder, "b.mmstats", 5);
  boost::filesystem::create_directory(wild / "b");
  CHECK(host.read("mmstats/few") == 0);
  CHECK(told("has files beyond the limit of 1") == 1);
  CHECK(by_identity(host).at("mmstats-few/count-left_out_folders").number == 0);
  CHECK(host.read("mmstats/wild") == 0);
  CHECK(told("has folders behind wildcards beyond the limit of 1") == 1);
  CHECK(by_identity(host).at("mmstats-wild/count-left_out_folders").number == 1);
  CHECK(by_identity(host).at("mmstats-wild/count-left_out_files").number == 0);
}

TEST_CASE("a damaged file is told at the first scan, whatever another user does") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: only root can make another user's files");
    return;
  }
  const TemporaryFolder folder;
  const auto damaged = [&](const std::string& name, uid_t owner) {
    folder.write(name, MadeFile().buffered("hits", "Q", std::uint64_t{5}).raw("\x09").bytes());
    REQUIRE(::chown((folder / name).c_str(), owner, owner) == 0);
  };
  for (int i = 0; i < 1000; ++i) damaged(std::to_string(i) + ".mmstats", 4000);
  damaged("honest.mmstats", 4001);
  stub_host::Host host;
  host.config(section(files("all", folder)));
  REQUIRE(host.init() == 0);
  CHECK(host.read("mmstats/all") == 0);
  CHECK(std::ranges::any_of(host.log(),
                            [](const auto& line) { return line.find("honest.mmstats: ") != line.npos; }));
}

TEST_CASE("that no file matches is not told while a file cannot be read") {
  const TemporaryFolder folder;
  stub_host::Host host;
  host.config(section("<Files \"all\">\nPath \"" + folder.path() + "/{a,b}.mmstats\"\n</Files>\n"));
  REQUIRE(host.init() == 0);
  publish(folder, "a.mmstats", 5);
  const auto told = [&] {
    return std::ranges::count_if(
        host.log(), [](const auto& line) { return line.find("0 files match now") != line.npos; });
  };
  {
    const FewDescriptors two(2);  // for the folder and its listing, none for the file
    CHECK(host.read("mmstats/all") == 0);
  }
  CHECK(told() == 0);
}

// A file of the dead stays until the slowest block has read it, wherever that stands in the configuration.
TEST_CASE("a file of the dead waits for the slowest block, and with one block for nobody") {
  const TemporaryFolder folder;
  const auto leave_a_file = [&] {
    folder.write(
        "dead.mmstats",
        MadeFile().buffered("hits", "Q", std::uint64_t{2}).owner(kUnusedPid, unix_seconds()).padded());
  };
  const auto is_there = [&] { return ::access((folder / "dead.mmstats").c_str(), F_OK) == 0; };
  const std::string fast = files("fast", folder, "Interval 0.001\nStale \"remove\"\n");
  const std::string slow = files("slow", folder, "Interval 3600\n");
  const std::string usual = files("usual", folder);  // the host's interval
  for (const auto& blocks : {fast + slow, slow + fast, fast + usual, usual + fast}) {
    leave_a_file();
    stub_host::Host host;
    host.use_interval(3600);  // no machine stands still for so long
    host.config(section(blocks));
    REQUIRE(host.init() == 0);
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
    do {
      REQUIRE(host.read("mmstats/fast") == 0);
    } while (std::chrono::steady_clock::now() < end);
    CHECK(is_there());
  }
  const std::string second = files("second", folder, "Interval 0.001\n");
  for (const auto& blocks : {fast, fast + second}) {
    leave_a_file();
    stub_host::Host host;
    host.config(section(blocks));
    REQUIRE(host.init() == 0);
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (is_there() && std::chrono::steady_clock::now() < end) REQUIRE(host.read("mmstats/fast") == 0);
    CHECK(!is_there());
  }
}

TEST_CASE("of several default patterns one with files is enough") {
  const TemporaryFolder folder;
  setenv("MMSTATS_GLOB", (folder / "{a,b}.mmstats").c_str(), 1);
  {
    stub_host::Host host;
    REQUIRE(host.init() == 0);
    CHECK(host.read("mmstats") == 0);
    REQUIRE(host.log().size() == 2);
    CHECK(host.log()[1] == "mmstats plugin: <Plugin mmstats>: 0 files match now: Path \"" + folder.path() +
                               "/a.mmstats\", \"" + folder.path() + "/b.mmstats\"");
  }
  publish(folder, "a.mmstats", 5);
  {
    stub_host::Host host;
    REQUIRE(host.init() == 0);
    CHECK(host.read("mmstats") == 0);
    CHECK(host.log().size() == 1);
  }
  unsetenv("MMSTATS_GLOB");
}

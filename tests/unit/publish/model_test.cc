// Models: what their files are called, what is in them, and what happens when something is wrong.
#include "mmstats/model.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "format/bucket_field.h"
#include "format/owner.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "publish/folded_files.h"
#include "published.h"

using namespace mmstats;

namespace {

// A variable of the environment, for as long as this lives.
class Environment {
 public:
  // Null: unset.
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* before = ::getenv(name)) before_ = before;
    set(value);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() { set(before_ ? before_->c_str() : nullptr); }

 private:
  void set(const char* value) {
    if (value == nullptr) {
      ::unsetenv(name_);
    } else {
      ::setenv(name_, value, 1);
    }
  }
  const char* name_;
  std::optional<std::string> before_;
};

// As published_in, with what goes wrong added to `errors`.
ModelOptions telling(const TemporaryFolder& folder, std::vector<Error>& errors) {
  auto options = published_in(folder);
  options.on_error = [&errors](const Error& error) { errors.push_back(error); };
  return options;
}

std::size_t files_in(const std::string& folder) {
  const boost::filesystem::directory_iterator entries(folder);
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

bool is_there(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// Whether the bytes of the file are as format.md wants them of a writer whose values cannot be torn.
void check_layout(const Published& file) {
  std::set<std::uint64_t> offsets;
  for (const Field& field : file.fields()) {
    CAPTURE(field.label);
    CHECK((field.offset % 8 == 0 || field.offset == 1));  // behind the version
    const auto code = trimmed_type(field.type_text);
    const auto blanks = field.type_text.size() - code.size();
    CHECK(field.type_text == std::string(blanks, ' ') + code);
    CHECK(blanks < 64);
    const auto first = field.write_buffer_offset + 1;
    const auto size = field.type.size;
    if (field.type.is_scalar_number()) {
      CHECK(first % size == 0);
      if (field.buffered) {
        CHECK((first + size) % size == 0);
        CHECK(file.bytes()[field.write_buffer_offset] == std::byte{1});  // buffer 0, for ever
      }
    }
    CHECK((first + (field.buffered ? 2 : 1) * size) % 8 == 0);
    CHECK(first + (field.buffered ? 2 : 1) * size <= file.bytes().size());
  }
  CHECK(file.bytes().size() % 4096 == 0);
}

std::string pid() { return std::to_string(::getpid()); }
std::string program() { return ::program_invocation_short_name; }
std::string tid() { return std::to_string(::gettid()); }

// Those of its lines that hold `what`.
std::uint64_t lines_of(const char* path, const std::string& what = {}) {
  std::ifstream file(path);
  std::uint64_t lines = 0;
  for (std::string line; std::getline(file, line);) lines += line.find(what) != std::string::npos ? 1 : 0;
  return lines;
}

}  // namespace

// ---- names

TEST_CASE("files go where the options say, else the environment, with placeholders in both") {
  const TemporaryFolder folder;
  const struct {
    std::string file_name;
    std::string want;
  } rows[] = {
      {"a.mmstats", "a.mmstats"},
      {"{CMD}-{PID}-{TID}.mmstats", program() + "-" + pid() + "-" + tid() + ".mmstats"},
      {"x%PID%y%TID%z", "x" + pid() + "y" + tid() + "z"},
      {"{PID}{PID}", pid() + pid()},
      {"{CMD", "{CMD"},
      {"{pid}{}%CMD%%", "{pid}{}%CMD%%"},
      {"caf\u00e9 {TID}", "caf\u00e9 " + tid()},
  };
  for (const bool by_environment : {false, true}) {
    for (const auto& [file_name, want] : rows) {
      for (const std::string sub : {"", "/sub-{CMD}", "/sub-%PID%-{PID}", "/sub-{TID}%TID%"}) {
        CAPTURE(file_name);
        CAPTURE(sub);
        auto wanted_folder = folder.path();
        if (sub == "/sub-{CMD}") wanted_folder += "/sub-" + program();
        if (sub == "/sub-%PID%-{PID}") wanted_folder += "/sub-" + pid() + "-" + pid();
        if (sub == "/sub-{TID}%TID%") wanted_folder += "/sub-" + tid() + tid();
        ::mkdir(wanted_folder.c_str(), 0755);
        const Environment path("MMSTATS_PATH",
                               by_environment ? (folder.path() + sub).c_str() : "/nonexistent");
        const Environment files("MMSTATS_FILES", by_environment ? file_name.c_str() : "wrong");
        auto options = published_in(folder);
        options.path = by_environment ? "" : folder.path() + sub;
        options.file_name = by_environment ? "" : file_name;
        Model model(options);
        Counter hits(model, "hits");
        ++hits;
        CHECK(Published::only_path(model) == wanted_folder + '/' + want);
        CHECK(Published(model).value("hits") == 1);
      }
    }
  }
}

TEST_CASE("the file of shared fields says so where others have a thread's number") {
  const TemporaryFolder folder;
  auto options = published_in(folder);
  options.file_name = "{TID}-%TID%.mmstats";
  Model model(options);
  SharedCounter hits(model, "hits");
  ++hits;
  CHECK(Published::only_path(model) == folder / "shared-shared.mmstats");
  Counter mine(model, "mine");
  ++mine;
  CHECK(model.paths().size() == 2);
  CHECK(Published(folder / "shared-shared.mmstats").find("mine") == nullptr);
  CHECK(Published(folder / (tid() + "-" + tid() + ".mmstats")).find("hits") == nullptr);
}

TEST_CASE("without options and environment, files go to the temporary folder, or to /run/mmstats") {
  const TemporaryFolder folder;
  const Environment path("MMSTATS_PATH", nullptr);
  const Environment files("MMSTATS_FILES", nullptr);
  const std::string name = "/" + program() + "-" + pid() + "-" + tid() + ".mmstats";
  const auto made_at = [] {
    Model model({.on_error = [](const Error& error) { FAIL_CHECK(error.text()); }});
    Counter hits(model, "hits");
    ++hits;
    return Published::only_path(model);
  };
  const bool has_run = ::access("/run/mmstats", W_OK | X_OK) == 0;
  {
    const Environment temporary("TMPDIR", folder.path().c_str());
    CHECK(made_at() == (has_run ? "/run/mmstats" : folder.path()) + name);
  }
  {
    const Environment temporary("TMPDIR", nullptr);
    CHECK(made_at() == (has_run ? "/run/mmstats" : "/tmp") + name);
  }
}

TEST_CASE("/run/mmstats comes before the temporary folder, and after the environment") {
  // A /run of our own, in a namespace of mounts that only a child sees.
  enum : int { kRight, kWrong, kImpossible };
  const TemporaryFolder folder;
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto uid = ::getuid();
    bool possible = ::unshare(CLONE_NEWNS) == 0;
    if (!possible && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) {
      possible = (std::ofstream("/proc/self/uid_map") << "0 " << uid << " 1").flush().good();
    }
    possible = possible && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
               ::mount("none", "/run", "tmpfs", 0, nullptr) == 0 && ::mkdir("/run/mmstats", 0755) == 0;
    if (!possible) ::_exit(kImpossible);
    ::setenv("TMPDIR", folder.path().c_str(), 1);
    ::unsetenv("MMSTATS_PATH");
    const auto goes_to = [](const std::string& wanted) {
      Model model;
      Counter hits(model, "hits");
      ++hits;
      const auto paths = model.paths();
      return paths.size() == 1 && paths[0].starts_with(wanted + '/');
    };
    bool right = goes_to("/run/mmstats");
    ::setenv("MMSTATS_PATH", folder.path().c_str(), 1);
    right = right && goes_to(folder.path());
    ::_exit(right ? kRight : kWrong);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kImpossible) {
    MESSAGE("skipped: no namespace of mounts can be had here");
  } else {
    CHECK(WEXITSTATUS(status) == kRight);
  }
}

TEST_CASE("a name in use gets a number before its ending") {
  const TemporaryFolder folder;
  for (const std::string name : {"web.mmstats", "web"}) {
    auto options = published_in(folder);
    options.file_name = name;
    std::deque<Model> models;
    for (int i = 0; i < 3; ++i) {
      auto& model = models.emplace_back(options);
      Counter hits(model, "hits");
      hits.incr(static_cast<std::uint64_t>(i));
      const auto number = i == 0 ? std::string{} : "." + std::to_string(i);
      CHECK(Published::only_path(model) == folder / ("web" + number + name.substr(3)));
    }
    for (int i = 0; i < 3; ++i) CHECK(Published(models[static_cast<std::size_t>(i)]).value("hits") == i);
  }
}

// ---- what is in a file

TEST_CASE("the prefix is put before all labels") {
  const TemporaryFolder folder;
  auto options = published_in(folder);
  options.label_prefix = "web.front";
  Model model(options);
  Counter hits(model, "hits");
  Histogram latency(model, "latency");
  latency.add(1);
  const Published file(model);
  for (const Field& field : file.fields()) CHECK(field.label.starts_with("web.front."));
  CHECK(file.find("web.front.hits") != nullptr);
  CHECK(file.find("web.front.latency.p50") != nullptr);
  CHECK(file.find("web.front.sys.pid") != nullptr);
}

TEST_CASE("every file says who writes it, as the original's do") {
  const TemporaryFolder folder;
  const auto now = [] {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  };
  auto options = published_in(folder);
  options.label_prefix = "web";
  Model model(options);
  Counter hits(model, "hits");
  SharedCounter all(model, "all");
  const double before = now();
  ++hits;
  std::int64_t thread = 0;
  std::thread([&] {
    thread = ::gettid();
    ++hits;
    CHECK(Published(model.paths()[1]).number<std::int64_t>("web.sys.tid") == thread);
  }).join();
  ++all;
  const double after = now();
  const auto paths = model.paths();
  REQUIRE(paths.size() == 3);
  std::set<std::int64_t> tids;
  for (const auto& path : paths) {
    const Published file(path);
    const struct {
      const char* label;
      const char* type;
      nlohmann::json value;
    } rows[] = {
        {"web.sys.pid", "I", ::getpid()}, {"web.sys.uid", "Q", ::getuid()}, {"web.sys.gid", "Q", ::getgid()}};
    for (const auto& [label, type, value] : rows) {
      CAPTURE(label);
      CHECK(file.type(label) == type);
      CHECK_FALSE(file.field(label).buffered);
      CHECK(file.value(label) == value);
    }
    CHECK(file.type("web.sys.created") == "d");
    CHECK(file.number<double>("web.sys.created") >= before);
    CHECK(file.number<double>("web.sys.created") <= after);
    CHECK(file.type("web.sys.tid") == "q");
    tids.insert(file.number<std::int64_t>("web.sys.tid"));
    CHECK(file.find("web.org.python.version") == nullptr);
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777U) == 0644);
  }
  CHECK(tids == std::set<std::int64_t>{::getpid(), 0});  // that thread has ended
}

TEST_CASE("the file of shared fields is the process', whichever thread writes first") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  SharedCounter all(model, "all");
  std::thread([&] { ++all; }).join();
  const Published file(model);
  CHECK(file.value("sys.tid") == ::getpid());
  CHECK(file.value("sys.pid") == ::getpid());
}

TEST_CASE("a Model without system fields has its own alone, at first none") {
  const TemporaryFolder folder;
  auto options = published_in(folder);
  options.system_fields = false;
  Model model(options);
  REQUIRE(model.open());
  CHECK(Published(model).fields().empty());
  CHECK(folded(model.paths()).empty());
  Counter hits(model, "hits", {.unit = "requests", .help = "Requests answered"});
  hits.incr(7);
  DoubleField load(model, "load", {}, 0.5);
  const Published file(model);
  CHECK(file.fields().size() == 2);
  CHECK(file.value("hits") == 7);
  CHECK(file.value("load") == 0.5);
  CHECK(folded(model.paths()).at("hits").total == 7);
  check_layout(file);
}

TEST_CASE("sys.metadata says what each field is") {
  const TemporaryFolder folder;
  auto options = published_in(folder);
  options.label_prefix = "web";
  Model model(options);
  Counter counter(model, "counter", {.unit = "requests", .help = "Requests answered"});
  UInt64Field gauge(model, "gauge", {.unit = "bytes"});
  DoubleField when(model, "when", {.unit = "seconds", .help = "Last backup", .kind = Kind::kTimestamp});
  UInt64Field grows(model, "grows", {.kind = Kind::kCounter});
  Counter falls(model, "falls", {.kind = Kind::kGauge});
  BoolField up(model, "up", {.help = "Whether it is\tup\n"});
  ByteField level(model, "level");
  Average average(model, "average");
  MovingAverage moving(model, "moving");
  WindowAverage window(model, "window", {.unit = "seconds"});
  StringField text(model, "text");
  StringField told_text(model, "told_text", {.help = "What it does"});
  StaticUIntField fact(model, "fact", 1);
  StaticUIntField told_fact(model, "told_fact", 1, {.unit = "cores"});
  StaticTextField name(model, "name", "x");
  SharedCounter shared(model, "shared", {.help = "Of all"});
  SharedGauge<std::uint64_t> shared_gauge(model, "shared_gauge");
  Histogram latency(model, "latency", {.unit = "seconds", .help = "Time to answer"});
  REQUIRE(model.open());
  REQUIRE(model.paths().size() == 2);
  CHECK(Published(model.paths()[0]).metadata() ==
        "web.sys.writer\tproperty\t\tmaps the file while it lives\n"
        "web.counter\tcounter\trequests\tRequests answered\n"
        "web.gauge\tgauge\tbytes\n"
        "web.when\ttimestamp\tseconds\tLast backup\n"
        "web.grows\tcounter\n"
        "web.falls\tgauge\n"
        "web.up\tstate\t\tWhether it is up \n"
        "web.level\tgauge\n"
        "web.average\tgauge\n"
        "web.moving\tgauge\n"
        "web.window\tgauge\tseconds\n"
        "web.told_text\tproperty\t\tWhat it does\n"
        "web.told_fact\tproperty\tcores\n"
        "web.latency.count\tcounter\t\tTime to answer\n"
        "web.latency\thistogram\tseconds\tTime to answer\tlog-linear 32 -30 50\n"
        "web.latency.sum\tcounter\tseconds\tTime to answer\n"
        "web.latency.min\tgauge\tseconds\tTime to answer\n"
        "web.latency.max\tgauge\tseconds\tTime to answer\n"
        "web.latency.p50\tgauge\tseconds\tTime to answer\n"
        "web.latency.p90\tgauge\tseconds\tTime to answer\n"
        "web.latency.p99\tgauge\tseconds\tTime to answer\n"
        "web.latency.p999\tgauge\tseconds\tTime to answer\n");
  CHECK(Published(model.paths()[1]).metadata() ==
        "web.sys.writer\tproperty\t\tmaps the file while it lives\n"
        "web.shared\tcounter\t\tOf all\n"
        "web.shared_gauge\tgauge\n");

  const auto series = folded(model.paths());
  CHECK(series.at("web.gauge").kind == Kind::kGauge);
  CHECK(series.at("web.falls").kind == Kind::kGauge);
  CHECK(series.at("web.grows").kind == Kind::kCounter);
  CHECK(series.at("web.when").kind == Kind::kTimestamp);
  CHECK(series.at("web.up").kind == Kind::kState);
  CHECK(series.at("web.shared_gauge").kind == Kind::kGauge);
  CHECK(series.at("web.counter").unit() == "requests");
  CHECK(series.at("web.latency.p99").help() == "Time to answer");
}

TEST_CASE("fields that come later are described as well, however many they are") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Counter first(model, "first");
  ++first;
  SharedCounter shared(model, "shared.first");
  ++shared;
  std::thread([&] { ++first; }).join();
  const auto paths = model.paths();
  REQUIRE(paths.size() == 3);
  constexpr int kFields = 400;
  std::deque<UInt64Field> gauges;
  std::deque<SharedGauge<std::uint64_t>> shared_gauges;
  for (int i = 0; i < kFields; ++i) {
    const auto label = "gauge" + std::to_string(i);
    const About about{.unit = "u" + std::to_string(i), .help = std::string(static_cast<std::size_t>(i), 'h')};
    gauges.emplace_back(model, label, about, 5U);
    gauges.back() = static_cast<std::uint64_t>(1000 + i);
    shared_gauges.emplace_back(model, "shared." + label, about) = static_cast<std::uint64_t>(i);
    // Never for a moment may it be taken for a counter: an agent would keep the sum of what it saw.
    if (i % 50 == 0) {
      for (const auto& [name, series] : folded(paths)) {
        CHECK((series.kind == Kind::kCounter) == (name == "first" || name == "shared.first"));
      }
    }
  }
  for (const auto& path : paths) {
    const Published file(path);
    check_layout(file);
    const bool is_shared = file.find("shared.first") != nullptr;
    const auto metadata = file.metadata();
    for (int i = 0; i < kFields; ++i) {
      const auto label = (is_shared ? "shared.gauge" : "gauge") + std::to_string(i);
      CHECK(file.find(label) != nullptr);
      const auto found = find_metadata(metadata, label);
      CHECK(found.kind == Kind::kGauge);
      CHECK(found.unit == "u" + std::to_string(i));
      CHECK(found.help == std::string(static_cast<std::size_t>(i), 'h'));
    }
    const auto texts = std::count_if(file.fields().begin(), file.fields().end(), [](const Field& field) {
      return label_has_suffix(field.label, kMetadataLabel);
    });
    CHECK(texts > 10);
  }
  const auto series = folded(paths);
  CHECK(series.at("first").total == 2);
  CHECK(series.at("gauge399").kind == Kind::kGauge);
  CHECK(series.at("gauge399").value == 1399);  // of two threads' files, one of which has ended
  CHECK(series.at("gauge399").unit() == "u399");
  CHECK(series.at("shared.gauge399").value == 399);
}

TEST_CASE("a text of metadata is filled to its last byte, and not beyond") {
  const TemporaryFolder folder;
  constexpr std::size_t kSpare = 1024;  // of the first text, for fields that come later
  const std::string rest = "later\tgauge\t\t\n";
  for (const std::size_t beyond : {0, 1, 2}) {
    CAPTURE(beyond);
    Model model(published_in(folder));
    Counter first(model, "first");
    REQUIRE(model.open());
    const std::string help(kSpare - rest.size() + beyond, 'h');
    UInt64Field later(model, "later", {.help = help}, 5);
    UInt64Field last(model, "last", {.help = "the last"}, 6);
    const Published file(model);
    check_layout(file);
    CHECK(file.value("later") == 5);
    CHECK(file.value("last") == 6);
    CHECK(find_metadata(file.metadata(), "later").help == help);
    CHECK(find_metadata(file.metadata(), "last").help == "the last");
    const auto texts = std::count_if(file.fields().begin(), file.fields().end(), [](const Field& field) {
      return label_has_suffix(field.label, kMetadataLabel);
    });
    CHECK(texts == 2);
  }
}

TEST_CASE("more metadata than one text can hold is in several") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  constexpr int kFields = 150;
  const std::string help(1000, 'h');
  for (int i = 0; i < kFields; ++i) UInt64Field(model, "gauge" + std::to_string(i), {.help = help});
  const std::string large(59'000, 'l');
  UInt64Field(model, "large", {.help = large});
  // Without a line, as none can hold it.
  UInt64Field(model, "too large", {.help = large + large});
  REQUIRE(model.open());
  UInt64Field(model, "larger", {.help = large + "!"});
  const Published file(model);
  check_layout(file);
  const auto metadata = file.metadata();
  for (int i = 0; i < kFields; ++i) {
    CHECK(find_metadata(metadata, "gauge" + std::to_string(i)).help == help);
  }
  CHECK(find_metadata(metadata, "large").help == large);
  CHECK(find_metadata(metadata, "larger").help == large + "!");
  CHECK(file.find("too large") != nullptr);
}

// ---- the bytes

TEST_CASE("values are aligned whatever the length of the label") {
  for (const std::string prefix : {"", "p", "seven77"}) {
    const TemporaryFolder folder;
    auto options = published_in(folder);
    options.label_prefix = prefix;
    Model model(options);
    const auto add = [&](std::size_t length) {
      char kind = 'a';
      const auto label = [&] { return std::string(length, kind++); };
      Counter(model, label());
      Gauge<std::int64_t>(model, label(), {}, -1);
      UIntField(model, label(), {}, ~0U);
      IntField(model, label(), {}, -1);
      UShortField(model, label(), {}, std::uint16_t{0xFFFF});
      ShortField(model, label(), {}, std::int16_t{-1});
      Gauge<std::int8_t>(model, label(), {}, std::int8_t{-1});
      Gauge<bool>(model, label(), {}, true);
      FloatField(model, label(), {}, -1.0F);
      DoubleField(model, label(), {}, -1.0);
      ByteField(model, label(), {}, std::int8_t{-1});
      UByteField(model, label(), {}, std::uint8_t{0xFF});
      BoolField(model, label(), {}, true);
      StaticUIntField(model, label(), ~0U);
      StaticDoubleField(model, label(), -1.0);
      StaticTextField(model, label(), "x", {}, length);
      StringField(model, label(), {}, length, "x");
      SharedCounter(model, label());
      SharedGauge<double>(model, label(), {}, -1.0);
      SharedGauge<float>(model, label(), {}, -1.0F);
      SharedGauge<std::uint16_t>(model, label(), {}, std::uint16_t{0xFFFF});
      SharedGauge<std::int8_t>(model, label(), {}, std::int8_t{-1});
    };
    for (std::size_t length = 1; length <= 35; ++length) add(length);
    REQUIRE(model.open());
    // The others when the files are there.
    for (std::size_t length = 36; length <= 70; ++length) add(length);

    const auto paths = model.paths();
    REQUIRE(paths.size() == 2);
    const Published own(paths[0]);
    const Published shared(paths[1]);
    check_layout(own);
    check_layout(shared);
    CHECK(own.fields().size() >= 70 * 17 + 6);
    CHECK(shared.fields().size() >= 70 * 5 + 6);
    std::set<std::uint64_t> lines;
    for (const Field& field : shared.fields()) {
      if (field.label.find("sys.") != std::string_view::npos) continue;
      const auto first = field.write_buffer_offset + 1;
      CHECK(first / 64 == (first + 2 * field.type.size - 1) / 64);
      CHECK(lines.insert(first / 64).second);
    }
    for (const Field& field : shared.fields()) {
      if (field.label.find("sys.") == std::string_view::npos) continue;
      const auto first = field.write_buffer_offset + 1;
      for (auto line = first / 64; line <= (first + field.type.size - 1) / 64; ++line) {
        CHECK_FALSE(lines.contains(line));
      }
    }
  }
}

// ---- what can be wrong

TEST_CASE("a field with a wrong label is told, and works on private memory") {
  const std::string longest(65'535, 'x');
  const struct {
    std::string label;
    std::string reason;
  } rows[] = {{"", "empty"}, {"sys.metadata\xff", "UTF-8"}, {"caf\xe9", "UTF-8"}, {longest + "x", "65,535"}};
  for (const bool opened : {false, true}) {
    for (const auto& [label, reason] : rows) {
      CAPTURE(label.substr(0, 20));
      const TemporaryFolder folder;
      std::vector<Error> errors;
      Model model(telling(folder, errors));
      Counter hits(model, "hits");
      if (opened) ++hits;
      Counter wrong(model, label);
      REQUIRE(errors.size() == 1);
      CHECK(errors[0].kind == ErrorKind::kInvalid);
      CHECK(errors[0].text().find(reason) != std::string::npos);
      CHECK(errors[0].text().size() < 300);
      wrong.incr(5);
      hits.incr(3);
      ++wrong;
      CHECK(wrong.value() == 6);
      SharedCounter wrong_shared(model, label);
      wrong_shared.incr(4);
      CHECK(wrong_shared.value() == 4);
      CHECK(errors.size() == 2);
      std::thread([&] {
        wrong.incr(2);
        CHECK(wrong.value() == 2);
        CHECK(wrong_shared.value() == 4);
      }).join();
      for (const auto& path : model.paths()) {
        const Published file(path);
        for (const Field& field : file.fields())
          CHECK((field.label == "hits" || field.label.starts_with("sys.")));
      }
      CHECK(errors.size() == 2);
    }
  }
}

TEST_CASE("what is made again with the same label and type is the same field") {
  const TemporaryFolder folder;
  Model model(published_in(folder));  // nothing is told
  const auto make_all = [&](double value) {
    Counter(model, "counter").incr();
    SharedCounter(model, "shared").incr();
    UInt64Field(model, "counting", {.kind = Kind::kCounter}).add(1);
    Gauge<int>(model, "gauge").add(1);
    BoolField(model, "state") = true;
    StaticUInt64Field(model, "fact", 5);
    StaticTextField(model, "words", "words");
    StringField(model, "text") = "text";
    Average(model, "average").add(value);
    MovingAverage(model, "moving", {}, 10).add(value);
    WindowAverage(model, "window", {}, 10).add(value);
    Histogram(model, "h").add(value);
    MovingHistogram(model, "mh", {}, 10).add(value);
    WindowHistogram(model, "wh", {}, 10).add(value);
  };
  make_all(1);
  // Buckets come with values.
  const auto fields_of = [&] {
    const Published file(model.paths()[0]);
    return std::count_if(file.fields().begin(), file.fields().end(),
                         [](const Field& field) { return !bucket_field(field); });
  };
  const auto fields = fields_of();
  const auto bytes = Published(model.paths()[0]).bytes().size();
  for (int i = 0; i < 2000; ++i) make_all(3);
  const auto paths = model.paths();
  REQUIRE(paths.size() == 2);
  const bool shared_first = Published(paths[0]).find("shared") != nullptr;
  const Published file(paths[shared_first ? 1 : 0]);
  const Published shared(paths[shared_first ? 0 : 1]);
  CHECK(fields_of() == fields);
  CHECK(Published(paths[0]).bytes().size() == bytes);
  CHECK(shared.value("shared") == 2001);
  CHECK(file.value("counter") == 2001);
  CHECK(file.value("counting") == 2001);
  CHECK(file.value("gauge") == 2001);
  CHECK(file.value("h.count") == 2001);
  CHECK(file.value("mh.count") == 2001);
  CHECK(file.value("wh.count") == 2001);
  CHECK(file.value("h.sum") == 6001);
  CHECK(file.value("average") == 6001.0 / 2001);
  CHECK(file.value("moving") == 3);
  // And many handles at once, one of which ends, count together.
  Counter first(model, "counter");
  {
    Counter second(model, "counter");
    ++first;
    ++second;
  }
  ++first;
  CHECK(first.value() == 2004);
  CHECK(Counter(model, "counter").value() == 2004);
}

TEST_CASE("the same label with another type is told once, however often it is made, and private") {
  const TemporaryFolder folder;
  std::vector<Error> errors;
  Model model(telling(folder, errors));
  Counter label(model, "label");
  MovingAverage mean(model, "mean", {}, 10);
  StringField text(model, "text", {}, 10);
  StaticUInt64Field fact(model, "fact", 5);
  Histogram histogram(model, "h");
  const auto make_others = [&] {
    UInt64Field(model, "label").add(7);
    SharedCounter(model, "label").incr();
    MovingAverage(model, "mean", {}, 11).add(1);
    WindowAverage(model, "mean", {}, 10).add(1);
    DoubleField(model, "mean") = 7;
    StringField(model, "text", {}, 11) = "other";
    StaticUInt64Field(model, "fact", 6);
    Gauge<double>(model, "h.min") = -7;
  };
  make_others();
  REQUIRE(errors.size() == 8);
  for (const Error& error : errors) {
    CHECK(error.kind == ErrorKind::kInvalid);
    CHECK(error.text().find("already") != std::string::npos);
  }
  for (int i = 0; i < 1000; ++i) make_others();
  CHECK(errors.size() == 8);
  CHECK(UInt64Field(model, "label").value() == 1001 * 7);
  CHECK(SharedCounter(model, "label").value() == 1001);
  ++label;
  mean.add(5);
  text = "text";
  histogram.add(1);
  const auto series = folded(model.paths());
  CHECK(series.at("label").total == 1);
  CHECK(series.at("mean").value == 5);
  CHECK(series.at("h.count").total == 1);
  REQUIRE(model.open());
  for (const auto& path : model.paths()) {
    const Published file(path);
    if (file.find("label") == nullptr) continue;
    CHECK(file.value("fact") == 5);
    CHECK(file.value("text") == "text");
  }
  CHECK(errors.size() == 8);
}

TEST_CASE("there is private memory for as many fields as one wants, and for each thread") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  constexpr std::size_t kFields = 300;  // 42 MiB of memory
  std::deque<WindowHistogram> histograms;
  for (std::size_t i = 0; i < kFields; ++i) {
    // Few buckets: there is room for all in the file.
    histograms.emplace_back(model, "h" + std::to_string(i), About{}, 60, 8).add(static_cast<double>(i));
  }
  const auto add_all = [&](double value) {
    for (auto& histogram : histograms) histogram.add(value);
    for (auto& histogram : histograms) histogram.add(value);
  };
  std::thread([&] {
    add_all(7);
    for (auto& histogram : histograms) {
      CHECK(histogram.count() == 2);
      CHECK(histogram.p50() == doctest::Approx(7).epsilon(1.0 / 64));
    }
  }).join();
  for (std::size_t i = 0; i < kFields; ++i) {
    CHECK(histograms[i].count() == 1);
    if (i > 0) CHECK(histograms[i].max() == doctest::Approx(static_cast<double>(i)).epsilon(1.0 / 64));
  }
  const auto series = folded(model.paths());
  CHECK(series.at("h0.count").total == 3);
  CHECK(series.at("h299.count").total == 3);
  CHECK(model.paths().size() == 2);  // there is no file for the memory
  // One that ends leaves its memory to the next.
  std::thread([&] { CHECK(histograms.back().count() == 2); }).join();
}

TEST_CASE("a class of fields gets the memory that it asks for, up to a GiB") {
  const TemporaryFolder folder;
  std::vector<Error> errors;
  Model model(telling(folder, errors));
  const auto large = model.add_memory(std::size_t{40} << 20U);
  const auto small = model.add_memory(100);
  auto* const bytes = reinterpret_cast<unsigned char*>(large.in_thread());
  CHECK(reinterpret_cast<std::uintptr_t>(bytes) % 64 == 0);
  bytes[0] = 1;
  bytes[(std::size_t{40} << 20U) - 1] = 2;
  CHECK(*reinterpret_cast<unsigned char*>(small.in_thread()) == 0);
  CHECK(errors.empty());
  const auto endless = model.add_memory(std::size_t{1} << 40U);
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].kind == ErrorKind::kLimit);
  *endless.in_thread() = std::byte{1};
  CHECK(*endless.in_thread() == std::byte{0});
  CHECK(bytes[0] == 1);
}

TEST_CASE("a file takes 50,000 fields, and more if the options say so") {
  const TemporaryFolder folder;
  std::vector<Error> errors;
  auto options = telling(folder, errors);
  const auto fill = [&](std::size_t fields) {
    Model model(options);
    for (std::size_t i = 0; i < fields; ++i) Counter(model, "requests.of.route." + std::to_string(i));
    REQUIRE(model.open());
    Counter(model, "requests.of.route.0").incr();
    const auto file = read_settled(model.paths()[0], std::uint64_t{1} << 30U);
    REQUIRE(file);
    return file->content.fields.size();
  };
  CHECK(fill(50'000) > 50'000);
  CHECK(errors.empty());
  options.max_file_bytes = std::size_t{16} << 20U;
  CHECK(fill(100'000) > 100'000);
  CHECK(errors.empty());
  options.max_file_bytes = 0;  // becomes 64 KiB
  CHECK(fill(2'000) > 300);
  CHECK(errors.size() > 100);
}

// ---- labels

TEST_CASE("a prefix that ends with a dot gets no second one") {
  const TemporaryFolder folder;
  for (const auto* prefix : {"web.stats", "web.stats."}) {
    auto options = published_in(folder);
    options.label_prefix = prefix;
    Model model(options);
    Counter(model, "hits").incr();
    const Published file(model);
    CHECK(file.value("web.stats.hits") == 1);
    CHECK(file.find("web.stats.sys.pid") != nullptr);
    CHECK(find_metadata(file.metadata(), "web.stats.hits").kind == Kind::kCounter);
  }
}

TEST_CASE("what would end a line of metadata becomes a blank in a label, which is told once") {
  const TemporaryFolder folder;
  const std::string labels[] = {"a\tb", "a\nb", std::string("a\0b", 3)};
  for (const auto& label : labels) {
    std::vector<Error> errors;
    Model model(telling(folder, errors));
    for (int i = 0; i < 10; ++i) UInt64Field(model, label).add(1);
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].kind == ErrorKind::kInvalid);
    CHECK(errors[0].text().find("blanks") != std::string::npos);
    const Published file(model);
    CHECK(file.value("a b") == 10);
    CHECK(find_metadata(file.metadata(), "a b").kind == Kind::kGauge);
    CHECK(folded(model.paths()).at("a b").kind == Kind::kGauge);
  }
  std::vector<Error> errors;
  auto options = telling(folder, errors);
  options.label_prefix = "a\nb";
  Model model(options);
  UInt64Field(model, "gauge") = 1;
  CHECK(errors.size() == 1);
  const Published file(model);
  CHECK(find_metadata(file.metadata(), "a b.gauge").kind == Kind::kGauge);
  CHECK(file.find("a b.sys.pid") != nullptr);
}

TEST_CASE("with a prefix that no label may have a Model is not published, which is told once") {
  const TemporaryFolder folder;
  for (const auto& prefix : {std::string(1'025, 'x'), std::string(65'530, 'x'), std::string("caf\xe9")}) {
    std::vector<Error> errors;
    auto options = telling(folder, errors);
    options.label_prefix = prefix;
    Model model(options);
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].kind == ErrorKind::kInvalid);
    Counter hits(model, "hits");
    SharedCounter all(model, "all");
    ++hits;
    ++all;
    CHECK(hits.value() == 1);
    CHECK(all.value() == 1);
    CHECK(files_in(folder.path()) == 0);
    const auto opened = model.open();
    REQUIRE_FALSE(opened);
    CHECK(opened.error().text() == errors[0].text());
    CHECK(errors.size() == 1);
  }
  auto options = published_in(folder);
  options.label_prefix = std::string(1'024, 'x');
  Model model(options);
  Counter(model, "hits").incr();
  CHECK(Published(model).value(options.label_prefix + ".hits") == 1);
}

TEST_CASE("a prefix is put before labels as it is if the program wants that, and readers find the owner") {
  const TemporaryFolder folder;
  std::vector<Error> errors;
  auto options = telling(folder, errors);
  options.label_prefix = "web";
  options.dot_after_prefix = false;
  Model model(options);
  Counter(model, "hits", {.help = "Answers"}).incr();
  UIntField(model, "sys.pid", {}, 7);
  CHECK(errors.size() == 1);
  const Published file(model);
  CHECK(file.value("webhits") == 1);
  CHECK(file.value("websys.pid") == ::getpid());
  CHECK(file.metadata().find("webhits\tcounter\t\tAnswers\n") != std::string::npos);
  const auto owner = owner_of(file.content());
  CHECK(owner.pid == static_cast<std::uint64_t>(::getpid()));
  CHECK(owner.mapped);
  CHECK(model.path() == model.paths().front());
  model.remove();
  CHECK(model.path().empty());
}

TEST_CASE("what the library says of a file is not said by a field beside it") {
  const TemporaryFolder folder;
  for (const auto* prefix : {"", "web"}) {
    for (const auto* label : {"sys.pid", "sys.tid", "sys.uid", "sys.gid", "sys.created", "sys.metadata",
                              "sys.writer", "child.sys.pid"}) {
      CAPTURE(label);
      std::vector<Error> errors;
      auto options = telling(folder, errors);
      options.label_prefix = prefix;
      {
        Model model(options);
        UIntField field(model, label, {}, 1);
        field = 2;
        REQUIRE(errors.size() == 1);
        CHECK(errors[0].kind == ErrorKind::kInvalid);
        CHECK(errors[0].text().find(label) != std::string::npos);
        CHECK(field.value() == 2);
        const Published file(model);
        CHECK(std::count_if(file.fields().begin(), file.fields().end(), [&](const Field& one) {
                return label_has_suffix(one.label, label);
              }) == (std::string_view(label).find("writer") != std::string::npos || label[0] == 'c' ? 0 : 1));
      }
      // A program that says all itself may.
      options.system_fields = false;
      Model model(options);
      UIntField(model, label) = 2;
      CHECK(errors.size() == 1);
      CHECK(Published(model).fields().size() == 1);
    }
  }
}

// ---- what may be unusual, or too much

TEST_CASE("unusual labels are published") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  const std::string labels[] = {"caf\u00e9", "a b", "{PID}", ".", "x.", std::string(65'535, 'x')};
  for (const auto& label : labels) Counter(model, label).incr();
  const Published file(model);
  for (const auto& label : labels) CHECK(file.value(label) == 1);
  check_layout(file);
}

TEST_CASE("a file takes as many fields as the options say; the others are told, and private") {
  for (const bool opened : {false, true}) {
    CAPTURE(opened);
    const TemporaryFolder folder;
    std::vector<Error> errors;
    auto options = telling(folder, errors);
    options.max_file_bytes = std::size_t{1} << 20U;
    Model model(options);
    if (opened) REQUIRE(model.open());
    // Gauges that without their metadata would be counters.
    std::deque<UInt64Field> gauges;
    for (int i = 0; i < 700; ++i) gauges.emplace_back(model, std::to_string(i) + std::string(1000, 'x'));
    // Small ones may still fit where a large one did not.
    for (int i = 700; i < 1000; ++i) gauges.emplace_back(model, "small" + std::to_string(i));
    for (std::size_t i = 0; i < gauges.size(); ++i) gauges[i] = i;
    for (std::size_t i = 0; i < gauges.size(); ++i) CHECK(gauges[i].value() == i);
    const Published file(model);
    check_layout(file);
    constexpr std::size_t kMost = std::size_t{1} << 20U;
    CHECK(file.bytes().size() <= kMost);
    CHECK(file.bytes().size() >= kMost - 2 * 4096);
    const auto metadata = file.metadata();
    std::size_t published = 0;
    for (const Field& field : file.fields()) {
      if (field.label.starts_with("sys.")) continue;
      ++published;
      CHECK(find_metadata(metadata, field.label).kind == Kind::kGauge);
    }
    CHECK(published > 450);
    CHECK(errors.size() == gauges.size() - published);
    for (const Error& error : errors) {
      CHECK(error.kind == ErrorKind::kLimit);
      CHECK(error.text().find("several Models") != std::string::npos);
    }
    for (const auto& [name, series] : folded(model.paths())) CHECK(series.kind == Kind::kGauge);
  }
}

TEST_CASE("a file that cannot be made is told once, and the fields work") {
  struct Row {
    const char* what;
    std::string path;
    ErrorKind kind;
    int sys_errno;
  };
  const TemporaryFolder folder;
  folder.write("file", {});
  const Row rows[] = {
      {"a folder that is not there", folder / "none", ErrorKind::kNotFound, ENOENT},
      {"a folder that is a file", folder / "file", ErrorKind::kNotFound, ENOTDIR},
      {"a name that is too long", folder / std::string(300, 'x'), ErrorKind::kIo, ENAMETOOLONG}};
  for (const Row& row : rows) {
    CAPTURE(row.what);
    std::vector<Error> errors;
    auto options = telling(folder, errors);
    options.path = row.path;
    Model* told_in = nullptr;
    options.on_error = [&](const Error& error) {
      errors.push_back(error);
      CHECK(told_in->paths().empty());  // who is told may use the Model
    };
    Model model(options);
    told_in = &model;
    Counter hits(model, "hits");
    SharedCounter all(model, "all");
    StringField text(model, "text");
    Histogram histogram(model, "histogram");
    ++hits;
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].kind == row.kind);
    CHECK(errors[0].sys_errno == row.sys_errno);
    CHECK(errors[0].path.starts_with(row.path + '/'));
    ++all;
    text = "text";
    histogram.add(5);
    std::thread([&] {
      ++hits;
      ++all;
    }).join();
    Counter later(model, "later");
    later.incr(3);
    CHECK(hits.value() == 1);
    CHECK(all.value() == 2);
    CHECK(text.value() == "text");
    CHECK(histogram.p50() == 5);
    CHECK(later.value() == 3);
    const auto opened = model.open();
    REQUIRE_FALSE(opened);
    CHECK(opened.error().kind == row.kind);
    CHECK(opened.error().sys_errno == row.sys_errno);
    CHECK(model.paths().empty());
    const auto flushed = model.flush();
    REQUIRE_FALSE(flushed);
    CHECK(flushed.error().kind == row.kind);
    CHECK(errors.size() == 1);
  }
}

TEST_CASE("what open says is not told again") {
  const TemporaryFolder folder;
  std::vector<Error> errors;
  auto options = telling(folder, errors);
  options.path = folder / "none";
  Model model(options);
  Counter hits(model, "hits");
  for (int i = 0; i < 2; ++i) {
    const auto opened = model.open();
    REQUIRE_FALSE(opened);
    CHECK(opened.error().kind == ErrorKind::kNotFound);
  }
  ++hits;
  std::thread([&] { ++hits; }).join();
  CHECK(errors.empty());
}

TEST_CASE("without anybody to tell, it is one line on standard error") {
  const TemporaryFolder folder;
  const int kept = ::dup(STDERR_FILENO);
  const int file = ::open((folder / "errors").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ::dup2(file, STDERR_FILENO);
  {
    Model model({.path = folder / "none", .file_name = "a\nb"});
    Counter hits(model, "hits");
    ++hits;
    std::thread([&] { ++hits; }).join();
  }
  ::dup2(kept, STDERR_FILENO);
  ::close(kept);
  ::close(file);
  const auto bytes = sample::read(folder / "errors");
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  CHECK(text == "mmstats: " + (folder / "none") + "/a\\x0Ab: cannot be made: No such file or directory\n");
}

// ---- a Model's life

TEST_CASE("open makes the thread's file, and the shared one if there is any shared field") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  CHECK(model.paths().empty());
  CHECK(files_in(folder.path()) == 0);
  Counter hits(model, "hits");
  CHECK(model.paths().empty());
  CHECK(model.flush());
  REQUIRE(model.open());
  CHECK(model.paths().size() == 1);
  REQUIRE(model.open());
  CHECK(model.paths().size() == 1);
  SharedCounter all(model, "all");
  REQUIRE(model.open());
  CHECK(model.paths().size() == 2);
  std::thread([&] { REQUIRE(model.open()); }).join();
  CHECK(model.paths().size() == 3);
  CHECK(files_in(folder.path()) == 3);
}

TEST_CASE("a removed Model has no files, and its fields go on") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Counter hits(model, "hits");
  SharedCounter all(model, "all");
  StringField text(model, "text");
  hits.incr(5);
  all.incr(6);
  text = "text";
  CHECK(files_in(folder.path()) == 2);
  for (int i = 0; i < 2; ++i) {
    model.remove();
    CHECK(files_in(folder.path()) == 0);
    CHECK(model.paths().empty());
    ++hits;
    ++all;
    CHECK(text.value() == "text");
  }
  text = "more";
  std::thread([&] { hits.incr(100); }).join();
  Counter later(model, "later");
  later.incr(3);
  CHECK(hits.value() == 7);
  CHECK(all.value() == 8);
  CHECK(text.value() == "more");
  CHECK(later.value() == 3);
  CHECK(model.flush());
  CHECK_FALSE(model.open());
  CHECK(files_in(folder.path()) == 0);
}

TEST_CASE("remove leaves a file alone that is not the Model's") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Counter hits(model, "hits");
  ++hits;
  const auto path = Published::only_path(model);
  REQUIRE(::unlink(path.c_str()) == 0);
  sample::write(folder, path.substr(path.rfind('/') + 1), "somebody else's");
  model.remove();
  CHECK(is_there(path));
}

TEST_CASE("files go with their Model, unless they are to stay") {
  for (const bool goes : {true, false}) {
    const TemporaryFolder folder;
    auto options = published_in(folder);
    options.remove_at_exit = goes;
    {
      Model model(options);
      Counter hits(model, "hits");
      SharedCounter all(model, "all");
      hits.incr(5);
      ++all;
    }
    CHECK(files_in(folder.path()) == (goes ? 0 : 2));
    if (goes) continue;
    CHECK(Published(folder / (pid() + "-" + tid() + ".mmstats")).value("hits") == 5);
    // A Model in its place begins anew, in files of the same names.
    Model model(options);
    Counter hits(model, "hits");
    SharedCounter all(model, "all");
    ++hits;
    ++all;
    CHECK(files_in(folder.path()) == 2);
    CHECK(Published(folder / (pid() + "-" + tid() + ".mmstats")).value("hits") == 1);
  }
}

TEST_CASE("values can be written to disk") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Counter hits(model, "hits");
  SharedCounter all(model, "all");
  ++hits;
  ++all;
  CHECK(model.flush());
  CHECK(model.flush(Flush::kSync));
  CHECK(model.flush(Flush::kAsync));
}

TEST_CASE("a process can have any number of Models, and no two share a value") {
  const TemporaryFolder folder;
  constexpr std::uint64_t kModels =
      150;  // more than the tables of those that are fast, and than one more of them
  struct Everything : Model {
    explicit Everything(ModelOptions options) : Model(std::move(options)) {}
    Counter hits{*this, "hits"};
    SharedCounter all{*this, "all"};
    StringField text{*this, "text"};
    Histogram histogram{*this, "histogram"};
  };
  const auto options = [&](const std::string& name) {
    auto made = published_in(folder);
    made.file_name = name + "-{TID}";
    return made;
  };
  std::deque<Everything> models;
  const auto write = [](Everything& model, std::uint64_t i) {
    model.hits.incr(i);
    model.all.incr(i);
    model.text = std::to_string(i);
    model.histogram.add(static_cast<double>(i));
  };
  for (std::uint64_t i = 0; i < kModels; ++i) models.emplace_back(options(std::to_string(i)));
  for (std::uint64_t i = 0; i < kModels; ++i) write(models[i], i);
  std::thread([&] {
    for (std::uint64_t i = 0; i < kModels; ++i) write(models[i], i);
    for (std::uint64_t i = 0; i < kModels; ++i) CHECK(models[i].hits.value() == i);
  }).join();
  CHECK(files_in(folder.path()) == 3 * kModels);
  for (std::uint64_t i = 0; i < kModels; ++i) {
    CHECK(models[i].open());
    CHECK(models[i].hits.value() == i);
    CHECK(models[i].all.value() == 2 * i);
    CHECK(models[i].text.value() == std::to_string(i));
    CHECK(models[i].histogram.count() == 1);
    CHECK(folded(models[i].paths()).at("hits").total == 2.0 * static_cast<double>(i));
  }
  // A thread that begins takes over what another left.
  std::thread([&] { CHECK(models.back().hits.value() == kModels - 1); }).join();
  CHECK(files_in(folder.path()) == 3 * kModels);
  // Their places are free again, and a new one begins with nothing.
  for (int i = 0; i < 3; ++i) {
    models.pop_back();
    auto& next = models.emplace_back(options("next" + std::to_string(i)));
    CHECK(next.hits.value() == 0);
    next.hits.incr(100);
    CHECK(folded(next.paths()).at("hits").total == 100);
  }
}

TEST_CASE("Models that come and go leave nothing behind") {
  const TemporaryFolder folder;
  std::uint64_t mappings = 0;
  std::size_t descriptors = 0;
  for (int i = 0; i < 1000; ++i) {
    {
      Model model(published_in(folder));
      Counter hits(model, "hits");
      SharedCounter all(model, "all");
      StringField text(model, "text", {}, 255, "first");
      Histogram histogram(model, "histogram");
      for (int turn = 0; turn < 3; ++turn) {
        ++hits;
        ++all;
        histogram.add(i);
      }
      if (i % 100 == 0) std::thread([&] { ++hits; }).join();
      CHECK(hits.value() == 3);
      CHECK(all.value() == 3);
      CHECK(histogram.count() == 3);
      CHECK(histogram.min() == i);
      CHECK(text.value() == "first");
      if (i % 100 == 0) Published(model.paths()[0]);
    }
    if (i == 10) {
      mappings = lines_of("/proc/self/maps");
      descriptors = files_in("/proc/self/fd");
    }
  }
  CHECK(files_in(folder.path()) == 0);
  // Not even without a name.
  CHECK(lines_of("/proc/self/maps", folder.path()) == 0);
  CHECK(lines_of("/proc/self/maps") <= mappings + 20);
  CHECK(files_in("/proc/self/fd") == descriptors);
}

// ---- threads

TEST_CASE("a thread that begins takes over the file of one that ended") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Counter hits(model, "hits");
  StringField text(model, "text");
  ++hits;
  for (int i = 1; i <= 50; ++i) {
    std::int64_t thread = 0;
    std::thread([&] {
      ++hits;
      CHECK(hits.value() == static_cast<std::uint64_t>(i));
      text = std::to_string(i);
      thread = ::gettid();
      REQUIRE(model.paths().size() == 2);
      const Published file(model.paths()[1]);
      CHECK(file.value("text") == std::to_string(i));
      CHECK(file.value("sys.tid") == thread);
    }).join();
    const Published file(model.paths()[1]);
    CHECK(file.value("hits") == i);
    CHECK(file.value("text") == "");
    CHECK(file.value("sys.tid") == 0);
  }
  CHECK(hits.value() == 1);
  CHECK(folded(model.paths()).at("hits").total == 51);
}

TEST_CASE("fields may be added, files opened and values written at the same time") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Counter hits(model, "hits");
  constexpr int kThreads = 6;
  constexpr int kFields = 60;
  constexpr int kTimes = 50;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kFields; ++i) {
        const auto label = std::to_string(thread) + "." + std::to_string(i);
        Counter own(model, label, {.help = std::string(50, 'h')});
        SharedCounter shared(model, "shared." + label);
        for (int turn = 0; turn < kTimes; ++turn) {
          ++hits;
          ++own;
          ++shared;
        }
        if (i % 20 == 0) {
          CHECK(model.open());
          CHECK(model.flush(Flush::kAsync));
          CHECK(model.paths().size() <= kThreads + 1);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto paths = model.paths();
  for (const auto& path : paths) check_layout(Published(path));
  const auto series = folded(paths);
  CHECK(series.size() == 2 * kThreads * kFields + 1);
  for (const auto& [name, one] : series) {
    CHECK(one.total == (name == "hits" ? kThreads * kFields * kTimes : kTimes));
  }
}

TEST_CASE("an independent reader reads all of these files alike") { CHECK(SecondReader::get().agrees()); }

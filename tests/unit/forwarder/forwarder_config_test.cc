#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "mmstats/format.h"
#include "mmstats/metadata.h"
#include "mmstats/parse.h"
#include "plugin_pinba/forward/config.h"
#include "temporary_folder.h"

namespace {

using mmstats::forward::Config;
using mmstats::forward::load_config;
using mmstats::forward::read_config;

const std::vector<std::string> kGlobs{"/run/mmstats/*.mmstats", "/tmp/*.mmstats"};

auto read(const std::string& toml) { return read_config(toml, "file.toml", kGlobs); }

Config good(const std::string& toml) {
  auto config = read(toml);
  if (!config) FAIL(config.error().front());
  return std::move(*config);
}

std::string ledger(const std::string& group) {
  return good("[[group]]\nname = \"g\"\n" + group).groups.front().ledger;
}

}  // namespace

TEST_CASE("without any configuration there is one group with the default files") {
  const Config config = good("");
  CHECK(config.servers == std::vector<std::string>{"127.0.0.1"});
  CHECK(config.interval == std::chrono::seconds(10));
  CHECK(config.max_datagram == 1400);
  REQUIRE(config.groups.size() == 1);
  CHECK(config.groups[0].name == "mmstats");
  CHECK(config.groups[0].watch.globs == kGlobs);
  CHECK(config.groups[0].watch.stale == mmstats::Stale::kKeep);
}

constexpr const char* kAllKeys = R"toml(
server = ["pinba.example:30003", "[::1]:30002"]
server_kind = "classic"
spread = "by-script"
max_datagram = 8000
interval = 0.25
hostname = "web-1"
[[group]]
name = "web"
files = ["/srv/a-*.mmstats", "/srv/b-*.mmstats"]
stale = "remove"
max_files = 10
max_file_size = 65536
max_series = 1000
strip_prefix = "com.example"
aggregate = "none"
include = "web.*"
ignore = ["web\\.debug.*"]
tags = { dc = "fra" }
hostname = "h"
server_name = "s"
script_name = "p"
schema = "https"
status = 200
request_tags = { app = "shop" }
[[group.metric]]
match = "a\\.(.*)"
kind = "counter"
aggregate = "sum"
scale = 0.001
as = "timer"
hits = "\\1.hits"
tags = { metric = "", x = "\\1" }
status = "\\1"
script_name = "/\\1"
request_tags = { y = "\\0" }
[[group.metric]]
match = "b"
as = "request_field"
field = "ru_stime"
[[group.metric]]
match = "c"
as = "ignore"
)toml";

TEST_CASE("all keys are read") {
  const Config config = good(kAllKeys);
  CHECK(config.servers.size() == 2);
  CHECK(config.server_kind == mmstats::forward::ServerKind::kClassic);
  CHECK(config.spread == pinba::SenderOptions::Spread::kByScript);
  CHECK(config.max_datagram == 8000);
  CHECK(config.interval == std::chrono::milliseconds(250));
  CHECK(config.hostname == "web-1");
  REQUIRE(config.groups.size() == 1);
  const auto& group = config.groups[0];
  CHECK(group.watch.globs == std::vector<std::string>{"/srv/a-*.mmstats", "/srv/b-*.mmstats"});
  CHECK(group.watch.stale == mmstats::Stale::kRemove);
  CHECK(group.watch.discovery.max_files == 10);
  CHECK(group.watch.fold.max_file_size == 65536);
  CHECK(group.watch.fold.max_series == 1000);
  CHECK(group.tags == mmstats::forward::TagTexts{{"dc", "fra"}});
  CHECK(group.request.status == "200");
  CHECK(group.request.schema == "https");
  REQUIRE(group.metrics.size() == 3);
  CHECK(group.metrics[0].hits == "\\1.hits");
  CHECK(group.metrics[0].tags.size() == 2);
  CHECK(group.metrics[0].request.script_name == "/\\1");
  CHECK(group.metrics[1].field == mmstats::forward::RequestField::kRuStime);
  CHECK(group.metrics[2].as == mmstats::forward::As::kIgnore);
}

TEST_CASE("every mistake is named with file, line, key and what is allowed") {
  const std::string group = "[[group]]\nname = \"g\"\n";
  const std::string metric = group + "[[group.metric]]\nmatch = \"a(.*)\"\n";
  const std::vector<std::pair<std::string, std::string>> rows{
      {"a = \n", "file.toml:1: this is not TOML: "},
      {"\nservr = \"x\"",
       "file.toml:2: servr: there is no such key here; there are group, hostname, interval, "
       "max_datagram, server, server_kind, spread"},
      {"server = \"h:0x\"", "file.toml:1: server: "},
      {"server = [\"a\", \"b\", \"a\"]", "file.toml:1: server: 'a' is there twice"},
      {"server = \"a, a:30002\"", "file.toml:1: server: 'a:30002' is there twice"},
      {"server = \"a;b\"", "file.toml:1: server: 'a;b' is not a Pinba server"},
      {"server = \",\"", "file.toml:1: server: no Pinba server is given"},
      {"server = []", "file.toml:1: server: an array is not possible, it takes a text, or an array of texts"},
      {"server_kind = \"pinba\"",
       "file.toml:1: server_kind: \"pinba\" is not possible, it takes one of \"pinba2\", \"classic\", "
       "\"original-classic\", "
       "\"collectd\""},
      {"spread = 1", "file.toml:1: spread: 1 is not possible, it takes one of \"all\", \"by-script\""},
      {"interval = 0",
       "file.toml:1: interval: 0 is not possible, it takes one number of seconds, 0.001 or more, without "
       "quotes"},
      {"interval = nan", "file.toml:1: interval: nan is not possible"},
      {"interval = \"10\"", "file.toml:1: interval: \"10\" is not possible"},
      {"max_datagram = 100",
       "file.toml:1: max_datagram: 100 is not possible, it takes a whole number from 256 to 65507"},
      {"max_datagram = 1400.5", "file.toml:1: max_datagram: 1400.5 is not possible"},
      {"hostname = \"\"", "file.toml:1: hostname: \"\" is not possible, it takes a text that is not empty"},
      {"hostname = \"a\\u0000b\"", "file.toml:1: hostname: "},
      {"group = 1", "file.toml:1: group: 1 is not possible, it takes sections, each headed [[group]]"},
      {"[group]\nname = \"x\"", "file.toml:1: group: a table is not possible"},
      {"[[group]]\nfiles = \"/a\"", "file.toml:1: [[group]], name: is missing: a group needs one"},
      {group + group, "file.toml:3: [[group]] \"g\", name: there is another group with this name"},
      {group + "files = \"a/*\"",
       "file.toml:3: [[group]] \"g\", files: \"a/*\" is not possible, it takes patterns of files in quotes "
       "that begin with \"/\""},
      {group + "stale = true",
       "file.toml:3: [[group]] \"g\", stale: true is not possible, it takes one of \"keep\", \"remove\""},
      {group + "max_files = 0", "file.toml:3: [[group]] \"g\", max_files: 0 is not possible"},
      {group + "include = \"(\"", "file.toml:3: [[group]] \"g\", include: pattern \"(\": missing )"},
      {group + "status = \"\\\\1\"",
       "file.toml:3: [[group]] \"g\", status: \"\\1\" is not possible, it takes a whole "
       "number from 0 to 65535"},
      {group + "status = 70000", "file.toml:3: [[group]] \"g\", status: 70000 is not possible"},
      {group + "tags = \"x\"",
       "file.toml:3: [[group]] \"g\", tags: \"x\" is not possible, it takes a table like"},
      {group + "tags = { a = 1 }",
       "file.toml:3: [[group]] \"g\", tags: a = 1 is not possible, it takes a table like"},
      {group + "tags = { a = \"\" }", "file.toml:3: [[group]] \"g\", tags: a = \"\" is not possible"},
      {group + "[[group.metric]]\nas = \"timer\"",
       "file.toml:3: [[group]] \"g\", [[group.metric]], match: is missing"},
      {group + "[[group.metric]]\nmatch = \"(\"",
       "file.toml:4: [[group]] \"g\", [[group.metric]] \"(\", match: \"(\" is not possible: missing )"},
      {metric + "kind = \"histogram\"",
       "file.toml:5: [[group]] \"g\", [[group.metric]] \"a(.*)\", kind: \"histogram\" is not possible, it "
       "takes one of \"counter\""},
      {metric + "scale = 0", "scale: 0 is not possible, it takes a number above 0"},
      {metric + "scale = inf", "scale: inf is not possible"},
      {metric + "kind = \"counter\"\naggregate = \"max\"",
       "file.toml:6: [[group]] \"g\", [[group.metric]] \"a(.*)\", aggregate: "},
      {metric + "as = \"request_field\"", "field: is missing"},
      {metric + "field = \"ru_utime\"", "field: is for as = \"request_field\""},
      {metric + "as = \"request_field\"\nfield = \"size\"",
       "field: \"size\" is not possible, it takes one of \"document_size\""},
      {metric + "as = \"ignore\"\ntags = { a = \"b\" }", "tags: is for as = \"timer\""},
      {metric + "hits = \"\\\\2\"", "hits: \"\\2\" is not possible with this pattern"},
      {metric + "tags = { a = \"\\\\2\" }", "tags: \"\\2\" is not possible with this pattern"},
      {metric + "status = \"\\\\2\"", "status: \"\\2\" is not possible with this pattern"},
      {metric + "request_tags = { a = \"\\\\2\" }",
       "request_tags: \"\\2\" is not possible with this pattern"},
      {metric + "script_name = \"\\\\2\"", "script_name: \"\\2\" is not possible with this pattern"},
      {group + "keep = 1",
       "file.toml:3: [[group]] \"g\", keep: 1 is not possible, it takes names of dimensions"},
      {group + "drop = [\"a\", \"le\"]", "drop: an array is not possible, it takes names of dimensions"},
      {metric + "drop = true", "[[group.metric]] \"a(.*)\", drop: true is not possible"},
      {metric + "where = \"x\"", "where: \"x\" is not possible, it takes a table like { method = "},
      {metric + "where = { a = 1 }", "where: a = 1 is not possible, it takes the name of a dimension"},
      {metric + "where = { a = \"(\" }", "where: a = \"(\" is not possible, it takes the name"},
      {metric + "where = { a-b = \"x\" }", "\"a-b\" is no such name"},
      {metric + "family = \"b\"", "family: takes the place of match: give one of the two"},
      {metric + "tags = { x = \"%{\" }", "tags: \"%{\" is not possible with this pattern"},
      {group + "[[group.metric]]\nfamily = \"(\"",
       "file.toml:4: [[group]] \"g\", [[group.metric]] \"(\", family: \"(\" is not possible: missing )"},
      {group + "[[group.metric]]\nfamily = \"\"", "family: \"\" is not possible, it takes a text"},
      {group + "[[group.metric]]\nmatch = \"(?P<le>.)\"\nstatus = \"%{le}\"",
       "status: \"%{le}\" is not possible with this pattern"},
      {group + "[[group.metric]]\nmatch = \"(?P<a>.)\"\nstatus = \"%{b}\"",
       "status: \"%{b}\" is not possible with this pattern"},
      {metric + "pattern = 1",
       "file.toml:5: [[group]] \"g\", [[group.metric]] \"a(.*)\", pattern: there is no such key here; there "
       "are aggregate, as, "},
  };
  for (const auto& [toml, want] : rows) {
    CAPTURE(toml);
    const auto config = read(toml);
    REQUIRE_FALSE(config);
    CAPTURE(config.error().front());
    CHECK(config.error().front().find(want) != std::string::npos);
    CHECK(config.error().size() == 1);
  }
}

TEST_CASE("all mistakes are named at once") {
  const auto config = read("interval = 0\nspread = \"x\"\n[[group]]\nname = \"g\"\nfoo = 1\n");
  REQUIRE_FALSE(config);
  CHECK(config.error().size() == 3);
  // Groups without a name are not taken for the same.
  const auto nameless = read("[[group]]\n[[group]]\n");
  REQUIRE_FALSE(nameless);
  CHECK(nameless.error().size() == 2);
}

TEST_CASE("families, values and dimensions of a metric are read, and dimensions may be asked for in texts") {
  const auto config = good(R"toml([[group]]
name = "g"
drop = "method"
[[group.metric]]
family = "s(.)nt"
where = { status = "5..", method = "GET" }
keep = ["status"]
status = "%{status}"
tags = { code = "%{status}", x = "\\1" }
[[group.metric]]
match = 'code\.(?P<code>\d+)'
hits = "hits.%{code}"
)toml");
  const auto& rules = config.groups[0].rules;
  const auto bind = [&](std::string_view label) {
    mmstats::Field field;
    field.label = label;
    field.type_text = "Q";
    field.type = mmstats::parse_type("Q").value();
    field.buffered = true;
    return rules.bind(label, field, mmstats::find_metadata("sent\tcounter\t\t\t\tmethod status\n", label));
  };
  const auto sent = bind("sent.GET.503");
  CHECK(sent.rule == 0);
  CHECK(sent.name == "sent.503");
  CHECK(sent.groups == std::vector<std::string>{"e"});
  CHECK(sent.dimensions == std::vector<mmstats::Dimension>{{"status", "503"}});
  CHECK(bind("sent.PUT.503").rule == mmstats::kNoRule);
  CHECK(bind("sent.PUT.503").name == "sent.503");
  CHECK(bind("code.404").dimensions == std::vector<mmstats::Dimension>{{"code", "404"}});
}

TEST_CASE("a file that cannot be read is named with the reason") {
  const TemporaryFolder folder;
  const auto missing = load_config(folder / "none.toml", kGlobs);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().front() == folder / "none.toml" + ": cannot be opened: No such file or directory");
  const auto no_file = load_config(folder.path(), kGlobs);
  REQUIRE_FALSE(no_file);
  CHECK(no_file.error().front() == folder.path() + ": is no file");
}

TEST_CASE("braces in files are alternatives, and a folder is no pattern") {
  using Globs = std::vector<std::string>;
  const auto globs = [](const std::string& files) {
    return good("[[group]]\nname = \"g\"\nfiles = " + files + "\n").groups.front().watch.globs;
  };
  CHECK(globs("\"/srv/{web,db}-*.mmstats\"") == Globs{"/srv/web-*.mmstats", "/srv/db-*.mmstats"});
  CHECK(globs("[\"/a/{x,y{1,2}}\", \"/b\"]") == Globs{"/a/x", "/a/y1", "/a/y2", "/b"});
  CHECK(globs("\"/srv/{web}\"") == Globs{"/srv/{web}"});
  const auto mistakes = [](const std::string& files) {
    const auto config = read("[[group]]\nname = \"g\"\nfiles = " + files + "\n");
    REQUIRE_FALSE(config);
    return config.error();
  };
  std::string many = "\"/";
  for (int i = 0; i < 10; ++i) many += "{a,b}";  // 1024
  const auto too_many = mistakes(many + "\"");
  REQUIRE(too_many.size() == 1);
  CHECK(too_many[0].starts_with("file.toml:3: [[group]] \"g\", files: "));
  CHECK(too_many[0].find("1000") != std::string::npos);

  const TemporaryFolder folder;
  const auto no_pattern = mistakes("[\"" + folder.path() + "\", \"/b/*\"]");
  REQUIRE(no_pattern.size() == 1);
  CHECK(no_pattern[0].starts_with("file.toml:3: [[group]] \"g\", files: "));
  CHECK(no_pattern[0].find(folder / "*.mmstats") != std::string::npos);
}

TEST_CASE("a folder that is missing is told only where somebody named it") {
  CHECK(!good("").groups.front().watch.tell_missing_folders);
  CHECK(!good("[[group]]\nname = \"g\"\n").groups.front().watch.tell_missing_folders);
  CHECK(good("[[group]]\nname = \"g\"\nfiles = \"/none/*.mmstats\"\n")
            .groups.front()
            .watch.tell_missing_folders);
}

TEST_CASE("the ledger goes on as long as files, patterns and kinds are the same") {
  const std::string plain = ledger("files = \"/a\"\n[[group.metric]]\nmatch = \"x\"\n");
  for (const auto* same : {"tags = { a = \"b\" }\nstatus = 200\nserver_name = \"s\"\nfiles = \"/a\"\n"
                           "[[group.metric]]\nmatch = \"x\"\ntags = { a = \"c\" }\nas = \"request_field\"\n"
                           "field = \"ru_utime\"\n"}) {
    // A request field and tags take nothing from the ledger, which has the same series.
    const std::string text = same;
    auto without_tags = text;
    without_tags.erase(without_tags.find("tags = { a = \"c\" }\n"), 19);
    CHECK(ledger(without_tags) == plain);
  }
  for (const auto* other : {"files = \"/b\"\n[[group.metric]]\nmatch = \"x\"\n",
                            "files = \"/a\"\n[[group.metric]]\nmatch = \"y\"\n",
                            "files = \"/a\"\n[[group.metric]]\nmatch = \"x\"\nscale = 2\n",
                            "files = \"/a\"\n[[group.metric]]\nmatch = \"x\"\nas = \"ignore\"\n",
                            "files = \"/a\"\nstrip_prefix = \"p\"\n[[group.metric]]\nmatch = \"x\"\n",
                            "files = \"/a\"\nmax_files = 5\n[[group.metric]]\nmatch = \"x\"\n",
                            "files = \"/a\"\nmax_file_size = 5\n[[group.metric]]\nmatch = \"x\"\n",
                            "files = \"/a\"\n[[group.metric]]\nmatch = \"x\"\nignore = true\n",
                            "files = \"/a\"\nkeep = \"x\"\n[[group.metric]]\nmatch = \"x\"\n",
                            "files = \"/a\"\ndrop = \"x\"\n[[group.metric]]\nmatch = \"x\"\n",
                            "files = \"/a\"\n[[group.metric]]\nfamily = \"x\"\n",
                            "files = \"/a\"\n[[group.metric]]\nmatch = \"x\"\ndrop = \"x\"\n",
                            "files = \"/a\"\n[[group.metric]]\nmatch = \"x\"\nwhere = { x = \"y\" }\n",
                            "files = \"/a\"\nmax_series = 5\n[[group.metric]]\nmatch = \"x\"\n"}) {
    CHECK(ledger(other) != plain);
  }
}

TEST_CASE("the configuration that is shipped is all defaults, and good with every line in use") {
  std::ifstream file(PINBA_TOML);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  REQUIRE_FALSE(text.empty());
  CHECK(good(text).groups.front().ledger == good("").groups.front().ledger);
  // Comments of code begin with "#", those of prose with "# ".
  std::string all;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    std::string line = text.substr(at, end - at);
    if (line.starts_with("#") && !line.starts_with("# ")) line.erase(0, 1);
    all += line + "\n";
    at = end + 1;
  }
  const Config config = good(all);
  CHECK(config.groups.size() == 2);
  CHECK(config.groups[0].metrics.size() > 3);
}

TEST_CASE("a configuration is a file of at most 4 MiB") {
  constexpr std::size_t kMost = std::size_t{4} << 20U;
  const TemporaryFolder folder;
  const auto path = folder / "large.toml";
  std::string text = "interval = 3\n#";
  text.resize(kMost, '#');
  std::ofstream(path, std::ios::binary) << text;
  const auto config = load_config(path, kGlobs);
  REQUIRE(config);
  CHECK(config->interval == std::chrono::seconds(3));
  std::ofstream(path, std::ios::binary) << text << '#';
  const auto refused = load_config(path, kGlobs);
  REQUIRE(!refused);
  CHECK(refused.error() == std::vector<std::string>{path + ": is larger than 4194304 bytes"});

  // Nor is more of it read: nearly all of this one is a hole.
  REQUIRE(::truncate(path.c_str(), off_t{512} << 20U) == 0);
  const auto most_memory = [] {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;  // KiB
  };
  const auto before = most_memory();
  CHECK(!load_config(path, kGlobs));
  CHECK(most_memory() < before + (128 << 10));
}

TEST_CASE("a FIFO or a folder as a configuration is refused, and nobody waits for it") {
  const TemporaryFolder folder;
  const auto path = folder / "fifo.toml";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  for (const auto& name : {path, folder.path()}) {
    const auto refused = load_config(name, kGlobs);
    REQUIRE(!refused);
    CHECK(refused.error() == std::vector<std::string>{name + ": is no file"});
  }
}

TEST_CASE("groups whose names can be no dimensions are groups as before, with a warning") {
  const auto config = good(
      "[[group]]\nname = 'g'\n[[group.metric]]\nmatch = 'a\\.(?P<le>.*)'\n"
      "tags = { le = '\\1' }\n");
  REQUIRE(config.groups[0].warnings.size() == 1);
  CHECK(config.groups[0].warnings[0].find(":4: [[group]] \"g\", [[group.metric]]") != std::string::npos);
  CHECK(config.groups[0].warnings[0].find("\"le\"") != std::string::npos);
}

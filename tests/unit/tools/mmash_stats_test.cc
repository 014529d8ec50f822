// mmash's JSON API, without sockets: over the files of the corpus, and over made ones.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "made_file.h"
#include "sample.h"
#include "temporary_folder.h"
#include "tools/mmash/aggregate.h"
#include "tools/mmash/files.h"
#include "tools/mmash/stats.h"

using namespace mmash;
using nlohmann::json;

namespace {

// All pieces.
std::string whole(Response response) {
  std::string text = std::move(response.body);
  while (response.more) {
    const Piece piece = response.more();
    text += piece.text;
    if (piece.last) response.more = nullptr;
  }
  return text;
}

struct Api {
  std::vector<std::string> globs;
  Files files;
  Stats stats;

  explicit Api(const std::string& glob, std::size_t piece = Stats::kPiece)
      : globs{glob}, files(globs), stats(files, globs, piece) {}

  Response get(const std::string& target) {
    Request request;
    REQUIRE(read_target(target, request));
    if (request.path == "/stats/") return stats.labels(request);
    if (request.path.starts_with("/stats/")) return stats.values(request.path.substr(7), request);
    return stats.files(request.path.substr(7));
  }
  std::string text(const std::string& target) {
    auto response = get(target);
    CHECK(response.status == 200);
    return whole(std::move(response));
  }
  std::string refused(const std::string& target) {
    const auto response = get(target);
    CHECK(response.status == 400);
    return json::parse(response.body)["error"];
  }
};

// What the original reader says of the corpus: label -> values in the order of the files, as JSON texts.
std::map<std::string, std::vector<std::string>> wanted() {
  std::vector<boost::filesystem::path> paths;
  for (const auto& entry : boost::filesystem::directory_iterator(TEST_DATA "/corpus")) {
    if (entry.path().extension() == ".json") paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  REQUIRE(paths.size() == 9);
  std::map<std::string, std::vector<std::string>> values;
  for (const auto& path : paths) {
    const json content = json::parse(std::ifstream(path.native()));
    std::map<std::string, json> by_label;
    for (const auto& field : content["fields"]) {
      const json value = field["value"] == "nan" ? json() : field["value"];  // no value
      values[field["label"]].push_back(value.dump(-1, ' ', true));
    }
  }
  return values;
}

std::string listed(const std::vector<std::string>& texts) {
  std::string all = "[";
  for (const auto& text : texts) all += (all.size() == 1 ? "" : ", ") + text;
  return all + "]";
}

std::string wanted_text(const std::string& prefix) {
  std::string all = "{";
  for (const auto& [label, values] : wanted()) {
    if (label.starts_with(prefix))
      all += (all.size() == 1 ? "" : ", ") + json_string(label) + ": " + listed(values);
  }
  return all + "}";
}

struct Made {
  TemporaryFolder folder;
  void put(const std::string& name, const MadeFile& file) const { folder.write(name, file.padded()); }
  [[nodiscard]] std::string glob() const { return folder / "*.mmstats"; }
};

}  // namespace

TEST_CASE("labels and values of the corpus are what the original reader says") {
  Api api(TEST_DATA "/corpus/*.mmstats");
  std::vector<std::string> labels;
  for (const auto& [label, values] : wanted()) labels.push_back(json_string(label));
  CHECK(api.text("/stats/") == "{\"stats\": " + listed(labels) + "}");
  for (const char* prefix : {"", "app.", "every.", "web.stats.status.4XX", "a label", "big.group1", "none"}) {
    CAPTURE(prefix);
    CHECK(whole(api.stats.values(prefix, {})) == wanted_text(prefix));
  }
}

TEST_CASE("a field that its writer removed is not there, and is again when it comes back") {
  TemporaryFolder folder;
  const auto write = [&](const char* type) {
    const auto values = sample::number(7) + sample::number(0);
    sample::write(folder, "a.mmstats",
                  sample::file(sample::field("web.GET", type, 1, values) + sample::counter("web.PUT", 8)));
  };
  Api api(folder / "*.mmstats");
  write(" Q");
  CHECK(api.text("/stats/") == R"({"stats": ["web.GET", "web.PUT"]})");
  write("\tQ");
  CHECK(api.text("/stats/") == R"({"stats": ["web.PUT"]})");
  CHECK(api.text("/stats/web") == R"({"web.PUT": [8]})");
  write(" Q");
  CHECK(api.text("/stats/web?aggr=sum") == R"({"web.GET": 7, "web.PUT": 8})");
}

TEST_CASE("an answer in many small pieces is the same") {
  Api at_once(TEST_DATA "/corpus/*.mmstats");
  const auto labels = at_once.text("/stats/");
  const auto values = whole(at_once.stats.values("", {}));
  for (const std::size_t piece : {1U, 300U, 2'000U, 50'000U}) {
    CAPTURE(piece);
    Api api(TEST_DATA "/corpus/*.mmstats", piece);
    CHECK(api.text("/stats/app?aggr=one") == at_once.text("/stats/app?aggr=one"));
    CHECK(whole(api.stats.values("app.", {})) == wanted_text("app."));
    if (piece < 2'000) continue;  // it would take as long as it can
    CHECK(api.text("/stats/") == labels);
    CHECK(whole(api.stats.values("", {})) == values);
  }
}

TEST_CASE("a label's values that are too much for a piece go on in the next, at the next file") {
  const Made made;
  std::vector<std::string> texts;
  for (int i = 0; i < 9; ++i) {
    const std::string value(50, static_cast<char>('a' + i));
    made.put(std::to_string(i) + ".mmstats",
             MadeFile().text("z", value, 60).text("b", value, 60).text("c", value, 60));
    texts.push_back("\"" + value + "\"");
  }
  const auto want = listed(texts);
  for (std::size_t piece = 1; piece < 3'000; piece += 97) {
    CAPTURE(piece);
    Api api(made.glob(), piece);
    CHECK(whole(api.stats.values("", {})) ==
          "{\"b\": " + want + ", \"c\": " + want + ", \"z\": " + want + "}");
  }
}

TEST_CASE("files that come and go between two pieces leave an answer whole") {
  const Made made;
  for (const char* name : {"1", "3", "5"}) {
    made.put(std::string(name) + ".mmstats", MadeFile().text("a", name, 400).text("b", name, 400));
  }
  Api api(made.glob(), 100);
  auto response = api.stats.values("", {});
  REQUIRE(response.more);
  CHECK(response.body == R"({"a": ["1")");
  made.put("0.mmstats", MadeFile().text("a", "0", 4).text("Z", "0", 4));
  made.put("2.mmstats", MadeFile().text("a", "2", 4));
  boost::filesystem::remove(made.folder / "3.mmstats");
  boost::filesystem::remove(made.folder / "5.mmstats");
  CHECK(whole(std::move(response)) == R"({"a": ["1", "2"], "b": ["1"]})");

  response = api.stats.values("a", {});
  for (const char* name : {"0", "1", "2"})
    boost::filesystem::remove(made.folder / (name + std::string(".mmstats")));
  CHECK(json::parse(whole(std::move(response))).size() == 1);
}

TEST_CASE("exact takes one label, any non-empty value of it does, and an empty one does not") {
  const Made made;
  made.put("a.mmstats",
           MadeFile().buffered("hits", "Q", std::uint64_t{1}).buffered("hits.more", "Q", std::uint64_t{2}));
  Api api(made.glob());
  const std::string all = R"({"hits": [1], "hits.more": [2]})";
  CHECK(api.text("/stats/hits") == all);
  CHECK(api.text("/stats/hits?exact=") == all);
  CHECK(api.text("/stats/hits?exact=1") == R"({"hits": [1]})");
  CHECK(api.text("/stats/hits?exact=0") == R"({"hits": [1]})");
  CHECK(api.text("/stats/hit?exact=1") == "{}");
  CHECK(api.text("/stats/nothing") == "{}");
}

TEST_CASE("labels with slashes, quotes and what is not UTF-8 can be asked for") {
  const Made made;
  made.put("a.mmstats", MadeFile()
                            .buffered("a/b \"c\"?#", "Q", std::uint64_t{1})
                            .buffered("bad\xFF", "Q", std::uint64_t{2})
                            .buffered(std::string_view("nul\0x", 5), "Q", std::uint64_t{3}));
  Api api(made.glob());
  CHECK(api.text("/stats/a/b%20%22c%22%3F%23") == R"({"a/b \"c\"?#": [1]})");
  CHECK(api.text("/stats/bad%FF?exact=1") == R"({"bad\ufffd": [2]})");
  CHECK(api.text("/stats/nul%00x") == R"({"nul\u0000x": [3]})");
}

TEST_CASE("aggregations are those of the original, in Python") {
  constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Made made;
  const auto put = [&](const char* name, std::uint64_t u, std::int64_t s, double d, bool b, int z, double n) {
    made.put(name, MadeFile()
                       .buffered("u", "Q", u)
                       .unbuffered("s", "q", s)
                       .buffered("d", "d", d)
                       .unbuffered("b", "?", b)
                       .buffered("z", "i", z)
                       .buffered("n", "d", n)
                       .buffered("v", "d", nan)
                       .unbuffered("pair", "2B", std::uint16_t{0x0201})
                       .unbuffered("none", "2x", std::uint16_t{0})
                       .text("t", name, 20));
  };
  put("1.mmstats", kMax, kMin, 0.5, true, 0, 1.0);
  put("2.mmstats", kMax, kMin, 0.0, false, 0, nan);
  put("3.mmstats", 1, 7, 1e300, true, 0, 3.0);
  Api api(made.glob());
  const struct {
    const char* label;
    const char* aggr;
    const char* value;  // null: 400
  } rows[] = {
      {"u", "sum", "36893488147419103231"},
      {"u", "avg", "1.2297829382473034e+19"},
      {"u", "min", "1"},
      {"u", "max", "18446744073709551615"},
      {"u", "one", "18446744073709551615"},
      {"u", "nonzero-min", "1"},
      {"s", "sum", "-18446744073709551609"},
      {"s", "min", "-9223372036854775808"},
      {"s", "max", "7"},
      {"d", "sum", "1e+300"},
      {"d", "min", "0.0"},
      {"d", "nonzero-min", "0.5"},
      {"d", "one", "0.5"},
      {"b", "sum", "2"},
      {"b", "avg", "0.6666666666666666"},
      {"b", "max", "true"},
      {"b", "min", "false"},
      {"b", "nonzero-avg", "1.0"},
      {"z", "sum", "0"},
      {"z", "avg", "0.0"},
      {"z", "nonzero-min", "0"},
      {"z", "nonzero-avg", "0.0"},
      {"n", "sum", "4.0"},
      {"n", "avg", "2.0"},
      {"n", "min", "1.0"},
      {"n", "max", "3.0"},
      {"v", "one", "null"},
      {"v", "sum", "null"},
      {"v", "avg", "null"},
      {"v", "nonzero-avg", "null"},
      {"v", "nonzero-min", "null"},
      {"t", "one", "\"1.mmstats\""},
      {"t", "max", nullptr},
      {"t", "sum", nullptr},
      {"pair", "one", "[1, 2]"},
      {"pair", "min", nullptr},
      {"none", "one", "null"},
      {"none", "avg", nullptr},
      {"u", "median", nullptr},
      {"u", "SUM", nullptr},
  };
  for (const auto& row : rows) {
    CAPTURE(row.label);
    CAPTURE(row.aggr);
    const std::string target = "/stats/" + std::string(row.label) + "?exact=1&aggr=" + row.aggr;
    if (row.value != nullptr) {
      CHECK(api.text(target) == "{\"" + std::string(row.label) + "\": " + row.value + "}");
    } else {
      CHECK(api.refused(target).find("\"" + std::string(row.aggr) + "\"") != std::string::npos);
    }
  }
  // One value that does not fit is told before anything is sent, by its name, whatever the order.
  CHECK(api.refused("/stats/n?aggr=sum").find("label \"none\"") == 0);
  CHECK(api.text("/stats/u?aggr=") == "{\"u\": [18446744073709551615, 18446744073709551615, 1]}");
}

TEST_CASE("a glob chooses files, and one that climbs out is refused") {
  const Made made;
  made.put("a.mmstats", MadeFile().buffered("x", "Q", std::uint64_t{1}));
  made.put("b.mmstats", MadeFile().buffered("x", "Q", std::uint64_t{2}).buffered("y", "Q", std::uint64_t{2}));
  made.put("empty.mmstats", MadeFile());
  made.put("other.txt", MadeFile().buffered("x", "Q", std::uint64_t{3}));
  Api api(made.glob());
  CHECK(api.text("/stats/x") == R"({"x": [1, 2]})");
  CHECK(api.text("/stats/x?glob=b*") == R"({"x": [2]})");
  CHECK(api.text("/stats/x?glob=*") == R"({"x": [1, 2]})");
  CHECK(api.text("/stats/?glob=a*") == R"({"stats": ["x"]})");
  CHECK(api.text("/stats/x?glob=other.txt") == "{}");
  CHECK(api.text("/files/") ==
        "{\"files\": [\"" + (made.folder / "a.mmstats") + "\", \"" + (made.folder / "b.mmstats") + "\"]}");
  CHECK(api.text("/files/a*") == "{\"files\": [\"" + (made.folder / "a.mmstats") + "\"]}");
  CHECK(api.text("/files/none") == R"({"files": []})");
  for (const char* target :
       {"/stats/x?glob=../*", "/stats/?glob=/etc/*", "/stats/x?glob=%00", "/files/..%2F*", "/files/[a"}) {
    CAPTURE(target);
    CHECK(api.refused(target).find("glob") == 0);
  }
}

TEST_CASE("bad files hide no good ones") {
  const Made made;
  made.put("b.mmstats", MadeFile().buffered("x", "Q", std::uint64_t{1}));
  made.put("c.mmstats", MadeFile().buffered("x", "Q", std::uint64_t{2}).raw("\x05"));
  for (const auto& entry : boost::filesystem::directory_iterator(TEST_DATA "/bad")) {
    // Not Boost's copy_file(): between file systems some kernels refuse what it asks for.
    made.folder.write("a" + entry.path().filename().native(), sample::read(entry.path().native()));
  }
  REQUIRE(::mkfifo((made.folder / "fifo.mmstats").c_str(), 0600) == 0);
  boost::filesystem::create_symlink("/etc/passwd", made.folder / "link.mmstats");
  Api api(made.glob());
  CHECK(api.text("/stats/x?exact=1") == R"({"x": [1, 2]})");
  const json labels = json::parse(api.text("/stats/"));
  CHECK(std::ranges::is_sorted(labels["stats"].get<std::vector<std::string>>()));
}

TEST_CASE("many files need many pieces of their list") {
  const Made made;
  std::set<std::string> want;
  const std::string tail(200, 'n');
  for (int i = 0; i < 700; ++i) {
    made.put(std::to_string(i) + tail + ".mmstats", MadeFile().buffered("x", "Q", std::uint64_t{1}));
    want.insert(made.folder / (std::to_string(i) + tail + ".mmstats"));
  }
  Api api(made.glob());
  const auto list = json::parse(api.text("/files/"))["files"].get<std::vector<std::string>>();
  CHECK(list == std::vector<std::string>(want.begin(), want.end()));
}

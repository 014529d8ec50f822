// mmash's answers by path, without sockets: what must hold of all of them, and of files that go.
#include <doctest/doctest.h>
#include <unistd.h>

#include <boost/filesystem.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "made_file.h"
#include "sample.h"
#include "temporary_folder.h"
#include "tools/mmash/site.h"

using namespace mmash;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

struct Served {
  TemporaryFolder folder;
  std::vector<std::string> complaints;
  Site site;

  Served()
      : site({folder / "*.mmstats"}, mmstats::Rules{}, HostNames({}), page(), {},
             [this](std::string_view text) { complaints.emplace_back(text); }) {}

  Page page() const {
    boost::filesystem::create_directory(folder / "dygraphs");
    for (const char* name :
         {"index.html", "mmash.js", "secret.txt", "dygraphs/dygraph.min.js", "dygraphs/dygraph.min.css"}) {
      sample::write(folder, name, name);
    }
    auto loaded = Page::load(folder.path(), folder.path());
    REQUIRE(loaded);
    return std::move(*loaded);
  }
  Response get(const std::string& target, const std::string& host = "localhost") {
    Request request;
    REQUIRE(read_target(target, request));
    request.host = host;
    request.server_address = "127.0.0.1";
    return site.answer(request);
  }
  // Descriptors of files below the folder that have no name any more.
  [[nodiscard]] int unnamed() const {
    int count = 0;
    for (const auto& entry : boost::filesystem::directory_iterator("/proc/self/fd")) {
      boost::system::error_code gone;
      const auto to = boost::filesystem::read_symlink(entry.path(), gone).native();
      count += to.starts_with(folder.path()) && to.ends_with("(deleted)") ? 1 : 0;
    }
    return count;
  }
};

}  // namespace

TEST_CASE("paths lead to answers, and others to 404") {
  Served served;
  const struct {
    const char* target;
    unsigned status;
  } rows[] = {
      {"/", 200},
      {"/static/mmash.js", 200},
      {"/static/dygraph.min.js", 200},
      {"/static/dygraph.min.css", 200},
      {"/static/secret.txt", 404},
      {"/static/index.html", 404},
      {"/static/", 404},
      {"/static/../secret.txt", 404},
      {"/static/%2e%2e/secret.txt", 404},
      {"/static//mmash.js", 404},
      {"/index.html", 404},
      {"//", 404},
      {"/etc/passwd", 404},
      {"/graph/", 302},
      {"/graph", 302},
      {"/stats", 308},
      {"/files", 308},
      {"/series", 308},
      {"/series/", 200},
      {"/series/x", 404},
      {"/table/", 404},
      {"/table/x", 404},
      {"/stats/", 200},
      {"/stats/x", 200},
      {"/files/", 200},
      {"/live/series", 200},
      {"/live/values", 200},
      {"/live/history", 200},
      {"/live/history?ids=0-9&from=1.5", 200},
      {"/live/history?ids=x", 400},
      {"/live/history?from=x", 400},
      {"/live/processes", 200},
      {"/live/slow", 200},
      {"/slow", 404},
      {"/live/", 404},
      {"/metrics", 200},
      {"/metrics/", 404},
      {"/healthz", 200},
  };
  for (const auto& row : rows) {
    CAPTURE(row.target);
    const auto response = served.get(row.target);
    CHECK(response.status == row.status);
    if (row.status == 404) CHECK(json::parse(response.body).contains("error"));
    CHECK(served.get(row.target, "evil.example").status == 421);
  }
}

TEST_CASE("a page without its files does not load, and the message says what to do") {
  const TemporaryFolder folder;
  auto page = Page::load(folder.path(), folder.path());
  REQUIRE(!page);
  CHECK(page.error().text().find("--javascript") != std::string::npos);
}

TEST_CASE("files that were removed are let go when nobody asks any more") {
  Served served;
  served.folder.write("a.mmstats", MadeFile().buffered("hits", "Q", std::uint64_t{7}).padded());
  served.site.scan_again(0s);  // nobody asked yet: nothing is opened
  CHECK(served.get("/stats/hits").body == R"({"hits": [7]})");
  CHECK(served.get("/metrics").body.find("\nhits_total 7\n") != std::string::npos);
  boost::filesystem::remove(served.folder / "a.mmstats");
  CHECK(served.unnamed() == 2);
  served.site.scan_again(1h);
  CHECK(served.unnamed() == 2);
  // A look is shared for so long.
  ::usleep(static_cast<useconds_t>(std::chrono::microseconds(Live::kShare).count()));
  served.site.scan_again(0s);
  CHECK(served.unnamed() == 0);
  CHECK(served.get("/stats/hits").body == "{}");
  CHECK(served.get("/metrics").body.find("\nhits_total 7\n") != std::string::npos);
}

TEST_CASE("a history with no room is told once, and metrics tell how long it is") {
  Served served;
  MadeFile file;
  for (int i = 0; i < 500; ++i) file.buffered("level" + std::to_string(i), "d", 1.5);
  served.folder.write("a.mmstats", file.padded());
  std::vector<std::string> complaints;
  Site site({served.folder / "*.mmstats"}, mmstats::Rules{}, HostNames({}), served.page(), {},
            [&](std::string_view text) { complaints.emplace_back(text); }, {},
            {.minutes = 60, .interval = 0.1, .megabytes = 0.01});
  for (int i = 0; i < 4; ++i) {
    site.tick();
    ::usleep(static_cast<useconds_t>(std::chrono::microseconds(Live::kShare).count()));
  }
  REQUIRE(complaints.size() == 1);
  CHECK(complaints[0].find("--history-memory") != std::string::npos);
  Request request;
  REQUIRE(read_target("/metrics", request));
  request.host = "localhost";
  request.server_address = "127.0.0.1";
  const auto metrics = site.answer(request).body;
  CHECK(metrics.find("\nmmash_history_dropped_total 2.0\n") != std::string::npos);
  CHECK(served.get("/metrics").body.find("mmash_history") == std::string::npos);
}

TEST_CASE("who asks after a sample of the history sees what is there now") {
  Served served;
  Site site({served.folder / "*.mmstats"}, mmstats::Rules{}, HostNames({}), served.page(), {},
            [](std::string_view) {}, {}, {.minutes = 60});
  site.tick();
  served.folder.write("a.mmstats", MadeFile().buffered("hits", "Q", std::uint64_t{7}).padded());
  Request request;
  REQUIRE(read_target("/metrics", request));
  request.host = "localhost";
  request.server_address = "127.0.0.1";
  CHECK(site.answer(request).body.find("\nhits_total 7\n") != std::string::npos);
}

TEST_CASE("a complaint about a file is made once") {
  Served served;
  sample::write(served.folder, "bad.mmstats", "hello");
  for (int i = 0; i < 3; ++i) {
    served.get("/live/series");
    ::usleep(static_cast<useconds_t>(std::chrono::microseconds(Live::kShare).count()));
  }
  REQUIRE(served.complaints.size() == 1);
  CHECK(served.complaints[0].find("bad.mmstats") != std::string::npos);
}

TEST_CASE("a folder that cannot be listed is counted among mmash's own metrics") {
  const TemporaryFolder folder;
  REQUIRE(::symlink("circle", (folder / "circle").c_str()) == 0);
  Served served;
  Site site({served.folder / "*.mmstats", folder / "circle/*.mmstats"}, mmstats::Rules{}, HostNames({}),
            served.page(), {}, [](std::string_view) {});
  Request request;
  REQUIRE(read_target("/metrics", request));
  request.host = "localhost";
  request.server_address = "127.0.0.1";
  const auto metrics = site.answer(request).body;
  CHECK(metrics.find("\nmmash_unreadable_folders 1.0\n") != std::string::npos);
  CHECK(metrics.find("\nmmash_unreadable_files 0.0\n") != std::string::npos);
}

TEST_CASE("complaints that a minute has no room for are made in the next, and counted") {
  Served served;
  for (int i = 0; i < 40; ++i) sample::write(served.folder, "bad" + std::to_string(i) + ".mmstats", "hello");
  served.get("/live/series");
  CHECK(served.complaints.size() == mmstats::ComplaintLog::kPerMinute + 1);
  CHECK(served.complaints.back() == "complaints that wait to be logged: 10 (at most 30 in a minute)");
}

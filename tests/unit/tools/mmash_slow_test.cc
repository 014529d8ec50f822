// The file of slow requests, as mmash sends it.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/filesystem.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "temporary_folder.h"
#include "tools/mmash/slow_requests.h"

using mmash::Response;
using mmash::SlowRequests;
using nlohmann::json;

namespace {

void put_slow(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

Response slow_answer(const std::string& path, const std::string& if_none_match = {}) {
  return SlowRequests(path).answer({.path = "/slow", .if_none_match = if_none_match});
}

std::string whole_body(const Response& response) {
  std::string body = response.body;
  if (!response.more) return body;
  for (;;) {
    const auto piece = response.more();
    body += piece.text;
    if (piece.last) return body;
  }
}

std::string header_of(const Response& response, const std::string& name) {
  for (const auto& [one, value] : response.headers) {
    if (one == name) return value;
  }
  return {};
}

}  // namespace

TEST_CASE("the file of slow requests is sent as it is, in pieces") {
  const TemporaryFolder folder;
  const std::string path = folder / "slow.json";
  std::string content;
  for (int i = 0; i < 5000; ++i)
    content += R"({"seconds": )" + std::to_string(i) + R"(, "script": "/<b>"})" + "\n";
  put_slow(path, content);
  const auto response = slow_answer(path);
  CHECK(response.status == 200);
  CHECK(response.content_type == "application/x-ndjson");
  CHECK(response.body.size() == mmash::kPiece);
  // Who replaces it meanwhile changes nothing in this answer.
  put_slow(folder / "new", "other\n");
  boost::filesystem::rename(folder / "new", path);
  CHECK(whole_body(response) == content);
  CHECK(whole_body(slow_answer(path)) == "other\n");
  put_slow(path, "");
  const auto none = slow_answer(path);
  CHECK(none.status == 200);
  CHECK(whole_body(none).empty());
}

TEST_CASE("who has the slow requests already is not sent them again") {
  const TemporaryFolder folder;
  const std::string path = folder / "slow.json";
  put_slow(path, "{}\n");
  const auto tag = header_of(slow_answer(path), "ETag");
  REQUIRE(!tag.empty());
  CHECK(slow_answer(path, tag).status == 304);
  CHECK(slow_answer(path, tag).content_type.empty());
  put_slow(folder / "new", "[]\n");
  boost::filesystem::rename(folder / "new", path);
  CHECK(slow_answer(path, tag).status == 200);
}

TEST_CASE("of a file that is too large the last whole lines are sent") {
  const TemporaryFolder folder;
  const std::string path = folder / "slow.json";
  const std::string first(100'000, 'a');
  std::string rest;
  while (rest.size() < SlowRequests::kMostBytes - 50'000) rest += std::string(999, 'b') + "\n";
  put_slow(path, first + "\n" + rest);
  CHECK(whole_body(slow_answer(path)) == rest);
  // Without a line that is whole there is nothing.
  put_slow(path, std::string(SlowRequests::kMostBytes + 1, 'a'));
  CHECK(whole_body(slow_answer(path)).empty());
}

TEST_CASE("a file that is cut while it is sent is no whole answer") {
  const TemporaryFolder folder;
  const std::string path = folder / "slow.json";
  put_slow(path, std::string(3 * mmash::kPiece, 'x'));
  const auto response = slow_answer(path);
  REQUIRE(::truncate(path.c_str(), 10) == 0);
  CHECK_THROWS(whole_body(response));
}

TEST_CASE("where there is no file of slow requests, the answer says so") {
  const TemporaryFolder folder;
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  put_slow(folder / "file", "{}\n");
  REQUIRE(::symlink("file", (folder / "link").c_str()) == 0);
  const struct {
    std::string path;
    unsigned status;
    std::string word;
  } rows[] = {
      {"", 404, "--slow-requests"},
      {folder / "none", 404, "none"},
      {folder / "none/none", 404, "No such file"},
      {folder / "pipe", 500, "pipe"},
      {folder / "link", 500, "link"},
      {folder.path(), 500, folder.path()},
      {"/dev/zero", 500, "/dev/zero"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.path);
    const auto response = slow_answer(row.path);
    CHECK(response.status == row.status);
    CHECK(json::parse(response.body)["error"].get<std::string>().find(row.word) != std::string::npos);
  }
}

TEST_CASE("the page is told whether there is a file of slow requests") {
  CHECK(json::parse(SlowRequests("").about().body) == json{{"slow_requests", false}});
  CHECK(json::parse(SlowRequests("/x").about().body) == json{{"slow_requests", true}});
}

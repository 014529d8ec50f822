// What mmash makes of a request's words, and of globs that a client sends.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tools/mmash/http.h"
#include "tools/mmash/path_filter.h"

using namespace mmash;

TEST_CASE("a target is a path and parameters, all of them bytes") {
  const struct {
    std::string target;
    std::string path;
    std::vector<std::pair<std::string, std::string>> parameters;
  } rows[] = {
      {"/", "/", {}},
      {"/stats/a.b?exact=1&aggr=sum", "/stats/a.b", {{"exact", "1"}, {"aggr", "sum"}}},
      {"/stats/a%20b%2Fc%22%3F", "/stats/a b/c\"?", {}},
      {"/stats/a+b?glob=a+b", "/stats/a+b", {{"glob", "a b"}}},
      {"/stats/%ff%00%C3%A9", {"/stats/\xFF\0\xC3\xA9", 11}, {}},
      {"/stats/100%?a=%4&b=%zz", "/stats/100%", {{"a", "%4"}, {"b", "%zz"}}},
      {"/stats/../etc/passwd", "/stats/../etc/passwd", {}},
      {"/x?a&b=&=c&&d=e=f#g", "/x", {{"a", ""}, {"b", ""}, {"", "c"}, {"", ""}, {"d", "e=f"}}},
      {"/x?", "/x", {}},
      {"/a#b?c=d", "/a", {}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.target);
    Request request;
    CHECK(read_target(row.target, request));
    CHECK(request.path == row.path);
    CHECK(request.parameters == row.parameters);
    CHECK(!request.host);
  }
}

TEST_CASE("an absolute URL brings its own host, and nothing else is a target") {
  Request request;
  request.host = "localhost";
  CHECK(read_target("HTTP://evil.example:80/stats/?x=y", request));
  CHECK(request.host == "evil.example:80");
  CHECK(request.path == "/stats/");
  CHECK(read_target("http://one", request));
  CHECK(request.path == "/");
  for (const char* target : {"", "*", "stats/", "https://localhost/", "localhost:5002", "?a=b", "#/"}) {
    CAPTURE(target);
    CHECK(!read_target(target, request));
  }
}

TEST_CASE("a host is allowed if it is a name of ours, or the address that the request came to") {
  const HostNames names({"Mmash.Example"});
  const struct {
    const char* host;
    const char* address;
    bool allowed;
  } rows[] = {
      {"127.0.0.1", "127.0.0.1", true},
      {"127.0.0.1:5002", "127.0.0.1", true},
      {"localhost:1", "127.0.0.1", true},
      {"LOCALHOST", "127.0.0.1", true},
      {"localhost.", "127.0.0.1", true},
      {"[::1]:5002", "::1", true},
      {"[::1]", "127.0.0.1", true},
      {"mmash.example:443", "127.0.0.1", true},
      {"mmash.EXAMPLE.", "127.0.0.1", true},
      {"192.168.1.5:5002", "192.168.1.5", true},
      {"[fe80::1]", "fe80::1", true},
      {"192.168.1.5", "192.168.1.6", false},
      {"evil.example", "127.0.0.1", false},
      {"evil.example:5002", "127.0.0.1", false},
      {"localhost.evil.example", "127.0.0.1", false},
      {"evil.example:localhost", "127.0.0.1", false},
      {"localhost@evil.example", "127.0.0.1", false},
      {"localhost:80:80", "127.0.0.1", false},
      {"localhost:80, evil.example", "127.0.0.1", false},
      {"[::1", "::1", false},
      {"[::1]evil", "::1", false},
      {"::1", "::1", false},
      {"[]", "127.0.0.1", false},
      {"", "127.0.0.1", false},
      {".", "127.0.0.1", false},
      {":5002", "127.0.0.1", false},
      {"127.0.0.2", "127.0.0.1", false},
      {"2130706433", "127.0.0.1", false},
      // By a Unix socket.
      {"evil.example", "", true},
      {"", "", true},
  };
  for (const auto& row : rows) {
    CAPTURE(row.host);
    CAPTURE(row.address);
    CHECK(names.allow({.path = "/", .host = row.host, .server_address = row.address}) == row.allowed);
  }
  CHECK(!names.allow({.path = "/", .server_address = "127.0.0.1"}));
  CHECK(names.allow({.path = "/", .server_address = ""}));
}

TEST_CASE("JSON texts are what Python's json.dumps makes") {
  const struct {
    std::string text;
    const char* json;
  } rows[] = {
      {"plain", "\"plain\""},
      {"a\"b\\c/d", "\"a\\\"b\\\\c/d\""},
      {"\b\f\n\r\t\x01\x7F", "\"\\b\\f\\n\\r\\t\\u0001\\u007f\""},
      {"é☃🎉", "\"\\u00e9\\u2603\\ud83c\\udf89\""},
      {"a\xFF"
       "b\xC3",
       "\"a\\ufffdb\\ufffd\""},
      {{"a\0b", 3}, "\"a\\u0000b\""},
      {"</script>", "\"</script>\""},
  };
  for (const auto& row : rows) CHECK(json_string(row.text) == row.json);
}

TEST_CASE("the folder of a glob is what comes before its first wildcard") {
  const std::vector<std::string> globs{"/run/mmstats/*.mmstats",
                                       "/tmp/*.mmstats",
                                       "/var/lib/*/stats.mmstats",
                                       "*.mmstats",
                                       "sub/*.mmstats",
                                       "/one.mmstats",
                                       "/var/[ab]/c/*.mmstats",
                                       "/run/mmstats/x.mmstats",
                                       "[a]/b"};
  CHECK(glob_folders(globs) ==
        std::vector<std::string>{"/run/mmstats", "/tmp", "/var/lib", ".", "sub", "/", "/var"});
}

TEST_CASE("a client's glob chooses of the files below the folders") {
  const struct {
    const char* glob;
    const char* path;
    bool matches;
  } rows[] = {
      {"", "/anything", true},
      {"*", "/run/mmstats/a.mmstats", true},
      {"*", "/run/mmstats/sub/a.mmstats", false},
      {"*/*", "/run/mmstats/sub/a.mmstats", true},
      {"a*", "/run/mmstats/a.mmstats", true},
      {"a*", "/tmp/abc", true},
      {"a*", "/run/mmstatsa", false},
      {"a*", "/etc/abc", false},
      {"a.mmstats", "/run/mmstats/aXmmstats", false},
      {"?.mmstats", "/run/mmstats/a.mmstats", true},
      {"?", "/run/mmstats//", false},
      {"[ab].x", "/tmp/b.x", true},
      {"[!ab].x", "/tmp/b.x", false},
      {"[!ab].x", "/tmp/c.x", true},
      {"[^ab].x", "/tmp/c.x", true},
      {"[a-c].x", "/tmp/b.x", true},
      {"[a-].x", "/tmp/-.x", true},
      {"[]].x", "/tmp/].x", true},
      {"[[]x]", "/tmp/[x]", true},
      {"[!a]b", "/tmp//b", false},
      {"a\\*", "/tmp/a\\*", true},
      {"(.*)+$", "/tmp/(.abc)+$", true},
      {"*", "/tmp/\xFF\xFE", true},
      {"\xFF*", "/tmp/\xFF\xFE", true},
      {"a..b", "/tmp/a..b", true},
  };
  for (const auto& row : rows) {
    CAPTURE(row.glob);
    CAPTURE(row.path);
    const auto filter = PathFilter::make(row.glob, {"/run/mmstats", "/tmp"});
    REQUIRE(filter);
    CHECK(filter->matches(row.path) == row.matches);
  }
  const auto root = PathFilter::make("a", {"/"});
  REQUIRE(root);
  CHECK(root->matches("/a"));
}

TEST_CASE("a client's glob that climbs out or is malformed is refused") {
  for (const std::string glob :
       {"..", "../x", "a/../b", "a/..", "/etc/passwd", "/", "[a", "[", "[]", "[!", "[!]", "[z-a]"}) {
    CAPTURE(glob);
    const auto filter = PathFilter::make(glob, {"/tmp"});
    REQUIRE(!filter);
    CHECK(filter.error().kind == mmstats::ErrorKind::kInvalid);
    CHECK(filter.error().message.find("glob \"" + glob + "\": ") == 0);
  }
  CHECK(!PathFilter::make(std::string_view("a\0b", 3), {"/tmp"}));
}

TEST_CASE("no glob makes matching slow") {
  std::string glob;
  for (int i = 0; i < 2'000; ++i) glob += "*a";
  const auto filter = PathFilter::make(glob + "b", {"/tmp"});
  REQUIRE(filter);
  CHECK(!filter->matches("/tmp/" + std::string(4'000, 'a')));
}

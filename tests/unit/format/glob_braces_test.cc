#include "format/glob_braces.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using mmstats::expand_braces;

namespace {
using Globs = std::vector<std::string>;
}

TEST_CASE("braces become what a shell makes of them") {
  struct Row {
    std::string glob;
    Globs want;
  };
  // What bash prints for: set -f; printf '%s\n' GLOB
  const std::vector<Row> rows{
      {"/run/mmstats/*.mmstats", {"/run/mmstats/*.mmstats"}},
      {"", {""}},
      {"/r/{web,db}-*.mmstats", {"/r/web-*.mmstats", "/r/db-*.mmstats"}},
      {"/{a,b}/{c,d}", {"/a/c", "/a/d", "/b/c", "/b/d"}},
      {"/a{b,c{d,e}f}g", {"/abg", "/acdfg", "/acefg"}},
      {"/a{,b}", {"/a", "/ab"}},
      {"/a{b,}", {"/ab", "/a"}},
      {"/{a}", {"/{a}"}},
      {"/{}", {"/{}"}},
      {"/{CMD}-{a,b}", {"/{CMD}-a", "/{CMD}-b"}},
      {"/{a,b", {"/{a,b"}},
      {"/a,b}", {"/a,b}"}},
      {"/{a{b,c}", {"/{ab", "/{ac"}},
      {"/{{a,b}}", {"/{a}", "/{b}"}},
      {"/\\{a,b}", {"/\\{a,b}"}},
      {"/{a\\,b,c}", {"/a\\,b", "/c"}},
      {"/{a,b\\}", {"/{a,b\\}"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.glob);
    const auto globs = expand_braces(row.glob);
    REQUIRE(globs);
    CHECK(*globs == row.want);
  }
}

TEST_CASE("braces do not make more patterns than anybody can mean") {
  std::string glob = "/";
  for (int i = 0; i < 9; ++i) glob += "{a,b}";
  CHECK(expand_braces(glob).value().size() == 512);
  glob += "{a,b}";
  REQUIRE_FALSE(expand_braces(glob));
  CHECK(expand_braces(glob).error().kind == mmstats::ErrorKind::kLimit);
  for (int i = 0; i < 20'000; ++i) glob += "{a,b}";
  CHECK_FALSE(expand_braces(glob));
  CHECK(expand_braces(std::string(4'000, '{')));
  CHECK_FALSE(expand_braces(std::string(5'000, '{')));
}

#include "collect/watched_folder.h"

#include <doctest/doctest.h>
#include <fnmatch.h>

#include <string>

TEST_CASE("a name matches as fnmatch says, whatever kind of pattern it is") {
  for (const std::string pattern :
       {"*.mmstats", "*", "*a", "a*", "**x", "*.[m]mstats", "*\\.x", ".*", "*?", "*.x*", "a"}) {
    mmstats::WatchedFolder folder;
    CHECK(folder.add_pattern(pattern));
    CHECK_FALSE(folder.add_pattern(pattern));
    for (const char* name : {".mmstats", "a.mmstats", ".a.mmstats", "mmstats", "a.mmstats~", "xa", "a", ".x",
                             "b.x", "b\\.x", "\xff.mmstats", ".", "..", "x"}) {
      CAPTURE(pattern);
      CAPTURE(name);
      CHECK(folder.matches(name) == (::fnmatch(pattern.c_str(), name, FNM_PERIOD | FNM_PATHNAME) == 0));
    }
  }
}

TEST_CASE("one of several patterns is enough") {
  mmstats::WatchedFolder folder;
  for (const char* pattern : {"*.mmstats", "a", "b*", "*.stats"}) folder.add_pattern(pattern);
  for (const char* name : {"x.mmstats", "a", "bc", "y.stats"}) CHECK(folder.matches(name));
  for (const char* name : {"x.mmstat", "aa", "cb", ".stats"}) CHECK_FALSE(folder.matches(name));
}

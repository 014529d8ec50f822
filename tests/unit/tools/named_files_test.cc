// What FILEs of a command line stand for.
#include "tools/shared/named_files.h"

#include <doctest/doctest.h>

#include <boost/filesystem.hpp>
#include <string>

#include "temporary_folder.h"

using mmstats::as_literal;
using mmstats::named_glob;
using mmstats::names_one_file;

TEST_CASE("a file that is named is that file, whatever its name would mean as a pattern") {
  CHECK(as_literal("/a/b.mmstats") == "/a/b.mmstats");
  CHECK(as_literal("/a/[b]*\\.mmstats") == "/a/\\[b]\\*\\\\.mmstats");
  CHECK(as_literal("/[a]/b") == "/\\[a]/b");
  CHECK(as_literal("/a\\b/c") == "/a\\b/c");  // a folder without wildcards is taken as it is
  CHECK(as_literal("c?") == "c\\?");
}

TEST_CASE("a folder stands for the mmstats files in it, and what is not there is a pattern, or a name") {
  const TemporaryFolder folder;
  folder.write("[a]*.mmstats", {});
  boost::filesystem::create_directory(folder / "b?");
  boost::filesystem::create_directory(folder / "c.mmstats");
  const struct {
    std::string file;
    bool one;
    std::string glob;
  } rows[] = {
      {folder / "[a]*.mmstats", true, folder / "\\[a]\\*.mmstats"},
      {folder.path(), false, folder / "*.mmstats"},
      {folder.path() + "/", false, folder / "*.mmstats"},
      {folder / "b?", false, folder / "b\\?/*.mmstats"},
      {folder / "c.mmstats", true, folder / "c.mmstats"},
      {folder / "*.mmstats", false, folder / "*.mmstats"},
      {folder / "gone.mmstats", true, folder / "gone.mmstats"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.file);
    CHECK(names_one_file(row.file) == row.one);
    CHECK(named_glob(row.file) == row.glob);
  }
}

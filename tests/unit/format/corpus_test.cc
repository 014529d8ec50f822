// Every good file, against what the original reader said of it (the .json beside it).
#include <doctest/doctest.h>

#include <boost/filesystem.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "mmstats/format.h"
#include "mmstats/parse.h"
#include "mmstats/settle.h"
#include "told.h"

using nlohmann::json;

TEST_CASE("every file of the corpus reads as the original reader reads it") {
  std::size_t files = 0;
  for (const auto& entry : boost::filesystem::directory_iterator(TEST_DATA "/corpus")) {
    if (entry.path().extension() != ".mmstats") continue;
    ++files;
    const std::string path = entry.path().native();
    CAPTURE(path);
    const json want =
        json::parse(std::ifstream(boost::filesystem::path(path).replace_extension(".json").native()));
    const auto reading = mmstats::read_settled(path);
    REQUIRE(reading);
    CHECK(reading->snapshot.file_size == want["size"].get<std::uint64_t>());
    CHECK(reading->unsettled.empty());
    CHECK(!reading->content.damage);
    CHECK(reading->content.terminated);
    const auto& fields = reading->content.fields;
    REQUIRE(fields.size() == want["fields"].size());
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const json& field = want["fields"][i];
      CAPTURE(field.dump());
      CHECK(fields[i].label == field["label"].get<std::string>());
      CHECK(mmstats::trimmed_type(fields[i].type_text) == field["type"].get<std::string>());
      CHECK(fields[i].buffered == field["buffered"].get<bool>());
      // As texts: 1 is not 1.0, and -0.0 not 0.0.
      CHECK(told(fields[i]).dump() == field["value"].dump());
    }
  }
  CHECK(files == 9);
}

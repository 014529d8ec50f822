// Which answers mmash sends in gzip, and what it says of them. What the bytes are, others judge:
// tests/integration/mmash_test.py.
#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include "tools/mmash/gzip.h"

using namespace mmash;

namespace {

constexpr std::size_t kSize = 20'000;

Response text_of(std::string body) { return {.content_type = "text/plain", .body = std::move(body)}; }

std::string header_of(const Response& response, const std::string& name) {
  std::string values;
  for (const auto& [one, value] : response.headers) {
    if (one == name) values += "[" + value + "]";
  }
  return values;
}

}  // namespace

TEST_CASE("who would rather have gzip gets it") {
  const struct {
    const char* header;
    bool gzip;
  } rows[] = {
      {"gzip", true},
      {"GZip", true},
      {"x-gzip", true},
      {"gzip, deflate, br, zstd", true},
      {"deflate,gzip", true},
      {" deflate\t, gzip ;\tq=0.001 ", true},
      {"gzip;Q=1.000", true},
      {"*", true},
      {"br, *;q=0.1", true},
      {"gzip;q=0.5, identity;q=0.5", true},
      {"identity;q=0, gzip", true},
      {"gzip;other=1;q=0.5", true},
      {",,gzip,", true},
      {"", false},
      {"identity", false},
      {"deflate, br", false},
      {"gzip;q=0", false},
      {"gzip;q=0.000", false},
      {"gzip;q=0, *", false},
      {"*;q=0", false},
      {"gzip;q=0.5, identity", false},
      {"*;q=0.5, identity", false},
      {"identity;q=0", false},
      {"notgzip", false},
      {"gzip2", false},
      {"gzip q=1", false},
      // What is no weight is no wish.
      {"gzip;q=", false},
      {"gzip;q=2", false},
      {"gzip;q=1.001", false},
      {"gzip;q=0.0001", false},
      {"gzip;q=-1", false},
      {"gzip;q=nan", false},
      {"gzip;q=1;q=0", false},
      {";;;,;q=1,=,\"gzip\"", false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.header);
    CHECK(takes_gzip(row.header) == row.gzip);
  }
}

TEST_CASE("an answer says that it varies, and in which encoding it is") {
  const std::string body(kSize, 'a');
  const auto plain = in_best_encoding(text_of(body), "gzip;q=0");
  CHECK(plain.body == body);
  CHECK(header_of(plain, "Content-Encoding").empty());
  CHECK(header_of(plain, "Vary") == "[Accept-Encoding]");

  auto varies = text_of(body);
  varies.headers.emplace_back("Vary", "Accept");
  const auto gzip = in_best_encoding(std::move(varies), "gzip");
  CHECK(gzip.body.substr(0, 2) == "\x1F\x8B");
  CHECK(gzip.body.size() < kSize / 10);
  CHECK(header_of(gzip, "Content-Encoding") == "[gzip]");
  CHECK(header_of(gzip, "Vary") == "[Accept, Accept-Encoding]");
}

TEST_CASE("what gains nothing stays as it is") {
  const auto small = in_best_encoding(text_of(std::string(1000, 'a')), "gzip");
  CHECK(small.body == std::string(1000, 'a'));
  CHECK(header_of(small, "Content-Encoding").empty());
  CHECK(header_of(small, "Vary") == "[Accept-Encoding]");

  const auto redirect = in_best_encoding({.status = 302, .headers = {{"Location", "/"}}}, "gzip");
  CHECK(redirect.body.empty());
  CHECK(redirect.headers.size() == 1);

  // A cache has the answer that this one renews, with its headers.
  const auto unchanged = in_best_encoding({.status = 304, .headers = {{"ETag", "W/\"1\""}}}, "gzip");
  CHECK(unchanged.body.empty());
  CHECK(header_of(unchanged, "Vary") == "[Accept-Encoding]");
  CHECK(header_of(unchanged, "Content-Encoding").empty());
}

TEST_CASE("pieces are compressed one by one, and a failure of the next one is told") {
  int made = 0;
  auto response = in_best_encoding(in_pieces(text_of(""),
                                             [&made] {
                                               if (++made == 3) throw std::runtime_error("gone");
                                               return Piece{.text = std::string(kSize, 'a')};
                                             }),
                                   "gzip");
  CHECK(made == 1);
  CHECK(header_of(response, "Content-Encoding") == "[gzip]");
  const auto second = response.more();
  CHECK(made == 2);
  CHECK(second.text.size() < kSize / 10);
  CHECK(!second.last);
  CHECK_THROWS_AS(response.more(), std::runtime_error);
}

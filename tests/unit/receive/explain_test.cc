// Bad packets for people, from files that may be anybody's.
#include "plugin_pinba/receive/explain.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "plugin_pinba/receive/bad_packets.h"
#include "receive/sender_address.h"
#include "temporary_folder.h"

using namespace mmstats::receive;
using mmstats::ErrorKind;
using nlohmann::json;

namespace {

constexpr std::chrono::system_clock::time_point kExplainedTime{std::chrono::milliseconds(1'795'877'218'007)};

// A line as the server writes it.
std::string line_of_text(const std::string& text) {
  FaultCounts faults{};
  faults[static_cast<std::size_t>(Fault::kNoMessage)] = 1;
  const auto bytes = std::as_bytes(std::span(text));
  return bad_packet_line({.time = kExplainedTime,
                          .from = sender_address("192.0.2.1"),
                          .faults = faults,
                          .bytes = {bytes.begin(), bytes.end()}});
}

json explained_json() { return json::parse(line_of_text("hello")); }

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  return text;
}

bool is_fit_for_terminals(const std::string& text) {
  return std::ranges::all_of(text, [](char c) { return c == '\n' || (c >= 0x20 && c < 0x7F); });
}

struct Explained {
  std::string text;
  mmstats::Expected<void> outcome;
};

Explained explained_file(const std::string& path) {
  Explained result;
  result.outcome = explain_file(path, [&](std::string_view text) { result.text += text; });
  return result;
}

void put_explained(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

}  // namespace

TEST_CASE("a bad packet is explained: when, from whom, what is wrong, and what servers make of it") {
  const auto lines = explain_line(line_of_text("GET / HTTP/1.1\r\n\xff"));
  REQUIRE(lines);
  REQUIRE(lines->size() >= 5);
  CHECK((*lines)[0] == "2026-11-28T14:46:58.007Z from 192.0.2.1:4711, 17 bytes");
  CHECK((*lines)[1] == "  no_message: cut, no Pinba message, or nested too deep: all of it is lost");
  CHECK((*lines)[2].starts_with("  Pinba2: dropped, byte "));
  CHECK((*lines)[3].starts_with("  classic: crash, byte "));
  CHECK((*lines)[lines->size() - 2] ==
        "  0000  47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|");
  CHECK(lines->back() == "  0010  ff                                               |.|");
}

TEST_CASE("every fault is explained in words") {
  for (std::size_t i = 0; i < kFaults; ++i) {
    auto packet = explained_json();
    packet["faults"] = {to_string(static_cast<Fault>(i))};
    const auto lines = explain_line(packet.dump());
    REQUIRE(lines);
    CHECK((*lines)[1].starts_with("  " + std::string(to_string(static_cast<Fault>(i))) + ": "));
    CHECK((*lines)[1].find("another version") == std::string::npos);
  }
  auto packet = explained_json();
  packet["faults"] = {"new_fault"};
  packet["findings"] = json::array();
  packet["findings_left_out"] = 7;
  const auto lines = explain_line(packet.dump());
  REQUIRE(lines);
  CHECK((*lines)[1] == "  new_fault: of another version");
  CHECK((*lines)[2] == "  other servers: nothing is wrong for them");
  CHECK((*lines)[3] == "  and 7 findings more");
}

TEST_CASE("texts of a file that command a terminal are shown, and not obeyed") {
  const std::string evil = "\x1b[2J\n\r\x7f\xc2\x9b\xe2\x80\xae\xe2\x80\xa8";
  auto packet = explained_json();
  packet["time"] = packet["from"] = evil;
  packet["faults"] = {evil};
  packet["findings"] = {{{"server", evil}, {"effect", evil}, {"offset", 1}, {"message", evil}}};
  const auto lines = explain_line(packet.dump());
  REQUIRE(lines);
  CHECK(is_fit_for_terminals(joined(*lines)));
  for (const auto& line : *lines) CHECK(line.find('\n') == std::string::npos);
  // Nor is it flooded.
  packet["time"] = packet["from"] = std::string(50'000, 'x');
  const auto flooded = explain_line(packet.dump());
  REQUIRE(flooded);
  CHECK((*flooded)[0].size() < 2000);
}

TEST_CASE("what is no bad packet is told why") {
  const auto with = [](const char* name, const json& value) {
    auto packet = explained_json();
    packet[name] = value;
    return packet.dump();
  };
  const auto without = [](const char* name) {
    auto packet = explained_json();
    packet.erase(name);
    return packet.dump();
  };
  const struct {
    std::string line;
    std::string want;
  } rows[] = {
      {"", "no JSON"},
      {"hello", "no JSON"},
      {"{\"time\": \"\xff\"}", "no JSON"},
      {line_of_text("x").substr(0, 50), "no JSON"},
      {std::string(100'000, '['), "no JSON"},
      {std::string(100'000, '[') + std::string(100'000, ']'), "an object is expected"},
      {std::string(300'000, ' '), "too long"},
      {"[]", "an object is expected"},
      {"null", "an object is expected"},
      {"{}", "\"time\" is missing or wrong"},
      {without("hex"), "\"hex\" is missing or wrong"},
      {with("time", 1), "\"time\" is missing or wrong"},
      {with("from", nullptr), "\"from\" is missing or wrong"},
      {with("size", -1), "\"size\" is missing or wrong"},
      {with("size", 1.5), "\"size\" is missing or wrong"},
      {with("faults", "no_message"), "\"faults\" is missing or wrong"},
      {with("faults", json::array({1})), "a fault is no text"},
      {with("faults", json(std::vector<std::string>(1000, "no_message"))), "\"faults\" is missing or wrong"},
      {with("findings", json::array({1})), "a finding is wrong"},
      {with("findings", json::array({json::object()})), "a finding is wrong"},
      {with("findings_left_out", "many"), "\"findings_left_out\" is missing or wrong"},
      {with("hex", "0"), "\"hex\" is missing or wrong"},
      {with("hex", "0x"), "\"hex\" is missing or wrong"},
      {with("hex", "0A"), "\"hex\" is missing or wrong"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.want);
    CAPTURE(row.line.substr(0, 60));
    const auto lines = explain_line(row.line);
    REQUIRE(!lines);
    CHECK(lines.error().kind == ErrorKind::kDamaged);
    CHECK(lines.error().message == "it is no bad packet: " + row.want);
  }
}

TEST_CASE("no byte of a line can be cut or bent so that explaining it goes astray") {
  const auto good = line_of_text("hello");
  for (std::size_t length = 0; length < good.size(); ++length) CHECK(!explain_line(good.substr(0, length)));
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    auto bent = good;
    bent[bit / 8] = static_cast<char>(bent[bit / 8] ^ (1 << (bit % 8)));
    if (const auto lines = explain_line(bent)) {
      for (const auto& line : *lines) CHECK(mmstats::printable(line) == line);
    }
  }
}

TEST_CASE("a file's bad packets are explained one after the other") {
  const TemporaryFolder folder;
  const std::string path = folder / "bad.json";
  LastLines lines({.path = path});
  lines.add(line_of_text("one"));
  lines.add(line_of_text("two"));
  REQUIRE(lines.write());
  const auto [text, outcome] = explained_file(path);
  CHECK(outcome);
  CHECK(text == joined(*explain_line(line_of_text("one"))) + "\n" +
                    joined(*explain_line(line_of_text("two"))) + "\n");
  CHECK(joined(explain_last(lines, 1)) == joined(*explain_line(line_of_text("two"))));
  CHECK(joined(explain_last(lines, 9)) ==
        joined(*explain_line(line_of_text("one"))) + joined(*explain_line(line_of_text("two"))));
}

TEST_CASE("what is damaged in a file is told, and the rest is explained") {
  const TemporaryFolder folder;
  const std::string path = folder / "bad.json";
  const auto good = line_of_text("one");
  put_explained(path, good + "\n" + "\x1b[2J\n" + good + "\n" + good.substr(0, 40));
  const auto [text, outcome] = explained_file(path);
  CHECK(text == joined(*explain_line(good)) + "\n" + joined(*explain_line(good)) + "\n");
  REQUIRE(!outcome);
  CHECK(outcome.error().kind == ErrorKind::kDamaged);
  CHECK(outcome.error().offset == good.size() + 1);
  CHECK(outcome.error().text() == path + ": line 2: it is no bad packet: no JSON; as 2 of 4 lines");
}

TEST_CASE("a file that cannot be explained is an error that names it") {
  const TemporaryFolder folder;
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  put_explained(folder / "empty", "");
  put_explained(folder / "large", "");
  REQUIRE(::truncate((folder / "large").c_str(), off_t{1} << 40) == 0);
  put_explained(folder / "zeros", std::string(1'000'000, '\0'));
  put_explained(folder / "file", line_of_text("one") + "\n");
  REQUIRE(::symlink("file", (folder / "link").c_str()) == 0);
  const struct {
    const char* name;
    std::optional<ErrorKind> want;
  } rows[] = {
      {"none", ErrorKind::kNotFound}, {"pipe", ErrorKind::kNotRegular}, {"link", ErrorKind::kNotRegular},
      {"", ErrorKind::kNotRegular},   {"large", ErrorKind::kTooLarge},  {"zeros", ErrorKind::kDamaged},
      {"empty", std::nullopt},        {"file", std::nullopt},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    const auto outcome = explained_file(folder / row.name).outcome;
    CHECK(outcome.has_value() == !row.want);
    if (outcome) continue;
    CHECK(outcome.error().kind == *row.want);
    CHECK(outcome.error().path.starts_with(folder.path()));
  }
}

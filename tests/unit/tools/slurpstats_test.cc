// slurpstats as a program: what it prints, on which stream, and how it ends.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "held_calls.h"
#include "mmstats/parse.h"
#include "mmstats/snapshot.h"
#include "sample.h"

using nlohmann::json;

namespace {

struct Outcome {
  int status = -1;  // exit status; -1 if it ended otherwise
  std::string out;
  std::string err;
};

std::string text_of(const std::string& path) {
  const auto bytes = sample::read(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Runs slurpstats, or another program, with `environment` alone, and waits for its end.
Outcome run(std::vector<std::string> arguments, std::vector<std::string> environment = {},
            const char* program = SLURPSTATS) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  const std::string err = folder / "err";
  posix_spawn_file_actions_t actions;
  REQUIRE(::posix_spawn_file_actions_init(&actions) == 0);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT, 0600);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT, 0600);
  arguments.insert(arguments.begin(), program);
  const auto pointers = [](std::vector<std::string>& texts) {
    std::vector<char*> all;
    for (auto& text : texts) all.push_back(text.data());
    all.push_back(nullptr);
    return all;
  };
  pid_t pid = 0;
  REQUIRE(::posix_spawn(&pid, program, &actions, nullptr, pointers(arguments).data(),
                        pointers(environment).data()) == 0);
  ::posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text_of(out), text_of(err)};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

}  // namespace

TEST_CASE("the JSON of every file of the corpus is what the original reader says of it") {
  std::vector<std::string> arguments{"--json"};
  for (const auto& entry : boost::filesystem::directory_iterator(TEST_DATA "/corpus")) {
    if (entry.path().extension() == ".mmstats") arguments.push_back(entry.path().native());
  }
  REQUIRE(arguments.size() == 10);
  const Outcome outcome = run(arguments);
  CHECK(outcome.status == 0);
  CHECK(outcome.err.empty());
  const json files = json::parse(outcome.out);
  REQUIRE(files.size() == arguments.size() - 1);
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::string& path = arguments[i + 1];
    CAPTURE(path);
    const auto json_path = boost::filesystem::path(path).replace_extension(".json");
    json want = json::parse(std::ifstream(json_path.native()));
    CHECK(files[i].size() == 3);
    CHECK(files[i]["file"] == path);
    CHECK(files[i]["damage"] == json::array());
    for (json& field : want["fields"]) {
      if (field["value"] == "nan") field["value"] = nullptr;  // no value
    }
    // As texts: 1 is not 1.0, and -0.0 not 0.0.
    CHECK(files[i]["fields"].dump() == want["fields"].dump());
  }
}

TEST_CASE("fields of a family tell in JSON what it is and their dimensions, and removed ones are not there") {
  const TemporaryFolder folder;
  const auto counter = [](const char* label, std::string_view type) {
    return sample::field(label, type, 1, sample::number(5) + sample::number(0));
  };
  const std::string_view told = "a.hits\tcounter\t\t\t\tmethod path\na.hits.one\tcounter\n";
  const auto path = sample::write(
      folder, "family.mmstats",
      sample::file(sample::field("sys.metadata", std::to_string(told.size()) + "s", 0xFF, told) +
                   counter("a.hits.GET.%2Ex%0Ay", "  Q") + counter("a.hits.G\xff.", "  Q") +
                   counter("a.hits.PUT.gone", " \tQ") + counter("a.hits.one", "Q")));
  const Outcome outcome = run({"--json", path});
  CHECK(outcome.status == 0);
  const json fields = json::parse(outcome.out)[0]["fields"];
  REQUIRE(fields.size() == 4);
  CHECK(fields[1].dump() ==
        R"({"buffered":true,"dimensions":{"method":"GET","path":".x\ny"},"family":"a.hits",)"
        R"("label":"a.hits.GET.%2Ex%0Ay","type":"Q","value":5})");
  CHECK(fields[2]["dimensions"]["method"] == "G\uFFFD");
  CHECK(fields[2]["dimensions"]["path"] == "");
  CHECK_FALSE(fields[3].contains("family"));
  const std::string text = run({path}).out;
  CHECK(contains(text, "  a.hits.GET.%2Ex%0Ay 5\n"));
  CHECK_FALSE(contains(text, "gone"));
}

TEST_CASE("a file is a heading, aligned lines in the file's order, and an empty line") {
  const TemporaryFolder folder;
  const auto text = [](const char* label, std::string_view type, std::string_view value) {
    return sample::field(label, type, 0xFF, value);
  };
  const auto path = sample::write(
      folder, "a.mmstats",
      sample::file(sample::counter("requests", 42) + sample::counter("é☃🎉", 18446744073709551615U) +
                   text("text", "8s", {"abc\0def", 8}) + text("control", "9s", "a\x1b[2J\n\x7f\xC2\x9B") +
                   text("invalid", "5s", "a\xFF\xC3 b") + text("on", "?", "\x02") +
                   text("several", "3B", "\x01\x02\x03") + text("mixed", "<Bh?", {"\x01\xFF\xFF\0", 4}) +
                   text("texts", "2s3s", "abcde") + text("nothing", "2x", "ab") +
                   text("label\twith\ncontrol", "b", "\x80")));
  const Outcome outcome = run({path, path});
  CHECK(outcome.status == 0);
  CHECK(outcome.err.empty());
  const std::string one = "==> " + path +
                          "\n"
                          "  requests                 42\n"
                          "  é☃🎉                      18446744073709551615\n"
                          "  text                     abc\n"
                          "  control                  a\\x1B[2J\\x0A\\x7F\\xC2\\x9B\n"
                          "  invalid                  a\\xFF\\xC3 b\n"
                          "  on                       True\n"
                          "  several                  [1, 2, 3]\n"
                          "  mixed                    [1, -1, False]\n"
                          "  texts                    [ab, cde]\n"
                          "  nothing                  \n"
                          "  label\\x09with\\x0Acontrol -128\n"
                          "\n";
  CHECK(outcome.out == one + one);
}

TEST_CASE("buckets of a histogram are a list, and room for others an empty text") {
  const TemporaryFolder folder;
  std::string parts;
  std::string told = "[0";
  for (std::uint64_t i = 0; i < 32; ++i) {
    parts += sample::number(i);
    if (i > 0) told += ", " + std::to_string(i);
  }
  told += "]";
  const auto path =
      sample::write(folder, "a.mmstats",
                    sample::file(sample::field("sys.room", "      300s", 0xFF, std::string(300, '\0')) +
                                 sample::field("a.buckets.-3", "     32Q", 0xFF, parts)));
  CHECK(run({path}).out == "==> " + path + "\n  sys.room     \n  a.buckets.-3 " + told + "\n\n");
  const auto fields = json::parse(run({"--json", path}).out)[0]["fields"];
  CHECK(fields[0]["value"] == "");
  CHECK(fields[0]["type"] == "300s");
  CHECK(fields[1]["value"] == json::parse(told));
  CHECK(fields[1]["type"] == "32Q");
}

TEST_CASE("a very long label does not push the values of all others to the right") {
  const TemporaryFolder folder;
  const std::string longest(65535, 'x');
  const auto path =
      sample::write(folder, "a.mmstats", sample::file(sample::counter(longest, 1) + sample::counter("b", 2)));
  const Outcome outcome = run({path});
  CHECK(outcome.out == "==> " + path + "\n  " + longest + " 1\n  b" + std::string(128, ' ') + "2\n\n");
}

TEST_CASE("values that never stand still are named, five at most") {
  const TemporaryFolder folder;
  constexpr std::size_t kFields = 7;
  std::string fields;
  for (std::size_t i = 0; i < kFields; ++i) {
    // No counters: of these it is known that they grow, so one that does is settled.
    fields += sample::field("f\u202E" + std::to_string(i), "q", 1, std::string(16, '\0'));
  }
  const auto bytes = sample::file(fields);
  const auto path = sample::write(folder, "a.mmstats", bytes);
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(fd >= 0);
  void* const mapped = ::mmap(nullptr, bytes.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  REQUIRE(mapped != MAP_FAILED);
  const std::size_t each = (bytes.size() - 1) / kFields;
  std::uint64_t value = 0;
  const auto change_all = [&] {
    ++value;
    for (std::size_t i = 1; i <= kFields; ++i) {
      for (const std::size_t back : {2 * sizeof value, sizeof value}) {
        std::memcpy(static_cast<char*>(mapped) + 1 + i * each - back, &value, sizeof value);
      }
    }
  };
  // Before each of its readings: what is held of a thread is held of the programs that it starts.
  Outcome outcome;
  const bool allowed =
      held::while_held(SYS_pread64, held::kAtEach, [&] { outcome = run({path}); }, change_all);
  ::munmap(mapped, bytes.size());
  if (!allowed) return;
  CHECK(outcome.status == 0);
  std::string want = "slurpstats: " + path + ": note: 7 values changed faster than could be read:";
  for (int i = 0; i < 5; ++i) {
    want += (i == 0 ? " \"f" : ", \"f") + std::string("\\xE2\\x80\\xAE") + std::to_string(i) + "\"";
  }
  CHECK(outcome.err == want + ", ...\n");
  CHECK(std::ranges::count(outcome.out, '\n') == static_cast<std::ptrdiff_t>(kFields) + 2);
}

TEST_CASE("floats are written as Python writes them") {
  const json table = json::parse(std::ifstream(TEST_DATA "/struct_formats.json"));
  const json& floats = table["floats"];
  REQUIRE(floats.size() > 400);
  std::string fields;
  for (const json& row : floats) fields += sample::field("f", "d", 0xFF, from_hex(row[0]));
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "a.mmstats", sample::file(fields));
  std::string want = "==> " + path + "\n";
  for (const json& row : floats) want += "  f " + row[1].get<std::string>() + "\n";
  CHECK(run({path}).out == want + "\n");

  const json files = json::parse(run({"--json", path}).out);
  for (std::size_t i = 0; i < floats.size(); ++i) {
    const json& value = files[0]["fields"][i]["value"];
    const auto told = floats[i][1].get<std::string>();
    CHECK(value == (told == "nan" ? json() : value.is_string() ? json(told) : json::parse(told)));
    CHECK(value.is_string() == contains(told, "inf"));
  }
}

TEST_CASE("JSON has every kind of value, and stays valid whatever bytes a file has") {
  const TemporaryFolder folder;
  const auto path = sample::write(
      folder, "a.mmstats",
      sample::file(
          sample::field("a\"\\\n\xFF", "   Q", 1, std::string(8, '\xFF') + sample::number(0)) +
          sample::field("b", "q", 0xFF, std::string(7, '\0') + "\x80") +
          sample::field("c", "2?", 0xFF, std::string_view("\0\x07", 2)) + sample::field("d", "x", 0xFF, "y") +
          sample::field("e", "1d", 0xFF, std::string_view("\0\0\0\0\0\0\x08\x40", 8)) +
          sample::field("f", "I d", 1, std::string(32, '\0')) + sample::field("g", "3s", 0xFF, "\xC3(x")));
  const Outcome outcome = run({"--json", path});
  CHECK(outcome.status == 0);
  const json want = json::parse(R"([
    {"label": "a\"\\\n\uFFFD", "type": "Q", "buffered": true, "value": 18446744073709551615},
    {"label": "b", "type": "q", "buffered": false, "value": -9223372036854775808},
    {"label": "c", "type": "2?", "buffered": false, "value": [false, true]},
    {"label": "d", "type": "x", "buffered": false, "value": null},
    {"label": "e", "type": "1d", "buffered": false, "value": 3.0},
    {"label": "f", "type": "Id", "buffered": true, "value": [0, 0.0]},
    {"label": "g", "type": "3s", "buffered": false, "value": "\uFFFD(x"}])");
  CHECK(json::parse(outcome.out)[0]["fields"].dump() == want.dump());
}

TEST_CASE("of each bad file the sound fields are printed, and path and byte of the damage are told") {
  for (const auto& entry : boost::filesystem::directory_iterator(TEST_DATA "/bad")) {
    const std::string path = entry.path().native();
    CAPTURE(path);
    const auto bytes = sample::read(path);
    mmstats::ParsedFile want;
    mmstats::parse(bytes, want);
    const Outcome outcome = run({path});
    CHECK(outcome.status == 1);
    CHECK(outcome.err.starts_with("slurpstats: " + path + ": "));
    CHECK(std::ranges::count(outcome.err, '\n') == 1);
    if (!want.fields.empty()) {
      CHECK(outcome.out == "==> " + path + "\n  good.count 7\n  good.level 0.5\n\n");
      CHECK(contains(outcome.err, want.damage->message));
    }

    const Outcome as_json = run({"--json", path});
    CHECK(as_json.status == 1);
    const json file = json::parse(as_json.out).at(0);
    CHECK(file["file"] == path);
    CHECK(file["fields"].size() == want.fields.size());
    REQUIRE(file["damage"].size() == 1);
    CHECK(file["damage"][0]["offset"] == want.damage->offset);
    if (!want.fields.empty()) CHECK(file["damage"][0]["message"] == want.damage->message);
  }
}

TEST_CASE("names that are no mmstats files are reported, and the good file among them is printed") {
  const TemporaryFolder folder;
  const auto good = sample::write(folder, "good.mmstats", sample::file(sample::counter("requests", 42)));
  const auto fifo = folder / "fifo.mmstats";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const auto link = folder / "link.mmstats";
  REQUIRE(::symlink(good.c_str(), link.c_str()) == 0);
  const auto directory = folder / "directory.mmstats";
  REQUIRE(::mkdir(directory.c_str(), 0700) == 0);
  const auto sparse = sample::write(folder, "sparse.mmstats", "\x01");
  REQUIRE(::truncate(sparse.c_str(), off_t{1} << 40U) == 0);
  const auto escapes = sample::write(folder, "\x1b[2J.mmstats", "");
  const auto too_large =
      ": is larger than the limit of " + std::to_string(mmstats::kDefaultMaxFileSize) + " bytes\n";
  struct Row {
    std::string path;
    const char* message;
  };
  const Row rows[] = {
      {fifo, ": is a FIFO, not a regular file; it was not opened\n"},
      {link, ": is a symbolic link; it was not followed\n"},
      {directory, ": is a folder, not a file\n"},
      {sparse, too_large.c_str()},
      {sample::write(folder, "empty.mmstats", ""), ": is empty: its writer has not finished\n"},
      {sample::write(folder, "zeros.mmstats", std::string(4096, '\0')),
       ": begins with a zero byte: its writer has not finished\n"},
      {sample::write(folder, "text.mmstats", "hello"),
       ": is not an mmstats file: version 0x68 at byte 0 is not known, only 0x01 is\n"},
      {folder / "missing.mmstats", ": cannot be looked at: No such file or directory\n"},
      {escapes, "\\x1B[2J.mmstats: is empty: its writer has not finished\n"},
  };
  std::vector<std::string> arguments;
  for (const Row& row : rows) arguments.push_back(row.path);
  arguments.insert(arguments.begin() + 3, good);
  const Outcome outcome = run(arguments);
  CHECK(outcome.status == 1);
  CHECK(outcome.out == "==> " + good + "\n  requests 42\n\n");
  for (const Row& row : rows) {
    CAPTURE(row.path);
    CHECK(contains(outcome.err, row.path == escapes ? row.message : "slurpstats: " + row.path + row.message));
  }
  CHECK(std::ranges::count(outcome.err, '\n') == static_cast<std::ptrdiff_t>(std::size(rows)));
  CHECK_FALSE(contains(outcome.err, "\x1b"));

  arguments.insert(arguments.begin(), "--json");
  const Outcome as_json = run(arguments);
  CHECK(as_json.status == 1);
  CHECK(as_json.err == outcome.err);
  const json files = json::parse(as_json.out);
  REQUIRE(files.size() == std::size(rows) + 1);
  for (std::size_t i = 0; i < files.size(); ++i) {
    CHECK(files[i]["file"] == arguments[i + 1]);
    CHECK(files[i]["fields"].size() == (arguments[i + 1] == good ? 1 : 0));
    CHECK(files[i]["damage"].size() == (arguments[i + 1] == good ? 0 : 1));
  }
}

TEST_CASE("without a file it reads those that the environment names, in the order of their paths") {
  const TemporaryFolder folder;
  for (const std::string name : {"c", "a", "b"}) {
    sample::write(folder, name + ".mmstats", sample::file(sample::counter(name, 1)));
  }
  sample::write(folder, "other", sample::file(sample::counter("other", 1)));
  std::string want;
  for (const std::string name : {"a", "b", "c"}) {
    want += "==> " + (folder / (name + ".mmstats")) + "\n  " + name + " 1\n\n";
  }
  const std::vector<std::vector<std::string>> environments = {
      {"MMSTATS_GLOB=" + (folder / "*.mmstats")},
      {"MMSTATS_PATH=" + folder.path()},
      {"MMSTATS_GLOB=" + (folder / "*.mmstats"), "MMSTATS_PATH=/nonexistent"},
  };
  for (const auto& environment : environments) {
    const Outcome outcome = run({}, environment);
    CHECK(outcome.status == 0);
    CHECK(outcome.err.empty());
    CHECK(outcome.out == want);
  }
}

TEST_CASE("that there are no files is said, and is no failure") {
  const TemporaryFolder folder;
  const std::string glob = folder / "*.mmstats";
  for (const std::string& pattern : {glob, "/nonexistent" + glob}) {
    const Outcome outcome = run({}, {"MMSTATS_GLOB=" + pattern});
    CHECK(outcome.status == 0);
    CHECK(outcome.out.empty());
    CHECK(outcome.err == "slurpstats: no mmstats files match " + pattern + "\n");
    CHECK(run({"--json"}, {"MMSTATS_GLOB=" + pattern}).out == "[]\n");
  }
}

TEST_CASE("what cannot be read among files that were found is reported as well") {
  const TemporaryFolder folder;
  sample::write(folder, "good.mmstats", sample::file(sample::counter("requests", 42)));
  const auto fifo = folder / "fifo.mmstats";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const auto empty = sample::write(folder, "empty.mmstats", "");
  const Outcome outcome = run({}, {"MMSTATS_PATH=" + folder.path()});
  CHECK(outcome.status == 1);
  CHECK(contains(outcome.out, "  requests 42\n"));
  CHECK(contains(outcome.err, fifo));
  CHECK(contains(outcome.err, empty));
}

TEST_CASE("questions about the program are answered, and a wrong command line is told from bad files") {
  for (const char* option : {"-h", "--help"}) {
    const Outcome outcome = run({option});
    CHECK(outcome.status == 0);
    CHECK(contains(outcome.out, "--json"));
    CHECK(outcome.err.empty());
  }
  const Outcome version = run({"--version"});
  CHECK(version.status == 0);
  CHECK(version.out.starts_with("slurpstats "));
  for (const char* option : {"--no-such-option", "-x", "--json=maybe"}) {
    const Outcome outcome = run({option});
    CHECK(outcome.status == 2);
    CHECK(outcome.out.empty());
    CHECK(!outcome.err.empty());
  }
  CHECK(contains(run({"--", "-x"}).err, "slurpstats: -x: cannot be looked at"));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("a value of millions of items is written without being held") {
  const TemporaryFolder folder;
  constexpr std::size_t kItems = 4'000'000;
  const auto path = sample::write(
      folder, "a.mmstats",
      sample::file(sample::field("a", std::to_string(kItems) + "B", 0xFF, std::string(kItems, '\1'))));
  // With so many KiB of its own, of which the file takes 4,000: what the system counts for a child has that
  // of the process in it which started it.
  const std::string command = "ulimit -d 16384 && exec '" SLURPSTATS "' \"$@\"";
  for (const auto& arguments : {std::vector<std::string>{path}, {"--json", path}}) {
    std::vector<std::string> words{"-c", command, "sh"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    const Outcome outcome = run(words, {}, "/bin/sh");
    CHECK(outcome.status == 0);
    CHECK(std::ranges::count(outcome.out, '1') >= static_cast<std::ptrdiff_t>(kItems));
  }
}
#endif

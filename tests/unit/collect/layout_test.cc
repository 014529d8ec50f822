// The shape of a file: what it is hashed by, and that what costs too much is refused before it is built.
#include "collect/layout.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>

#include "collect/fold.h"
#include "collect/fold_world.h"
#include "collect/layout_cache.h"
#include "collect/work.h"

using namespace mmstats;
using namespace folded;

namespace {

struct ReadFile {
  std::vector<std::byte> bytes;
  ParsedFile content;

  explicit ReadFile(const MadeFile& made) : bytes(made.padded()) { parse(bytes, content); }
};

std::uint64_t hash_of(const MadeFile& made) {
  const ReadFile file(made);
  return Layout::hash(file.content, file.bytes);
}

// Fields that stand for a thousand values each.
MadeFile many_items(int fields, const std::string& label = "f") {
  MadeFile made;
  struct Items {
    char items[1024];
  };
  for (int i = 0; i < fields; ++i) made.unbuffered(label + std::to_string(i), "1024?", Items{});
  return made;
}

Rules rules_with_texts() {
  Rules rules;
  REQUIRE(rules
              .add({.pattern = "(.*)(..)",
                    .kind = {},
                    .aggregate = {},
                    .name = "\\0.\\1.\\2.\\0 and more",
                    .sink_type = "a type with a name",
                    .keep_groups = true})
              .has_value());
  return rules;
}

std::string repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

}  // namespace

TEST_CASE("what an index says of a field is what a search for it finds") {
  std::mt19937 random(20261127);
  const auto pick = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
  const std::vector<std::string> parts{"a",
                                       "b",
                                       "a.b",
                                       "\t",
                                       "\t",
                                       "\t",
                                       "\n",
                                       "\n",
                                       "counter",
                                       "gauge",
                                       "bytes",
                                       "help",
                                       " ",
                                       "c",
                                       std::string("\0", 1),
                                       "\na\tcounter",
                                       "\na.b\tgauge\tbytes\thelp",
                                       "\nhelp\tstate\n",
                                       "\nab\ttimestamp\t",
                                       "\na\tcounter\tbytes\t\t\tx y",
                                       "\na.b\tgauge\t\thelp\t\tx\tmore\n",
                                       "\na.b\thistogram\tseconds\t\tlog-linear 4 -30 50\tx\n",
                                       "\na\tstate\t\t\t\tx x"};
  const std::vector<std::string> labels{"a",
                                        "b",
                                        "c",
                                        "a.b",
                                        "ab",
                                        "help",
                                        " ",
                                        "a\tb",
                                        "a\nb",
                                        "a.b.c",
                                        "a.b.c.d",
                                        "a.b.c.sum",
                                        "a..",
                                        "..",
                                        "a.b.c.p9",
                                        "a.b.c.d.e",
                                        "a.b.c.count",
                                        "a.b.\t",
                                        std::string("a\0", 2)};
  int known = 0;
  int of_families = 0;
  for (int i = 0; i < 5000; ++i) {
    MadeFile made;
    std::string together;
    for (int texts = pick(3); texts >= 0; --texts) {
      std::string text;
      for (int n = pick(30); n > 0; --n) {
        // A NUL hides all that is behind it, so that there are few.
        const std::string& part = parts[static_cast<std::size_t>(pick(static_cast<int>(parts.size())))];
        if (part[0] != '\0' || pick(6) == 0) text += part;
      }
      made.text(texts == 1 ? "app.sys.metadata" : "sys.metadata", text, text.size() + 1);
      together += text.substr(0, text.find('\0')) + '\n';
    }
    for (const std::string& label : labels) made.buffered(label, "Q", std::uint64_t{1});
    const ReadFile file(made);
    const MetadataIndex index(file.content);
    for (const std::string& label : labels) {
      const auto want = find_metadata(together, label);
      const auto found = index.find(label);
      known += found.kind ? 1 : 0;
      REQUIRE(found.kind == want.kind);
      REQUIRE(found.unit == want.unit);
      REQUIRE(found.help == want.help);
      REQUIRE(found.family == want.family);
      REQUIRE(found.dimensions == want.dimensions);
      REQUIRE(found.values == want.values);
      of_families += found.family.empty() ? 0 : 1;
    }
  }
  CHECK(known > 1000);
  CHECK(of_families > 1000);
  CHECK_FALSE(MetadataIndex(ReadFile(MadeFile().buffered("a", "Q", 1UL)).content).find("a").kind.has_value());
}

TEST_CASE("a look-up in the metadata of 40,000 fields compares few of them") {
  constexpr int kFields = 40'000;
  std::string text;
  MadeFile made;
  for (int i = 0; i < kFields; ++i) {
    const std::string label = "app.requests." + std::to_string(i);
    text += label + "\tcounter\trequests\tOf number " + std::to_string(i) + '\n';
    made.buffered(label, "Q", std::uint64_t{1});
  }
  made.text("sys.metadata", text, text.size() + 1);
  const ReadFile file(made);
  const MetadataIndex index(file.content);
  // By chance alone, 20 in one bucket would be seen once in 10^14 runs.
  CHECK(index.longest_search() < 20);
  CHECK(index.find("app.requests.39999").help == "Of number 39999");
}

TEST_CASE(
    "of 10,000 families each is found in a few steps, and no more memory is used than for as many fields") {
  constexpr int kFamilies = 10'000;
  std::string text;
  MadeFile made;
  for (int i = 0; i < kFamilies; ++i) {
    const std::string label = "app.f" + std::to_string(i);
    text += label + "\tcounter\t\tOf number " + std::to_string(i) + "\t\ta b\n";
    made.buffered(label + ".x.y", "Q", std::uint64_t{1});
  }
  made.text("sys.metadata", text, text.size() + 1);
  const ReadFile file(made);
  const MetadataIndex index(file.content);
  CHECK(index.longest_search() < 20);
  CHECK(index.more_searches() == 1);
  CHECK(index.find("app.f9999.x.y").help == "Of number 9999");
  CHECK(index.find("app.f9999.x").family.empty());
}

TEST_CASE("lines of families without fields take no memory, and much work is told before") {
  std::string text = "app.\xFF\tcounter\t\tFirst\t\ta\n";
  for (int i = 0; i < 50'000; ++i) text += std::to_string(i) + "\tcounter\t\t\t\ta\n";
  text += "app\tcounter\t\tLast\t\ta\napp-\tgauge\t\tNone\t\ta\n";
  MadeFile made;
  for (const char* label : {"app.x", "app-x", "app", "app.\xFF.y", "app\xFF", "ap", "7x"})
    made.buffered(label, "Q", std::uint64_t{1});
  made.text("sys.metadata", text, text.size() + 1);
  const ReadFile file(made);
  const MetadataIndex index(file.content);
  CHECK(index.families() == 2);
  CHECK(index.find("app.x").help == "Last");
  CHECK(index.find("app.\xFF.y").help == "First");
  CHECK(index.find("app-x").family.empty());
  World world;
  world.put(0, made);
  world.scan();
  CHECK(world.fold.work() > work::kMatched * 100'000);
}

TEST_CASE("an element has what the metadata of its file says of the whole") {
  struct Four {
    double items[4];
  };
  World world;
  world.put(0, MadeFile()
                   .text("sys.metadata", "heat\tcounter\tcelsius\tBy core\nheat.3\tgauge\n", 64)
                   .buffered("heat", "4d", Four{}));
  world.scan();
  REQUIRE(world.fold.series().size() == 4);
  for (const Series& series : world.fold.series()) {
    CHECK(series.kind == Kind::kCounter);
    CHECK(series.unit() == "celsius");
    CHECK(series.help() == "By core");
  }
}

TEST_CASE("files that differ in any byte that is compared do not share a hash, whatever their values") {
  std::set<std::uint64_t> hashes;
  constexpr std::string_view kTypes = "QqdLlNn";
  for (const char a : kTypes) {
    for (const char b : kTypes) {
      hashes.insert(hash_of(MadeFile()
                                .buffered("a", std::string(1, a), std::uint64_t{1})
                                .unbuffered("b", std::string(1, b), std::uint64_t{1})));
    }
  }
  CHECK(hashes.size() == kTypes.size() * kTypes.size());
  const auto with = [](std::string_view metadata, std::uint64_t value) {
    return hash_of(MadeFile().text("sys.metadata", metadata, 32).buffered("a", "Q", value));
  };
  CHECK(with("a\tgauge\n", 1) == with("a\tgauge\n", 2));
  CHECK(with("a\tgauge\n", 1) != with("a\tstate\n", 1));
  // Behind damage, too.
  const auto damaged = [](char c) {
    return hash_of(MadeFile().buffered("a", "Q", std::uint64_t{1}).raw(std::string("\1\0b\1\0!", 6) + c));
  };
  CHECK(damaged('x') == damaged('x'));
  CHECK(damaged('x') != damaged('y'));
}

TEST_CASE("no shape takes more memory than was said before it was built, and a usual one not much less") {
  const std::string help = repeated("Every line has a long help. ", 20);
  struct Three {
    std::uint32_t items[3];
  };
  for (const bool texts : {false, true}) {
    const Rules rules = texts ? rules_with_texts() : Rules();
    MadeFile made;
    std::string metadata;
    for (int i = 0; i < 300; ++i) {
      const std::string label = repeated("label.", i % 40 + 1) + std::to_string(i / 2);
      metadata += label + "\tcounter\tbytes\t" + help + '\n';
      if (i % 3 == 0) {
        made.buffered(label, "3I", Three{});
      } else {
        made.buffered(label, "Q", std::uint64_t{1});
      }
    }
    made.text("sys.metadata", metadata, metadata.size() + 1);
    const ReadFile file(made);
    const MetadataIndex index(file.content);
    const Layout layout(file.content, file.bytes, rules, index);
    REQUIRE(layout.plans().size() == 500);
    const std::size_t most = Layout::most_memory(file.content, file.bytes.size(), rules, index);
    CHECK(layout.memory() <= most);
    CHECK(most < 2 * layout.memory() + (texts ? 4 * layout.memory() : 0));
  }
}

TEST_CASE(
    "a file whose few bytes stand for more values than can be kept is refused before any is looked at") {
  const std::string help =
      "\tcounter\t\t" + repeated("Help that a thousand values would have each. ", 20'000);
  const MadeFile files[] = {
      many_items(4000),
      many_items(100, std::string(60'000, 'x')),
      many_items(4).text("sys.metadata", "f0" + help, 1U << 20U),
  };
  for (const MadeFile& made : files) {
    const ReadFile file(made);
    Rules rules;
    const auto use = rules.record_use();
    Shares memory(std::size_t{256} << 20U);
    LayoutCache layouts(memory);
    std::size_t needed = 0;
    for (int scan = 0; scan < 2; ++scan) {
      CHECK(layouts.find(file.content, file.bytes, rules, 0, needed) == nullptr);
      CHECK(needed > memory.limit());
    }
    // No label was met.
    CHECK_FALSE(use->take().has_value());
    const ReadFile good(MadeFile().buffered("a", "Q", std::uint64_t{1}));
    CHECK(layouts.find(good.content, good.bytes, rules, 0, needed) != nullptr);
    CHECK(use->take().has_value());
  }
}

// Which fields are one series: families that overlap, rules that drop different dimensions, labels that are
// written in several ways, files that learn of their families late.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "collect/distributions.h"
#include "collect/fold_world.h"
#include "collect/work.h"

using namespace mmstats;
using namespace folded;

namespace {

using Dimensions = std::vector<Dimension>;
using Names = std::vector<std::string>;

MadeFile file(std::string_view told, std::uint32_t pid = 10) {
  return MadeFile().owner(pid, 100).text("sys.metadata", told, told.size() + 1);
}

Rule of_family(const char* family) {
  Rule rule;
  rule.family = family;
  return rule;
}

// Name, family and dimensions of a series.
using Key = std::tuple<std::string, std::string, Dimensions>;
using Totals = std::map<Key, std::uint64_t>;

Totals totals(const Fold& fold) {
  Totals all;
  for (const Series& one : fold.series()) {
    const auto [known, is_new] = all.emplace(Key(one.name(), one.family(), one.dimensions()), one.total);
    CHECK(is_new);
  }
  return all;
}

}  // namespace

TEST_CASE("two rules that drop different dimensions make two series, though they have one name") {
  Rules rules;
  Rule rule = of_family("q");
  rule.where = {{"a", "x"}};
  rule.drop = Names{"b"};
  REQUIRE(rules.add(rule));
  rule = of_family("q");
  rule.drop = Names{"a"};
  REQUIRE(rules.add(rule));
  World world(std::move(rules));
  world.put(0, file("q\tcounter\t\t\t\ta b\n").buffered("q.x.1", "Q", 5UL).buffered("q.y.x", "Q", 7UL));
  world.scan();
  CHECK(totals(world.fold) == Totals{{{"q.x", "q", {{"a", "x"}}}, 5}, {{"q.x", "q", {{"b", "x"}}}, 7}});
  for (const Series& one : world.fold.series())
    CHECK(one.rule() == (one.dimensions()[0].name == "a" ? 0 : 1));
}

TEST_CASE("two rules that leave the same dimensions are two series where the sink has texts for each") {
  for (const bool texts : {false, true}) {
    Rules rules;
    Rule rule = of_family("q");
    rule.keep_groups = texts;
    rule.where = {{"b", "5.."}};
    rule.drop = Names{"b"};
    REQUIRE(rules.add(rule));
    rule.where.clear();
    REQUIRE(rules.add(rule));
    World world(std::move(rules));
    world.put(0, file("q\tcounter\t\t\t\ta b\n")
                     .buffered("q.x.200", "Q", 5UL)
                     .buffered("q.x.503", "Q", 7UL)
                     .buffered("q.x.404", "Q", 1UL));
    world.scan();
    std::map<std::int32_t, std::uint64_t> by_rule;
    for (const Series& one : world.fold.series()) by_rule[one.rule()] += one.total;
    CHECK(by_rule == (texts ? std::map<std::int32_t, std::uint64_t>{{0, 7}, {1, 6}}
                            : std::map<std::int32_t, std::uint64_t>{{1, 13}}));
  }
}

TEST_CASE("families that overlap in different files are told apart, whichever file comes first") {
  const auto two = file("r\tcounter\t\t\t\tm s\n", 10).buffered("r.GET.200", "Q", 17UL);
  const auto one = file("r.GET\tcounter\t\t\t\ts\n", 11).buffered("r.GET.200", "Q", 100UL);
  const auto none = file("", 12).buffered("r.GET.200", "Q", 3UL);
  const Totals want{{{"r.GET.200", "r", {{"m", "GET"}, {"s", "200"}}}, 17},
                    {{"r.GET.200", "r.GET", {{"s", "200"}}}, 100},
                    {{"r.GET.200", "", {}}, 3}};
  std::array<const MadeFile*, 3> files{&two, &one, &none};
  std::ranges::sort(files);
  do {
    World world;
    for (FileKey key = 0; key < files.size(); ++key) {
      world.put(key, *files.at(key));
      world.scan();
    }
    CHECK(totals(world.fold) == want);
  } while (std::ranges::next_permutation(files).found);
}

TEST_CASE("a family that comes late leaves alone what a plain label counted") {
  World world;
  world.put(0, file("", 10).buffered("late.GET", "Q", 5UL));
  world.scan();
  const std::uint64_t generations = world.fold.stats().generations;
  world.put(1, file("late\tcounter\t\t\t\tm\n", 11).buffered("late.GET", "Q", 7UL));
  world.scan();
  CHECK(totals(world.fold) == Totals{{{"late.GET", "", {}}, 5}, {{"late.GET", "late", {{"m", "GET"}}}, 7}});
  CHECK(world.fold.series()[0].family().empty());
  CHECK(world.fold.stats().generations == generations);
}

TEST_CASE(
    "a sink of names alone takes a combination for the label of the same name, unless dimensions are "
    "dropped") {
  Rules rules;
  rules.tell_by_names();
  Rule rule = of_family("dropped");
  rule.drop = Names{"m"};
  REQUIRE(rules.add(rule));
  World world(std::move(rules));
  world.put(0, file("", 10).buffered("late.GET", "Q", 5UL).buffered("dropped.200", "Q", 1UL));
  world.put(1, file("late\tcounter\t\t\t\tm\ndropped\tcounter\t\t\t\tm s\n", 11)
                   .buffered("late.GET", "Q", 7UL)
                   .buffered("dropped.GET.200", "Q", 2UL));
  world.scan();
  CHECK(totals(world.fold) == Totals{{{"late.GET", "", {}}, 12},
                                     {{"dropped.200", "", {}}, 1},
                                     {{"dropped.200", "dropped", {{"s", "200"}}}, 2}});
}

TEST_CASE("a combination is one series, in however many ways files write it") {
  World world;
  const auto told = "r\tcounter\t\t\t\tm s\n";
  world.put(0, file(told, 10).buffered("r.GET.200", "Q", 17UL));
  world.put(1, file(told, 11).buffered("r.GET.%32%30%30", "Q", 1UL).buffered("r.G%45T.20%30", "Q", 2UL));
  world.scan();
  CHECK(totals(world.fold) == Totals{{{"r.GET.200", "r", {{"m", "GET"}, {"s", "200"}}}, 20}});
}

TEST_CASE("a series whose dimensions are all dropped is that of the plain label") {
  Rules rules;
  rules.keep_dimensions({});
  World world(std::move(rules));
  world.put(0, file("", 10).buffered("hits", "Q", 5UL));
  world.put(1,
            file("hits\tcounter\t\t\t\tm\n", 11).buffered("hits.a", "Q", 7UL).buffered("hits.b", "Q", 1UL));
  world.scan();
  CHECK(totals(world.fold) == Totals{{{"hits", "", {}}, 13}});
}

TEST_CASE("values in names keep apart what they tell apart") {
  Rules rules;
  Rule rule = of_family("q");
  rule.name = "%{a}.%{b}";
  REQUIRE(rules.add(rule));
  World world(std::move(rules));
  world.put(0, file("q\tcounter\t\t\t\ta b c\n")
                   .buffered("q.x%2Ey.z.1", "Q", 5UL)
                   .buffered("q.x.y%2Ez.1", "Q", 7UL)
                   .buffered("q.x.y%2Ez.2", "Q", 1UL));
  world.scan();
  CHECK(totals(world.fold) == Totals{{{"x%2Ey.z", "", {}}, 5}, {{"x.y%2Ez", "", {}}, 8}});
}

// ---- histograms

namespace {

constexpr std::string_view kTimes = "time\thistogram\tseconds\t\tlog-linear 4 -30 50\tm\n";

// Values from 1 to 2: how many, by combination.
MadeFile times(const std::map<std::string, std::uint64_t>& counts) {
  MadeFile made = file(kTimes);
  for (const auto& [method, count] : counts) {
    const auto label = "time." + method;
    made.buffered(label + ".count", "Q", count);
    made.buffered(label + ".sum", "d", static_cast<double>(count));
    made.unbuffered(label + ".buckets.0", "   4Q", std::array<std::uint64_t, 4>{count});
  }
  return made;
}

std::map<std::string, double> values(const Fold& fold) {
  std::map<std::string, double> all;
  for (const Series& one : fold.series()) {
    if (one.name().ends_with(".count") || one.name().ends_with(".sum"))
      all[one.name()] = one.integral ? static_cast<double>(one.total) : one.value;
  }
  return all;
}

std::uint64_t counted(const Fold& fold) {
  std::uint64_t all = 0;
  for (const auto& one : fold.distributions()) all += one ? one->total.count() : 0;
  return all;
}

}  // namespace

TEST_CASE("what a histogram's rule drops is dropped of all that it tells") {
  Rules rules;
  Rule rule;
  rule.pattern = "time[.][^.]*";  // LABEL alone
  rule.drop = Names{"m"};
  REQUIRE(rules.add(rule));
  World world(std::move(rules));
  world.put(0, times({{"GET", 3}, {"PUT", 4}}));
  world.scan();
  CHECK(values(world.fold) == std::map<std::string, double>{{"time.count", 7}, {"time.sum", 7}});
  REQUIRE(world.fold.distributions().size() == 1);
  const Distribution& one = *world.fold.distributions()[0];
  CHECK(one.total.count() == 7);
  REQUIRE(one.sum >= 0);
  CHECK(world.fold.series()[static_cast<std::size_t>(one.sum)].value == 7);
}

TEST_CASE("no histogram's series get what was counted for others, whatever their own rules say") {
  struct Row {
    const char* what;
    Rule whole;
    Rule parts;
    std::map<std::string, double> want;
  };
  const std::map<std::string, double> apart{
      {"time.GET.count", 3}, {"time.GET.sum", 3}, {"time.PUT.count", 4}, {"time.PUT.sum", 4}};
  const auto rule = [](const char* pattern, std::optional<Names> keep, std::optional<Names> drop,
                       const char* name) {
    Rule made;
    made.pattern = pattern;
    made.keep = std::move(keep);
    made.drop = std::move(drop);
    if (*name != '\0') made.name = name;
    return made;
  };
  constexpr auto kWhole = "time[.][^.]*";
  constexpr auto kParts = "time[.]([^.]*)[.](.*)";
  const Row rows[] = {
      {"parts keep", rule(kWhole, {}, Names{"m"}, ""), rule(kParts, Names{"m"}, {}, ""), apart},
      {"named whole", rule(kWhole, {}, {}, "t"), rule("none", {}, {}, ""), apart},
      {"both named",
       rule(kWhole, {}, {}, "t"),
       rule(kParts, {}, {}, "\\1.x.\\2"),
       {{"GET.x.count", 3}, {"GET.x.sum", 3}, {"PUT.x.count", 4}, {"PUT.x.sum", 4}}},
      {"named parts",
       rule(kWhole, {}, Names{"m"}, ""),
       rule(kParts, {}, {}, "\\1.\\2"),
       {{"GET.count", 3}, {"GET.sum", 3}, {"PUT.count", 4}, {"PUT.sum", 4}}},
      {"parts drop",
       rule(kWhole, Names{"m"}, {}, ""),
       rule(kParts, Names{}, {}, ""),
       {{"time.count", 7}, {"time.sum", 7}}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Rules rules;
    REQUIRE(rules.add(row.whole));
    REQUIRE(rules.add(row.parts));
    World world(std::move(rules));
    world.put(0, times({{"GET", 3}, {"PUT", 4}}));
    world.scan();
    CHECK(values(world.fold) == row.want);
    CHECK(counted(world.fold) == 7);
  }
}

TEST_CASE("series of a histogram are told apart as it is, also by the rule that the sink has texts for") {
  Rules rules;
  Rule rule;
  rule.pattern = "time[.]([^.])[^.]*";
  rule.where = {{"m", "G.*"}};
  rule.drop = Names{"m"};
  rule.keep_groups = true;
  rule.asks_groups = {1};
  REQUIRE(rules.add(rule));
  rule.where.clear();
  REQUIRE(rules.add(rule));
  World world(std::move(rules));
  world.put(0, times({{"GET", 3}, {"GO", 5}, {"PUT", 4}, {"POST", 2}, {"DO", 1}}));
  world.scan();
  std::map<std::string, std::uint64_t> by_rule;
  const auto distributions = world.fold.distributions();
  for (std::size_t i = 0; i < distributions.size(); ++i) {
    const Distribution& one = *distributions[i];
    CHECK(one.dimensions().empty());
    by_rule[std::to_string(one.rule()) + one.groups().at(0)] += one.total.count();
    std::size_t counts = 0;
    for (const Series& part : world.fold.series()) {
      if (!part.name().ends_with(".count") || part.distribution != static_cast<std::int32_t>(i)) continue;
      ++counts;
      CHECK(part.total == one.total.count());
    }
    CHECK(counts == 1);
    REQUIRE(one.sum >= 0);
    CHECK(world.fold.series()[static_cast<std::size_t>(one.sum)].value ==
          static_cast<double>(one.total.count()));
  }
  CHECK(by_rule == std::map<std::string, std::uint64_t>{{"0G", 8}, {"1P", 6}, {"1D", 1}});
}

TEST_CASE("many combinations of a histogram that become one cost what they cost apart") {
  std::array<std::uint64_t, 2> targets{};
  for (const int size : {0, 1}) {
    std::map<std::string, std::uint64_t> counts;
    for (int i = 0; i < (size == 0 ? 100 : 1000); ++i) counts["m" + std::to_string(i)] = 1;
    Rules rules;
    Rule rule;
    rule.pattern = "time[.][^.]*";
    rule.name = "t";
    REQUIRE(rules.add(rule));
    World world(std::move(rules));
    world.put(0, times(counts));
    world.scan();
    CHECK(counted(world.fold) == counts.size());
    for (const auto& one : world.fold.distributions()) CHECK(one->name() == "t");
    // Each has its own: so no list gets longer.
    targets.at(static_cast<std::size_t>(size)) = world.fold.distributions().size();
  }
  CHECK(targets[1] == 10 * targets[0]);
}

// ---- a model

namespace {

using Random = std::mt19937_64;

template <class T>
const T& any_of(Random& random, const std::vector<T>& all) {
  return all[random() % all.size()];
}

std::string escaped(std::string_view value) {
  std::string part;
  for (const char c : value) part += c == '.' ? "%2E" : c == '%' ? "%25" : std::string(1, c);
  return part;
}

// What of families a file may know: the label, and the dimensions.
struct Known {
  std::string label;
  Names dimensions;
};
const std::vector<Known> kKnown{
    {"q", {"a", "b"}}, {"q.x", {"b"}}, {"q", {"b", "a"}}, {"q.x", {}}, {"r", {"a"}}};

struct Combination {
  const Known* known;
  Names values;
  [[nodiscard]] Dimensions dimensions() const {
    Dimensions all;
    for (std::size_t i = 0; i < values.size(); ++i) all.push_back({known->dimensions[i], values[i]});
    return all;
  }
};

// A rule as the model knows it: exact texts in place of patterns.
struct ModelRule {
  std::string family;  // empty: for any label
  std::optional<Dimension> where;
  std::optional<Names> keep;
  std::optional<Names> drop;
  std::string name;

  [[nodiscard]] Rule rule() const {
    Rule made;
    made.family = family;
    if (family.empty()) made.pattern = ".*";
    if (where) made.where = {{where->name, where->value}};
    made.keep = keep;
    made.drop = drop;
    if (!name.empty()) made.name = name;
    return made;
  }
};

const std::string* value_of(const Dimensions& dimensions, std::string_view name) {
  const auto known = std::ranges::find(dimensions, name, &Dimension::name);
  return known == dimensions.end() ? nullptr : &known->value;
}

bool has(const Names& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

// What the first rule that matches makes of a combination.
Key key_of(const Combination& one, const std::vector<ModelRule>& rules) {
  const auto dimensions = one.dimensions();
  const ModelRule* decides = nullptr;
  for (const ModelRule& rule : rules) {
    if (!rule.family.empty() && (dimensions.empty() || rule.family != one.known->label)) continue;
    if (rule.where) {
      const auto* value = value_of(dimensions, rule.where->name);
      if (value == nullptr || *value != rule.where->value) continue;
    }
    decides = &rule;
    break;
  }
  if (decides != nullptr && !decides->name.empty()) {
    if (decides->name == "all") return {"all", "", {}};
    // n.%{a}
    if (const auto* value = value_of(dimensions, "a")) return {"n." + escaped(*value), "", {}};
  }
  Dimensions kept;
  std::string label = one.known->label;
  for (const Dimension& dimension : dimensions) {
    if (decides != nullptr && decides->keep && !has(*decides->keep, dimension.name)) continue;
    if (decides != nullptr && decides->drop && has(*decides->drop, dimension.name)) continue;
    kept.push_back(dimension);
    label += "." + escaped(dimension.value);
  }
  return {label, kept.empty() ? "" : one.known->label, kept};
}

std::string written(const std::string& value, Random& random) {
  std::string part = escaped(value);
  if (random() % 3 != 0 || value.empty()) return part;
  // In another way: what is escaped anyway stays so.
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  part.clear();
  for (const char c : value) {
    part += '%';
    part += kDigits[static_cast<unsigned char>(c) >> 4U];
    part += kDigits[static_cast<unsigned char>(c) & 15U];
  }
  return part;
}

std::vector<ModelRule> any_rules(Random& random) {
  std::vector<ModelRule> rules(random() % 4);
  for (ModelRule& rule : rules) {
    rule.family = any_of<std::string>(random, {"", "q", "q.x", "r"});
    if (random() % 2 == 0)
      rule.where = {any_of<std::string>(random, {"a", "b"}), any_of<std::string>(random, {"x", "y"})};
    const std::vector<Names> lists{{}, {"a"}, {"b"}, {"a", "b"}};
    if (random() % 3 == 0) rule.keep = any_of(random, lists);
    if (random() % 3 == 0) rule.drop = any_of(random, lists);
    rule.name = any_of<std::string>(random, {"", "", "", "all", "n.%{a}"});
  }
  return rules;
}

}  // namespace

TEST_CASE("whatever rules drop, each value counts once, for what its rule calls it and keeps of it") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    const auto model = any_rules(random);
    Rules rules;
    for (const ModelRule& rule : model) REQUIRE(rules.add(rule.rule()));
    World world(std::move(rules));
    Totals want;
    std::uint32_t lives = 100;
    // By file: what it writes, and what that counted.
    struct Writer {
      std::uint32_t pid = 0;
      std::string told;
      std::vector<std::pair<std::string, Key>> fields;
      std::vector<std::uint64_t> counted;
    };
    std::map<FileKey, Writer> writers;
    for (int step = 0; step < 12; ++step) {
      const FileKey key = random() % 4;
      Writer& writer = writers[key];
      if (writer.pid == 0) {
        writer.pid = ++lives;
        std::map<std::string, const Known*> families;  // a file has one of a label
        for (int i = 0; i < 2; ++i) {
          const Known& known = any_of(random, kKnown);
          families.try_emplace(known.label, &known);
        }
        for (const auto& [label, known] : families) {
          if (known->dimensions.empty()) continue;
          writer.told += label + "\tcounter\t\t\t\t";
          for (const auto& name : known->dimensions)
            writer.told += (name == known->dimensions[0] ? "" : " ") + name;
          writer.told += '\n';
        }
        for (int i = 0; i < 6; ++i) {
          const Known* known =
              std::next(families.begin(), static_cast<int>(random() % families.size()))->second;
          Combination one{.known = known, .values = {}};
          std::string label = known->label;
          for (std::size_t d = 0; d < known->dimensions.size(); ++d) {
            one.values.push_back(any_of<std::string>(random, {"x", "y", "x.y", "%", ""}));
            label += "." + written(one.values.back(), random);
          }
          // The longest label of a family in the file has it.
          const auto longer = families.find("q.x");
          const bool is_taken = known->label == "q" && longer != families.end() &&
                                !longer->second->dimensions.empty() && label.starts_with("q.x.");
          const bool is_known =
              std::ranges::any_of(writer.fields, [&](const auto& field) { return field.first == label; });
          if (is_taken || is_known) continue;
          writer.fields.emplace_back(label, key_of(one, model));
        }
        writer.counted.assign(writer.fields.size(), 0);
      }
      MadeFile made = file(writer.told, writer.pid);
      for (std::size_t i = 0; i < writer.fields.size(); ++i) {
        const std::uint64_t added = random() % 5;
        writer.counted[i] += added;
        want[writer.fields[i].second] += added;
        made.buffered(writer.fields[i].first, "Q", writer.counted[i]);
      }
      world.put(key, made);
      if (random() % 4 == 0) {
        world.scan();
        world.gone = {key};
        writers.erase(key);
      }
      world.scan();
      REQUIRE(totals(world.fold) == want);
    }
  }
}

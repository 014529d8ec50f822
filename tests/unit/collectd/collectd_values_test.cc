#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/hash.h"
#include "collect/edit_described.h"
#include "collectd/host_types.h"
#include "mmstats/snapshot.h"
#include "plugin_collectd/values.h"

using mmstats::Kind;
using mmstats::Series;
using mmstats::collectd::DataSource;
using mmstats::collectd::HostType;
using mmstats::collectd::NameRules;
using mmstats::collectd::SeriesNames;
using mmstats::collectd::type_instance;

namespace {

constexpr std::int32_t kNoSlot = -1;

std::string map(std::string_view name, std::int32_t slot = kNoSlot, NameRules rules = {}) {
  return type_instance(name, slot, rules);
}

// What every mapped name must be, whatever it was made of.
void check_fits(const std::string& name, std::size_t max_bytes = 127) {
  CAPTURE(name);
  CHECK_FALSE(name.empty());
  CHECK(name.size() <= max_bytes);
  CHECK(mmstats::collectd::is_plain_name(name));
}

// The types that rules ask for, by their number.
const std::vector<std::string> kTypes{"", "http_requests", "counter", "latency", "nonsense", "if_octets"};

Series series(std::string name, Kind kind, const std::string& type = "", std::int32_t slot = kNoSlot) {
  Series s;
  edit(s)->name = std::move(name);
  s.kind = kind;
  edit(s)->rule = static_cast<std::int32_t>(std::find(kTypes.begin(), kTypes.end(), type) - kTypes.begin());
  CHECK(kTypes.at(static_cast<std::size_t>(s.rule())) == type);
  s.slot = slot;
  s.integral = kind == Kind::kCounter;
  s.present = true;
  return s;
}

std::string identity(SeriesNames& names, const std::vector<Series>& all, std::size_t i) {
  const auto id = names.identity(i, all[i]);
  CHECK(id.type_instance.data()[id.type_instance.size()] == '\0');
  return std::string(id.type) + "-" + std::string(id.type_instance);
}

}  // namespace

TEST_CASE("a name that fits stays as it is") {
  for (const std::string name : {"requests", "a.b.c", "http.status-404", "A_b-c.D@e", "0", "-", "a-123456789",
                                 "deadbeefcafe", "x-DEADBEEFCAFE", "x-deadbeefcafe.y", "x_deadbeefcafe"}) {
    CHECK(map(name) == name);
  }
  const std::string longest(127, 'x');
  CHECK(map(longest) == longest);
}

// The hashes are those of another implementation, in Python:
//   h = 0xcbf29ce484222325
//   for b in name: h = (h ^ b) * 0x100000001b3 % 2**64
//   "%012x" % ((h ^ h >> 48) & (2**48 - 1))
TEST_CASE("a name that does not fit is mapped and gets its hash") {
  struct Row {
    std::string name;
    const char* want;
  };
  for (const auto& row : std::vector<Row>{
           {"a b", "a_b-99190483dead"},
           {"", "_-9ce48422e8d7"},
           {".a", "_a-4b07b4a095aa"},
           {"a.", "a_-f807b5451fdd"},
           {"a..b", "a._b-8b827aa25aea"},
           {"...", "___-3e17ec4be5c0"},
           {"a\nb", "a_b-b119041503ce"},
           {"http/get", "http_get-0d81c53135ee"},
           {"m\xC3"
            "\xA9"
            "trique.\xE2"
            "\x98"
            "\x83"
            ".total",
            "m__trique.___.total-4ea78435c710"},
           {"quote\"<script>alert(1)</script>;\t", "quote__script_alert_1___script___-580ef43a30c5"},
           {"queue:default", "queue_default-e9b8ab9ecc9d"},
           {"50%+1=~$x", "50__1___x-1161747a721e"},
           {"x-0123456789ab", "x-0123456789ab-e11a8eec1eff"},
           {std::string("a\0b", 3), "a_b-991904268360"},
           {std::string(128, 'x'),
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            "xxxxxxxxxxxxxxxxxx-49167e0e176c"},
           {std::string(65'535, 'k'),
            "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
            "kkkkkkkkkkkkkkkkkk-5f0ba468c6d0"},
       }) {
    CHECK(map(row.name) == row.want);
    check_fits(map(row.name));
  }
}

TEST_CASE("the labels of odd files are mapped without meeting") {
  const std::string kilobytes(65'535, 'k');
  std::vector<std::string> names{
      // of odd_values.mmstats
      "a label with spaces/and slashes",
      "cut",
      "m\xC3\xA9trique.\xE2\x98\x83.total",
      "quote\"<script>alert(1)</script>;\t",
      // and worse
      "",
      "_",
      " ",
      ".",
      "..",
      "...",
      "/",
      "//",
      "../../etc/passwd",
      "a b",
      "a_b",
      "a\nb",
      "a/b",
      "a.b",
      "a..b",
      "a._b",
      ".a.b",
      "a.b.",
      std::string("a\0b", 3),
      std::string("a\0", 2),
      "a",
      "\xFF\xFE",
      "a;tag=1",
      "a{b}",
      "a*",
      "a?",
      kilobytes,
      kilobytes + "k",
      std::string(65'534, 'k') + "l",
      std::string(127, 'k'),
      std::string(128, 'k'),
      std::string(126, '.') + "k",
      "x-0123456789ab",
      "x",
  };
  // What mapping makes of a name is taken for a name itself, as somebody may choose it.
  for (std::size_t i = 0, n = names.size(); i < n; ++i) names.push_back(map(names[i]));

  std::map<std::string, std::string> seen;
  for (const auto& name : names) {
    const auto mapped = map(name);
    check_fits(mapped);
    const auto [other, added] = seen.emplace(mapped, name);
    CHECK_MESSAGE((added || other->second == name), mapped);
  }
}

TEST_CASE("a worker slot is kept whatever has to be cut") {
  const NameRules rules{.max_bytes = 127, .slots = true};
  CHECK(map("requests", 0, rules) == "requests-0");
  CHECK(map("requests", 17, rules) == "requests-17");
  for (const std::size_t size : {124U, 125U, 126U, 127U, 1000U}) {
    std::set<std::string> seen;
    for (const std::int32_t slot : {0, 9, 10, 99, 100, std::numeric_limits<std::int32_t>::max()}) {
      const auto mapped = map(std::string(size, 's'), slot, rules);
      check_fits(mapped);
      CHECK(mapped.ends_with("-" + std::to_string(slot)));
      CHECK(seen.insert(mapped).second);
    }
  }
  CHECK(map(std::string(125, 's'), 9, rules) == std::string(125, 's') + "-9");
}

TEST_CASE("a name that ends like a slot is told from one with a slot") {
  const NameRules slots{.max_bytes = 127, .slots = true};
  CHECK(map("latency-99") == "latency-99");  // nothing to meet where there are no slots
  CHECK(map("latency-99", kNoSlot, slots) != map("latency", 99, slots));
  CHECK(map("latency-99-3", kNoSlot, slots) != map("latency-99", 3, slots));
  CHECK(map("latency-99", 3, slots) == "latency-99-3");
  CHECK(map("latency-", kNoSlot, slots) == "latency-");
  CHECK(map("99", kNoSlot, slots) == "99");
  const auto hashed = map("a b", kNoSlot, slots);
  CHECK(map(hashed + "-3", kNoSlot, slots) != map(hashed, 3, slots));
  CHECK(map(hashed, 3, slots) != map("a b", 3, slots));
}

TEST_CASE("a shorter limit of the host is kept") {
  for (const std::size_t max : {32U, 63U, 64U, 255U}) {
    const NameRules rules{.max_bytes = max, .slots = false};
    CHECK(map(std::string(max, 'm'), kNoSlot, rules) == std::string(max, 'm'));
    CHECK(map(std::string(max + 1, 'm'), kNoSlot, rules).size() == max);
    check_fits(map(std::string(500, '/'), std::numeric_limits<std::int32_t>::max(), rules), max);
  }
}

TEST_CASE("series get the default types, or those of their rule where they suit") {
  struct Row {
    Kind kind;
    const char* type;
    const char* want;
    DataSource source;
    bool told;
  };
  for (const auto& row : std::vector<Row>{
           {Kind::kCounter, "", "derive-n", DataSource::kDerive, false},
           {Kind::kGauge, "", "gauge-n", DataSource::kGauge, false},
           {Kind::kState, "", "gauge-n", DataSource::kGauge, false},
           {Kind::kTimestamp, "", "gauge-n", DataSource::kGauge, false},
           {Kind::kCounter, "http_requests", "http_requests-n", DataSource::kDerive, false},
           {Kind::kCounter, "counter", "counter-n", DataSource::kCounter, false},
           {Kind::kGauge, "latency", "latency-n", DataSource::kGauge, false},
           {Kind::kGauge, "http_requests", "gauge-n", DataSource::kGauge, true},
           {Kind::kCounter, "latency", "derive-n", DataSource::kDerive, true},
           // told when the configuration was read
           {Kind::kCounter, "nonsense", "derive-n", DataSource::kDerive, false},
           {Kind::kCounter, "if_octets", "derive-n", DataSource::kDerive, false},
       }) {
    CAPTURE(row.type);
    SeriesNames names({.types = kTypes}, host_type);
    std::vector<Series> all{series("n", row.kind, row.type)};
    const auto told = names.extend(all);
    CHECK(identity(names, all, 0) == row.want);
    CHECK(names.identity(0, all[0]).source == row.source);
    CHECK(told.size() == (row.told ? 1 : 0));
    if (row.told) CHECK(told[0].find("series \"n\"") != std::string::npos);
    all.push_back(series("m", row.kind, row.type));
    CHECK(names.extend(all).empty());  // not once for each series
  }
}

TEST_CASE("a type suits a kind, or it is said why not") {
  const auto problem = [](const char* type, Kind kind) {
    return mmstats::collectd::type_problem(type, kind, host_type);
  };
  for (const Kind kind : {Kind::kGauge, Kind::kState, Kind::kTimestamp}) {
    CHECK(problem("latency", kind).empty());
    for (const char* counter : {"counter", "http_requests"}) {
      CHECK(problem(counter, kind) ==
            "its data source is a counter, and a " + std::string(mmstats::to_string(kind)) + " needs GAUGE");
    }
  }
  for (const char* counter : {"counter", "http_requests"}) CHECK(problem(counter, Kind::kCounter).empty());
  CHECK(problem("latency", Kind::kCounter) ==
        "its data source is a GAUGE, and a counter needs DERIVE or COUNTER");
  // What is sent by no kind suits any.
  for (const char* type : {"latency", "counter"}) CHECK(problem(type, Kind::kProperty).empty());
}

TEST_CASE("a host without the default types still gets names") {
  SeriesNames names({.types = kTypes}, [](const std::string&) { return std::nullopt; });
  const std::vector<Series> all{series("a", Kind::kCounter), series("b", Kind::kGauge)};
  CHECK(names.extend(all).empty());
  CHECK(names.identity(0, all[0]).source == DataSource::kDerive);
  CHECK(names.identity(1, all[1]).source == DataSource::kGauge);
}

TEST_CASE(
    "an index that has another series has another name, and names of series that are no more are free") {
  SeriesNames names({.types = kTypes}, host_type);
  std::vector<Series> all;
  for (int i = 0; i < 100; ++i) all.push_back(series("s" + std::to_string(i), Kind::kGauge));
  names.extend(all);
  for (std::uint32_t round = 1; round < 50; ++round) {
    // All but the first make room: for none at first, then for what the next one was.
    for (std::size_t i = 1; i < all.size(); ++i) {
      all[i] = {};
      all[i].generation = 2 * round - 1;
    }
    names.extend(all, 2 * round);
    CHECK(identity(names, all, 0) == "gauge-s0");
    for (std::size_t i = 1; i < all.size(); ++i) {
      all[i] = series("s" + std::to_string(1 + (i + round) % 99), Kind::kGauge);
      all[i].generation = 2 * round;
    }
    names.extend(all, 2 * round + 1);
    CHECK(identity(names, all, 0) == "gauge-s0");
    for (std::size_t i = 1; i < all.size(); ++i) {
      CHECK(identity(names, all, i) == "gauge-s" + std::to_string(1 + (i + round) % 99));
      CHECK(*(names.identity(i, all[i]).type_instance.data() +
              names.identity(i, all[i]).type_instance.size()) == '\0');
    }
  }
}

TEST_CASE("two series never share an identity, and an identity never changes") {
  const std::vector<std::pair<const char*, const char*>> reserved{{"gauge", "files"}};
  SeriesNames names({.types = kTypes}, host_type, reserved);
  std::vector<Series> all;
  std::vector<std::string> first;
  std::set<std::string> seen{"gauge-files"};
  const auto add = [&](Series s) {
    all.push_back(std::move(s));
    names.extend(all);
    first.push_back(identity(names, all, all.size() - 1));
    CHECK(seen.insert(first.back()).second);
  };
  add(series("files", Kind::kGauge));
  add(series("load", Kind::kGauge));
  CHECK(first.back() == "gauge-load");
  add(series("load", Kind::kState));
  add(series("load", Kind::kTimestamp));
  add(series("load", Kind::kGauge, "nonsense"));  // falls back to gauge, too
  add(series("load", Kind::kCounter));
  CHECK(first.back() == "derive-load");
  for (int i = 0; i < 300; ++i) add(series("same", Kind::kGauge));
  for (std::int32_t slot = 0; slot < 20; ++slot) add(series("load", Kind::kGauge, "", slot));
  for (std::size_t i = 0; i < all.size(); ++i) CHECK(identity(names, all, i) == first[i]);
}

TEST_CASE("counters become what their data source takes") {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  constexpr auto kMaxSigned = std::numeric_limits<std::int64_t>::max();
  constexpr auto kMinSigned = std::numeric_limits<std::int64_t>::min();
  constexpr auto kMaxUnsigned = std::numeric_limits<std::uint64_t>::max();

  auto whole = series("n", Kind::kCounter);
  for (const std::uint64_t total :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 63U, kMaxUnsigned}) {
    whole.total = total;
    CHECK(static_cast<std::uint64_t>(mmstats::collectd::as_derive(whole).value()) == total);
    CHECK(mmstats::collectd::as_counter(whole) == total);
  }

  struct Row {
    double value;
    std::int64_t derive;
    std::uint64_t counter;
  };
  auto fraction = series("n", Kind::kCounter);
  fraction.integral = false;
  for (const auto& row : std::vector<Row>{
           {0.0, 0, 0},
           {-0.0, 0, 0},
           {1.999, 1, 1},
           {-1.0, -1, 0},
           {-1.999, -1, 0},
           {9007199254740993.0, 9007199254740992, 9007199254740992},
           {9223372036854774784.0, 9223372036854774784, 9223372036854774784U},
           {9223372036854775808.0, kMaxSigned, std::uint64_t{1} << 63U},
           {18446744073709549568.0, kMaxSigned, 18446744073709549568U},
           {18446744073709551616.0, kMaxSigned, kMaxUnsigned},
           {-9223372036854775808.0, kMinSigned, 0},
           {kInf, kMaxSigned, kMaxUnsigned},
           {-kInf, kMinSigned, 0},
       }) {
    CAPTURE(row.value);
    fraction.value = row.value;
    CHECK(mmstats::collectd::as_derive(fraction) == row.derive);
    CHECK(mmstats::collectd::as_counter(fraction) == row.counter);
  }
  fraction.value = std::nan("");
  CHECK_FALSE(mmstats::collectd::as_derive(fraction));
  CHECK_FALSE(mmstats::collectd::as_counter(fraction));
}

TEST_CASE("a series of a family is called by its label, whose values have the order of the dimensions") {
  SeriesNames names({.types = kTypes}, host_type);
  std::vector<Series> all{series("sent.GET.200", Kind::kCounter), series("sent.GET.a%2Eb", Kind::kCounter),
                          series("sent.200", Kind::kCounter)};
  edit(all[0])->dimensions = {{"method", "GET"}, {"status", "200"}};
  edit(all[1])->dimensions = {{"method", "GET"}, {"status", "a.b"}};
  edit(all[2])->dimensions = {{"status", "200"}};
  for (Series& one : all) edit(one)->family = "sent";
  names.extend(all);
  CHECK(identity(names, all, 0) == "derive-sent.GET.200");
  CHECK(identity(names, all, 1) == "derive-sent.GET.a_2Eb-c9493bc717e0");
  CHECK(identity(names, all, 2) == "derive-sent.200");
}

TEST_CASE(
    "of series with one name and other dimensions it is the same one that gets a hash, whatever their "
    "order") {
  std::vector<Series> all;
  for (const char* family : {"", "sent", "sent", "sent.GET"}) {
    all.push_back(series("sent.GET.200", Kind::kCounter));
    edit(all.back())->family = family;
  }
  edit(all[1])->dimensions = {{"method", "GET"}, {"status", "200"}};
  edit(all[2])->dimensions = {{"method", "GET"}, {"code", "200"}};
  edit(all[3])->dimensions = {{"status", "200"}};
  std::map<std::string, std::string> first;
  std::vector<std::size_t> order{0, 1, 2, 3};
  do {
    std::vector<Series> turned;
    for (const std::size_t i : order) turned.push_back(all[i]);
    SeriesNames names({.types = kTypes}, host_type);
    names.extend(turned);
    std::set<std::string> different;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto name = identity(names, turned, i);
      different.insert(name);
      if (order[i] == 0) CHECK(name == "derive-sent.GET.200");
      // The salt of the third one is its index.
      const auto* status = turned[i].dimensions().empty() ? nullptr : &turned[i].dimensions().back().name;
      if (status != nullptr && *status == "code")
        CHECK(name == "derive-sent.GET.200-" + std::string(mmstats::name_hash("sent.GET.200", 0)));
    }
    CHECK(different.size() == all.size());
  } while (std::ranges::next_permutation(order).found);
}

TEST_CASE("an empty name of a rule is no type instance, and that of a label is one") {
  const NameRules rules{.types = kTypes, .naming = {0, 1, 3}};
  SeriesNames names(rules, host_type);
  std::vector<Series> all{series("", Kind::kCounter, "http_requests"), series("", Kind::kGauge, "latency"),
                          series("", Kind::kCounter), series("", Kind::kGauge, "nonsense"),
                          series("", Kind::kCounter, "http_requests", 3)};
  CHECK(names.extend(all).empty());
  CHECK(identity(names, all, 0) == "http_requests-");
  CHECK(identity(names, all, 1) == "latency-");
  CHECK(identity(names, all, 2) == "derive-");
  CHECK(identity(names, all, 3) == "gauge-_-9ce48422e8d7");  // its rule gives no name
  CHECK(identity(names, all, 4) == "http_requests-3");

  // It is free when the series is no more, and its name ends all the same while others are moved.
  all[0] = {};
  all[0].generation = 1;
  names.extend(all, 1);
  all[0] = series("", Kind::kCounter, "http_requests");
  all[0].generation = 2;
  CHECK(names.extend(all, 2).empty());
  CHECK(identity(names, all, 0) == "http_requests-");
  CHECK(identity(names, all, 1) == "latency-");
}

TEST_CASE("that a rule gives the identity of another series is told once for each rule") {
  for (const std::string name : {"", "all"}) {
    SeriesNames names({.types = kTypes, .naming = {3}}, host_type);
    std::vector<Series> all{series(name, Kind::kGauge, "latency"), series(name, Kind::kState, "latency"),
                            series(name, Kind::kTimestamp, "latency")};
    const auto told = names.extend(all);
    REQUIRE(told.size() == 1);
    const std::string shown = name.empty() ? "\"latency\" without a type instance" : "\"latency-all\"";
    CHECK(told[0].find("gives a state the identity " + shown) != std::string::npos);
    CHECK(told[0].find("it is sent as \"" + identity(names, all, 1) + "\"") != std::string::npos);
    CHECK(identity(names, all, 0) == "latency-" + name);
    std::set<std::string> different;
    for (std::size_t i = 0; i < all.size(); ++i) different.insert(identity(names, all, i));
    CHECK(different.size() == all.size());
    all.push_back(series(name, Kind::kState, "latency", 0));
    all.push_back(series(name, Kind::kState, "latency", 0));
    CHECK(names.extend(all).empty());
  }
  // Where labels meet, nobody has chosen anything.
  SeriesNames names({.types = kTypes}, host_type);
  CHECK(names.extend(std::vector<Series>{series("a", Kind::kGauge), series("a", Kind::kState)}).empty());
}

TEST_CASE("a counter of fractions of seconds counts milliseconds, unless its rule gives a type or a scale") {
  const auto fraction = [](std::string name, const std::string& unit, const std::string& type = "") {
    Series s = series(std::move(name), Kind::kCounter, type);
    s.integral = false;
    edit(s)->unit = unit;
    s.value = 4.95;
    return s;
  };
  std::vector<Series> all{fraction("latency.sum", "seconds"), fraction("size.sum", "bytes"),
                          fraction("work", ""), fraction("latency.sum", "seconds", "http_requests"),
                          fraction("other.sum", "seconds", "nonsense")};
  all.push_back(series("whole", Kind::kCounter));
  edit(all.back())->unit = "seconds";
  all.push_back(series("mean", Kind::kGauge));
  edit(all.back())->unit = "seconds";
  const struct {
    const char* identity;
    double factor;
  } rows[] = {{"total_time_in_ms-latency.sum", 1000},
              {"derive-size.sum", 1},
              {"derive-work", 1},
              {"http_requests-latency.sum", 1},
              {"derive-other.sum", 1},
              {"derive-whole", 1},
              {"gauge-mean", 1}};
  SeriesNames names({.types = kTypes}, host_type);
  CHECK(names.extend(all).empty());
  for (std::size_t i = 0; i < all.size(); ++i) {
    CHECK(identity(names, all, i) == rows[i].identity);
    CHECK(names.identity(i, all[i]).factor == rows[i].factor);
    CHECK(names.identity(i, all[i]).source == (i == 6 ? DataSource::kGauge : DataSource::kDerive));
  }
  CHECK(mmstats::collectd::as_derive(all[0], 1000) == 4950);
  CHECK(mmstats::collectd::as_counter(all[0], 1000) == 4950);
  // What is shown in it is not told from what it was at first: the unit stays.
  all[0].integral = true;
  all[0].total = 7;
  CHECK(mmstats::collectd::as_derive(all[0], 1000) == 7000);

  SeriesNames scaled({.types = kTypes, .scaled = {0}}, host_type);
  scaled.extend(std::vector<Series>{fraction("latency.sum", "seconds")});
  CHECK(identity(scaled, all, 0) == "derive-latency.sum");
  CHECK(scaled.identity(0, all[0]).factor == 1);

  // A host whose types.db lacks the type.
  SeriesNames poor({.types = kTypes}, [](const std::string& name) {
    return name == "total_time_in_ms" ? std::nullopt : host_type(name);
  });
  CHECK(poor.extend(std::vector<Series>{fraction("latency.sum", "seconds")}).empty());
  CHECK(identity(poor, all, 0) == "derive-latency.sum");
}

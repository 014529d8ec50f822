// What publishing costs an application, against what it would cost without: a store into memory, an atomic
// addition, reading the clock; and against libraries that one would use instead.
//   write_bench [WORD...]     the rows that have a WORD in their name; all, without
// Each line is the median over many rounds of ours / floor, where both are measured one after the other in
// each round. Loops are repeated by the compiler as they are: nothing is unrolled or taken out.
#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/buckets.h"
#include "mmstats/family.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "mmstats/model.h"
#include "spent.h"
#include "write_places.h"

#ifdef WITH_PCP
#include <pcp/pmapi.h>
// After it.
#include <pcp/mmv_stats.h>
#endif
#ifdef WITH_PROMETHEUS
#include <prometheus/counter.h>
#include <prometheus/registry.h>
#endif

namespace {

constexpr int kRounds = 101;

struct Figure {
  double ours;   // seconds for one operation
  double floor;  // seconds for one operation
  double ratio;
};

// What was asked for on the command line.
std::vector<std::string> wanted;

bool is_wanted(std::string_view what) {
  return wanted.empty() || std::any_of(wanted.begin(), wanted.end(), [&](const std::string& word) {
           return what.find(word) != std::string_view::npos;
         });
}

// Alternates, so that both see the same machine.
Figure measure(std::size_t operations, auto&& ours, auto&& floor) {
  std::vector<double> our_times;
  std::vector<double> floor_times;
  std::vector<double> ratios;
  for (int round = 0; round < kRounds; ++round) {
    const double floor_time = processor_seconds_of([&] { floor(operations); });
    const double our_time = processor_seconds_of([&] { ours(operations); });
    floor_times.push_back(floor_time / static_cast<double>(operations));
    our_times.push_back(our_time / static_cast<double>(operations));
    ratios.push_back(our_time / floor_time);
  }
  return {median(our_times), median(floor_times), median(ratios)};
}

void print(std::string_view what, std::string_view floor, const Figure& figure) {
  fmt::print("{:<38} {:8.2f} ns   {:<34} {:8.2f} ns   ratio {:6.2f}\n", what, 1e9 * figure.ours, floor,
             1e9 * figure.floor, figure.ratio);
}

void compare(std::string_view what, std::string_view against, std::size_t operations, auto&& ours,
             auto&& floor) {
  if (is_wanted(what)) print(what, against, measure(operations, ours, floor));
}

auto repeat(auto&& operation) {
  return [operation](std::size_t operations) mutable {
    for (std::size_t i = 0; i < operations; ++i) operation();
  };
}

// As where other code runs between two writes: the compiler must look everything up again.
auto repeat_apart(auto&& operation) {
  return [operation](std::size_t operations) mutable {
    for (std::size_t i = 0; i < operations; ++i) {
      operation();
      asm volatile("" ::: "memory");
    }
  };
}

struct Memory {
  alignas(64) volatile std::uint64_t number = 0;
  alignas(64) std::uint64_t atomic = 0;
};

std::string folder() {
  std::string path = "/dev/shm/write_bench-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) std::abort();
  return path;
}

void compare_counters(mmstats::Model& model, Memory& memory) {
  mmstats::Counter counter(model, "counter");
  mmstats::SharedCounter shared(model, "shared");
  mmstats::Gauge<double> gauge(model, "gauge");
  const auto plain = [&memory] { memory.number = memory.number + 1; };
  const auto fetch_add = [&memory] { __atomic_fetch_add(&memory.atomic, 1, __ATOMIC_RELAXED); };
  constexpr std::size_t kMany = 1'000'000;
  compare("Counter", "volatile increment", kMany, repeat([=]() mutable { ++counter; }), repeat(plain));
  compare("Counter, other code between", "volatile increment, likewise", kMany,
          repeat_apart([=]() mutable { ++counter; }), repeat_apart(plain));
  compare("Gauge", "volatile increment", kMany, repeat([=]() mutable { gauge = 1; }), repeat(plain));
  compare("SharedCounter", "fetch_add", kMany, repeat([=]() mutable { ++shared; }), repeat(fetch_add));

#ifdef WITH_PCP
  mmv_registry_t* const registry = ::mmv_stats_registry("write_bench", 1, MMV_FLAG_PROCESS);
  ::mmv_stats_add_metric(registry, "counter", 1, MMV_TYPE_U64, MMV_SEM_COUNTER, {}, MMV_INDOM_NULL, "", "");
  void* const map = ::mmv_stats_start(registry);
  if (map != nullptr) {
    pmAtomValue* const value = ::mmv_lookup_value_desc(map, "counter", nullptr);
    compare("Counter", "PCP's mmv_inc", kMany, repeat([=]() mutable { ++counter; }),
            repeat([=] { ::mmv_inc(map, value); }));
    ::mmv_stats_stop("write_bench", map);
  } else {
    fmt::print("(PCP's mmv_stats_start failed: its folders are missing)\n");
  }
#endif
#ifdef WITH_PROMETHEUS
  static prometheus::Counter prometheus_counter;
  compare("Counter", "prometheus-cpp's Increment", kMany, repeat([=]() mutable { ++counter; }),
          repeat([] { prometheus_counter.Increment(); }));
#endif
}

// To look a combination up, and to add to it. The floor does what any such table has to: it hashes both
// values, and compares them.
void compare_families(mmstats::Model& model) {
  constexpr std::size_t kMany = 100'000;
  const mmstats::Family<mmstats::Counter> family(model, "responses", {"method", "status"});
  const std::string methods[] = {"GET", "POST", "PUT", "DELETE"};
  const std::string statuses[] = {"200", "201", "204", "301", "304", "400", "403", "404", "500", "503"};
  std::map<std::pair<std::string_view, std::string_view>, std::uint64_t> ordered;
  std::unordered_map<std::string, std::uint64_t> hashed;
  for (const auto& method : methods) {
    for (const auto& status : statuses) {
      family.with(method, status).incr();
      ordered[{method, status}] = 1;
      hashed[method + '.' + status] = 1;
    }
  }
  const auto each = [&](auto&& act) {
    return [&, act](std::size_t operations) {
      for (std::size_t i = 0; i < operations; ++i) act(methods[i % 4], statuses[i % 10]);
    };
  };
  const auto ours =
      each([&](const std::string& method, const std::string& status) { family.with(method, status).incr(); });
  compare("Family, two texts", "std::map of two views", kMany, ours,
          each([&](const std::string& method, const std::string& status) {
            ++ordered.find({method, status})->second;
          }));
  compare("Family, two texts", "unordered_map, joined text", kMany, ours,
          each([&](const std::string& method, const std::string& status) {
            ++hashed.find(method + '.' + status)->second;
          }));
  compare(
      "Family, a text and a number", "std::map of two views", kMany,
      [&](std::size_t operations) {
        for (std::size_t i = 0; i < operations; ++i) family.with(methods[i % 4], 200).incr();
      },
      each([&](const std::string& method, const std::string& status) {
        ++ordered.find({method, status})->second;
      }));
  const mmstats::Family<mmstats::Counter> full(model, "full", {"method", "status"}, {.max_series = 1});
  full.with("x", "y").incr();
  compare(
      "Family, of which there are too many", "std::map of two views", kMany,
      each([&](const std::string& method, const std::string& status) { full.with(method, status).incr(); }),
      each([&](const std::string& method, const std::string& status) {
        ++ordered.find({method, status})->second;
      }));
#ifdef WITH_PROMETHEUS
  static prometheus::Registry registry;
  static auto& counters = prometheus::BuildCounter().Name("responses").Register(registry);
  compare("Family, two texts", "prometheus-cpp's Family::Add", kMany, ours,
          each([&](const std::string& method, const std::string& status) {
            counters.Add({{"method", method}, {"status", status}}).Increment();
          }));
#endif
}

WritePlaces in_module(mmstats::Model& model, mmstats_model* c_model) {
  void* const module = ::dlopen(WRITE_MODULE, RTLD_NOW | RTLD_LOCAL);
  auto* const places = module == nullptr
                           ? nullptr
                           : reinterpret_cast<decltype(&write_places)>(::dlsym(module, "write_places"));
  if (places == nullptr) {
    fmt::print(stderr, "{}\n", ::dlerror());
    std::exit(1);
  }
  return places(&model, c_model);
}

// Where counters live, and how their code was loaded.
void compare_places(mmstats::Model& model, const std::string& path) {
  mmstats_model* const c_model = ::mmstats_model_new("c");
  ::mmstats_model_set_path(c_model, path.c_str());
  constexpr std::size_t kMany = 1'000'000;
  const auto rows = [&](const WritePlaces& places, const std::string& where) {
    compare("global Counter" + where, "volatile increment", kMany, places.global, places.plain_global);
    compare("member Counter" + where, "volatile increment", kMany, places.member, places.plain_global);
    compare("local static Counter" + where, "volatile increment", kMany, places.local, places.plain_global);
    compare("local static Counter" + where, "local static volatile increment", kMany, places.local,
            places.plain_local);
    compare("mmstats_counter_incr in C" + where, "volatile increment", kMany, places.in_c,
            places.plain_global);
  };
  rows(write_places(&model, c_model), "");
  rows(in_module(model, c_model), ", loaded late");
  ::mmstats_model_free(c_model);
}

void compare_texts(mmstats::Model& model) {
  mmstats::StringField field(model, "text");
  char plain[256];
  const auto row = [&](const std::string& what, const std::string& text) {
    const auto copy = [&] {
      std::memcpy(plain, text.data(), text.size());
      asm volatile("" ::"r"(plain) : "memory");
    };
    compare("StringField, " + what, "memcpy", 100'000, repeat([&] { field = text; }), repeat(copy));
  };
  row("20 bytes", std::string(20, 'a'));
  row("200 bytes", std::string(200, 'a'));
  std::string cyrillic;
  for (int i = 0; i < 100; ++i) cyrillic += "\u0436";
  row("200 bytes, not ASCII", cyrillic);
}

// What a histogram that has no file does: it finds the bucket, and adds twice in memory.
struct BareHistogram {
  std::vector<std::uint64_t> counts = std::vector<std::uint64_t>(mmstats::buckets::kCount);
  double sum = 0;

  void add(double value) {
    ++counts[mmstats::buckets::of(value)];
    sum += value;
    asm volatile("" : : : "memory");
  }
};

void compare_values(mmstats::Model& model) {
  mmstats::Average average(model, "average");
  mmstats::MovingAverage moving_average(model, "moving_average");
  mmstats::Histogram histogram(model, "histogram");
  mmstats::Histogram coarse_histogram(model, "coarse_histogram", {}, 4);
  mmstats::MovingHistogram moving_histogram(model, "moving_histogram");
  mmstats::WindowHistogram window_histogram(model, "window_histogram");
  mmstats::Timer timer(model, "timer");

  // A power of two, and few: neither finding the next nor reading it takes time.
  constexpr std::size_t kValues = 1U << 10U;
  std::vector<double> values(kValues);
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> latencies(-6, 1);
  for (double& value : values) value = latencies(random);
  const auto each = [&values](auto field) {
    return [&values, field](std::size_t operations) mutable {
      for (std::size_t i = 0; i < operations; ++i) field.add(values[i % kValues]);
    };
  };
  double sum = 0;
  const auto add_up = [&](std::size_t operations) {
    for (std::size_t i = 0; i < operations; ++i) {
      sum += values[i % kValues];
      asm volatile("" : "+x"(sum));
    }
  };
  constexpr std::size_t kMany = 200'000;
  compare("Average", "adding up", kMany, each(average), add_up);
  compare("MovingAverage", "adding up", kMany, each(moving_average), add_up);
  compare("Histogram", "adding up", kMany, each(histogram), add_up);
  BareHistogram bare;
  const auto add_bare = [&](std::size_t operations) {
    for (std::size_t i = 0; i < operations; ++i) bare.add(values[i % kValues]);
  };
  compare("Histogram", "two additions in memory", kMany, each(histogram), add_bare);
  compare("Histogram of precision 4", "two additions in memory", kMany, each(coarse_histogram), add_bare);
  compare("MovingHistogram", "adding up", kMany, each(moving_histogram), add_up);
  const auto now = std::chrono::steady_clock::now();
  compare(
      "WindowHistogram, without the clock", "adding up", kMany,
      [&, field = window_histogram](std::size_t operations) mutable {
        for (std::size_t i = 0; i < operations; ++i) field.add(values[i % kValues], now);
      },
      add_up);
  const auto two_reads = [] {
    const auto begin = std::chrono::steady_clock::now();
    auto took = std::chrono::steady_clock::now() - begin;
    asm volatile("" : "+r"(took));
  };
  compare("Timer scope", "reading the clock twice", kMany, repeat([=] { const auto scope = timer.time(); }),
          repeat(two_reads));
  compare("Histogram scope", "reading the clock twice", kMany,
          repeat([=] { const auto scope = histogram.time(); }), repeat(two_reads));
}

// Processor time for an increment when `threads` count at once.
double crowded(mmstats::Counter counter, std::size_t threads) {
  constexpr std::size_t kMany = 20'000'000;
  std::vector<double> times(threads);
  std::vector<std::jthread> running;
  for (std::size_t thread = 0; thread < threads; ++thread) {
    running.emplace_back([&times, thread, counter]() mutable {
      times[thread] = processor_seconds_of([&] { repeat([=]() mutable { ++counter; })(kMany); });
    });
  }
  running.clear();
  return median(times) / kMany;
}

void compare_threads(mmstats::Model& model) {
  mmstats::Counter counter(model, "crowded");
  if (!is_wanted("Counter, eight threads at once")) return;
  const double alone = crowded(counter, 1);
  const double eight = crowded(counter, 8);
  print("Counter, eight threads at once", "one thread", {eight, alone, eight / alone});
}

struct HundredFields : mmstats::Model {
  explicit HundredFields(const std::string& path) : Model({.label_prefix = "made", .path = path}) {
    for (int i = 0; i < 100; ++i)
      counters.emplace_back(*this, labels()[static_cast<std::size_t>(i)],
                            mmstats::About{.help = "One of a hundred"});
  }
  static const std::vector<std::string>& labels() {
    static const auto names = [] {
      std::vector<std::string> made;
      for (int i = 0; i < 100; ++i) made.push_back(fmt::format("requests.by.route.{}", i));
      return made;
    }();
    return names;
  }
  std::vector<mmstats::Counter> counters;
};

// The system calls that making and removing a file takes, and nothing else.
void make_bare_file(const std::string& path, std::size_t bytes) {
  const auto temporary = path + "/.bare";
  const auto name = path + "/bare";
  const int fd = ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  void* const map = ::mmap(nullptr, 16U << 20U, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fd < 0 || ::posix_fallocate(fd, 0, static_cast<off_t>(bytes)) != 0) std::abort();
  auto* const file =
      static_cast<char*>(::mmap(map, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0));
  for (std::size_t at = 0; at < bytes; at += 4096) file[at] = 1;
  ::close(fd);
  ::rename(temporary.c_str(), name.c_str());
  ::unlink(name.c_str());
  ::munmap(map, 16U << 20U);
}

void compare_creation(const std::string& path) {
  std::size_t bytes = 0;
  {
    HundredFields model(path);
    model.open();
    bytes = std::filesystem::file_size(model.paths().front());
  }
  compare("a Model of 100 fields, and its end", "its system calls alone", 20, repeat([&] {
            HundredFields model(path);
            model.open();
          }),
          repeat([&] { make_bare_file(path, bytes); }));
}

}  // namespace

int main(int argc, char** argv) {
  wanted.assign(argv + 1, argv + argc);
  const auto path = folder();
  {
    mmstats::Model model({.label_prefix = "bench", .path = path});
    Memory memory;
    compare_counters(model, memory);
    compare_families(model);
    compare_places(model, path);
    compare_texts(model);
    compare_values(model);
    compare_threads(model);
  }
  compare_creation(path);
  std::filesystem::remove_all(path);
}

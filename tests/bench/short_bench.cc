// What publishing costs a process that lives for a moment: a program that publishes 20 counters and ends,
// against the same program that does not, and against one without the library. Shared and static library, C++
// and C. And the floor: a program that makes such a file by its system calls alone.
//   short_bench [ROUNDS]      1,000, without
// In each round all programs run once, in some order; a line is the median over the rounds of the
// difference of two: in processor time and page faults, as wait4(2) tells them, and in wall time from
// posix_spawn(3) to the end. System calls are counted by strace(1), where that is installed. Files are in
// /dev/shm.
#include <fmt/format.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "spent.h"

namespace {

using Words = std::vector<std::string>;

std::vector<char*> pointers(const Words& words) {
  std::vector<char*> all;
  for (const std::string& word : words) all.push_back(const_cast<char*>(word.c_str()));
  all.push_back(nullptr);
  return all;
}

struct Spent {
  double processor;  // seconds
  double wall;
  double faults;
};

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

// None: it could not be started, or it failed.
std::optional<Spent> run(const Words& arguments, const Words& environment) {
  const auto argv = pointers(arguments);
  const auto envp = pointers(environment);
  const auto begin = std::chrono::steady_clock::now();
  pid_t pid = 0;
  if (::posix_spawnp(&pid, argv[0], nullptr, nullptr, argv.data(), envp.data()) != 0) return std::nullopt;
  int status = 0;
  rusage used{};
  if (::wait4(pid, &status, 0, &used) != pid || status != 0) return std::nullopt;
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
  return Spent{.processor = seconds(used.ru_utime) + seconds(used.ru_stime),
               .wall = wall.count(),
               .faults = static_cast<double>(used.ru_minflt)};
}

// One program, as it is run.
struct Program {
  Words arguments;
  Words environment;
  std::vector<Spent> spent = {};  // by round
  std::optional<long> calls = {};

  void run_once() {
    const auto once = run(arguments, environment);
    if (!once) {
      fmt::print(stderr, "{} cannot be run, or fails\n", arguments.front());
      std::exit(1);
    }
    spent.push_back(*once);
  }

  // Counts its system calls, its start and its end included, if there is a strace that may trace.
  void count_calls(const std::string& folder) {
    const auto log = folder + "/strace";
    Words traced{"strace", "-f", "-qq", "-e", "signal=none", "-o", log};
    for (const std::string& variable : environment) traced.insert(traced.end(), {"-E", variable});
    traced.insert(traced.end(), arguments.begin(), arguments.end());
    if (!run(traced, {})) return;
    std::ifstream lines(log);
    calls = 0;
    for (std::string line; std::getline(lines, line);) ++*calls;
  }
};

struct Row {
  std::string what;
  std::size_t ours;
  std::size_t floor;
};

void print(const Row& row, const std::vector<Program>& programs) {
  const Program& ours = programs[row.ours];
  const Program& floor = programs[row.floor];
  const auto difference = [&](double Spent::* part) {
    std::vector<double> all;
    all.reserve(ours.spent.size());
    for (std::size_t round = 0; round < ours.spent.size(); ++round)
      all.push_back(ours.spent[round].*part - floor.spent[round].*part);
    return median(all);
  };
  fmt::print("{:<52} processor {:7.1f} us   wall {:7.1f} us   page faults {:4.0f}", row.what,
             1e6 * difference(&Spent::processor), 1e6 * difference(&Spent::wall), difference(&Spent::faults));
  if (ours.calls && floor.calls) fmt::print("   system calls {:3}", *ours.calls - *floor.calls);
  fmt::print("\n");
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 1000;
  std::string folder = "/dev/shm/short_bench-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) std::abort();

  std::vector<Program> programs;
  const auto add = [&](const std::string& name, const std::string& word) {
    const auto path = std::filesystem::path(SHORT_PROGRAMS) / name;
    Program program{.arguments = {path.native(), word}, .environment = {"MMSTATS_PATH=" + folder}};
    // Found as fast as one that is installed, which the loader has in its cache.
    if (name.ends_with("_shared")) program.environment.emplace_back("LD_PRELOAD=" SHORT_LIBRARY);
    programs.push_back(std::move(program));
    return programs.size() - 1;
  };
  std::vector<Row> rows;
  const auto compare = [&](const std::string& what, const std::string& name, std::size_t without) {
    const auto bare = add(name, "bare");
    const auto publishing = add(name, "publishes");
    rows.push_back({what + ": in all", publishing, without});
    rows.push_back({what + ": its calls", publishing, bare});
    rows.push_back({what + ": loading the library", bare, without});
  };
  const auto cpp = add("short_cpp", "bare");
  const auto c = add("short_c", "bare");
  const auto c_with_cpp = add("short_c_with_cpp", "bare");
  compare("C++, shared", "short_cpp_shared", cpp);
  compare("C++, static", "short_cpp_static", cpp);
  compare("C, shared, beside libstdc++", "short_c_shared", c_with_cpp);
  compare("C, static, beside libstdc++", "short_c_static", c_with_cpp);
  rows.push_back({"C, loading libstdc++", c_with_cpp, c});
  rows.push_back({"C, system calls of such a file alone", add("short_c", "file"), c});
  compare("C, static, and so is libstdc++", "short_c_all_static", c);

  for (Program& program : programs) program.count_calls(folder);
  // In another order each time: what ran before has left its own in the processor's caches.
  std::vector<Program*> order;
  order.reserve(programs.size());
  for (Program& program : programs) order.push_back(&program);
  std::mt19937 random(1);
  for (int round = 0; round < rounds; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (Program* const program : order) program->run_once();
  }
  std::vector<double> whole;
  for (const Spent& spent : programs[cpp].spent) whole.push_back(spent.processor);
  fmt::print("a program in C++ without the library: {:.1f} us of processor time, exec included\n",
             1e6 * median(whole));
  for (const Row& row : rows) print(row, programs);
  std::filesystem::remove_all(folder);
}

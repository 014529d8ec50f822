// What other people's programs do to a library that is in them: how they end, what they call themselves, what
// their threads do last, and what their signals' handlers may not.
#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <future>
#include <memory_resource>
#include <new>
#include <string>

#include "base/utf8.h"
#include "child_process.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "mmstats/mmstats.h"
#include "mmstats/model.h"
#include "published.h"

using namespace mmstats;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS 1

namespace {
thread_local std::size_t allocations = 0;
thread_local bool has_no_memory = false;
}  // namespace

// Not inlined: the compiler would see malloc's memory deleted, and free's allocated with new.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (has_no_memory) throw std::bad_alloc();
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }
#endif

namespace {

bool is_there(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace

TEST_CASE("the library takes no memory from the program's default resource") {
  const TemporaryFolder folder;
  auto* const before = std::pmr::set_default_resource(std::pmr::null_memory_resource());
  const auto use = [&] {
    Model model(published_in(folder));
    Counter count(model, "count");
    SharedCounter shared(model, "shared");
    StringField text(model, "text");
    Histogram histogram(model, "histogram");
    count.incr(3);
    shared.incr(4);
    text = "text";
    histogram.add(5);
    CHECK(count.value() == 3);
    CHECK(shared.value() == 4);
    CHECK(model.open().has_value());
  };
  CHECK_NOTHROW(use());
  std::pmr::set_default_resource(before);
}

TEST_CASE("quick_exit removes the files that exit would remove") {
  for (const bool removes : {true, false}) {
    CAPTURE(removes);
    const TemporaryFolder folder;
    SharedMemory<std::array<char, 200>> path;
    ChildProcess child([&] {
      auto options = published_in(folder);
      options.remove_at_exit = removes;
      auto* const model = new Model(options);
      must(model->open().has_value());
      must(model->paths().front().copy(path->data(), path->size() - 1) > 0);
      must(is_there(path->data()));
      std::quick_exit(0);
    });
    CHECK(child.wait() == 0);
    CHECK(is_there(path->data()) == !removes);
  }
}

#ifdef COUNTS_ALLOCATIONS
TEST_CASE("a thread that ends where there is no memory left ends nobody, and its values stay") {
  const TemporaryFolder folder;
  ChildProcess child([&] {
    Model model(published_in(folder));
    const Counter count(model, "count");
    for (int i = 0; i < 3; ++i) {
      // Ends when this statement does.
      static_cast<void>(std::async(std::launch::async, [&] {
        count.incr();
        has_no_memory = true;
      }));
    }
    static_cast<void>(std::async(std::launch::async, [&] { count.incr(); }));
    must(count.total() == 4);
  });
  CHECK(child.wait() == 0);
}
#endif

TEST_CASE("a program with a long name has files, whose names have an end") {
  const TemporaryFolder folder;
  ChildProcess child([&] {
    std::string name = "worker: ";
    while (name.size() < 1'000) name += "\u0436";
    ::program_invocation_short_name = name.data();
    ModelOptions options;
    options.path = folder.path();
    Model model(options);
    must(model.open().has_value());
    const auto path = model.paths().front();
    const auto file = path.substr(path.rfind('/') + 1);
    must(file.starts_with(name.substr(0, 90)));
    must(file.size() < 150);
    must(is_utf8(file));
    must(is_there(path));
  });
  CHECK(child.wait() == 0);
}

namespace {

// What a thread's last destructor knows.
struct LastWrites {
  pthread_key_t key;
  const Counter* count;
  int times = 0;
};

}  // namespace

// The thread's stack, and with it its thread-local storage, is taken away: who still looks there dies.
TEST_CASE("a key destructor that writes and sets itself for ever leaves nothing of its thread behind") {
  const TemporaryFolder folder;
  ChildProcess child([&] {
    int told = 0;
    auto options = published_in(folder);
    options.on_error = [&](const Error&) { ++told; };
    auto* const model = new Model(options);
    auto* const count = new Counter(*model, "count");
    count->incr();
    LastWrites last{.key = {}, .count = count};
    must(::pthread_key_create(&last.key, [](void* value) {
           auto& writes = *static_cast<LastWrites*>(value);
           writes.count->incr();
           ++writes.times;
           ::pthread_setspecific(writes.key, value);
         }) == 0);
    constexpr std::size_t kStack = std::size_t{1} << 20U;
    void* const stack =
        ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    must(stack != MAP_FAILED);
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    must(::pthread_attr_setstack(&attributes, stack, kStack) == 0);
    pthread_t thread{};
    const auto run = [](void* value) -> void* {
      auto& writes = *static_cast<LastWrites*>(value);
      writes.count->incr();
      ::pthread_setspecific(writes.key, value);
      return nullptr;
    };
    must(::pthread_create(&thread, &attributes, run, &last) == 0);
    must(::pthread_join(thread, nullptr) == 0);
    must(last.times == PTHREAD_DESTRUCTOR_ITERATIONS);
    must(::munmap(stack, kStack) == 0);
    // What came too late is lost, and told.
    must(told == 1);
    must(count->total() == 1 + 1 + PTHREAD_DESTRUCTOR_ITERATIONS - 1);
    delete count;
    delete model;  // it is forgotten in all threads
    Model next(options);
    must(next.open().has_value());
  });
  CHECK(child.wait() == 0);
}

#if defined(COUNTS_ALLOCATIONS)
TEST_CASE("to tell of a bad amount takes no memory, as a signal's handler may give one") {
  const TemporaryFolder folder;
  std::string told;
  told.reserve(1'000);
  auto options = published_in(folder);
  options.on_error = [&](const Error& error) { told = error.message; };
  Model model(options);
  const Counter count(model, "requests");
  count.incr();
  const auto before = allocations;
  count.incr(-1);
  const auto after = allocations;
  CHECK(after == before);
  CHECK(told.find("field \"requests\" was given an amount that is negative") == 0);
  CHECK(count.value() == 1);

  auto others = published_in(folder);
  others.file_name = "others.mmstats";
  others.on_error = options.on_error;
  Model other(others);
  const Counter odd(other, "with \x07 in it " + std::string(300, 'x'));
  odd.incr();
  const auto odd_before = allocations;
  odd.incr(-1);
  const auto odd_after = allocations;
  CHECK(odd_after == odd_before);
  CHECK(told.find("field \"with ? in it xxx") == 0);
  CHECK(told.find("which adds nothing") != std::string::npos);

  // The same on standard error.
  ChildProcess child([&] {
    int ends[2]{};
    must(::pipe(ends) == 0 && ::dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    auto quiet = published_in(folder);
    quiet.file_name = "quiet.mmstats";
    quiet.on_error = {};
    Model third(quiet);
    const Counter requests(third, "requests");
    requests.incr();
    const auto first = allocations;
    requests.incr(-1);
    must(allocations == first);
    char text[500]{};
    must(::read(ends[0], text, sizeof text - 1) > 0);
    must(std::string_view(text).starts_with("mmstats: field \"requests\" was given an amount"));
    must(std::string_view(text).ends_with("not told\n"));
  });
  CHECK(child.wait() == 0);
}
#endif

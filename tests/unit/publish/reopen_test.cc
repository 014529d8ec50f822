// Files that could not be made for a moment, or that somebody deleted: counts arrive in the end.
#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "child_process.h"
#include "folder_content.h"
#include "mmstats/fields.h"
#include "mmstats/mmstats.h"
#include "temporary_folder.h"

using namespace mmstats;

namespace {

// With what is told counted in `told`.
ModelOptions reopened_options(const std::string& folder, int& told) {
  return {.path = folder, .file_name = "{PID}-{TID}.mmstats", .on_error = [&told](const Error&) { ++told; }};
}

void allow_descriptors(rlim_t most) {
  rlimit limit{};
  must(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = most;
  must(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

// One other thread with a file, for as long as this lives, that does what it is told.
class SecondThread {
 public:
  explicit SecondThread(std::function<void()> first) : thread_([this] { run(); }) { act(std::move(first)); }
  SecondThread(const SecondThread&) = delete;
  SecondThread& operator=(const SecondThread&) = delete;
  ~SecondThread() {
    act(nullptr);
    thread_.join();
  }
  void act(std::function<void()> what) {
    const bool ends = what == nullptr;
    what_ = std::move(what);
    asked_ = true;
    asked_.notify_all();
    if (!ends) asked_.wait(true);
  }

 private:
  void run() {
    for (;;) {
      asked_.wait(false);
      if (!what_) return;
      what_();
      asked_ = false;
      asked_.notify_all();
    }
  }
  std::function<void()> what_;
  std::atomic<bool> asked_{false};
  std::thread thread_;
};

}  // namespace

TEST_CASE("threads after one that had no descriptor have a file, and its counts are in it") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    int told = 0;
    Model model(reopened_options(folder.path(), told));
    Counter count(model, "count");
    allow_descriptors(0);
    // No std::thread: the undefined sanitizer checks its state with a pipe.
    pthread_t without{};
    const auto add = [](void* counter) -> void* {
      ++*static_cast<Counter*>(counter);
      return nullptr;
    };
    must(::pthread_create(&without, nullptr, add, &count) == 0 && ::pthread_join(without, nullptr) == 0);
    must(told == 1);
    allow_descriptors(100);
    for (int i = 0; i < 1000; ++i) std::thread([&] { ++count; }).join();
    must(told == 1);
    const auto files = content_of(folder.path());
    must(files.size() == 1 && files[0].wrong.empty());
    must(sum_of(files, "count") == 1001);
    // A field that comes later is in it, too.
    Counter later(model, "later");
    std::thread([&] { later.incr(5); }).join();
    must(sum_of(content_of(folder.path()), "later") == 5);
    must(sum_of(content_of(folder.path()), "count") == 1001);
    model.remove();
  });
  CHECK(program.wait() == 0);
}

TEST_CASE("a file that could not be made is made when the thread ends, or opens or flushes it") {
  const TemporaryFolder folder;
  const auto later = folder / "later";
  int told = 0;
  Model model(reopened_options(later, told));
  Counter count(model, "count");
  StringField text(model, "text");
  count.incr(7);
  text = "kept";
  CHECK(told == 1);
  CHECK_FALSE(model.open());
  CHECK_FALSE(model.flush());
  CHECK_FALSE(model.reopen());
  std::thread other([&] {
    count.incr(2);
    boost::filesystem::create_directory(later);
  });
  other.join();
  // That one ended when it could be made.
  CHECK(sum_of(content_of(later), "count") == 2);
  SUBCASE("open") { CHECK(model.open()); }
  SUBCASE("flush") { CHECK(model.flush()); }
  SUBCASE("reopen") { CHECK(model.reopen()); }
  count.incr(10);
  const auto files = content_of(later);
  REQUIRE(files.size() == 2);
  CHECK(sum_of(files, "count") == 19);
  CHECK(model.paths().size() == 2);
  const FileContent mine(later + '/' + std::to_string(::getpid()) + '-' + std::to_string(::gettid()) +
                         ".mmstats");
  CHECK(mine.wrong.empty());
  CHECK(mine.numbers.at("count") == 17);
  CHECK(mine.texts.at("text") == "kept");
  CHECK(told == 1);
}

TEST_CASE("a file that was deleted comes back with its name, its life and its counts") {
  const TemporaryFolder folder;
  int told = 0;
  Model model(reopened_options(folder.path(), told));
  Counter count(model, "count");
  count.incr(3);
  REQUIRE(model.paths().size() == 1);
  const auto path = model.paths()[0];
  const FileContent before(path);
  REQUIRE(::unlink(path.c_str()) == 0);
  count.incr(4);
  SUBCASE("by open") { CHECK(model.open()); }
  SUBCASE("by flush") { CHECK(model.flush(Flush::kAsync)); }
  SUBCASE("by reopen") { CHECK(model.reopen()); }
  SUBCASE("by reopen, again and again") {
    for (int i = 0; i < 20; ++i) {
      CHECK(model.reopen());
      CHECK(model.reopen());
      CHECK(::unlink(path.c_str()) == 0);
    }
    CHECK(model.reopen());
  }
  CHECK(names_in(folder.path()).size() == 1);
  FileContent after(path);
  CHECK(after.wrong.empty());
  CHECK(after.numbers.at("count") == 7);
  CHECK(after.numbers.at("sys.pid") == before.numbers.at("sys.pid"));
  CHECK(after.numbers.at("sys.created") == before.numbers.at("sys.created"));
  count.incr(5);
  Counter later(model, "later");
  later.incr(6);
  after = FileContent(path);
  CHECK(after.numbers.at("count") == 12);
  CHECK(after.numbers.at("later") == 6);
  model.remove();
  CHECK(names_in(folder.path()).empty());
  CHECK(told == 0);
}

TEST_CASE("files of other threads come back when these open them or end; until then that is an error") {
  const TemporaryFolder folder;
  int told = 0;
  Model model(reopened_options(folder.path(), told));
  Counter count(model, "count");
  ++count;
  SecondThread other([&] { count.incr(100); });
  std::thread([&] { ++count; }).join();
  REQUIRE(model.paths().size() == 3);
  for (const auto& path : model.paths()) CHECK(::unlink(path.c_str()) == 0);
  const auto flushed = model.flush();
  REQUIRE_FALSE(flushed);
  CHECK(flushed.error().kind == ErrorKind::kChanged);
  // This thread's, and the one that nobody has.
  CHECK(names_in(folder.path()).size() == 2);
  CHECK(sum_of(content_of(folder.path()), "count") == 2);
  CHECK(model.open());
  other.act([&] {
    count.incr(100);
    CHECK(model.open());
  });
  CHECK(model.flush());
  CHECK(sum_of(content_of(folder.path()), "count") == 202);
  CHECK(count.total() == 202);
}

TEST_CASE("a file that was renamed is none that was deleted") {
  const TemporaryFolder folder;
  int told = 0;
  Model model(reopened_options(folder.path(), told));
  Counter count(model, "count");
  ++count;
  const auto path = model.paths()[0];
  const auto other = folder / "other.mmstats";
  boost::filesystem::rename(path, other);
  const auto reopened = model.reopen();
  REQUIRE_FALSE(reopened);
  CHECK(reopened.error().kind == ErrorKind::kChanged);
  CHECK(names_in(folder.path()).size() == 1);
  ++count;
  CHECK(FileContent(other).numbers.at("count") == 2);
  boost::filesystem::rename(other, path);
  CHECK(model.reopen());
}

TEST_CASE("a relative folder is that of the process when the Model was made") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    must(::chdir(folder.path().c_str()) == 0);
    boost::filesystem::create_directory("chosen");
    boost::filesystem::create_directory("from environment");
    int told = 0;
    Model chosen(reopened_options("chosen", told));
    ::setenv("MMSTATS_PATH", "from environment", 1);
    Model environment(reopened_options("", told));
    must(::chdir("/") == 0);
    Counter first(chosen, "count");
    Counter second(environment, "count");
    ++first;
    second.incr(2);
    must(told == 0);
    must(sum_of(content_of(folder / "chosen"), "count") == 1);
    must(sum_of(content_of(folder / "from environment"), "count") == 2);
    chosen.remove();
    environment.remove();
  });
  CHECK(program.wait() == 0);
}

TEST_CASE("after setuid or chroot files that are there go on, and what cannot be made is told") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: only root can");
    return;
  }
  const TemporaryFolder folder;
  const auto other_root = folder / "root";
  boost::filesystem::create_directory(other_root);
  void (*change)(const std::string&) = nullptr;
  SUBCASE("setuid") {
    change = [](const std::string&) { must(::setuid(65'534) == 0); };
  }
  SUBCASE("chroot") {
    change = [](const std::string& root) { must(::chroot(root.c_str()) == 0 && ::chdir("/") == 0); };
  }
  // One that cannot be entered any more.
  const auto files = folder / "files";
  boost::filesystem::create_directory(files);
  boost::filesystem::permissions(files, boost::filesystem::owner_all);
  ChildProcess program([&] {
    int told = 0;
    Model model(reopened_options(files, told));
    Counter count(model, "count");
    count.incr(3);
    change(other_root);
    count.incr(4);
    must(told == 0);
    for (int i = 0; i < 3; ++i) std::thread([&] { count.incr(10); }).join();
    must(told == 1 && count.total() == 37);
    must(!model.reopen());
    // No file is left behind by what fails, and none is taken for somebody else's.
    must(count.value() == 7);
    std::_Exit(0);
  });
  CHECK(program.wait() == 0);
  const auto left = content_of(files);
  REQUIRE(left.size() == 1);
  CHECK(left[0].wrong.empty());
  CHECK(left[0].numbers.at("count") == 7);
}

TEST_CASE("C makes files again, too") {
  const TemporaryFolder folder;
  CHECK(::mmstats_model_reopen(nullptr) == ENOMEM);
  mmstats_model* const model = ::mmstats_model_new("c");
  REQUIRE(::mmstats_model_set_path(model, folder.path().c_str()) == 0);
  mmstats_counter* const count = ::mmstats_counter_new(model, "count", nullptr, nullptr);
  ::mmstats_counter_incr(count, 3);
  for (const auto& name : names_in(folder.path())) CHECK(::unlink((folder / name).c_str()) == 0);
  ::mmstats_counter_incr(count, 4);
  CHECK(::mmstats_model_reopen(model) == 0);
  CHECK(sum_of(content_of(folder.path()), "c.count") == 7);
  boost::filesystem::remove_all(folder.path());
  CHECK(::mmstats_model_reopen(model) == ENOENT);
  boost::filesystem::create_directory(folder.path());
  CHECK(::mmstats_model_reopen(model) == 0);
  ::mmstats_model_free(model);
}

// A library in other people's threads: it is no cancellation point, and keeps errno.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "folder_content.h"
#include "guest_thread.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "mmstats/mmstats.h"
#include "mmstats/model.h"
#include "temporary_folder.h"

using mmstats::Flush;
using mmstats::Model;

namespace {

// Each writes in a thread that has no file yet.
struct EachWrite {
  Model& model;
  mmstats::Counter counter{model, "counter"};
  mmstats::SharedCounter shared{model, "shared"};
  mmstats::StringField text{model, "text", {}, 10};
  mmstats::Average average{model, "average"};
  mmstats::MovingAverage moving{model, "moving"};
  mmstats::WindowAverage window{model, "window", {}, 10};
  mmstats::Histogram histogram{model, "histogram"};
  mmstats::MovingHistogram moving_histogram{model, "moving_histogram"};
  mmstats::WindowHistogram window_histogram{model, "window_histogram", {}, 10};

  std::vector<GuestCase> cases() {
    return {
        {"Counter", [&] { counter.incr(); }},
        {"SharedCounter", [&] { shared.incr(); }},
        {"Counter::value", [&] { static_cast<void>(counter.value()); }},
        {"StringField", [&] { text.set("text"); }},
        {"Average", [&] { average.add(1); }},
        {"MovingAverage", [&] { moving.add(1); }},
        {"WindowAverage", [&] { window.add(1); }},
        {"Histogram", [&] { histogram.add(1); }},
        {"MovingHistogram", [&] { moving_histogram.add(1); }},
        {"WindowHistogram", [&] { window_histogram.add(1); }},
        {"a field that is made", [&] { mmstats::Counter(model, "made").incr(); }},
        {"a field that cannot be made", [&] { mmstats::Counter(model, "").incr(); }},
        {"Model::open", [&] { static_cast<void>(model.open()); }},
        {"Model::flush", [&] { static_cast<void>(model.flush()); }},
        {"Model::flush kAsync", [&] { static_cast<void>(model.flush(Flush::kAsync)); }},
        {"Model::reopen", [&] { static_cast<void>(model.reopen()); }},
        {"Model::paths", [&] { static_cast<void>(model.paths()); }},
        {"survive_cut_files", [] { static_cast<void>(mmstats::survive_cut_files()); }},
    };
  }
};

}  // namespace

TEST_CASE("a thread that is cancelled before its first write has counted, and errno is as it was") {
  const TemporaryFolder folder;
  SUBCASE("where there are files") {
    check_guest([&] {
      auto* const model = new Model({.path = folder.path()});
      auto* const writes = new EachWrite{*model};
      auto cases = writes->cases();
      cases.push_back({"Model::remove", [=] { model->remove(); }});
      cases.push_back({"Model", [&] { static_cast<void>(Model({.path = folder.path()}).paths()); }});
      // What was removed is read before.
      cases.insert(cases.end() - 2, {"the files", [&folder] {
                                       const int before = errno;
                                       int old = 0;
                                       ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
                                       const auto files = content_of(folder.path());
                                       must(sum_of(files, "counter") == 1);
                                       must(sum_of(files, "shared") == 1);
                                       must(sum_of(files, "window_histogram.count") == 1);
                                       ::pthread_setcancelstate(old, nullptr);
                                       errno = before;
                                     }});
      return cases;
    });
  }
  SUBCASE("where none can be made, which is told") {
    check_guest([&] {
      auto* const model = new Model({.path = folder / "missing"});
      auto* const writes = new EachWrite{*model};
      auto cases = writes->cases();
      cases.push_back({"Model::remove", [=] { model->remove(); }});
      return cases;
    });
  }
  SUBCASE("where a callback is told, which changes errno") {
    check_guest([&] {
      auto* const model =
          new Model({.path = folder / "missing", .on_error = [](const mmstats::Error&) { errno = EIO; }});
      auto* const writes = new EachWrite{*model};
      return writes->cases();
    });
  }
}

TEST_CASE("a thread that is cancelled before it calls a C function has its answer, and errno is as it was") {
  const TemporaryFolder folder;
  for (const std::string& path : {folder.path(), folder / "missing"}) {
    check_guest([&] {
      static mmstats_model* model = nullptr;
      static mmstats_counter* counter = nullptr;
      return std::vector<GuestCase>{
          {"mmstats_model_new", [] { model = mmstats_model_new("c"); }},
          {"mmstats_model_set_path", [&] { mmstats_model_set_path(model, path.c_str()); }},
          {"mmstats_counter_new", [] { counter = mmstats_counter_new(model, "hits", nullptr, nullptr); }},
          {"mmstats_counter_incr", [] { mmstats_counter_incr(counter, 1); }},
          {"mmstats_counter_value", [] { mmstats_counter_value(counter); }},
          {"mmstats_shared_counter_new",
           [] { mmstats_counter_incr(mmstats_shared_counter_new(model, "s", nullptr, nullptr), 1); }},
          {"mmstats_number_new",
           [] {
             mmstats_number_set(
                 mmstats_number_new(model, MMSTATS_INT64, MMSTATS_DEFAULT, "n", nullptr, nullptr), 1);
           }},
          {"mmstats_string_new", [] { mmstats_string_set(mmstats_string_new(model, "t", 9, nullptr), "x"); }},
          {"mmstats_window_average_new",
           [] { mmstats_average_add(mmstats_window_average_new(model, 9, "a", nullptr, nullptr), 1); }},
          {"mmstats_window_histogram_new",
           [] { mmstats_histogram_add(mmstats_window_histogram_new(model, 9, "h", nullptr, nullptr), 1); }},
          {"mmstats_static_int", [] { mmstats_static_int(model, MMSTATS_INT64, "i", 1); }},
          {"mmstats_static_double", [] { mmstats_static_double(model, MMSTATS_DOUBLE, "d", 1); }},
          {"mmstats_static_text", [] { mmstats_static_text(model, "x", "x", 9); }},
          {"mmstats_model_open", [] { mmstats_model_open(model, nullptr, 0); }},
          {"mmstats_model_flush", [] { mmstats_model_flush(model, false); }},
          {"mmstats_clock", [] { mmstats_clock(); }},
          {"mmstats_model_remove", [] { mmstats_model_remove(model); }},
          {"mmstats_model_free", [] { mmstats_model_free(model); }},
      };
    });
  }
}

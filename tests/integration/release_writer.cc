// Writes files with fields of every kind, as programs in C++ and C do: for tests/data/releases, where the
// files of each release are kept.
//
//   release_writer FOLDER
//
// All values are the same each time, but for those that the library writes itself. The files stay.
#include <mmstats/family.h>
#include <mmstats/fields.h>
#include <mmstats/histogram.h>
#include <mmstats/mmstats.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>

namespace {

using mmstats::Family;
using mmstats::Kind;

int failures = 0;

mmstats::ModelOptions options(const char* folder, const char* name) {
  return {.label_prefix = name,
          .path = folder,
          .file_name = std::string(name) + "-{TID}.mmstats",
          .remove_at_exit = false,
          .on_error = [](const mmstats::Error& error) {
            ++failures;
            std::fprintf(stderr, "release_writer: %s\n", error.message.c_str());
          }};
}

template <class Number>
void numbers(mmstats::Model& model, const std::string& label) {
  using Limits = std::numeric_limits<Number>;
  const mmstats::Gauge<Number> lowest(model, label + ".lowest", {}, Limits::lowest());
  const mmstats::Gauge<Number> most(model, label + ".most",
                                    {.unit = "items", .help = "The most that it holds"});
  most = Limits::max();
}

void write_fields(const char* folder) {
  mmstats::Model model(options(folder, "cpp"));
  const mmstats::Counter requests(model, "requests",
                                  {.unit = "requests", .help = "Requests that were answered"});
  requests.incr((std::uint64_t{1} << 53U) + 1);
  mmstats::SharedCounter(model, "shared.requests", {.help = "Of all threads"}).incr(7);
  mmstats::SharedGauge<double>(model, "shared.load", {.unit = "ratio"}) = 0.75;

  numbers<std::int64_t>(model, "int64");
  numbers<std::uint64_t>(model, "uint64");
  numbers<std::int32_t>(model, "int32");
  numbers<std::uint32_t>(model, "uint32");
  numbers<std::int16_t>(model, "int16");
  numbers<std::uint16_t>(model, "uint16");
  numbers<float>(model, "float");
  numbers<double>(model, "double");
  const mmstats::DoubleField nothing(model, "nan", {}, std::numeric_limits<double>::quiet_NaN());
  const mmstats::DoubleField below(model, "below", {}, -std::numeric_limits<double>::infinity());
  const mmstats::ByteField byte(model, "byte", {}, -128);
  const mmstats::UByteField ubyte(model, "ubyte", {}, 255);
  const mmstats::BoolField yes(model, "bool.yes", {.help = "Whether it is so"}, true);
  const mmstats::BoolField no(model, "bool.no", {}, false);

  const mmstats::DoubleField sum(model, "bytes", {.unit = "bytes", .help = "Sent", .kind = Kind::kCounter},
                                 1.5);
  const mmstats::DoubleField started(model, "started", {.unit = "seconds", .kind = Kind::kTimestamp}, 1.75e9);
  const mmstats::UIntField phase(model, "phase", {.kind = Kind::kState}, 3);
  const mmstats::StaticUIntField static_uint(model, "static.uint", 4'000'000'000U, {.help = "A fact"});
  const mmstats::StaticInt64Field static_int64(model, "static.int64", -1);
  const mmstats::StaticUInt64Field static_uint64(model, "static.uint64", ~std::uint64_t{0});
  const mmstats::StaticFloatField static_float(model, "static.float", 0.5F);
  const mmstats::StaticDoubleField static_double(model, "static.double", 0.1);
  const mmstats::StaticTextField version(model, "static.text", "1.2.3 \u00fc",
                                         {.help = "The program's version"});
  const mmstats::StringField page(model, "string", {.help = "The page that is drawn"}, 64, "first");
  page = "second \u20ac";

  const mmstats::Average average(model, "average", {.unit = "seconds", .help = "Of all"});
  const mmstats::MovingAverage moving(model, "average.moving", {.unit = "seconds"}, 2);
  const mmstats::WindowAverage window(model, "average.window", {.unit = "seconds"}, 3600);
  for (const double value : {0.25, 0.5, 1.0}) {
    average.add(value);
    moving.add(value);
    window.add(value);
  }

  if (!model.open()) ++failures;
}

void write_histograms(const char* folder) {
  mmstats::Model model(options(folder, "histograms"));
  const mmstats::Histogram all(model, "all", {.unit = "seconds", .help = "Of all"});
  const mmstats::Histogram coarse(model, "coarse", {.unit = "bytes"}, 4);
  const mmstats::MovingHistogram moving(model, "moving", {.unit = "seconds"}, 64, 8);
  const mmstats::WindowHistogram window(model, "window", {.unit = "seconds"}, 3600, 8);
  const mmstats::Histogram unused(model, "unused", {.unit = "seconds"}, 4);
  for (int i = 1; i <= 100; ++i) {
    all.add(i * 0.001);
    coarse.add(i * 1000.0);
    moving.add(i * 0.001);
    window.add(i * 0.001);
  }
  all.add(-2.5);
  all.add(0, 3);
  // Puts its percentiles into the file.
  if (all.p50() <= 0 || coarse.p50() <= 0) ++failures;
  if (!model.open()) ++failures;
}

void write_families(const char* folder) {
  mmstats::Model model(options(folder, "families"));
  const Family<mmstats::Counter> responses(model, "responses", {"method", "status"},
                                           {.help = "Responses sent"});
  responses.with("GET", 200).incr(20);
  responses.with("POST", 500).incr(3);
  // What has to be escaped, and what is empty.
  responses.with("a.b%c=d\t", "").incr(1);
  responses.with("REMOVED", 404).incr(4);
  responses.remove("REMOVED", 404);
  const Family<mmstats::SharedCounter> shared(model, "shared", {"queue"}, {.unit = "jobs"});
  shared.with("night").incr(11);
  const Family<mmstats::DoubleField> load(model, "load", {"disk"}, {.unit = "ratio", .help = "Of a disk"});
  load.with("sda") = 0.5;
  const Family<mmstats::StringField> state(model, "state", {"worker"}, {}, std::size_t{32});
  state.with("one") = "idle";
  const Family<mmstats::Average> mean(model, "mean", {"kind"}, {.unit = "seconds"});
  mean.with("fast").add(0.125);
  const Family<mmstats::MovingAverage> moving(model, "moving", {"kind"}, {.unit = "seconds"}, std::size_t{4});
  moving.with("fast").add(0.25);
  const Family<mmstats::Histogram> times(model, "times", {"page"}, {.unit = "seconds", .help = "Of a page"},
                                         8U);
  for (int i = 1; i <= 20; ++i) times.with("/index.html").add(i * 0.01);
  if (!model.open()) ++failures;
}

void write_from_c(const char* folder) {
  mmstats_model* model = mmstats_model_new("c");
  mmstats_model_set_path(model, folder);
  mmstats_model_set_file_name(model, "c-{TID}.mmstats");
  mmstats_model_set_remove_at_exit(model, false);
  mmstats_counter_incr(mmstats_counter_new(model, "requests", "requests", "Requests that were answered"), 5);
  mmstats_number_set(mmstats_number_new(model, MMSTATS_INT16, MMSTATS_GAUGE, "gauge", nullptr, "Now"), -5);
  mmstats_static_int(model, MMSTATS_UINT32, "static.int", 7);
  mmstats_static_text(model, "static.text", "fact", 16);
  mmstats_string_set(mmstats_string_new(model, "string", 16, nullptr), "text");
  mmstats_average_add(mmstats_average_new(model, "average", "seconds", nullptr), 0.5);
  mmstats_histogram_add(mmstats_histogram_new_with_precision(model, 4, "sizes", "bytes", nullptr), 1000);
  const char* const names[] = {"method", nullptr};
  const char* const values[] = {"GET"};
  mmstats_counter_incr(
      mmstats_counter_with(mmstats_counter_family_new(model, "by", names, nullptr, "By method"), values), 9);
  if (mmstats_model_open(model, nullptr, 0) != 0) ++failures;
  mmstats_model_free(model);
}

// As programs of the original library that know nothing of what was added to the format.
void write_without_system_fields(const char* folder) {
  auto plain = options(folder, "plain.");
  plain.file_name = "plain-{TID}.mmstats";
  plain.system_fields = false;
  plain.dot_after_prefix = false;
  mmstats::Model model(plain);
  const mmstats::Counter requests(model, "requests");
  requests.incr(3);
  const mmstats::FloatField load(model, "load", {}, 0.5F);
  if (!model.open()) ++failures;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: release_writer FOLDER\n", stderr);
    return 2;
  }
  write_fields(argv[1]);
  write_histograms(argv[1]);
  write_families(argv[1]);
  write_from_c(argv[1]);
  write_without_system_fields(argv[1]);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

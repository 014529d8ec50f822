// For short_bench: a program that publishes 20 counters, or with the word "bare" on its command line does
// not.
#include <string>

#ifndef WITHOUT_LIBRARY
#include "mmstats/fields.h"
#include "mmstats/model.h"

namespace {

struct Stats : mmstats::Model {
  Stats() : Model({.label_prefix = "short"}) {}

#define COUNTER(name) \
  mmstats::Counter name { *this, #name, {.help = "What it counts, in some words"} }
  COUNTER(requests);
  COUNTER(requests_by_get);
  COUNTER(requests_by_post);
  COUNTER(requests_by_head);
  COUNTER(answers_200);
  COUNTER(answers_304);
  COUNTER(answers_404);
  COUNTER(answers_500);
  COUNTER(bytes_received);
  COUNTER(bytes_sent);
  COUNTER(rows_read);
  COUNTER(rows_written);
  COUNTER(cache_hits);
  COUNTER(cache_misses);
  COUNTER(files_opened);
  COUNTER(files_closed);
  COUNTER(retries);
  COUNTER(timeouts);
  COUNTER(errors);
  COUNTER(warnings);
#undef COUNTER
};

}  // namespace
#endif

int main(int argc, char** argv) {
  // What needs libstdc++, whether there is a library that does or not.
  const std::string word = argc > 1 ? argv[1] : "";
#ifndef WITHOUT_LIBRARY
  if (word != "bare") {
    Stats stats;
    ++stats.requests;
    ++stats.warnings;
  }
#endif
  return word.size() > 10 ? 1 : 0;
}

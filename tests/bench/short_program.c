/* For short_bench: short_program.cc in C. */
#include <stddef.h>
#include <string.h>

#ifndef WITHOUT_LIBRARY
#include "mmstats/mmstats.h"

static const char* const labels[] = {
    "requests",     "requests_by_get", "requests_by_post", "requests_by_head", "answers_200",
    "answers_304",  "answers_404",     "answers_500",      "bytes_received",   "bytes_sent",
    "rows_read",    "rows_written",    "cache_hits",       "cache_misses",     "files_opened",
    "files_closed", "retries",         "timeouts",         "errors",           "warnings"};

enum { COUNTERS = sizeof labels / sizeof labels[0] };

/* The model is not freed: the end of the process removes its file. */
static void publish(void) {
  mmstats_counter* counters[COUNTERS];
  mmstats_model* const model = mmstats_model_new("short");
  for (size_t i = 0; i < COUNTERS; ++i)
    counters[i] = mmstats_counter_new(model, labels[i], NULL, "What it counts, in some words");
  mmstats_counter_incr(counters[0], 1);
  mmstats_counter_incr(counters[COUNTERS - 1], 1);
}
#endif

int main(int argc, char** argv) {
#ifndef WITHOUT_LIBRARY
  if (argc < 2 || strcmp(argv[1], "bare") != 0) publish();
#endif
  return argc > 1 && strlen(argv[1]) > 10 ? 1 : 0;
}

/* For short_bench: short_program.cc in C. Without the library it can make a file as that does, by the word
 * "file": its system calls alone. */
#ifdef WITHOUT_LIBRARY
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <stddef.h>
#include <string.h>

#ifdef WITHOUT_LIBRARY
static void publish(void) {
  enum { BYTES = 8192 };
  const char* const folder = getenv("MMSTATS_PATH");
  if (folder == NULL || chdir(folder) != 0) return;
  const int fd = open(".bare", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0 || posix_fallocate(fd, 0, BYTES) != 0) abort();
  char* const map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) abort();
  for (size_t at = 0; at < BYTES; at += 4096) map[at] = 1;
  if (renameat2(AT_FDCWD, ".bare", AT_FDCWD, "bare", RENAME_NOREPLACE) != 0) abort();
  close(fd);
  unlink("bare");
}
#else
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
  if (argc < 2 || strcmp(argv[1], "bare") != 0) publish();
  return argc > 1 && strlen(argv[1]) > 10 ? 1 : 0;
}

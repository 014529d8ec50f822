/* Every function of mmstats.h, used from C as an application would, linked with the shared library: what is
 * not exported does not link. The files are read again by a reader of its own, for a little-endian machine.
 */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mmstats/mmstats.h"

static int failures;

static void check(bool right, const char* what, int line) {
  if (right) return;
  ++failures;
  fprintf(stderr, "c_api_test.c:%d: %s is not so\n", line, what);
}
#define CHECK(what) check(what, #what, __LINE__)

/* ---- a reader */

typedef struct {
  char type[16]; /* without blanks */
  char label[64];
  bool buffered;
  unsigned char value[256]; /* the published one */
  size_t size;
} field;

static char folder[] = "/tmp/mmstats-c-api-XXXXXX";
static field fields[2000];
static size_t field_count;

static size_t u16(const unsigned char* at) { return at[0] | (size_t)at[1] << 8; }

static size_t size_of(const char* type) {
  const size_t last = strlen(type) - 1;
  if (last > 0 && type[last] == 'Q') return 8 * strtoul(type, NULL, 10); /* of buckets */
  switch (type[0]) {
    case 'q':
    case 'Q':
    case 'd':
      return 8;
    case 'i':
    case 'I':
    case 'f':
      return 4;
    case 'h':
    case 'H':
      return 2;
    case 'b':
    case 'B':
    case '?':
      return 1;
    default:
      return strtoul(type, NULL, 10); /* of a text */
  }
}

/* Adds the fields of one file to `fields`. Large texts are cut. */
static void read_file(const char* path) {
  static unsigned char data[8 << 20];
  FILE* const file = fopen(path, "rb");
  const size_t size = file == NULL ? 0 : fread(data, 1, sizeof data, file);
  if (file != NULL) fclose(file);
  CHECK(size >= 4096 && data[0] == 1);
  for (size_t at = 1; at + 2 <= size && u16(data + at) != 0;) {
    field* const f = &fields[field_count++];
    memset(f, 0, sizeof *f);
    const size_t label_size = u16(data + at);
    snprintf(f->label, sizeof f->label, "%.*s", (int)label_size, (const char*)data + at + 2);
    at += 2 + label_size;
    const size_t type_size = u16(data + at);
    size_t blanks = 0;
    while (data[at + 2 + blanks] == ' ' || data[at + 2 + blanks] == '\t') ++blanks;
    snprintf(f->type, sizeof f->type, "%.*s", (int)(type_size - blanks), (const char*)data + at + 2 + blanks);
    at += 2 + type_size;
    const size_t value_size = size_of(f->type);
    const unsigned char write_buffer = data[at++];
    f->buffered = write_buffer != 0xFF;
    if (f->type[1] == '\0') CHECK(at % value_size == 0);
    f->size = value_size < sizeof f->value ? value_size : sizeof f->value;
    memcpy(f->value, data + at + (write_buffer == 0 ? value_size : 0), f->size);
    at += value_size * (f->buffered ? 2 : 1);
  }
}

/* All files of the folder. */
static size_t read_all(void) {
  size_t files = 0;
  field_count = 0;
  DIR* const entries = opendir(folder);
  for (const struct dirent* entry; (entry = readdir(entries)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    char path[sizeof folder + sizeof entry->d_name + 1];
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    read_file(path);
    ++files;
  }
  closedir(entries);
  return files;
}

static const field* find(const char* label) {
  static const field none; /* has no type */
  for (size_t i = 0; i < field_count; ++i) {
    if (strcmp(fields[i].label, label) == 0) return &fields[i];
  }
  fprintf(stderr, "no field %s\n", label);
  return &none;
}

static bool has_bytes(const char* label, const char* type, bool buffered, const void* value, size_t size) {
  const field* const f = find(label);
  return strcmp(f->type, type) == 0 && f->buffered == buffered && f->size == size &&
         memcmp(f->value, value, size) == 0;
}
static bool has_u64(const char* label, uint64_t value) {
  return has_bytes(label, "Q", true, &value, sizeof value);
}
static bool has_double(const char* label, double value) {
  return has_bytes(label, "d", true, &value, sizeof value);
}
static double double_of(const char* label) {
  double value = 0;
  memcpy(&value, find(label)->value, sizeof value);
  return value;
}
static bool has_text(const char* label, const char* type, bool buffered, const char* text) {
  const field* const f = find(label);
  return strcmp(f->type, type) == 0 && f->buffered == buffered &&
         strncmp((const char*)f->value, text, f->size) == 0;
}

/* ---- the tests */

typedef struct {
  int times;
  char last[512];
} told;

static void remember(void* context, const char* message) {
  told* const errors = context;
  ++errors->times;
  snprintf(errors->last, sizeof errors->last, "%s", message);
}

static mmstats_model* new_model(const char* prefix, told* errors) {
  mmstats_model* const model = mmstats_model_new(prefix);
  CHECK(model != NULL);
  CHECK(mmstats_model_set_path(model, folder) == 0);
  CHECK(mmstats_model_set_on_error(model, remember, errors) == 0);
  return model;
}

static void test_counters(void) {
  told errors = {0};
  mmstats_model* const model = new_model("web", &errors);
  mmstats_counter* const counter = mmstats_counter_new(model, "hits", "requests", "Requests answered");
  mmstats_counter* const shared = mmstats_shared_counter_new(model, "all", NULL, NULL);
  mmstats_counter_incr(counter, 1);
  mmstats_counter_incr(counter, UINT64_C(1) << 40);
  mmstats_counter_incr(shared, 7);
  CHECK(mmstats_counter_value(counter) == (UINT64_C(1) << 40) + 1);
  CHECK(mmstats_counter_value(shared) == 7);
  CHECK(read_all() == 2);
  CHECK(has_u64("web.hits", (UINT64_C(1) << 40) + 1));
  CHECK(has_u64("web.all", 7));
  mmstats_counter_set(counter, 5);
  mmstats_counter_set(shared, UINT64_MAX);
  read_all();
  CHECK(has_u64("web.hits", 5));
  CHECK(has_u64("web.all", UINT64_MAX));
  const uint32_t pid = (uint32_t)getpid();
  CHECK(has_bytes("web.sys.pid", "I", false, &pid, sizeof pid));
  CHECK(errors.times == 0);
  mmstats_model_free(model);
  CHECK(read_all() == 0);
}

static void test_numbers(void) {
  /* What set, set_unsigned, set_double and add make of a value, as double, which holds all of these. */
  const struct {
    mmstats_type type;
    bool buffered;
    double of_minus_1, of_300, of_largest, of_fraction, of_huge, of_minus_huge, of_nan, of_7_plus_3;
  } rows[] = {
      {MMSTATS_INT64, true, -1, 300, -1, 2, 9223372036854775807.0, -9223372036854775808.0, 0, 10},
      {MMSTATS_UINT64, true, 18446744073709551615.0, 300, 18446744073709551615.0, 2, 18446744073709551615.0,
       0, 0, 10},
      {MMSTATS_INT32, true, -1, 300, -1, 2, INT_MAX, INT_MIN, 0, 10},
      {MMSTATS_UINT32, true, UINT_MAX, 300, UINT_MAX, 2, UINT_MAX, 0, 0, 10},
      {MMSTATS_INT16, true, -1, 300, -1, 2, 32767, -32768, 0, 10},
      {MMSTATS_UINT16, true, 65535, 300, 65535, 2, 65535, 0, 0, 10},
      {MMSTATS_BYTE, false, -1, 44, -1, 2, 127, -128, 0, 10},
      {MMSTATS_UBYTE, false, 255, 44, 255, 2, 255, 0, 0, 10},
      {MMSTATS_BOOL, false, 1, 1, 1, 1, 1, 0, 0, 1},
      {MMSTATS_FLOAT, true, -1, 300, 18446744073709551615.0, 2.75, 1e30F, -1e30F, NAN, 10},
      {MMSTATS_DOUBLE, true, -1, 300, 18446744073709551615.0, 2.75, 1e30, -1e30, NAN, 10},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    told errors = {0};
    mmstats_model* const model = new_model("", &errors);
    const char type[] = {(char)rows[i].type, '\0'};
    mmstats_number* const number =
        mmstats_number_new(model, rows[i].type, MMSTATS_DEFAULT, "number", NULL, NULL);
    CHECK(number != NULL);
    mmstats_number_set(number, -1);
    CHECK(mmstats_number_value(number) == rows[i].of_minus_1);
    CHECK(read_all() == 1);
    CHECK(strcmp(find("number")->type, type) == 0);
    CHECK(find("number")->buffered == rows[i].buffered);
    CHECK(find("number")->size == size_of(type));
    mmstats_number_set(number, 300);
    CHECK(mmstats_number_value(number) == rows[i].of_300);
    mmstats_number_set_unsigned(number, UINT64_MAX);
    CHECK(mmstats_number_value(number) == rows[i].of_largest);
    mmstats_number_set_double(number, 2.75);
    CHECK(mmstats_number_value(number) == rows[i].of_fraction);
    mmstats_number_set_double(number, 1e30);
    CHECK(mmstats_number_value(number) == rows[i].of_huge);
    mmstats_number_set_double(number, -1e30);
    CHECK(mmstats_number_value(number) == rows[i].of_minus_huge);
    mmstats_number_set_double(number, NAN);
    const double of_nan = mmstats_number_value(number);
    CHECK(isnan(rows[i].of_nan) ? isnan(of_nan) : of_nan == rows[i].of_nan);
    mmstats_number_set(number, 7);
    mmstats_number_add(number, 5);
    mmstats_number_add(number, -2);
    CHECK(mmstats_number_value(number) == rows[i].of_7_plus_3);
    /* The value's first byte says enough of a whole number. */
    read_all();
    if (rows[i].type != MMSTATS_FLOAT && rows[i].type != MMSTATS_DOUBLE) {
      CHECK(find("number")->value[0] == (unsigned char)rows[i].of_7_plus_3);
    }

    mmstats_number* const shared =
        mmstats_shared_number_new(model, rows[i].type, MMSTATS_GAUGE, "shared", "bytes", "Of all");
    CHECK((shared != NULL) == rows[i].buffered);
    mmstats_number_set(shared, 7);
    mmstats_number_add(shared, 3);
    if (shared != NULL) {
      CHECK(mmstats_number_value(shared) == 10);
      CHECK(read_all() == 2);
      CHECK(strcmp(find("shared")->type, type) == 0);
    }
    CHECK(errors.times == 0);
    mmstats_model_free(model);
  }
}

static void test_kinds(void) {
  told errors = {0};
  mmstats_model* const model = new_model(NULL, &errors);
  mmstats_number_new(model, MMSTATS_UINT64, MMSTATS_DEFAULT, "a", NULL, NULL);
  mmstats_number_new(model, MMSTATS_BOOL, MMSTATS_DEFAULT, "b", NULL, "Whether");
  mmstats_number_new(model, MMSTATS_UINT64, MMSTATS_COUNTER, "c", "bytes", NULL);
  mmstats_number_new(model, MMSTATS_DOUBLE, MMSTATS_TIMESTAMP, "d", NULL, NULL);
  mmstats_number_new(model, MMSTATS_INT32, MMSTATS_STATE, "e", NULL, NULL);
  mmstats_number_new(model, MMSTATS_INT32, MMSTATS_PROPERTY, "f", NULL, "Size");
  mmstats_number_new(model, MMSTATS_INT32, MMSTATS_GAUGE, "g", NULL, NULL);
  CHECK(mmstats_number_new(model, (mmstats_type)'s', MMSTATS_GAUGE, "x", NULL, NULL) == NULL);
  CHECK(mmstats_number_new(model, MMSTATS_INT32, (mmstats_kind)100, "x", NULL, NULL) == NULL);
  CHECK(mmstats_model_open(model, NULL, 0) == 0);
  read_all();
  CHECK(strcmp((const char*)find("sys.metadata")->value,
               "sys.writer\tproperty\t\tmaps the file while it "
               "lives\na\tgauge\nb\tstate\t\tWhether\nc\tcounter\tbytes\nd\ttimestamp\ne\tstate\nf\tproperty"
               "\t\tSize\n"
               "g\tgauge\n") == 0);
  CHECK(errors.times == 0);
  mmstats_model_free(model);
}

static void test_facts_and_texts(void) {
  told errors = {0};
  mmstats_model* const model = new_model("web", &errors);
  CHECK(mmstats_static_int(model, MMSTATS_UINT32, "cores", 8) == 0);
  CHECK(mmstats_static_double(model, MMSTATS_DOUBLE, "ratio", 0.1) == 0);
  CHECK(mmstats_static_double(model, MMSTATS_INT16, "rounded", -1e9) == 0);
  CHECK(mmstats_static_int(model, (mmstats_type)'x', "x", 1) == EINVAL);
  CHECK(mmstats_static_double(model, (mmstats_type)'x', "x", 1) == EINVAL);
  CHECK(mmstats_static_text(model, "version", "1.2.3", 16) == 0);
  CHECK(mmstats_static_text(model, "nothing", NULL, 4) == 0);
  mmstats_string* const text = mmstats_string_new(model, "text", 5, "What it does");
  mmstats_string_set(text, "caf\xc3\xa9s");
  const uint32_t cores = 8;
  const double ratio = 0.1;
  const int16_t rounded = INT16_MIN;
  read_all();
  CHECK(has_bytes("web.cores", "I", false, &cores, sizeof cores));
  CHECK(has_bytes("web.ratio", "d", false, &ratio, sizeof ratio));
  CHECK(has_bytes("web.rounded", "h", false, &rounded, sizeof rounded));
  CHECK(has_text("web.version", "16s", false, "1.2.3"));
  CHECK(has_text("web.nothing", "4s", false, ""));
  CHECK(has_text("web.text", "5s", true, "caf\xc3\xa9"));
  mmstats_string_set_bytes(text, "abcdef", 3);
  read_all();
  CHECK(has_text("web.text", "5s", true, "abc"));
  mmstats_string_set_bytes(text, NULL, 5); /* ignored */
  mmstats_string_set_bytes(text, NULL, 0);
  read_all();
  CHECK(has_text("web.text", "5s", true, ""));
  mmstats_string_set(text, "x");
  mmstats_string_set(text, NULL);
  read_all();
  CHECK(has_text("web.text", "5s", true, ""));
  CHECK(errors.times == 0);
  mmstats_string* const endless = mmstats_string_new(model, "endless", SIZE_MAX, NULL);
  CHECK(endless != NULL);
  CHECK(errors.times == 1);
  mmstats_string_set(endless, "x");
  CHECK(mmstats_static_text(model, "endless too", "x", SIZE_MAX) == 0);
  CHECK(errors.times == 2);
  mmstats_model_free(model);
}

static void test_values_added_one_by_one(void) {
  told errors = {0};
  mmstats_model* const model = new_model(NULL, &errors);
  mmstats_average* const averages[] = {mmstats_average_new(model, "all", "seconds", "Mean"),
                                       mmstats_moving_average_new(model, 2, "last", NULL, NULL),
                                       mmstats_window_average_new(model, 60, "window", NULL, NULL)};
  mmstats_histogram* const histograms[] = {mmstats_histogram_new(model, "h", "seconds", NULL),
                                           mmstats_moving_histogram_new(model, 2, "hl", NULL, NULL),
                                           mmstats_window_histogram_new(model, 60, "hw", NULL, NULL)};
  for (int i = 0; i < 3; ++i) {
    const double values[] = {1, NAN, 2, INFINITY, 6};
    for (int v = 0; v < 5; ++v) {
      mmstats_average_add(averages[i], values[v]);
      mmstats_histogram_add(histograms[i], values[v]);
    }
  }
  CHECK(mmstats_average_value(averages[0]) == 3);
  CHECK(mmstats_average_value(averages[1]) == 4);
  CHECK(mmstats_average_value(averages[2]) == 3);
  CHECK(read_all() == 1);
  CHECK(has_double("all", 3));
  CHECK(has_double("last", 4));
  CHECK(has_double("window", 3));
  const char* const labels[] = {"h", "hl", "hw"};
  for (int i = 0; i < 3; ++i) {
    char label[16];
    snprintf(label, sizeof label, "%s.count", labels[i]);
    CHECK(has_u64(label, 3));
    snprintf(label, sizeof label, "%s.sum", labels[i]);
    CHECK(has_double(label, 9));
    snprintf(label, sizeof label, "%s.max", labels[i]);
    CHECK(fabs(double_of(label) - 6) <= 6 / 64.0);
    snprintf(label, sizeof label, "%s.p50", labels[i]);
    CHECK(fabs(double_of(label) - 2) <= 2 / 64.0);
  }
  CHECK(has_double("h.min", 1));
  CHECK(has_double("h.max", 6));

  mmstats_average* const timed = mmstats_moving_average_new(model, 100, "timed", NULL, NULL);
  mmstats_histogram* const timed_histogram = mmstats_histogram_new(model, "timed_h", NULL, NULL);
  const uint64_t started = mmstats_clock();
  while (mmstats_clock() - started < 1000000) continue;
  const double seconds = mmstats_average_add_since(timed, started);
  const double more = mmstats_histogram_add_since(timed_histogram, started);
  CHECK(seconds >= 1e-3 && more >= seconds);
  CHECK(mmstats_average_value(timed) == seconds);
  read_all();
  CHECK(has_double("timed", seconds));
  CHECK(has_double("timed_h.sum", more));
  CHECK(errors.times == 0);
  mmstats_model_free(model);
}

static void test_models(void) {
  told errors = {0};
  mmstats_model* const model = new_model("web", &errors);
  CHECK(mmstats_model_set_file_name(model, "{CMD}-{PID}-{TID}.stats") == 0);
  CHECK(mmstats_model_set_mode(model, 0640) == 0);
  CHECK(mmstats_model_set_mode(model, 0755) == EINVAL);
  CHECK(mmstats_model_set_mode(model, 0444) == EINVAL);
  CHECK(mmstats_model_set_system_fields(model, false) == 0);
  CHECK(mmstats_model_set_max_file_bytes(model, (size_t)16 << 20) == 0);
  CHECK(mmstats_model_set_remove_at_exit(model, false) == 0);
  mmstats_counter* const counter = mmstats_counter_new(model, "hits", NULL, NULL);
  /* Too late. */
  CHECK(mmstats_model_set_path(model, "/") == EBUSY);
  CHECK(mmstats_model_set_file_name(model, "x") == EBUSY);
  CHECK(mmstats_model_set_mode(model, 0600) == EBUSY);
  CHECK(mmstats_model_set_system_fields(model, true) == EBUSY);
  CHECK(mmstats_model_set_max_file_bytes(model, 1) == EBUSY);
  CHECK(mmstats_model_set_remove_at_exit(model, true) == EBUSY);
  CHECK(mmstats_model_set_on_error(model, NULL, NULL) == EBUSY);
  CHECK(read_all() == 0);
  char reason[200] = "untouched";
  CHECK(mmstats_model_open(model, reason, sizeof reason) == 0);
  CHECK(strcmp(reason, "untouched") == 0);
  mmstats_counter_incr(counter, 3);
  CHECK(mmstats_model_flush(model, false) == 0);
  CHECK(mmstats_model_flush(model, true) == 0);
  CHECK(read_all() == 1);
  CHECK(field_count == 1);
  CHECK(mmstats_counter_new(model, "hits", NULL, NULL) == counter);
  CHECK(errors.times == 0);
  CHECK(mmstats_number_new(model, MMSTATS_INT32, MMSTATS_DEFAULT, "hits", NULL, NULL) != NULL);
  CHECK(errors.times == 1);
  CHECK(strstr(errors.last, "web.hits") != NULL);
  char path[200];
  snprintf(path, sizeof path, "%s/c_api_test-%ld-%ld.stats", folder, (long)getpid(), (long)getpid());
  mmstats_model_free(model);
  CHECK(access(path, F_OK) == 0);
  read_all();
  CHECK(has_u64("web.hits", 3));
  CHECK(unlink(path) == 0);

  mmstats_model* const removed = new_model(NULL, &errors);
  mmstats_counter* const gone = mmstats_counter_new(removed, "gone", NULL, NULL);
  mmstats_counter_incr(gone, 1);
  CHECK(read_all() == 1);
  mmstats_model_remove(removed);
  mmstats_model_remove(removed);
  mmstats_counter_incr(gone, 1);
  CHECK(mmstats_counter_value(gone) == 2);
  CHECK(read_all() == 0);
  mmstats_model_free(removed);

  /* Even before there are fields. */
  mmstats_model* const early = new_model(NULL, &errors);
  mmstats_model_remove(early);
  mmstats_counter_incr(mmstats_counter_new(early, "gone", NULL, NULL), 1);
  CHECK(read_all() == 0);
  mmstats_model_free(early);
}

/* However often they are made, as by plugins that are loaded again. */
static void test_handles_made_again(void) {
  told errors = {0};
  mmstats_model* const model = new_model(NULL, &errors);
  mmstats_counter* const counter = mmstats_counter_new(model, "c", NULL, NULL);
  mmstats_counter* const shared = mmstats_shared_counter_new(model, "s", NULL, NULL);
  mmstats_number* const number = mmstats_number_new(model, MMSTATS_INT32, MMSTATS_DEFAULT, "n", NULL, NULL);
  /* Of another type: private, and one, too. */
  mmstats_number* const other = mmstats_number_new(model, MMSTATS_INT64, MMSTATS_DEFAULT, "n", NULL, NULL);
  mmstats_string* const text = mmstats_string_new(model, "t", 10, NULL);
  mmstats_average* const mean = mmstats_moving_average_new(model, 10, "a", NULL, NULL);
  mmstats_histogram* const histogram = mmstats_window_histogram_new(model, 10, "h", NULL, NULL);
  CHECK((void*)other != (void*)number);
  CHECK(errors.times == 1);
  for (int i = 0; i < 1000; ++i) {
    CHECK(mmstats_counter_new(model, "c", NULL, NULL) == counter);
    CHECK(mmstats_shared_counter_new(model, "s", NULL, NULL) == shared);
    CHECK(mmstats_number_new(model, MMSTATS_INT32, MMSTATS_DEFAULT, "n", NULL, NULL) == number);
    CHECK(mmstats_number_new(model, MMSTATS_INT64, MMSTATS_DEFAULT, "n", NULL, NULL) == other);
    CHECK(mmstats_string_new(model, "t", 10, NULL) == text);
    CHECK(mmstats_moving_average_new(model, 10, "a", NULL, NULL) == mean);
    CHECK(mmstats_window_histogram_new(model, 10, "h", NULL, NULL) == histogram);
    mmstats_counter_incr(counter, 1);
    mmstats_number_add(other, 1);
  }
  CHECK(mmstats_number_value(other) == 1000);
  CHECK(errors.times == 1);
  read_all();
  CHECK(has_u64("c", 1000));
  mmstats_model_free(model);
}

static void* count_in_thread(void* counter) {
  mmstats_counter_incr(counter, 10);
  return NULL;
}

static void test_amounts_and_totals(void) {
  told errors = {0};
  mmstats_model* const model = new_model(NULL, &errors);
  mmstats_counter* const counter = mmstats_counter_new(model, "c", NULL, NULL);
  mmstats_number* const counting = mmstats_number_new(model, MMSTATS_INT32, MMSTATS_COUNTER, "n", NULL, NULL);
  mmstats_number* const gauge = mmstats_number_new(model, MMSTATS_INT32, MMSTATS_GAUGE, "g", NULL, NULL);
  mmstats_counter_incr(counter, 5);
  mmstats_counter_incr(counter, (uint64_t)-1);
  CHECK(errors.times == 1);
  CHECK(strstr(errors.last, "\"c\"") != NULL);
  mmstats_number_add(counting, 3);
  mmstats_number_add(counting, -1);
  mmstats_number_add(gauge, -1);
  CHECK(errors.times == 1);
  CHECK(mmstats_counter_value(counter) == 5);
  CHECK(mmstats_number_value(counting) == 3);
  CHECK(mmstats_number_value(gauge) == -1);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, count_in_thread, counter) == 0);
  pthread_join(thread, NULL);
  CHECK(mmstats_counter_value(counter) == 5);
  CHECK(mmstats_counter_total(counter) == 15);
  CHECK(mmstats_number_total(gauge) == -1);
  CHECK(mmstats_counter_total(NULL) == 0);
  CHECK(mmstats_number_total(NULL) == 0);
  mmstats_model_free(model);
}

/* More than there is room for beside a file. */
static void test_many_histograms(void) {
  told errors = {0};
  mmstats_model* const model = new_model(NULL, &errors);
  char label[20];
  for (int i = 0; i < 150; ++i) {
    snprintf(label, sizeof label, "h%d", i);
    mmstats_histogram* const histogram = mmstats_window_histogram_new(model, 60, label, NULL, NULL);
    CHECK(histogram != NULL);
    mmstats_histogram_add(histogram, 1);
  }
  CHECK(errors.times == 0);
  read_all();
  CHECK(has_u64("h0.count", 1));
  CHECK(has_u64("h149.count", 1));
  mmstats_model_free(model);
}

static void test_precisions(void) {
  told errors = {0};
  mmstats_model* const model = new_model(NULL, &errors);
  mmstats_histogram* const histograms[] = {
      mmstats_histogram_new_with_precision(model, 8, "h", NULL, NULL),
      mmstats_moving_histogram_new_with_precision(model, 10, 8, "hl", NULL, NULL),
      mmstats_window_histogram_new_with_precision(model, 10, 8, "hw", NULL, NULL)};
  CHECK(mmstats_histogram_new_with_precision(model, 8, "h", NULL, NULL) == histograms[0]);
  for (int i = 0; i < 3; ++i) mmstats_histogram_add(histograms[i], 1.5);
  read_all();
  const uint64_t counts[8] = {0, 0, 0, 0, 1};
  CHECK(has_bytes("h.buckets.0", "8Q", false, counts, sizeof counts));
  CHECK(has_bytes("hl.buckets.0", "8Q", false, counts, sizeof counts));
  CHECK(has_bytes("hw.buckets.0", "8Q", false, counts, sizeof counts));
  CHECK(mmstats_histogram_new_with_precision(NULL, 8, "x", NULL, NULL) == NULL);
  CHECK(errors.times == 0);
  mmstats_model_free(model);
}

static void test_families(void) {
  told errors = {0};
  mmstats_model* const model = new_model(NULL, &errors);
  static const char* const names[] = {"method", "status", NULL};
  static const char* const one[] = {"a", NULL};
  const char* const get[] = {"GET", "200"};
  const char* const nothing[] = {NULL, "a.b"};
  const char* const x[] = {"x"};
  const char* const y[] = {"y"};
  mmstats_family* const responses = mmstats_counter_family_new(model, "r", names, "responses", "Sent");
  CHECK(responses != NULL);
  CHECK(mmstats_counter_family_new(model, "r", names, "responses", "Sent") == responses);
  mmstats_counter* const kept = mmstats_counter_with(responses, get);
  CHECK(kept != NULL);
  CHECK(mmstats_counter_with(responses, get) == kept);
  mmstats_counter_incr(kept, 2);
  mmstats_counter_incr(mmstats_counter_with(responses, nothing), 1);
  mmstats_counter_incr(
      mmstats_counter_with(mmstats_shared_counter_family_new(model, "s", one, NULL, NULL), x), 3);
  mmstats_family* const numbers =
      mmstats_number_family_new(model, MMSTATS_INT32, MMSTATS_GAUGE, "n", one, NULL, NULL);
  mmstats_number_set(mmstats_number_with(numbers, x), -4);
  mmstats_number_set(
      mmstats_number_with(
          mmstats_shared_number_family_new(model, MMSTATS_UINT64, MMSTATS_GAUGE, "sn", one, NULL, NULL), x),
      5);
  mmstats_string_set(mmstats_string_with(mmstats_string_family_new(model, "t", one, 8, NULL), x), "abc");
  mmstats_average_add(mmstats_average_with(mmstats_average_family_new(model, "a", one, NULL, NULL), x), 1);
  mmstats_average_add(
      mmstats_average_with(mmstats_moving_average_family_new(model, 2, "ma", one, NULL, NULL), x), 2);
  mmstats_average_add(
      mmstats_average_with(mmstats_window_average_family_new(model, 60, "wa", one, NULL, NULL), x), 3);
  mmstats_histogram_add(
      mmstats_histogram_with(mmstats_histogram_family_new(model, 8, "h", one, NULL, NULL), x), 1);
  mmstats_histogram_add(
      mmstats_histogram_with(mmstats_moving_histogram_family_new(model, 5, 8, "mh", one, NULL, NULL), x), 1);
  mmstats_histogram_add(
      mmstats_histogram_with(mmstats_window_histogram_family_new(model, 5, 8, "wh", one, NULL, NULL), x), 1);
  read_all();
  CHECK(has_u64("mh.x.count", 1));
  CHECK(has_u64("wh.x.count", 1));
  CHECK(has_u64("r.GET.200", 2));
  CHECK(has_u64("r..a%2Eb", 1));
  CHECK(has_u64("s.x", 3));
  CHECK(has_u64("sn.x", 5));
  CHECK(has_u64("h.x.count", 1));
  const int32_t minus_four = -4;
  CHECK(has_bytes("n.x", "i", true, &minus_four, sizeof minus_four));
  const double means[] = {1, 2, 3};
  CHECK(has_bytes("a.x", "d", true, &means[0], sizeof means[0]));
  CHECK(has_bytes("ma.x", "d", true, &means[1], sizeof means[1]));
  CHECK(has_bytes("wa.x", "d", true, &means[2], sizeof means[2]));
  CHECK(errors.times == 0);

  /* Handles of another class, and what cannot be. */
  CHECK(mmstats_number_with(responses, get) == NULL);
  CHECK(mmstats_string_with(responses, get) == NULL);
  CHECK(mmstats_shared_number_family_new(model, MMSTATS_BOOL, MMSTATS_STATE, "b", one, NULL, NULL) == NULL);
  CHECK(mmstats_counter_family_new(NULL, "r", names, NULL, NULL) == NULL);
  CHECK(mmstats_counter_with(NULL, get) == NULL);
  CHECK(mmstats_counter_with(responses, NULL) != NULL);
  mmstats_family_remove(NULL, get);
  mmstats_family_limit(NULL, 1, 1);
  CHECK(mmstats_family_expire(NULL) == 0);
  CHECK(errors.times == 0);
  CHECK(mmstats_counter_family_new(model, "r", one, NULL, NULL) != responses);
  CHECK(errors.times == 1);

  mmstats_family_limit(numbers, 1, 0);
  mmstats_number_set(mmstats_number_with(numbers, y), 7);
  CHECK(errors.times == 2);
  read_all();
  const int32_t seven = 7;
  CHECK(has_bytes("n.other", "i", true, &seven, sizeof seven));
  mmstats_family_remove(numbers, x);
  mmstats_number_set(mmstats_number_with(numbers, y), 7);
  read_all();
  CHECK(has_bytes("n.y", "i", true, &seven, sizeof seven));
  CHECK(mmstats_family_expire(numbers) == 0);

  const char* many[21] = {NULL};
  char letters[20][2];
  for (int i = 0; i < 20; ++i) {
    letters[i][0] = (char)('a' + i);
    letters[i][1] = '\0';
    many[i] = letters[i];
  }
  mmstats_family* const too_many = mmstats_counter_family_new(model, "many", many, NULL, NULL);
  CHECK(errors.times == 3);
  mmstats_counter_incr(mmstats_counter_with(too_many, many), 1);
  CHECK(mmstats_number_family_new(model, MMSTATS_INT32, MMSTATS_COUNTER, "n", one, NULL, NULL) != numbers);
  CHECK(errors.times == 4);
  mmstats_model_free(model);
}

static void test_no_folder(void) {
  told errors = {0};
  mmstats_model* const model = new_model(NULL, &errors);
  CHECK(mmstats_model_set_path(model, "/nonexistent") == 0);
  mmstats_counter* const counter = mmstats_counter_new(model, "hits", NULL, NULL);
  mmstats_counter_incr(counter, 2);
  CHECK(mmstats_counter_value(counter) == 2);
  CHECK(errors.times == 1);
  CHECK(strstr(errors.last, "/nonexistent/c_api_test-") == errors.last);
  char reason[200];
  CHECK(mmstats_model_open(model, reason, sizeof reason) == ENOENT);
  CHECK(strcmp(reason, errors.last) == 0);
  char cut[10];
  CHECK(mmstats_model_open(model, cut, sizeof cut) == ENOENT);
  CHECK(strcmp(cut, "/nonexist") == 0);
  CHECK(mmstats_model_open(model, NULL, 10) == ENOENT);
  CHECK(mmstats_model_open(model, cut, 0) == ENOENT);
  CHECK(errors.times == 1);
  mmstats_model_free(model);
}

static void test_null(void) {
  CHECK(mmstats_counter_new(NULL, "x", NULL, NULL) == NULL);
  CHECK(mmstats_shared_counter_new(NULL, "x", NULL, NULL) == NULL);
  CHECK(mmstats_number_new(NULL, MMSTATS_INT32, MMSTATS_GAUGE, "x", NULL, NULL) == NULL);
  CHECK(mmstats_shared_number_new(NULL, MMSTATS_INT32, MMSTATS_GAUGE, "x", NULL, NULL) == NULL);
  CHECK(mmstats_string_new(NULL, "x", 10, NULL) == NULL);
  CHECK(mmstats_average_new(NULL, "x", NULL, NULL) == NULL);
  CHECK(mmstats_moving_average_new(NULL, 10, "x", NULL, NULL) == NULL);
  CHECK(mmstats_window_average_new(NULL, 10, "x", NULL, NULL) == NULL);
  CHECK(mmstats_histogram_new(NULL, "x", NULL, NULL) == NULL);
  CHECK(mmstats_moving_histogram_new(NULL, 10, "x", NULL, NULL) == NULL);
  CHECK(mmstats_window_histogram_new(NULL, 10, "x", NULL, NULL) == NULL);
  CHECK(mmstats_static_int(NULL, MMSTATS_INT32, "x", 1) != 0);
  CHECK(mmstats_static_double(NULL, MMSTATS_DOUBLE, "x", 1) != 0);
  CHECK(mmstats_static_text(NULL, "x", "x", 1) != 0);
  CHECK(mmstats_model_set_path(NULL, "x") != 0);
  CHECK(mmstats_model_set_file_name(NULL, "x") != 0);
  CHECK(mmstats_model_set_mode(NULL, 0600) != 0);
  CHECK(mmstats_model_set_system_fields(NULL, true) != 0);
  CHECK(mmstats_model_set_remove_at_exit(NULL, true) != 0);
  CHECK(mmstats_model_set_on_error(NULL, remember, NULL) != 0);
  CHECK(mmstats_model_open(NULL, NULL, 0) != 0);
  CHECK(mmstats_model_flush(NULL, false) != 0);
  mmstats_model_remove(NULL);
  mmstats_model_free(NULL);
  mmstats_counter_incr(NULL, 1);
  mmstats_counter_set(NULL, 1);
  CHECK(mmstats_counter_value(NULL) == 0);
  mmstats_number_set(NULL, 1);
  mmstats_number_set_unsigned(NULL, 1);
  mmstats_number_set_double(NULL, 1);
  mmstats_number_add(NULL, 1);
  CHECK(mmstats_number_value(NULL) == 0);
  mmstats_string_set(NULL, "x");
  mmstats_string_set_bytes(NULL, "x", 1);
  mmstats_average_add(NULL, 1);
  CHECK(mmstats_average_add_since(NULL, mmstats_clock()) >= 0);
  CHECK(mmstats_average_value(NULL) == 0);
  mmstats_histogram_add(NULL, 1);
  CHECK(mmstats_histogram_add_since(NULL, mmstats_clock()) >= 0);

  /* A label of nothing is told, and the handle works. */
  told errors = {0};
  mmstats_model* const model = new_model(NULL, &errors);
  mmstats_counter* const counter = mmstats_counter_new(model, NULL, NULL, NULL);
  mmstats_counter_incr(counter, 2);
  CHECK(mmstats_counter_value(counter) == 2);
  CHECK(errors.times == 1);
  mmstats_model_free(model);
}

/* What the handler may use. */
static mmstats_counter* handled;
static mmstats_counter* handled_shared;
static mmstats_number* handled_number;
static volatile sig_atomic_t handled_times;

static void handle(int signal_number) {
  (void)signal_number;
  ++handled_times;
  mmstats_counter_incr(handled, 1);
  mmstats_counter_incr(handled_shared, 1);
  mmstats_number_set(handled_number, handled_times);
  mmstats_number_add(handled_number, 1);
  mmstats_counter_set(handled_shared, mmstats_counter_value(handled_shared));
}

static void test_signal_handler(void) {
  told errors = {0};
  mmstats_model* const model = new_model(NULL, &errors);
  handled = mmstats_counter_new(model, "handled", NULL, NULL);
  handled_shared = mmstats_shared_counter_new(model, "shared", NULL, NULL);
  handled_number = mmstats_number_new(model, MMSTATS_DOUBLE, MMSTATS_GAUGE, "number", NULL, NULL);
  CHECK(mmstats_model_open(model, NULL, 0) == 0);

  /* A timer interrupts this thread, which counts as well: the counter loses nothing. */
  const struct sigaction action = {.sa_handler = handle};
  sigaction(SIGALRM, &action, NULL);
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
  CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  const struct itimerspec often = {{0, 100000}, {0, 100000}};
  CHECK(timer_settime(timer, 0, &often, NULL) == 0);
  uint64_t counted = 0;
  const uint64_t started = mmstats_clock();
  while (handled_times < 200 && mmstats_clock() - started < UINT64_C(300000000000)) {
    for (int i = 0; i < 1000; ++i) mmstats_counter_incr(handled, 1);
    counted += 1000;
  }
  timer_delete(timer);
  CHECK(handled_times >= 200);
#if (defined(__x86_64__) || defined(__aarch64__)) && !defined(__SANITIZE_THREAD__)
  CHECK(mmstats_counter_value(handled) == counted + (uint64_t)handled_times);
#else
  CHECK(mmstats_counter_value(handled) <= counted + (uint64_t)handled_times);
#endif
  CHECK(mmstats_counter_value(handled_shared) == (uint64_t)handled_times);
  CHECK(mmstats_number_value(handled_number) == handled_times + 1);
  read_all();
  CHECK(has_u64("shared", (uint64_t)handled_times));
  CHECK(errors.times == 0);
  mmstats_model_free(model);
}

static void* count(void* counters) {
  for (int i = 0; i < 10000; ++i) {
    mmstats_counter_incr(((mmstats_counter**)counters)[0], 1);
    mmstats_counter_incr(((mmstats_counter**)counters)[1], 1);
  }
  return NULL;
}

static void test_threads(void) {
  told errors = {0};
  mmstats_model* const model = new_model(NULL, &errors);
  mmstats_counter* counters[] = {mmstats_counter_new(model, "own", NULL, NULL),
                                 mmstats_shared_counter_new(model, "shared", NULL, NULL)};
  mmstats_counter_incr(counters[0], 5); /* or this thread would take over the file of one that ended */
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) pthread_create(&threads[i], NULL, count, counters);
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  CHECK(mmstats_counter_value(counters[0]) == 5);
  CHECK(mmstats_counter_value(counters[1]) == 40000);
  read_all();
  uint64_t own = 0;
  for (size_t i = 0; i < field_count; ++i) {
    uint64_t value = 0;
    memcpy(&value, fields[i].value, sizeof value);
    if (strcmp(fields[i].label, "own") == 0) own += value;
  }
  CHECK(own == 40005);
  CHECK(has_u64("shared", 40000));
  CHECK(errors.times == 0);
  mmstats_model_free(model);
}

int main(void) {
  if (mkdtemp(folder) == NULL) return 2;
  CHECK(strcmp(mmstats_version(), MMSTATS_VERSION) == 0);
  test_counters();
  test_numbers();
  test_kinds();
  test_facts_and_texts();
  test_values_added_one_by_one();
  test_models();
  test_handles_made_again();
  test_many_histograms();
  test_precisions();
  test_families();
  test_amounts_and_totals();
  test_no_folder();
  test_null();
  test_signal_handler();
  test_threads();
  CHECK(rmdir(folder) == 0); /* nothing is left */
  return failures == 0 ? 0 : 1;
}

/* Publishing metrics as mmstats files, from C and from what calls C. The C++ interface (model.h, fields.h,
 * histogram.h) says in full what models and fields are and promise; this is the same library.
 *
 *   mmstats_model *model = mmstats_model_new("web");
 *   mmstats_counter *requests = mmstats_counter_new(model, "requests", "requests", "Requests answered");
 *   mmstats_counter_incr(requests, 1);
 *
 * Handles belong to their model and live as long as it. Functions that make one copy the texts that they
 * are given; `unit` and `help` may be NULL. What is made again with the same label, type, kind and size is
 * the same handle: a function may make its counter where it counts. They return NULL if there is no memory,
 * and every function takes NULL for a handle and does nothing: a program's metrics never stop the program.
 * What else can go wrong (no permission, no space, a full file, a label that is another field's, or one that
 * a field cannot have: see model.h) is told once, see mmstats_model_set_on_error; the field works on private
 * memory then.
 *
 * All functions may be called from any thread. Those marked [signal] may also be called from a signal handler
 * in a thread that called mmstats_model_open or has written before. What a handler adds while it interrupts
 * an addition to the same field is lost, but for shared numbers and counters, and, on x86-64 and arm64, whole
 * numbers of eight bytes: see model.h. They make no system call. (mmstats_clock reads the clock.)
 */
#ifndef MMSTATS_MMSTATS_H
#define MMSTATS_MMSTATS_H

/* NOLINTBEGIN(modernize-*): this is C */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmstats/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library, as "0.1.0". */
MMSTATS_API const char* mmstats_version(void);

/* ---- model: what a program publishes; each thread that writes has a file of its own */

typedef struct mmstats_model mmstats_model;

/* `label_prefix` (up to 1,024 bytes of UTF-8) and a dot, unless it ends with one, are put before all labels;
 * NULL or "": nothing is. With a prefix that labels cannot have the model is not published, which is told.
 * The model lives until mmstats_model_free; when the process exits normally its files are removed. */
MMSTATS_API mmstats_model* mmstats_model_new(const char* label_prefix);

/* Options: before the model's first field is made; later calls return EBUSY and change nothing. 0: done. */

/* The folder, and the name of the files in it; both may hold {CMD} {PID} {TID}. Defaults: $MMSTATS_PATH or
 * /run/mmstats or $TMPDIR or /tmp; $MMSTATS_FILES or "{CMD}-{PID}-{TID}.mmstats". */
MMSTATS_API int mmstats_model_set_path(mmstats_model* model, const char* path);
MMSTATS_API int mmstats_model_set_file_name(mmstats_model* model, const char* file_name);
/* The permissions of the files, like 0640: reading and writing for the owner, and no execution; EINVAL
 * otherwise. It wins over the umask. Default: $MMSTATS_MODE (in octal), else 0644 less the umask. */
MMSTATS_API int mmstats_model_set_mode(mmstats_model* model, unsigned mode);
/* Whether there are sys.pid, sys.tid, sys.uid, sys.gid, sys.created and sys.metadata. Default: true. Without
 * them readers take every MMSTATS_UINT64 for a counter. */
MMSTATS_API int mmstats_model_set_system_fields(mmstats_model* model, bool system_fields);
/* How many bytes of fields a file takes: 64 KiB to 1 GiB, or the nearest end of that. Default: 4 MiB, some
 * 50,000 fields; readers take no more unless they are told to. */
MMSTATS_API int mmstats_model_set_max_file_bytes(mmstats_model* model, size_t max_file_bytes);
/* Whether the files go when the process exits normally or the model is freed. Default: true. */
MMSTATS_API int mmstats_model_set_remove_at_exit(mmstats_model* model, bool remove_at_exit);
/* Who is told what goes wrong, in the thread to which it happens: `message` is one line, valid during
 * the call. Default: standard error; of errors that differ only in the field or the file, the 1st, 2nd, 4th,
 * 8th and so on. */
MMSTATS_API int mmstats_model_set_on_error(mmstats_model* model,
                                           void (*on_error)(void* context, const char* message),
                                           void* context);

/* Makes this thread's file, and the one of shared fields, now rather than at the first write. 0, or an errno
 * (EIO if none fits) and, if `reason` is not NULL, why, in up to `size` bytes with a NUL. */
MMSTATS_API int mmstats_model_open(mmstats_model* model, char* reason, size_t size);
/* Has the files written to disk; waits for that unless `async`. 0 or an errno. */
MMSTATS_API int mmstats_model_flush(mmstats_model* model, bool async);
/* Makes files again that were deleted or could not be made: those of this thread and of threads that have
 * ended. 0 or an errno, if others are left or it fails. */
MMSTATS_API int mmstats_model_reopen(mmstats_model* model);
/* As mmstats::survive_cut_files() in model.h: installs a handler of SIGBUS. 0 or an errno. */
MMSTATS_API int mmstats_survive_cut_files(void);
/* Takes the files away for good; fields go on, on private memory. */
MMSTATS_API void mmstats_model_remove(mmstats_model* model);
/* Ends the model and all its handles. No thread may use them any more. */
MMSTATS_API void mmstats_model_free(mmstats_model* model);

/* ---- counter: only grows; each thread has its own, readers add them up */

typedef struct mmstats_counter mmstats_counter;

MMSTATS_API mmstats_counter* mmstats_counter_new(mmstats_model* model, const char* label, const char* unit,
                                                 const char* help);
/* One value for all threads, exact; incr is atomic. */
MMSTATS_API mmstats_counter* mmstats_shared_counter_new(mmstats_model* model, const char* label,
                                                        const char* unit, const char* help);
/* An amount above 2^63 - 1, which is what a negative one becomes, adds nothing: the first in a model is told
 * (in a handler, too). Inline where the compiler can: see the end of this file. */
MMSTATS_API void mmstats_counter_incr(mmstats_counter* counter, uint64_t amount); /* [signal] */
MMSTATS_API uint64_t
mmstats_counter_value(const mmstats_counter* counter); /* [signal] this thread's, or shared */
/* The sum over the process's threads, those that have ended included. Takes a lock, and some nanoseconds for
 * each thread. */
MMSTATS_API uint64_t mmstats_counter_total(const mmstats_counter* counter);
MMSTATS_API void mmstats_counter_set(mmstats_counter* counter, uint64_t value); /* [signal] */

/* ---- number: a value of this moment */

typedef struct mmstats_number mmstats_number;

/* What a number is in the file: the codes of Python's struct module. BYTE, UBYTE and BOOL are unbuffered. */
typedef enum mmstats_type {
  MMSTATS_INT64 = 'q',
  MMSTATS_UINT64 = 'Q',
  MMSTATS_INT32 = 'i',
  MMSTATS_UINT32 = 'I',
  MMSTATS_INT16 = 'h',
  MMSTATS_UINT16 = 'H',
  MMSTATS_BYTE = 'b',
  MMSTATS_UBYTE = 'B',
  MMSTATS_BOOL = '?',
  MMSTATS_FLOAT = 'f',
  MMSTATS_DOUBLE = 'd'
} mmstats_type;

/* What a number means, to readers. */
typedef enum mmstats_kind {
  MMSTATS_DEFAULT,   /* a gauge; a bool is a state */
  MMSTATS_COUNTER,   /* only grows */
  MMSTATS_GAUGE,     /* a value of this moment */
  MMSTATS_TIMESTAMP, /* a moment, Unix seconds */
  MMSTATS_STATE,     /* a number that stands for a condition */
  MMSTATS_PROPERTY   /* a fact about the process */
} mmstats_kind;

/* NULL too if `type` or `kind` is none of these. */
MMSTATS_API mmstats_number* mmstats_number_new(mmstats_model* model, mmstats_type type, mmstats_kind kind,
                                               const char* label, const char* unit, const char* help);
/* One value for all threads; add is atomic. Not for BYTE, UBYTE and BOOL (NULL). */
MMSTATS_API mmstats_number* mmstats_shared_number_new(mmstats_model* model, mmstats_type type,
                                                      mmstats_kind kind, const char* label, const char* unit,
                                                      const char* help);
/* Stores or adds `value`, converted to the number's type as C does; but in a whole number or BOOL, a double
 * out of range becomes the nearest end of it, and NaN 0. To add anything but 0 sets a BOOL. What is negative
 * adds nothing to an MMSTATS_COUNTER, as above. */
MMSTATS_API void mmstats_number_set(mmstats_number* number, int64_t value);           /* [signal] */
MMSTATS_API void mmstats_number_set_unsigned(mmstats_number* number, uint64_t value); /* [signal] */
MMSTATS_API void mmstats_number_set_double(mmstats_number* number, double value);     /* [signal] */
MMSTATS_API void mmstats_number_add(mmstats_number* number, int64_t amount);          /* [signal] */
MMSTATS_API double mmstats_number_value(const mmstats_number* number); /* [signal] exact up to 2^53 */
/* The sum over the process's threads that have not ended; as mmstats_counter_total otherwise. */
MMSTATS_API double mmstats_number_total(const mmstats_number* number);

/* ---- facts that do not change, and texts */

/* A static number, unbuffered. 0, or EINVAL (a type that is none), ENOMEM. */
MMSTATS_API int mmstats_static_int(mmstats_model* model, mmstats_type type, const char* label, int64_t value);
MMSTATS_API int mmstats_static_double(mmstats_model* model, mmstats_type type, const char* label,
                                      double value);
/* A static text of up to `size` bytes (256 in the original; 65,535 at most). */
MMSTATS_API int mmstats_static_text(mmstats_model* model, const char* label, const char* value, size_t size);

typedef struct mmstats_string mmstats_string;

/* A text of up to `size` bytes of UTF-8 (255 in the original; 65,535 at most). */
MMSTATS_API mmstats_string* mmstats_string_new(mmstats_model* model, const char* label, size_t size,
                                               const char* help);
/* A longer text is cut between two characters. */
MMSTATS_API void mmstats_string_set(mmstats_string* string, const char* text);
MMSTATS_API void mmstats_string_set_bytes(mmstats_string* string, const char* text, size_t size);

/* ---- values that are added one by one; infinite ones and NaN are left out */

typedef struct mmstats_average mmstats_average;

MMSTATS_API mmstats_average* mmstats_average_new(mmstats_model* model, const char* label, const char* unit,
                                                 const char* help);
/* Of the last `size` values: what the original calls MovingAverageField and TimerField, with 100. */
MMSTATS_API mmstats_average* mmstats_moving_average_new(mmstats_model* model, size_t size, const char* label,
                                                        const char* unit, const char* help);
/* Of the last `seconds`. */
MMSTATS_API mmstats_average* mmstats_window_average_new(mmstats_model* model, size_t seconds,
                                                        const char* label, const char* unit,
                                                        const char* help);
MMSTATS_API void mmstats_average_add(mmstats_average* average, double value);
/* Adds the seconds since mmstats_clock() gave `started`, and returns them. */
MMSTATS_API double mmstats_average_add_since(mmstats_average* average, uint64_t started);
MMSTATS_API double mmstats_average_value(const mmstats_average* average);

/* Publishes LABEL.buckets.E and LABEL.count .sum .min .max .p50 .p90 .p99 .p999; see histogram.h for errors,
 * memory and bounds. */
typedef struct mmstats_histogram mmstats_histogram;

MMSTATS_API mmstats_histogram* mmstats_histogram_new(mmstats_model* model, const char* label,
                                                     const char* unit, const char* help);
MMSTATS_API mmstats_histogram* mmstats_moving_histogram_new(mmstats_model* model, size_t size,
                                                            const char* label, const char* unit,
                                                            const char* help);
MMSTATS_API mmstats_histogram* mmstats_window_histogram_new(mmstats_model* model, size_t seconds,
                                                            const char* label, const char* unit,
                                                            const char* help);
/* `precision`: how many buckets a power of two has: 32, as above; or 16, 8 or 4, for less memory. */
MMSTATS_API mmstats_histogram* mmstats_histogram_new_with_precision(mmstats_model* model, unsigned precision,
                                                                    const char* label, const char* unit,
                                                                    const char* help);
MMSTATS_API mmstats_histogram* mmstats_moving_histogram_new_with_precision(mmstats_model* model, size_t size,
                                                                           unsigned precision,
                                                                           const char* label,
                                                                           const char* unit,
                                                                           const char* help);
MMSTATS_API mmstats_histogram* mmstats_window_histogram_new_with_precision(mmstats_model* model,
                                                                           size_t seconds, unsigned precision,
                                                                           const char* label,
                                                                           const char* unit,
                                                                           const char* help);
MMSTATS_API void mmstats_histogram_add(mmstats_histogram* histogram, double value);
MMSTATS_API double mmstats_histogram_add_since(mmstats_histogram* histogram, uint64_t started);

/* ---- families: a metric with a handle for each combination of its dimensions; see family.h for names,
 * limits and errors */

typedef struct mmstats_family mmstats_family;

/* `dimensions`: 1 to 16 names, and NULL after the last one:
 *
 *   static const char* const names[] = {"method", "status", NULL};
 *   mmstats_family *family =
 *       mmstats_counter_family_new(model, "responses", names, NULL, "Responses sent");
 *   mmstats_counter *counter =
 *       mmstats_counter_with(family, (const char*[]){"GET", "200"});
 *   mmstats_counter_incr(counter, 1);
 *
 * The other arguments are those of the functions without "_family"; of histograms, those of the functions
 * *_new_with_precision. */
MMSTATS_API mmstats_family* mmstats_counter_family_new(mmstats_model* model, const char* label,
                                                       const char* const* dimensions, const char* unit,
                                                       const char* help);
MMSTATS_API mmstats_family* mmstats_shared_counter_family_new(mmstats_model* model, const char* label,
                                                              const char* const* dimensions, const char* unit,
                                                              const char* help);
MMSTATS_API mmstats_family* mmstats_number_family_new(mmstats_model* model, mmstats_type type,
                                                      mmstats_kind kind, const char* label,
                                                      const char* const* dimensions, const char* unit,
                                                      const char* help);
MMSTATS_API mmstats_family* mmstats_shared_number_family_new(mmstats_model* model, mmstats_type type,
                                                             mmstats_kind kind, const char* label,
                                                             const char* const* dimensions, const char* unit,
                                                             const char* help);
MMSTATS_API mmstats_family* mmstats_string_family_new(mmstats_model* model, const char* label,
                                                      const char* const* dimensions, size_t size,
                                                      const char* help);
MMSTATS_API mmstats_family* mmstats_average_family_new(mmstats_model* model, const char* label,
                                                       const char* const* dimensions, const char* unit,
                                                       const char* help);
MMSTATS_API mmstats_family* mmstats_moving_average_family_new(mmstats_model* model, size_t size,
                                                              const char* label,
                                                              const char* const* dimensions, const char* unit,
                                                              const char* help);
MMSTATS_API mmstats_family* mmstats_window_average_family_new(mmstats_model* model, size_t seconds,
                                                              const char* label,
                                                              const char* const* dimensions, const char* unit,
                                                              const char* help);
MMSTATS_API mmstats_family* mmstats_histogram_family_new(mmstats_model* model, unsigned precision,
                                                         const char* label, const char* const* dimensions,
                                                         const char* unit, const char* help);
MMSTATS_API mmstats_family* mmstats_moving_histogram_family_new(mmstats_model* model, size_t size,
                                                                unsigned precision, const char* label,
                                                                const char* const* dimensions,
                                                                const char* unit, const char* help);
MMSTATS_API mmstats_family* mmstats_window_histogram_family_new(mmstats_model* model, size_t seconds,
                                                                unsigned precision, const char* label,
                                                                const char* const* dimensions,
                                                                const char* unit, const char* help);

/* Returns the handle of a combination, or of "other". `values`: one text for each dimension; NULL is "".
 * Returns NULL if there is no memory, or if the family has handles of another class. Not for signal handlers,
 * which use handles that were kept; a kept handle also saves the look-up, some 20 ns. */
MMSTATS_API mmstats_counter* mmstats_counter_with(mmstats_family* family, const char* const* values);
MMSTATS_API mmstats_number* mmstats_number_with(mmstats_family* family, const char* const* values);
MMSTATS_API mmstats_string* mmstats_string_with(mmstats_family* family, const char* const* values);
MMSTATS_API mmstats_average* mmstats_average_with(mmstats_family* family, const char* const* values);
MMSTATS_API mmstats_histogram* mmstats_histogram_with(mmstats_family* family, const char* const* values);

/* Sets how many combinations there may be at a time (default: 1,000), and after how many seconds without use
 * one may be removed (default: 0, never). */
MMSTATS_API void mmstats_family_limit(mmstats_family* family, size_t max_series, uint64_t expire_after);
MMSTATS_API void mmstats_family_remove(mmstats_family* family, const char* const* values);
/* Removes combinations that were not used for expire_after. Returns how many. */
MMSTATS_API size_t mmstats_family_expire(mmstats_family* family);

/* Nanoseconds on a clock that never steps, for the two functions *_add_since. */
MMSTATS_API uint64_t mmstats_clock(void);

/* ---- how mmstats_counter_incr is inline, with optimization and unless MMSTATS_NO_INLINE is defined. The
 * function in the library does the same, and all that is rare. */

#if defined(MMSTATS_THREAD_POINTER) && !defined(MMSTATS_NO_INLINE) && !defined(__SANITIZE_THREAD__)

/* The beginning of an mmstats_counter: the distance from the thread pointer to where this thread keeps the
 * address of its file (the lower half, signed), and the offset of the value from there. A counter of another
 * sort has a distance where nothing ever is. */
struct mmstats_counter_place {
  uint64_t where;
};

void mmstats_counter_incr_in_library(mmstats_counter* counter,
                                     uint64_t amount) __asm__("mmstats_counter_incr");

extern __inline__ __attribute__((__gnu_inline__)) void mmstats_counter_incr(mmstats_counter* counter,
                                                                            uint64_t amount) {
  if (counter != NULL && (int64_t)amount >= 0) {
    const uint64_t where = ((const struct mmstats_counter_place*)counter)->where;
    char* const file = (char*)*(void**)(MMSTATS_THREAD_POINTER + (int32_t)where);
    if (__builtin_expect((long)(file != NULL), 1) != 0) {
      uint64_t* const value = (uint64_t*)(file + (where >> 32));
#if defined(__x86_64__)
      /* One instruction: nothing is lost if a signal's handler adds as well. */
      __asm__ volatile("addq %1, %0" : "+m"(*value) : "er"(amount) : "cc");
#else /* arm64 */
      /* The store fails if a handler came in between. */
      uint64_t sum;
      uint32_t failed;
      __asm__ volatile("1: ldxr %0, %2\n\tadd %0, %0, %3\n\tstxr %w1, %0, %2\n\tcbnz %w1, 1b"
                       : "=&r"(sum), "=&r"(failed), "+Q"(*value)
                       : "r"(amount));
#endif
      return;
    }
  }
  mmstats_counter_incr_in_library(counter, amount);
}

#endif

#ifdef __cplusplus
}
#endif

/* NOLINTEND(modernize-*) */

#endif

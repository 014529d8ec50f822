/* The Pinba client for C: what monitor.h is for C++, which explains more. No function blocks, aborts, lets
 * an exception out, is a cancellation point of its thread, or changes errno. NULL where an object is wanted
 * does nothing; texts end with NUL and are copied. */
#ifndef PINBA_PINBA_H
#define PINBA_PINBA_H

/* NOLINTBEGIN(modernize-*): this is C. */
#include <stddef.h>
#include <stdint.h>

#include "mmstats/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pinba_client pinba_client;   /* any thread */
typedef struct pinba_request pinba_request; /* any thread; not while another one sends or discards it */
typedef struct pinba_timer pinba_timer;     /* one thread at a time */
typedef struct pinba_scope pinba_scope;

typedef struct pinba_tag {
  const char* name;
  const char* value;
} pinba_tag;

/* Whose processor time a request has: PINBA_RUSAGE_THREAD is that of the thread which starts it, 0 if another
 * one sends it; PINBA_RUSAGE_PROCESS that of the whole process, as for a script. */
typedef enum pinba_rusage { PINBA_RUSAGE_THREAD, PINBA_RUSAGE_PROCESS, PINBA_RUSAGE_NONE } pinba_rusage;

/* What becomes of timers of a request whose tags are equal: EqualTimers in request.h says it. */
typedef enum pinba_equal_timers {
  PINBA_TIMERS_BY_VALUE, /* few are apart; of many, those of about the same time share an entry */
  PINBA_TIMERS_SEPARATE, /* an entry each */
  PINBA_TIMERS_ONE       /* one entry for all */
} pinba_equal_timers;

/* Cuts texts where the engine within MySQL and MariaDB that is called classic would, at whole characters. */
typedef enum pinba_classic {
  PINBA_CLASSIC_NONE,       /* another server: nothing is cut */
  PINBA_CLASSIC_MAINTAINED, /* the fork that is maintained, 2.x: 64 bytes of host and server name */
  PINBA_CLASSIC_ORIGINAL    /* 1.2 and before: 32 bytes of these */
} pinba_classic;

/* Begin with PINBA_OPTIONS, which sets `size`: so a program that was compiled with an older header keeps its
 * meaning when there are more members. All else may be 0. */
typedef struct pinba_options {
  size_t size;             /* sizeof(pinba_options) */
  const char* hostname;    /* NULL: this machine's */
  const char* server_name; /* of requests that set none */
  const char* schema;      /* of requests that set none */
  const char* prefix;      /* put before each script name */
  const pinba_tag* tags;   /* of each request */
  size_t tag_count;
  size_t max_datagram;                          /* bytes; 0: below the usual MTU */
  int disabled;                                 /* measures and sends nothing, at next to no cost */
  void (*log)(void* user, const char* message); /* NULL, or told what went wrong, from any thread */
  void* user;
  pinba_rusage rusage;
  pinba_equal_timers equal_timers;
  unsigned linger_ms;   /* how long a packet may wait for others, to be sent with them; 0: not at all */
  int spread_by_script; /* each script name goes to one of the servers; 0: all get everything */
  pinba_classic classic;
  int timer_rusage; /* timers have processor time too, which costs each two system calls; 0: they have none */
} pinba_options;
/* clang-format off */
#define PINBA_OPTIONS                                                                    \
  {sizeof(pinba_options), NULL, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, NULL,             \
   PINBA_RUSAGE_THREAD, PINBA_TIMERS_BY_VALUE, 0, 0, PINBA_CLASSIC_NONE, 0}
/* clang-format on */

typedef struct pinba_counts {
  uint64_t sent, bytes, dropped, refused, queued; /* as SenderCounts in sender.h */
} pinba_counts;

/* The client for `servers`: HOST, HOST:PORT or [IPV6]:PORT, several with commas or blanks between them; each
 * gets every packet. `options` may be NULL. NULL if a server cannot be read, or the options have no size; the
 * reason is then in `error` of `error_size` bytes, if there is one. */
MMSTATS_API pinba_client* pinba_client_new(const char* servers, const pinba_options* options, char* error,
                                           size_t error_size);
/* Requests that are still measured may be used and sent after this. */
MMSTATS_API void pinba_client_free(pinba_client* client);
MMSTATS_API pinba_counts pinba_client_counts(const pinba_client* client);

/* Begins to measure. NULL only if memory is short. */
MMSTATS_API pinba_request* pinba_request_start(pinba_client* client, const char* script_name);
MMSTATS_API void pinba_request_set_script_name(pinba_request* request, const char* name);
MMSTATS_API void pinba_request_set_hostname(pinba_request* request, const char* name);
MMSTATS_API void pinba_request_set_server_name(pinba_request* request, const char* name);
MMSTATS_API void pinba_request_set_schema(pinba_request* request, const char* name);
MMSTATS_API void pinba_request_set_status(pinba_request* request, uint32_t status); /* 200 if not set */
MMSTATS_API void pinba_request_set_document_size(pinba_request* request, uint64_t bytes);
MMSTATS_API void pinba_request_set_memory_peak(pinba_request* request, uint64_t bytes);
MMSTATS_API void pinba_request_set_memory_footprint(pinba_request* request, uint64_t bytes);
/* Instead of a tag of this name, if there is one, of the request or of the options. */
MMSTATS_API void pinba_request_add_tag(pinba_request* request, const char* name, const char* value);
/* Sends what was measured, and starts over without timers. */
MMSTATS_API void pinba_request_flush(pinba_request* request);
/* Sends and frees it. 1 if every packet of it was taken, 0 otherwise. */
MMSTATS_API int pinba_request_send(pinba_request* request);
/* Frees it unsent. */
MMSTATS_API void pinba_request_discard(pinba_request* request);

/* Makes it the current request of this thread, until pinba_leave, which frees the scope; scopes nest. */
MMSTATS_API pinba_scope* pinba_enter(pinba_request* request);
MMSTATS_API void pinba_leave(pinba_scope* scope);
/* The current request of this thread, to set what belongs to it wherever the code is; NULL if there is none.
 * To be given to pinba_request_release, which frees the handle and leaves the request as it is. */
MMSTATS_API pinba_request* pinba_current_request(void);
MMSTATS_API void pinba_request_release(pinba_request* request);

/* Starts a timer of `request`, or of the current one if that is NULL. NULL where there is none. */
MMSTATS_API pinba_timer* pinba_timer_start(pinba_request* request, const pinba_tag* tags, size_t tag_count);
/* Stops, counts and frees it; its seconds. What goes on after its request was sent does not count. */
MMSTATS_API double pinba_timer_stop(pinba_timer* timer);
/* Frees it uncounted. */
MMSTATS_API void pinba_timer_discard(pinba_timer* timer);
/* A timer that was measured elsewhere. */
MMSTATS_API void pinba_timer_add(pinba_request* request, const pinba_tag* tags, size_t tag_count,
                                 uint64_t hit_count, double seconds);

#ifdef __cplusplus
}
#endif

/* NOLINTEND(modernize-*) */

#endif

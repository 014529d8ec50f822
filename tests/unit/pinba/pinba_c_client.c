/* A C program that uses the C functions: pinba_c_client PINBA-SERVER. Its exit status is the line that
 * failed. */
#include <pinba/pinba.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CHECK(holds) \
  if (!(holds)) return __LINE__ % 250 + 1

static int logged = 0;
static void log_message(void* user, const char* message) {
  (void)message;
  ++*(int*)user;
}

int main(int count, char** arguments) {
  char error[128] = "";
  const pinba_tag tags[] = {{"group", "mysql"}, {"op", "select"}};
  const pinba_tag app = {"app", "shop"};
  pinba_options options = PINBA_OPTIONS;
  pinba_options old = {0};
  clock_t end;
  char long_name[101] = "";
  int i;
  pinba_client* client;
  pinba_request* request;
  pinba_request* current;
  pinba_timer* timer;
  pinba_scope* scope;
  CHECK(count == 2);
  CHECK(pinba_client_new("", NULL, error, sizeof error) == NULL && strstr(error, "HOST:PORT") != NULL);
  CHECK(pinba_client_new(NULL, NULL, NULL, 0) == NULL);
  client = pinba_client_new("a:b:c:d]", NULL, error, 4);
  CHECK(client != NULL || strlen(error) == 3);
  pinba_client_free(client);

  /* Who forgets the size is told; who has an older header has fewer members. */
  CHECK(pinba_client_new(arguments[1], &old, error, sizeof error) == NULL && strstr(error, "PINBA_OPTIONS"));
  old.size = offsetof(pinba_options, rusage);
  old.rusage = PINBA_RUSAGE_NONE;
  client = pinba_client_new(arguments[1], &old, error, sizeof error);
  CHECK(client != NULL);
  request = pinba_request_start(client, "/old");
  for (end = clock() + CLOCKS_PER_SEC / 50; clock() < end;) continue;
  CHECK(pinba_request_send(request) == 1);
  pinba_client_free(client);

  options.hostname = "web1";
  options.prefix = "/c";
  options.tags = &app;
  options.tag_count = 1;
  options.log = log_message;
  options.user = &logged;
  client = pinba_client_new(arguments[1], &options, error, sizeof error);
  CHECK(client != NULL && error[0] == '\0');

  request = pinba_request_start(client, "/cart");
  CHECK(request != NULL);
  pinba_request_set_status(request, 404);
  pinba_request_set_server_name(request, "srv");
  pinba_request_set_schema(request, "https");
  pinba_request_set_document_size(request, 2048);
  pinba_request_set_memory_peak(request, 4096);
  pinba_request_set_memory_footprint(request, 8192);
  pinba_request_add_tag(request, "release", "11");
  pinba_request_add_tag(request, "release", "12");
  timer = pinba_timer_start(request, tags, 2);
  CHECK(timer != NULL && pinba_timer_stop(timer) >= 0);
  CHECK(pinba_timer_start(NULL, tags, 2) == NULL);
  scope = pinba_enter(request);
  timer = pinba_timer_start(NULL, tags, 2);
  CHECK(timer != NULL);
  pinba_timer_stop(timer);
  pinba_timer_discard(pinba_timer_start(NULL, &app, 1));
  current = pinba_current_request();
  CHECK(current != NULL);
  pinba_request_add_tag(current, "from", "below");
  pinba_request_release(current);
  pinba_leave(scope);
  CHECK(pinba_current_request() == NULL);
  pinba_request_release(NULL);
  pinba_timer_add(request, tags, 2, 40, 2.5);
  CHECK(pinba_request_send(request) == 1);

  request = pinba_request_start(client, NULL);
  pinba_request_set_script_name(request, "/flushed");
  pinba_request_set_hostname(request, "web2");
  pinba_request_flush(request);
  pinba_request_discard(request);
  CHECK(pinba_client_counts(client).sent == 2);
  CHECK(pinba_client_counts(client).dropped == 0);

  options.rusage = PINBA_RUSAGE_NONE;
  options.equal_timers = PINBA_TIMERS_ONE;
  options.linger_ms = 3600000;
  pinba_client_free(client);
  client = pinba_client_new(arguments[1], &options, NULL, 0);
  request = pinba_request_start(client, "/chosen");
  for (end = clock() + CLOCKS_PER_SEC / 50; clock() < end;) continue;
  for (i = 0; i < 3; ++i) pinba_timer_add(request, tags, 2, 1, 1);
  CHECK(pinba_request_send(request) == 1);
  CHECK(pinba_client_counts(client).queued == 1);

  /* Servers that cut names or do not, and timers with processor time. */
  memset(long_name, 'x', sizeof long_name - 1);
  options.rusage = PINBA_RUSAGE_THREAD;
  options.linger_ms = 0;
  options.server_name = long_name;
  options.timer_rusage = 1;
  for (i = 0; i < 3; ++i) {
    pinba_client_free(client);
    options.classic = (pinba_classic)i;
    client = pinba_client_new(arguments[1], &options, NULL, 0);
    request = pinba_request_start(client, "/classic");
    timer = pinba_timer_start(request, tags, 2);
    for (end = clock() + CLOCKS_PER_SEC / 50; clock() < end;) continue;
    pinba_timer_stop(timer);
    CHECK(pinba_request_send(request) == 1);
  }
  CHECK(logged == 2);
  logged = 0;

  /* One that is disabled. */
  pinba_client_free(client);
  options.disabled = 1;
  client = pinba_client_new(arguments[1], &options, NULL, 0);
  request = pinba_request_start(client, "/disabled");
  scope = pinba_enter(request);
  timer = pinba_timer_start(NULL, tags, 2);
  CHECK(timer != NULL && pinba_timer_stop(timer) == 0);
  pinba_leave(scope);
  CHECK(pinba_request_send(request) == 0);
  CHECK(pinba_client_counts(client).sent == 0);

  /* NULL everywhere. */
  pinba_request_set_status(NULL, 1);
  pinba_request_set_script_name(NULL, NULL);
  pinba_request_add_tag(NULL, NULL, NULL);
  pinba_request_flush(NULL);
  pinba_request_discard(NULL);
  pinba_timer_discard(NULL);
  pinba_timer_add(NULL, NULL, 2, 1, 1);
  pinba_leave(pinba_enter(NULL));
  CHECK(pinba_request_send(NULL) == 0);
  CHECK(pinba_timer_stop(NULL) == 0);
  CHECK(pinba_request_start(NULL, "x") == NULL);
  CHECK(pinba_client_counts(NULL).sent == 0);
  pinba_client_free(client);
  pinba_client_free(NULL);
  CHECK(logged == 0);
  return 0;
}

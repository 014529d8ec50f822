/* Counts signals, in their handler. The file is there until the program ends:
 *
 *   cc counter.c -o counter $(pkg-config --cflags --libs mmstats)
 *   ./counter & sleep 1
 *   kill -USR1 $!; slurpstats; kill $!
 */
#include <mmstats/mmstats.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static mmstats_counter* signals;
static volatile sig_atomic_t ending;

/* A counter may be written in a handler, and loses nothing if the handler interrupts the same counter. */
static void handle(int signal) {
  mmstats_counter_incr(signals, 1);
  if (signal != SIGUSR1) ending = 1;
}

int main(void) {
  mmstats_model* model = mmstats_model_new("counter");
  signals = mmstats_counter_new(model, "signals", NULL, "Signals that were handled");
  mmstats_number* limit =
      mmstats_number_new(model, MMSTATS_UINT32, MMSTATS_GAUGE, "limit", NULL, "Signals that may be counted");
  mmstats_average* pause = mmstats_average_new(model, "pause", "seconds", "Mean time between two signals");
  mmstats_static_text(model, "version", mmstats_version(), 32);

  /* So that the handler need not make the file. Without one the program runs all the same. */
  char reason[256];
  if (mmstats_model_open(model, reason, sizeof reason) != 0)
    fprintf(stderr, "counting for ourselves: %s\n", reason);

  struct sigaction action = {.sa_handler = handle};
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  /* Blocked but while it waits, so that none comes between a look at `ending` and the wait. */
  sigset_t blocked;
  sigset_t none;
  sigfillset(&blocked);
  sigemptyset(&none);
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  mmstats_number_set(limit, 1000);
  while (!ending && mmstats_counter_value(signals) < 1000) {
    const uint64_t started = mmstats_clock();
    sigsuspend(&none);
    mmstats_average_add_since(pause, started);
  }
  mmstats_model_free(model); /* removes the file, as the end of main would */
  return EXIT_SUCCESS;
}

/* Publishes one of each as "c", checks nothing: the file is read by others. */
#include <mmstats/mmstats.h>

int main(void) {
  mmstats_model* model = mmstats_model_new("c");
  mmstats_model_set_remove_at_exit(model, false);
  mmstats_counter_incr(mmstats_counter_new(model, "count", "things", "A counter"), 42);
  mmstats_number_set_double(mmstats_number_new(model, MMSTATS_DOUBLE, MMSTATS_GAUGE, "level", NULL, NULL), 1.5);
  mmstats_string_set(mmstats_string_new(model, "name", 32, NULL), "somebody");
  mmstats_histogram_add(mmstats_histogram_new(model, "times", "seconds", NULL), 0.25);
  const int failed = mmstats_model_open(model, NULL, 0);
  mmstats_model_free(model);
  return failed;
}

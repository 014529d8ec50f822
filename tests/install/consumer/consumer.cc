// Includes every public header, publishes one of each as "cc", and reads its own file.
#include <mmstats/error.h>
#include <mmstats/export.h>
#include <mmstats/fields.h>
#include <mmstats/format.h>
#include <mmstats/histogram.h>
#include <mmstats/metadata.h>
#include <mmstats/mmstats.h>
#include <mmstats/model.h>
#include <mmstats/parse.h>
#include <mmstats/settle.h>
#include <mmstats/snapshot.h>

int main() {
  mmstats::Model model({.label_prefix = "cc", .remove_at_exit = false});
  mmstats::Counter(model, "count", {.unit = "things"}).incr(42);
  mmstats::DoubleField(model, "level") = 1.5;
  mmstats::StringField(model, "name") = "somebody";
  mmstats::Histogram(model, "times", {.unit = "seconds"}).add(0.25);
  const auto reading = mmstats::read_settled(model.paths().at(0));
  return reading && !reading->content.damage ? 0 : 1;
}

// Fields that are not known before the program runs: one for each word of its input.
//
//   g++ -std=c++20 procedural.cc -o procedural $(pkg-config --cflags --libs mmstats)
//   (echo to be or not to be; sleep 10) | ./procedural & sleep 1
//   slurpstats
#include <mmstats/fields.h>

#include <iostream>
#include <map>
#include <string>

int main() {
  mmstats::Model model({.label_prefix = "words", .on_error = [](const mmstats::Error& error) {
                          std::cerr << "not published: " << error.text() << '\n';
                        }});
  mmstats::Counter all(model, "all", {.help = "Words that were read"});
  std::map<std::string, mmstats::Counter> counts;
  for (std::string word; std::cin >> word;) {
    all.incr();
    // The file grows by a field, which readers see whole or not at all.
    counts.try_emplace(word, model, "count." + word).first->second.incr();
  }
}

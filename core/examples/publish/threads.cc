// Threads that come and go: each counts for itself, all count together, and files are few.
//
//   g++ -std=c++20 threads.cc -o threads $(pkg-config --cflags --libs mmstats)
//   ./threads
#include <mmstats/fields.h>

#include <iostream>
#include <thread>
#include <vector>

int main() {
  mmstats::Model model({.label_prefix = "threads"});
  // A value for each thread, in its own file: the cheapest there is. A thread that ends leaves its file to
  // the next one, which counts on from there; so the sum over all files is always right.
  mmstats::Counter jobs(model, "jobs");
  // One value for all threads: dearer, but each of them sees what the others counted.
  mmstats::SharedCounter tickets(model, "tickets");

  for (int generation = 0; generation < 1000; ++generation) {
    std::vector<std::jthread> threads(8);
    for (auto& thread : threads) {
      thread = std::jthread([&] {
        jobs.incr();
        tickets.incr();
      });
    }
  }
  std::cout << "8000 threads took " << tickets.value() << " tickets and left " << model.paths().size()
            << " files\n";
}

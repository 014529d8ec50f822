// A web service that publishes what it does: a few processes that can be killed at any time, each with a
// few threads.
//
//   g++ -std=c++20 -O2 web_service.cc -o web_service $(pkg-config --cflags --libs mmstats cpp-httplib)
//   ./web_service 8080 & sleep 1
//   curl http://127.0.0.1:8080/items/1
//   slurpstats
#include <httplib.h>
#include <mmstats/family.h>
#include <mmstats/fields.h>
#include <mmstats/histogram.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <queue>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kWorkers = 4;
constexpr std::size_t kThreads = 4;  // of each worker, to answer requests

// All that the service publishes. Every thread has its own values, in its own file: to count is to add one to
// a number in memory that nobody else writes. Whoever reads the files adds them up.
struct WebStats : mmstats::Model {
  WebStats() : Model({.label_prefix = "web"}) {}

  mmstats::Counter requests{*this, "requests", {.help = "Requests that were answered"}};
  // A value for each combination that occurs.
  mmstats::Family<mmstats::Counter> responses{
      *this, "responses", {"method", "status"}, {.help = "Answers by method and status"}};
  mmstats::Counter bytes_sent{*this, "bytes_sent", {.unit = "bytes", .help = "Size of all answers"}};
  mmstats::BoolField busy{*this, "busy", {.help = "Whether this thread answers a request"}};
  mmstats::Histogram latency{*this, "latency", {.unit = "seconds", .help = "From accept to answer"}};
  // The mean of the last ten seconds.
  mmstats::WindowAverage database{*this, "database", {.unit = "seconds", .help = "One look-up"}, 10};

  // One value for all threads of a process: one takes a request in, another one is done with it.
  mmstats::SharedGauge<std::int32_t> in_progress{*this, "in_progress", {.help = "Waiting or being answered"}};

  // Written by the supervisor alone.
  mmstats::Counter workers_lost{*this, "workers.lost", {.help = "Workers that died and were replaced"}};

  void count(const httplib::Request& request, const httplib::Response& response) const {
    requests.incr();
    responses.with(request.method, response.status).incr();
    bytes_sent.incr(response.body.size());
  }
};

// Stands for what a real service would ask: takes a while, and fails now and then.
std::string look_up(WebStats& stats, int item) {
  const auto timed = stats.database.time();  // ends with the block, however that is left
  thread_local std::mt19937 random{std::random_device{}()};
  std::gamma_distribution<double> milliseconds(2, 30);
  std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(milliseconds(random)));
  if (std::bernoulli_distribution(0.03)(random)) throw std::runtime_error("the database is on strike");
  std::string page(static_cast<std::size_t>(item), '*');
  return page;
}

void add_routes(httplib::Server& server, WebStats& stats) {
  server.Get("/items/([0-9]{1,4})", [&](const httplib::Request& request, httplib::Response& response) {
    response.set_content(look_up(stats, std::stoi(request.matches[1])), "text/plain");
  });
  server.Get("/search", [&](const httplib::Request&, httplib::Response& response) {
    std::string results;
    for (int item = 100; item <= 400; item += 100) results += look_up(stats, item) + '\n';
    response.set_content(results, "text/plain");
  });
  // httplib answers 500 if a handler throws, and 404 if there is none; then it comes here.
  server.set_logger([&](const httplib::Request& request, const httplib::Response& response) {
    stats.count(request, response);
  });
}

// A worker's threads. A request is in progress as soon as it waits for one of them.
class Threads : public httplib::TaskQueue {
 public:
  explicit Threads(WebStats& stats) : stats_(stats) {
    for (std::size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this] { answer_all(); });
  }

  // Nothing, or in later versions of httplib whether the request was taken.
  using Taken = decltype(std::declval<httplib::TaskQueue&>().enqueue({}));

  Taken enqueue(std::function<void()> answer) override {
    stats_.in_progress.add(1);
    const std::lock_guard lock(mutex_);
    waiting_.push({std::move(answer), Clock::now()});
    changed_.notify_one();
    return Taken(true);
  }

  // Returns when all that wait are answered.
  void shutdown() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    threads_.clear();
  }

 private:
  struct Request {
    std::function<void()> answer;
    Clock::time_point accepted;
  };

  void answer_all() {
    while (true) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      const Request request = std::move(waiting_.front());
      waiting_.pop();
      lock.unlock();
      stats_.busy = true;
      request.answer();
      stats_.busy = false;
      stats_.in_progress.add(-1);
      stats_.latency.add(std::chrono::duration<double>(Clock::now() - request.accepted).count());
    }
  }

  WebStats& stats_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::queue<Request> waiting_;
  bool ending_ = false;
  std::vector<std::jthread> threads_;
};

// What a worker does until it is told to end. Returns its exit status.
int work(WebStats& stats, int port, const sigset_t& ending) {
  httplib::Server server;  // the kernel shares the port out: httplib sets SO_REUSEPORT
  server.new_task_queue = [&] { return new Threads(stats); };
  server.set_keep_alive_max_count(1);  // else a thread would wait for its client's next request
  add_routes(server, stats);

  const std::jthread stopper([&](const std::stop_token& ended) {
    const timespec moment{.tv_sec = 0, .tv_nsec = 50'000'000};
    bool stopping = false;
    while (!ended.stop_requested()) {
      stopping = stopping || sigtimedwait(&ending, nullptr, &moment) > 0;
      if (stopping) server.stop();  // does nothing before it listens: so again and again
    }
  });
  if (server.listen("127.0.0.1", port)) return EXIT_SUCCESS;
  std::fprintf(stderr, "cannot listen on 127.0.0.1:%d\n", port);
  return EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  const int port = argc == 2 ? std::atoi(argv[1]) : 0;
  if (port <= 0 || port > 65535) {
    std::fprintf(stderr, "usage: %s PORT\n", argv[0]);
    return 2;
  }
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  sigset_t signals = ending;
  sigaddset(&signals, SIGCHLD);
  // Signals are waited for, not handled.
  sigprocmask(SIG_BLOCK, &signals, nullptr);

  // Made once, for all: after a fork the child writes files of its own.
  WebStats stats;
  stats.workers_lost.incr(0);  // so that there is a 0 to see

  int status = EXIT_SUCCESS;
  std::set<pid_t> workers;
  for (int signal = SIGCHLD; signal == SIGCHLD && status == EXIT_SUCCESS;) {
    while (workers.size() < kWorkers) {
      const pid_t pid = fork();
      if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);  // no worker outlives the supervisor
        return work(stats, port, ending);
      }
      if (pid < 0) return EXIT_FAILURE;
      workers.insert(pid);
    }
    sigwait(&signals, &signal);
    int ended_as = 0;
    for (pid_t pid = 0; (pid = waitpid(-1, &ended_as, WNOHANG)) > 0; workers.erase(pid)) {
      // What was killed is replaced; what gave up would do so again.
      if (WIFSIGNALED(ended_as)) {
        stats.workers_lost.incr();
      } else {
        status = WEXITSTATUS(ended_as);
      }
    }
  }
  for (const pid_t pid : workers) kill(pid, SIGTERM);
  while (wait(nullptr) > 0) {
  }
  return status;
}

// The applications of agent_bench.py, until standard input ends:
//   agent_load files FILES FIELDS SECONDS           workers' files, all values moved on every SECONDS;
//                                                   prints their glob
//   agent_load statsd PORT METRICS UPDATES SECONDS  so many counter updates to statsd, a packet
//                                                   each, every SECONDS
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "worker_files.h"

namespace {

// Waits for the next of moments that are `seconds` apart; false if standard input ended.
class Pace {
 public:
  explicit Pace(const char* seconds) : period_(std::atof(seconds)), next_(Clock::now()) {}
  bool goes_on() {
    next_ += std::chrono::duration_cast<Clock::duration>(period_);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next_ - Clock::now()).count();
    pollfd input{STDIN_FILENO, POLLIN, 0};
    return ::poll(&input, 1, static_cast<int>(std::max<long>(left, 0))) == 0;
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::chrono::duration<double> period_;
  Clock::time_point next_;
};

int send_updates(char** arguments) {
  const int metrics = std::atoi(arguments[1]);
  const int updates = std::atoi(arguments[2]);
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(arguments[0])));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return 1;
  Pace pace(arguments[3]);
  do {
    for (int update = 0; update < updates; ++update) {
      const auto packet = "web.stats.requests.kind" + std::to_string(update % metrics) + ":1|c\n";
      // Refused until statsd is there.
      [[maybe_unused]] const auto sent = ::send(fd, packet.data(), packet.size(), 0);
      // The receiver must have time to take them: a full socket buffer drops.
      if (update % 100 == 0) ::usleep(1000);
    }
  } while (pace.goes_on());
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 6 && std::string_view(arguments[1]) == "statsd") return send_updates(arguments + 2);
  if (count != 5 || std::string_view(arguments[1]) != "files") return 2;
  const int workers = std::atoi(arguments[2]);
  // They name no process, so each counts as one of its own.
  WorkerFiles files(workers, std::atoi(arguments[3]),
                    std::vector<pid_t>(static_cast<std::size_t>(workers), 0));
  std::puts(files.glob().c_str());
  std::fflush(stdout);
  Pace pace(arguments[4]);
  while (pace.goes_on()) files.move_on();
  return 0;
}

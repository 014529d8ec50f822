// What a client that is not enabled does, and what that costs an application: told in instructions and system
// calls, without a clock. This file is optimized whatever else is, as applications are.
#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>

#include "child_process.h"
#include "pinba/monitor.h"
#include "pinba/only_packet.h"
#include "pinba/packet_check.h"
#include "single_step.h"
#include "udp_receiver.h"

using pinba::Client;
using pinba::ClientOptions;
using pinba::CurrentScope;
using pinba::RequestMonitor;

namespace {

constexpr std::array<const char*, 10> kOperations{"select0", "select1", "select2", "select3", "select4",
                                                  "select5", "select6", "select7", "select8", "select9"};

Client client_of(UdpReceiver& server, ClientOptions options) {
  auto client = Client::make({.servers = {server.server()}, .burst_packets = 0}, std::move(options));
  REQUIRE(client);
  return std::move(*client);
}

Client client_that_is_off(UdpReceiver& server) {
  ClientOptions options;
  options.enabled = false;
  options.hostname = "web1";
  options.server_name = "shop";
  options.schema = "https";
  options.tags = pinba::Tags{{"app", "shop"}, {"release", 12}};
  options.raise_on_fail = true;
  return client_of(server, std::move(options));
}

void time_operations(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto timed = pinba::timer({{"group", "mysql"}, {"op", kOperations[i]}, {"server", "db1"}}).scope();
  }
}

void usual_work(const Client& client, std::size_t timers) {
  const RequestMonitor request(client, "/checkout/confirm");
  const CurrentScope current(request);
  time_operations(timers);
}

}  // namespace

TEST_CASE("a request of a client that is not enabled takes everything, and does nothing") {
  UdpReceiver server;
  const Client client = client_that_is_off(server);
  for (int round = 0; round < 2; ++round) {
    RequestMonitor request(client, "/off");
    const CurrentScope current(request);
    pinba::current_request()->set_status(500);
    request.set_hostname("web2");
    request.add_tags({{"app", "other"}});
    request.add_timer({{"a", 1}}, 1, 1);
    auto timer = request.timer({{"a", 1}});
    timer.start();
    CHECK(!timer.started());
    timer.stop();
    CHECK(!timer.elapsed());
    time_operations(2);
    CHECK(request.started());
    CHECK(request.elapsed() == 0);
    request.flush();
    request.stop();
    CHECK(!request.started());
    CHECK_THROWS_AS(request.stop(), pinba::MonitorError);
    request.start();
    if (round == 0) CHECK(!request.send());
  }
  CHECK(server.received().empty());
}

TEST_CASE("a request that is enabled later measures from then on, with what was set before") {
  UdpReceiver server;
  const Client client = client_that_is_off(server);
  // The one before leaves nothing behind.
  {
    RequestMonitor request(client, "/before");
    request.set_status(500);
    request.add_tags({{"before", 1}});
  }
  {
    RequestMonitor request(client, "/on");
    const CurrentScope current(request);
    request.set_hostname("web2");
    request.add_tags({{"release", 13}, {"own", 1}});
    auto before = request.timer({{"a", "before"}});
    before.start();
    pinba::current_request()->set_enabled(true);
    // Some clocks tick slowly.
    for (const auto now = std::chrono::steady_clock::now(); std::chrono::steady_clock::now() == now;)
      continue;
    CHECK(request.elapsed() > 0);
    const auto timed = pinba::timer({{"a", "after"}}).scope();
    before.stop();
  }
  const auto message = only_packet(server);
  CHECK(message.script_name() == "/on");
  CHECK(message.hostname() == "web2");
  CHECK(message.server_name() == "shop");
  CHECK(message.schema() == "https");
  CHECK(message.status() == 200);
  CHECK(message.request_time() > 0);
  CHECK(request_tags(message) == TagTexts{{"app", "shop"}, {"own", "1"}, {"release", "13"}});
  std::map<TagTexts, TimerSum> timers;
  add_timers(message, timers);
  REQUIRE(timers.size() == 1);
  CHECK(timers.begin()->first == TagTexts{{"a", "after"}});

  // Enabled in vain, and not at all.
  {
    RequestMonitor request(client, "/on");
    request.set_enabled(true);
    request.set_enabled(false);
  }
  {
    const RequestMonitor request(client, "/off");
  }
  CHECK(server.received().empty());
}

TEST_CASE("the innermost request counts, though it is not enabled, wherever its scope ends") {
  UdpReceiver server;
  const Client off = client_that_is_off(server);
  const Client on = client_of(server, {});
  {
    const RequestMonitor outer(on, "/outer");
    const CurrentScope current(outer);
    const RequestMonitor inner(off, "/inner");
    {
      const CurrentScope nested(inner);
      const auto timed = pinba::timer({{"in", "inner"}}).scope();
      CHECK(pinba::current_request());
    }
    auto elsewhere = std::make_unique<CurrentScope>(inner);
    std::thread([&] { elsewhere.reset(); }).join();
    const auto timed = pinba::timer({{"in", "outer"}}).scope();
  }
  std::map<TagTexts, TimerSum> timers;
  const auto message = only_packet(server);
  add_timers(message, timers);
  CHECK(message.script_name() == "/outer");
  REQUIRE(timers.size() == 1);
  CHECK(timers.begin()->first == TagTexts{{"in", "outer"}});
}

TEST_CASE("requests and scopes may be objects of their thread, and end last") {
  UdpReceiver server;
  const Client off = client_that_is_off(server);
  const Client on = client_of(server, {});
  std::thread([&] {
    struct Held {
      std::optional<RequestMonitor> request;
      std::optional<CurrentScope> scope;
      ~Held() {
        scope.reset();
        CHECK(!pinba::current_request());
        const auto timed = pinba::timer({{"a", "late"}}).scope();
      }
    };
    thread_local Held of_off;
    thread_local Held of_on;
    of_off.request.emplace(off, "/off");
    of_off.scope.emplace(*of_off.request);
    of_on.request.emplace(on, "/on");
    of_on.scope.emplace(*of_on.request);
  }).join();
  CHECK(only_packet(server).script_name() == "/on");
}

TEST_CASE("what is not enabled makes no system call") {
  UdpReceiver server;
  const Client off = client_that_is_off(server);
  const Client on = client_of(server, {});
  const auto end_of = [](const Client& client) {
    return ChildProcess([&] {
             usual_work(client, kOperations.size());
             sock_filter allowed[] = {
                 BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
             };
             const sock_fprog program{std::size(allowed), allowed};
             if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
                 ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
               ::_exit(ChildProcess::kSkipped);
             }
             for (int i = 0; i < 100; ++i) usual_work(client, kOperations.size());
             ::syscall(SYS_exit_group, 0);
           })
        .wait();
  };
  const int ended = end_of(off);
  if (ended == ChildProcess::kSkipped) {
    MESSAGE("skipped: no system call can be forbidden here");
    return;
  }
  CHECK(ended == 0);
  CHECK(end_of(on) != 0);
}

#if defined(HAS_SINGLE_STEP) && !defined(__SANITIZE_ADDRESS__)
TEST_CASE("what is not enabled costs some instructions a timer, and a fortieth of a request") {
  const auto steps_of = [](const auto& run) {
    std::size_t steps = 0;
    stepped::each(run, [&] {
      ++steps;
      return true;
    });
    return steps;
  };
  UdpReceiver server;
  const Client off = client_that_is_off(server);
  const Client on = client_of(server, {});
  for (int i = 0; i < 3; ++i) {
    usual_work(on, 10);
    usual_work(off, 10);
  }
  const std::size_t of_on = steps_of([&] { usual_work(on, 10); });
  const std::size_t of_off = steps_of([&] { usual_work(off, 10); });
  const std::size_t without_timers = steps_of([&] { usual_work(off, 0); });
  // Those of the request's system calls, which are as many again, are not even among them.
  CHECK(without_timers <= of_on / 40);
  CHECK(of_off - without_timers <= 10 * 100);
}
#else
TEST_CASE("what is not enabled costs some instructions a timer, and a fortieth of a request") {
  MESSAGE("skipped: instructions are counted on x86-64 alone, and sanitizers add theirs");
}
#endif

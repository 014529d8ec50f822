// The client in other people's threads: it is no cancellation point, and keeps errno.
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include "guest_thread.h"
#include "pinba/monitor.h"
#include "pinba/pinba.h"
#include "pinba/sender.h"

namespace {

// Nobody listens there, so that calls fail.
constexpr const char* kNobodyThere = "127.0.0.1:1";

pinba::Client* make_client() {
  auto client =
      pinba::Client::make({.servers = {kNobodyThere}}, {.rusage = pinba::ClientOptions::Rusage::kThread});
  must(client.has_value());
  return new pinba::Client(std::move(*client));
}

}  // namespace

TEST_CASE(
    "a thread that is cancelled before it measures and sends a request has sent it, and errno is as it was") {
  check_guest([] {
    static pinba::Client* client = nullptr;
    static pinba::RequestMonitor* request = nullptr;
    const pinba::Request empty;
    return std::vector<GuestCase>{
        {"Client::make", [] { client = make_client(); }},
        {"RequestMonitor", [] { request = new pinba::RequestMonitor(*client, "/a"); }},
        {"timer", [] { request->timer({{"a", "b"}}).start(); }},
        {"RequestMonitor::flush", [] { request->flush(); }},
        {"RequestMonitor::flush, refused", [] { request->flush(); }},
        {"RequestMonitor::send", [] { request->send(); }},
        {"Client::send", [empty] { client->send(empty); }},
        {"Sender::flush", [] { client->sender().flush(); }},
        {"Sender::flush, waiting", [] { client->sender().flush(std::chrono::milliseconds(20)); }},
        {"Sender::counts",
         [] {
           const auto counts = client->sender().counts();
           must(counts.sent + counts.queued > 0);
         }},
        {"ScriptMonitor", [] { pinba::ScriptMonitor(*client).discard(); }},
        {"RequestMonitor at its end", [] { pinba::RequestMonitor(*client, "/b"); }},
        {"the last Client",
         [] {
           delete request;
           delete client;
         }},
    };
  });
}

TEST_CASE(
    "a thread that is cancelled before it calls a C function of the client has its answer, and errno is as "
    "it was") {
  check_guest([] {
    static pinba_client* client = nullptr;
    static pinba_request* request = nullptr;
    static pinba_timer* timer = nullptr;
    static pinba_scope* scope = nullptr;
    return std::vector<GuestCase>{
        {"pinba_client_new", [] { client = pinba_client_new(kNobodyThere, nullptr, nullptr, 0); }},
        {"pinba_client_new, refused", [] { must(pinba_client_new("", nullptr, nullptr, 0) == nullptr); }},
        {"pinba_request_start", [] { request = pinba_request_start(client, "/a"); }},
        {"pinba_request_set_script_name", [] { pinba_request_set_script_name(request, "/b"); }},
        {"pinba_request_add_tag", [] { pinba_request_add_tag(request, "a", "b"); }},
        {"pinba_timer_start", [] { timer = pinba_timer_start(request, nullptr, 0); }},
        {"pinba_timer_stop", [] { pinba_timer_stop(timer); }},
        {"pinba_enter and pinba_leave",
         [] {
           scope = pinba_enter(request);
           pinba_leave(scope);
         }},
        {"pinba_request_flush", [] { pinba_request_flush(request); }},
        {"pinba_request_flush, refused", [] { pinba_request_flush(request); }},
        {"pinba_request_send", [] { pinba_request_send(request); }},
        {"pinba_request_discard", [] { pinba_request_discard(pinba_request_start(client, "/c")); }},
        {"pinba_client_counts", [] { must(pinba_client_counts(client).dropped == 0); }},
        {"pinba_client_free", [] { pinba_client_free(client); }},
    };
  });
}

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/guest_call.h"
#include "pinba/monitor.h"
#include "pinba/pinba.h"

struct pinba_client {
  pinba::Client client;
};
struct pinba_request {
  pinba::RequestMonitor monitor;
};
struct pinba_timer {
  pinba::RequestTimer timer;
};
struct pinba_scope {
  pinba::CurrentScope scope;
  explicit pinba_scope(const pinba::RequestMonitor& request) : scope(request) {}
};

namespace {

std::string_view text(const char* given) { return given == nullptr ? std::string_view() : given; }

pinba::Tags tags_of(const pinba_tag* tags, std::size_t count) {
  pinba::Tags all;
  for (std::size_t i = 0; tags != nullptr && i < count; ++i) all.add(text(tags[i].name), text(tags[i].value));
  return all;
}

// The one place that exceptions end at.
template <class Call>
auto guarded(Call call) noexcept -> decltype(call()) {
  using Result = decltype(call());
  const mmstats::GuestCall guest;
  try {
    return call();
  } catch (...) {
    if constexpr (!std::is_void_v<Result>) return Result{};
  }
}

template <class Call>
void with(pinba_request* request, Call call) noexcept {
  if (request != nullptr) guarded([&] { call(request->monitor); });
}

// What a program has set, which may know fewer members than we do, or more.
std::optional<pinba_options> known_options(const pinba_options* given) {
  pinba_options known{};
  if (given == nullptr) return known;
  if (given->size < offsetof(pinba_options, rusage)) return std::nullopt;
  std::memcpy(&known, given, std::min(given->size, sizeof known));
  return known;
}

pinba::ClientOptions::Rusage rusage_of(const pinba_options& given) {
  switch (given.rusage) {
    case PINBA_RUSAGE_PROCESS:
      return pinba::ClientOptions::Rusage::kProcess;
    case PINBA_RUSAGE_NONE:
      return pinba::ClientOptions::Rusage::kNone;
    default:
      return pinba::ClientOptions::Rusage::kThread;
  }
}

pinba::EqualTimers equal_timers_of(const pinba_options& given) {
  switch (given.equal_timers) {
    case PINBA_TIMERS_SEPARATE:
      return pinba::EqualTimers::kSeparate;
    case PINBA_TIMERS_ONE:
      return pinba::EqualTimers::kOne;
    default:
      return pinba::EqualTimers::kByValue;
  }
}

pinba::ClassicEngine classic_of(const pinba_options& given) {
  switch (given.classic) {
    case PINBA_CLASSIC_MAINTAINED:
      return pinba::ClassicEngine::kMaintained;
    case PINBA_CLASSIC_ORIGINAL:
      return pinba::ClassicEngine::kOriginal;
    default:
      return pinba::ClassicEngine::kNone;
  }
}

pinba_client* new_client(const char* servers, const pinba_options& given, std::string& problem) {
  pinba::SenderOptions sender;
  sender.servers = pinba::split_servers(text(servers));
  sender.linger = std::chrono::milliseconds(given.linger_ms);
  if (given.spread_by_script != 0) sender.spread = pinba::SenderOptions::Spread::kByScript;
  pinba::ClientOptions options;
  options.rusage = rusage_of(given);
  options.timer_rusage = given.timer_rusage != 0;
  options.equal_timers = equal_timers_of(given);
  options.encode.classic = classic_of(given);
  options.hostname = text(given.hostname);
  options.server_name = text(given.server_name);
  options.schema = text(given.schema);
  options.prefix = text(given.prefix);
  options.tags = tags_of(given.tags, given.tag_count);
  options.enabled = given.disabled == 0;
  if (given.max_datagram != 0) options.encode.max_bytes = given.max_datagram;
  if (given.log != nullptr) {
    options.log = [log = given.log, user = given.user](std::string_view message) {
      log(user, std::string(message).c_str());
    };
  }
  auto client = pinba::Client::make(std::move(sender), std::move(options));
  if (client) return new pinba_client{std::move(*client)};
  problem = client.error().text();
  return nullptr;
}

}  // namespace

extern "C" {

pinba_client* pinba_client_new(const char* servers, const pinba_options* options, char* error,
                               size_t error_size) {
  return guarded([&] {
    std::string problem;
    const auto known = known_options(options);
    pinba_client* client = known ? new_client(servers, *known, problem) : nullptr;
    if (!known) problem = "the options have no size: begin with PINBA_OPTIONS";
    if (error != nullptr && error_size > 0) {
      const std::size_t size = std::min(problem.size(), error_size - 1);
      std::memcpy(error, problem.data(), size);
      error[size] = '\0';
    }
    return client;
  });
}

void pinba_client_free(pinba_client* client) {
  guarded([&] { delete client; });
}

pinba_counts pinba_client_counts(const pinba_client* client) {
  if (client == nullptr) return {};
  return guarded([&] {
    const auto counts = client->client.sender().counts();
    return pinba_counts{counts.sent, counts.bytes, counts.dropped, counts.refused, counts.queued};
  });
}

pinba_request* pinba_request_start(pinba_client* client, const char* script_name) {
  if (client == nullptr) return nullptr;
  return guarded([&] { return new pinba_request{pinba::RequestMonitor(client->client, text(script_name))}; });
}

void pinba_request_set_script_name(pinba_request* request, const char* name) {
  with(request, [&](auto& monitor) { monitor.set_script_name(text(name)); });
}
void pinba_request_set_hostname(pinba_request* request, const char* name) {
  with(request, [&](auto& monitor) { monitor.set_hostname(text(name)); });
}
void pinba_request_set_server_name(pinba_request* request, const char* name) {
  with(request, [&](auto& monitor) { monitor.set_server_name(text(name)); });
}
void pinba_request_set_schema(pinba_request* request, const char* name) {
  with(request, [&](auto& monitor) { monitor.set_schema(text(name)); });
}
void pinba_request_set_status(pinba_request* request, uint32_t status) {
  with(request, [&](auto& monitor) { monitor.set_status(status); });
}
void pinba_request_set_document_size(pinba_request* request, uint64_t bytes) {
  with(request, [&](auto& monitor) { monitor.set_document_size(bytes); });
}
void pinba_request_set_memory_peak(pinba_request* request, uint64_t bytes) {
  with(request, [&](auto& monitor) { monitor.set_memory_peak(bytes); });
}
void pinba_request_set_memory_footprint(pinba_request* request, uint64_t bytes) {
  with(request, [&](auto& monitor) { monitor.set_memory_footprint(bytes); });
}
void pinba_request_add_tag(pinba_request* request, const char* name, const char* value) {
  with(request, [&](auto& monitor) { monitor.add_tags({{text(name), text(value)}}); });
}
void pinba_request_flush(pinba_request* request) {
  with(request, [](auto& monitor) { monitor.flush(); });
}

int pinba_request_send(pinba_request* request) {
  if (request == nullptr) return 0;
  const mmstats::GuestCall guest;
  const std::unique_ptr<pinba_request> owner(request);
  return guarded([&] { return request->monitor.send() ? 1 : 0; });
}

void pinba_request_discard(pinba_request* request) {
  const mmstats::GuestCall guest;
  const std::unique_ptr<pinba_request> owner(request);
  with(request, [](auto& monitor) { monitor.discard(); });
}

pinba_scope* pinba_enter(pinba_request* request) {
  if (request == nullptr) return nullptr;
  return guarded([&] { return new pinba_scope(request->monitor); });
}

pinba_request* pinba_current_request(void) {
  return guarded([]() -> pinba_request* {
    auto current = pinba::current_request();
    return current ? new pinba_request{std::move(*current)} : nullptr;
  });
}

void pinba_request_release(pinba_request* request) {
  guarded([&] { delete request; });
}

void pinba_leave(pinba_scope* scope) {
  guarded([&] { delete scope; });
}

pinba_timer* pinba_timer_start(pinba_request* request, const pinba_tag* tags, size_t tag_count) {
  return guarded([&]() -> pinba_timer* {
    const auto current = request == nullptr ? pinba::current_request() : std::nullopt;
    if (request == nullptr && !current) return nullptr;
    const auto& monitor = request == nullptr ? *current : request->monitor;
    auto timer = std::make_unique<pinba_timer>(pinba_timer{monitor.timer(tags_of(tags, tag_count))});
    timer->timer.start();
    return timer.release();
  });
}

double pinba_timer_stop(pinba_timer* timer) {
  if (timer == nullptr) return 0;
  const mmstats::GuestCall guest;
  const std::unique_ptr<pinba_timer> owner(timer);
  return guarded([&] {
    if (timer->timer.started()) timer->timer.stop();
    return timer->timer.elapsed().value_or(0);
  });
}

void pinba_timer_discard(pinba_timer* timer) {
  if (timer == nullptr) return;
  const mmstats::GuestCall guest;
  const std::unique_ptr<pinba_timer> owner(timer);
  guarded([&] { timer->timer.discard(); });
}

void pinba_timer_add(pinba_request* request, const pinba_tag* tags, size_t tag_count, uint64_t hit_count,
                     double seconds) {
  with(request, [&](auto& monitor) { monitor.add_timer(tags_of(tags, tag_count), hit_count, seconds); });
}

}  // extern "C"

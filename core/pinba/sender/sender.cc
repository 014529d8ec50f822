#include "pinba/sender.h"

#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/failure.h"
#include "base/guest_call.h"
#include "base/host_port.h"
#include "pinba/sender/sender_state.h"

namespace pinba {

std::vector<std::string> split_servers(std::string_view list) {
  constexpr std::string_view kBetween = ", \t\n\v\f\r";
  std::vector<std::string> servers;
  for (std::size_t at = 0; (at = list.find_first_not_of(kBetween, at)) != std::string_view::npos;) {
    const auto end = std::min(list.find_first_of(kBetween, at), list.size());
    servers.emplace_back(list.substr(at, end - at));
    at = end;
  }
  return servers;
}

mmstats::Expected<Sender> Sender::make(SenderOptions options) {
  const mmstats::GuestCall guest;
  const auto invalid = [](std::string message) {
    return tl::unexpected(mmstats::failure(mmstats::ErrorKind::kInvalid, {}, std::move(message)));
  };
  if (options.servers.empty()) return invalid("no Pinba server is given: name one as HOST:PORT");
  auto state = std::make_shared<State>(std::move(options));
  for (const std::string& text : state->options.servers) {
    auto place = mmstats::parse_host_port(text);
    if (!place || place->host.empty() || place->port == 0) {
      return invalid(fmt::format("'{}' is not a Pinba server: write HOST, HOST:PORT or [IPV6]:PORT",
                                 mmstats::printable(text)));
    }
    const auto port = std::to_string(place->port.value_or(kDefaultPort));
    if (std::ranges::any_of(state->servers, [&](const Destination& other) {
          return other.port() == port && ::strcasecmp(other.host().c_str(), place->host.c_str()) == 0;
        })) {
      return invalid(
          fmt::format("'{}' is there twice: each packet would count twice", mmstats::printable(text)));
    }
    state->servers.emplace_back(state->options, std::move(place->host), port);
  }
  state->start();
  return Sender(std::move(state));
}

Sender::Sender(std::shared_ptr<State> state) : state_(std::move(state)) {}
Sender::Sender(Sender&&) noexcept = default;
Sender& Sender::operator=(Sender&& other) noexcept {
  const mmstats::GuestCall guest;
  if (this != &other) {
    if (state_) state_->close();
    state_ = std::move(other.state_);
  }
  return *this;
}
Sender::~Sender() {
  const mmstats::GuestCall guest;
  if (state_) state_->close();
}

bool Sender::send(Datagram datagram, std::string_view script_name) noexcept {
  return send(std::span(&datagram, 1), script_name) == 1;
}

std::size_t Sender::send(std::span<const Datagram> datagrams, std::string_view script_name) noexcept {
  const mmstats::GuestCall guest;
  State& state = *state_;
  const std::size_t batch = std::max<std::size_t>(state.options.batch_packets, 1);
  const std::lock_guard lock(state.mutex);
  if (state.has_names && !state.working) state.need_worker();
  std::size_t accepted = 0;
  for (const Datagram datagram : datagrams) {
    bool all = true;
    state.for_each_server(script_name, [&](Destination& server) {
      try {
        all &= server.enqueue(datagram);
      } catch (const std::bad_alloc&) {
        server.count_dropped();
        all = false;
      }
      const std::size_t waiting = server.waiting();
      if (waiting != 0 && waiting % batch == 0) state.drain(server);
    });
    accepted += all ? 1U : 0U;
  }
  state.for_each_server(script_name, [&](Destination& server) {
    if (server.waiting() == 0) return;
    if (state.options.linger.count() == 0 && state.drain(server)) return;
    if (!state.working || server.waiting() <= datagrams.size()) state.need_worker();
  });
  return accepted;
}

bool Sender::flush() noexcept {
  const mmstats::GuestCall guest;
  const std::lock_guard lock(state_->mutex);
  return state_->drain_all();
}

bool Sender::flush(std::chrono::milliseconds at_most, std::chrono::milliseconds refusal) noexcept {
  const mmstats::GuestCall guest;
  using Clock = Destination::Clock;
  const auto deadline = Clock::now() + at_most;
  std::unique_lock lock(state_->mutex);
  for (;;) {
    const bool all = state_->drain_all(refusal.count() > 0);
    const auto now = Clock::now();
    const bool may_come_back = std::ranges::any_of(
        state_->servers, [&](const auto& server) { return server.may_come_back(now, refusal); });
    if (now >= deadline || (all && !may_come_back)) return all;
    state_->wake.wait_until(lock, std::min(deadline, now + std::chrono::milliseconds(all ? 5 : 1)));
  }
}

SenderCounts Sender::counts() const {
  SenderCounts sum;
  for (std::size_t i = 0; i < state_->servers.size(); ++i) {
    const SenderCounts one = counts(i);
    sum.sent += one.sent;
    sum.bytes += one.bytes;
    sum.dropped += one.dropped;
    sum.refused += one.refused;
    sum.queued += one.queued;
    sum.calls += one.calls;
    sum.not_found += one.not_found;
    sum.addresses += one.addresses;
  }
  return sum;
}

SenderCounts Sender::counts(std::size_t server) const {
  const mmstats::GuestCall guest;
  const std::lock_guard lock(state_->mutex);
  return state_->servers.at(server).counts();
}

}  // namespace pinba

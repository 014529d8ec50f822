#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <exception>

#include "base/guest_call.h"
#include "base/host_name.h"
#include "mmstats/error.h"
#include "pinba/monitor/client_core.h"
#include "pinba/monitor/monitor_state.h"

namespace pinba {

namespace {

constexpr int kQuietRetries = 10;  // SenderOptions::retry_interval, so often

// Whether a count that another told to be `known` passed a power of two since. One thread learns it.
bool is_news(std::atomic<std::uint64_t>& known, std::uint64_t now) {
  std::uint64_t before = known.load(std::memory_order_relaxed);
  if (now == before || !known.compare_exchange_strong(before, now, std::memory_order_relaxed)) return false;
  return std::bit_width(now) > std::bit_width(before);
}

void add_news(std::string& news, const std::string& text) {
  if (!news.empty()) news += "; ";
  news += text;
}

}  // namespace

Client::Core::Core(Sender given, ClientOptions given_options, const SenderOptions& sender_options)
    : sender(std::move(given)),
      options(std::move(given_options)),
      quiet(kQuietRetries * std::max(sender_options.retry_interval, std::chrono::milliseconds(1))) {
  for (const auto& server : sender_options.servers) servers.emplace_back(server);
  if (options.hostname.empty()) options.hostname = mmstats::host_name();
  spare.reserve(kSpareStates);
}

Client::Core::~Core() {
  for (MonitorState* state : spare) delete state;
  // What came back last is met by no further packet.
  const mmstats::GuestCall guest;
  try {
    std::string news;
    sender.flush();
    tell_of_servers(news);
    log(news);
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): there is nobody to tell
  }
}

void Client::Core::tell(std::atomic<std::uint64_t>& count, std::uint64_t more, std::string_view what,
                        std::string& news) {
  if (more == 0) return;
  const std::uint64_t before = count.fetch_add(more, std::memory_order_relaxed);
  if (std::bit_width(before) == std::bit_width(before + more)) return;
  add_news(news, fmt::format("{} {}", before + more, what));
}

// The sender learns it in the background, or from the next packet.
void Client::Core::tell_of_servers(std::string& news) {
  if (!options.log) return;
  for (std::size_t i = 0; i < servers.size(); ++i) {
    const SenderCounts counts = sender.counts(i);
    Server& server = servers[i];
    if (is_news(server.not_found, counts.not_found)) {
      server.is_unfound = true;
      add_news(news, fmt::format("server {}: its name is not found; {} datagrams wait",
                                 mmstats::printable(server.name), counts.queued));
    } else if (counts.not_found == 0 && counts.addresses != 0 && server.is_unfound &&
               server.is_unfound.exchange(false)) {
      add_news(news, fmt::format("server {}: its name is found again", mmstats::printable(server.name)));
    }
    if (counts.refused < server.forgiven) server.forgiven = 0;  // a child of fork() counts anew
    const std::uint64_t refused = counts.refused - server.forgiven;
    if (refused == 0) continue;
    if (is_news(server.refused, refused)) {
      server.is_refusing = true;
      add_news(news, fmt::format("server {}: {} datagrams came back", mmstats::printable(server.name),
                                 counts.refused));
    }
    if (server.is_refusing) tell_of_recovery(server, counts, news);
  }
}

void Client::Core::tell_of_recovery(Server& server, const SenderCounts& counts, std::string& news) {
  const std::unique_lock lock(news_mutex, std::try_to_lock);
  if (!lock) return;
  const auto now = Clock::now();
  if (counts.refused != server.last_refused) {
    server.last_refused = counts.refused;
    server.sent_then = counts.sent;
    server.quiet_since = now;
    return;
  }
  // The last of the packets may still come back.
  if (now < server.quiet_since + quiet || counts.sent < server.sent_then + 2) return;
  server.forgiven = counts.refused;
  server.refused = 0;
  server.is_refusing = false;
  add_news(news, fmt::format("server {}: takes datagrams again; {} came back",
                             mmstats::printable(server.name), counts.refused));
}

void Client::Core::tell_of_changes(const Changes& changes, std::string_view script_name, std::string& news) {
  std::string what;
  const auto list = [&](std::uint32_t count, std::string_view name) {
    if (count != 0) what += fmt::format("{}{} {}", what.empty() ? "" : ", ", count, name);
  };
  list(changes.escaped, "texts with NUL or not UTF-8");
  list(changes.cut, "texts cut");
  list(changes.numbers, "numbers that cannot be sent");
  list(changes.untagged, "timers without tags");
  list(changes.without_hits, "timers without hits");
  list(changes.timers_dropped, "timers left out");
  list(changes.tags_dropped, "tags left out");
  tell(changed, 1,
       fmt::format("requests were changed to be safe for servers; now that of script \"{}\": {}",
                   mmstats::printable(script_name), what),
       news);
}

bool Client::Core::send(Encoder& encoder, const Request& request, std::string& news) {
  const auto datagrams = encoder.encode(request);
  Changes changes = encoder.changes();
  changes.filled = 0;  // a name that was not set is nothing to tell
  if (changes.any()) tell_of_changes(changes, request.script_name, news);
  const std::size_t lost = datagrams.size() - sender.send(datagrams, request.script_name);
  tell(dropped, lost, "datagrams were dropped", news);
  tell_of_servers(news);
  return lost == 0;
}

mmstats::Expected<Client> Client::make(
    SenderOptions servers, ClientOptions options) {  // NOLINT(performance-unnecessary-value-param)
  const mmstats::GuestCall guest;
  auto sender = Sender::make(servers);
  if (!sender) return tl::unexpected(std::move(sender.error()));
  return Client(std::make_shared<Core>(std::move(*sender), std::move(options), servers));
}

Sender& Client::sender() const { return core_->sender; }
const ClientOptions& Client::options() const { return core_->options; }

bool Client::send(const Request& request) const noexcept {
  const mmstats::GuestCall guest;
  try {
    Encoder encoder(core_->options.encode);
    std::string news;
    const bool sent = core_->send(encoder, request, news);
    core_->log(news);
    return sent;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace pinba

#include <fmt/format.h>

#include <bit>
#include <exception>

#include "base/guest_call.h"
#include "base/host_name.h"
#include "mmstats/error.h"
#include "pinba/monitor/client_core.h"
#include "pinba/monitor/monitor_state.h"

namespace pinba {

namespace {

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

Client::Core::Core(Sender given, ClientOptions given_options, std::vector<std::string> given_servers)
    : sender(std::move(given)), options(std::move(given_options)) {
  for (auto& server : given_servers) servers.emplace_back(std::move(server));
  if (options.hostname.empty()) options.hostname = mmstats::host_name();
  spare.reserve(kSpareStates);
}

Client::Core::~Core() {
  for (MonitorState* state : spare) delete state;
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
      add_news(news, fmt::format("server {}: its name is not found; {} datagrams wait",
                                 mmstats::printable(server.name), counts.queued));
    }
    if (is_news(server.refused, counts.refused)) {
      add_news(news, fmt::format("server {}: {} datagrams came back", mmstats::printable(server.name),
                                 counts.refused));
    }
  }
}

bool Client::Core::send(Encoder& encoder, const Request& request, std::string& news) {
  const auto datagrams = encoder.encode(request);
  Changes changes = encoder.changes();
  changes.filled = 0;  // a name that was not set is nothing to tell
  if (changes.any()) tell(changed, 1, "requests were changed to be safe for servers", news);
  const std::size_t lost = datagrams.size() - sender.send(datagrams, request.script_name);
  tell(dropped, lost, "datagrams were dropped", news);
  tell_of_servers(news);
  return lost == 0;
}

mmstats::Expected<Client> Client::make(SenderOptions servers, ClientOptions options) {
  const mmstats::GuestCall guest;
  auto names = servers.servers;
  auto sender = Sender::make(std::move(servers));
  if (!sender) return tl::unexpected(std::move(sender.error()));
  return Client(std::make_shared<Core>(std::move(*sender), std::move(options), std::move(names)));
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

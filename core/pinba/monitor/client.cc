#include <fmt/format.h>

#include <bit>
#include <exception>

#include "base/host_name.h"
#include "pinba/monitor/client_core.h"
#include "pinba/monitor/monitor_state.h"

namespace pinba {

Client::Core::Core(Sender given, ClientOptions given_options)
    : sender(std::move(given)), options(std::move(given_options)) {
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
  news += fmt::format("{}{} {}", news.empty() ? "" : "; ", before + more, what);
}

bool Client::Core::send(Encoder& encoder, const Request& request, std::string& news) {
  const auto datagrams = encoder.encode(request);
  Changes changes = encoder.changes();
  changes.filled = 0;  // a name that was not set is nothing to tell
  if (changes.any()) tell(changed, 1, "requests were changed to be safe for servers", news);
  const std::size_t lost = datagrams.size() - sender.send(datagrams, request.script_name);
  tell(dropped, lost, "datagrams were dropped", news);
  return lost == 0;
}

mmstats::Expected<Client> Client::make(SenderOptions servers, ClientOptions options) {
  auto sender = Sender::make(std::move(servers));
  if (!sender) return tl::unexpected(std::move(sender.error()));
  return Client(std::make_shared<Core>(std::move(*sender), std::move(options)));
}

Sender& Client::sender() const { return core_->sender; }
const ClientOptions& Client::options() const { return core_->options; }

bool Client::send(const Request& request) const noexcept {
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

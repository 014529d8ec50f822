#include "plugin_pinba/receive/tee.h"

namespace mmstats::receive {

pinba::SenderOptions tee_options(std::vector<std::string> servers) {
  pinba::SenderOptions options;
  options.servers = std::move(servers);
  options.linger = std::chrono::milliseconds(5);
  options.batch_packets = 32;
  options.burst_packets = 0;
  options.queue_bytes = std::size_t{4} << 20;  // while a name is looked up, or a socket is full
  options.queue_packets = 8192;
  return options;
}

Expected<Tee> Tee::make(std::vector<std::string> servers) {
  auto sender = pinba::Sender::make(tee_options(std::move(servers)));
  if (!sender) return tl::unexpected(std::move(sender.error()));
  return Tee(std::move(*sender));
}

TeeCounts Tee::counts() {
  sender_.flush();
  const pinba::SenderCounts counts = sender_.counts();
  return {.sent = counts.sent, .lost = counts.dropped + counts.refused, .waiting = counts.queued};
}

}  // namespace mmstats::receive

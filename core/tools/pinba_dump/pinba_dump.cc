// pinba-dump: shows Pinba packets, as they come or from files, and what servers would make of them. Its man
// page: packaging/man/pinba-dump.1

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/descriptor.h"
#include "base/failure.h"
#include "pinba/sender.h"
#include "tools/pinba_dump/packet_listener.h"
#include "tools/pinba_dump/shown_packet.h"
#include "tools/shared/output.h"
#include "tools/shared/run_tool.h"

namespace {

using pinba_dump::Limits;

enum ExitStatus : int { kAllExact = 0, kSomeBad = 1, kUsage = 2 };

constexpr std::string_view kName = "pinba-dump";
constexpr double kLongestTimeout = 1e9;  // seconds

// Shows packets one by one, and counts them.
struct Dump {
  bool json;
  mmstats::Output output;
  std::uint64_t packets = 0;
  std::uint64_t damaged = 0;
  std::uint64_t unsafe = 0;  // to some server

  // Shows a datagram, at once. False if the output cannot be written any more.
  bool show(pinba_dump::Origin origin, pinba::Datagram bytes) {
    const pinba_dump::Packet packet{std::move(origin), bytes, pinba::decode(bytes), pinba::check(bytes)};
    ++packets;
    if (!packet.request) ++damaged;
    if (!packet.findings.empty()) ++unsafe;
    output << (json ? as_json(packet) : as_text(packet));
    output.flush();
    return !output.failed();
  }
};

mmstats::Expected<std::vector<std::byte>> read_datagram(const std::string& path) {
  mmstats::Descriptor file;
  if (path != "-") {
    file.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return tl::unexpected(mmstats::system_failure(path, "cannot be opened"));
  }
  std::vector<std::byte> bytes(pinba::kMaxDatagram + 1);
  std::size_t used = 0;
  while (used < bytes.size()) {
    const ssize_t got = ::read(file ? file.get() : STDIN_FILENO, bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return tl::unexpected(mmstats::system_failure(path, "cannot be read"));
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
  }
  if (used == bytes.size()) {
    return tl::unexpected(
        mmstats::failure(mmstats::ErrorKind::kTooLarge, path,
                         fmt::format("is longer than a datagram, of {} bytes at most", pinba::kMaxDatagram)));
  }
  bytes.resize(used);
  return bytes;
}

// False if a file could not be read.
bool show_files(const std::vector<std::string>& paths, Dump& dump) {
  bool all = true;
  for (const std::string& path : paths) {
    const auto bytes = read_datagram(path);
    if (!bytes) {
      all = false;
      mmstats::complain(kName, bytes.error().text());
    } else if (!dump.show({path, std::nullopt}, *bytes)) {
      break;
    }
  }
  return all;
}

// Sends packets on as they came; none where nothing is asked for. Such a list was found good before.
std::optional<pinba::Sender> sender_to(const std::string& servers) {
  if (servers.empty()) return std::nullopt;
  // Nothing is held back: who sent the packets paced them.
  auto sender = pinba::Sender::make({.servers = pinba::split_servers(servers), .burst_packets = 0});
  if (!sender) return std::nullopt;
  return std::move(*sender);
}

// Names of servers may still be looked up, and the last packet may come back.
void end_forwarding(pinba::Sender& sender, const std::string& servers) {
  sender.flush(std::chrono::seconds(1), std::chrono::milliseconds(100));
  const auto names = pinba::split_servers(servers);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto counts = sender.counts(i);
    if (counts.refused + counts.dropped + counts.queued == 0) continue;
    mmstats::complain(kName, fmt::format("{}: {} packets sent on, {} came back, {} could not be sent",
                                         mmstats::printable(names[i]), counts.sent, counts.refused,
                                         counts.dropped + counts.queued));
  }
}

// False if fewer packets came than were asked for.
bool listen(const std::string& where, const std::string& forward, const Limits& limits, Dump& dump) {
  auto sender = sender_to(forward);
  auto listener = pinba_dump::PacketListener::make(where);
  if (!listener) {
    mmstats::complain(kName, listener.error().text());
    return false;
  }
  mmstats::complain(kName, "listening on " + listener->address());
  const auto end = listener->run(limits, [&](std::string from, pinba::Datagram bytes) {
    if (sender) sender->send(bytes);
    return dump.show({std::move(from), std::chrono::system_clock::now()}, bytes);
  });
  if (sender) end_forwarding(*sender, forward);
  if (end == pinba_dump::PacketListener::End::kReaderLeft) dump.output.reader_left();
  if (!dump.output.failed()) {
    mmstats::complain(kName,
                      fmt::format("{} packet{}, {} damaged, {} unsafe for some server, {} lost", dump.packets,
                                  dump.packets == 1 ? "" : "s", dump.damaged, dump.unsafe, listener->lost()));
  }
  return limits.packets == Limits{}.packets || dump.packets >= limits.packets;
}

struct Options {
  std::vector<std::string> files;
  std::string where = "127.0.0.1";
  std::string forward;
  bool json = false;
  Limits limits;
};

void add_options(CLI::App& app, Options& options) {
  app.add_option("--listen", options.where,
                 "HOST:PORT, [IPV6]:PORT, or :PORT for all addresses; default: 127.0.0.1:30002");
  app.add_option("--forward", options.forward,
                 "HOST:PORT to send each packet on to, as it came; several with commas")
      ->check([](const std::string& list) {
        const auto none = [](auto&...) { return std::vector<pinba::Address>(); };
        const auto sender = pinba::Sender::make({.servers = pinba::split_servers(list), .resolve = none});
        return sender ? "" : sender.error().message;
      });
  app.add_flag("--json", options.json, "One JSON object in a line for each packet");
  app.add_option("--count", options.limits.packets, "End after so many packets")->check(CLI::PositiveNumber);
  app.add_option("--timeout", options.limits.seconds, "End after so many seconds")
      ->check(CLI::Range(0.0, kLongestTimeout));
  app.add_option("FILE", options.files, "Files to show instead, each one datagram; - is standard input");
}

int run(Options& options) {
  Dump dump{.json = options.json, .output = {}};
  const bool complete = options.files.empty() ? listen(options.where, options.forward, options.limits, dump)
                                              : show_files(options.files, dump);
  const bool written = dump.output.finish(kName);
  return written && complete && dump.damaged == 0 ? kAllExact : kSomeBad;
}

}  // namespace

int main(int argc, char** argv) {
  return mmstats::run_tool(argc, argv,
                           {.name = "pinba-dump",
                            .description = "Shows Pinba packets, and what servers would make of them.",
                            .failed = kSomeBad,
                            .usage = kUsage},
                           add_options, run);
}

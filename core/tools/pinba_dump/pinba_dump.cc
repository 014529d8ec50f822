// pinba-dump: shows Pinba packets, as they come or from files, and what servers would make of them. Its man
// page: packaging/man/pinba-dump.1

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
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

// Which packets are shown: all where nothing is set.
struct Filter {
  std::string script;
  std::string host;
  std::string server_name;
  std::vector<std::string> tags;  // NAME=VALUE, of the request or of any timer; all of them
  bool findings = false;          // those with problems alone

  [[nodiscard]] bool takes(const pinba_dump::Packet& packet) const {
    if (findings && packet.findings.empty()) return false;
    const bool any = script.empty() && host.empty() && server_name.empty() && tags.empty();
    if (any || !packet.request) return any;
    const pinba::Request& request = *packet.request;
    return (script.empty() || request.script_name == script) && (host.empty() || request.hostname == host) &&
           (server_name.empty() || request.server_name == server_name) &&
           std::ranges::all_of(tags, [&](const std::string& tag) { return has_tag(request, tag); });
  }

 private:
  static bool has_tag(const pinba::Request& request, std::string_view tag) {
    const auto equals = tag.find('=');
    const auto is_it = [&](const pinba::TagRef& ref) {
      return request.dictionary[ref.name] == tag.substr(0, equals) &&
             request.dictionary[ref.value] == tag.substr(equals + 1);
    };
    return std::ranges::any_of(request.tags, is_it) || std::ranges::any_of(request.timer_tags, is_it);
  }
};

// Shows packets one by one, and counts them.
struct Dump {
  bool json;
  const Filter& filter;
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
    if (!filter.takes(packet)) return true;
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
  Filter filter;
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
  app.add_option("--script", options.filter.script, "Show packets of this script name alone");
  app.add_option("--host", options.filter.host, "Show packets of this host name alone");
  app.add_option("--server-name", options.filter.server_name, "Show packets of this server name alone");
  app.add_option("--tag", options.filter.tags,
                 "NAME=VALUE: show packets with this tag alone; may be given again")
      ->allow_extra_args(false)
      ->check([](const std::string& tag) {
        return tag.find('=') == std::string::npos ? std::string("must be NAME=VALUE") : std::string();
      });
  app.add_flag("--findings", options.filter.findings, "Show packets alone that a server would do wrong with");
  app.add_flag("--json", options.json, "One JSON object in a line for each packet");
  app.add_option("--count", options.limits.packets, "End after so many packets")->check(CLI::PositiveNumber);
  app.add_option("--timeout", options.limits.seconds, "End after so many seconds")
      ->check(CLI::Range(0.0, kLongestTimeout));
  app.add_option("FILE", options.files, "Files to show instead, each one datagram; - is standard input");
}

int run(Options& options) {
  Dump dump{.json = options.json, .filter = options.filter, .output = {}};
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

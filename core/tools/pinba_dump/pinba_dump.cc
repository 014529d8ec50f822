// pinba-dump: shows Pinba packets, as they come, from captures or from files, and what servers would make of
// them. Its man page: packaging/man/pinba-dump.1

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/descriptor.h"
#include "base/failure.h"
#include "base/host_port.h"
#include "pinba/sender.h"
#include "tools/pinba_dump/capture.h"
#include "tools/pinba_dump/dump.h"
#include "tools/pinba_dump/ending.h"
#include "tools/pinba_dump/packet_listener.h"
#include "tools/pinba_dump/recording.h"
#include "tools/pinba_dump/replay.h"
#include "tools/pinba_dump/shown_packet.h"
#include "tools/shared/option_checks.h"
#include "tools/shared/output.h"
#include "tools/shared/run_tool.h"

namespace {

using pinba_dump::Dump;
using pinba_dump::Ending;
using pinba_dump::Filter;

enum ExitStatus : int { kAllExact = 0, kSomeBad = 1, kUsage = 2 };

constexpr std::string_view kName = "pinba-dump";
constexpr double kLongestTimeout = 1e9;  // seconds
constexpr double kFastest = 1e6;         // times as fast
constexpr auto kNoLimit = std::numeric_limits<std::uint64_t>::max();

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
    } else if (!dump.show({.name = path}, *bytes)) {
      break;
    }
  }
  return all;
}

// Sends packets on as they came; none where nothing is asked for. Such a list was found good before.
std::optional<pinba::Sender> sender_to(const std::string& servers) {
  if (servers.empty()) return std::nullopt;
  // Nothing is held back: who sent the packets paced them, or Replay does.
  auto sender = pinba::Sender::make({.servers = pinba::split_servers(servers), .burst_packets = 0});
  if (!sender) return std::nullopt;
  return std::move(*sender);
}

// Names of servers may still be looked up, and the last packet may come back. False if servers did not get
// all.
bool end_forwarding(pinba::Sender& sender, const std::string& servers) {
  sender.flush(std::chrono::seconds(1), std::chrono::milliseconds(100));
  const auto names = pinba::split_servers(servers);
  bool all = true;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto counts = sender.counts(i);
    if (counts.refused + counts.dropped + counts.queued == 0) continue;
    all = false;
    mmstats::complain(kName, fmt::format("{}: {} packets sent on, {} came back, {} could not be sent",
                                         mmstats::printable(names[i]), counts.sent, counts.refused,
                                         counts.dropped + counts.queued));
  }
  return all;
}

struct Options {
  std::vector<std::string> files;
  std::string where = "127.0.0.1";
  std::string interface;
  std::string read;
  std::string write;
  std::string forward;
  double speed = 1;
  bool json = false;
  Filter filter;
  std::uint64_t most_packets = kNoLimit;
  std::optional<double> seconds;
};

// Whether to go on.
bool wants_more(const Options& options, const Dump& dump) {
  return dump.totals().packets < options.most_packets;
}

// Tells what there was, unless nobody listens any more. `lost`: none, if that cannot be known.
void sum_up(Ending::Event end, std::optional<std::uint32_t> lost, Dump& dump) {
  if (end == Ending::Event::kReaderLeft) dump.output().reader_left();
  if (dump.output().failed()) return;
  const auto& totals = dump.totals();
  mmstats::complain(kName, fmt::format("{} packet{}, {} damaged, {} unsafe for some server{}", totals.packets,
                                       totals.packets == 1 ? "" : "s", totals.damaged, totals.unsafe,
                                       lost ? fmt::format(", {} lost", *lost) : ""));
  for (const std::string& line : totals.lines()) mmstats::complain(kName, line);
}

// False if what was asked for cannot be written. Once there is something to record: a mistake elsewhere
// empties no file.
bool begin_recording(const Options& options, Dump& dump) {
  if (options.write.empty()) return true;
  auto recording = pinba_dump::Recording::make(options.write, options.read);
  if (recording) {
    dump.record(std::move(*recording));
  } else {
    mmstats::complain(kName, recording.error().text());
  }
  return recording.has_value();
}

// False if fewer packets came than were asked for.
bool listen(const Options& options, Dump& dump) {
  Ending ending(options.seconds);
  auto sender = sender_to(options.forward);
  auto listener = pinba_dump::PacketListener::make(options.where);
  if (!listener) {
    mmstats::complain(kName, listener.error().text());
    return false;
  }
  if (!begin_recording(options, dump)) return false;
  mmstats::complain(kName, "listening on " + listener->address());
  const auto end = listener->run(ending, [&](pinba_dump::Origin origin, pinba::Datagram bytes) {
    if (sender) sender->send(bytes);
    return dump.show(std::move(origin), bytes) && wants_more(options, dump);
  });
  if (sender) end_forwarding(*sender, options.forward);
  sum_up(end, listener->lost(), dump);
  return options.most_packets == kNoLimit || !wants_more(options, dump);
}

// Of an interface or a file. False if fewer packets came than were asked for, if not all could be read, or if
// servers did not get all of a replay.
bool capture(const Options& options, Dump& dump) {
  const bool live = options.read.empty();
  const auto port = *mmstats::parse_listen(options.where, pinba::kDefaultPort)->port;
  Ending ending(options.seconds);
  auto source = live ? pinba_dump::Capture::of_interface(options.interface, port, ending)
                     : pinba_dump::Capture::of_file(options.read, port, ending);
  if (!source) {
    // A pipe may have been waited for in vain.
    if (const auto end = ending.look(); end != Ending::Event::kWaited) {
      sum_up(end, std::nullopt, dump);
      return options.most_packets == kNoLimit;
    }
    mmstats::complain(kName, source.error().text());
    return false;
  }
  if (!begin_recording(options, dump)) return false;
  if (live) {
    mmstats::complain(kName,
                      fmt::format("capturing port {} on {}", port, mmstats::printable(options.interface)));
  }
  auto sender = sender_to(options.forward);
  std::optional<pinba_dump::Replay> replay;
  if (sender) {
    replay.emplace(*sender, options.speed, ending);
    replay->begin(pinba::split_servers(options.forward).size());
  }
  const auto end = source->run([&](pinba_dump::Origin origin, pinba::Datagram bytes) {
    if (replay && !replay->send(*origin.time, bytes)) return true;  // the capture knows that it ended
    return dump.show(std::move(origin), bytes) && wants_more(options, dump);
  });
  bool complete = end.has_value();
  if (!end) mmstats::complain(kName, end.error().text());
  if (sender) complete = end_forwarding(*sender, options.forward) && complete;
  sum_up(end.value_or(Ending::Event::kEnded), live ? std::optional(source->lost()) : std::nullopt, dump);
  const auto& counts = source->counts();
  const auto not_shown = [&](std::uint64_t number, std::string_view why) {
    if (number == 0) return;
    complete = false;
    mmstats::complain(kName, fmt::format("{} packet{} not shown: {}", number, number == 1 ? "" : "s", why));
  };
  not_shown(counts.fragmented, "in fragments");
  not_shown(counts.cut, "cut by the capture");
  not_shown(counts.damaged, "with wrong lengths");
  return complete && (options.most_packets == kNoLimit || !wants_more(options, dump));
}

void add_options(CLI::App& app, Options& options) {
  auto* where =
      app.add_option("--listen", options.where,
                     "HOST:PORT, [IPV6]:PORT, or :PORT for all addresses; default: 127.0.0.1:30002");
  auto* interface = app.add_option("-i,--interface", options.interface,
                                   "Capture packets to --listen's port on this interface, or any, instead");
  auto* read =
      app.add_option("--read", options.read,
                     "Take such packets from this file of tcpdump or Wireshark; - is standard input");
  app.add_option("--write", options.write,
                 "Record all packets in this file, for --read, tcpdump and Wireshark");
  auto* forward = app.add_option("--forward", options.forward,
                                 "HOST:PORT to send each packet on to, as it came; several with commas");
  forward->check([](const std::string& list) {
    const auto none = [](auto&...) { return std::vector<pinba::Address>(); };
    const auto sender = pinba::Sender::make({.servers = pinba::split_servers(list), .resolve = none});
    return sender ? "" : sender.error().message;
  });
  app.add_option("--speed", options.speed, "How many times as fast --read forwards; 0: at once; default: 1")
      ->needs(read)
      ->needs(forward)
      ->check(mmstats::number_from(0, kFastest));
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
  app.add_option("--count", options.most_packets, "End after so many packets")->check(mmstats::whole_from(1));
  app.add_option("--timeout", options.seconds, "End after so many seconds")
      ->check(mmstats::number_from(0, kLongestTimeout));
  auto* files =
      app.add_option("FILE", options.files, "Files to show instead, each one datagram; - is standard input");
  read->excludes(interface)->excludes(files);
  interface->excludes(files);
  // Its own packets would come back to it.
  interface->excludes(forward);
  for (auto* option : {where, forward, app.get_option("--write")}) option->excludes(files);
  app.final_callback([&options] {
    const auto place = mmstats::parse_listen(options.where, pinba::kDefaultPort);
    if (!place) throw CLI::ValidationError("--listen", place.error().message);
    if (options.read.empty() && options.interface.empty()) return;
    if (place->port == 0) throw CLI::ValidationError("--listen", "port 0 cannot be captured");
  });
}

int run(Options& options) {
  Dump dump(kName, options.json, options.filter);
  bool complete = false;
  if (!options.files.empty()) {
    complete = show_files(options.files, dump);
  } else if (!options.read.empty() || !options.interface.empty()) {
    complete = capture(options, dump);
  } else {
    complete = listen(options, dump);
  }
  const bool written = dump.output().finish(kName) && !dump.failed();
  return written && complete && dump.totals().damaged == 0 ? kAllExact : kSomeBad;
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

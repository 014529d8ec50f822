// pinba-dump: shows Pinba packets, as they come or from files, and what servers would make of them. Its man
// page: packaging/man/pinba-dump.1

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/host_port.h"
#include "mmstats/error.h"
#include "pinba/decode.h"
#include "pinba/request.h"
#include "pinba/sender.h"
#include "tools/shared/output.h"
#include "tools/shared/run_tool.h"

namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

enum ExitStatus : int { kAllExact = 0, kSomeBad = 1, kUsage = 2 };

constexpr int kReceiveBuffer = 4 << 20;  // bytes; the system gives what it allows
constexpr double kLongestTimeout = 1e9;  // seconds

void complain(std::string_view text) { mmstats::complain("pinba-dump", text); }

std::string with_errno(std::string_view text, int error) {
  return fmt::format("{}: {}", text, std::strerror(error));
}

// Where a datagram came from, and when, if it did not come from a file.
struct Origin {
  std::string name;
  std::optional<std::chrono::system_clock::time_point> time;
};

struct Packet {
  Origin origin;
  pinba::Datagram bytes;
  mmstats::Expected<pinba::Request> request;
  std::vector<pinba::Finding> findings;
};

// ---- as JSON

// The number with the fewest digits that is the same float: 0.1, not 0.10000000149.
Json float_json(double value) {
  const std::string text = fmt::format("{}", static_cast<float>(value));
  if (!std::isfinite(value)) return text;
  double shortest = 0;
  std::from_chars(text.data(), text.data() + text.size(), shortest);
  return shortest;
}

Json tags_json(const pinba::Request& request, std::span<const pinba::TagRef> tags) {
  Json pairs = Json::array();
  for (const auto& [name, value] : tags) {
    pairs.push_back({std::string(request.dictionary[name]), std::string(request.dictionary[value])});
  }
  return pairs;
}

// Calls visit(timer, tags) for each timer.
template <class Visit>
void for_each_timer(const pinba::Request& request, Visit visit) {
  std::span<const pinba::TagRef> left = request.timer_tags;
  for (const pinba::Timer& timer : request.timers) {
    visit(timer, left.first(timer.tag_count));
    left = left.subspan(timer.tag_count);
  }
}

void add_request(Json& object, const pinba::Request& request) {
  object["hostname"] = request.hostname;
  object["server_name"] = request.server_name;
  object["script_name"] = request.script_name;
  object["request_count"] = request.request_count;
  object["document_size"] = request.document_size;
  object["memory_peak"] = request.memory_peak;
  object["request_time"] = float_json(request.request_time);
  object["ru_utime"] = float_json(request.ru_utime);
  object["ru_stime"] = float_json(request.ru_stime);
  if (request.status) object["status"] = *request.status;
  if (request.memory_footprint) object["memory_footprint"] = *request.memory_footprint;
  if (request.schema) object["schema"] = *request.schema;
  object["tags"] = tags_json(request, request.tags);
  Json timers = Json::array();
  for_each_timer(request, [&](const pinba::Timer& timer, std::span<const pinba::TagRef> tags) {
    timers.push_back({{"hit_count", timer.hit_count},
                      {"value", float_json(timer.value)},
                      {"ru_utime", float_json(timer.ru_utime)},
                      {"ru_stime", float_json(timer.ru_stime)},
                      {"tags", tags_json(request, tags)}});
  });
  object["timers"] = std::move(timers);
  if (request.requests.empty()) return;
  Json requests = Json::array();
  for (const pinba::Request& inner : request.requests) add_request(requests.emplace_back(), inner);
  object["requests"] = std::move(requests);
}

std::string as_json(const Packet& packet) {
  Json object;
  if (packet.origin.time) {
    const auto since = packet.origin.time->time_since_epoch();
    object["time"] =
        static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count()) / 1e3;
    object["from"] = packet.origin.name;
  } else {
    object["file"] = packet.origin.name;
  }
  object["bytes"] = packet.bytes.size();
  if (packet.request) {
    add_request(object, *packet.request);
  } else {
    object["damage"] = {{"offset", packet.request.error().offset},
                        {"message", packet.request.error().message}};
  }
  Json findings = Json::array();
  for (const pinba::Finding& finding : packet.findings) {
    findings.push_back({{"server", pinba::name_of(finding.server)},
                        {"effect", pinba::name_of(finding.effect)},
                        {"offset", finding.offset},
                        {"message", finding.message}});
  }
  object["findings"] = std::move(findings);
  // ASCII alone, so that no text can command a terminal.
  return object.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
}

// ---- as text

std::string tags_text(const pinba::Request& request, std::span<const pinba::TagRef> tags) {
  std::string text;
  for (const auto& [name, value] : tags) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", mmstats::printable(request.dictionary[name]),
                        mmstats::printable(request.dictionary[value]));
  }
  return text;
}

std::string float_text(double value) { return fmt::format("{}", static_cast<float>(value)); }

void add_request(std::string& text, const pinba::Request& request, const std::string& indent) {
  const auto line = [&](std::string_view name, std::string_view value) {
    text += fmt::format("{}{:<17}{}\n", indent, name, value);
  };
  const auto bytes = [&](std::string_view name, std::uint64_t number) {
    line(name, fmt::format("{} bytes", number));
  };
  line("hostname", mmstats::printable(request.hostname));
  line("server_name", mmstats::printable(request.server_name));
  line("script_name", mmstats::printable(request.script_name));
  if (request.schema) line("schema", mmstats::printable(*request.schema));
  if (request.status) line("status", fmt::to_string(*request.status));
  line("request_time", float_text(request.request_time) + " s");
  line("ru_utime", float_text(request.ru_utime) + " s");
  line("ru_stime", float_text(request.ru_stime) + " s");
  bytes("document_size", request.document_size);
  bytes("memory_peak", request.memory_peak);
  if (request.memory_footprint) bytes("memory_footprint", *request.memory_footprint);
  line("request_count", fmt::to_string(request.request_count));
  if (!request.tags.empty()) line("tags", tags_text(request, request.tags));
  for_each_timer(request, [&](const pinba::Timer& timer, std::span<const pinba::TagRef> tags) {
    line("timer",
         fmt::format("{} x, {} s, {} s user, {} s system: {}", timer.hit_count, float_text(timer.value),
                     float_text(timer.ru_utime), float_text(timer.ru_stime), tags_text(request, tags)));
  });
  for (const pinba::Request& inner : request.requests) {
    line("request", "");
    add_request(text, inner, indent + "  ");
  }
}

std::string as_text(const Packet& packet) {
  std::string text =
      fmt::format("==> {}, {} bytes", mmstats::printable(packet.origin.name), packet.bytes.size());
  if (packet.origin.time) {
    const auto time = std::chrono::time_point_cast<std::chrono::seconds>(*packet.origin.time);
    text += fmt::format(", {:%F %T}", fmt::localtime(std::chrono::system_clock::to_time_t(time)));
  }
  text += "\n";
  if (packet.request) {
    add_request(text, *packet.request, "  ");
  } else {
    text += fmt::format("  damaged: {}\n", packet.request.error().message);
  }
  for (const pinba::Finding& finding : packet.findings) {
    text += fmt::format("  {}: {}, byte {}: {}\n", pinba::name_of(finding.server),
                        pinba::name_of(finding.effect), finding.offset, finding.message);
  }
  return text + "\n";
}

// ---- packets, one by one

class Dump {
 public:
  explicit Dump(bool json) : json_(json) {}

  // Shows a datagram, at once. False if the output cannot be written any more.
  bool show(Origin origin, pinba::Datagram bytes) {
    const Packet packet{std::move(origin), bytes, pinba::decode(bytes), pinba::check(bytes)};
    ++packets_;
    if (!packet.request) ++damaged_;
    if (!packet.findings.empty()) ++unsafe_;
    const std::string text = json_ ? as_json(packet) : as_text(packet);
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
      output_error_ = errno;
    }
    return output_error_ == 0;
  }

  void reader_left() { output_error_ = EPIPE; }

  [[nodiscard]] std::uint64_t packets() const { return packets_; }
  [[nodiscard]] std::uint64_t damaged() const { return damaged_; }
  [[nodiscard]] std::uint64_t unsafe() const { return unsafe_; }
  [[nodiscard]] int output_error() const { return output_error_; }

 private:
  bool json_;
  std::uint64_t packets_ = 0;
  std::uint64_t damaged_ = 0;
  std::uint64_t unsafe_ = 0;  // to some server
  int output_error_ = 0;
};

// A descriptor that is closed in the end.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ > STDERR_FILENO) ::close(number_);
  }
  [[nodiscard]] int get() const { return number_; }

 private:
  int number_;
};

// ---- from files

// The file's bytes, or what is wrong with it.
tl::expected<std::vector<std::byte>, std::string> read_datagram(const std::string& path) {
  const Descriptor file(path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return tl::unexpected(with_errno("cannot be opened", errno));
  std::vector<std::byte> bytes(pinba::kMaxDatagram + 1);
  std::size_t used = 0;
  while (used < bytes.size()) {
    const ssize_t got = ::read(file.get(), bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return tl::unexpected(with_errno("cannot be read", errno));
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
  }
  if (used == bytes.size()) {
    return tl::unexpected(fmt::format("is longer than a datagram, of {} bytes at most", pinba::kMaxDatagram));
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
      complain(fmt::format("{}: {}", mmstats::printable(path), bytes.error()));
    } else if (!dump.show({path, std::nullopt}, *bytes)) {
      break;
    }
  }
  return all;
}

// ---- from the network

std::string address_text(const sockaddr_storage& address, socklen_t length) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), length, host.data(), host.size(),
                    port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "?";
  }
  const bool brackets = address.ss_family == AF_INET6;
  return fmt::format("{}{}{}:{}", brackets ? "[" : "", host.data(), brackets ? "]" : "", port.data());
}

struct Bound {
  int socket = -1;
  std::string problem;
};

Bound bound_to(const addrinfo& address) {
  const int socket = ::socket(address.ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) return {-1, std::strerror(errno)};
  const int off = 0;
  const int on = 1;
  if (address.ai_family == AF_INET6) ::setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  ::setsockopt(socket, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
  ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  if (::bind(socket, address.ai_addr, address.ai_addrlen) == 0) return {socket, {}};
  const int error = errno;
  ::close(socket);
  return {-1, std::strerror(error)};
}

// A socket, or what is wrong.
tl::expected<int, std::string> listen_at(const std::string& where) {
  const auto place = mmstats::parse_host_port(where);
  if (!place) return tl::unexpected<std::string>("write HOST:PORT, [IPV6]:PORT or :PORT");
  // Without a host: all addresses of the machine.
  const char* host = place->host.empty() ? nullptr : place->host.c_str();
  const std::string port = std::to_string(place->port.value_or(pinba::kDefaultPort));
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  // Takes packets over IPv4, too.
  if (host == nullptr) hints.ai_family = AF_INET6;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host, port.c_str(), &hints, &list);
  if (error != 0) return tl::unexpected<std::string>(::gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  Bound bound;
  for (const addrinfo* entry = list; entry != nullptr && bound.socket < 0; entry = entry->ai_next) {
    bound = bound_to(*entry);
  }
  if (bound.socket < 0) return tl::unexpected(bound.problem);
  return bound.socket;
}

struct Limits {
  std::uint64_t packets = std::numeric_limits<std::uint64_t>::max();
  std::optional<double> seconds;
};

// Shows what arrives until it is enough, or a signal comes.
class Listener {
 public:
  Listener(int socket, Dump& dump) : socket_(socket), dump_(dump) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length);
    complain("listening on " + address_text(address, length));
  }

  void run(const Descriptor& signals, const Limits& limits) {
    const auto begin = Clock::now();
    std::array<pollfd, 3> waits{
        {{socket_.get(), POLLIN, 0}, {signals.get(), POLLIN, 0}, {STDOUT_FILENO, 0, 0}}};
    while (dump_.packets() < limits.packets && dump_.output_error() == 0) {
      int timeout = -1;
      if (limits.seconds) {
        const double left = *limits.seconds - std::chrono::duration<double>(Clock::now() - begin).count();
        if (left <= 0) return;
        timeout = static_cast<int>(std::min(std::ceil(left * 1000), 1e9));
      }
      if (::poll(waits.data(), waits.size(), timeout) < 0) continue;
      if ((waits[1].revents & POLLIN) != 0) return;
      if ((waits[2].revents & POLLERR) != 0) return dump_.reader_left();
      if ((waits[0].revents & (POLLIN | POLLERR)) != 0) receive();
    }
  }

  // The system's count of datagrams that came faster than they were read.
  [[nodiscard]] std::uint32_t lost() const { return lost_; }

 private:
  void receive() {
    sockaddr_storage from{};
    iovec vector{buffer_.data(), buffer_.size()};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof lost_)> control{};
    msghdr header{};
    header.msg_name = &from;
    header.msg_namelen = sizeof from;
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(socket_.get(), &header, 0);
    if (got < 0) return;
    if (const cmsghdr* message = CMSG_FIRSTHDR(&header);
        message != nullptr && message->cmsg_level == SOL_SOCKET && message->cmsg_type == SO_RXQ_OVFL) {
      std::memcpy(&lost_, CMSG_DATA(message), sizeof lost_);
    }
    dump_.show({address_text(from, header.msg_namelen), std::chrono::system_clock::now()},
               std::span(buffer_).first(static_cast<std::size_t>(got)));
  }

  Descriptor socket_;
  Dump& dump_;
  std::uint32_t lost_ = 0;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(65536);
};

// False if fewer packets came than were asked for.
bool listen(const std::string& where, const Limits& limits, Dump& dump) {
  sigset_t ending;
  ::sigemptyset(&ending);
  ::sigaddset(&ending, SIGINT);
  ::sigaddset(&ending, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  const Descriptor signals(::signalfd(-1, &ending, SFD_CLOEXEC));

  const auto socket = listen_at(where);
  if (!socket) {
    complain(fmt::format("cannot listen on {}: {}", mmstats::printable(where), socket.error()));
    return false;
  }
  Listener listener(*socket, dump);
  listener.run(signals, limits);
  if (dump.output_error() != EPIPE) {
    complain(fmt::format("{} packet{}, {} damaged, {} unsafe for some server, {} lost", dump.packets(),
                         dump.packets() == 1 ? "" : "s", dump.damaged(), dump.unsafe(), listener.lost()));
  }
  return limits.packets == Limits{}.packets || dump.packets() >= limits.packets;
}

struct Options {
  std::vector<std::string> files;
  std::string where = "127.0.0.1";
  bool json = false;
  Limits limits;
};

void add_options(CLI::App& app, Options& options) {
  app.add_option("--listen", options.where,
                 "HOST:PORT, [IPV6]:PORT, or :PORT for all addresses; default: 127.0.0.1:30002");
  app.add_flag("--json", options.json, "One JSON object in a line for each packet");
  app.add_option("--count", options.limits.packets, "End after so many packets")->check(CLI::PositiveNumber);
  app.add_option("--timeout", options.limits.seconds, "End after so many seconds")
      ->check(CLI::Range(0.0, kLongestTimeout));
  app.add_option("FILE", options.files, "Files to show instead, each one datagram; - is standard input");
}

int run(Options& options) {
  Dump dump(options.json);
  const bool complete =
      options.files.empty() ? listen(options.where, options.limits, dump) : show_files(options.files, dump);
  if (dump.output_error() == EPIPE) {
    // As any filter ends that does not know of signals.
    std::signal(SIGPIPE, SIG_DFL);
    std::raise(SIGPIPE);
  }
  if (dump.output_error() != 0) {
    complain(with_errno("cannot write the output", dump.output_error()));
    return kSomeBad;
  }
  return complete && dump.damaged() == 0 ? kAllExact : kSomeBad;
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

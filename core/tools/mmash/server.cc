#include "tools/mmash/server.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <csignal>
#include <cstring>
#include <list>
#include <utility>

#include "base/failure.h"
#include "base/host_port.h"
#include "tools/mmash/session.h"

namespace mmash {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

using Socket = asio::generic::stream_protocol::socket;
using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

constexpr std::size_t kMaxRefusing = 16;  // connections at once that are told that there are too many
constexpr std::chrono::milliseconds kLastWords{2'000};
constexpr std::chrono::milliseconds kAcceptPause{200};  // after the system had no descriptor left

tl::unexpected<mmstats::Error> no_address(const std::string& address, std::string message) {
  return tl::unexpected(mmstats::failure(mmstats::ErrorKind::kInvalid, address, std::move(message)));
}

tl::unexpected<mmstats::Error> cannot_listen(const std::string& address, const error_code& error) {
  return tl::unexpected(mmstats::system_failure(address, "cannot listen there", error.value()));
}

// Any address of the machine.
bool is_everywhere(const asio::generic::stream_protocol::endpoint& endpoint) {
  sockaddr_storage address{};
  std::memcpy(&address, endpoint.data(), std::min(endpoint.size(), sizeof address));
  if (address.ss_family == AF_INET)
    return reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr == INADDR_ANY;
  return address.ss_family == AF_INET6 &&
         IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
}

std::uint16_t port_of(const asio::generic::stream_protocol::endpoint& endpoint) {
  std::array<char, NI_MAXSERV> text{};
  if (::getnameinfo(endpoint.data(), static_cast<socklen_t>(endpoint.size()), nullptr, 0, text.data(),
                    text.size(), NI_NUMERICSERV) != 0) {
    return 0;
  }
  std::uint16_t port = 0;
  std::from_chars(text.data(), text.data() + text.size(), port);
  return port;
}

}  // namespace

struct Server::Impl {
  struct Listener {
    Acceptor acceptor;
    asio::steady_timer pause;
    std::string path;  // of a Unix socket
  };

  Sessions sessions;  // before the context, which in its end destroys them
  asio::io_context io{1};
  asio::signal_set signals{io};
  std::list<Listener> listeners;
  std::list<asio::steady_timer> jobs;

  Impl(ServerOptions options, Handler handler, std::function<void(std::string_view)> access_log)
      : sessions{options, std::move(handler), std::move(access_log), [this] { io.stop(); }} {}

  void accept(Listener& listener);
  void end();
  static void repeat(asio::steady_timer& timer, std::chrono::milliseconds period,
                     const std::shared_ptr<std::function<void()>>& job);
  mmstats::Expected<std::string> listen_unix(const std::string& address, const std::string& path);
  mmstats::Expected<std::string> listen_tcp(const std::string& address, const std::string& host,
                                            const std::string& port);
  error_code open(const asio::generic::stream_protocol::endpoint& endpoint, const std::string& path);
};

void Server::Impl::accept(Listener& listener) {
  auto socket = std::make_shared<Socket>(io);
  listener.acceptor.async_accept(*socket, [this, &listener, socket](error_code error) {
    if (error == asio::error::operation_aborted || sessions.ending) return;
    if (error == asio::error::no_descriptors || error == asio::error::no_memory ||
        error == error_code(ENFILE, boost::system::system_category())) {
      listener.pause.expires_after(kAcceptPause);
      listener.pause.async_wait([this, &listener](error_code stopped) {
        if (!stopped) accept(listener);
      });
      return;
    }
    const auto most = sessions.options.max_connections;
    if (!error && sessions.all.size() < most) {
      serve(sessions, std::move(*socket));
    } else if (!error && sessions.all.size() < most + kMaxRefusing) {
      refuse(sessions, std::move(*socket));
    }
    accept(listener);
  });
}

error_code Server::Impl::open(const asio::generic::stream_protocol::endpoint& endpoint,
                              const std::string& path) {
  Acceptor acceptor(io);
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (error) return error;
  if (path.empty()) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  // So that 0.0.0.0 and [::] can be listened to side by side.
  if (endpoint.protocol().family() == AF_INET6) acceptor.set_option(asio::ip::v6_only(true), error);
  acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (!error) listeners.push_back({std::move(acceptor), asio::steady_timer(io), path});
  return error;
}

mmstats::Expected<std::string> Server::Impl::listen_unix(const std::string& address,
                                                         const std::string& path) {
  using Local = asio::local::stream_protocol;
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path) || path.find('\0') != std::string::npos) {
    return no_address(address,
                      fmt::format("a socket's path has 1 to {} bytes", sizeof(sockaddr_un::sun_path) - 1));
  }
  const Local::endpoint endpoint(path);
  struct stat info{};
  if (::lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) {
    error_code error;
    Local::socket probe(io);
    probe.connect(endpoint, error);
    if (error == asio::error::connection_refused) ::unlink(path.c_str());
  }
  if (const auto error = open(endpoint, path)) return cannot_listen(address, error);
  // As open as a port of this machine. Who wants less puts it into a folder that is closed.
  ::chmod(path.c_str(), 0666);
  return address;
}

mmstats::Expected<std::string> Server::Impl::listen_tcp(const std::string& address, const std::string& host,
                                                        const std::string& port) {
  error_code error;
  asio::ip::tcp::resolver resolver(io);
  const auto found = resolver.resolve(
      host, port, asio::ip::resolver_base::passive | asio::ip::resolver_base::numeric_service, error);
  if (error) return no_address(address, fmt::format("the name cannot be resolved: {}", error.message()));
  const std::size_t before = listeners.size();
  error_code failure;
  const auto first_port = [&] {
    return port_of(
        std::next(listeners.begin(), static_cast<std::ptrdiff_t>(before))->acceptor.local_endpoint());
  };
  for (const auto& entry : found) {
    auto endpoint = entry.endpoint();
    // Of several addresses all have the port that was free for the first.
    if (listeners.size() > before) endpoint.port(first_port());
    error = open(endpoint, "");
    if (error) failure = error;
  }
  // A name may have an address of a family that this machine does not use.
  if (listeners.size() == before || failure == asio::error::address_in_use) {
    return cannot_listen(address, failure);
  }
  const auto real_port = first_port();
  if (host.empty()) return fmt::format("http://localhost:{}/", real_port);
  return host.find(':') != std::string::npos ? fmt::format("http://[{}]:{}/", host, real_port)
                                             : fmt::format("http://{}:{}/", host, real_port);
}

void Server::Impl::repeat(asio::steady_timer& timer, std::chrono::milliseconds period,
                          const std::shared_ptr<std::function<void()>>& job) {
  timer.expires_after(period);
  timer.async_wait([&timer, period, job](error_code stopped) {
    if (stopped) return;
    (*job)();
    repeat(timer, period, job);
  });
}

void Server::Impl::end() {
  if (std::exchange(sessions.ending, true)) return io.stop();
  for (auto& listener : listeners) {
    error_code error;
    listener.acceptor.close(error);
    listener.pause.cancel();
    if (!listener.path.empty()) ::unlink(listener.path.c_str());
  }
  for (auto& job : jobs) job.cancel();
  end_requests(sessions);
  auto& last_words = jobs.emplace_back(io, kLastWords);
  last_words.async_wait([this](error_code) { io.stop(); });
  if (sessions.all.empty()) io.stop();
  // A second signal ends it at once.
  signals.async_wait([this](error_code error, int) {
    if (!error) io.stop();
  });
}

Server::Server(ServerOptions options, Handler handler, std::function<void(std::string_view)> access_log)
    : impl_(std::make_unique<Impl>(options, std::move(handler), std::move(access_log))) {}

Server::~Server() = default;

mmstats::Expected<std::string> Server::listen(const std::string& address) {
  constexpr std::string_view kUnix = "unix:";
  if (address.starts_with(kUnix)) return impl_->listen_unix(address, address.substr(kUnix.size()));
  const auto place = mmstats::parse_listen(address);
  if (!place) return no_address("", "--listen: " + place.error().message + "; or unix:PATH");
  return impl_->listen_tcp(address, place->host, std::to_string(*place->port));
}

bool Server::listens_everywhere() const {
  return std::ranges::any_of(impl_->listeners, [](const Impl::Listener& listener) {
    return is_everywhere(listener.acceptor.local_endpoint());
  });
}

void Server::every(std::chrono::milliseconds period, std::function<void()> job) {
  Impl::repeat(impl_->jobs.emplace_back(impl_->io), period,
               std::make_shared<std::function<void()>>(std::move(job)));
}

void Server::run() {
  Impl& self = *impl_;
  self.signals.add(SIGINT);
  self.signals.add(SIGTERM);
  self.signals.async_wait([&self](error_code error, int) {
    if (!error) self.end();
  });
  for (auto& listener : self.listeners) self.accept(listener);
  self.io.run();
}

}  // namespace mmash

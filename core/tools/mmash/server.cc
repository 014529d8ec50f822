#include "tools/mmash/server.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <charconv>
#include <csignal>
#include <ctime>
#include <exception>
#include <list>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/host_port.h"

namespace mmash {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using namespace std::chrono_literals;

using Stream = beast::basic_stream<asio::generic::stream_protocol>;
using Socket = asio::generic::stream_protocol::socket;
using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

constexpr std::size_t kMaxHead = 16U << 10U;  // bytes
constexpr int kSocketBuffer = 256 << 10;      // bytes that the system keeps for a client who is slow
constexpr std::size_t kSlice = 64U << 10U;    // bytes of an answer that are sent at once
constexpr std::size_t kMaxRefusing = 16;      // connections at once that are told that there are too many
constexpr std::chrono::milliseconds kFarewell{
    1'000};                                       // for what a client still sends when it was told enough
constexpr std::size_t kMaxFarewell = 64U << 10U;  // bytes of that
constexpr std::chrono::milliseconds kLastWords{2'000};
// Of every answer: browsers take it for what it says it is, and show it to no other site.
constexpr std::string_view kSafety =
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n";
constexpr std::chrono::milliseconds kAcceptPause{200};  // after the system had no descriptor left

mmstats::Error listen_error(mmstats::ErrorKind kind, const std::string& address, int sys_errno,
                            std::string message) {
  return {.kind = kind, .path = address, .offset = 0, .sys_errno = sys_errno, .message = std::move(message)};
}

// An IP address without its port; empty for a Unix socket.
std::string address_text(const asio::generic::stream_protocol::endpoint& endpoint) {
  std::array<char, NI_MAXHOST> text{};
  if (endpoint.protocol().family() == AF_UNIX ||
      ::getnameinfo(endpoint.data(), static_cast<socklen_t>(endpoint.size()), text.data(), text.size(),
                    nullptr, 0, NI_NUMERICHOST) != 0) {
    return {};
  }
  return text.data();
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

// A client's words within quotes.
std::string in_quotes(std::string_view foreign) {
  std::string text = mmstats::printable(foreign);
  for (std::size_t at = 0; (at = text.find('"', at)) != std::string::npos;) text.replace(at, 1, "\\x22");
  return "\"" + text + "\"";
}

std::string_view to_view(beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

struct Server::Impl {
  class Session;
  struct Listener {
    Acceptor acceptor;
    asio::steady_timer pause;
    std::string path;  // of a Unix socket
  };

  ServerOptions options;
  Handler handler;
  std::function<void(std::string_view)> access_log;
  std::set<Session*> sessions;  // before the context, which in its end destroys them
  asio::io_context io{1};
  asio::signal_set signals{io};
  std::list<Listener> listeners;
  std::list<asio::steady_timer> jobs;
  bool ending = false;

  Impl(ServerOptions options_, Handler handler_, std::function<void(std::string_view)> access_log_)
      : options(options_), handler(std::move(handler_)), access_log(std::move(access_log_)) {}

  void accept(Listener& listener);
  void end();
  static void repeat(asio::steady_timer& timer, std::chrono::milliseconds period,
                     const std::shared_ptr<std::function<void()>>& job);
  mmstats::Expected<std::string> listen_unix(const std::string& address, const std::string& path);
  mmstats::Expected<std::string> listen_tcp(const std::string& address, const std::string& host,
                                            const std::string& port);
  error_code open(const asio::generic::stream_protocol::endpoint& endpoint, const std::string& path);
};

// One client. Lives as long as an operation of its is under way.
class Server::Impl::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Impl& server, Socket socket) : server_(server), stream_(std::move(socket)) {
    error_code error;
    server_address_ = address_text(stream_.socket().local_endpoint(error));
    client_address_ = address_text(stream_.socket().remote_endpoint(error));
    stream_.socket().set_option(asio::socket_base::send_buffer_size(kSocketBuffer), error);
    if (!server_address_.empty()) stream_.socket().set_option(asio::ip::tcp::no_delay(true), error);
    server_.sessions.insert(this);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    server_.sessions.erase(this);
    if (server_.ending && server_.sessions.empty()) server_.io.stop();
  }

  void start() { read_head(); }

  void refuse() {
    keep_ = false;
    answer(error_response(503, "too many connections; try again later"));
  }

  // No further request is read.
  void end() {
    keep_ = false;
    if (idle_) stream_.close();
  }

 private:
  // On a connection that is kept: waits for the first byte of a request, which has more time than the others.
  void await_request() {
    if (!keep_ || server_.ending) return farewell();
    if (buffer_.size() != 0) return read_head();
    idle_ = true;
    stream_.expires_after(server_.options.idle);
    stream_.async_read_some(buffer_.prepare(kMaxHead),
                            [self = shared_from_this()](error_code error, std::size_t bytes) {
                              self->idle_ = false;
                              if (error) return;
                              self->buffer_.commit(bytes);
                              self->read_head();
                            });
  }

  void read_head() {
    idle_ = true;
    parser_.emplace();
    parser_->header_limit(kMaxHead);
    stream_.expires_after(server_.options.patience);
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](error_code error, std::size_t) { self->on_head(error); });
  }

  void on_head(error_code error) {
    idle_ = false;
    head_only_ = false;
    old_ = false;
    request_line_.clear();
    referrer_.clear();
    agent_.clear();
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      return reject(error_response(431, fmt::format("the head of a request has {} bytes at most", kMaxHead)));
    }
    if (error == http::error::body_limit) return reject(no_body());
    if (error && error.category() == http::make_error_code(http::error::bad_target).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message) {
      return reject(error_response(400, fmt::format("not a request of HTTP/1: {}", error.message())));
    }
    if (error) return;  // it left, or let its time pass
    const auto& head = parser_->get();
    old_ = head.version() == 10;
    keep_ = parser_->keep_alive();
    if (server_.access_log) {
      request_line_ = fmt::format("{} {} HTTP/{}.{}", to_view(head.method_string()), to_view(head.target()),
                                  head.version() / 10, head.version() % 10);
      referrer_ = std::string(to_view(head[http::field::referer]));
      agent_ = std::string(to_view(head[http::field::user_agent]));
    }
    head_only_ = head.method() == http::verb::head;
    if (head.method() != http::verb::get && !head_only_) {
      auto response = error_response(405, "GET and HEAD are all that there is");
      response.headers.emplace_back("Allow", "GET, HEAD");
      return reject(std::move(response));
    }
    if (parser_->chunked() || parser_->content_length().value_or(0) != 0) {
      return reject(no_body());
    }
    Request request;
    const auto hosts = head.count(http::field::host);
    if (hosts > 1 || (hosts == 0 && !old_)) {
      return reject(error_response(400, "a request has one Host header"));
    }
    if (hosts == 1) request.host = std::string(to_view(head[http::field::host]));
    request.server_address = server_address_;
    request.accept = std::string(to_view(head[http::field::accept]));
    request.if_none_match = std::string(to_view(head[http::field::if_none_match]));
    if (!read_target(to_view(head.target()), request)) {
      return reject(error_response(400, "what is asked for begins with a slash, or is an http URL"));
    }
    Response response;
    try {
      response = server_.handler(request);
    } catch (const std::exception& failure) {
      response = error_response(500, failure.what());
    }
    answer(std::move(response));
  }

  static Response no_body() { return error_response(413, "a request has no body here"); }

  // After which we do not know where the next request begins, or do not want to.
  void reject(Response response) {
    keep_ = false;
    answer(std::move(response));
  }

  void answer(Response response) {
    status_ = response.status;
    sent_ = 0;
    more_ = std::move(response.more);
    if (server_.ending || (more_ && old_)) keep_ = false;
    out_ = fmt::format("HTTP/1.1 {} {}\r\nDate: {:%a, %d %b %Y %H:%M:%S} GMT\r\n", response.status,
                       reason(response.status), fmt::gmtime(std::time(nullptr)));
    out_ += kSafety;
    if (!response.content_type.empty()) out_ += fmt::format("Content-Type: {}\r\n", response.content_type);
    for (const auto& [name, value] : response.headers) out_ += fmt::format("{}: {}\r\n", name, value);
    if (!more_ && response.status != 304) {
      out_ += fmt::format("Content-Length: {}\r\n", response.body.size());
    } else if (more_ && !old_) {
      out_ += "Transfer-Encoding: chunked\r\n";
    }
    if (!keep_) {
      out_ += "Connection: close\r\n";
    } else if (old_) {
      out_ += "Connection: keep-alive\r\n";
    }
    out_ += "\r\n";
    if (head_only_) {
      more_ = nullptr;
    } else if (more_) {
      add_piece(response.body, false);
    } else {
      sent_ = response.body.size();
      out_ += response.body;
    }
    write();
  }

  // As a chunk; a chunk of no bytes tells the end.
  void add_piece(std::string_view piece, bool last) {
    sent_ += piece.size();
    if (!piece.empty())
      out_ += old_ ? std::string(piece) : fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
    if (last && !old_) out_ += "0\r\n\r\n";
  }

  // In slices, so that each has its time.
  void write() {
    stream_.expires_after(server_.options.patience);
    const auto slice = asio::buffer(asio::buffer(out_) + written_, kSlice);
    asio::async_write(stream_, slice, [self = shared_from_this()](error_code error, std::size_t bytes) {
      self->written_ += bytes;
      self->on_written(error);
    });
  }

  void on_written(error_code error) {
    if (error) return log(" cut off");
    if (written_ < out_.size()) return write();
    out_.clear();
    written_ = 0;
    try {
      while (more_ && out_.empty()) {
        const Piece piece = more_();
        add_piece(piece.text, piece.last);
        if (piece.last) more_ = nullptr;
      }
    } catch (const std::exception&) {
      return log(" failed");
    }
    if (!out_.empty()) return write();
    std::string().swap(out_);  // and its memory
    log("");
    await_request();
  }

  void log(std::string_view note) {
    if (!server_.access_log) return;
    server_.access_log(fmt::format("{} - - [{:%d/%b/%Y:%H:%M:%S %z}] {} {} {} {} {}{}",
                                   client_address_.empty() ? "unix:" : client_address_,
                                   fmt::localtime(std::time(nullptr)), in_quotes(request_line_), status_,
                                   sent_, in_quotes(referrer_), in_quotes(agent_), note));
  }

  // Lets the client read our last answer: a connection that is closed while its bytes are unread is reset,
  // and the answer may be lost with it.
  void farewell() {
    error_code error;
    stream_.socket().shutdown(asio::socket_base::shutdown_send, error);
    if (error) return;
    stream_.expires_after(kFarewell);
    buffer_.clear();
    drain();
  }

  void drain() {
    stream_.async_read_some(buffer_.prepare(kMaxHead),
                            [self = shared_from_this()](error_code error, std::size_t bytes) {
                              self->drained_ += bytes;
                              if (!error && self->drained_ < kMaxFarewell) self->drain();
                            });
  }

  Impl& server_;
  Stream stream_;
  beast::flat_buffer buffer_{2 * kMaxHead};
  std::optional<http::request_parser<http::empty_body>> parser_;
  std::string server_address_;
  std::string client_address_;
  std::string out_;
  std::size_t written_ = 0;  // of out_
  NextPiece more_;
  bool old_ = false;  // HTTP/1.0: no chunks, and closed unless it is asked for
  bool head_only_ = false;
  bool keep_ = true;
  bool idle_ = false;  // no request was read to its end, so there is nothing to answer
  unsigned status_ = 0;
  std::size_t sent_ = 0;  // bytes of the body
  std::size_t drained_ = 0;
  std::string request_line_;
  std::string referrer_;
  std::string agent_;
};

void Server::Impl::accept(Listener& listener) {
  auto socket = std::make_shared<Socket>(io);
  listener.acceptor.async_accept(*socket, [this, &listener, socket](error_code error) {
    if (error == asio::error::operation_aborted || ending) return;
    if (error == asio::error::no_descriptors || error == asio::error::no_memory ||
        error == error_code(ENFILE, boost::system::system_category())) {
      listener.pause.expires_after(kAcceptPause);
      listener.pause.async_wait([this, &listener](error_code stopped) {
        if (!stopped) accept(listener);
      });
      return;
    }
    if (!error && sessions.size() < options.max_connections) {
      std::make_shared<Session>(*this, std::move(*socket))->start();
    } else if (!error && sessions.size() < options.max_connections + kMaxRefusing) {
      std::make_shared<Session>(*this, std::move(*socket))->refuse();
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
    return tl::unexpected(
        listen_error(mmstats::ErrorKind::kInvalid, address, 0,
                     fmt::format("a socket's path has 1 to {} bytes", sizeof(sockaddr_un::sun_path) - 1)));
  }
  const Local::endpoint endpoint(path);
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) {
    error_code error;
    Local::socket probe(io);
    probe.connect(endpoint, error);
    if (error == asio::error::connection_refused) ::unlink(path.c_str());
  }
  if (const auto error = open(endpoint, path)) {
    return tl::unexpected(listen_error(
        error == asio::error::address_in_use ? mmstats::ErrorKind::kBusy : mmstats::ErrorKind::kIo, address,
        error.value(), "cannot listen there"));
  }
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
  if (error) {
    return tl::unexpected(listen_error(mmstats::ErrorKind::kInvalid, address, 0,
                                       fmt::format("the name cannot be resolved: {}", error.message())));
  }
  const std::size_t before = listeners.size();
  error_code failure;
  for (const auto& entry : found) {
    error = open(entry.endpoint(), "");
    if (error) failure = error;
  }
  // A name may have an address of a family that this machine does not use.
  if (listeners.size() == before || failure == asio::error::address_in_use) {
    return tl::unexpected(listen_error(failure == asio::error::address_in_use  ? mmstats::ErrorKind::kBusy
                                       : failure == asio::error::access_denied ? mmstats::ErrorKind::kDenied
                                                                               : mmstats::ErrorKind::kIo,
                                       address, failure.value(), "cannot listen there"));
  }
  const auto real_port =
      port_of(std::next(listeners.begin(), static_cast<std::ptrdiff_t>(before))->acceptor.local_endpoint());
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
  if (std::exchange(ending, true)) return io.stop();
  for (auto& listener : listeners) {
    error_code error;
    listener.acceptor.close(error);
    listener.pause.cancel();
    if (!listener.path.empty()) ::unlink(listener.path.c_str());
  }
  for (auto& job : jobs) job.cancel();
  for (Session* session : sessions) session->end();
  auto& last_words = jobs.emplace_back(io, kLastWords);
  last_words.async_wait([this](error_code) { io.stop(); });
  if (sessions.empty()) io.stop();
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
  const auto place = mmstats::parse_host_port(address);
  if (!place || place->host.empty() || !place->port) {
    return tl::unexpected(
        listen_error(mmstats::ErrorKind::kInvalid, address, 0,
                     "is no address to listen on; write HOST:PORT, [IPV6]:PORT or unix:PATH"));
  }
  return impl_->listen_tcp(address, place->host, std::to_string(*place->port));
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

std::size_t Server::connections() const { return impl_->sessions.size(); }

}  // namespace mmash

#include "tools/mmash/session.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>
#include <ctime>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "mmstats/error.h"
#include "tools/mmash/request_head.h"

namespace mmash {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

using Stream = beast::basic_stream<asio::generic::stream_protocol>;
using Socket = asio::generic::stream_protocol::socket;

constexpr int kSocketBuffer = 256 << 10;          // bytes that the system keeps for a client who is slow
constexpr std::size_t kSlice = 64U << 10U;        // bytes of an answer that have a deadline of their own
constexpr std::size_t kMaxFarewell = 64U << 10U;  // bytes that a client still sends when it was told enough
constexpr std::chrono::milliseconds kFarewell{1'000};  // and the time for them
// Of every answer: browsers take it for what it says it is, and show it to no other site.
constexpr std::array<std::pair<const char*, const char*>, 3> kSafety{{
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
}};

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

// A client's words within quotes.
std::string in_quotes(std::string_view foreign) {
  std::string text = mmstats::printable(foreign);
  for (std::size_t at = 0; (at = text.find('"', at)) != std::string::npos;) text.replace(at, 1, "\\x22");
  return "\"" + text + "\"";
}

// What the access log tells of a request.
struct LoggedRequest {
  std::string line;
  std::string referrer;
  std::string agent;
};

LoggedRequest logged(const http::request_header<>& head) {
  const auto view = [](beast::string_view text) { return std::string_view(text.data(), text.size()); };
  return {fmt::format("{} {} HTTP/{}.{}", view(head.method_string()), view(head.target()),
                      head.version() / 10, head.version() % 10),
          std::string(head[http::field::referer]), std::string(head[http::field::user_agent])};
}

}  // namespace

// Lives as long as an operation of its is under way.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Sessions& sessions, Socket socket) : sessions_(sessions), stream_(std::move(socket)) {
    error_code error;
    server_address_ = address_text(stream_.socket().local_endpoint(error));
    client_address_ = address_text(stream_.socket().remote_endpoint(error));
    stream_.socket().set_option(asio::socket_base::send_buffer_size(kSocketBuffer), error);
    if (!server_address_.empty()) stream_.socket().set_option(asio::ip::tcp::no_delay(true), error);
    sessions_.all.insert(this);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    sessions_.all.erase(this);
    if (sessions_.ending && sessions_.all.empty()) sessions_.on_last();
  }

  void start() { read_head(); }

  // The answer is the last one.
  void reject(Response response) {
    keep_ = false;
    answer(std::move(response));
  }

  void end() {
    keep_ = false;
    if (idle_) stream_.close();
  }

 private:
  // On a connection that is kept: waits for the first byte of a request, which has more time than the others.
  void await_request() {
    if (!keep_ || sessions_.ending) return farewell();
    if (buffer_.size() != 0) return read_head();
    idle_ = true;
    stream_.expires_after(sessions_.options.idle);
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
    stream_.expires_after(sessions_.options.patience);
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](error_code error, std::size_t) { self->on_head(error); });
  }

  void on_head(error_code error) {
    idle_ = false;
    head_only_ = false;
    old_ = false;
    logged_ = {};
    if (error) {
      if (auto refusal = refusal_of(error)) reject(std::move(*refusal));
      return;
    }
    const auto& head = parser_->get();
    old_ = head.version() == 10;
    keep_ = parser_->keep_alive();
    head_only_ = head.method() == http::verb::head;
    if (sessions_.access_log) logged_ = logged(head);
    auto request = request_of(*parser_, server_address_);
    if (!request) return reject(std::move(request.error()));
    Response response;
    try {
      response = sessions_.handler(*request);
    } catch (const std::exception& failure) {
      response = error_response(500, failure.what());
    }
    answer(std::move(response));
  }

  void answer(Response response) {
    piece_ = std::move(response.body);
    more_ = std::move(response.more);
    sent_ = 0;
    if (sessions_.ending || (more_ && old_)) keep_ = false;

    message_.emplace(static_cast<http::status>(response.status), 11);
    message_->set(http::field::date,
                  fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(std::time(nullptr))));
    for (const auto& [name, value] : kSafety) message_->set(name, value);
    if (!response.content_type.empty()) message_->set(http::field::content_type, response.content_type);
    for (const auto& [name, value] : response.headers) message_->insert(name, value);
    if (more_) {
      message_->chunked(!old_);
    } else if (response.status != 304) {
      message_->content_length(piece_.size());
    }
    if (!keep_) {
      message_->set(http::field::connection, "close");
    } else if (old_) {
      message_->set(http::field::connection, "keep-alive");
    }
    serializer_.emplace(*message_);
    serializer_->limit(kSlice);
    serializer_->split(head_only_);
    if (!head_only_) offer_piece();
    slice_ = 0;
    stream_.expires_after(sessions_.options.patience);
    write();
  }

  // Gives the serializer what is in piece_.
  void offer_piece() {
    sent_ += piece_.size();
    message_->body().data = piece_.empty() ? nullptr : piece_.data();
    message_->body().size = piece_.size();
    message_->body().more = static_cast<bool>(more_);
  }

  void write() {
    http::async_write_some(
        stream_, *serializer_,
        [self = shared_from_this()](error_code error, std::size_t bytes) { self->on_written(error, bytes); });
  }

  void on_written(error_code error, std::size_t bytes) {
    if (error == http::error::need_buffer) {
      try {
        do {
          Piece piece = more_();
          piece_ = std::move(piece.text);
          if (piece.last) more_ = nullptr;
        } while (more_ && piece_.empty());
      } catch (const std::exception&) {
        return log(" failed");
      }
      offer_piece();
      slice_ = kSlice;  // it took some time to make it
    } else if (error) {
      return log(" cut off");
    }
    if (serializer_->is_done() || (head_only_ && serializer_->is_header_done())) return on_answered();
    slice_ += bytes;
    if (slice_ >= kSlice) {
      slice_ = 0;
      stream_.expires_after(sessions_.options.patience);
    }
    write();
  }

  void on_answered() {
    log("");
    serializer_.reset();
    message_.reset();
    std::string().swap(piece_);  // and its memory
    more_ = nullptr;
    await_request();
  }

  void log(std::string_view note) {
    if (!sessions_.access_log) return;
    sessions_.access_log(fmt::format("{} - - [{:%d/%b/%Y:%H:%M:%S %z}] {} {} {} {} {}{}",
                                     client_address_.empty() ? "unix:" : client_address_,
                                     fmt::localtime(std::time(nullptr)), in_quotes(logged_.line),
                                     message_->result_int(), sent_, in_quotes(logged_.referrer),
                                     in_quotes(logged_.agent), note));
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

  Sessions& sessions_;
  Stream stream_;
  beast::flat_buffer buffer_{2 * kMaxHead};
  std::optional<HeadParser> parser_;
  std::string server_address_;
  std::string client_address_;
  LoggedRequest logged_;
  // The answer.
  std::optional<http::response<http::buffer_body>> message_;
  std::optional<http::response_serializer<http::buffer_body>> serializer_;
  std::string piece_;  // of the body
  NextPiece more_;
  std::size_t slice_ = 0;  // bytes that were sent since the deadline was set
  std::size_t sent_ = 0;   // bytes of the body, without chunks' sizes
  bool old_ = false;       // HTTP/1.0: no chunks, and closed unless it is asked for
  bool head_only_ = false;
  bool keep_ = true;
  bool idle_ = false;  // no request was read to its end, so there is nothing to answer
  std::size_t drained_ = 0;
};

void serve(Sessions& sessions, Socket socket) {
  std::make_shared<Session>(sessions, std::move(socket))->start();
}

void refuse(Sessions& sessions, Socket socket) {
  std::make_shared<Session>(sessions, std::move(socket))
      ->reject(error_response(503, "too many connections; try again later"));
}

void end_requests(Sessions& sessions) {
  for (Session* session : sessions.all) session->end();
}

}  // namespace mmash

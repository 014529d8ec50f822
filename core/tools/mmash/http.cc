#include "tools/mmash/http.h"

#include <algorithm>
#include <array>
#include <optional>

namespace mmash {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = lower(c);
  return result;
}

// The host of an authority: without its port, brackets and a dot at its end; in lower case.
std::optional<std::string> host_of(std::string_view authority) {
  std::string_view host = authority;
  std::string_view rest;
  if (authority.starts_with('[')) {
    const auto end = authority.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    host = authority.substr(1, end - 1);
    rest = authority.substr(end + 1);
  } else if (const auto colon = authority.find(':'); colon != std::string_view::npos) {
    host = authority.substr(0, colon);
    rest = authority.substr(colon);
  }
  if (!rest.empty() &&
      (rest[0] != ':' || rest.find_first_not_of("0123456789", 1) != std::string_view::npos)) {
    return std::nullopt;
  }
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty()) return std::nullopt;
  return lower(host);
}

}  // namespace

const std::string* Request::parameter(std::string_view name) const {
  const auto found = std::ranges::find_if(parameters, [&](const auto& one) { return one.first == name; });
  return found == parameters.end() ? nullptr : &found->second;
}

Response in_pieces(Response response, NextPiece next) {
  Piece first = next();
  response.body += first.text;
  if (!first.last) response.more = std::move(next);
  return response;
}

Response json_response(std::string body) {
  return {.content_type = "application/json",
          .headers = {{"Cache-Control", "no-store"}},
          .body = std::move(body)};
}

Response error_response(unsigned status, std::string_view message) {
  auto response = json_response(json_object(mmstats::Json::object({{"error", message}})));
  response.status = status;
  return response;
}

std::string percent_decoded(std::string_view text, bool query) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      result += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      result += query && text[i] == '+' ? ' ' : text[i];
    }
  }
  return result;
}

bool read_target(std::string_view target, Request& request) {
  constexpr std::string_view kScheme = "http://";
  if (lower(target.substr(0, kScheme.size())) == kScheme) {
    target.remove_prefix(kScheme.size());
    const auto end = std::min(target.find_first_of("/?"), target.size());
    request.host = std::string(target.substr(0, end));
    target.remove_prefix(end);
    if (target.empty()) target = "/";
  }
  target = target.substr(0, target.find('#'));
  if (!target.starts_with('/')) return false;
  const auto question = std::min(target.find('?'), target.size());
  request.path = percent_decoded(target.substr(0, question), false);
  request.parameters.clear();
  for (std::size_t at = question + 1; at < target.size();) {
    const auto end = std::min(target.find('&', at), target.size());
    const auto one = target.substr(at, end - at);
    const auto equals = std::min(one.find('='), one.size());
    request.parameters.emplace_back(percent_decoded(one.substr(0, equals), true),
                                    percent_decoded(one.substr(std::min(equals + 1, one.size())), true));
    at = end + 1;
  }
  return true;
}

std::string json_string(std::string_view text) {
  std::string json;
  mmstats::append_json(json, text, mmstats::JsonTexts::kAscii);
  return json;
}

std::string json_object(const mmstats::Json& object) {
  return mmstats::json_text(object, mmstats::JsonTexts::kAscii);
}

HostNames::HostNames(std::vector<std::string> names) : names_(std::move(names)) {
  for (auto& name : names_) name = lower(name);
  names_.emplace_back("localhost");
  // By a forwarded port, or in a container, it may be another address that they lead to.
  names_.emplace_back("127.0.0.1");
  names_.emplace_back("::1");
}

bool HostNames::allow(const Request& request) const {
  if (request.server_address.empty()) return true;
  if (!request.host) return false;
  const auto host = host_of(*request.host);
  return host && (*host == request.server_address || std::ranges::find(names_, *host) != names_.end());
}

}  // namespace mmash

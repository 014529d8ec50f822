#include "plugin_pinba/receive/explain.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <utility>

#include "base/failure.h"
#include "base/utf8.h"
#include "mmstats/snapshot.h"
#include "plugin_pinba/receive/packet.h"

namespace mmstats::receive {
namespace {

using Json = nlohmann::json;

// Ours are smaller. JSON takes some ten times its size in memory.
constexpr std::size_t kMostLine = std::size_t{256} << 10;
constexpr std::uint64_t kMostFile = std::uint64_t{64} << 20;
constexpr std::size_t kMostItems = 100;  // faults, or findings
constexpr std::size_t kShownText = 600;  // bytes
constexpr std::size_t kShownBytes = 64;  // of a packet
constexpr std::size_t kBytesInRow = 16;

// In the order of Fault.
constexpr auto kWords = std::to_array<std::string_view>({
    "cut, no Pinba message, or nested too deep: all of it is lost",
    "a field that must be there is missing: it counts as empty, or as 0",
    "a time is negative, infinite or no number: it counts as 0, or its timer is left out",
    "the lists of timers differ in length: its timers are left out",
    "the lists of the request's tags differ in length: these tags are left out",
    "a tag points beyond the dictionary: it is left out, or its timer",
    "a timer has no hits: it is left out",
    "a tag is there twice: the first one counts",
    "too many tags: their timer is left out, or of a request those beyond",
    "too many requests are nested: those beyond are left out",
});
static_assert(kWords.size() == kFaults);

std::string shown_text(std::string_view foreign) {
  std::string text = printable(foreign.substr(0, kShownText));
  if (foreign.size() > kShownText) text += "...";
  return text;
}

std::string_view words_of(std::string_view fault) {
  for (std::size_t i = 0; i < kFaults; ++i) {
    if (to_string(static_cast<Fault>(i)) == fault) return kWords[i];
  }
  return "of another version";
}

tl::unexpected<Error> no_packet(std::string why) {
  return tl::unexpected(failure(ErrorKind::kDamaged, {}, "it is no bad packet: " + std::move(why)));
}

// Members, if they are there and are such.
const std::string* text_in(const Json& object, const char* name) {
  const auto member = object.find(name);
  return member == object.end() ? nullptr : member->get_ptr<const std::string*>();
}
std::optional<std::uint64_t> number_in(const Json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_number_unsigned()) return std::nullopt;
  return member->get<std::uint64_t>();
}
const Json* list_in(const Json& object, const char* name) {
  const auto member = object.find(name);
  return member == object.end() || !member->is_array() || member->size() > kMostItems ? nullptr : &*member;
}

std::optional<std::vector<std::uint8_t>> bytes_of(std::string_view hex) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  if (hex.size() % 2 != 0) return std::nullopt;
  std::vector<std::uint8_t> bytes;
  bytes.reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = digit(hex[i]);
    const int low = digit(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<std::uint8_t>(high * 16 + low));
  }
  return bytes;
}

// "  0000  0a 03 77 65 62                                   |..web|"
void add_rows(std::span<const std::uint8_t> bytes, std::vector<std::string>& lines) {
  const auto shown = bytes.first(std::min(bytes.size(), kShownBytes));
  for (std::size_t at = 0; at < shown.size(); at += kBytesInRow) {
    const auto row = shown.subspan(at, std::min(kBytesInRow, shown.size() - at));
    std::string signs;
    for (const std::uint8_t byte : row) {
      signs += byte >= 0x20 && byte < 0x7F ? static_cast<char>(byte) : '.';
    }
    lines.push_back(
        fmt::format("  {:04x}  {:<47}  |{}|", at, fmt::format("{:02x}", fmt::join(row, " ")), signs));
  }
}

// False: it is no finding.
bool add_finding(const Json& finding, std::vector<std::string>& lines) {
  if (!finding.is_object()) return false;
  const auto* server = text_in(finding, "server");
  const auto* effect = text_in(finding, "effect");
  const auto offset = number_in(finding, "offset");
  const auto* message = text_in(finding, "message");
  if (server == nullptr || effect == nullptr || !offset || message == nullptr) return false;
  lines.push_back(fmt::format("  {}: {}, byte {}: {}", shown_text(*server), shown_text(*effect), *offset,
                              shown_text(*message)));
  return true;
}

Expected<std::vector<std::string>> explain_packet(const Json& packet) {
  if (!packet.is_object()) return no_packet("an object is expected");
  const auto* time = text_in(packet, "time");
  const auto* from = text_in(packet, "from");
  const auto size = number_in(packet, "size");
  const auto* faults = list_in(packet, "faults");
  const auto* findings = list_in(packet, "findings");
  const auto left_out = number_in(packet, "findings_left_out");
  const auto* hex = text_in(packet, "hex");
  const auto bytes = hex == nullptr ? std::nullopt : bytes_of(*hex);
  const std::pair<const char*, bool> wanted[] = {
      {"time", time != nullptr},         {"from", from != nullptr},
      {"size", size.has_value()},        {"faults", faults != nullptr},
      {"findings", findings != nullptr}, {"findings_left_out", left_out.has_value()},
      {"hex", bytes.has_value()},
  };
  for (const auto& [name, good] : wanted) {
    if (!good) return no_packet(fmt::format("\"{}\" is missing or wrong", name));
  }
  std::vector<std::string> lines{
      fmt::format("{} from {}, {} bytes", shown_text(*time), shown_text(*from), *size)};
  for (const Json& fault : *faults) {
    const auto* name = fault.get_ptr<const std::string*>();
    if (name == nullptr) return no_packet("a fault is no text");
    lines.push_back(fmt::format("  {}: {}", shown_text(*name), words_of(*name)));
  }
  for (const Json& finding : *findings) {
    if (!add_finding(finding, lines)) return no_packet("a finding is wrong");
  }
  if (findings->empty()) lines.emplace_back("  other servers: nothing is wrong for them");
  if (*left_out > 0) lines.push_back(fmt::format("  and {} findings more", *left_out));
  add_rows(*bytes, lines);
  return lines;
}

}  // namespace

Expected<std::vector<std::string>> explain_line(std::string_view json) {
  if (json.size() > kMostLine) return no_packet("too long");
  const Json packet = Json::parse(json, nullptr, false);
  if (packet.is_discarded()) return no_packet("no JSON");
  return explain_packet(packet);
}

Expected<void> explain_file(const std::string& path, const std::function<void(std::string_view)>& write) {
  const auto file = OpenFile::open(AT_FDCWD, path.c_str(), path);
  if (!file) return tl::unexpected(file.error());
  if (file->size() > kMostFile) {
    return tl::unexpected(
        failure(ErrorKind::kTooLarge, path, fmt::format("it has more than {} bytes", kMostFile)));
  }
  std::string text(file->size(), '\0');
  const ssize_t size = file->read_at(0, std::as_writable_bytes(std::span(text)));
  if (size < 0) return tl::unexpected(system_failure(path, "cannot be read"));
  text.resize(static_cast<std::size_t>(size));
  std::size_t number = 0;
  std::size_t damaged = 0;
  std::optional<Error> first;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const auto lines = explain_line(std::string_view(text).substr(at, end - at));
    ++number;
    if (lines) {
      write(fmt::format("{}\n\n", fmt::join(*lines, "\n")));
    } else if (++damaged == 1) {
      first = lines.error();
      first->path = path;
      first->offset = at;
      first->message = fmt::format("line {}: {}", number, first->message);
    }
    at = end + 1;
  }
  if (!first) return {};
  if (damaged > 1) first->message += fmt::format("; as {} of {} lines", damaged, number);
  return tl::unexpected(std::move(*first));
}

std::vector<std::string> explain_last(LastLines& lines, std::size_t packets) {
  std::vector<std::string> all;
  for (const std::string& line : lines.last(packets)) {
    auto some = explain_line(line);
    if (some) std::ranges::move(*some, std::back_inserter(all));
  }
  return all;
}

}  // namespace mmstats::receive

#include "pinba/packet_check.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <string_view>

#include "pinba.pb-c.h"

namespace {

using google::protobuf::internal::WireFormatLite;

bool is_utf8(const std::string& text) {
  return WireFormatLite::VerifyUtf8String(text.data(), static_cast<int>(text.size()), WireFormatLite::PARSE,
                                          nullptr);
}

std::string wrong_order(pinba::Datagram datagram) {
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const std::uint8_t*>(datagram.data()),
                                                static_cast<int>(datagram.size()));
  int last = 0;
  while (const std::uint32_t tag = stream.ReadTag()) {
    const int field = WireFormatLite::GetTagFieldNumber(tag);
    if (last == 0 && field != 1) return "field 1 is not first";
    if (field < last) return fmt::format("field {} comes after field {}", field, last);
    last = field;
    if (!WireFormatLite::SkipField(&stream, tag)) return "a field cannot be skipped";
  }
  return {};
}

std::string bad_text(std::string_view name, const std::string& text) {
  if (text.empty()) return fmt::format("{} is empty", name);
  if (text.find('\0') != std::string::npos) return fmt::format("{} has a NUL", name);
  if (!is_utf8(text)) return fmt::format("{} is not UTF-8", name);
  return {};
}

std::string bad_message(const pinba_wire::Request& message, bool nested_allowed) {
  for (const auto& [name, text] :
       {std::pair("hostname", message.hostname()), std::pair("server_name", message.server_name()),
        std::pair("script_name", message.script_name()), std::pair("schema", message.schema())}) {
    if (auto bad = bad_text(name, text); !bad.empty()) return bad;
  }
  std::set<std::string> texts;
  for (const auto& text : message.dictionary()) {
    if (auto bad = bad_text("a text of the dictionary", text); !bad.empty()) return bad;
    if (!texts.insert(text).second) return fmt::format("'{}' is in the dictionary twice", text);
  }
  const auto good = [](float value) {
    return value == 0 ? !std::signbit(value) : std::isnormal(value) && value > 0;
  };
  if (!good(message.request_time()) || !good(message.ru_utime()) || !good(message.ru_stime())) {
    return "a time is not a normal number";
  }
  const int timers = message.timer_hit_count_size();
  if (message.timer_value_size() != timers || message.timer_tag_count_size() != timers ||
      message.timer_ru_utime_size() != message.timer_ru_stime_size() ||
      (message.timer_ru_utime_size() != timers && message.timer_ru_utime_size() != 0)) {
    return "the timers' lists differ in length";
  }
  std::uint64_t tags = 0;
  for (int i = 0; i < timers; ++i) {
    if (message.timer_hit_count(i) == 0) return "a timer has no hits";
    if (message.timer_tag_count(i) == 0) return "a timer has no tags";
    const bool has_usage = message.timer_ru_utime_size() > 0;
    if (!good(message.timer_value(i)) ||
        (has_usage && (!good(message.timer_ru_utime(i)) || !good(message.timer_ru_stime(i))))) {
      return "a timer's value is not a normal number";
    }
    tags += message.timer_tag_count(i);
  }
  if (std::cmp_not_equal(message.timer_tag_name_size(), tags) ||
      std::cmp_not_equal(message.timer_tag_value_size(), tags)) {
    return "the timers' tags are not as many as they say";
  }
  if (message.tag_name_size() != message.tag_value_size()) return "request tags have other names than values";
  for (const auto* indices :
       {&message.timer_tag_name(), &message.timer_tag_value(), &message.tag_name(), &message.tag_value()}) {
    for (const auto index : *indices) {
      if (std::cmp_greater_equal(index, message.dictionary_size())) return "a tag is beyond the dictionary";
    }
  }
  if (message.requests_size() > 0 && !nested_allowed) return "requests are nested";
  for (const auto& inner : message.requests()) {
    if (auto bad = bad_message(inner, nested_allowed); !bad.empty()) return "nested: " + bad;
  }
  return {};
}

// protobuf-c must read the same from it.
std::string other_reading(pinba::Datagram datagram, const pinba_wire::Request& message) {
  const std::unique_ptr<PinbaWire__Request, void (*)(PinbaWire__Request*)> other(
      pinba_wire__request__unpack(nullptr, datagram.size(),
                                  reinterpret_cast<const std::uint8_t*>(datagram.data())),
      [](PinbaWire__Request* read) { pinba_wire__request__free_unpacked(read, nullptr); });
  if (!other) return "protobuf-c cannot read it";
  std::string again(pinba_wire__request__get_packed_size(other.get()), '\0');
  pinba_wire__request__pack(other.get(), reinterpret_cast<std::uint8_t*>(again.data()));
  if (again != message.SerializeAsString()) return "protobuf-c reads something else than libprotobuf";
  return {};
}

}  // namespace

pinba_wire::Request parsed(pinba::Datagram datagram) {
  pinba_wire::Request message;
  if (!message.ParseFromArray(datagram.data(), static_cast<int>(datagram.size()))) {
    std::fprintf(stderr, "libprotobuf cannot read a packet of %zu bytes\n", datagram.size());
    std::abort();
  }
  return message;
}

pinba_wire::Request sound_message() {
  pinba_wire::Request message;
  message.set_hostname("web1");
  message.set_server_name("srv");
  message.set_script_name("/");
  message.set_request_count(0);
  message.set_document_size(0);
  message.set_memory_peak(0);
  message.set_request_time(0.5);
  message.set_ru_utime(0);
  message.set_ru_stime(0);
  message.set_schema("http");
  message.add_dictionary("name");
  message.add_dictionary("value");
  return message;
}

std::string broken_rule(pinba::Datagram datagram, std::size_t max_bytes, bool nested_allowed) {
  if (datagram.size() > max_bytes)
    return fmt::format("{} bytes are more than {}", datagram.size(), max_bytes);
  pinba_wire::Request message;
  if (!message.ParseFromArray(datagram.data(), static_cast<int>(datagram.size()))) return "not a message";
  if (!message.unknown_fields().empty()) return "it has unknown fields";
  if (auto wrong = wrong_order(datagram); !wrong.empty()) return wrong;
  if (auto other = other_reading(datagram, message); !other.empty()) return other;
  return bad_message(message, nested_allowed);
}

TagTexts request_tags(const pinba_wire::Request& message) {
  TagTexts tags;
  for (int i = 0; i < message.tag_name_size(); ++i) {
    tags.emplace_back(message.dictionary(static_cast<int>(message.tag_name(i))),
                      message.dictionary(static_cast<int>(message.tag_value(i))));
  }
  return tags;
}

void add_timers(const pinba_wire::Request& message, std::map<TagTexts, TimerSum>& sums) {
  int tag = 0;
  for (int i = 0; i < message.timer_hit_count_size(); ++i) {
    TagTexts tags;
    for (std::uint32_t j = 0; j < message.timer_tag_count(i); ++j, ++tag) {
      tags.emplace_back(message.dictionary(static_cast<int>(message.timer_tag_name(tag))),
                        message.dictionary(static_cast<int>(message.timer_tag_value(tag))));
    }
    std::ranges::sort(tags);
    TimerSum& sum = sums[tags];
    sum.hits += message.timer_hit_count(i);
    sum.value += message.timer_value(i);
    if (message.timer_ru_utime_size() > i) sum.ru_utime += message.timer_ru_utime(i);
    if (message.timer_ru_stime_size() > i) sum.ru_stime += message.timer_ru_stime(i);
  }
}

std::string meaning(const pinba_wire::Request& message) {
  std::map<TagTexts, TimerSum> sums;
  add_timers(message, sums);
  std::string timers;
  const auto with_tags = [&](const TagTexts& tags) {
    for (const auto& [name, value] : tags) timers += fmt::format(" {}={}", name, value);
    timers += '\n';
  };
  for (const auto& [tags, sum] : sums) {
    timers += fmt::format("timer {} {} {} {}", sum.hits, sum.value, sum.ru_utime, sum.ru_stime);
    with_tags(tags);
  }
  timers += "tags";
  with_tags(request_tags(message));
  for (const auto& inner : message.requests()) timers += "nested " + meaning(inner);
  pinba_wire::Request rest = message;
  rest.clear_timer_hit_count();
  rest.clear_timer_value();
  rest.clear_timer_tag_count();
  rest.clear_timer_tag_name();
  rest.clear_timer_tag_value();
  rest.clear_timer_ru_utime();
  rest.clear_timer_ru_stime();
  rest.clear_dictionary();
  rest.clear_tag_name();
  rest.clear_tag_value();
  rest.clear_requests();
  return rest.DebugString() + timers;
}

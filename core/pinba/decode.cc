#include "pinba/decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <iterator>
#include <optional>
#include <utility>

namespace pinba {
namespace {

constexpr int kDeepest = 16;

struct Text {
  std::string_view text;
  std::uint64_t offset = 0;
};
struct Number {
  std::uint64_t value = 0;
  std::uint64_t offset = 0;
};
struct Float {
  float value = 0;
  std::uint64_t offset = 0;
};

// A message as it lies in the datagram; views point into that.
struct Wire {
  std::uint64_t begin = 0;
  std::uint64_t first_field = 0;
  std::array<std::optional<Text>, 4> names;  // as in kNames
  std::optional<Number> request_count, document_size, memory_peak, status, memory_footprint;
  std::array<std::optional<Float>, 3> times;  // as in kTimes
  std::vector<Number> hits, tag_counts, tag_names, tag_values, request_tag_names, request_tag_values;
  std::vector<Float> values, ru_utimes, ru_stimes;
  std::vector<Text> dictionary;
  std::vector<Wire> requests;
};

constexpr std::array<std::string_view, 4> kNames{"hostname", "server_name", "script_name", "schema"};
constexpr std::array<std::string_view, 3> kTimes{"request_time", "ru_utime", "ru_stime"};
constexpr std::array<std::string_view, 24> kFields{"",
                                                   "hostname",
                                                   "server_name",
                                                   "script_name",
                                                   "request_count",
                                                   "document_size",
                                                   "memory_peak",
                                                   "request_time",
                                                   "ru_utime",
                                                   "ru_stime",
                                                   "timer_hit_count",
                                                   "timer_value",
                                                   "timer_tag_count",
                                                   "timer_tag_name",
                                                   "timer_tag_value",
                                                   "dictionary",
                                                   "status",
                                                   "memory_footprint",
                                                   "requests",
                                                   "schema",
                                                   "tag_name",
                                                   "tag_value",
                                                   "timer_ru_utime",
                                                   "timer_ru_stime"};

struct Broken {
  std::uint64_t offset;
  std::string message;
};

// Reads one message; all offsets are checked here alone.
class Scanner {
 public:
  // `offset` is where `bytes` begins in the datagram.
  Scanner(Datagram bytes, std::uint64_t offset, int depth) : bytes_(bytes), base_(offset), depth_(depth) {
    wire_.begin = offset;
  }

  tl::expected<Wire, Broken> scan() {
    while (at_ < bytes_.size()) {
      if (!field()) return tl::unexpected(std::move(broken_));
    }
    for (std::size_t i = 0; i < 3; ++i) {
      if (!wire_.names[i]) return missing(kNames[i]);
      if (!wire_.times[i]) return missing(kTimes[i]);
    }
    if (!wire_.request_count) return missing("request_count");
    if (!wire_.document_size) return missing("document_size");
    if (!wire_.memory_peak) return missing("memory_peak");
    return std::move(wire_);
  }

 private:
  [[nodiscard]] tl::unexpected<Broken> missing(std::string_view name) const {
    return tl::unexpected(Broken{here(), fmt::format("the required field {} is missing", name)});
  }
  [[nodiscard]] std::uint64_t here() const { return base_ + at_; }
  bool fail(std::uint64_t offset, std::string message) {
    broken_ = {offset, std::move(message)};
    return false;
  }

  bool varint(std::uint64_t& value) {
    const std::uint64_t begin = here();
    value = 0;
    for (unsigned i = 0; i < 10; ++i) {
      if (at_ == bytes_.size()) return fail(begin, "a number is cut");
      const auto byte = std::to_integer<std::uint64_t>(bytes_[at_++]);
      value |= (byte & 0x7FU) << (7 * i);
      if (byte < 0x80) return true;
    }
    return fail(begin, "a number has more than 10 bytes");
  }

  bool block(std::string_view name, Text& text) {
    const std::uint64_t begin = here();
    std::uint64_t length = 0;
    if (!varint(length)) return false;
    if (length > bytes_.size() - at_) {
      return fail(begin,
                  fmt::format("{} should have {} bytes, but {} are left", name, length, bytes_.size() - at_));
    }
    text = {{reinterpret_cast<const char*>(bytes_.data()) + at_, static_cast<std::size_t>(length)}, here()};
    at_ += static_cast<std::size_t>(length);
    return true;
  }

  bool word(std::string_view name, Float& number) {
    if (bytes_.size() - at_ < sizeof number.value) return fail(here(), fmt::format("{} is cut", name));
    number.offset = here();
    std::memcpy(&number.value, bytes_.data() + at_, sizeof number.value);
    at_ += sizeof number.value;
    return true;
  }

  bool field() {
    const std::uint64_t begin = here();
    std::uint64_t key = 0;
    if (!varint(key)) return false;
    const std::uint64_t number = key >> 3U;
    const auto type = static_cast<unsigned>(key & 7U);
    if (number == 0 || number >= std::uint64_t{1} << 29U) {
      return fail(begin, fmt::format("there is no field {}", number));
    }
    if (wire_.first_field == 0) wire_.first_field = number;
    if (number >= kFields.size()) return skip(begin, number, type);
    return known(begin, static_cast<unsigned>(number), type);
  }

  bool skip(std::uint64_t begin, std::uint64_t number, unsigned type) {
    const std::string name = fmt::format("unknown field {}", number);
    std::uint64_t ignored = 0;
    Text text;
    Float word_ignored;
    switch (type) {
      case 0:
        return varint(ignored);
      case 1:
        return word(name, word_ignored) && word(name, word_ignored);
      case 2:
        return block(name, text);
      case 5:
        return word(name, word_ignored);
      default:
        return fail(begin, fmt::format("{} has wire type {}", name, type));
    }
  }

  bool wrong_type(std::uint64_t begin, unsigned field, unsigned type) {
    return fail(begin, fmt::format("{} (field {}) has wire type {}", kFields[field], field, type));
  }

  bool one(std::uint64_t begin, unsigned field, unsigned type, std::optional<Number>& to) {
    if (type != 0) return wrong_type(begin, field, type);
    to.emplace();
    to->offset = here();
    return varint(to->value);
  }
  bool one(std::uint64_t begin, unsigned field, unsigned type, std::optional<Float>& to) {
    if (type != 5) return wrong_type(begin, field, type);
    return word(kFields[field], to.emplace());
  }
  bool one(std::uint64_t begin, unsigned field, unsigned type, std::optional<Text>& to) {
    if (type != 2) return wrong_type(begin, field, type);
    return block(kFields[field], to.emplace());
  }

  // A list's element, or a packed list.
  template <class Element>
  bool list(std::uint64_t begin, unsigned field, unsigned type, std::vector<Element>& to) {
    std::optional<Element> element;
    if (type != 2) {
      if (!one(begin, field, type, element)) return false;
      to.push_back(*element);
      return true;
    }
    Text packed;
    if (!block(kFields[field], packed)) return false;
    Scanner inner(std::as_bytes(std::span(packed.text)), packed.offset, depth_);
    while (inner.at_ < inner.bytes_.size()) {
      if (!inner.one(packed.offset, field, std::is_same_v<Element, Float> ? 5 : 0, element)) {
        broken_ = std::move(inner.broken_);
        return false;
      }
      to.push_back(*element);
    }
    return true;
  }

  bool request(std::uint64_t begin, unsigned field, unsigned type) {
    std::optional<Text> text;
    if (!one(begin, field, type, text)) return false;
    if (depth_ == kDeepest) return fail(begin, fmt::format("requests are nested deeper than {}", kDeepest));
    auto inner = Scanner(std::as_bytes(std::span(text->text)), text->offset, depth_ + 1).scan();
    if (!inner) {
      broken_ = std::move(inner.error());
      return false;
    }
    wire_.requests.push_back(std::move(*inner));
    return true;
  }

  bool known(std::uint64_t begin, unsigned field, unsigned type) {
    switch (field) {
      case 1:
      case 2:
      case 3:
        return one(begin, field, type, wire_.names[field - 1]);
      case 4:
        return one(begin, field, type, wire_.request_count);
      case 5:
        return one(begin, field, type, wire_.document_size);
      case 6:
        return one(begin, field, type, wire_.memory_peak);
      case 7:
      case 8:
      case 9:
        return one(begin, field, type, wire_.times[field - 7]);
      case 10:
        return list(begin, field, type, wire_.hits);
      case 11:
        return list(begin, field, type, wire_.values);
      case 12:
        return list(begin, field, type, wire_.tag_counts);
      case 13:
        return list(begin, field, type, wire_.tag_names);
      case 14:
        return list(begin, field, type, wire_.tag_values);
      case 15: {
        std::optional<Text> text;
        if (!one(begin, field, type, text)) return false;
        wire_.dictionary.push_back(*text);
        return true;
      }
      case 16:
        return one(begin, field, type, wire_.status);
      case 17:
        return one(begin, field, type, wire_.memory_footprint);
      case 18:
        return request(begin, field, type);
      case 19:
        return one(begin, field, type, wire_.names[3]);
      case 20:
        return list(begin, field, type, wire_.request_tag_names);
      case 21:
        return list(begin, field, type, wire_.request_tag_values);
      case 22:
        return list(begin, field, type, wire_.ru_utimes);
      default:
        return list(begin, field, type, wire_.ru_stimes);
    }
  }

  Datagram bytes_;
  std::size_t at_ = 0;
  std::uint64_t base_;
  int depth_;
  Wire wire_;
  Broken broken_;
};

// Numbers have 32 bits; readers drop the others.
std::uint32_t low(const Number& number) { return static_cast<std::uint32_t>(number.value); }

// ---- the timers' lists, which must agree

std::optional<Broken> uneven_lists(const Wire& wire) {
  const std::size_t timers = wire.hits.size();
  const auto differ = [&](std::string_view name, std::size_t count) {
    return Broken{wire.begin, fmt::format("{} timers have a hit count, but {} a {}", timers, count, name)};
  };
  if (wire.values.size() != timers) return differ("value", wire.values.size());
  if (wire.tag_counts.size() != timers) return differ("tag count", wire.tag_counts.size());
  if (!wire.ru_utimes.empty() && wire.ru_utimes.size() != timers)
    return differ("ru_utime", wire.ru_utimes.size());
  if (!wire.ru_stimes.empty() && wire.ru_stimes.size() != timers)
    return differ("ru_stime", wire.ru_stimes.size());
  std::uint64_t tags = 0;
  for (const Number& count : wire.tag_counts) tags += low(count);
  if (wire.tag_names.size() != tags || wire.tag_values.size() != tags) {
    return Broken{wire.begin, fmt::format("timers should have {} tags, but there are {} names and {} values",
                                          tags, wire.tag_names.size(), wire.tag_values.size())};
  }
  return std::nullopt;
}

std::optional<Broken> uneven_request_tags(const Wire& wire) {
  if (wire.request_tag_names.size() == wire.request_tag_values.size()) return std::nullopt;
  return Broken{wire.begin, fmt::format("request tags have {} names, but {} values",
                                        wire.request_tag_names.size(), wire.request_tag_values.size())};
}

std::optional<Broken> out_of_range(const Wire& wire, const std::vector<Number>& indices,
                                   std::string_view name) {
  for (const Number& index : indices) {
    if (low(index) >= wire.dictionary.size()) {
      return Broken{index.offset, fmt::format("{} {} is beyond the dictionary of {} texts", name, low(index),
                                              wire.dictionary.size())};
    }
  }
  return std::nullopt;
}

std::optional<Broken> inexact(const Wire& wire) {
  auto broken = uneven_lists(wire);
  if (!broken) broken = uneven_request_tags(wire);
  if (!broken) broken = out_of_range(wire, wire.tag_names, "timer_tag_name");
  if (!broken) broken = out_of_range(wire, wire.tag_values, "timer_tag_value");
  if (!broken) broken = out_of_range(wire, wire.request_tag_names, "tag_name");
  if (!broken) broken = out_of_range(wire, wire.request_tag_values, "tag_value");
  return broken;
}

tl::expected<Request, Broken> to_request(const Wire& wire) {
  if (auto broken = inexact(wire)) return tl::unexpected(std::move(*broken));
  Request request;
  request.hostname = wire.names[0]->text;
  request.server_name = wire.names[1]->text;
  request.script_name = wire.names[2]->text;
  if (wire.names[3]) request.schema = wire.names[3]->text;
  request.request_count = low(*wire.request_count);
  request.document_size = low(*wire.document_size);
  request.memory_peak = low(*wire.memory_peak);
  request.request_time = wire.times[0]->value;
  request.ru_utime = wire.times[1]->value;
  request.ru_stime = wire.times[2]->value;
  if (wire.status) request.status = low(*wire.status);
  if (wire.memory_footprint) request.memory_footprint = low(*wire.memory_footprint);

  // A text may be there twice, and then its index here is another.
  std::vector<std::uint32_t> indices;
  indices.reserve(wire.dictionary.size());
  for (const Text& text : wire.dictionary) indices.push_back(request.dictionary.add(text.text));
  const auto refs = [&](const std::vector<Number>& names, const std::vector<Number>& values,
                        std::vector<TagRef>& to) {
    for (std::size_t i = 0; i < names.size(); ++i)
      to.push_back({indices[low(names[i])], indices[low(values[i])]});
  };
  refs(wire.tag_names, wire.tag_values, request.timer_tags);
  refs(wire.request_tag_names, wire.request_tag_values, request.tags);
  for (std::size_t i = 0; i < wire.hits.size(); ++i) {
    request.timers.push_back({low(wire.hits[i]), low(wire.tag_counts[i]), wire.values[i].value,
                              wire.ru_utimes.empty() ? 0 : wire.ru_utimes[i].value,
                              wire.ru_stimes.empty() ? 0 : wire.ru_stimes[i].value});
  }
  for (const Wire& inner : wire.requests) {
    auto decoded = to_request(inner);
    if (!decoded) return decoded;
    request.requests.push_back(std::move(*decoded));
  }
  return request;
}

// ---- what servers make of it

class Judge {
 public:
  std::vector<Finding> findings;

  void judge(const Wire& wire) {
    if (wire.first_field != 1) {
      add(Server::kPinba2, Effect::kDropped, wire.begin,
          "the first field is not hostname: such packets can be taken for another framing");
    }
    judge_names(wire);
    judge_times(wire);
    judge_numbers(wire);
    judge_timers(wire);
    judge_dictionary(wire);
    for (const Wire& inner : wire.requests) {
      add(Server::kPinba2, Effect::kPartial, inner.begin, "a nested request is ignored");
      add(Server::kCollectd, Effect::kPartial, inner.begin, "a nested request is ignored");
      if (!inner.hits.empty())
        add(Server::kClassic, Effect::kPartial, inner.begin, "a nested request loses its timers");
    }
  }

  void add(Server server, Effect effect, std::uint64_t offset, std::string message) {
    findings.push_back({server, effect, offset, std::move(message)});
  }

  void unreadable(const Broken& broken) {
    add(Server::kPinba2, Effect::kDropped, broken.offset, broken.message);
    add(Server::kClassic, Effect::kCrash, broken.offset,
        broken.message + ": dropped, and together with a good packet it can crash the server");
    add(Server::kCollectd, Effect::kDropped, broken.offset, broken.message);
  }

 private:
  void both(Effect effect, std::uint64_t offset, const std::string& message) {
    add(Server::kPinba2, effect, offset, message);
    add(Server::kClassic, effect, offset, message);
  }
  void all(Effect effect, std::uint64_t offset, const std::string& message) {
    both(effect, offset, message);
    add(Server::kCollectd, effect, offset, message);
  }

  void judge_text(const Text& text, std::string_view name, std::size_t classic_most) {
    if (text.text.size() > classic_most) {
      add(Server::kClassic, Effect::kWrong, text.offset,
          fmt::format("{} of {} bytes is cut at {}", name, text.text.size(), classic_most));
    }
    if (text.text.find('\0') != std::string_view::npos) {
      add(Server::kClassic, Effect::kWrong, text.offset, fmt::format("{} ends at its NUL", name));
    } else if (!is_clean(text.text)) {
      both(Effect::kWrong, text.offset, fmt::format("{} is not UTF-8, and is shown as it is", name));
    }
  }

  void judge_names(const Wire& wire) {
    constexpr std::array<std::size_t, 4> kClassicMost{32, 32, 128, 16};
    for (std::size_t i = 0; i < wire.names.size(); ++i) {
      if (!wire.names[i] || wire.names[i]->text.empty()) {
        const std::uint64_t offset = wire.names[i] ? wire.names[i]->offset : wire.begin;
        add(Server::kPinba2, Effect::kPartial, offset,
            fmt::format("{} is empty: reports keyed on it drop the packet", kNames[i]));
        add(Server::kClassic, Effect::kWrong, offset,
            fmt::format("{} is empty, and is shown as <empty>", kNames[i]));
        continue;
      }
      judge_text(*wire.names[i], kNames[i], kClassicMost[i]);
    }
  }

  void judge_times(const Wire& wire) {
    for (std::size_t i = 0; i < wire.times.size(); ++i) {
      const auto [value, offset] = *wire.times[i];
      if (!std::isnormal(value) && value != 0) {
        const std::string message = fmt::format("{} is {}", kTimes[i], value);
        add(Server::kPinba2, i == 0 ? Effect::kDropped : Effect::kWrong, offset, message);
        add(Server::kClassic, Effect::kWrong, offset, message);
        add(Server::kCollectd, Effect::kWrong, offset, message);
      } else if (value < 0) {
        all(Effect::kWrong, offset, fmt::format("{} is {}, and is taken as 0", kTimes[i], value));
      }
    }
  }

  void judge_numbers(const Wire& wire) {
    const auto large = [&](const Number& number, std::string_view name) {
      if (number.value != low(number)) {
        all(Effect::kWrong, number.offset,
            fmt::format("{} is {}, and is taken as {}", name, number.value, low(number)));
      }
    };
    const auto large_all = [&](const std::vector<Number>& numbers, std::string_view name) {
      for (const Number& number : numbers) large(number, name);
    };
    large(*wire.request_count, "request_count");
    large(*wire.document_size, "document_size");
    large(*wire.memory_peak, "memory_peak");
    if (wire.memory_footprint) large(*wire.memory_footprint, "memory_footprint");
    large_all(wire.hits, "timer_hit_count");
    large_all(wire.tag_counts, "timer_tag_count");
    large_all(wire.tag_names, "timer_tag_name");
    large_all(wire.tag_values, "timer_tag_value");
    large_all(wire.request_tag_names, "tag_name");
    large_all(wire.request_tag_values, "tag_value");
    if (!wire.status) return;
    large(*wire.status, "status");
    if (low(*wire.status) > 0xFFFF) {
      add(Server::kClassic, Effect::kWrong, wire.status->offset,
          fmt::format("status is {}, of which 16 bits are kept", low(*wire.status)));
    }
  }

  void judge_timers(const Wire& wire) {
    if (const auto broken = uneven_lists(wire)) {
      add(Server::kPinba2, Effect::kDropped, broken->offset, broken->message);
      add(Server::kClassic, Effect::kCrash, broken->offset,
          broken->message + ": dropped, or read beyond the end");
      return;
    }
    std::size_t first_tag = 0;
    for (std::size_t i = 0; i < wire.hits.size(); ++i) {
      const std::uint64_t at = wire.hits[i].offset;
      if (low(wire.hits[i]) == 0) {
        add(Server::kPinba2, Effect::kDropped, at, fmt::format("timer {} has no hits", i));
        add(Server::kClassic, Effect::kPartial, at,
            fmt::format("timer {} has no hits: it and later ones are lost", i));
      }
      const std::size_t tags = low(wire.tag_counts[i]);
      if (tags == 0) {
        add(Server::kClassic, Effect::kPartial, wire.tag_counts[i].offset,
            fmt::format("timer {} has no tags: it and later ones are lost", i));
      }
      judge_timer_value(wire.values[i], i);
      judge_tag_names(wire, i, first_tag, tags);
      first_tag += tags;
    }
    for (const auto* times : {&wire.ru_utimes, &wire.ru_stimes}) {
      for (const Float& time : *times) {
        if (!(time.value >= 0) || !std::isfinite(time.value)) {
          both(Effect::kWrong, time.offset, fmt::format("a timer's processor time is {}", time.value));
        }
      }
    }
  }

  void judge_timer_value(const Float& value, std::size_t timer) {
    if (std::isinf(value.value) && value.value > 0) {
      both(Effect::kWrong, value.offset, fmt::format("the value of timer {} is infinite", timer));
    } else if (!(value.value >= 0)) {
      const std::string message = fmt::format("the value of timer {} is {}", timer, value.value);
      add(Server::kPinba2, Effect::kDropped, value.offset, message);
      add(Server::kClassic, Effect::kWrong, value.offset, message + ", and is taken as 0");
    }
  }

  void judge_tag_names(const Wire& wire, std::size_t timer, std::size_t first, std::size_t count) {
    names_.clear();
    for (std::size_t i = first; i < first + count; ++i) names_.push_back(low(wire.tag_names[i]));
    std::ranges::sort(names_);
    if (std::ranges::adjacent_find(names_) != names_.end()) {
      both(Effect::kWrong, wire.tag_names[first].offset,
           fmt::format("timer {} has a tag name twice: reports see the first", timer));
    }
  }

  void judge_dictionary(const Wire& wire) {
    for (const Text& text : wire.dictionary) judge_text(text, "a text of the dictionary", 64);
    for (const Text& text : wire.dictionary) {
      if (!text.text.empty()) continue;
      add(Server::kPinba2, Effect::kPartial, text.offset,
          "a tag is empty: reports keyed on it drop the packet");
      add(Server::kClassic, Effect::kWrong, text.offset, "a tag is empty, and is shown as <empty>");
    }
    if (const auto broken = uneven_request_tags(wire)) {
      add(Server::kPinba2, Effect::kDropped, broken->offset, broken->message);
      add(Server::kClassic, Effect::kCrash, broken->offset,
          broken->message + ": dropped, or read beyond the end");
    }
    const std::array lists{
        std::pair(&wire.tag_names, "timer_tag_name"), std::pair(&wire.tag_values, "timer_tag_value"),
        std::pair(&wire.request_tag_names, "tag_name"), std::pair(&wire.request_tag_values, "tag_value")};
    for (const auto& [indices, name] : lists) {
      if (const auto broken = out_of_range(wire, *indices, name)) {
        add(Server::kPinba2, Effect::kCrash, broken->offset,
            broken->message + ": not checked; a query crashes the server");
        add(Server::kClassic, Effect::kPartial, broken->offset,
            broken->message + ": the tag or the request is lost");
      }
    }
  }

  std::vector<std::uint32_t> names_;
};

}  // namespace

mmstats::Expected<Request> decode(Datagram datagram) {
  const auto wire = Scanner(datagram, 0, 0).scan();
  auto request = wire ? to_request(*wire) : tl::expected<Request, Broken>(tl::unexpect, wire.error());
  if (request) return std::move(*request);
  mmstats::Error error;
  error.kind = mmstats::ErrorKind::kDamaged;
  error.offset = request.error().offset;
  error.message = fmt::format("byte {}: {}", error.offset, request.error().message);
  return tl::unexpected(std::move(error));
}

std::vector<Finding> check(Datagram datagram) {
  Judge judge;
  const auto wire = Scanner(datagram, 0, 0).scan();
  if (wire) {
    judge.judge(*wire);
  } else {
    judge.unreadable(wire.error());
  }
  std::ranges::stable_sort(judge.findings, {}, &Finding::offset);
  return std::move(judge.findings);
}

std::string_view name_of(Server server) {
  constexpr std::array<std::string_view, 3> kServers{"Pinba2", "classic", "collectd"};
  return kServers[static_cast<std::size_t>(server)];
}

std::string_view name_of(Effect effect) {
  constexpr std::array<std::string_view, 4> kEffects{"wrong", "partly lost", "dropped", "crash"};
  return kEffects[static_cast<std::size_t>(effect)];
}

}  // namespace pinba

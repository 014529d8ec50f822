// What each server would make of a datagram that is not exact; found out with the real ones, see
// core/doc/packet.md.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "mmstats/error.h"
#include "pinba/decode.h"
#include "pinba/message.h"

namespace pinba {
namespace {

// Of a tag's name in a finding. Thousands of timers may have the same, of many kilobytes.
constexpr std::size_t kMostName = 100;

std::string shown_name(std::string_view name) {
  const auto whole = mmstats::whole_characters(name, kMostName);
  return mmstats::printable(whole) + (whole.size() < name.size() ? "..." : "");
}

class Judge {
 public:
  std::vector<Finding> findings;

  void judge(const Message& message) {
    if (message.first_field != wire::kHostname) {
      add(Server::kPinba2, Effect::kDropped, message.begin,
          "the first field is not hostname: such packets can be taken for another framing");
    }
    number_names(message);
    judge_names(message);
    judge_times(message);
    judge_numbers(message);
    judge_timers(message);
    judge_request_tag_names(message);
    judge_dictionary(message);
    for (const Message& inner : message.requests) {
      add(Server::kPinba2, Effect::kPartial, inner.begin, "a nested request is ignored");
      add(Server::kCollectd, Effect::kPartial, inner.begin, "a nested request is ignored");
      if (!inner.hits.empty())
        add(Server::kOriginalClassic, Effect::kPartial, inner.begin, "a nested request loses its timers");
      // Only the classic engine reads it.
      Judge of_inner;
      of_inner.judge(inner);
      for (Finding& finding : of_inner.findings) {
        if (finding.server == Server::kPinba2 || finding.server == Server::kCollectd) continue;
        finding.message = "in a nested request, " + finding.message;
        findings.push_back(std::move(finding));
      }
    }
  }

  void add(Server server, Effect effect, std::uint64_t offset, std::string message) {
    findings.push_back({server, effect, offset, std::move(message)});
  }

  void unreadable(const mmstats::Error& error) {
    add(Server::kPinba2, Effect::kDropped, error.offset, error.message);
    add(Server::kClassic, Effect::kCrash, error.offset,
        error.message + ": dropped, and together with a good packet it can crash the server");
    add(Server::kCollectd, Effect::kDropped, error.offset, error.message);
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

  void judge_text(const Text& text, std::string_view name, std::size_t classic_most,
                  std::size_t original_most) {
    const auto is_cut = [&](Server server, std::size_t most) {
      add(server, Effect::kWrong, text.offset,
          fmt::format("{} of {} bytes is cut at {}", name, text.value.size(), most));
    };
    if (text.value.size() > classic_most) is_cut(Server::kClassic, classic_most);
    if (text.value.size() > original_most && original_most < classic_most) {
      is_cut(Server::kOriginalClassic, original_most);
    }
    if (text.value.find('\0') != std::string_view::npos) {
      add(Server::kClassic, Effect::kWrong, text.offset, fmt::format("{} ends at its NUL", name));
    } else if (!is_clean(text.value)) {
      both(Effect::kWrong, text.offset, fmt::format("{} is not UTF-8, and is shown as it is", name));
    }
  }

  void judge_names(const Message& message) {
    constexpr wire::TextLimits kClassic = wire::kClassicTexts;
    constexpr std::array<std::size_t, 4> kClassicMost{kClassic.name, kClassic.name, kClassic.script,
                                                      kClassic.schema};
    constexpr wire::TextLimits kOriginal = wire::kOriginalClassicTexts;
    constexpr std::array<std::size_t, 4> kOriginalMost{kOriginal.name, kOriginal.name, kOriginal.script,
                                                       kOriginal.schema};
    for (std::size_t i = 0; i < message.names.size(); ++i) {
      if (!message.names[i] || message.names[i]->value.empty()) {
        const std::uint64_t offset = message.names[i] ? message.names[i]->offset : message.begin;
        add(Server::kPinba2, Effect::kPartial, offset,
            fmt::format("{} is empty: reports keyed on it drop the packet", name_of(kNames[i])));
        add(Server::kClassic, Effect::kWrong, offset,
            fmt::format("{} is empty, and is shown as <empty>", name_of(kNames[i])));
        continue;
      }
      judge_text(*message.names[i], name_of(kNames[i]), kClassicMost[i], kOriginalMost[i]);
    }
  }

  void judge_times(const Message& message) {
    for (std::size_t i = 0; i < message.times.size(); ++i) {
      const auto [value, offset] = *message.times[i];
      const std::string_view name = name_of(kTimes[i]);
      if (!std::isnormal(value) && value != 0) {
        const std::string finding = fmt::format("{} is {}", name, value);
        add(Server::kPinba2, i == 0 ? Effect::kDropped : Effect::kWrong, offset, finding);
        add(Server::kClassic, Effect::kWrong, offset, finding);
        add(Server::kCollectd, Effect::kWrong, offset, finding);
      } else if (value < 0) {
        all(Effect::kWrong, offset, fmt::format("{} is {}, and is taken as 0", name, value));
      }
    }
  }

  void judge_numbers(const Message& message) {
    const auto large = [&](const Number& number, std::string_view name) {
      if (number.value != low(number)) {
        all(Effect::kWrong, number.offset,
            fmt::format("{} is {}, and is taken as {}", name, number.value, low(number)));
      }
    };
    const auto large_all = [&](const std::vector<Number>& numbers, std::string_view name) {
      for (const Number& number : numbers) large(number, name);
    };
    large(*message.request_count, "request_count");
    large(*message.document_size, "document_size");
    large(*message.memory_peak, "memory_peak");
    if (message.memory_footprint) large(*message.memory_footprint, "memory_footprint");
    large_all(message.hits, "timer_hit_count");
    large_all(message.tag_counts, "timer_tag_count");
    large_all(message.tag_names, "timer_tag_name");
    large_all(message.tag_values, "timer_tag_value");
    large_all(message.request_tag_names, "tag_name");
    large_all(message.request_tag_values, "tag_value");
    if (!message.status) return;
    large(*message.status, "status");
    if (low(*message.status) > 0xFFFF) {
      add(Server::kClassic, Effect::kWrong, message.status->offset,
          fmt::format("status is {}, of which 16 bits are kept", low(*message.status)));
    }
  }

  void judge_timers(const Message& message) {
    if (const auto damage = uneven_timers(message)) {
      add(Server::kPinba2, Effect::kDropped, damage->offset, damage->message);
      add(Server::kClassic, Effect::kCrash, damage->offset,
          damage->message + ": dropped, or read beyond the end");
      return;
    }
    std::size_t first_tag = 0;
    for (std::size_t i = 0; i < message.hits.size(); ++i) {
      const std::uint64_t at = message.hits[i].offset;
      if (low(message.hits[i]) == 0) {
        add(Server::kPinba2, Effect::kDropped, at, fmt::format("timer {} has no hits", i));
        add(Server::kClassic, Effect::kPartial, at,
            fmt::format("timer {} has no hits: it and later ones are lost", i));
      }
      const std::size_t tags = low(message.tag_counts[i]);
      if (tags == 0) {
        add(Server::kClassic, Effect::kPartial, message.tag_counts[i].offset,
            fmt::format("timer {} has no tags: it and later ones are lost", i));
      }
      judge_timer_value(message.values[i], i);
      judge_tag_names(message, i, first_tag, tags);
      first_tag += tags;
    }
    for (const auto* times : {&message.ru_utimes, &message.ru_stimes}) {
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

  void judge_tag_names(const Message& message, std::size_t timer, std::size_t first, std::size_t count) {
    if (const auto name = twice(message, std::span(message.tag_names).subspan(first, count))) {
      both(Effect::kWrong, name->offset,
           fmt::format("timer {} has the tag name '{}' twice: reports see the first", timer,
                       shown_name(name->value)));
    }
  }

  void judge_request_tag_names(const Message& message) {
    if (const auto name = twice(message, message.request_tag_names)) {
      add(Server::kPinba2, Effect::kWrong, name->offset,
          fmt::format("the request has the tag name '{}' twice: reports see the first",
                      shown_name(name->value)));
    }
  }

  // The first of these names that was there before, at its place in the list. Indices beyond the dictionary
  // are another finding.
  std::optional<Text> twice(const Message& message, std::span<const Number> names) {
    ++list_;
    for (const Number& name : names) {
      if (low(name) >= message.dictionary.size()) continue;
      if (std::exchange(list_of_[first_[low(name)]], list_) == list_)
        return Text{message.dictionary[low(name)].value, name.offset};
    }
    return std::nullopt;
  }

  // Thousands of lists may have the same long names, so each is looked at once.
  void number_names(const Message& message) {
    const auto text = [&](std::size_t index) { return message.dictionary[index].value; };
    std::vector<std::size_t> order(message.dictionary.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, {}, text);
    first_.resize(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      const bool repeats = i > 0 && text(order[i]) == text(order[i - 1]);
      first_[order[i]] = repeats ? first_[order[i - 1]] : order[i];
    }
    list_of_.assign(order.size(), 0);
  }

  void judge_dictionary(const Message& message) {
    for (const Text& text : message.dictionary)
      judge_text(text, "a text of the dictionary", wire::kClassicTexts.tag, wire::kOriginalClassicTexts.tag);
    for (const Text& text : message.dictionary) {
      if (!text.value.empty()) continue;
      add(Server::kPinba2, Effect::kPartial, text.offset,
          "a tag is empty: reports keyed on it drop the packet");
      add(Server::kClassic, Effect::kWrong, text.offset, "a tag is empty, and is shown as <empty>");
    }
    if (const auto damage = uneven_request_tags(message)) {
      add(Server::kPinba2, Effect::kDropped, damage->offset, damage->message);
      add(Server::kClassic, Effect::kCrash, damage->offset,
          damage->message + ": dropped, or read beyond the end");
    }
    for (const auto field : {wire::kTimerTagName, wire::kTimerTagValue, wire::kTagName, wire::kTagValue}) {
      if (const auto damage = out_of_range(message, field)) {
        add(Server::kPinba2, Effect::kCrash, damage->offset,
            damage->message + ": not checked; a query crashes the server");
        add(Server::kClassic, Effect::kPartial, damage->offset,
            damage->message + ": the tag or the request is lost");
      }
    }
  }

  std::vector<std::size_t> first_;    // by index of the dictionary: the first one of this text
  std::vector<std::size_t> list_of_;  // by such an index: the last list that had it
  std::size_t list_ = 0;              // of names, counted from 1
};

}  // namespace

std::vector<Finding> check(Datagram datagram) {
  Judge judge;
  const auto message = read_message(datagram);
  if (message) {
    judge.judge(*message);
  } else {
    judge.unreadable(message.error());
  }
  std::ranges::stable_sort(judge.findings, {}, &Finding::offset);
  return std::move(judge.findings);
}

std::string_view name_of(Server server) {
  constexpr std::array<std::string_view, 4> kServers{"Pinba2", "classic", "collectd", "original classic"};
  return kServers[static_cast<std::size_t>(server)];
}

std::string_view name_of(Effect effect) {
  constexpr std::array<std::string_view, 4> kEffects{"wrong", "partly lost", "dropped", "crash"};
  return kEffects[static_cast<std::size_t>(effect)];
}

}  // namespace pinba

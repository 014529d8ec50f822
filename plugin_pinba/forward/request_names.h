// What requests and timers are called: a series' label and the group's mapping -> names and tags. Pure
// functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collect/fold.h"
#include "pinba/encode.h"
#include "pinba/wire.h"
#include "plugin_pinba/forward/config.h"

namespace mmstats::forward {

// `text` as every server keeps it whole, in at most `max_bytes` (at least 16); no two texts become the same
// one: what cannot stay as it is ends with a hash of it, as names for collectd do.
std::string distinct_text(std::string_view text, std::size_t max_bytes);

// The longest texts that are sent.
using TextLimits = pinba::wire::TextLimits;
TextLimits text_limits(ServerKind server);

// What is sent of one group.
struct Mapping {
  std::string group;
  std::string hostname;  // unless the group has its own
  TagTexts tags;
  Naming request;
  std::vector<MetricConfig> metrics;
  TextLimits limits;
  std::size_t tags_room = pinba::kDefaultDatagram / 2;  // bytes for the dimensions of one timer
};

// The metric that the series' label matched; none: it matched none.
const MetricConfig* metric_of(const Mapping& mapping, const Series& series);

// A metric's own text, with what the groups of its pattern found in the label, and with the values of
// dimensions, also of dropped ones. None: the series does not have one that the text asks for, so it says
// nothing.
std::optional<std::string> metric_text(const std::string& text, const Series& series);
// The same, where the text is a label: values are as they are in labels.
std::optional<std::string> metric_label(const std::string& text, const Series& series);

struct RequestNames {
  std::string hostname;
  std::string server_name;
  std::string script_name;
  std::optional<std::string> schema;
  std::optional<std::uint32_t> status;
  TagTexts tags;
  auto operator<=>(const RequestNames&) const = default;  // NOLINT(modernize-use-nullptr)
};

// Of the request that the series goes into. `problem`: what had to be left out, if anything.
RequestNames request_names(const Mapping& mapping, const Series& series, std::string& problem);

// Of the timer for the series, where `metric` stands for its label. Each dimension has one, or the metric's
// configuration has one of that name. Never empty: servers lose timers without any.
TagTexts timer_tags(const Mapping& mapping, const Series& series, std::string_view metric);

}  // namespace mmstats::forward

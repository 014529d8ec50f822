// The types that collectd knows, as far as tests ask for them.
#pragma once

#include <optional>
#include <string>

#include "plugin_collectd/values.h"

inline std::optional<mmstats::collectd::HostType> host_type(const std::string& name) {
  using mmstats::collectd::DataSource;
  using mmstats::collectd::HostType;
  if (name == "derive" || name == "http_requests" || name == "total_time_in_ms")
    return HostType{DataSource::kDerive, 1};
  if (name == "gauge" || name == "latency") return HostType{DataSource::kGauge, 1};
  if (name == "counter") return HostType{DataSource::kCounter, 1};
  if (name == "absolute") return HostType{DataSource::kAbsolute, 1};
  if (name == "if_octets") return HostType{DataSource::kDerive, 2};
  return std::nullopt;
}

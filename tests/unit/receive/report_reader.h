// What an agent reads of the reports of this process, and packets for them.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collect/distributions.h"
#include "collect/watch.h"
#include "plugin_pinba/receive/packet.h"
#include "plugin_pinba/receive/reports.h"
#include "temporary_folder.h"

// Reports that are made while there is one publish where it reads.
class ReportReader {
 public:
  ReportReader() : watch_({.globs = {folder_ / "*.mmstats"}, .discovery = {}, .fold = {}}, {}) {
    ::setenv("MMSTATS_PATH", folder_.path().c_str(), 1);
  }
  ReportReader(const ReportReader&) = delete;
  ReportReader& operator=(const ReportReader&) = delete;
  ~ReportReader() { ::unsetenv("MMSTATS_PATH"); }

  void scan() {
    now_ += std::chrono::seconds(10);
    for (const auto& error : watch_.scan(std::chrono::system_clock::now(), now_).errors)
      FAIL_CHECK(error.text());
  }

  // A counter's, 0 if it never was. `row`: "script=/a", "" for what has no dimensions.
  [[nodiscard]] double total(std::string_view label, std::string_view row = {}) const {
    const mmstats::Series* const found = find(label, row);
    if (found == nullptr) return 0;
    CHECK(found->kind == mmstats::Kind::kCounter);
    return found->integral ? static_cast<double>(found->total) : found->value;
  }
  [[nodiscard]] const mmstats::Series* find(std::string_view label, std::string_view row = {}) const {
    for (const auto& series : watch_.series()) {
      if (label_of(series) == label && text_of(series.dimensions()) == row) return &series;
    }
    return nullptr;
  }
  [[nodiscard]] const mmstats::Distribution* distribution(std::string_view label,
                                                          std::string_view row) const {
    for (const auto& one : watch_.distributions()) {
      if (one != nullptr && (one->family().empty() ? one->name() : one->family()) == label &&
          text_of(one->dimensions()) == row) {
        return one.get();
      }
    }
    return nullptr;
  }
  // Rows, and what each counted, ever. Of requests: that are in a file now. Totals stay when files go, and so
  // a gauge beside them tells it; of timers there is none.
  [[nodiscard]] std::map<std::string, double> rows(std::string_view label) const {
    const std::string gauge = std::string(label.substr(0, label.rfind('.'))) + ".memory";
    const auto& all = watch_.series();
    const bool of_requests =
        std::any_of(all.begin(), all.end(), [&](const auto& series) { return label_of(series) == gauge; });
    std::map<std::string, double> rows;
    for (const auto& series : all) {
      if (!series.present || label_of(series) != (of_requests ? gauge : label)) continue;
      const std::string row = text_of(series.dimensions());
      rows[row] = total(label, row);
    }
    return rows;
  }
  // Over all rows, those that are gone included.
  [[nodiscard]] double sum(std::string_view label) const {
    double sum = 0;
    for (const auto& series : watch_.series()) {
      if (label_of(series) == label)
        sum += series.integral ? static_cast<double>(series.total) : series.value;
    }
    return sum;
  }
  // Of counters of whole numbers, over all rows that there ever were.
  [[nodiscard]] std::map<std::string, std::uint64_t> sums() const {
    std::map<std::string, std::uint64_t> sums;
    for (const auto& series : watch_.series()) sums[label_of(series)] += series.total;
    return sums;
  }
  // Of one of them: rows that there ever were.
  [[nodiscard]] std::map<std::string, std::uint64_t> rows_ever(std::string_view label) const {
    std::map<std::string, std::uint64_t> rows;
    for (const auto& series : watch_.series()) {
      if (label_of(series) == label) rows[text_of(series.dimensions())] += series.total;
    }
    return rows;
  }
  [[nodiscard]] std::size_t files() const { return watch_.files(); }
  [[nodiscard]] const TemporaryFolder& folder() const { return folder_; }

 private:
  static const std::string& label_of(const mmstats::Series& series) {
    return series.family().empty() ? series.name() : series.family();
  }
  static std::string text_of(const std::vector<mmstats::Dimension>& dimensions) {
    std::string text;
    for (const auto& [name, value] : dimensions)
      text += fmt::format("{}{}={}", text.empty() ? "" : ",", name, value);
    return text;
  }

  TemporaryFolder folder_;
  mmstats::Watch watch_;
  std::chrono::steady_clock::time_point now_ = std::chrono::steady_clock::now();
};

// A request that owns its texts.
class MadePacket {
 public:
  using Tags = std::vector<std::pair<std::string, std::string>>;

  explicit MadePacket(std::string script = "/", double seconds = 0.5)
      : script_(std::move(script)), seconds_(seconds) {}

  MadePacket& tags(Tags tags) {
    tags_ = std::move(tags);
    return *this;
  }
  MadePacket& timer(Tags tags, std::uint32_t hits = 1, double seconds = 0.25) {
    timers_.push_back({std::move(tags), hits, seconds});
    return *this;
  }

  // Valid until the next call.
  mmstats::receive::Packet& packet() {
    using mmstats::receive::Tag;
    packet_ = {};
    packet_.host = "web1";
    packet_.server = "shop";
    packet_.script = script_;
    packet_.status = 200;
    packet_.seconds = seconds_;
    packet_.user_seconds = 0.25;
    packet_.system_seconds = 0.125;
    packet_.bytes = 1000;
    packet_.memory = 2000;
    std::size_t count = tags_.size();
    for (const auto& timer : timers_) count += timer.tags.size();
    all_tags_.clear();
    all_tags_.reserve(count);
    const auto view = [&](const Tags& tags) {
      const std::size_t begin = all_tags_.size();
      for (const auto& [name, value] : tags) all_tags_.push_back({name, value});
      return std::span(all_tags_).subspan(begin);
    };
    packet_.tags = view(tags_);
    entries_.clear();
    for (const auto& timer : timers_) {
      entries_.push_back({.hits = timer.hits,
                          .seconds = timer.seconds,
                          .user_seconds = 0.0625,
                          .system_seconds = 0.03125,
                          .tags = view(timer.tags)});
    }
    packet_.timers = entries_;
    return packet_;
  }

 private:
  struct MadeTimer {
    Tags tags;
    std::uint32_t hits;
    double seconds;
  };
  std::string script_;
  double seconds_;
  Tags tags_;
  std::vector<MadeTimer> timers_;
  std::vector<mmstats::receive::Tag> all_tags_;
  std::vector<mmstats::receive::TimerEntry> entries_;
  mmstats::receive::Packet packet_;
};

inline void send_to(mmstats::receive::Reports& reports, mmstats::receive::Reports::Caches& caches,
                    MadePacket packet, mmstats::receive::Source source = 1) {
  reports.count(packet.packet(), source, caches);
}

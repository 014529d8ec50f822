// All series of a fold, each under its identity, and what one scan adds to them. Their number and their
// memory are shared out among the users whose files brought them. Series that no file has had for long make
// room for new ones, the longest gone first.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/hash_index.h"
#include "collect/accumulator.h"
#include "collect/fold.h"
#include "collect/shares.h"

namespace mmstats {

inline constexpr std::uint32_t kNoSeries = ~std::uint32_t{0};

struct SeriesTable {
  // For so long the series of files that are gone are kept, whoever wants room.
  static constexpr std::chrono::minutes kKept{10};

  // `memory`: bytes, of all that is shared out; lives longer. `reuse`: FoldLimits::reuse_series.
  SeriesTable(std::size_t max_series, bool reuse, Shares& memory_)
      : memory(memory_), own_memory(memory_.limit() / 2), number(max_series), reuses(reuse) {}

  Shares& memory;
  Shares own_memory;  // bytes, the part of it that series may take: else what is no more would leave no shape
                      // room
  Shares number;      // of series
  bool reuses;
  std::uint64_t reused = 0;           // series that made room
  std::uint64_t generations = 0;      // of all series together
  std::vector<Series> series;         // by index; those that made room have no name
  std::vector<Aggregate> aggregates;  // by series
  // By series: of this scan. Of a counter `value` is what it got in fractions or scaled, ever.
  std::vector<Accumulator> accumulators;
  std::vector<std::string> notices;  // for people, each once: series that bindings do not agree about

  // The series of a field in files of `owner` with worker slot `slot` (-1: all workers), which is bound once
  // more. kNoSeries: there is none, and none is made unless `make`, or one more would be too many for him.
  // Which binding comes first makes no difference to values: see reconcile().
  std::uint32_t bind(const SharedBinding& binding, std::int32_t slot, uid_t owner, bool make);
  void unbind(std::uint32_t index);
  // Whether bind() may do now what it refused.
  [[nodiscard]] bool may_have_room(uid_t owner) const;

  // A counter of whole numbers grew.
  void count(std::uint32_t index, std::uint64_t added, double scale) {
    if (scale == 1.0) {
      series[index].total += added;
    } else {
      count(index, static_cast<double>(added) * scale);
    }
  }
  // One of fractions, or scaled.
  void count(std::uint32_t index, double added) { accumulators[index].value += added; }

  void begin(std::chrono::steady_clock::time_point now);  // a scan
  std::size_t finish();  // computes every value; returns how many series have one

 private:
  // What is known of one series beside its values: first what its bindings said.
  struct Known {
    std::int32_t rule = kNoRule;  // the earliest, which decides
    bool by_kind = false;         // as of the binding that decides
    bool stripped = false;        // as of the first binding
    bool told_aggregate = false;
    bool told_stripped = false;
    std::uint32_t bound = 0;    // how often
    std::uint32_t unbound = 0;  // how many series were unbound before, modulo 2^32, when it was the last time
    uid_t owner = 0;            // whose share it is of
    std::uint64_t key = 0;      // hash of what tells it from all others
  };
  struct KeyOf {
    const std::vector<Known>& known;
    std::uint64_t operator()(std::uint32_t index) const { return known[index].key; }
  };

  // A series that was bound no more at that time; it may be again.
  struct Idle {
    std::uint32_t index = 0;
    std::uint32_t unbound = 0;  // no two of one series: there are too few entries for that
    std::chrono::steady_clock::time_point since;
  };

 public:
  // Bytes that a series takes beside its binding, at most: when it is idle, too.
  static constexpr std::size_t kEntry = sizeof(Series) + sizeof(Known) + sizeof(Aggregate) +
                                        sizeof(Accumulator) + HashIndex::kMostBytes + 5 * sizeof(Idle) / 4;

 private:
  using AllIdle = std::deque<Idle>;  // the longest first

  bool hold(const SharedBinding& binding, uid_t owner);
  void give_back(const SharedBinding& binding, uid_t owner);
  void reconcile(std::uint32_t index, const SharedBinding& binding);
  [[nodiscard]] bool is_idle(const Idle& idle) const {
    return known_[idle.index].bound == 0 && known_[idle.index].unbound == idle.unbound;
  }
  [[nodiscard]] bool has_old(const AllIdle& idle) const {
    return !idle.empty() && now_ - idle.front().since > kKept;
  }
  bool make_room(uid_t owner);
  bool drop_oldest(AllIdle& idle);

  std::vector<Known> known_;  // by series
  HashIndex by_key_;
  std::vector<std::uint32_t> free_;  // indices of no series
  std::map<uid_t, AllIdle> idle_;    // by whose share they are of
  std::size_t idle_entries_ = 0;
  std::uint32_t unbound_ = 0;  // series, ever, modulo 2^32
  std::chrono::steady_clock::time_point now_{};
  bool is_clean_ = true;  // accumulators: the last scan came to its end
};

}  // namespace mmstats

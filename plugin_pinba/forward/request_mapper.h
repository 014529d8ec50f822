// Series -> requests: what became of one group's files since the last scan. The mapping for people:
// plugin_pinba/mapping.md. No sockets, no clocks, no files; one thread at a time.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/keyed_hash.h"
#include "collect/distributions.h"
#include "collect/fold.h"
#include "pinba/request.h"
#include "plugin_pinba/forward/bucket_entries.h"
#include "plugin_pinba/forward/request_names.h"

namespace mmstats::forward {

// Counters are sent as differences to what was sent before. So the sum of all hits is the fold's total, less
// what was there at start_from(), and less what waits for the next scan because it was too much for one.
//
// What does not change from scan to scan is kept: where each series goes, and the texts of all tags. That is
// about 350 bytes for a series with a plain label, for as many series as the fold may have
// (FoldLimits::max_series), and 40 bytes more for each timer that a scan sends. remap() begins anew.
class RequestMapper {
 public:
  using AllDistributions = std::span<const std::unique_ptr<Distribution>>;
  using Send = std::function<void(const pinba::Request&)>;

  explicit RequestMapper(Mapping mapping);

  // What these count so far is not sent.
  void start_from(std::span<const Series> series, AllDistributions distributions = {});

  // Hands the requests of one scan to `send`, each valid during its call. Their dictionary is that of all
  // scans: see EncodeOptions::drop_unused_texts. `series` and `distributions`: the same fold's each time.
  // `now` decides how old timestamps are.
  void scan(std::span<const Series> series, AllDistributions distributions,
            std::chrono::system_clock::time_point now, const Send& send);

  // Goes on with another mapping of the same series: what was sent stays sent.
  void remap(Mapping mapping);

  // What could not be sent as it was meant, each told once. Takes them.
  std::vector<std::string> take_problems() { return std::exchange(problems_, {}); }

 private:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  static constexpr std::uint64_t kMostOfEntry = std::numeric_limits<std::uint32_t>::max();  // hits

  enum class Use : std::uint8_t {
    kNothing,
    kEvents,   // a counter: so many hits, or millions in one hit; one of fractions: so many seconds, in one
               // hit
    kLevel,    // a value of this moment, in one hit
    kAge,      // a moment: the seconds since then, in one hit
    kAverage,  // the seconds that each hit of the partner took
    kSeconds,  // a counter: the seconds that all hits of the partner took
    kField,    // part of a field of the request
  };

  // A series, and where it goes.
  struct Source {
    Use use = Use::kNothing;
    RequestField field = RequestField::kDocumentSize;
    bool complained = false;
    bool owns_partner = false;
    bool always_hits = false;   // of kEvents, as the configuration says so
    bool of_bytes = false;      // of kEvents: what is counted has that unit
    std::uint32_t target = 0;   // timer; request of a field
    std::uint32_t partner = 0;  // series, of the two uses that have one
    double last_average = 0;
  };
  // What was sent of a series: of whole numbers exactly.
  struct Sent {
    std::uint64_t total = 0;
    double value = 0;
    std::uint64_t partner_total = 0;
    bool in_millions = false;  // what is counted is too much for hits
  };
  // All series with equal tags.
  struct TimerSlot {
    std::uint32_t first_tag = 0;  // of timer_tags_
    std::uint32_t tag_count = 0;
    std::uint64_t hits = 0;  // of this scan
    double value = 0;
    std::vector<TimerEntry> entries = {};  // of this scan, beside these
  };
  // A distribution, and where it goes.
  struct BucketSource {
    bool used = false;
    bool told = false;  // that it has too many buckets
    bool complained = false;
    std::uint32_t target = kNone;  // timer
    std::uint32_t count = kNone;   // series that are sent with it
    std::uint32_t sum = kNone;
  };
  struct SentBuckets {
    BucketCounts buckets;
    std::uint64_t counted = 0;  // values until the last scan

    void take(const BucketCounts& total) {
      if (counted == total.count()) return;
      buckets = total;
      counted = total.count();
    }
  };
  struct RequestSlot {
    RequestNames names;
    std::vector<pinba::TagRef> tags;
    std::vector<std::uint32_t> timers;
    std::array<std::optional<double>, kRequestFields> fields;  // of this scan
  };
  using AllSeries = std::span<const Series>;

  void extend(AllSeries series, AllDistributions distributions);
  bool extend(AllDistributions distributions);
  void absorb(std::uint32_t index, const Series& series, AllDistributions distributions);
  void find_target(BucketSource& bucket, const Distribution& distribution, AllSeries all);
  void gather(std::uint32_t index, AllDistributions distributions, AllSeries all);
  void gather_uncounted(const BucketSource& bucket, std::uint64_t counted, AllSeries all);
  void bind(std::uint32_t index, const Series& series);
  void find_partner(std::uint32_t index, AllSeries all);
  void pair_up(std::uint32_t seconds, std::uint32_t hits);
  void find_target(std::uint32_t index, const Series& named);
  std::uint32_t find_request(const Series& series);
  std::uint32_t find_timer(std::uint32_t request, const TagTexts& tags);

  void gather(std::uint32_t index, AllSeries all, double now);
  void gather_events(Source& source, Sent& sent, const Series& series);
  bool is_in_millions(const Source& source, Sent& sent, const Series& series);
  void tell_of_millions();
  void gather_of_partner(Source& source, Sent& sent, const Series& series, const Series& partner);
  void gather_field(Source& source, Sent& sent, const Series& series);
  std::uint64_t affordable(std::uint64_t hits);
  double take_seconds(Source& source, Sent& sent, const Series& series);
  bool is_sendable(Source& source, const Series& series, double value);
  void fill(const RequestSlot& slot);
  void complain(std::string text);

  Mapping mapping_;
  std::vector<Source> sources_;            // by series
  std::vector<Sent> sent_;                 // by series; outlives mappings
  std::vector<BucketSource> buckets_;      // by distribution
  std::vector<SentBuckets> sent_buckets_;  // by distribution; outlives mappings
  std::unordered_map<std::string, std::uint32_t, mmstats::KeyedHash> counters_;  // by label and worker
  std::unordered_multimap<std::string, std::uint32_t, mmstats::KeyedHash>
      waiting_;  // by those of the partner
  std::vector<TimerSlot> timers_;
  std::vector<pinba::TagRef> timer_tags_;  // of all timers in a row
  // By the bytes of request and tags.
  std::unordered_map<std::string, std::uint32_t, mmstats::KeyedHash> timer_by_tags_;
  std::vector<RequestSlot> requests_;
  std::map<RequestNames, std::uint32_t> request_by_names_;
  pinba::Request request_;          // its dictionary has the tags of all timers and requests
  std::uint64_t more_entries_ = 0;  // that this scan may spend on counts of more than 32 bits
  std::string first_in_millions_;   // label; of those that are so since this scan
  std::size_t new_in_millions_ = 0;
  std::vector<std::string> problems_;
};

}  // namespace mmstats::forward

// A Pinba request as plain data, and what is built from it: one page view, job or script run, with timers.
// The message on the wire: core/pinba/pinba.proto; what servers make of it: core/doc/packet.md.
// Values here may be called from any thread, one object from one thread at a time. Only std::bad_alloc is
// thrown.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "mmstats/cpp20.h"
#include "mmstats/export.h"

namespace pinba {

// What stands for a text that is empty where servers need one; Pinba's own engine shows the same.
inline constexpr std::string_view kEmptyText = "<empty>";

// `text` as every server can take it: bytes that are not UTF-8, and NUL, become \xNN.
MMSTATS_API std::string escaped(std::string_view text);
// Whether `text` needs no escape.
MMSTATS_API bool is_clean(std::string_view text);

// The strings that tags point to, each once, in the order in which they came. They are kept as they
// appear on the wire, so that a whole dictionary is encoded by one copy.
class MMSTATS_API Dictionary {
 public:
  // The index of `text`, which is added if it is new. What servers cannot take is changed first: see
  // escaped(), and an empty text becomes kEmptyText; both are counted.
  std::uint32_t add(std::string_view text);
  // The same for the text at `index` of another dictionary: it is known to be good there.
  std::uint32_t add(const Dictionary& other, std::uint32_t index);

  // The text at `index`, which must be less than size(); valid until the next add() or clear().
  [[nodiscard]] std::string_view operator[](std::uint32_t index) const {
    return std::string_view(wire_).substr(entries_[index].begin, entries_[index].length);
  }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(entries_.size()); }
  // All of it as fields 15 of the message.
  [[nodiscard]] std::string_view wire() const { return wire_; }
  [[nodiscard]] std::uint32_t escaped_count() const { return escaped_; }
  [[nodiscard]] std::uint32_t filled_count() const { return filled_; }

  void clear();  // keeps the memory

  friend bool operator==(const Dictionary& a, const Dictionary& b) { return a.wire_ == b.wire_; }

 private:
  struct Entry {
    std::uint32_t begin;
    std::uint32_t length;
    std::uint32_t hash;
  };
  void grow();

  std::string wire_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> slots_;  // index + 1 by hash, open addressing; 0 is free
  std::uint32_t escaped_ = 0;
  std::uint32_t filled_ = 0;
};

// One tag: indices into a request's dictionary.
struct TagRef {
  std::uint32_t name = 0;
  std::uint32_t value = 0;
  friend bool operator==(const TagRef&, const TagRef&) = default;
};

// One timer entry: `hit_count` events that took `value` seconds together.
struct Timer {
  std::uint32_t hit_count = 1;
  std::uint32_t tag_count = 0;  // so many of Request::timer_tags belong to it
  double value = 0;             // seconds, over all hits
  double ru_utime = 0;          // seconds of processor time in the program, and in the system
  double ru_stime = 0;
};

class Tags;

struct MMSTATS_API Request {
  std::string hostname;             // of the machine
  std::string server_name;          // virtual host or service
  std::string script_name;          // script, route or job
  std::uint32_t request_count = 0;  // served before by this process; servers do not multiply by it
  std::uint64_t document_size = 0;  // bytes; here and below, more than 32 bits hold is sent as 4,294,967,295
  std::uint64_t memory_peak = 0;    // bytes
  double request_time = 0;          // seconds
  double ru_utime = 0;
  double ru_stime = 0;
  std::vector<Timer> timers;
  std::vector<TagRef> timer_tags;  // of all timers in a row
  Dictionary dictionary;
  std::optional<std::uint32_t> status;            // as of HTTP
  std::optional<std::uint64_t> memory_footprint;  // bytes
  std::vector<Request> requests;                  // see EncodeOptions::nested
  std::optional<std::string> schema;              // http, https
  std::vector<TagRef> tags;                       // of the request

  TagRef intern(std::string_view name, std::string_view value) {
    const std::uint32_t name_index = dictionary.add(name);
    return {name_index, dictionary.add(value)};
  }
  void add_tag(std::string_view name, std::string_view value) { tags.push_back(intern(name, value)); }
  void add_tags(const Tags& added);  // those that are not there yet
  // The same, instead of all that have a name of `replacing`: of two values servers take the first.
  void set_tags(const Tags& replacing);

  // Appends a timer. The tags must be of this request's dictionary, and not a part of timer_tags. More hits
  // than an entry holds make several entries, of which the first has the seconds. No hits: nothing is added.
  void add_timer(std::span<const TagRef> timer_tags_of_it, std::uint64_t hit_count, double value,
                 double timer_ru_utime = 0, double timer_ru_stime = 0);
  void add_timer(const Tags& timer_tags_of_it, std::uint64_t hit_count, double value,
                 double timer_ru_utime = 0, double timer_ru_stime = 0);

  void clear();  // as if new, but keeps the memory
};

// What becomes of timers of a request whose tags are equal. For a server, an entry of n hits and v seconds is
// n times v / n seconds: where fast and slow ones share an entry, the sums are right, but the percentiles are
// not.
enum class EqualTimers : std::uint8_t {
  // The first 16 have an entry each. Of more, those whose times differ by no more than 4 % share one, so that
  // percentiles are right to 4 %. At most 200 entries for equal tags, whatever their times are: what comes
  // then goes to the nearest.
  kByValue,
  kSeparate,  // an entry each, as in pynba: many packets, and each counts as a request
  kOne,       // one entry for all, as in PHP: the least that can be sent, and no percentiles
};

// Adds timers to a request so that those with equal tags share entries: hits are added, seconds summed. It
// finds only timers that were added through it.
class MMSTATS_API TimerMerge {
 public:
  static constexpr std::uint32_t kApart = 16;         // of EqualTimers::kByValue
  static constexpr std::uint32_t kMostEntries = 200;  // the same

  // kSeparate: as Request::add_timer() alone does it.
  explicit TimerMerge(EqualTimers equal_timers = EqualTimers::kOne) : equal_timers_(equal_timers) {}

  // As Request::add_timer, for the same request each time. The order of the tags does not matter.
  void add(Request& request, std::span<const TagRef> tags, std::uint64_t hit_count, double value,
           double ru_utime = 0, double ru_stime = 0);
  void add(Request& request, const Tags& tags, std::uint64_t hit_count, double value, double ru_utime = 0,
           double ru_stime = 0);
  void clear();  // for the next request; keeps the memory

 private:
  static constexpr std::uint32_t kNoTimer = 0xFFFFFFFF;
  static constexpr std::uint32_t kNoParts = 0xFFFFFFFF;
  // Timers with the same tags, in any order.
  struct Entry {
    std::uint32_t hash = 0;
    std::uint32_t timer = 0;      // the last of those that stay apart
    std::uint32_t first_tag = 0;  // of that
    std::uint32_t count = 0;      // of those
    std::uint32_t parts = kNoParts;
  };
  // Of these, those with values of about the same size.
  struct Part {
    int bucket = 0;
    std::uint32_t timer = kNoTimer;
  };
  Entry& entry_of(const Request& request, std::span<const TagRef> tags);

  EqualTimers equal_timers_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> slots_;
  std::vector<std::vector<Part>> parts_;  // by bucket
  std::size_t used_parts_ = 0;
  std::vector<TagRef> scratch_;
};

namespace detail {

template <class T>
concept Text = std::convertible_to<const T&, std::string_view>;
// Whose elements are of its own kind, such as std::filesystem::path: one text, whatever it iterates over.
template <class T>
concept RangeOfItself = std::ranges::input_range<const T> &&
                        std::same_as<std::remove_cvref_t<std::ranges::range_reference_t<const T>>, T>;
// A pointer or an optional: may be nothing, or leads to a value.
template <class T>
concept Nullable = !std::ranges::range<const T> && requires(const T& value) {
  static_cast<bool>(value);
  *value;
};
template <class T>
concept Mapping = std::ranges::input_range<T> && requires {
  typename T::key_type;
  typename T::mapped_type;
};
template <class T>
concept Printable = requires(std::ostream& out, const T& value) { out << value; };
template <class>
inline constexpr bool kNever = false;

MMSTATS_API std::string number_text(double value);
inline std::string number_text(std::integral auto value) { return std::to_string(value); }

// A null pointer, as getenv() may give one, is an empty text.
template <Text T>
std::string_view view_of(const T& value) {
  if constexpr (std::is_pointer_v<T>) {
    if (value == nullptr) return {};
  }
  return value;
}

// What a mapping's key, or a value that is no collection, is called.
template <class T>
std::string text_of(const T& value) {
  if constexpr (Text<T>) {
    return std::string(view_of(value));
  } else if constexpr (std::same_as<T, bool>) {
    return value ? "True" : "False";
  } else if constexpr (std::same_as<T, char>) {
    return std::string(1, value);
  } else if constexpr (std::integral<T>) {
    return number_text(value);
  } else if constexpr (std::floating_point<T>) {
    return number_text(static_cast<double>(value));
  } else if constexpr (requires { std::string(value.string()); }) {
    return value.string();
  } else if constexpr (Printable<T>) {
    std::ostringstream out;
    out << value;
    return std::move(out).str();
  } else if constexpr (std::is_enum_v<T>) {
    return number_text(static_cast<std::underlying_type_t<T>>(value));
  } else {
    static_assert(kNever<T>,
                  "a tag's value must be text, a number, an enumerator, printable, an optional, a range, a "
                  "mapping or a callable");
  }
}

// Calls visit(name, value) for each tag that `value` stands for.
template <class T, class Visit>
void flatten(std::string_view name, const T& value, Visit&& visit) {
  if constexpr (Text<T>) {
    visit(name, view_of(value));
  } else if constexpr (std::invocable<const T&>) {
    if constexpr (requires { value == nullptr; }) {
      if (value == nullptr) return visit(name, std::string_view());
    }
    flatten(name, std::invoke(value), visit);
  } else if constexpr (Nullable<T>) {
    if (!value) return visit(name, std::string_view());
    flatten(name, *value, visit);
  } else if constexpr (Mapping<T>) {
    for (const auto& [key, element] : value) {
      flatten(std::string(name) + "." + text_of(key), element, visit);
    }
  } else if constexpr (std::ranges::input_range<const T> && !RangeOfItself<T>) {
    for (const auto& element : value) flatten(name, element, visit);
  } else {
    visit(name, std::string_view(text_of(value)));
  }
}

}  // namespace detail

// A set of tags as texts: sorted by name and value, each pair once. Flattened as pynba does it: a sequence or
// set gives a pair for each element, a mapping gives NAME.KEY, recursively, a callable is called at once and
// its result taken, numbers become text as in Python (1, 0.5, 1.0, 1e-05, True), and so does all that can be
// printed to a stream. A pointer or an optional stands for what it leads to, and for an empty text if it is
// null; an enumerator that cannot be printed is its number; a std::filesystem::path is its text.
class MMSTATS_API Tags {
 public:
  class Tag;

  // What stands in braces: {"a", 1} is a sequence, {{"key", "a"}, {"other", {1, 2}}} a mapping, as it is with
  // the containers of the standard library.
  class Braced {
   public:
    template <class T>
      requires(!std::same_as<T, Braced>)
    Braced(const T& value) {  // NOLINT(google-explicit-constructor)
      if constexpr (!std::ranges::range<const T> || detail::Text<T>) key_ = detail::text_of(value);
      detail::flatten({}, value,
                      [this](std::string_view n, std::string_view v) { pairs_.emplace_back(n, v); });
    }
    Braced(std::initializer_list<Braced> elements);  // NOLINT(google-explicit-constructor)

   private:
    friend class Tag;
    using Pairs = std::vector<std::pair<std::string, std::string>>;

    std::optional<std::string> key_;  // what it is called as a mapping's key
    std::optional<Pairs> entry_;      // the pairs of two elements, of which the first is a key
    Pairs pairs_;                     // of which the names follow the tag's
  };

  // One argument; it may view the texts that it was made from, so it is not to be kept. Small and quickly
  // made, as programs that measure nothing make all of them.
  class MMSTATS_API Tag {
   public:
    template <class T>
    Tag(std::string_view name, const T& value) : name_(name) {  // NOLINT(google-explicit-constructor)
      if constexpr (std::is_pointer_v<T> && detail::Text<T>) {
        data_ = static_cast<const char*>(value);
        size_ = value == nullptr ? 0 : kUntilNul;
      } else if constexpr (detail::Text<T>) {
        const std::string_view text = value;
        data_ = text.data();
        size_ = text.size();
      } else {
        auto pairs = std::make_unique<Pairs>();
        detail::flatten(name, value,
                        [&](std::string_view n, std::string_view v) { pairs->emplace_back(n, v); });
        hold(std::move(pairs));
      }
    }
    Tag(std::string_view name, std::initializer_list<Braced> elements);
    Tag(const Tag& other);
    Tag& operator=(const Tag&) = delete;
    ~Tag() {
      if (size_ == kPairs) drop();
    }

    template <class Visit>
    void visit(Visit&& visit_pair) const {
      if (size_ != kPairs) {
        return visit_pair(name_,
                          size_ == kUntilNul ? std::string_view(text()) : std::string_view(text(), size_));
      }
      for (const auto& [name, value] : pairs()) visit_pair(std::string_view(name), std::string_view(value));
    }

   private:
    using Pairs = std::vector<std::pair<std::string, std::string>>;
    // What no size of a text is.
    static constexpr std::size_t kUntilNul = static_cast<std::size_t>(-1);  // counted where it is needed
    static constexpr std::size_t kPairs = static_cast<std::size_t>(-2);     // no text, but Pairs, owned

    [[nodiscard]] const char* text() const { return static_cast<const char*>(data_); }
    [[nodiscard]] const Pairs& pairs() const { return *static_cast<const Pairs*>(data_); }
    void hold(std::unique_ptr<Pairs> pairs) {
      data_ = pairs.release();
      size_ = kPairs;
    }
    void drop();

    std::string_view name_;
    const void* data_ = nullptr;
    std::size_t size_ = 0;
  };

  Tags() = default;
  Tags(std::initializer_list<Tag> tags);

  template <class T>
  Tags& add(std::string_view name, const T& value) {
    detail::flatten(name, value, [this](std::string_view n, std::string_view v) { insert(n, v); });
    return *this;
  }
  Tags& add(const Tags& other);
  // As a dictionary is updated: what has a name of `other` is replaced.
  Tags& set(const Tags& other);

  [[nodiscard]] bool has(std::string_view name) const;
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& pairs() const { return pairs_; }
  friend bool operator==(const Tags&, const Tags&) = default;

 private:
  void insert(std::string_view name, std::string_view value);

  std::vector<std::pair<std::string, std::string>> pairs_;
};

}  // namespace pinba

// JSON is written by hand here: answers have many megabytes, and are made piece by piece.
#include "tools/mmash/stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "format/dimensions.h"
#include "tools/mmash/aggregate.h"
#include "tools/mmash/path_filter.h"

namespace mmash {
namespace {

using mmstats::Field;

constexpr std::size_t kEntryCost = 200;  // bytes beside the texts, about
constexpr std::size_t kFilesPiece = 64U << 10U;

struct Query {
  std::string prefix;
  bool exact = false;
  bool values = false;  // else labels alone
  std::optional<Aggregation> aggregation = {};
  PathFilter filter;
};

// One answer: where it stands, and what the last pass over the files brought for its next piece.
class Answer {
 public:
  Answer(Files& files, Query query, std::size_t piece)
      : files_(files), query_(std::move(query)), piece_(piece) {}

  Piece next() {
    collect();
    return render();
  }

  // A label of which the first pass found that it cannot be aggregated.
  [[nodiscard]] const std::optional<std::string>& refused() const { return refused_; }

 private:
  struct Entry {
    std::string values;  // as JSON, with commas between
    Aggregate aggregate;
    bool refused = false;
  };
  using Entries = std::map<std::string, Entry, std::less<>>;

  void collect() {
    entries_.clear();
    guesses_.clear();
    size_ = 0;
    cutoff_.reset();
    full_after_.clear();
    files_.scan();
    for (const auto file : files_.sorted()) {
      path_ = files_.path(file);
      if (!query_.filter.matches(path_)) continue;
      const auto* content = files_.read(file, query_.values ? Care::kSettled : Care::kOneReading);
      if (content == nullptr) continue;
      for (std::size_t i = 0; i < content->fields.size(); ++i) add(i, content->fields[i]);
      if (size_ > piece_) shrink();
    }
  }

  void add(std::size_t i, const Field& field) {
    if (mmstats::is_removed(field)) return;
    const auto label = field.label;
    if (!label.starts_with(query_.prefix) || (query_.exact && label.size() != query_.prefix.size())) return;
    const bool refused = query_.aggregation && !Aggregate::applies(*query_.aggregation, field);
    if (refused && !after_ && !refused_) refused_ = label;
    if (after_ && label <= *after_ && (label != *after_ || !open_ || path_ <= after_path_)) return;
    if (cutoff_ && label >= *cutoff_) return;
    if (!full_after_.empty() && label == entries_.begin()->first) return;
    Entry& entry = entry_of(i, label);
    if (refused) {
      entry.refused = true;
    } else if (query_.aggregation) {
      entry.aggregate.add(*query_.aggregation, field);
    } else if (query_.values) {
      const std::size_t before = entry.values.size();
      if (before != 0) entry.values += ", ";
      append_value_json(entry.values, field);
      size_ += entry.values.size() - before;
    }
  }

  // Files of one application have the same labels in the same places, so most are where they were last time.
  Entry& entry_of(std::size_t i, std::string_view label) {
    if (guesses_.size() <= i) guesses_.resize(i + 1, entries_.end());
    auto& guess = guesses_[i];
    if (guess != entries_.end() && guess->first == label) return guess->second;
    guess = entries_.find(label);
    if (guess == entries_.end()) {
      guess = entries_.try_emplace(std::string(label)).first;
      size_ += label.size() + kEntryCost;
    }
    return guess->second;
  }

  // The labels that come last are for a later piece. Of one that is too much alone, the next files' values
  // are.
  void shrink() {
    while (size_ > piece_ && entries_.size() > 1) {
      const auto last = std::prev(entries_.end());
      size_ -= std::min(size_, last->first.size() + kEntryCost + last->second.values.size());
      cutoff_ = last->first;
      entries_.erase(last);
      guesses_.clear();
      full_after_.clear();
    }
    if (size_ > piece_ && query_.values && !query_.aggregation && full_after_.empty()) full_after_ = path_;
  }

  Piece render() {
    std::string piece;
    if (!after_) piece = query_.values ? "{" : "{\"stats\": [";
    if (open_ && (entries_.empty() || entries_.begin()->first != *after_)) close(piece);
    for (const auto& [label, entry] : entries_) {
      const bool resumed = open_;
      if (resumed) {
        piece += ", ";
      } else {
        if (std::exchange(any_, true)) piece += ", ";
        piece += json_string(label);
      }
      if (!query_.values) continue;
      if (query_.aggregation) {
        piece += fmt::format(": {}", entry.refused ? "null" : entry.aggregate.json(*query_.aggregation));
        continue;
      }
      if (!resumed) piece += ": [";
      piece += entry.values;
      open_ = true;
      if (full_after_.empty()) close(piece);
    }
    const bool last = !cutoff_ && full_after_.empty();
    if (last) {
      piece += query_.values ? "}" : "]}";
    } else {
      after_ = std::prev(entries_.end())->first;
      after_path_ = full_after_;
    }
    entries_.clear();
    guesses_.clear();
    return {std::move(piece), last};
  }

  void close(std::string& piece) {
    piece += "]";
    open_ = false;
  }

  Files& files_;
  Query query_;
  std::size_t piece_;
  // Where the answer stands.
  std::optional<std::string> after_;  // the last label that is in it
  bool open_ = false;                 // and its list goes on, with files
  std::string after_path_;            // after this one
  bool any_ = false;
  std::optional<std::string> refused_;
  // Of the pass.
  Entries entries_;
  std::vector<Entries::iterator> guesses_;  // by place in the file
  std::size_t size_ = 0;                    // bytes, about
  std::optional<std::string> cutoff_;       // labels from here on are for later
  std::string full_after_;                  // of the only label, files after this one are for later
  std::string path_;
};

}  // namespace

Stats::Stats(Files& files, const std::vector<std::string>& globs, std::size_t piece)
    : files_(files), folders_(glob_folders(globs)), piece_(piece) {}

Response Stats::labels(const Request& request) {
  const auto* glob = request.parameter("glob");
  auto filter = PathFilter::make(glob == nullptr ? "" : *glob, folders_);
  if (!filter) return error_response(400, filter.error().message);
  const auto answer =
      std::make_shared<Answer>(files_, Query{.prefix = "", .filter = std::move(*filter)}, piece_);
  return in_pieces(json_response(""), [answer] { return answer->next(); });
}

Response Stats::values(std::string_view label, const Request& request) {
  const auto* glob = request.parameter("glob");
  auto filter = PathFilter::make(glob == nullptr ? "" : *glob, folders_);
  if (!filter) return error_response(400, filter.error().message);
  const auto* exact = request.parameter("exact");
  Query query{.prefix = std::string(label),
              .exact = exact != nullptr && !exact->empty(),
              .values = true,
              .filter = std::move(*filter)};
  const auto* word = request.parameter("aggr");
  if (word != nullptr && !word->empty()) {
    query.aggregation = parse_aggregation(*word);
    if (!query.aggregation) {
      return error_response(
          400, fmt::format("aggr \"{}\" is none of avg, one, max, min, sum, nonzero-min, nonzero-avg",
                           mmstats::printable(*word)));
    }
  }
  const auto answer = std::make_shared<Answer>(files_, std::move(query), piece_);
  auto response = in_pieces(json_response(""), [answer] { return answer->next(); });
  if (answer->refused()) {
    return error_response(400,
                          fmt::format(R"(label "{}": aggr "{}" does not apply to a value that is no number)",
                                      mmstats::printable(*answer->refused()), *word));
  }
  return response;
}

Response Stats::files(std::string_view glob) {
  auto made = PathFilter::make(glob, folders_);
  if (!made) return error_response(400, made.error().message);
  const auto filter = std::make_shared<const PathFilter>(std::move(*made));
  return in_pieces(
      json_response("{\"files\": ["), [this, filter, after = std::string(), first = true]() mutable {
        Piece piece;
        files_.scan();
        const auto files = files_.sorted();
        auto file = std::ranges::upper_bound(files, std::string_view(after), {},
                                             [&](auto key) { return std::string_view(files_.path(key)); });
        for (; file != files.end() && piece.text.size() < kFilesPiece; ++file) {
          after = files_.path(*file);
          if (!filter->matches(after)) continue;
          const auto* content = files_.read(*file, Care::kOneReading);
          if (content == nullptr || content->fields.empty()) continue;
          if (!std::exchange(first, false)) piece.text += ", ";
          piece.text += json_string(after);
        }
        piece.last = file == files.end();
        if (piece.last) piece.text += "]}";
        return piece;
      });
}

}  // namespace mmash

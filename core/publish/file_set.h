// The files of a Model that hold the same fields: those of its threads, or the one that they share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "mmstats/error.h"
#include "mmstats/model.h"
#include "publish/families.h"
#include "publish/fresh_values.h"
#include "publish/known_fields.h"
#include "publish/region.h"

namespace mmstats {

// One thread at a time.
class FileSet {
 public:
  // `options` must outlive it. `size`: of each region; the sum is below 4 GiB. `for_tables`: how much of the
  // memory only add_buckets gives away.
  FileSet(const ModelOptions& options, RegionSize size, std::size_t for_tables = 0)
      : options_(options), size_(size), for_tables_(for_tables) {}

  // Appends a field, which KnownFields::check has passed, to all files, present and future. `label`: with its
  // prefix. `family`: whose it is, if any: then the line of that is told with its first field, and the type
  // has a blank. What went wrong is added to `errors`. Returns the offset of its write buffer byte; none:
  // there is no room, and nothing was done.
  std::optional<std::uint32_t> publish(const detail::FieldSpec& spec, const std::string& label,
                                       const About& about, KnownFamily* family, std::vector<Error>& errors);
  // As Model::add_memory says; or, if `kept`, the next thread begins with what the one before it left. None:
  // there is no room.
  std::optional<std::uint32_t> add_memory(std::size_t size, bool kept);

  // The table of a histogram's buckets (bucket_table.h) beside each file, and room for them in it. `stem`:
  // its label with the prefix; `family`: as above. None: there is no room, or no metadata that could tell of
  // them.
  std::optional<std::uint32_t> add_buckets(const std::string& stem, unsigned bits, const About& about,
                                           const KnownFamily* family, std::vector<Error>& errors);

  // Tells readers, in all files, that a field of a family is removed, or is there again.
  void set_removed(const PublishedField& field, bool removed);
  // Calls visit(number) for each word of its values that is not as in a new file: a number that no other
  // word of it, in any thread, and no other content of that word has (but one of 2^64).
  void for_each_change(const PublishedField& field, const std::function<void(std::uint64_t)>& visit) const;
  // Whether a field of so many bytes fits, with all that has to come along.
  [[nodiscard]] bool has_room_for(std::size_t bytes) const { return has_room(bytes, {}); }

  // Makes `region` one of these files, for the thread that {TID} stands for. Error: why it is no file.
  Expected<void> fill(Region& region, std::string_view thread, std::int64_t tid, std::vector<Error>& errors);
  // The region that a thread which has ended left, for the thread `tid`: counters as they are, all else as in
  // a new one. Null: there is none.
  Region* take_left(std::int64_t tid);
  // The thread with the region at `address`, which is the caller, ends: from now on only its counters count.
  void leave(const std::byte* address);
  // Calls visit(address of the value at `offset`) for each region in which it counts.
  template <class Visit>
  void for_each_value(std::size_t offset, Visit&& visit) const {
    const bool of_threads = fresh_.has(offset);
    for (const Region* region : regions_) {
      if (of_threads && is_left(region)) continue;
      visit(region->address() + offset);
    }
  }
  [[nodiscard]] bool is_file(const std::byte* address) const;
  // Of regions that readers do not find: makes files of the one at `mine` and of those that ended threads
  // left, if that can be; adds why not to `wrong`, and of which only the thread that has it can make one.
  void publish_again(const std::byte* mine, std::string_view thread, std::vector<Error>& wrong);
  // Whether readers find the one at `address`. Null: there is none.
  [[nodiscard]] bool is_published(const std::byte* address) const;
  // Of the region at `address`, as Region::give_to_children.
  void give_to_children(const std::byte* address, bool given);
  // Adds all regions to `into`, as they are, and knows them no more.
  void release(std::vector<Region*>& into);

  // What is to be told of files that were cut, if there were any; once.
  std::optional<Error> take_cut() { return std::exchange(cut_, std::nullopt); }

  void publish_no_more() { published_ = false; }
  [[nodiscard]] bool has_fields() const { return image_.size() > 1; }
  [[nodiscard]] std::size_t file_bytes() const { return image_.size(); }
  // With the room that is promised.
  [[nodiscard]] std::size_t used_bytes() const { return image_.size() + room_wanted_; }
  [[nodiscard]] RegionSize region_size() const { return size_; }
  [[nodiscard]] const std::vector<Region*>& regions() const { return regions_; }

 private:
  std::optional<std::uint32_t> add_memory(std::size_t size, bool kept, std::size_t most);
  [[nodiscard]] bool has_room(std::size_t field, std::string_view line) const;
  [[nodiscard]] Region* find(const std::byte* address) const;
  [[nodiscard]] bool is_left(const Region* region) const { return left_set_.contains(region); }
  // image_, in this process, and for a thread: until the next change of it.
  std::span<const std::byte> image_for(std::int64_t tid);
  Expected<void> publish_again(Region& region, std::string_view thread);
  void store_tid(Region& region, std::int64_t tid) const;
  std::uint32_t append(const detail::FieldSpec& spec, std::string_view label, bool removable,
                       std::vector<Error>& errors);
  std::size_t append_property(std::string_view label, std::string_view type, std::size_t size,
                              const void* value, std::vector<Error>& errors);
  void complete(std::vector<Error>& errors);
  void describe(std::string_view line, std::vector<Error>& errors);
  struct Table {
    std::uint32_t at;       // behind the file
    std::uint32_t room_at;  // likewise, of its Room
    std::string stem;
    unsigned bits;
  };
  struct BucketRoom {
    std::size_t begin;  // of the word in its type, in the file
    std::size_t end;
    // What its parts of the private memory begin with.
    std::vector<std::pair<std::uint32_t, std::vector<std::byte>>> memory;
    std::uint32_t at;                                          // of its Room, behind the file
    std::vector<std::pair<std::uint32_t, unsigned>> tables{};  // where, and with how many bits
  };
  void add_room(std::span<const Table> tables, std::vector<Error>& errors);
  static void begin_memory(Region& region, const BucketRoom& room);
  void restore(Region& region);
  void append_metadata(std::string lines, std::size_t size, std::vector<Error>& errors);

  const ModelOptions& options_;
  RegionSize size_;
  std::size_t for_tables_;
  std::vector<std::byte> image_{kFirstByte};  // what a new file begins with: all fields so far
  bool complete_ = false;                     // has the sys.* fields: the first file was made
  bool published_ = true;
  std::size_t pid_at_ = 0;
  std::size_t tid_at_ = 0;
  std::size_t uid_at_ = 0;
  std::size_t gid_at_ = 0;
  std::size_t created_at_ = 0;
  std::string line_;             // of the field that is published: its memory serves the next one
  std::string metadata_;         // lines that are in no field yet
  std::size_t metadata_at_ = 0;  // where the next line goes, in the last sys.metadata
  std::size_t metadata_end_ = 0;
  std::size_t memory_ = 0;  // bytes given away of each region's private memory
  std::vector<BucketRoom> rooms_;
  std::vector<Table> without_room_;   // as no file was made yet: they share rooms
  std::size_t room_wanted_ = 0;       // by them
  std::size_t last_room_wanted_ = 0;  // by those that share the last one
  std::vector<Region*> regions_;
  std::vector<Region*> left_;  // of threads that have ended
  std::unordered_set<const Region*> left_set_;
  FreshValues fresh_;
  std::optional<Error> cut_;

  static const std::byte kFirstByte;
};

}  // namespace mmstats

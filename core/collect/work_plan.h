// Which files a scan reads, and which it puts off to the next ones: the work of a scan is shared out among
// the users whose files they are (shares.h), so that none makes it long, and others' files are read all the
// same. Nothing is measured here but work.h's units. Where work is not scarce, files are read in their order,
// and a look at two numbers for each is all that it costs. No locks; one thread at a time.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "collect/discover.h"
#include "collect/shares.h"

namespace mmstats {

class WorkPlan {
 public:
  // The first scan may do so many times as much: all files are new to it.
  static constexpr std::uint64_t kFirst = 4;
  // Where work was scarce, order is kept for so many scans more.
  static constexpr std::uint64_t kCalm = 100;
  static constexpr std::uint32_t kOverdue = 10;

  // `limit`: units of a scan. Root and `self` are not bound by it, and take nothing of it.
  explicit WorkPlan(std::uint64_t limit, uid_t self = ::geteuid());

  // A scan is: begin; order; for each file may_read, and if so expect and did. What is done before order
  // counts, too.
  void begin();

  // The files in the order in which they are to be asked for. As they are where all can be read. Else users
  // who used least lately come first, and of one user's files the cheapest, a file being the cheaper the
  // longer it waits; but before them the one that has waited longest, if that is for kOverdue scans: each is
  // read some day. `owner_of(file)`; `expected(file)`: units, of a file of which nothing is known yet. Valid
  // until the next call.
  template <class OwnerOf, class Expected>
  std::span<const FileKey> order(std::span<const FileKey> files, const OwnerOf& owner_of,
                                 const Expected& expected) {
    std::uint64_t sum = 0;
    for (const FileKey file : files) {
      Known& known = of(file);
      if (known.work == 0) expect(file, expected(file));
      sum += known.work;
    }
    if (sum > share_) {
      for (const FileKey file : files) sum -= is_bound(owner_of(file)) ? 0 : of(file).work;
    }
    if (sum > share_) scarce_until_ = scan_ + kCalm;
    if (scan_ >= scarce_until_) return files;
    queue_.clear();
    for (const FileKey file : files) {
      const Known& known = of(file);
      queue_.push_back({0, owner_of(file), known.work / (known.waited + 1), file});
    }
    return sort_queue();
  }

  // Whether this scan has room for the file; it is put off if not. A user's first is read though it is larger
  // than all of his share, so that each is read some day; but what he used beyond his share he has less at
  // the next scans.
  bool may_read(FileKey file, uid_t owner) {
    Known& known = of(file);
    if (!is_bound(owner) || (spent_.total() + known.work <= share_ && !debts_) || has_room(known, owner)) {
      known.waited = 0;
      return true;
    }
    ++known.waited;
    put_off(owner);
    return false;
  }

  // So many units were done for `owner`.
  void did(uid_t owner, std::uint64_t work) {
    if (!is_bound(owner)) return;
    done_ += work;
    if (spent_.total() + work <= share_) return spent_.take_anyway(owner, work);
    did_much(owner, work);
  }
  // So many it will take to read the file again, as long as it keeps its shape.
  void expect(FileKey file, std::uint64_t work);

  // Another file may get the key.
  void forget(FileKey file) { of(file) = {}; }

  [[nodiscard]] std::size_t put_off() const { return put_off_; }  // files, since begin
  // Users some of whose files were put off lately.
  [[nodiscard]] std::vector<uid_t> late() const;

 private:
  struct Known {
    std::uint32_t work = 0;    // that is expected; 0: nothing is known
    std::uint32_t waited = 0;  // scans that put it off since it was read
  };
  // Of an owner, where work was scarce lately.
  struct Account {
    std::uint64_t lately = 0;  // the most that he used at a scan, fading; at first what all of his files take
    std::uint64_t excess = 0;  // what he used at this scan beyond what he may: nobody loses it but he
    std::uint64_t debt = 0;    // what he used beyond his share
    bool trusted = true;       // in debt: to keep to a quarter of his share while he pays
    std::uint64_t late_until = 0;
  };
  // In this order.
  struct Queued {
    std::uint64_t lately;
    uid_t owner;
    std::uint32_t cost;
    FileKey file;
    auto operator<=>(const Queued&) const = default;
  };

  Known& of(FileKey file) {
    if (file >= known_.size()) known_.resize(file + 1);
    return known_[file];
  }
  [[nodiscard]] bool is_bound(uid_t owner) const { return owner != 0 && owner != self_; }
  [[nodiscard]] bool has_room(const Known& known, uid_t owner) const;
  void did_much(uid_t owner, std::uint64_t work);
  void put_off(uid_t owner);
  std::span<const FileKey> sort_queue();

  std::uint64_t limit_;
  uid_t self_;
  std::uint64_t scan_ = 0;
  std::uint64_t scarce_until_ = 0;
  std::uint64_t share_ = 0;  // of this scan, of one who is alone: nobody can have more
  Shares spent_{0};          // units, at this scan
  std::uint64_t done_ = 0;   // the same with all excess
  bool debts_ = false;
  std::size_t put_off_ = 0;
  std::vector<Known> known_;  // by FileKey
  std::map<uid_t, Account> accounts_;
  std::vector<Queued> queue_;
  std::vector<FileKey> order_;
};

}  // namespace mmstats

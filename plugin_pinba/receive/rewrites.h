// Values that become others before anything is counted: "/user/123" -> "/user/:id", so that what differs in
// an id alone is one row.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "collect/label_pattern.h"
#include "mmstats/error.h"
#include "plugin_pinba/receive/filter.h"
#include "plugin_pinba/receive/packet.h"

namespace mmstats::receive {

// Any thread may apply them.
class Rewrites {
 public:
  // What packets view after they were rewritten.
  struct Texts {
    std::vector<std::unique_ptr<std::string>> texts;
    std::vector<std::vector<Tag>> tags;

    void clear() {
      texts.clear();
      tags.clear();
    }
  };

  // In values of `place` all that the RE2 finds becomes `to`, in which \0 to \9 are what its groups found.
  // Rewrites act one after the other. Error: kInvalid, with the reason: the pattern, a group that it has not,
  // or a status, which is a number.
  Expected<void> add(KeyPlace place, const std::string& pattern, std::string to);

  // What changes views `texts` from then on. Throws std::bad_alloc.
  void apply(Packet& packet, Texts& texts) const;

  friend bool operator==(const Rewrites& a, const Rewrites& b);

 private:
  struct Rewrite {
    KeyPlace place;
    std::string text;
    std::string to;
    std::shared_ptr<const re2::RE2> pattern;

    void apply(std::string_view& value, Texts& texts) const;
  };
  std::vector<Rewrite> all_;
};

}  // namespace mmstats::receive

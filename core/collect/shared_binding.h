// What became of a field, as it is kept: once for all series that it gave, and for the shape of its files.
// Most fields have nothing but a name, so all other texts are apart.
#pragma once

#include <sys/types.h>

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "collect/rules.h"

namespace mmstats {

// Immutable, but for what a fold counts. Members are those of Binding.
class SharedBinding : public boost::intrusive_ref_counter<SharedBinding> {
 public:
  explicit SharedBinding(Binding&& binding);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& family() const { return more().family; }
  [[nodiscard]] const std::vector<Dimension>& dimensions() const { return more().dimensions; }
  [[nodiscard]] const std::vector<Dimension>& asked() const { return more().asked; }
  [[nodiscard]] const std::vector<std::string>& groups() const { return more().groups; }
  [[nodiscard]] const std::string& sink_type() const { return more().sink_type; }
  [[nodiscard]] const std::string& unit() const { return more().unit; }
  [[nodiscard]] const std::string& help() const { return more().help; }

  [[nodiscard]] bool apart() const { return aggregate == Aggregate::kNone; }

  // Bytes that it takes; and that it takes at most, with so many bytes of texts.
  [[nodiscard]] std::size_t memory() const;
  static std::size_t most_memory(std::size_t texts);

  // How many series of the fold have it; and who pays for it as long as there are any, unless it is paid for
  // with its shape: whoever brought the first.
  mutable std::uint32_t series = 0;
  mutable uid_t payer = 0;
  std::int32_t rule;
  Kind kind;
  Aggregate aggregate;
  Aggregate within_process;
  bool used;
  bool by_kind;
  bool stripped;
  mutable bool paid_with_shape = false;
  double scale;

 private:
  struct More {
    std::string family;
    std::vector<Dimension> dimensions;
    std::vector<Dimension> asked;
    std::vector<std::string> groups;
    std::string sink_type;
    std::string unit;
    std::string help;
  };
  [[nodiscard]] const More& more() const {
    static const More kNone;
    return more_ ? *more_ : kNone;
  }

  std::string name_;
  std::unique_ptr<const More> more_;  // null: all of it is empty
};

using BindingPtr = boost::intrusive_ptr<const SharedBinding>;

inline BindingPtr share(Binding&& binding) { return BindingPtr(new SharedBinding(std::move(binding))); }

// What is called as its binding says: a series, or a distribution.
struct Described {
  // Of the field that made it. Null: none did, and all of this is empty.
  BindingPtr binding = {};

  // Foreign bytes: see Rule::name; sinks map it into their alphabet.
  [[nodiscard]] const std::string& name() const { return said().name(); }
  // As Binding::family, and the dimensions in their order: foreign bytes.
  [[nodiscard]] const std::string& family() const { return said().family(); }
  [[nodiscard]] const std::vector<Dimension>& dimensions() const { return said().dimensions(); }
  [[nodiscard]] const std::vector<Dimension>& asked() const { return said().asked(); }
  // What those of its rule's pattern found, if Rule::keep_groups.
  [[nodiscard]] const std::vector<std::string>& groups() const { return said().groups(); }
  [[nodiscard]] const std::string& unit() const { return said().unit(); }
  [[nodiscard]] const std::string& help() const { return said().help(); }
  // Which decided about its label, in the order in which they were added.
  [[nodiscard]] std::int32_t rule() const { return said().rule; }

 private:
  [[nodiscard]] const SharedBinding& said() const {
    static const SharedBinding kNothing{Binding()};
    return binding ? *binding : kNothing;
  }
};

}  // namespace mmstats

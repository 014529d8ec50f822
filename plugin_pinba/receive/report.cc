#include "plugin_pinba/receive/report.h"

#include <utility>

#include "base/utf8.h"
#include "format/dimensions.h"
#include "plugin_pinba/receive/book.h"

namespace mmstats::receive {

Report::Report(ReportSpec spec, FairBound& budget)
    : spec_(std::move(spec)), budget_(budget), book_(std::make_unique<Book>(spec_, budget)) {}
Report::~Report() = default;

bool Report::find_values(const Packet& packet, const TimerEntry* timer, KeyValues& into) const {
  if (!spec_.filter.passes(packet, timer)) return false;
  into.all.clear();
  for (const Key& key : spec_.keys) {
    const auto value = value_at(key.place, packet, timer, into.status);
    if (!value) return false;
    // What is beyond is in no file: so it makes no other row.
    into.all.push_back(whole_characters(*value, kMaxDimensionValue));
  }
  return true;
}

std::unique_ptr<Book> Report::renew() {
  auto made = std::make_unique<Book>(spec_, budget_);
  made.swap(book_);
  made->close();
  return made;
}

std::unique_ptr<Book> Report::end() noexcept {
  book_->close();
  return std::move(book_);
}

}  // namespace mmstats::receive

#include "mmstats/settle.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <variant>

#include "base/failure.h"
#include "base/same_bytes.h"

namespace mmstats {
namespace {

bool is_counter(const Field& field) {
  return field.buffered && field.type.code == 'Q' && field.type.is_scalar_number();
}

std::uint64_t counter_value(const Field& field) {
  std::uint64_t value = 0;
  for_each_item(field.type_text, field.value,
                [&](const Scalar& item) { value = std::get<std::uint64_t>(item); });
  return value;
}

}  // namespace

bool Settler::same_fields(const ParsedFile& now) const {
  const ParsedFile& known = reading_.content;
  return known.end == now.end && known.damage.has_value() == now.damage.has_value() &&
         std::equal(known.fields.begin(), known.fields.end(), now.fields.begin(), now.fields.end(),
                    [](const Field& a, const Field& b) {
                      return a.offset == b.offset && a.label == b.label && a.type_text == b.type_text &&
                             a.buffered == b.buffered;
                    });
}

// Why two equal readings are enough, without an acquire: a reading is a system call that copies pages, in no
// order between its bytes. So one may see a write buffer byte and not yet the value that it publishes, or a
// label's size and not yet the label. But the kernel takes a reference to each page that it copies, by an
// atomic operation which is a full barrier: what was released before anything that the first reading saw, the
// second one sees. (Linux does so; no standard says it.) So what was seen too early is not the same in both.
// And what is added to a file that has its name already is all there when two readings have it.
// That does not hold for writers that publish without a release on machines which reorder stores, nor for a
// text that is written again and again between the two and comes back to the same bytes.
//
// Compares the field's value in the last reading with `now`. What was published counts, in whichever
// buffer it is: the write buffer byte of each reading goes with the buffers of that reading.
bool Settler::settles(Pending& pending, const Field& now) {
  const Field& last = reading_.content.fields[pending.field];
  if (std::ranges::equal(last.value, now.value)) return true;
  if (is_counter(last)) {
    const std::uint64_t last_value = counter_value(last);
    if (pending.older && *pending.older <= last_value && last_value <= counter_value(now)) return true;
    pending.older = last_value;
  }
  std::vector<std::byte>& bytes = reading_.snapshot.bytes;
  std::memcpy(bytes.data() + (last.value.data() - bytes.data()), now.value.data(), now.value.size());
  return false;
}

bool Settler::add(Snapshot snapshot) {
  if (!empty_ && same_bytes(snapshot.bytes, reading_.snapshot.bytes)) {
    // Mostly nothing changes, and equal bytes say the same.
    reading_.snapshot.modified = snapshot.modified;
    pending_.clear();
    return true;
  }
  parse(snapshot.bytes, content_);
  if (empty_ || !same_fields(content_)) {
    empty_ = false;
    // The fields point into the bytes, which stay where they are when their vector is moved.
    reading_.snapshot = std::move(snapshot);
    reading_.content = std::exchange(content_, {});
    pending_.clear();
    pending_.reserve(reading_.content.fields.size());
    for (std::size_t field = 0; field < reading_.content.fields.size(); ++field) {
      pending_.push_back({.field = field, .older = std::nullopt});
    }
  } else {
    reading_.snapshot.modified = snapshot.modified;
    std::erase_if(pending_,
                  [&](Pending& pending) { return settles(pending, content_.fields[pending.field]); });
  }
  return pending_.empty();
}

Reading Settler::finish() && {
  for (const Pending& pending : pending_) {
    reading_.unsettled.emplace_back(reading_.content.fields[pending.field].label);
  }
  return std::move(reading_);
}

Expected<Reading> read_settled(const std::string& path, std::uint64_t max_file_size) {
  const auto file = OpenFile::open(AT_FDCWD, path.c_str(), path);
  if (!file) return tl::unexpected(file.error());
  return read_settled(*file, path, max_file_size);
}

Expected<Reading> read_settled(const OpenFile& file, const std::string& path, std::uint64_t max_file_size) {
  Settler settler;
  for (int readings = 0; readings < kMostReadings; ++readings) {
    auto snapshot = read_snapshot(file, path, max_file_size);
    if (!snapshot) return tl::unexpected(std::move(snapshot.error()));
    if (snapshot->bytes[0] != kVersion1) {
      ParsedFile content;
      parse(snapshot->bytes, content);
      return tl::unexpected(
          failure(ErrorKind::kNotMmstats, path, "is not an mmstats file: " + content.damage->message));
    }
    if (settler.add(std::move(*snapshot))) break;
  }
  return std::move(settler).finish();
}

}  // namespace mmstats

#include "mmstats/settle.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>
#include <variant>

#include "base/descriptor.h"
#include "base/failure.h"

namespace mmstats {
namespace {

constexpr std::size_t kPiece = 32U << 10U;  // bytes on the stack: most files are smaller

Expected<Snapshot> read_version1(const OpenFile& file, const std::string& path, std::uint64_t max_file_size) {
  auto snapshot = read_snapshot(file, path, max_file_size);
  if (!snapshot || snapshot->bytes[0] == kVersion1) return snapshot;
  ParsedFile content;
  parse(snapshot->bytes, content);
  return tl::unexpected(
      failure(ErrorKind::kNotMmstats, path, "is not an mmstats file: " + content.damage->message));
}

// Whether another reading of the file finds just these bytes. False also if it cannot be read.
bool reads_again(const OpenFile& file, std::span<const std::byte> bytes) {
  std::array<std::byte, kPiece> again;  // NOLINT(*-member-init): it is written by the system
  for (std::size_t at = 0;;) {
    const std::size_t left = bytes.size() - at;
    // One byte more, so that a file that grew is noticed.
    const ssize_t got = read_some(file.fd(), at, std::span(again).first(std::min(kPiece, left + 1)));
    if (got < 0 || static_cast<std::size_t>(got) > left) return false;
    const auto size = static_cast<std::size_t>(got);
    if (std::memcmp(again.data(), bytes.data() + at, size) != 0) return false;
    at += size;
    // A reading that gets less than it asks for is at the file's end.
    if (at == bytes.size() && size < kPiece) return true;
    if (got == 0) return at == bytes.size();
  }
}

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
  auto first = read_version1(file, path, max_file_size);
  if (!first) return tl::unexpected(std::move(first.error()));
  // Mostly nothing changes, and equal bytes say the same.
  if (reads_again(file, first->bytes)) {
    Reading reading;
    reading.snapshot = std::move(*first);
    parse(reading.snapshot.bytes, reading.content);
    return reading;
  }
  Settler settler;
  bool settled = settler.add(std::move(*first));
  for (int readings = 1; !settled && readings < kMostReadings; ++readings) {
    auto snapshot = read_version1(file, path, max_file_size);
    if (!snapshot) return tl::unexpected(std::move(snapshot.error()));
    settled = settler.add(std::move(*snapshot));
  }
  return std::move(settler).finish();
}

}  // namespace mmstats

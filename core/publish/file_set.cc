#include "publish/file_set.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <new>
#include <span>
#include <utility>

#include "base/failure.h"
#include "base/keyed_hash.h"
#include "format/bucket_field.h"
#include "format/dimensions.h"
#include "format/file_name.h"
#include "format/owner.h"
#include "mmstats/format.h"
#include "publish/bucket_table.h"
#include "publish/no_signals.h"

namespace mmstats {

using detail::FieldSpec;

namespace {

constexpr std::size_t kMetadataSpare = 1024;       // for fields that come later
constexpr std::size_t kMetadataMore = 4096;        // when that is used up
constexpr std::size_t kMaxMetadataLines = 60'000;  // bytes in one sys.metadata
constexpr std::size_t kSystemFields = 8192;        // bytes that they take at most, without lines and prefixes
constexpr std::size_t kMaxSystemFields = 32;       // with all sys.metadata that a full file can have
constexpr std::size_t kMaxRoom = 9'000'000;        // bytes of one: its type has seven digits
constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kMaxHead = kCacheLine + 16;  // bytes of a field beside its label and values

// What a field says of itself, in `line`, which is empty. It stays so if convention says the same, or if no
// line can.
void write_metadata_line(std::string& line, const std::string& label, Kind kind, const About& about) {
  const bool evident = kind == Kind::kProperty && about.unit.empty() && about.help.empty();
  if (evident) return;
  line.append(label).append(1, '\t').append(to_string(kind));
  if (!about.unit.empty() || !about.help.empty()) append_one_line(line += '\t', about.unit);
  if (!about.help.empty()) append_one_line(line += '\t', about.help);
  line += '\n';
  if (line.size() > kMaxMetadataLines) line.clear();
}

// What the file says of a histogram. Empty if no line can.
std::string histogram_line(const std::string& stem, unsigned bits, const About& about) {
  auto line = stem + '\t' + std::string(kHistogramKind) + '\t' + one_line(about.unit) + '\t' +
              one_line(about.help) + '\t' + bucket_scheme(bits) + '\n';
  return line.size() > kMaxMetadataLines ? std::string{} : line;
}

// Appends a field to what a file begins with. Returns where its write buffer byte is. Blanks before the
// type's code mean nothing to readers: as many as make the values end, and the next field begin, at a
// multiple of `alignment`. Then values are aligned to their size. `removable`: there is one at least.
std::size_t encode(std::vector<std::byte>& image, const FieldSpec& spec, std::string_view label,
                   bool removable) {
  const std::size_t offset = image.size();
  const std::size_t alignment = spec.shared ? kCacheLine : sizeof(std::uint64_t);
  const std::size_t values = spec.buffered ? 2 * spec.size : spec.size;
  const std::size_t unpadded = offset + 2 + label.size() + 2 + spec.type.size() + 1 + values;
  const std::size_t needed = (alignment - unpadded % alignment) % alignment;
  const std::size_t blanks = removable && needed == 0 ? alignment : needed;

  image.resize(unpadded + blanks);
  std::byte* into = image.data() + offset;
  const auto put = [&](const void* data, std::size_t size) {
    std::memcpy(into, data, size);
    into += size;
  };
  const auto put_size = [&](std::size_t size) {
    const auto number = static_cast<std::uint16_t>(size);
    put(&number, sizeof number);
  };
  put_size(label.size());
  put(label.data(), label.size());
  put_size(blanks + spec.type.size());
  std::memset(into, ' ', blanks);
  into += blanks;
  put(spec.type.data(), spec.type.size());
  const auto write_buffer = static_cast<std::size_t>(into - image.data());
  // Buffer 0 is published. Numbers stay there for good; texts flip.
  *into++ = std::byte{spec.buffered ? std::uint8_t{1} : kUnbuffered};
  if (spec.initial == nullptr) return write_buffer;
  put(spec.initial, spec.size);
  if (spec.buffered) put(spec.initial, spec.size);
  return write_buffer;
}

}  // namespace

const std::byte FileSet::kFirstByte = kVersion1;

// Whether a field of so many bytes fits, and `line` of metadata with it: without that it might be taken for
// another kind. What is added for alignment is counted in full.
bool FileSet::has_room(std::size_t field, std::string_view line) const {
  std::size_t end = image_.size() + room_wanted_ + kMaxHead + field;
  if (!complete_) {
    end += kSystemFields + kMaxSystemFields * options_.label_prefix.size() + metadata_.size() + line.size();
  } else if (metadata_at_ + line.size() > metadata_end_) {
    end += kMaxHead + with_prefix(options_, kMetadataLabel).size() + std::max(kMetadataMore, line.size());
  }
  return end <= size_.file;
}

std::optional<std::uint32_t> FileSet::publish(const FieldSpec& spec, const std::string& label,
                                              const About& about, KnownFamily* family,
                                              std::vector<Error>& errors) {
  const Kind kind = about.kind.value_or(spec.kind);
  std::string& line = line_;
  line.clear();
  if (options_.system_fields && family == nullptr) write_metadata_line(line, label, kind, about);
  // Of histograms the field that has the buckets knows the scheme.
  const bool describes =
      family != nullptr && !family->described && (!family->of_histograms || spec.bucket_bits.has_value());
  if (options_.system_fields && describes) line = family->line(spec, kind);
  if (!has_room(label.size() + 2 * spec.size, line)) return std::nullopt;
  if (!line.empty()) describe(line, errors);
  if (describes) family->described = true;
  const auto offset = append(spec, label, family != nullptr, errors);
  const bool is_fact = kind == Kind::kProperty && !spec.buffered;
  if (kind != Kind::kCounter && !is_fact) fresh_.add_field(offset, spec);
  return offset;
}

// Appends a field to what every file begins with, and to the files that are there.
std::uint32_t FileSet::append(const FieldSpec& spec, std::string_view label, bool removable,
                              std::vector<Error>& errors) {
  const std::size_t offset = image_.size();
  const std::size_t write_buffer = encode(image_, spec, label, removable);
  for (Region* region : regions_) {
    if (auto appended = region->append(offset, std::span(image_).subspan(offset)); !appended)
      errors.push_back(appended.error());
  }
  return static_cast<std::uint32_t>(write_buffer);
}

// A field that is written once. Returns where its value is.
std::size_t FileSet::append_property(std::string_view label, std::string_view type, std::size_t size,
                                     const void* value, std::vector<Error>& errors) {
  const FieldSpec spec{.label = label,
                       .type = type,
                       .size = size,
                       .buffered = false,
                       .shared = false,
                       .kind = Kind::kProperty,
                       .initial = value};
  return append(spec, with_prefix(options_, label), false, errors) + 1;
}

std::optional<std::uint32_t> FileSet::add_memory(std::size_t size, bool kept) {
  return add_memory(size, kept, size_.memory - for_tables_);
}

// `most`: of the memory that may be given away.
std::optional<std::uint32_t> FileSet::add_memory(std::size_t size, bool kept, std::size_t most) {
  if (memory_ > most || size > most - memory_) return std::nullopt;
  const std::size_t end = (memory_ + size + kCacheLine - 1) / kCacheLine * kCacheLine;
  for (Region* region : regions_) region->provide_memory(end);
  if (!kept) fresh_.add_memory(size_.file + memory_, end - memory_);
  return static_cast<std::uint32_t>(size_.file + std::exchange(memory_, end));
}

std::optional<std::uint32_t> FileSet::add_buckets(const std::string& stem, unsigned bits, const About& about,
                                                  const KnownFamily* family, std::vector<Error>& errors) {
  const auto line = family == nullptr ? histogram_line(stem, bits, about) : std::string();
  const std::size_t room = room_bytes(stem, bits);
  if (!options_.system_fields || (line.empty() && family == nullptr) || room > kMaxRoom) return std::nullopt;
  if (!has_room(room + kMaxHead + with_prefix(options_, kRoomLabel).size(), line)) return std::nullopt;
  const bool shares = !without_room_.empty() && last_room_wanted_ + room <= kMaxRoom;
  const auto room_at = shares ? without_room_.back().room_at : add_memory(sizeof(Room), true, size_.memory);
  const auto at = add_memory(table_bytes(stem), true, size_.memory);
  if (!room_at || !at) return std::nullopt;
  if (!line.empty()) describe(line, errors);
  Table table{.at = *at, .room_at = *room_at, .stem = stem, .bits = bits};
  if (complete_) {
    add_room({&table, 1}, errors);
  } else {
    without_room_.push_back(std::move(table));
    room_wanted_ += room;
    last_room_wanted_ = shares ? last_room_wanted_ + room : room;
  }
  return at;
}

// Appends one room for the tables, which share it.
void FileSet::add_room(std::span<const Table> tables, std::vector<Error>& errors) {
  const std::uint32_t at = tables.front().room_at;
  // A field ends at a multiple of eight: so its write buffer byte is at one, and the word before that.
  std::size_t bytes = sizeof(std::uint64_t) - 1;
  for (const Table& table : tables) bytes += room_bytes(table.stem, table.bits);
  const auto type = room_type(bytes);
  const FieldSpec spec{
      .label = kRoomLabel, .type = type, .size = bytes, .buffered = false, .kind = Kind::kProperty};
  const std::size_t write_buffer = append(spec, with_prefix(options_, kRoomLabel), false, errors);
  const auto distance = [](std::size_t from, std::size_t to) {
    return static_cast<std::int32_t>(static_cast<std::int64_t>(to) - static_cast<std::int64_t>(from));
  };
  BucketRoom& room = rooms_.emplace_back(BucketRoom{
      .begin = write_buffer - sizeof(std::uint64_t), .end = image_.size(), .memory = {}, .at = at});
  room.memory.emplace_back(at, room_image(distance(at, room.begin), bytes));
  for (const Table& table : tables) {
    room.memory.emplace_back(table.at, table_image(table.stem, table.bits, distance(table.at, at)));
    room.tables.emplace_back(table.at, table.bits);
  }
  for (Region* region : regions_) begin_memory(*region, room);
}

void FileSet::set_removed(const PublishedField& field, bool removed) {
  const auto write = [&](std::byte* file) {
    std::atomic_ref(reinterpret_cast<char&>(file[field.blank()]))
        .store(removed ? kRemovedBlank : ' ', std::memory_order_relaxed);
  };
  write(image_.data());
  for (Region* region : regions_) region->write(write);
}

void FileSet::for_each_change(const PublishedField& field,
                              const std::function<void(std::uint64_t)>& visit) const {
  // Whole words, in which values of up to eight bytes are as they were stored.
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  const std::size_t value = field.write_buffer + 1;
  const std::size_t begin = field.write_buffer / kWord * kWord;
  const std::size_t end = value + field.bytes;
  for_each_value(value, [&](std::byte* in_file) {
    for (std::size_t at = begin; at + kWord <= end; at += kWord) {
      auto& word = *reinterpret_cast<std::uint64_t*>(in_file - value + at);
      // What is before the value, in its first word, is the type, in which set_removed() writes.
      const std::uint64_t of_value =
          at == begin ? ~std::uint64_t{0} << 8 * (field.write_buffer - begin) : ~std::uint64_t{0};
      const std::uint64_t now = std::atomic_ref(word).load(std::memory_order_relaxed) & of_value;
      std::uint64_t first = 0;
      std::memcpy(&first, image_.data() + at, sizeof first);
      first &= of_value;
      if (now != first) visit(keyed_hash(reinterpret_cast<std::uintptr_t>(&word), now));
    }
  });
}

void FileSet::begin_memory(Region& region, const BucketRoom& room) {
  for (const auto& [at, image] : room.memory) std::memcpy(region.address() + at, image.data(), image.size());
}

// Of a file that was cut: what was lost begins anew. So do all buckets of a room of which a part was lost, as
// its list of fields would end there. Of the others, what the thread wrote while another one left the file
// may be lost: its table knows of fields that the list has not, or ends at.
void FileSet::restore(Region& region) {
  const NoSignals no_signals;  // a handler's additions belong before this, or behind
  const std::size_t lost_from = region.lost_from();
  region.restore(image_for(is_left(&region) ? 0 : ::gettid()));
  for (const BucketRoom& room : rooms_) {
    if (room.end > lost_from) {
      std::memcpy(region.address() + room.begin, image_.data() + room.begin, room.end - room.begin);
      begin_memory(region, room);
      continue;
    }
    for (const auto& [at, bits] : room.tables)
      reinterpret_cast<BucketTable*>(region.address() + at)->write_heads(bits);
    reinterpret_cast<Room*>(region.address() + room.at)->show();
  }
}

// Adds to the last sys.metadata, as far as there is room, else to one more.
void FileSet::describe(std::string_view line, std::vector<Error>& errors) {
  if (!complete_) {
    metadata_ += line;
  } else if (metadata_at_ + line.size() > metadata_end_) {
    append_metadata(std::string(line), std::max(kMetadataMore, line.size()), errors);
  } else {
    const auto write = [&](std::byte* file) {
      // A NUL ends the text: the first byte makes the line appear.
      std::memcpy(file + metadata_at_ + 1, line.data() + 1, line.size() - 1);
      std::atomic_ref(reinterpret_cast<char&>(file[metadata_at_]))
          .store(line.front(), std::memory_order_release);
    };
    write(image_.data());
    for (Region* region : regions_) region->write(write);
    metadata_at_ += line.size();
  }
}

void FileSet::append_metadata(std::string lines, std::size_t size, std::vector<Error>& errors) {
  const std::size_t used = lines.size();
  lines.resize(size, '\0');
  const std::size_t at =
      append_property(kMetadataLabel, std::to_string(size) + 's', size, lines.data(), errors);
  metadata_at_ = at + used;
  metadata_end_ = at + size;
}

// Before the first file is made: the fields that every file has.
void FileSet::complete(std::vector<Error>& errors) {
  if (std::exchange(complete_, true) || !options_.system_fields) return;
  pid_at_ = append_property("sys.pid", "I", sizeof(std::uint32_t), nullptr, errors);
  tid_at_ = append_property("sys.tid", "q", sizeof(std::int64_t), nullptr, errors);
  uid_at_ = append_property("sys.uid", "Q", sizeof(std::uint64_t), nullptr, errors);
  gid_at_ = append_property("sys.gid", "Q", sizeof(std::uint64_t), nullptr, errors);
  created_at_ = append_property("sys.created", "d", sizeof(double), nullptr, errors);
  metadata_.insert(0,
                   with_prefix(options_, kWriterLabel) + "\tproperty\t\t" + std::string(kWriterMaps) + '\n');
  while (metadata_.size() > kMaxMetadataLines) {
    const std::size_t end = metadata_.rfind('\n', kMaxMetadataLines - 1) + 1;
    append_metadata(metadata_.substr(0, end), end, errors);
    metadata_.erase(0, end);
  }
  const std::size_t size = metadata_.size() + kMetadataSpare;
  append_metadata(std::exchange(metadata_, {}), size, errors);
  for (std::span<const Table> left = without_room_; !left.empty();) {
    const auto end = std::find_if(left.begin(), left.end(),
                                  [&](const Table& table) { return table.room_at != left.front().room_at; });
    const auto tables = left.first(static_cast<std::size_t>(end - left.begin()));
    add_room(tables, errors);
    left = left.subspan(tables.size());
  }
  without_room_.clear();
  room_wanted_ = 0;
}

Region* FileSet::take_left(std::int64_t tid) {
  if (left_.empty()) return nullptr;
  Region* const region = left_.back();
  left_.pop_back();
  left_set_.erase(region);
  // What could not be made for the thread that left it, perhaps, can by now. It was told.
  if (!region->is_file()) static_cast<void>(publish_again(*region, std::to_string(tid)));
  store_tid(*region, tid);
  return region;
}

// 0: no thread has the file. What is stored before is seen by whoever sees it, and what is stored after it is
// not seen by whoever does not: the first needs a release, the second the fence behind. An exchange has both
// on x86-64 alone: elsewhere its acquire is of the load, and stores behind may overtake its store.
void FileSet::store_tid(Region& region, std::int64_t tid) const {
  if (tid_at_ == 0) return;
  auto& stored = *reinterpret_cast<std::int64_t*>(region.address() + tid_at_);
  std::atomic_ref(stored).store(tid, std::memory_order_release);
#if !defined(__SANITIZE_THREAD__)  // it knows no fences, and sees no other process
  std::atomic_thread_fence(std::memory_order_release);
#endif
}

std::span<const std::byte> FileSet::image_for(std::int64_t tid) {
  const auto write = [&](std::size_t at, auto value) {
    if (at != 0) std::memcpy(image_.data() + at, &value, sizeof value);
  };
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  write(pid_at_, static_cast<std::uint32_t>(::getpid()));
  write(tid_at_, tid);
  write(uid_at_, std::uint64_t{::getuid()});
  write(gid_at_, std::uint64_t{::getgid()});
  write(created_at_, std::chrono::duration<double>(now).count());
  return image_;
}

Expected<void> FileSet::fill(Region& region, std::string_view thread, std::int64_t tid,
                             std::vector<Error>& errors) {
  complete(errors);
  const auto image = image_for(tid);
  // First what there may be no memory for: then there is no file either.
  region.provide_memory(memory_);
  auto filled =
      region.fill(image, published_ ? file_path(options_.path, options_.file_name, thread) : std::string{},
                  options_.mode);
  region.provide_memory(memory_);  // without a file all began anew
  for (const BucketRoom& room : rooms_) begin_memory(region, room);
  regions_.push_back(&region);
  return filled;
}

Region* FileSet::find(const std::byte* address) const {
  const auto found = std::find_if(regions_.begin(), regions_.end(),
                                  [&](const Region* region) { return region->address() == address; });
  return found == regions_.end() ? nullptr : *found;
}

bool FileSet::is_file(const std::byte* address) const {
  const Region* const region = find(address);
  return region != nullptr && region->is_file();
}

bool FileSet::is_published(const std::byte* address) const {
  const Region* const region = find(address);
  return region != nullptr && region->is_published();
}

Expected<void> FileSet::publish_again(Region& region, std::string_view thread) {
  if (!published_ || region.is_published()) return {};
  if (region.is_cut()) static_cast<void>(region.leave_cut_file());
  if (region.lost_bytes()) {
    restore(region);
    cut_ = failure(ErrorKind::kChanged, region.path(),
                   "was cut by somebody: values are lost, and the fields began anew");
  }
  return region.publish_again(
      region.is_file() ? region.path() : file_path(options_.path, options_.file_name, thread), options_.mode);
}

void FileSet::publish_again(const std::byte* mine, std::string_view thread, std::vector<Error>& wrong) {
  if (!published_) return;
  for (Region* region : regions_) {
    if (region->address() == mine || is_left(region)) {
      if (auto made = publish_again(*region, thread); !made) wrong.push_back(made.error());
    } else if (!region->is_published()) {
      wrong.push_back(failure(ErrorKind::kChanged, region->path(),
                              "has no file now, and only the thread that writes it can make one: by "
                              "Model::open(), or when it ends"));
    }
  }
}

void FileSet::give_to_children(const std::byte* address, bool given) {
  if (Region* const region = find(address)) region->give_to_children(given);
}

void FileSet::leave(const std::byte* address) {
  Region* const left = find(address);
  if (left == nullptr) return;
  // First this: no reader may take what a file begins with for what a thread has.
  store_tid(*left, 0);
  fresh_.restore(left->address());
  try {
    if (!left->is_file()) static_cast<void>(publish_again(*left, std::to_string(::gettid())));
    left_.reserve(left_.size() + 1);
    left_set_.insert(left);
    left_.push_back(left);
  } catch (const std::bad_alloc&) {
    // A thread that ends can tell nobody. Its file stays as it is, but no other thread takes it over.
  }
}

void FileSet::release(std::vector<Region*>& into) {
  into.insert(into.end(), regions_.begin(), regions_.end());
  regions_.clear();
  left_.clear();
  left_set_.clear();
}

}  // namespace mmstats

#include "publish/bucket_table.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "format/bucket_field.h"
#include "mmstats/format.h"

namespace mmstats {
namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);
constexpr std::size_t kMostDigits = 3;  // of a power: -30

// The word for a room of so many bytes: " 123456s".
std::uint64_t room_word(std::uint32_t bytes) {
  char text[kWord];
  std::memset(text, ' ', sizeof text);
  char digits[kWord];
  const auto end = std::to_chars(digits, digits + sizeof digits, bytes).ptr;
  const auto size = static_cast<std::size_t>(end - digits);
  std::memcpy(text + kWord - 1 - size, digits, size);
  text[kWord - 1] = 's';
  std::uint64_t word = 0;
  std::memcpy(&word, text, sizeof word);
  return word;
}

std::string items_type(unsigned bits) { return std::to_string(1U << bits) + 'Q'; }

// Bytes of a field before its counters: the same for all powers, and a multiple of eight.
std::size_t head_bytes(std::string_view label, unsigned bits) {
  const std::size_t bytes =
      2 + bucket_label(label, 0).size() - 1 + kMostDigits + 2 + items_type(bits).size() + 1;
  return (bytes + kWord - 1) / kWord * kWord;
}

// What a field of buckets begins with. `head`: so many bytes; the type's blanks fill them.
void write_head(std::byte* into, std::size_t head, std::string_view before_power, int power,
                std::string_view type) {
  char digits[8];
  const auto end = std::to_chars(digits, digits + sizeof digits, power).ptr;
  const auto put = [&](const void* from, std::size_t size) {
    std::memcpy(into, from, size);
    into += size;
  };
  const auto put_size = [&](std::size_t size) {
    const auto number = static_cast<std::uint16_t>(size);
    put(&number, sizeof number);
  };
  const auto digits_size = static_cast<std::size_t>(end - digits);
  put_size(before_power.size() + digits_size);
  put(before_power.data(), before_power.size());
  put(digits, digits_size);
  const std::size_t type_bytes = head - (2 + before_power.size() + digits_size + 2 + 1);
  put_size(type_bytes);
  std::memset(into, ' ', type_bytes - type.size());
  into += type_bytes - type.size();
  put(type.data(), type.size());
  *into = std::byte{kUnbuffered};
}

}  // namespace

std::size_t bucket_field_bytes(std::string_view label, unsigned bits) {
  return head_bytes(label, bits) + (kWord << bits);
}

std::size_t room_bytes(std::string_view label, unsigned bits) {
  // One more than there are powers: a handler may make the field that it interrupts.
  return (buckets::kPowers + 1) * bucket_field_bytes(label, bits);
}

std::size_t table_bytes(std::string_view label) {
  return sizeof(BucketTable) + bucket_label(label, 0).size();
}

std::size_t private_table_bytes(unsigned bits) {
  return sizeof(BucketTable) + (buckets::kPowers * kWord << bits);
}

std::string room_type(std::size_t bytes) {
  std::string type(kWord, ' ');
  const std::uint64_t word = room_word(static_cast<std::uint32_t>(bytes));
  std::memcpy(type.data(), &word, sizeof word);
  return type;
}

std::vector<std::byte> table_image(std::string_view label, unsigned bits, std::int32_t room) {
  std::vector<std::byte> image(table_bytes(label));
  BucketTable table{};
  table.room = room;
  table.head = static_cast<std::uint32_t>(head_bytes(label, bits));
  std::memcpy(image.data(), static_cast<const void*>(&table), sizeof table);
  auto before_power = bucket_label(label, 0);
  before_power.pop_back();
  before_power.push_back('\0');
  std::memcpy(image.data() + sizeof table, before_power.data(), before_power.size());
  return image;
}

std::vector<std::byte> room_image(std::int32_t word, std::size_t bytes) {
  std::vector<std::byte> image(sizeof(Room));
  Room room{};
  room.word = word;
  room.bytes = static_cast<std::uint32_t>(bytes);
  std::memcpy(image.data(), static_cast<const void*>(&room), sizeof room);
  return image;
}

std::uint64_t* BucketTable::open(std::uint32_t power, unsigned bits) noexcept {
  auto* const here = reinterpret_cast<std::byte*>(this);
  const std::size_t size = kWord << bits;
  if (room == 0) {
    std::byte* const counters = here + sizeof *this + power * size;
    at[power].store(static_cast<std::int32_t>(counters - here), std::memory_order_relaxed);
    return reinterpret_cast<std::uint64_t*>(counters);
  }
  auto& from = *reinterpret_cast<Room*>(here + room);
  auto* const word = reinterpret_cast<std::byte*>(&from) + from.word;
  std::byte* const room_begin = word + kWord + 1;  // behind the word and the write buffer byte
  from.takers.fetch_add(1, std::memory_order_relaxed);
  const auto field = static_cast<std::uint32_t>(head + size);
  const std::uint32_t taken = from.taken.fetch_add(field, std::memory_order_relaxed) + field;
  std::int32_t distance = 0;
  if (taken > from.bytes) {
    from.taken.fetch_sub(field, std::memory_order_relaxed);
  } else {
    std::byte* const begin = room_begin + from.bytes - taken;
    char type[4] = {};
    char* const type_end = std::to_chars(type, type + sizeof type - 1, 1U << bits).ptr;
    *type_end = 'Q';
    write_head(begin, head, reinterpret_cast<const char*>(this + 1),
               buckets::kLowestExponent + static_cast<int>(power),
               {type, static_cast<std::size_t>(type_end + 1 - type)});
    const auto mine = static_cast<std::int32_t>(begin + head - here);
    if (at[power].compare_exchange_strong(distance, mine, std::memory_order_relaxed)) distance = mine;
  }
  // Whoever is interrupted has a field that is not whole, before those of its handlers: he shows them all.
  if (from.takers.fetch_sub(1, std::memory_order_relaxed) == 1) {
    const std::atomic_ref left(*reinterpret_cast<std::uint64_t*>(word));
    std::uint64_t before = left.load(std::memory_order_relaxed);
    while (!left.compare_exchange_strong(before,
                                         room_word(from.bytes - from.taken.load(std::memory_order_relaxed)),
                                         std::memory_order_release)) {
    }
  }
  if (distance == 0) return nullptr;
  return reinterpret_cast<std::uint64_t*>(here + distance);
}

}  // namespace mmstats

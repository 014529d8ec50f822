#include "publish/bucket_table.h"

#include <bit>
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
  auto* const end = std::to_chars(digits, digits + sizeof digits, bytes).ptr;
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
  auto* const end = std::to_chars(digits, digits + sizeof digits, power).ptr;
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

// What Room::state holds.
constexpr std::size_t kTableUnit = 64;
constexpr unsigned kPowerBits = 7;
static_assert(buckets::kPowers < 1U << kPowerBits);

std::uint32_t taken_of(std::uint64_t state) { return static_cast<std::uint32_t>(state); }
bool is_entering(std::uint64_t state) { return state >> 32U != 0; }

std::uint64_t entering(std::uint32_t taken, std::size_t table, std::uint32_t power) {
  return std::uint64_t{table / kTableUnit} << (32 + kPowerBits) | std::uint64_t{power} << 32U | taken;
}

std::byte* begin_of(Room& room) {  // behind the word and the write buffer byte
  return reinterpret_cast<std::byte*>(&room) + room.word + kWord + 1;
}

// Enters the last field that was taken into its table. It may be entered already: this changes nothing then.
void enter(Room& room, std::uint64_t state) {
  const auto table_at = static_cast<std::size_t>(state >> (32 + kPowerBits)) * kTableUnit;
  std::byte* const here = reinterpret_cast<std::byte*>(&room) + table_at;
  auto& table = *reinterpret_cast<BucketTable*>(here);
  const auto power = static_cast<std::uint32_t>(state >> 32U) & ((1U << kPowerBits) - 1);
  std::byte* const counters = begin_of(room) + room.bytes - taken_of(state) + table.head;
  table.at[power].store(static_cast<std::int32_t>(counters - here), std::memory_order_relaxed);
  room.state.compare_exchange_strong(state, taken_of(state), std::memory_order_relaxed);
}

}  // namespace

std::size_t bucket_field_bytes(std::string_view label, unsigned bits) {
  return head_bytes(label, bits) + (kWord << bits);
}

std::size_t room_bytes(std::string_view label, unsigned bits) {
  return buckets::kPowers * bucket_field_bytes(label, bits);
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
  if (room == 0) {
    const std::size_t distance = sizeof *this + power * (kWord << bits);
    at[power].store(static_cast<std::int32_t>(distance), std::memory_order_relaxed);
  } else {
    auto& from = *reinterpret_cast<Room*>(here + room);
    from.takers.fetch_add(1, std::memory_order_relaxed);
    take(from, power, bits);
    // Whoever is interrupted has a field that is not whole, before those of its handlers: he shows them all.
    if (from.takers.fetch_sub(1, std::memory_order_acq_rel) == 1) from.show();
  }
  return reinterpret_cast<std::uint64_t*>(here + at[power].load(std::memory_order_relaxed));
}

void Room::show() noexcept {
  const std::atomic_ref left(*reinterpret_cast<std::uint64_t*>(reinterpret_cast<std::byte*>(this) + word));
  std::uint64_t before = left.load(std::memory_order_relaxed);
  while (!left.compare_exchange_strong(before,
                                       room_word(bytes - taken_of(state.load(std::memory_order_relaxed))),
                                       std::memory_order_release)) {
  }
}

void BucketTable::write_heads(unsigned bits) noexcept {
  for (std::uint32_t power = 0; power < buckets::kPowers; ++power) {
    if (auto* const counted = known(power))
      write_head(reinterpret_cast<std::byte*>(counted) - head, power, bits);
  }
}

void BucketTable::write_head(std::byte* into, std::uint32_t power, unsigned bits) const noexcept {
  char type[4] = {};
  char* const type_end = std::to_chars(type, type + sizeof type - 1, 1U << bits).ptr;
  *type_end = 'Q';
  mmstats::write_head(into, head, reinterpret_cast<const char*>(this + 1),
                      buckets::kLowestExponent + static_cast<int>(power),
                      {type, static_cast<std::size_t>(type_end + 1 - type)});
}

// Takes bytes for a field of that power, and writes what it begins with; unless there is one by now. There is
// room for one of each.
void BucketTable::take(Room& from, std::uint32_t power, unsigned bits) noexcept {
  const auto field = static_cast<std::uint32_t>(head + (kWord << bits));
  const auto distance = static_cast<std::size_t>(-static_cast<std::int64_t>(room));
  std::uint64_t mine = 0;
  for (std::uint64_t state = from.state.load(std::memory_order_relaxed);;) {
    if (is_entering(state)) {
      enter(from, state);
      state = from.state.load(std::memory_order_relaxed);
      continue;
    }
    if (at[power].load(std::memory_order_relaxed) != 0) return;
    mine = entering(taken_of(state) + field, distance, power);
    if (from.state.compare_exchange_strong(state, mine, std::memory_order_relaxed)) break;
  }
  enter(from, mine);
  write_head(begin_of(from) + from.bytes - taken_of(mine), power, bits);
}

}  // namespace mmstats

// Where a thread's buckets are: in fields of its file that are made when a power of two has its first value,
// from room which was allocated with the histogram. No system call, no lock; a signal's handler may do so
// amid another one of its thread.
//
// The room is one text field, sys.room, whose bytes nobody reads. The count in its type is one aligned word
// of eight bytes. A field for buckets is written into the end of the room; then a store of that word makes
// the room shorter by as much, and what was its end is the next field of the list. So the list is whole at
// any moment, and fields behind the room are at the same offset in all threads.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/buckets.h"

namespace mmstats {

// The room of one file, in the private memory behind it. All zeros: there is none.
struct Room {
  std::int32_t word;    // from here to the word in the file
  std::uint32_t bytes;  // how many can be taken
  // How many are taken (32 bits), and the last field among them, if its table does not know it yet: the power
  // of two (7 bits), and the distance of the table, which lies behind, in units of 64 bytes. One word: who
  // takes bytes says in the same moment what for. A handler that interrupts him enters the field in his
  // stead, and no bytes are taken twice for the same power.
  std::atomic<std::uint64_t> state;
  std::atomic<std::uint32_t> takers;  // this thread, and handlers that interrupted it

  // Makes the fields that are taken a part of the file's list.
  void show() noexcept;
};

// Of one histogram in one thread, in private memory, followed by what a field begins with, or, if there is no
// room, by the counters themselves. All zeros is a table without room.
struct BucketTable {
  std::atomic<std::int32_t> at[buckets::kPowers];  // from here to the counters of a power; 0: none yet
  std::int32_t room;                               // from here to its Room; 0: none
  std::uint32_t head;                              // bytes before the counters of a field

  // This thread's counters of a power of two, 2^bits of them.
  std::uint64_t* counters(std::uint32_t power, unsigned bits) noexcept {
    const std::int32_t distance = at[power].load(std::memory_order_relaxed);
    if (distance == 0) [[unlikely]]
      return open(power, bits);
    return reinterpret_cast<std::uint64_t*>(reinterpret_cast<std::byte*>(this) + distance);
  }
  // The same, null if there was no value of that power.
  [[nodiscard]] std::uint64_t* known(std::uint32_t power) noexcept {
    const std::int32_t distance = at[power].load(std::memory_order_relaxed);
    if (distance == 0) [[unlikely]]
      return nullptr;
    return reinterpret_cast<std::uint64_t*>(reinterpret_cast<std::byte*>(this) + distance);
  }

  // Writes again what its fields begin with; Room::show() is to follow. Precondition: the thread takes none
  // meanwhile.
  void write_heads(unsigned bits) noexcept;

 private:
  [[gnu::cold, gnu::noinline]] std::uint64_t* open(std::uint32_t power, unsigned bits) noexcept;
  void write_head(std::byte* into, std::uint32_t power, unsigned bits) const noexcept;
  void take(Room& from, std::uint32_t power, unsigned bits) noexcept;
};

// Bytes of a field of buckets, of a room for all of a histogram, and of a table, in a file or without one.
// `label`: the histogram's, with its prefix.
std::size_t bucket_field_bytes(std::string_view label, unsigned bits);
std::size_t room_bytes(std::string_view label, unsigned bits);
std::size_t table_bytes(std::string_view label);
std::size_t private_table_bytes(unsigned bits);

// The type of a room of so many bytes, its last eight being the word.
std::string room_type(std::size_t bytes);

// What a table and a Room begin with in each thread. `room`: from the table to the Room.
std::vector<std::byte> table_image(std::string_view label, unsigned bits, std::int32_t room);
std::vector<std::byte> room_image(std::int32_t word, std::size_t bytes);

}  // namespace mmstats

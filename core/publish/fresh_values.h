// What a thread's end takes back: the values in its file that are of this moment, so that the next thread
// that has the file begins with what a new file has. Counters are not among them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mmstats/model.h"

namespace mmstats {

// One thread at a time.
class FreshValues {
 public:
  // Of a field whose write buffer byte is at `offset` of each file; later ones lie behind it.
  void add_field(std::size_t offset, const detail::FieldSpec& spec);
  // Of private memory, all zeros at first; it lies behind what was added before.
  void add_memory(std::size_t offset, std::size_t size);
  // Whether the first value of a field at `offset` is among them.
  [[nodiscard]] bool has(std::size_t offset) const;

  // Gives the file at `file` its first values. Readers see no half of one. Precondition: no thread writes
  // there.
  void restore(std::byte* file) const;

 private:
  struct Field {
    std::size_t offset;
    bool buffered;
    std::vector<std::byte> initial;
  };
  struct Memory {
    std::size_t offset;
    std::size_t size;
  };
  std::vector<Field> fields_;
  std::vector<Memory> memory_;
};

}  // namespace mmstats

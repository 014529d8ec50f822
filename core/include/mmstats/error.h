// What can go wrong, kept as two outcomes:
//  - a call that cannot deliver returns Expected<T>, holding an Error;
//  - damage inside a file that could be read is data (Damage), beside the fields that were good.
// Nothing in this library prints, aborts or throws anything but std::bad_alloc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "mmstats/cpp20.h"
#include "mmstats/export.h"

namespace mmstats {

enum class ErrorKind : std::uint8_t {
  kNotFound,    // no such file or folder
  kDenied,      // the system's permissions forbid it
  kNotRegular,  // a folder, FIFO, socket, device or symbolic link; it was not read
  kTooLarge,    // larger than the limit that the caller set
  kUnfinished,  // empty, or its first byte is 0: its writer has not finished; try again later
  kNotMmstats,  // the first byte names no version that we know
  kDamaged,     // some fields are lost; the offset says from where
  kChanged,     // the file kept changing, or was cut, while it was read
  kBusy,        // a process still writes it, or that cannot be ruled out
  kLimit,       // a bound of ours (files, series) or of the system (descriptors) is reached
  kInvalid,     // an argument is wrong: a pattern, an option, a label
  kIo,          // any other failure of the system
};

struct Error {
  ErrorKind kind = ErrorKind::kIo;
  std::string path;          // the file or folder; empty where none is concerned
  std::uint64_t offset = 0;  // byte in the file, where one is to blame
  int sys_errno = 0;         // errno of the failed call, 0 if no call failed
  std::string message;       // what happened and what to do; without path and errno text

  // One line for people: "PATH: MESSAGE: strerror", parts that do not apply left out. The path is
  // made printable; `message` is taken to be so already.
  [[nodiscard]] MMSTATS_API std::string text() const;
};

template <class T>
using Expected = tl::expected<T, Error>;

// One thing that is wrong in a file. Fields that end before `offset` are sound.
struct Damage {
  std::uint64_t offset = 0;  // byte in the file where it begins
  std::string message;       // names the field and the byte; printable
};

// Bytes that somebody else chose (a label, a text, a path), made fit for a terminal or a log: controls, marks
// that turn the direction of text and what is not UTF-8 become \xNN, byte by byte; all else stays as it is.
MMSTATS_API std::string printable(std::string_view foreign);

}  // namespace mmstats

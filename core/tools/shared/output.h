// Standard output of a tool: written in chunks, and no failure lost.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mmstats {

// After a failure, which failed() tells, it takes everything and writes nothing. Have SIGPIPE ignored, so
// that a reader who leaves is a failure like others. One thread at a time.
class Output {
 public:
  Output& operator<<(std::string_view text) {
    buffer_ += text;
    flush_if_full();
    return *this;
  }
  // What is not written yet. For many small pieces: append them, and call flush_if_full() now and then.
  std::string& buffer() { return buffer_; }
  void flush_if_full() {
    if (buffer_.size() >= kChunk) flush();
  }
  void flush();
  // It was found out otherwise that nobody reads any more: as after a write that failed.
  void reader_left();

  [[nodiscard]] bool failed() const { return error_ != 0; }

  // Writes what is left. False: not all was written, which is told as `program`'s complaint. If the reader
  // left, this ends the process by SIGPIPE instead, as any filter ends that does not know of signals.
  bool finish(std::string_view program);

 private:
  static constexpr std::size_t kChunk = 256U << 10U;  // bytes

  std::string buffer_;
  int error_ = 0;
};

// One line on standard error: "PROGRAM: TEXT".
void complain(std::string_view program, std::string_view text);

}  // namespace mmstats

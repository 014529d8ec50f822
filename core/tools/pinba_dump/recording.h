// Packets as a file that tcpdump, Wireshark and pinba-dump read.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/descriptor.h"
#include "mmstats/error.h"
#include "pinba/encode.h"
#include "tools/pinba_dump/endpoint.h"

namespace pinba_dump {

// A pcap file with times in microseconds, of link type RAW: each datagram gets headers of IP and UDP, made up
// from where it came and went.
class Recording {
 public:
  // Makes the file, or empties it. Error: the system refuses, or it is the file `read` (empty: none; -:
  // standard input), which would be lost.
  static mmstats::Expected<Recording> make(const std::string& path, const std::string& read);

  // Appends a datagram of at most pinba::kMaxDatagram bytes. Both ends are of the family of `from`, or `to`
  // has no address. Error: the system refuses; the file ends with the packet before, if it can be cut.
  mmstats::Expected<void> add(const Way& way, std::chrono::system_clock::time_point time,
                              pinba::Datagram datagram);

 private:
  Recording(std::string path, mmstats::Descriptor file) : path_(std::move(path)), file_(std::move(file)) {}
  mmstats::Expected<void> write();  // what is in buffer_

  std::string path_;
  mmstats::Descriptor file_;
  std::uint64_t size_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace pinba_dump

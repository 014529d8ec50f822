// Datagrams that somebody else gets or got: of an interface, or of a file that tcpdump or Wireshark wrote.
// The only file that knows libpcap.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "mmstats/error.h"
#include "pinba/encode.h"
#include "tools/pinba_dump/ending.h"
#include "tools/pinba_dump/shown_packet.h"

namespace pinba_dump {

// What was seen, but not shown.
struct CaptureCounts {
  std::uint64_t fragmented = 0;  // datagrams that came in fragments of IP
  std::uint64_t cut = 0;         // packets that the capture does not have to their ends
  std::uint64_t damaged = 0;     // packets whose lengths do not fit
};

class Capture {
 public:
  // Both see datagrams to `port` at any address. `ending` must outlive it: it ends waiting for a file, too.
  //
  // A pcap or pcapng file; - is standard input. Error: it cannot be opened, has no known header, or its link
  // type is none that read_frame() knows.
  static mmstats::Expected<Capture> of_file(const std::string& path, std::uint16_t port, Ending& ending);
  // An interface, or "any". What goes to others is not seen. Error: there is none, or it may not be captured.
  static mmstats::Expected<Capture> of_interface(const std::string& name, std::uint16_t port, Ending& ending);

  Capture(Capture&&) noexcept;
  Capture& operator=(Capture&&) noexcept;
  ~Capture();

  // Hands each datagram to `show`, until that says that there were enough, or there is an end, which the end
  // of a file is too. Error: the file is damaged, with the byte where its damaged record begins, or the
  // interface is gone; what came before was shown.
  using Show = std::function<bool(Origin origin, pinba::Datagram bytes)>;
  mmstats::Expected<Ending::Event> run(const Show& show);

  [[nodiscard]] const CaptureCounts& counts() const;
  // Frames of the interface that came faster than they were read, as the system counts them; 0 of a file.
  [[nodiscard]] std::uint32_t lost() const;

 private:
  struct State;
  explicit Capture(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace pinba_dump

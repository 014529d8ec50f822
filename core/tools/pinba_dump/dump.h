// What pinba-dump does with each packet: shows it if it is asked for, records it, and counts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pinba/encode.h"
#include "tools/pinba_dump/numbering.h"
#include "tools/pinba_dump/recording.h"
#include "tools/pinba_dump/shown_packet.h"
#include "tools/shared/output.h"

namespace pinba_dump {

// Which packets are shown: all where nothing is set.
struct Filter {
  std::string script;
  std::string host;
  std::string server_name;
  std::vector<std::string> tags;  // NAME=VALUE, of the request or of any timer; all of them
  bool findings = false;          // those with problems alone

  [[nodiscard]] bool takes(const Packet& packet) const;
};

struct Totals {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::uint64_t damaged = 0;                               // packets that cannot be read
  std::uint64_t unsafe = 0;                                // packets, to some server
  std::uint64_t requests = 0;                              // nested ones too
  std::uint64_t timers = 0;                                // entries
  std::array<std::array<std::uint64_t, 4>, 4> findings{};  // by server and effect
  Numbering numbering;

  // Counts it, and sets its `missing`.
  void add(Packet& packet);

  // Lines for people: sizes, then the findings and the loss that there were.
  [[nodiscard]] std::vector<std::string> lines() const;
};

class Dump {
 public:
  // The program's name and the filter outlive it.
  Dump(std::string_view program, bool json, const Filter& filter)
      : program_(program), json_(json), filter_(filter) {}

  // From now on datagrams that came over the network are written there, too.
  void record(Recording recording) { recording_ = std::move(recording); }

  // Takes a datagram; it is shown at once. False: it cannot be shown or recorded, and so none after it.
  bool show(Origin origin, pinba::Datagram bytes);

  [[nodiscard]] const Totals& totals() const { return totals_; }
  [[nodiscard]] mmstats::Output& output() { return output_; }
  // A packet could not be recorded, which was told.
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  std::string_view program_;
  bool json_;
  const Filter& filter_;
  std::optional<Recording> recording_;
  mmstats::Output output_;
  Totals totals_;
  bool failed_ = false;
};

}  // namespace pinba_dump

// Any bytes at all, as a Pinba packet: what is read must be what libprotobuf reads, and what is made of it
// safe.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

#include "bounded_work.h"
#include "pinba/decode.h"
#include "pinba/packet_check.h"

namespace {

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "pinba_decode_fuzz: does not hold: %s\n", what);
  std::abort();
}

void check_same(const pinba::Request& request, const pinba_wire::Request& message) {
  require(request.hostname == message.hostname() && request.script_name == message.script_name() &&
              request.server_name == message.server_name() && request.schema.value_or("") == message.schema(),
          "both readers see the same names");
  require(
      request.request_count == message.request_count() && request.document_size == message.document_size() &&
          request.memory_peak == message.memory_peak() && request.status.value_or(0) == message.status() &&
          request.memory_footprint.value_or(0) == message.memory_footprint(),
      "both readers see the same numbers");
  require(std::cmp_equal(request.timers.size(), message.timer_hit_count_size()),
          "both readers see the same timers");
  for (int i = 0; i < message.timer_hit_count_size(); ++i) {
    const auto& timer = request.timers[static_cast<std::size_t>(i)];
    require(timer.hit_count == message.timer_hit_count(i) && timer.tag_count == message.timer_tag_count(i),
            "both readers see the same timers");
  }
  require(std::cmp_equal(request.requests.size(), message.requests_size()),
          "both readers see the same requests");
  for (int i = 0; i < message.requests_size(); ++i) {
    check_same(request.requests[static_cast<std::size_t>(i)], message.requests(i));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BoundedWork bounded;
  const pinba::Datagram datagram(reinterpret_cast<const std::byte*>(data), size);
  const auto findings = pinba::check(datagram);
  for (const auto& finding : findings) require(finding.offset <= size, "a finding lies within the packet");

  const auto request = pinba::decode(datagram);
  if (!request) {
    require(request.error().offset <= size, "an error lies within the packet");
    return 0;
  }
  pinba_wire::Request message;
  require(message.ParseFromArray(data, static_cast<int>(size)), "libprotobuf reads what we read");
  check_same(*request, message);

  for (const bool nested : {false, true}) {
    pinba::Encoder encoder({.max_bytes = 4096, .nested = nested});
    for (const auto made : encoder.encode(*request)) {
      const auto rule = broken_rule(made, 4096, nested);
      require(rule.empty(), rule.c_str());
      require(pinba::decode(made).has_value(), "we read what we make");
      require(nested || std::ranges::all_of(
                            pinba::check(made),
                            [](const auto& finding) { return finding.effect == pinba::Effect::kWrong; }),
              "no server loses what we make");
    }
  }
  return 0;
}

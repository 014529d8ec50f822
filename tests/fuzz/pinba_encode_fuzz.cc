// Requests of any content, in datagrams of any size: each is safe everywhere, and together they say what the
// request says.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "bounded_work.h"
#include "pinba/encode.h"
#include "pinba/packet_check.h"

namespace {

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "pinba_encode_fuzz: does not hold: %s\n", what);
  std::abort();
}

// Takes values from the bytes; at their end all are 0.
class Source {
 public:
  Source(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

  [[nodiscard]] bool empty() const { return left_ == 0; }
  template <class T>
  T value() {
    T value{};
    const std::size_t size = std::min(sizeof value, left_);
    std::memcpy(&value, data_, size);
    skip(size);
    return value;
  }
  std::string text() {
    std::string text;
    const auto length = value<std::uint8_t>();
    // Now and then a long one.
    if (length > 250) return std::string(100U * length, static_cast<char>(value<char>()));
    text.assign(reinterpret_cast<const char*>(data_), std::min<std::size_t>(length % 24, left_));
    skip(text.size());
    return text;
  }

 private:
  void skip(std::size_t size) {
    data_ += size;
    left_ -= size;
  }
  const std::uint8_t* data_;
  std::size_t left_;
};

pinba::Request make_request(Source& source, int depth) {
  pinba::Request request;
  request.hostname = source.text();
  request.server_name = source.text();
  request.script_name = source.text();
  request.document_size = source.value<std::uint64_t>();
  request.memory_peak = source.value<std::uint32_t>();
  request.request_time = source.value<double>();
  request.ru_utime = source.value<float>();
  const auto flags = source.value<std::uint8_t>();
  if (flags & 1U) request.status = source.value<std::uint32_t>();
  if (flags & 2U) request.schema = source.text();
  if (flags & 4U) request.memory_footprint = source.value<std::uint64_t>();
  for (int i = source.value<std::uint8_t>() % 8; i > 0; --i) request.add_tag(source.text(), source.text());
  for (int i = source.value<std::uint8_t>(); i > 0 && !source.empty(); --i) {
    pinba::Tags tags;
    for (int j = source.value<std::uint8_t>() % 5; j > 0; --j) tags.add(source.text(), source.text());
    request.add_timer(tags, source.value<std::uint16_t>(), source.value<float>(), source.value<float>());
  }
  // As nobody should build one.
  if (flags & 8U) request.timers.push_back({source.value<std::uint32_t>(), source.value<std::uint8_t>(), 1});
  if (flags & 16U) request.timer_tags.push_back({source.value<std::uint8_t>(), source.value<std::uint8_t>()});
  if (flags & 32U) request.tags.push_back({source.value<std::uint8_t>(), source.value<std::uint32_t>()});
  if ((flags & 64U) && depth < 4) {
    for (int i = source.value<std::uint8_t>() % 3; i >= 0; --i) {
      request.requests.push_back(make_request(source, depth + 1));
    }
  }
  return request;
}

std::uint64_t hits_of(const pinba::Request& request) {
  std::uint64_t hits = 0;
  for (const auto& timer : request.timers) hits += timer.hit_count;
  for (const auto& inner : request.requests) hits += hits_of(inner);
  return hits;
}

std::uint64_t hits_of(const pinba_wire::Request& message) {
  std::uint64_t hits = 0;
  for (const auto count : message.timer_hit_count()) hits += count;
  for (const auto& inner : message.requests()) hits += hits_of(inner);
  return hits;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BoundedWork bounded;
  Source source(data, size);
  pinba::EncodeOptions options;
  const auto flags = source.value<std::uint8_t>();
  options.max_bytes = (flags & 1U) ? 256 + source.value<std::uint8_t>() : source.value<std::uint16_t>();
  if ((flags & 2U) != 0) options.classic = pinba::ClassicEngine::kOriginal;
  options.nested = (flags & 4U) != 0;
  options.continue_timers = (flags & 8U) == 0;
  options.drop_unused_texts = (flags & 16U) != 0;
  const pinba::Request request = make_request(source, 0);

  pinba::Encoder encoder(options);
  const auto datagrams = encoder.encode(request);
  require(!datagrams.empty(), "there is always a datagram");
  std::uint64_t hits = 0;
  for (const auto datagram : datagrams) {
    const auto rule = broken_rule(datagram, encoder.options().max_bytes, options.nested);
    require(rule.empty(), rule.c_str());
    hits += hits_of(parsed(datagram));
  }
  if (encoder.changes().timers_dropped == 0)
    require(hits == hits_of(request), "no hit is lost or counted twice");
  return 0;
}

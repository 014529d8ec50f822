#include "tools/pinba_dump/recording.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

#include "base/failure.h"

namespace pinba_dump {
namespace {

constexpr std::byte kUdpProtocol{17};
constexpr std::size_t kUdpHeader = 8;

// Appends numbers, the highest byte first, as packets have them. A file's may have any order, which readers
// know by its first number.
class Writer {
 public:
  explicit Writer(std::vector<std::byte>& bytes) : bytes_(bytes) {}
  void number16(std::size_t number) {
    bytes_.push_back(static_cast<std::byte>(number >> 8U & 0xffU));
    bytes_.push_back(static_cast<std::byte>(number & 0xffU));
  }
  void number32(std::uint64_t number) {
    number16(static_cast<std::size_t>(number >> 16U));
    number16(static_cast<std::size_t>(number));
  }
  void byte(std::byte byte) { bytes_.push_back(byte); }
  void bytes(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }

 private:
  std::vector<std::byte>& bytes_;
};

// The Internet's checksum: of numbers of 16 bits, of which the last may lack its lower half.
class Checksum {
 public:
  // All but the last piece have an even size.
  void add(std::span<const std::byte> bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      sum_ += std::to_integer<std::uint64_t>(bytes[i]) << (i % 2 == 0 ? 8U : 0U);
    }
  }
  void add(std::size_t number) { sum_ += number; }
  [[nodiscard]] std::uint16_t get() const {
    std::uint64_t sum = sum_;
    while (sum > 0xffff) sum = (sum & 0xffffU) + (sum >> 16U);
    return static_cast<std::uint16_t>(~sum);
  }

 private:
  std::uint64_t sum_ = 0;
};

std::span<const std::byte> address_of(const Endpoint& end, bool v6) {
  return std::span(end.address).first(v6 ? 16 : 4);
}

void put_packet(std::vector<std::byte>& buffer, const Way& way, pinba::Datagram datagram) {
  const bool v6 = way.from.v6;
  const auto from = address_of(way.from, v6);
  const auto to = address_of(way.to, v6);
  const std::size_t size = kUdpHeader + datagram.size();
  constexpr std::byte kHops{64};
  Writer writer(buffer);
  if (v6) {
    writer.number32(0x60000000);
    writer.number16(size);
    writer.byte(kUdpProtocol);
    writer.byte(kHops);
  } else {
    const std::size_t begin = buffer.size();
    writer.number16(0x4500);
    writer.number16(20 + size);
    writer.number32(0);
    writer.byte(kHops);
    writer.byte(kUdpProtocol);
    Checksum header;
    header.add(std::span(buffer).subspan(begin));
    header.add(from);
    header.add(to);
    writer.number16(header.get());
  }
  writer.bytes(from);
  writer.bytes(to);
  Checksum checksum;
  checksum.add(from);
  checksum.add(to);
  // The size counts twice: it is in the header that is made up, too.
  for (const std::size_t number :
       {std::size_t{17}, size, size, std::size_t{way.from.port}, std::size_t{way.to.port}}) {
    checksum.add(number);
  }
  checksum.add(datagram);
  writer.number16(way.from.port);
  writer.number16(way.to.port);
  writer.number16(size);
  writer.number16(checksum.get() == 0 ? 0xffff : checksum.get());  // 0 would be: none
  writer.bytes(datagram);
}

bool same_file(int file, const std::string& path) {
  struct stat one{};
  struct stat other{};
  const bool known =
      path == "-" ? ::fstat(STDIN_FILENO, &other) == 0 : !path.empty() && ::stat(path.c_str(), &other) == 0;
  return known && ::fstat(file, &one) == 0 && S_ISREG(one.st_mode) && one.st_dev == other.st_dev &&
         one.st_ino == other.st_ino;
}

}  // namespace

mmstats::Expected<Recording> Recording::make(const std::string& path, const std::string& read) {
  mmstats::Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666));
  if (!file) return tl::unexpected(mmstats::system_failure(path, "cannot be written"));
  if (same_file(file.get(), read)) {
    return tl::unexpected(mmstats::failure(mmstats::ErrorKind::kInvalid, path, "is the file that is read"));
  }
  // What is no file has nothing to empty.
  if (::ftruncate(file.get(), 0) != 0 && errno != EINVAL) {
    return tl::unexpected(mmstats::system_failure(path, "cannot be written"));
  }
  Recording recording(path, std::move(file));
  Writer writer(recording.buffer_);
  writer.number32(0xa1b2c3d4);
  writer.number32(0x00020004);  // version 2.4
  writer.number32(0);
  writer.number32(0);
  writer.number32(256U << 10U);  // no packet is larger
  writer.number32(101);          // RAW
  if (auto written = recording.write(); !written) return tl::unexpected(std::move(written.error()));
  return recording;
}

mmstats::Expected<void> Recording::add(const Way& way, std::chrono::system_clock::time_point time,
                                       pinba::Datagram datagram) {
  using std::chrono::duration_cast;
  const auto since = std::max(time.time_since_epoch(), std::chrono::system_clock::duration(0));
  const auto seconds = duration_cast<std::chrono::seconds>(since);
  std::vector<std::byte> packet;
  put_packet(packet, way, datagram);
  Writer writer(buffer_);
  writer.number32(static_cast<std::uint64_t>(seconds.count()));
  writer.number32(
      static_cast<std::uint64_t>(duration_cast<std::chrono::microseconds>(since - seconds).count()));
  writer.number32(packet.size());  // of which there is
  writer.number32(packet.size());  // all
  writer.bytes(packet);
  return write();
}

mmstats::Expected<void> Recording::write() {
  std::span<const std::byte> left = buffer_;
  while (!left.empty()) {
    const ssize_t put = ::write(file_.get(), left.data(), left.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      auto error = mmstats::system_failure(path_, "cannot be written");
      if (::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) error.message += " to its end";
      return tl::unexpected(std::move(error));
    }
    left = left.subspan(static_cast<std::size_t>(put));
  }
  size_ += buffer_.size();
  buffer_.clear();
  return {};
}

}  // namespace pinba_dump

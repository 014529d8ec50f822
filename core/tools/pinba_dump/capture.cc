#include "tools/pinba_dump/capture.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pcap/pcap.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <span>
#include <utility>

#include "base/descriptor.h"
#include "base/failure.h"
#include "tools/pinba_dump/frame.h"
#include "tools/pinba_dump/segments.h"

namespace pinba_dump {
namespace {

constexpr int kWholeFrame = 256 << 10;       // bytes: the largest frame that libpcap reads
constexpr int kCaptureBuffer = 16 << 20;     // bytes
constexpr int kDelay = 50;                   // milliseconds: so long the system gathers frames
constexpr std::int64_t kLatest = 1LL << 32;  // seconds: in 2106, when those of pcap files end

struct CloseHandle {
  void operator()(pcap_t* handle) const { ::pcap_close(handle); }
};
using Handle = std::unique_ptr<pcap_t, CloseHandle>;
struct CloseStream {
  void operator()(std::FILE* stream) const { std::fclose(stream); }
};

tl::unexpected<mmstats::Error> refused(std::string_view path, std::string_view message) {
  return tl::unexpected(
      mmstats::failure(mmstats::ErrorKind::kInvalid, std::string(path), std::string(message)));
}

// What libpcap reads a file through: it waits for a pipe in a way that has an end, and knows its place in it.
struct Source {
  mmstats::Descriptor file;
  int descriptor = STDIN_FILENO;
  Ending* ending = nullptr;
  off64_t read = 0;
};

ssize_t read_source(void* cookie, char* buffer, std::size_t size) {
  auto& source = *static_cast<Source*>(cookie);
  for (;;) {
    if (source.ending->wait(source.descriptor) != Ending::Event::kReady) return 0;
    const ssize_t got = ::read(source.descriptor, buffer, size);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got > 0) source.read += got;
    return got;
  }
}

// Only tells the place.
int seek_source(void* cookie, off64_t* offset, int whence) {
  if (whence != SEEK_CUR || *offset != 0) return -1;
  *offset = static_cast<Source*>(cookie)->read;
  return 0;
}

std::chrono::system_clock::time_point time_of(const pcap_pkthdr& header, bool nanoseconds) {
  using std::chrono::duration_cast;
  using Clock = std::chrono::system_clock;
  const std::chrono::seconds seconds(std::clamp<std::int64_t>(header.ts.tv_sec, 0, kLatest));
  const std::int64_t fraction = std::clamp<std::int64_t>(header.ts.tv_usec, 0, 999'999'999);
  const std::chrono::nanoseconds rest(nanoseconds ? fraction : fraction * 1000);
  return Clock::time_point(duration_cast<Clock::duration>(seconds + rest));
}

// What the kernel need not hand over. Headers of IPv6 that may come before UDP are looked at here; behind
// VLAN tags as well, where the link type can have them.
void filter_early(pcap_t* handle, std::uint16_t port) {
  const std::string plain =
      fmt::format("(udp dst port {}) or (ip6 and ip6[6] != 6 and ip6[6] != 17 and ip6[6] != 58)", port);
  for (const std::string& text : {fmt::format("({0}) or (vlan and ({0}))", plain), plain}) {
    bpf_program program{};
    if (::pcap_compile(handle, &program, text.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0) continue;
    const bool taken = ::pcap_setfilter(handle, &program) == 0;
    ::pcap_freecode(&program);
    if (taken) return;
  }
  // Without: read_frame() chooses.
}

// The loopback interface has each packet twice, as it goes and as it comes. libpcap leaves out the first, but
// its room is taken, and it is counted if there is none. Older kernels cannot help it.
void ignore_outgoing(pcap_t* handle, const std::string& name) {
  const int socket = ::pcap_fileno(handle);
  ifreq interface{};
  name.copy(interface.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(socket, SIOCGIFFLAGS, &interface) != 0 || (interface.ifr_flags & IFF_LOOPBACK) == 0) return;
  const int on = 1;
  ::setsockopt(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
}

std::string why_not(int code, pcap_t* handle) {
  if (code == PCAP_ERROR_PERM_DENIED) return "only root, and who has CAP_NET_RAW, may capture";
  if (code == PCAP_ERROR_NO_SUCH_DEVICE) return "there is no such interface";
  if (code == PCAP_ERROR_IFACE_NOT_UP) return "the interface is down";
  const std::string_view why = ::pcap_geterr(handle);
  return mmstats::printable(why.empty() ? ::pcap_statustostr(code) : why);
}

}  // namespace

struct Capture::State {
  std::string name;
  std::uint16_t port = 0;
  Ending* ending = nullptr;
  Source source;  // of a file; libpcap closes the stream before it goes
  Handle handle;
  std::FILE* stream = nullptr;
  LinkType link = LinkType::kRaw;
  CaptureCounts counts;

  [[nodiscard]] bool is_file() const { return stream != nullptr; }

  // False: there is no such link type.
  bool take_link() {
    const auto known = link_type_of(::pcap_datalink(handle.get()));
    if (known) link = *known;
    return known.has_value();
  }
  [[nodiscard]] std::string link_name() const {
    const int number = ::pcap_datalink(handle.get());
    const char* text = ::pcap_datalink_val_to_name(number);
    return text != nullptr ? fmt::format("{} ({})", number, text) : fmt::to_string(number);
  }

  // True: go on.
  bool take(const pcap_pkthdr& header, const u_char* bytes, const Show& show) {
    const std::span captured(reinterpret_cast<const std::byte*>(bytes), header.caplen);
    const Frame frame = read_frame(link, captured, header.len, port);
    switch (frame.kind) {
      case Frame::Kind::kOther:
        break;
      case Frame::Kind::kFragmented:
        ++counts.fragmented;
        break;
      case Frame::Kind::kCut:
        ++counts.cut;
        break;
      case Frame::Kind::kDamaged:
        ++counts.damaged;
        break;
      case Frame::Kind::kDatagram:
        for (const pinba::Datagram datagram : segments_of(frame.payload)) {
          const Origin origin{.name = frame.way.from.text(),
                              .time = time_of(header, is_file()),
                              .way = frame.way,
                              .captured = true};
          if (!show(origin, datagram)) return false;
        }
    }
    return true;
  }
};

Capture::Capture(std::unique_ptr<State> state) : state_(std::move(state)) {}
Capture::Capture(Capture&&) noexcept = default;
Capture& Capture::operator=(Capture&&) noexcept = default;
Capture::~Capture() = default;

mmstats::Expected<Capture> Capture::of_file(const std::string& path, std::uint16_t port, Ending& ending) {
  auto state = std::make_unique<State>();
  state->name = path;
  state->port = port;
  state->ending = &ending;
  Source& source = state->source;
  source.ending = &ending;
  if (path != "-") {
    source.file.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!source.file) return tl::unexpected(mmstats::system_failure(path, "cannot be opened"));
    source.descriptor = source.file.get();
  }
  std::unique_ptr<std::FILE, CloseStream> stream(::fopencookie(
      &source, "r", {.read = read_source, .write = nullptr, .seek = seek_source, .close = nullptr}));
  if (!stream) return tl::unexpected(mmstats::system_failure(path, "cannot be read"));
  std::array<char, PCAP_ERRBUF_SIZE> why{};
  state->handle.reset(
      ::pcap_fopen_offline_with_tstamp_precision(stream.get(), PCAP_TSTAMP_PRECISION_NANO, why.data()));
  if (!state->handle) return refused(path, "byte 0: " + mmstats::printable(why.data()));
  state->stream = stream.release();
  if (!state->take_link())
    return refused(path, fmt::format("its link type {} is not known", state->link_name()));
  return Capture(std::move(state));
}

mmstats::Expected<Capture> Capture::of_interface(const std::string& name, std::uint16_t port,
                                                 Ending& ending) {
  auto state = std::make_unique<State>();
  state->name = name;
  state->port = port;
  state->ending = &ending;
  const auto cannot = [&](const std::string& reason) {
    return refused({}, fmt::format("cannot capture on {}: {}", mmstats::printable(name), reason));
  };
  std::array<char, PCAP_ERRBUF_SIZE> why{};
  state->handle.reset(::pcap_create(name.c_str(), why.data()));
  if (!state->handle) return cannot(mmstats::printable(why.data()));
  pcap_t* handle = state->handle.get();
  ::pcap_set_snaplen(handle, kWholeFrame);
  ::pcap_set_promisc(handle, 0);
  ::pcap_set_timeout(handle, kDelay);
  ::pcap_set_buffer_size(handle, kCaptureBuffer);
  if (const int code = ::pcap_activate(handle); code < 0) return cannot(why_not(code, handle));
  if (!state->take_link()) return cannot(fmt::format("its link type {} is not known", state->link_name()));
  filter_early(handle, port);
  ignore_outgoing(handle, name);
  if (::pcap_setnonblock(handle, 1, why.data()) != 0) return cannot(mmstats::printable(why.data()));
  return Capture(std::move(state));
}

mmstats::Expected<Ending::Event> Capture::run(const Show& show) {
  State& state = *state_;
  pcap_t* handle = state.handle.get();
  for (;;) {
    if (const auto event = state.ending->look(); event != Ending::Event::kWaited) return event;
    const off_t place = state.is_file() ? ::ftello(state.stream) : 0;
    pcap_pkthdr* header = nullptr;
    const u_char* bytes = nullptr;
    const int result = ::pcap_next_ex(handle, &header, &bytes);
    switch (result) {
      case 1:
        if (!state.take(*header, bytes, show)) return Ending::Event::kEnded;
        break;
      case 0:
        state.ending->wait(::pcap_get_selectable_fd(handle));
        break;
      default:
        // A pipe that was waited for in vain looks like a file that is at its end, or cut.
        if (const auto event = state.ending->look(); event != Ending::Event::kWaited) return event;
        if (result == PCAP_ERROR_BREAK) return Ending::Event::kEnded;
        const std::string why = mmstats::printable(::pcap_geterr(handle));
        if (!state.is_file()) return refused({}, fmt::format("{}: {}", mmstats::printable(state.name), why));
        return refused(state.name, fmt::format("byte {}: {}", place, why));
    }
  }
}

const CaptureCounts& Capture::counts() const { return state_->counts; }

std::uint32_t Capture::lost() const {
  pcap_stat counts{};
  if (state_->is_file() || ::pcap_stats(state_->handle.get(), &counts) != 0) return 0;
  return counts.ps_drop;
}

}  // namespace pinba_dump

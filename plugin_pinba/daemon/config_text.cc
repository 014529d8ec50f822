#include "plugin_pinba/daemon/config_text.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/descriptor.h"
#include "mmstats/error.h"

namespace mmstats::daemon {
namespace {

constexpr std::size_t kMaxConfigBytes = std::size_t{4} << 20U;

}  // namespace

tl::expected<std::string, Mistakes> read_config_text(const std::string& path) {
  const auto refuse = [&](std::string_view why) {
    return tl::unexpected(Mistakes{fmt::format("{}: {}", printable(path), why)});
  };
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return refuse(std::string("cannot be opened: ") + std::strerror(errno));
  struct stat about{};
  if (::fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode)) return refuse("is no file");
  std::string content;
  std::array<char, 16384> chunk{};
  ssize_t got = 0;
  while (content.size() <= kMaxConfigBytes && (got = ::read(file.get(), chunk.data(), chunk.size())) > 0) {
    content.append(chunk.data(), static_cast<std::size_t>(got));
  }
  if (got < 0) return refuse(std::string("cannot be read: ") + std::strerror(errno));
  if (content.size() > kMaxConfigBytes)
    return refuse(fmt::format("is larger than {} bytes", kMaxConfigBytes));
  return content;
}

}  // namespace mmstats::daemon

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/buckets.h"
#include "base/descriptor.h"
#include "base/failure.h"
#include "base/hash.h"
#include "base/host_name.h"
#include "base/host_port.h"
#include "base/number_range.h"
#include "base/utf8.h"

using mmstats::Descriptor;
using mmstats::ErrorKind;

namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST_CASE("an errno is of the same kind everywhere") {
  struct Row {
    int sys_errno;
    ErrorKind want;
  };
  for (const Row& row : {Row{ENOENT, ErrorKind::kNotFound},
                         Row{ENOTDIR, ErrorKind::kNotFound},
                         Row{ESTALE, ErrorKind::kNotFound},
                         Row{EACCES, ErrorKind::kDenied},
                         Row{EPERM, ErrorKind::kDenied},
                         Row{EROFS, ErrorKind::kDenied},
                         Row{ELOOP, ErrorKind::kNotRegular},
                         Row{EISDIR, ErrorKind::kNotRegular},
                         Row{EAGAIN, ErrorKind::kBusy},
                         Row{EEXIST, ErrorKind::kBusy},
                         Row{ENODEV, ErrorKind::kNotFound},
                         Row{ENXIO, ErrorKind::kNotFound},
                         Row{EBUSY, ErrorKind::kBusy},
                         Row{EADDRINUSE, ErrorKind::kBusy},
                         Row{ETXTBSY, ErrorKind::kBusy},
                         Row{ENOMEM, ErrorKind::kLimit},
                         Row{EDQUOT, ErrorKind::kLimit},
                         Row{EFBIG, ErrorKind::kLimit},
                         Row{EMFILE, ErrorKind::kLimit},
                         Row{ENFILE, ErrorKind::kLimit},
                         Row{ENOSPC, ErrorKind::kLimit},
                         Row{EIO, ErrorKind::kIo},
                         Row{0, ErrorKind::kIo}}) {
    CAPTURE(row.sys_errno);
    CHECK(mmstats::kind_of_errno(row.sys_errno) == row.want);
    const auto error = mmstats::system_failure("/a", "cannot be read", row.sys_errno);
    CHECK(error.kind == row.want);
    CHECK(error.sys_errno == row.sys_errno);
    CHECK(error.path == "/a");
  }
}

TEST_CASE("where descriptors are used up, the message says whose limit it is") {
  CHECK(mmstats::system_failure("/a", "cannot be opened", EMFILE).message ==
        "cannot be opened; raise the limit of open files of this process");
  CHECK(mmstats::system_failure("/a", "cannot be opened", ENFILE).message ==
        "cannot be opened; raise the limit of open files of this system");
  CHECK(mmstats::system_failure("/a", "cannot be opened", EIO).message == "cannot be opened");
}

TEST_CASE("a descriptor closes what it owns, once, and keeps errno") {
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  {
    Descriptor first(fd);
    Descriptor second(std::move(first));
    CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): that it is empty is what is asked
    CHECK(second.get() == fd);
    Descriptor third;
    third = std::move(second);
    CHECK(is_open(fd));
    errno = EINTR;
  }
  CHECK(errno == EINTR);
  CHECK_FALSE(is_open(fd));

  Descriptor released(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int kept = released.release();
  released.reset();
  CHECK(is_open(kept));
  ::close(kept);

  // Even where closing fails.
  Descriptor gone(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ::close(gone.get());
  errno = EINTR;
  gone.reset();
  CHECK(errno == EINTR);
}

TEST_CASE("a descriptor moves out of select's way, and the low one is closed") {
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  if (limit.rlim_max < 2048) return;
  limit.rlim_cur = std::max<rlim_t>(limit.rlim_cur, 2048);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);

  int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int low = fd;
  CHECK_FALSE(mmstats::move_high(fd, mmstats::kFirstHighDescriptor));
  CHECK(fd == low);
  REQUIRE(mmstats::move_high(fd, 2048));
  CHECK(fd >= mmstats::kFirstHighDescriptor);
  CHECK_FALSE(is_open(low));
  CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  const int high = fd;
  CHECK(mmstats::move_high(fd, 2048));
  CHECK(fd == high);
  CHECK_FALSE(mmstats::move_high(fd, high));
  ::close(fd);
}

TEST_CASE("FNV-1a hashes as its authors say") {
  // From the test vectors of the reference implementation (fnv64a).
  CHECK(mmstats::fnv1a("") == 0xCBF29CE484222325U);
  CHECK(mmstats::fnv1a("a") == 0xAF63DC4C8601EC8CU);
  CHECK(mmstats::fnv1a("foobar") == 0x85944171F73967E8U);
  CHECK(mmstats::fnv1a("bar", mmstats::fnv1a("foo")) == mmstats::fnv1a("foobar"));
}

TEST_CASE("a name that ends like a hash is told from others") {
  struct Row {
    const char* name;
    bool want;
  };
  for (const Row& row :
       {Row{"x-0123456789ab", true}, Row{"-0123456789ab", true}, Row{"x-cdefcdefcdef", true},
        Row{"x-999999999999", true}, Row{"x.y-000000000000", true}, Row{"0123456789ab", false},
        Row{"x-0123456789a", false}, Row{"x-0123456789abc", false}, Row{"x_0123456789ab", false},
        Row{"x-0123456789ag", false}, Row{"x-0123456789AB", false}, Row{"x-/123456789ab", false},
        Row{"x-:123456789ab", false}, Row{"x-`123456789ab", false}, Row{"", false}}) {
    CAPTURE(row.name);
    CHECK(mmstats::ends_like_name_hash(row.name, '-') == row.want);
  }
}

TEST_CASE("what is UTF-8 is what another implementation takes for it") {
  // Both ends of every range in Unicode's table 3-7, and what is next to them.
  constexpr unsigned char kBytes[] = {0x41, 0x7F, 0x80, 0x81, 0x8F, 0x90, 0x91, 0x9F, 0xA0, 0xA1, 0xBE,
                                      0xBF, 0xC0, 0xC1, 0xC2, 0xC3, 0xDE, 0xDF, 0xE0, 0xE1, 0xEC, 0xED,
                                      0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF8, 0xFE, 0xFF};
  std::size_t well_formed = 0;
  const auto check = [&](const std::string& text) {
    const bool want = nlohmann::json::accept('"' + text + '"');
    well_formed += want ? 1 : 0;
    if (mmstats::is_utf8(text) != want) FAIL_CHECK("not so: " << mmstats::printable(text));
  };
  std::string text;
  // A byte more only where the one before it may begin a character of so many.
  const auto extend = [&](const auto& self, std::size_t most) -> void {
    if (!text.empty()) check(text);
    if (text.size() == most) return;
    for (const unsigned char byte : kBytes) {
      text += static_cast<char>(byte);
      const auto first = static_cast<unsigned char>(text[0]);
      self(self, first >= 0xF0 && first <= 0xF5 ? 4 : 3);
      text.pop_back();
    }
  };
  extend(extend, 3);
  CHECK(well_formed > 1000);
}

TEST_CASE("what is plain ends with the first byte that is no printing ASCII, wherever it stands") {
  for (std::size_t size = 0; size < 40; ++size) {
    std::string text;
    for (std::size_t i = 0; i < size; ++i)
      text += static_cast<char>(i % 3 == 0 ? ' ' : i % 3 == 1 ? '~' : 'a');
    // At any address.
    for (std::size_t begin = 0; begin <= std::min<std::size_t>(size, 8); ++begin) {
      const std::string_view part = std::string_view(text).substr(begin);
      CHECK(mmstats::plain_prefix(part) == part.size());
    }
    for (std::size_t at = 0; at < size; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string other = text;
        other[at] = static_cast<char>(byte);
        const bool plain = byte >= 0x20 && byte < 0x7F;
        // What is behind the text is not looked at.
        if (mmstats::plain_prefix(other) != (plain ? size : at))
          FAIL_CHECK("byte ", byte, " at ", at, " of ", size);
        if (mmstats::plain_prefix(std::string_view(other).substr(0, at)) != at) FAIL_CHECK("before ", at);
      }
    }
  }
}

TEST_CASE("a text is cut between characters") {
  const std::string text =
      "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80";  // one character each of 1, 2, 3 and 4 bytes
  const std::size_t want[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
  for (std::size_t most = 0; most < std::size(want); ++most) {
    CAPTURE(most);
    CHECK(mmstats::whole_characters(text, most).size() == want[most]);
  }
  CHECK(mmstats::whole_characters("\x80\x80\x80", 2).empty());
  CHECK(mmstats::whole_characters("", 5).empty());
}

TEST_CASE("characters that command where they are shown are known, of all that there are") {
  const auto is_one = [](unsigned code) {
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x61C || code == 0x200E ||
           code == 0x200F || (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
  };
  unsigned wrong = 0;
  for (unsigned code = 0; code < 0x110000; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;  // surrogates
    const auto tail = [&](unsigned shift) { return static_cast<char>(0x80U | (code >> shift & 0x3FU)); };
    std::string text;
    if (code < 0x80) {
      text = {static_cast<char>(code)};
    } else if (code < 0x800) {
      text = {static_cast<char>(0xC0U | code >> 6U), tail(0)};
    } else if (code < 0x10000) {
      text = {static_cast<char>(0xE0U | code >> 12U), tail(6), tail(0)};
    } else {
      text = {static_cast<char>(0xF0U | code >> 18U), tail(12), tail(6), tail(0)};
    }
    if (mmstats::utf8_sequence(text) != text.size() || mmstats::steers_display(text) != is_one(code)) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("each value is in the bucket whose middle is 1/64 of it away at most") {
  namespace buckets = mmstats::buckets;
  std::uint32_t last = 0;
  for (double value = 0x1p-30; value < 0x1p50; value *= 1.0007) {
    const std::uint32_t bucket = buckets::of(value);
    REQUIRE(bucket < buckets::kCount);
    REQUIRE(bucket >= last);
    REQUIRE(std::abs(buckets::middle(bucket) - value) <= value / 64);
    last = bucket;
  }
  for (std::uint32_t bucket = 0; bucket < buckets::kCount; ++bucket) {
    REQUIRE(buckets::of(buckets::middle(bucket)) == bucket);
  }
  for (const double value :
       {0.0, -1.0, 0x1p-31, -std::numeric_limits<double>::infinity(),
        std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::denorm_min()}) {
    CAPTURE(value);
    CHECK(buckets::of(value) == 0);
  }
  for (const double value : {0x1p50, 1e300, std::numeric_limits<double>::infinity()}) {
    CAPTURE(value);
    CHECK(buckets::of(value) == buckets::kCount - 1);
  }
}

TEST_CASE("the host's name is the kernel's") {
  std::ifstream file("/proc/sys/kernel/hostname");
  std::string want;
  std::getline(file, want);
  CHECK(mmstats::host_name() == want);
}

TEST_CASE("what is wrong with a number is told with what it may be") {
  using mmstats::wrong_number;
  using mmstats::wrong_whole;
  for (const char* good : {"0.01", "1", "31536000", "5e2", "31536e3"})
    CHECK(wrong_number(good, 0.01, 31536000).empty());
  for (const char* wrong : {"", " ", "x", "0", "-1", "0.009", "31536001", "1e99", "1e999", "nan", "inf", "1x",
                            " 1", "+1", "0x10"}) {
    CAPTURE(wrong);
    CHECK(wrong_number(wrong, 0.01, 31536000) ==
          "\"" + std::string(wrong) + "\" is not possible, it takes a number from 0.01 to 31536000");
  }
  CHECK(wrong_number("x\x1b", 0, HUGE_VAL) == "\"x\\x1B\" is not possible, it takes a number from 0");
  CHECK(wrong_number("1e300", 0, HUGE_VAL).empty());
  for (const char* good : {"1", "18446744073709551615", "007"}) CHECK(wrong_whole(good, 1).empty());
  for (const char* wrong : {"0", "-1", "1.5", "1e3", "18446744073709551616", "", "-", "1 "}) {
    CAPTURE(wrong);
    CHECK(wrong_whole(wrong, 1) ==
          "\"" + std::string(wrong) +
              "\" is not possible, it takes a whole number from 1 to 18446744073709551615");
  }
  CHECK(wrong_whole("201", 1, 200) == "\"201\" is not possible, it takes a whole number from 1 to 200");
}

TEST_CASE("where to listen is read alike for all servers") {
  using mmstats::parse_listen;
  const auto everywhere = parse_listen(":5002");
  REQUIRE(everywhere);
  CHECK(everywhere->host.empty());
  CHECK(everywhere->port == 5002);
  CHECK(parse_listen("localhost", 30002)->port == 30002);
  CHECK(parse_listen("[::1]:1", 30002)->port == 1);
  CHECK(parse_listen("localhost").error().message ==
        "\"localhost\" is not possible: the port is missing; write HOST:PORT, [IPV6]:PORT, or :PORT for all "
        "addresses");
  CHECK(
      parse_listen("a:x").error().message.starts_with("\"a:x\" is not possible: the port must be a number"));
  CHECK(!parse_listen(""));
  CHECK(!parse_listen(":"));
}

TEST_CASE("a host and its port are read as people write them") {
  struct Row {
    const char* text;
    const char* host;
    int port;  // -1: none
  };
  for (const Row& row :
       {Row{"localhost", "localhost", -1}, Row{"localhost:30002", "localhost", 30002},
        Row{"127.0.0.1:65535", "127.0.0.1", 65535}, Row{"web-1.example.com:0", "web-1.example.com", 0},
        Row{"::1", "::1", -1}, Row{"fe80::1:2", "fe80::1:2", -1}, Row{"[::1]", "::1", -1},
        Row{"[::1]:80", "::1", 80}, Row{"[fe80::1%eth0]:80", "fe80::1%eth0", 80}, Row{":5002", "", 5002},
        Row{"a:007", "a", 7}}) {
    CAPTURE(row.text);
    const auto got = mmstats::parse_host_port(row.text);
    REQUIRE(got);
    CHECK(got->host == row.host);
    CHECK((got->port ? int{*got->port} : -1) == row.port);
  }
  for (const char* wrong : {"",
                            ":",
                            "localhost:",
                            "localhost:65536",
                            "localhost:-1",
                            "localhost:+1",
                            "localhost:http",
                            "localhost:1x",
                            "localhost: 1",
                            "localhost:99999999999999999999",
                            "[::1",
                            "[::1]80",
                            "[::1]:",
                            "[::1]:65536",
                            "[]",
                            "[]:80",
                            "[localhost]:80",
                            "[",
                            "a,b",
                            "a b",
                            "a:1,b:2",
                            " a",
                            "a\t",
                            "a;b",
                            ",",
                            "[::1,::2]"}) {
    CAPTURE(wrong);
    const auto got = mmstats::parse_host_port(wrong);
    REQUIRE(!got);
    CHECK(got.error().kind == ErrorKind::kInvalid);
    CHECK(!got.error().message.empty());
  }
  CHECK(!mmstats::parse_host_port(std::string_view("local\0host:1", 12)));
}

}  // namespace

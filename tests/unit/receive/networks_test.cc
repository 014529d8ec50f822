// Whose packets are taken, and what stands for a sender.
#include "plugin_pinba/receive/networks.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <string>
#include <vector>

using namespace mmstats::receive;

namespace {

sockaddr_storage address_of(const std::string& text) {
  sockaddr_storage address{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
  if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    address.ss_family = AF_INET;
  } else if (::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    address.ss_family = AF_INET6;
  }
  return address;
}

}  // namespace

TEST_CASE("a network has the addresses within it, of IPv4 also as IPv6 sockets have them") {
  const struct {
    std::vector<std::string> networks;
    const char* address;
    bool want;
  } rows[] = {
      {{}, "10.1.2.3", true},
      {{}, "fd00::1", true},
      {{}, "", true},
      {{"10.0.0.0/8"}, "", false},
      {{"10.0.0.0/8"}, "10.255.0.1", true},
      {{"10.0.0.0/8"}, "11.0.0.1", false},
      {{"10.0.0.0/8"}, "::ffff:10.0.0.1", true},
      {{"10.0.0.0/8"}, "fd00::1", false},
      {{"10.7.7.7/8"}, "10.0.0.1", true},  // the rest of it means nothing
      {{"192.0.2.1"}, "192.0.2.1", true},
      {{"192.0.2.1"}, "192.0.2.2", false},
      {{"0.0.0.0/0"}, "192.0.2.2", true},
      {{"0.0.0.0/0"}, "::1", false},
      {{"::/0"}, "::1", true},
      {{"::/0"}, "192.0.2.2", false},
      {{"fd00::/8"}, "fd12::1", true},
      {{"fd00::/8"}, "fe80::1", false},
      {{"2001:db8::1"}, "2001:db8::1", true},
      {{"2001:db8::1"}, "2001:db8::2", false},
      {{"::ffff:10.0.0.0/104"}, "10.1.1.1", true},
      {{"::ffff:10.0.0.0/104"}, "::ffff:10.1.1.1", true},
      {{"::ffff:10.0.0.0/104"}, "11.1.1.1", false},
      {{"::ffff:10.0.0.1"}, "10.0.0.1", true},
      {{"10.0.0.0/8", "fd00::/8"}, "fd00::1", true},
      {{"10.0.0.0/8", "fd00::/8"}, "10.0.0.1", true},
      {{"10.0.0.0/8", "192.168.0.0/16"}, "192.168.7.1", true},
      {{"10.0.0.0/8", "192.168.0.0/16"}, "192.169.7.1", false},
  };
  for (std::size_t i = 0; i < std::size(rows); ++i) {
    CAPTURE(i);
    Networks networks;
    for (const auto& network : rows[i].networks) CHECK(networks.add(network));
    CHECK(networks.have(address_of(rows[i].address)) == rows[i].want);
  }
}

TEST_CASE("what is no network is refused, and allows nobody") {
  for (const char* text :
       {"", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8 ", " 10.0.0.0/8",
        "10.0.0.0/4294967304", "10.0.0.0/99999999999999999999", "10.0.0.0/8/8", "10.0.0.0/255.0.0.0",
        "10.0.0", "fd00::/129", "fe80::1%lo", "fe80::%1/64", "localhost", "fd00::/8x", "[fd00::1]"}) {
    CAPTURE(text);
    Networks networks;
    const auto added = networks.add(text);
    REQUIRE(!added);
    CHECK(added.error().kind == mmstats::ErrorKind::kInvalid);
    CHECK(added.error().message.find("10.0.0.0/8") != std::string::npos);
  }
}

TEST_CASE("a sender is its IPv4 address, or its network of IPv6") {
  const struct {
    const char* one;
    const char* other;
    bool same;
  } rows[] = {
      {"10.0.0.1", "10.0.0.1", true},
      {"10.0.0.1", "10.0.0.2", false},
      {"10.0.0.1", "1.0.0.10", false},
      {"10.0.0.1", "::ffff:10.0.0.1", true},
      {"2001:db8::1", "2001:db8::ffff:1", true},
      {"2001:db8::1", "2001:db8:0:1::1", false},
      {"2001:db8::1", "10.0.0.1", false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.one);
    CAPTURE(row.other);
    CHECK((source_of(address_of(row.one)) == source_of(address_of(row.other))) == row.same);
  }
  // The port is no part of it.
  auto with_port = address_of("10.0.0.1");
  reinterpret_cast<sockaddr_in&>(with_port).sin_port = htons(4711);
  CHECK(source_of(with_port) == source_of(address_of("10.0.0.1")));
  CHECK(source_of(address_of("")) == 0);
}

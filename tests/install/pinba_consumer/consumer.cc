// Includes every public header but cpp-httplib's, and sends one request with a timer to the server that it is
// given: consumer SERVER SCRIPT-NAME
#include <pinba/decode.h>
#include <pinba/encode.h>
#include <pinba/http.h>
#include <pinba/monitor.h>
#include <pinba/pinba.h>
#include <pinba/request.h>
#include <pinba/sender.h>

#include <cstdio>

int main(int count, char** arguments) {
  if (count != 3) return 2;
  const auto client = pinba::Client::make({.servers = {arguments[1]}}, {.raise_on_fail = true});
  if (!client) {
    // From the library of mmstats.
    std::fprintf(stderr, "%s\n", client.error().text().c_str());
    return 1;
  }
  pinba::RequestMonitor request(*client, arguments[2]);
  request.add_timer({{"part", "all"}}, 3, 0.25);
  try {
    request.start();
    return 1;
  } catch (const pinba::MonitorError&) {  // it runs already, and the exception crossed the library's border
  }
  return request.send() ? 0 : 1;
}

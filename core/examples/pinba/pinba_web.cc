// A web server whose requests a Pinba server sees: pinba_web PINBA-SERVER PORT
#include <pinba/httplib.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

std::string load_cart(const std::string& user) {
  // Anywhere below the handler, without passing the request along.
  const auto timed = pinba::timer({{"group", "mysql"}, {"op", "select"}}).scope();
  return "cart of " + user + "\n";
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::fprintf(stderr, "Usage: pinba_web PINBA-SERVER PORT\n");
    return 2;
  }
  pinba::ClientOptions options;
  options.prefix = "shop";
  options.tags = pinba::Tags{{"app", "shop"}, {"release", 12}};
  options.log = [](std::string_view message) {
    std::fprintf(stderr, "pinba: %.*s\n", static_cast<int>(message.size()), message.data());
  };
  const auto client = pinba::Client::make({.servers = {arguments[1]}}, options);
  if (!client) {
    std::fprintf(stderr, "pinba_web: %s\n", client.error().text().c_str());
    return 1;
  }

  httplib::Server server;
  pinba::monitor(server, *client);
  server.Get(R"(/cart/(\w+))", [](const httplib::Request& request, httplib::Response& response) {
    if (auto current = pinba::current_request()) current->set_script_name("/cart/USER");
    response.set_content(load_cart(request.matches[1]), "text/plain");
  });
  const int port = std::atoi(arguments[2]);
  const int bound = port == 0                                ? server.bind_to_any_port("127.0.0.1")
                    : server.bind_to_port("127.0.0.1", port) ? port
                                                             : -1;
  if (bound < 0) {
    std::fprintf(stderr, "pinba_web: cannot listen on port %d\n", port);
    return 1;
  }
  std::printf("http://127.0.0.1:%d\n", bound);
  std::fflush(stdout);
  return server.listen_after_bind() ? 0 : 1;
}

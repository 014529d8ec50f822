/* Sends one request with a timer to the server that it is given: consumer SERVER SCRIPT-NAME */
#include <pinba/pinba.h>
#include <stddef.h>

int main(int count, char** arguments) {
  const pinba_tag tag = {"part", "all"};
  if (count != 3) return 2;
  pinba_client* client = pinba_client_new(arguments[1], NULL, NULL, 0);
  pinba_request* request = pinba_request_start(client, arguments[2]);
  pinba_timer_add(request, &tag, 1, 3, 0.25);
  const int sent = pinba_request_send(request);
  pinba_client_free(client);
  return sent ? 0 : 1;
}

"""Applications that servers of WSGI and ASGI serve in the tests; their packets go to PINBA_TEST_SERVER."""

import io
import os

import pynba.asgi
from pynba import PynbaMiddleware, pynba as current

ADDRESS = os.environ["PINBA_TEST_SERVER"]


def answer(environ, start_response):
    path = environ["PATH_INFO"]
    headers = [("X-Pid", str(os.getpid()))]
    with current.timer(where="app", path=path):
        pass
    if path == "/none":
        start_response("404 Not Found", [*headers, ("Content-Length", "4")])
        return [b"none"]
    if path == "/stream":
        return stream(start_response, headers)
    if path == "/file":
        start_response("200 OK", [*headers, ("Content-Length", "5000")])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 5000), 4096)
    start_response("200 OK", [*headers, ("Content-Length", "5")])
    return [b"hello"]


def stream(start_response, headers):
    start_response("200 OK", headers)
    for i in range(3):
        with current.timer(where="body", path="/stream"):
            yield b"x" * 10


async def answer_asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    status, body = (404, b"none") if scope["path"] == "/none" else (200, b"hello")
    headers = [(b"x-pid", str(os.getpid()).encode())]
    with current.timer(where="app", path=scope["path"]):
        await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = PynbaMiddleware(answer, ADDRESS, tags={"app": "web"})
asgi_app = pynba.asgi.PynbaMiddleware(answer_asgi, ADDRESS, tags={"app": "web"})

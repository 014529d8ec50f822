"""What the tests of pynba share: a Pinba server that judges packets, and servers of WSGI and ASGI that call
an application as the standards say."""

import asyncio
import contextlib
import io
import os
import subprocess
import sys
import textwrap

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))

import daemons  # noqa: E402
import pinba_packets  # noqa: E402
from pynba.core import Reporter, Timer  # noqa: E402


class PinbaServer(pinba_packets.Server):
    """Every packet must be readable by protobuf, and safe with every server."""

    @property
    def pair(self):
        return "127.0.0.1", self.port

    def wait(self, count):
        """Waits for that many packets, and returns them; there are no more."""
        daemons.wait_until(lambda: len(self.packets()) >= count, f"{count} packets")
        packets = self.packets()
        assert len(packets) == count, f"{len(packets)} packets, not {count}"
        return packets

    def one(self):
        return self.wait(1)[0]


def run_script(text, *arguments, inside=(), **environment):
    """Runs a script of its own in this interpreter, behind the words of `inside`; its output."""
    paths = [os.environ.get("PYTHONPATH", ""), HERE]
    return subprocess.run(
        [*inside, sys.executable, "-B", "-c", textwrap.dedent(text), *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        timeout=daemons.PATIENCE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment},
    )


def environ(path="/cart", **more):
    """What a server of WSGI gives, with PATH_INFO's bytes as characters."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": "",
        "SERVER_NAME": "web1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "shop.example.com:8080",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **more,
    }


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello ", b"world"]


class Answer:
    def __init__(self):
        self.status = None
        self.headers = None
        self.written = []
        self.body = None

    def start_response(self, status, headers, exc_info=None):
        self.status, self.headers = status, headers
        return self.written.append

    def chunks(self):
        """Takes the body as a server does, to its close()."""
        try:
            return list(self.body)
        finally:
            if hasattr(self.body, "close"):
                self.body.close()


def call(app, path="/cart", **more):
    """One request, not yet read: an Answer."""
    answer = Answer()
    answer.body = app(environ(path, **more), answer.start_response)
    return answer


def serve(app, path="/cart", **more):
    """One request from begin to end: an Answer, whose body is bytes."""
    answer = call(app, path, **more)
    answer.body = b"".join(answer.chunks())
    return answer


def scope(path="/cart", **more):
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": (path or "").encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "https",
        "server": ("web1", 80),
        "client": ("192.0.2.1", 50000),
        "headers": [(b"host", b"shop.example.com:8080")],
        **more,
    }


async def ask(app, path="/cart", **more):
    """One request to an ASGI application: the messages that it sent."""
    messages = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        await asyncio.sleep(0)
        messages.append(message)

    await app(scope(path, **more), receive, send)
    return messages


@contextlib.contextmanager
def no_server():
    """A port that nobody listens on."""
    yield pinba_packets.free_udp_port()


def packet_of(timers=(), tags=None, **more):
    """What a server reads of a request with these timers."""
    return pinba_packets.read(
        Reporter.prepare("srv", "web1", "/cart", 0.5, timers, tags=tags, **more), pinba_packets.MAX_DATAGRAM
    )


def ran(tags):
    return Timer(tags).start().stop()

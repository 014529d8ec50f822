"""The way to the servers."""

from __future__ import annotations

import atexit
import time
import weakref
from collections import deque

from pynba import _native
from pynba._native import flattener
from pynba.log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    #: ("host", port), "host:port", several of these, or texts with commas between servers.
    Address = Any

__all__ = ["Reporter", "flattener", "servers_of"]

_CLASSIC = {"": 0, "maintained": 1, "original": 2}
_EQUAL_TIMERS = {"by_value": 0, "separate": 1, "one": 2}
_SPREAD = {"all": 0, "by_script": 1}

#: Options of Reporter, which the middlewares hand on.
OPTIONS = frozenset(
    ["raise_on_fail", "spread", "linger", "max_datagram", "classic", "equal_timers", "continue_timers"]
)

# Seconds that the end of a program waits, at most, for names that are still looked up, and for refusals of what
# could be sent to a name's next address.
_AT_EXIT = 0.5
_reporters: weakref.WeakSet[Reporter] = weakref.WeakSet()
# Of reporters that are gone, as with the function that made them, while packets still wait for a name.
_MOST_LEFT = 16
_left: deque[_native.Client] = deque(maxlen=_MOST_LEFT)


def _is_port(value: object) -> bool:
    if isinstance(value, (str, bytes)):
        return value.isdigit()
    return isinstance(value, int)


def _is_bare(value: object) -> bool:
    return isinstance(value, (str, bytes)) and not any(mark in _text(value) for mark in ":, ")


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, (bytes, bytearray)) else str(value)


def servers_of(address: Address) -> list[str]:
    """The servers of an address as HOST or HOST:PORT: of a pair (host, port), as sockets have it, of a text,
    with commas or blanks between several, or of a sequence of these. ValueError if it is none, as ("host",
    "name"), which may be a port that cannot be read; ["host", "name"] are two servers."""
    if isinstance(address, (str, bytes, bytearray)):
        return _text(address).replace(",", " ").split()
    if not isinstance(address, (tuple, list)):
        raise ValueError(f"a Pinba server is ('host', port) or 'host:port', not {address!r}")
    if len(address) in (2, 4) and isinstance(address[0], (str, bytes)) and _is_port(address[1]):
        host, port = _text(address[0]), _text(address[1])
        return [f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"]
    if isinstance(address, tuple) and len(address) == 2 and all(map(_is_bare, address)):
        raise ValueError(f"{address[1]!r} is no port; two servers are {list(address)!r}")
    return [server for each in address for server in servers_of(each)]


def _choice(choices: dict[str, int], name: str, value: object) -> int:
    number = choices.get(value) if isinstance(value, str) else None
    if number is None:
        raise ValueError(f"{name} is one of {', '.join(map(repr, choices))}, not {value!r}")
    return number


class Reporter:
    """Sends requests to Pinba servers, over UDP.

    A call never blocks: names are looked up in the background, packets wait for that within bounds, and what
    cannot be sent is dropped, counted and logged. May be used from any thread. After os.fork() the child has
    its own, with nothing waiting.

    address
        ("host", port), "host:port", or several of these: each server gets every packet.
    raise_on_fail
        What cannot be sent, and options that cannot be read, raise; otherwise they are logged. May be set
        later. A packet that is dropped raises OSError. Of one that the server's machine refuses, as nobody
        listens there, is only known later: it is logged and counted.
    spread
        "all", or "by_script": each script name goes to one of the servers.
    linger
        Seconds that a packet may wait for others, to be sent with them in one call; 0: none waits.
    max_datagram
        Bytes; 0: 1,400, which no usual network has to cut.
    classic
        "maintained" or "original" cut texts where these versions of the engine within MySQL would.
    equal_timers
        "by_value": the first 16 timers with equal tags have an entry each in the packet, and of more those of
        about the same time share one. "separate": an entry each. "one": one for all.
    continue_timers
        Timers that do not fit into a datagram go in further ones, which servers count as requests.
    """

    def __init__(
        self,
        address: Address,
        raise_on_fail: bool = False,
        *,
        spread: str = "all",
        linger: float = 0.0,
        max_datagram: int = 0,
        classic: str = "",
        equal_timers: str = "by_value",
        continue_timers: bool = True,
    ) -> None:
        self.address = address
        self.raise_on_fail = raise_on_fail
        self._client: _native.Client | None = None
        try:
            self._client = _native.Client(
                servers_of(address),
                logger.warning,
                max_datagram=max_datagram,
                equal_timers=_choice(_EQUAL_TIMERS, "equal_timers", equal_timers),
                continue_timers=continue_timers,
                classic=_choice(_CLASSIC, "classic", classic),
                linger=linger,
                spread=_choice(_SPREAD, "spread", spread),
            )
        except Exception as error:
            if raise_on_fail:
                raise
            logger.error("nothing will be sent: %s", error)
            return
        _reporters.add(self)
        for client in [client for client in tuple(_left) if not client.counts()["queued"]]:
            _forget(client)

    def __del__(self) -> None:
        client = getattr(self, "_client", None)
        if client is not None and client.counts()["queued"]:
            _left.append(client)

    def __call__(
        self,
        server_name: str | None,
        hostname: str | None,
        script_name: str | None,
        elapsed: float | None,
        timers: Iterable[Any] | None,
        ru_utime: float | None = None,
        ru_stime: float | None = None,
        document_size: int | None = None,
        memory_peak: int | None = None,
        status: int | None = None,
        memory_footprint: int | None = None,
        schema: str | None = None,
        tags: Mapping[Any, Any] | None = None,
    ) -> None:
        """Send one request: names, seconds, bytes, and timers that ran, which are objects with `tags` and
        `elapsed`. What is missing or cannot be read is sent as 0 or empty; a status as 200."""
        failure = "no server to send to"
        try:
            if self._client is not None:
                if self._client.report(
                    server_name,
                    hostname,
                    script_name,
                    elapsed,
                    timers,
                    ru_utime,
                    ru_stime,
                    document_size,
                    memory_peak,
                    status,
                    memory_footprint,
                    schema,
                    tags,
                ):
                    return
                failure = "a packet was dropped"
        except Exception:
            if self.raise_on_fail:
                raise
            logger.exception("a request was not sent")
            return
        if self.raise_on_fail:
            raise OSError(f"{failure}: {self.address!r}")

    @staticmethod
    def prepare(
        servername: str | None,
        hostname: str | None,
        scriptname: str | None,
        elapsed: float | None,
        timers: Iterable[Any] | None,
        ru_utime: float | None = None,
        ru_stime: float | None = None,
        document_size: int | None = None,
        memory_peak: int | None = None,
        status: int | None = None,
        memory_footprint: int | None = None,
        schema: str | None = None,
        tags: Mapping[Any, Any] | None = None,
    ) -> bytes:
        """The packet of a request, as one datagram of at most 65,507 bytes; timers beyond are left out."""
        return _native.encode(
            servername,
            hostname,
            scriptname,
            elapsed,
            timers,
            ru_utime,
            ru_stime,
            document_size,
            memory_peak,
            status,
            memory_footprint,
            schema,
            tags,
        )

    def send(self, msg: bytes) -> int | None:
        """Send a packet as it is. Its bytes, or None if it was dropped."""
        try:
            if self._client is not None and self._client.send(msg):
                return len(msg)
        except Exception:
            if self.raise_on_fail:
                raise
            logger.exception("a packet was not sent")
            return None
        if self.raise_on_fail:
            raise OSError(f"a packet was dropped: {self.address!r}")
        logger.warning("a packet was dropped: %r", self.address)
        return None

    def flush(self, timeout: float = 1.0) -> bool:
        """Wait up to so many seconds until nothing waits any more, as for a name that is looked up. Whether
        that is so. The only call here that waits."""
        return self._client is None or self._client.flush(timeout)

    @property
    def counts(self) -> dict[str, int]:
        """Datagrams that were `sent`, their `bytes`, and how many were `dropped`, `refused` (came back, as
        nobody listens), and are `queued` now."""
        if self._client is None:
            return {"sent": 0, "bytes": 0, "dropped": 0, "refused": 0, "queued": 0}
        return self._client.counts()


def _forget(client: _native.Client) -> None:
    try:
        _left.remove(client)
    except ValueError:  # another thread was first
        pass


@atexit.register
def _flush_all() -> None:
    end = time.monotonic() + _AT_EXIT
    for client in [*_left, *(reporter._client for reporter in tuple(_reporters))]:
        if client is not None:
            client.flush(max(0.0, end - time.monotonic()))

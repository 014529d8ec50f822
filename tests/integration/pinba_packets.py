"""What a Pinba server reads: a strict decoder of its packets, the rules that keep a packet safe with every server
(core/doc/packet.md), and a server that keeps all that it got.

It shares no code with the product, and knows the message only from core/pinba/pinba.proto. What protoc makes of that
has to read the same.
"""

import contextlib
import functools
import importlib.util
import math
import os
import socket
import struct
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field

import google.protobuf.message

import daemons

VARINT, BYTES, FLOAT = 0, 2, 5
MAX_DATAGRAM = 65507
DEFAULT_DATAGRAM = 1400
SO_RCVBUFFORCE = 33  # not in Python's module
SMALLEST_NORMAL = 2.0**-126

# Of the message: number -> (name, wire type, repeated).
FIELDS = {
    1: ("hostname", BYTES, False),
    2: ("server_name", BYTES, False),
    3: ("script_name", BYTES, False),
    4: ("request_count", VARINT, False),
    5: ("document_size", VARINT, False),
    6: ("memory_peak", VARINT, False),
    7: ("request_time", FLOAT, False),
    8: ("ru_utime", FLOAT, False),
    9: ("ru_stime", FLOAT, False),
    10: ("timer_hit_count", VARINT, True),
    11: ("timer_value", FLOAT, True),
    12: ("timer_tag_count", VARINT, True),
    13: ("timer_tag_name", VARINT, True),
    14: ("timer_tag_value", VARINT, True),
    15: ("dictionary", BYTES, True),
    16: ("status", VARINT, False),
    17: ("memory_footprint", VARINT, False),
    18: ("requests", BYTES, True),
    19: ("schema", BYTES, False),
    20: ("tag_name", VARINT, True),
    21: ("tag_value", VARINT, True),
    22: ("timer_ru_utime", FLOAT, True),
    23: ("timer_ru_stime", FLOAT, True),
}
REQUIRED = range(1, 10)


class BadPacket(AssertionError):
    """A packet that some server would not take, or take wrongly."""


@dataclass(frozen=True)
class Timer:
    hits: int
    value: float  # seconds
    tags: tuple  # (name, value), sorted
    ru_utime: float = 0.0
    ru_stime: float = 0.0


@dataclass
class Packet:
    """A request as it was in a datagram. Texts are str; times are the floats of the wire."""

    hostname: str = ""
    server_name: str = ""
    script_name: str = ""
    request_count: int = 0
    document_size: int = 0
    memory_peak: int = 0
    request_time: float = 0.0
    ru_utime: float = 0.0
    ru_stime: float = 0.0
    timers: list = field(default_factory=list)
    tags: tuple = ()  # (name, value) of the request, sorted
    status: int = None
    memory_footprint: int = None
    schema: str = None
    requests: list = field(default_factory=list)
    size: int = 0  # bytes of the datagram
    dictionary: tuple = ()

    def timer(self, **tags):
        """The only timer that has exactly these tags; None if there is none."""
        found = [timer for timer in self.timers if timer.tags == tuple(sorted(tags.items()))]
        assert len(found) < 2, f"two timers with {tags}"
        return found[0] if found else None


def _require(good, reason):
    if not good:
        raise BadPacket(reason)


def _varint(data, at):
    value = shift = 0
    while True:
        _require(at < len(data), f"byte {at}: cut within a number")
        _require(shift < 70, f"byte {at}: a number of more than ten bytes")
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def _fields(data):
    """(number, value) one after the other; all are known, unpacked and in order."""
    at = last = 0
    while at < len(data):
        begin = at
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        _require(number in FIELDS, f"byte {begin}: unknown field {number}")
        name, want, repeated = FIELDS[number]
        _require(wire == want, f"byte {begin}: {name} has wire type {wire}, not {want}")
        _require(number >= last, f"byte {begin}: {name} comes after field {last}")
        _require(number > last or repeated, f"byte {begin}: {name} is there twice")
        _require(last != 0 or number == 1, f"byte {begin}: field 1 is not first")
        last = number
        if wire == VARINT:
            value, at = _varint(data, at)
            _require(value < 2**32, f"byte {begin}: {name} is {value}, more than 32 bits")
        elif wire == FLOAT:
            _require(at + 4 <= len(data), f"byte {begin}: {name} is cut")
            (value,) = struct.unpack_from("<f", data, at)
            at += 4
        else:
            size, at = _varint(data, at)
            _require(at + size <= len(data), f"byte {begin}: {name} is cut")
            value = data[at : at + size]
            at += size
        yield number, value


@functools.cache
def message_type():
    """The class that protoc makes for the message."""
    proto = os.path.join(daemons.HERE, "..", "..", "core", "pinba")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["protoc", f"--proto_path={proto}", f"--python_out={folder}", "pinba.proto"], check=True)
        spec = importlib.util.spec_from_file_location("pinba_pb2", os.path.join(folder, "pinba_pb2.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.Request


def _agree(data, single, lists):
    """protobuf's own reader finds these fields in the message, and no others."""
    message = message_type()()
    try:
        message.ParseFromString(data)
    except google.protobuf.message.DecodeError as error:
        raise BadPacket(f"protobuf cannot read it: {error}") from None
    fields = {**single, **{number: values for number, values in lists.items() if values}}
    found = {}
    for descriptor, value in message.ListFields():
        if descriptor.name == "requests":
            value = [inner.SerializeToString() for inner in value]
        elif descriptor.type == descriptor.TYPE_STRING:
            value = [text.encode() for text in value] if descriptor.label == descriptor.LABEL_REPEATED else value.encode()
        elif descriptor.label == descriptor.LABEL_REPEATED:
            value = list(value)
        found[descriptor.number] = value
    # What is within a nested message is compared when that is read, as numbers there may be padded.
    for number in fields.keys() | found.keys():
        want, got = fields.get(number), found.get(number)
        same = len(want or ()) == len(got or ()) if FIELDS[number][0] == "requests" else want == got
        _require(same, f"{FIELDS[number][0]} is {got!r} to protobuf, and {want!r} here")


def _text(name, data, key=True):
    _require(data or not key, f"{name} is empty")
    _require(b"\0" not in data, f"{name} has a NUL: {data!r}")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadPacket(f"{name} is not UTF-8: {data!r}") from None


def _seconds(name, value):
    good = value == 0 and math.copysign(1, value) > 0 or math.isfinite(value) and value >= SMALLEST_NORMAL
    _require(good, f"{name} is {value!r}: not 0, and no normal number above it")
    return value


def read(data, max_bytes=DEFAULT_DATAGRAM, nested_allowed=False):
    """The Packet in a datagram, if that is safe with every server; else BadPacket says why it is not."""
    _require(len(data) <= max_bytes, f"{len(data)} bytes are more than {max_bytes}")
    single, lists = {}, {number: [] for number, (_, _, repeated) in FIELDS.items() if repeated}
    for number, value in _fields(data):
        if number in lists:
            lists[number].append(value)
        else:
            single[number] = value
    for number in REQUIRED:
        _require(number in single, f"{FIELDS[number][0]} is missing")
    _agree(data, single, lists)

    words = [_text("a text of the dictionary", word) for word in lists[15]]
    _require(len(set(words)) == len(words), "a text is in the dictionary twice")

    def tag(name, value):
        _require(max(name, value) < len(words), f"a tag points to text {max(name, value)} of {len(words)}")
        return words[name], words[value]

    hits, values, counts = lists[10], lists[11], lists[12]
    _require(len(hits) == len(values) == len(counts), "the timers' lists differ in length")
    for number in (22, 23):
        _require(len(lists[number]) in (0, len(hits)), f"{FIELDS[number][0]} is not there for each timer")
    _require(len(lists[13]) == len(lists[14]) == sum(counts), "timers have other tags than they say")
    _require(len(lists[20]) == len(lists[21]), "request tags have other names than values")
    zeros = [0.0] * len(hits)
    timers, at = [], 0
    for hit, value, count, utime, stime in zip(hits, values, counts, lists[22] or zeros, lists[23] or zeros):
        _require(hit > 0, "a timer has no hits")
        _require(count > 0, "a timer has no tags")
        tags = tuple(sorted(tag(*pair) for pair in zip(lists[13][at : at + count], lists[14][at : at + count])))
        at += count
        for name, number in (("timer value", value), ("timer ru_utime", utime), ("timer ru_stime", stime)):
            _seconds(name, number)
        timers.append(Timer(hit, value, tags, utime, stime))
    _require(nested_allowed or not lists[18], "requests are nested")
    return Packet(
        hostname=_text("hostname", single[1]),
        server_name=_text("server_name", single[2]),
        script_name=_text("script_name", single[3]),
        request_count=single[4],
        document_size=single[5],
        memory_peak=single[6],
        request_time=_seconds("request_time", single[7]),
        ru_utime=_seconds("ru_utime", single[8]),
        ru_stime=_seconds("ru_stime", single[9]),
        timers=timers,
        tags=tuple(sorted(tag(*pair) for pair in zip(lists[20], lists[21]))),
        status=single.get(16),
        memory_footprint=single.get(17),
        schema=_text("schema", single[19]) if 19 in single else None,
        requests=[read(inner, max_bytes, True) for inner in lists[18]],
        size=len(data),
        dictionary=tuple(words),
    )


def free_udp_port():
    """A loopback UDP port that nobody listens on; no other running test gets it."""
    while True:
        port = daemons.free_port()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Server:
    """Receives on a loopback port until it is left, and checks every packet."""

    def __init__(self, port=0, max_bytes=DEFAULT_DATAGRAM, nested_allowed=False):
        self._limits = max_bytes, nested_allowed
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (SO_RCVBUFFORCE, socket.SO_RCVBUF):
            # The system's limit for others than root is no more than some hundred packets, on most machines.
            with contextlib.suppress(PermissionError):
                self._socket.setsockopt(socket.SOL_SOCKET, option, 8 << 20)
                break
        self._socket.bind(("127.0.0.1", port))
        self._socket.settimeout(0.05)
        self.port = self._socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._lock = threading.Lock()
        self._packets = []  # (when, Packet)
        self._datagrams = []
        self._bad = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, failure, *_):
        self._end.set()
        self._thread.join()
        self._socket.close()
        if not failure:
            self.packets()

    def _run(self):
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except socket.timeout:
                # What arrived before the end is still taken.
                if self._end.is_set():
                    return
                continue
            try:
                packet = read(data, *self._limits)
            except BadPacket as bad:
                with self._lock:
                    self._bad.append(f"{bad}: {data!r}")
                continue
            with self._lock:
                self._packets.append((time.time(), packet))
                self._datagrams.append(data)

    def packets(self, since=0):
        """All that arrived; none of them may be bad."""
        with self._lock:
            assert not self._bad, f"{len(self._bad)} bad packets, the first: {self._bad[0]}"
            return [packet for when, packet in self._packets if when >= since]

    def datagrams(self):
        """All that arrived, as they were."""
        self.packets()
        with self._lock:
            return list(self._datagrams)

    def hits(self, since=0, **tags):
        """The hits of all timers that have these tags among theirs."""
        wanted = set(tags.items())
        return sum(
            timer.hits for packet in self.packets(since) for timer in packet.timers if wanted <= set(timer.tags)
        )

    def seconds(self, since=0, **tags):
        wanted = set(tags.items())
        return math.fsum(
            timer.value for packet in self.packets(since) for timer in packet.timers if wanted <= set(timer.tags)
        )

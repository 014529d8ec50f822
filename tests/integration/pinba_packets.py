"""Pinba packets, read by nothing of ours: a strict decoder, and the rules that make a packet safe for every
server. Field numbers and types: core/proto/pinba.proto."""

import contextlib
import math
import socket
import struct

import daemons

# number: (name, kind, label)
FIELDS = {
    1: ("hostname", "string", "required"),
    2: ("server_name", "string", "required"),
    3: ("script_name", "string", "required"),
    4: ("request_count", "uint32", "required"),
    5: ("document_size", "uint32", "required"),
    6: ("memory_peak", "uint32", "required"),
    7: ("request_time", "float", "required"),
    8: ("ru_utime", "float", "required"),
    9: ("ru_stime", "float", "required"),
    10: ("timer_hit_count", "uint32", "repeated"),
    11: ("timer_value", "float", "repeated"),
    12: ("timer_tag_count", "uint32", "repeated"),
    13: ("timer_tag_name", "uint32", "repeated"),
    14: ("timer_tag_value", "uint32", "repeated"),
    15: ("dictionary", "string", "repeated"),
    16: ("status", "uint32", "optional"),
    17: ("memory_footprint", "uint32", "optional"),
    18: ("requests", "message", "repeated"),
    19: ("schema", "string", "optional"),
    20: ("tag_name", "uint32", "repeated"),
    21: ("tag_value", "uint32", "repeated"),
    22: ("timer_ru_utime", "float", "repeated"),
    23: ("timer_ru_stime", "float", "repeated"),
}
WIRE_TYPES = {"uint32": 0, "string": 2, "message": 2, "float": 5}


def _varint(data, at):
    value = shift = 0
    while True:
        assert at < len(data), f"byte {at}: a number is cut"
        assert shift < 35, f"byte {at}: a number has more than 5 bytes"
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            assert value < 2**32, f"byte {at}: a number has more than 32 bits"
            return value, at
        shift += 7


def decode(data, ordered=True):
    """The message as a dict, strictly: known fields alone, unpacked, in order unless told otherwise."""
    message = {name: [] for name, _, label in FIELDS.values() if label == "repeated"}
    at = last = 0
    while at < len(data):
        begin = at
        key, at = _varint(data, at)
        number = key >> 3
        assert number in FIELDS, f"byte {begin}: there is no field {number}"
        name, kind, label = FIELDS[number]
        assert key & 7 == WIRE_TYPES[kind], f"byte {begin}: {name} has wire type {key & 7}"
        assert not ordered or number >= last, f"byte {begin}: {name} comes after field {last}"
        last = number
        if kind == "float":
            assert at + 4 <= len(data), f"byte {at}: {name} is cut"
            (value,) = struct.unpack_from("<f", data, at)
            at += 4
        else:
            value, at = _varint(data, at)
            if kind != "uint32":
                assert at + value <= len(data), f"byte {at}: {name} is cut"
                value, at = data[at : at + value], at + value
                value = value.decode("utf-8", "strict") if kind == "string" else decode(value, ordered)
        if label == "repeated":
            message[name].append(value)
        else:
            assert name not in message, f"byte {begin}: {name} is there twice"
            message[name] = value
    for name, _, label in FIELDS.values():
        assert label != "required" or name in message, f"{name} is missing"
    return message


def check(data, most=1400):
    """Decodes a packet of ours and asserts that it is safe for every server; the message."""
    assert 0 < len(data) <= most, f"{len(data)} bytes"
    message = decode(data)
    assert data[0] == 0x0A, "the first field is not hostname"
    assert not message["requests"], "nested requests"
    dictionary = message["dictionary"]
    assert len(set(dictionary)) == len(dictionary), f"a text is in the dictionary twice: {dictionary}"
    texts = [message[name] for name in ("hostname", "server_name", "script_name")] + dictionary
    texts += [message["schema"]] if "schema" in message else []
    for text in texts:
        assert text and "\0" not in text, f"a text is empty or has a NUL: {texts}"
    timers = len(message["timer_hit_count"])
    for name in ("timer_value", "timer_tag_count"):
        assert len(message[name]) == timers, f"{len(message[name])} of {name} for {timers} timers"
    for name in ("timer_ru_utime", "timer_ru_stime"):
        assert len(message[name]) in (0, timers), f"{len(message[name])} of {name} for {timers} timers"
    assert 0 not in message["timer_hit_count"], "a timer has no hits"
    assert 0 not in message["timer_tag_count"], "a timer has no tags"
    tags = sum(message["timer_tag_count"])
    assert len(message["timer_tag_name"]) == len(message["timer_tag_value"]) == tags, "timers' tags do not add up"
    assert len(message["tag_name"]) == len(message["tag_value"]), "request tags do not match"
    for name in ("timer_tag_name", "timer_tag_value", "tag_name", "tag_value"):
        assert all(index < len(dictionary) for index in message[name]), f"{name} is beyond the dictionary"
    times = [message[name] for name in ("request_time", "ru_utime", "ru_stime")]
    for name in ("timer_value", "timer_ru_utime", "timer_ru_stime"):
        times += message[name]
    smallest = 2.0**-126
    for time in times:
        assert math.isfinite(time) and (time == 0 and math.copysign(1, time) > 0 or time >= smallest), f"time {time}"
    return message


def request_tags(message):
    """The request's tags as (name, value) pairs."""
    dictionary = message["dictionary"]
    return [(dictionary[n], dictionary[v]) for n, v in zip(message["tag_name"], message["tag_value"])]


def timers(message):
    """(hits, seconds, [(name, value)...]) for each timer."""
    dictionary, names, values = message["dictionary"], iter(message["timer_tag_name"]), iter(message["timer_tag_value"])
    result = []
    for hits, seconds, count in zip(message["timer_hit_count"], message["timer_value"], message["timer_tag_count"]):
        result.append((hits, seconds, [(dictionary[next(names)], dictionary[next(values)]) for _ in range(count)]))
    return result


class Server:
    """Receives packets on a port of its own, and checks each."""

    def __init__(self, host="127.0.0.1", port=0):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.port = self.socket.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self, seconds=20):
        """The next packet, as a message."""
        self.socket.settimeout(seconds * daemons.TIME_SCALE)
        return check(self.socket.recv(65536))

    def receive_all(self):
        """What is there."""
        self.socket.settimeout(0)
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(check(self.socket.recv(65536)))
        return messages

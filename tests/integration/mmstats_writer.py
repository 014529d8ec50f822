"""An application that publishes mmstats: a second implementation of the format's writing side.

It shares no code with the product, so that a misunderstanding of the format shows as a failure.
"""

import math
import mmap
import os
import struct
import time
from typing import NamedTuple, Union

PAGE = 4096
UNBUFFERED = 0xFF
PARTS = 32  # of a power of two, in a histogram
LOWEST_POWER = -30


class Field(NamedTuple):
    """One field. A label that is bytes goes into the file as it is, without the prefix."""

    label: Union[str, bytes]
    type: str
    buffered: bool
    value: object


def counter(label, value=0):
    return Field(label, "Q", True, value)


def gauge(label, value=0.0, type="d"):
    return Field(label, type, True, value)


def text(label, value, size=256):
    return Field(label, f"{size}s", False, value.encode() if isinstance(value, str) else value)


def distribution(label, values, unit="seconds", help="", powers=()):
    """The fields of a histogram: buckets of the powers of two that have `values`, and of `powers`."""
    counts = bucket_counts(values)
    used = sorted({bucket // PARTS for bucket in counts} | {power - LOWEST_POWER for power in powers})
    fields = [
        Field(f"{label}.buckets.{LOWEST_POWER + power}", f"{PARTS}Q", False, tuple(counts.get(power * PARTS + part, 0) for part in range(PARTS)))
        for power in used
    ]
    told = f"{label}\thistogram\t{unit}\t{help}\tlog-linear {PARTS} {LOWEST_POWER} 50\n"
    return [*fields, counter(f"{label}.count", len(values)), text("sys.metadata", told, 500)]


def escaped(value):
    """A value of a dimension as a part of a label."""
    part = "".join(f"%{ord(c):02X}" if c in ".%\x7f" or c < " " else c for c in value)
    return "%73ys" if part == "sys" else part


def family(label, dimensions, values, kind="counter", unit="", help=""):
    """The fields of a family: one for each combination in `values`, a tuple of values of the dimensions -> number; of
    histograms, a list of numbers."""
    scheme = f"log-linear {PARTS} {LOWEST_POWER} 50" if kind == "histogram" else ""
    told = "\t".join((label, kind, unit, help, scheme, " ".join(dimensions))) + "\n"
    fields = [text("sys.metadata", told, len(told.encode()))]
    for combination, value in values.items():
        name = ".".join((label, *map(escaped, combination)))
        if kind == "histogram":
            fields += [field for field in distribution(name, value) if field.label != "sys.metadata"]
            fields.append(Field(f"{name}.sum", "d", True, float(sum(value))))
        elif kind == "counter":
            fields.append(Field(name, " Q", True, value))
        else:
            fields.append(Field(name, " d" if isinstance(value, float) else " q", True, value))
    return fields


def histogram_family(label, dimensions, values, unit="seconds", help=""):
    return family(label, dimensions, values, "histogram", unit, help)


def bucket_counts(values):
    """bucket -> how many of the values are in it."""
    counts = {}
    for value in values:
        fraction, power = math.frexp(max(value, 2.0**LOWEST_POWER))  # fraction: from 0.5 to 1
        bucket = (power - 1 - LOWEST_POWER) * PARTS + int((2 * fraction - 1) * PARTS)
        counts[bucket] = counts.get(bucket, 0) + 1
    return counts


def sys_fields(pid=None, tid=None, created=None):
    """What every process publishes beside its own fields."""
    pid = os.getpid() if pid is None else pid
    return [
        Field("sys.pid", "I", False, pid),
        Field("sys.tid", "q", False, pid if tid is None else tid),
        Field("sys.uid", "Q", False, os.getuid()),
        Field("sys.gid", "Q", False, os.getgid()),
        Field("sys.created", "d", False, time.time() if created is None else created),
    ]


def encode(fields, prefix=""):
    """The bytes of a whole file, and where each field's write buffer byte is: label -> offset."""
    out = bytearray(b"\x01")
    offsets = {}
    for field in fields:
        label = field.label if isinstance(field.label, bytes) else (prefix + field.label).encode()
        type_text = field.type.encode()
        out += struct.pack("<H", len(label)) + label
        out += struct.pack("<H", len(type_text)) + type_text
        offsets[field.label] = len(out)
        value = struct.pack(field.type, *(field.value if isinstance(field.value, (tuple, list)) else (field.value,)))
        out += b"\x00" + value * 2 if field.buffered else bytes([UNBUFFERED]) + value
    # The list ends with a label size of 0: at least two bytes of the tail.
    out += bytes(PAGE - (len(out) + 2) % PAGE + 2)
    return out, offsets


class MmstatsFile:
    """One published file, mapped until close(), remove() or the end of the process.

    It appears complete: built under a name that no glob matches, then renamed. With in_place it is
    made as the first implementations did, by truncating and filling what has that name.
    """

    def __init__(self, path, fields, prefix="", in_place=False, with_sys=True, **sys_values):
        self.path = path
        fields = list(fields) + (sys_fields(**sys_values) if with_sys else [])
        self._fields = {field.label: field for field in fields}
        content, self._offsets = encode(fields, prefix)
        folder, name = os.path.split(path)
        building = path if in_place else os.path.join(folder, f".{name}.{os.getpid()}")
        fd = os.open(building, os.O_RDWR | os.O_CREAT | (os.O_TRUNC if in_place else os.O_EXCL), 0o644)
        try:
            os.ftruncate(fd, len(content))
            self._map = mmap.mmap(fd, len(content))
        finally:
            os.close(fd)
        self._map[:] = bytes(content)
        if not in_place:
            os.rename(building, path)

    def set(self, label, value):
        field = self._fields[label]
        offset = self._offsets[label]
        if not field.buffered:
            struct.pack_into(field.type, self._map, offset + 1, value)
            return
        # Store into the buffer that nobody reads, then publish it with one byte.
        buffer = self._map[offset]
        struct.pack_into(field.type, self._map, offset + 1 + buffer * struct.calcsize(field.type), value)
        self._map[offset] = buffer ^ 1

    def get(self, label):
        field = self._fields[label]
        offset = self._offsets[label]
        published = self._map[offset] ^ 1 if field.buffered else 0
        return struct.unpack_from(field.type, self._map, offset + 1 + published * struct.calcsize(field.type))[0]

    def add(self, label, values):
        """Values of a histogram, in powers of two that it has."""
        for bucket, count in bucket_counts(values).items():
            at = self._offsets[f"{label}.buckets.{LOWEST_POWER + bucket // PARTS}"] + 1 + 8 * (bucket % PARTS)
            struct.pack_into("Q", self._map, at, struct.unpack_from("Q", self._map, at)[0] + count)
        self.incr(f"{label}.count", len(values))

    def set_removed(self, label, removed=True):
        """Removes a field, whose type begins with a blank, or brings it back."""
        at = self._offsets[label] - len(self._fields[label].type)
        self._map[at : at + 1] = b"\t" if removed else b" "

    def incr(self, label, amount=1):
        self.set(label, self.get(label) + amount)

    def close(self):
        self._map.close()

    def remove(self):
        self.close()
        os.unlink(self.path)

"""A reader of mmstats files for the tests' own use: writer_test.py judges it by files of the original
implementation."""

import struct

from mmstats_writer import UNBUFFERED


def read(data):
    """Fields of one sound file, as the corpus' .json has them."""
    assert data[0] == 1, "no mmstats file"
    fields, at = [], 1
    while at < len(data):
        parts = []
        for _ in ("label", "type"):
            (size,) = struct.unpack_from("<H", data, at)
            parts.append(data[at + 2 : at + 2 + size].decode())
            if not size:
                return fields
            at += 2 + size
        label, type_text = parts
        buffer = data[at]
        size = struct.calcsize(type_text)
        published = 0 if buffer == UNBUFFERED else buffer ^ 1
        (value,) = struct.unpack_from(type_text, data, at + 1 + published * size)
        if isinstance(value, bytes):
            value = value.split(b"\0")[0].decode()
        at += 1 + size * (1 if buffer == UNBUFFERED else 2)
        fields.append({"label": label, "type": type_text, "buffered": buffer != UNBUFFERED, "value": value})
    return fields

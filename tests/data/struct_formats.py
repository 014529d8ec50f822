#!/usr/bin/python3
"""Writes struct_formats.json: what Python's own struct module and repr say, for tests to compare with.

Run it on a 64-bit little-endian machine: python3 struct_formats.py > struct_formats.json
"""

import itertools
import json
import math
import random
import struct

CODES = "xcbB?hHiIlLqQnNPefdsp"

SINGLE = [order + count + code for order in ("", ">") for count in ("", "0", "3", "17") for code in CODES]
SINGLE += [order + code for order in ("@", "=", "<", "!") for code in CODES]

LAID_OUT = [
    order + text
    for order in ("", "=", ">")
    for text in (
        ["b" + code for code in "hilqQnPefd?"]
        + ["3x" + code + "b" for code in "hiqefds"]
        + ["bh0i", "b0q", "0qb", "0q", "bb0dQ", "x4sxH", "hbi3sd", "Id", "dd", "dxd", "2d3d", "bxb", "?Qe", "4s2s", "5p3s", "cc", "c2s"]
    )
]

BLANKS = ["  Q", "Q  ", " \t\n\v\f\r Q", "Q Q", " 4d ", "@ Q", "= Q", "> \tI d", "I d", "       d", "2 s", "4 d", "1 2d", " <Q", " @Q"]

WRONG = [
    "", " ", "@", "<", "> ", "@ \t", "Z", "QZ", "Q!", "=P", "<n", ">N", "!3n", "@@Q", "==Q", "=<Q", "4", "4 ", "Q4", "-1Q", "+1Q", "1.0d",
    "q\0", "\0", "Q\x1c", "Q\x85", "\xa0Q", "é", "\x7f", "9223372036854775807x", "9223372036854775808x",
    "18446744073709551616x", "99999999999999999999999999s", "9223372036854775807s", "9223372036854775807xx",
    "1152921504606846975Q", "1152921504606846976Q", "9223372036854775807xQ", "9223372036854775800xQ", "9223372036854775801xQ",
    "4611686018427387904h", "x4611686018427387903h", "00000000000000000000000000000000001Q", "0Z", "0",
]

HALVES = [0x0000, 0x8000, 0x0001, 0x03FF, 0x0400, 0x3C00, 0x3555, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x7C01]
FLOATS = [0x00000000, 0x80000000, 0x00000001, 0x007FFFFF, 0x00800000, 0x3DCCCCCD, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000]
DOUBLES = [
    0.0, -0.0, 1.0, -1.0, 3.0, 0.1, 0.5, 1 / 3, 2 / 3, 1e-4, 1e-5, 9.999e-5, 1e15, 9999999999999998.0, 1e16, 12345678901234567.0,
    1e17, 1e21, 1e22, 1e23, 1e100, 1e300, 1.7976931348623157e308, 2.2250738585072014e-308, 5e-324, 123456.789, 1795298847.243269,
    -2.5e-7, 2.0**53, 2.0**63, 2.0**64, 4.35, 0.3, 2.675, 100.0, 1e2, 123e-20, math.nan, math.inf, -math.inf,
]  # fmt: skip


def told(value):
    """A decoded item, in JSON's words: texts as {"bytes": hex up to the first NUL}."""
    if isinstance(value, bytes):
        return {"bytes": value.split(b"\0")[0].hex()}
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value


def samples(size):
    yield bytes(size)
    yield bytes((0xF1 - 7 * i) & 0xFF for i in range(size))
    yield random.randbytes(size)


def entry(text):
    try:
        size = struct.calcsize(text)
    except (struct.error, UnicodeEncodeError):
        return {"format": text, "size": None}
    found = {"format": text, "size": size}
    if size <= 200 and "0p" not in text:  # of an empty Pascal string, Python reads a byte that is not there
        found["values"] = [{"hex": data.hex(), "items": [told(item) for item in struct.unpack(text, data)]} for data in samples(size)]
    return found


def special(text, numbers, packed_as):
    values = []
    for number in numbers:
        data = struct.pack(text[:-1] + packed_as, number)
        values.append({"hex": data.hex(), "items": [told(item) for item in struct.unpack(text, data)]})
    return {"format": text, "size": struct.calcsize(text), "values": values}


def main():
    random.seed(1)
    formats = [entry(text) for text in dict.fromkeys(itertools.chain(SINGLE, LAID_OUT, BLANKS, WRONG))]
    for order in ("", "<", ">"):
        formats.append(special(order + "e", HALVES, "H"))
        formats.append(special(order + "f", FLOATS, "I"))
        formats.append(special(order + "d", DOUBLES, "d"))
    doubles = DOUBLES + [struct.unpack("d", random.randbytes(8))[0] for _ in range(200)]
    doubles += [random.uniform(-1000, 1000) for _ in range(100)] + [round(random.uniform(0, 100), 2) for _ in range(100)]
    lines = ['{"made_by": "tests/data/struct_formats.py",', ' "formats": [']
    lines.append(",\n".join("  " + json.dumps(found) for found in formats))
    lines += [" ],", ' "floats": [']
    lines.append(",\n".join("  " + json.dumps([struct.pack("<d", value).hex(), repr(value)]) for value in doubles))
    lines += [" ]", "}"]
    print("\n".join(lines))


if __name__ == "__main__":
    main()

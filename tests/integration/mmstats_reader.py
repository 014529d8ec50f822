"""A reader of mmstats files for the tests' own use: writer_test.py judges it by files of the original
implementation. As a program it judges other readers."""

import glob
import itertools
import json
import math
import os
import struct
import sys

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
        items = struct.unpack_from(type_text, data, at + 1 + published * size)
        value = items[0] if len(items) == 1 else list(items)
        if isinstance(value, bytes):
            value = value.split(b"\0")[0].decode()
        at += 1 + size * (1 if buffer == UNBUFFERED else 2)
        fields.append({"label": label, "type": type_text, "buffered": buffer != UNBUFFERED, "value": value})
    return fields


def compare(folder):
    """Reads all files in `folder`, and says where it differs from the .json beside, which another reader wrote."""
    differences = 0
    for path in sorted(glob.glob(os.path.join(folder, "*.mmstats"))):
        with open(path, "rb") as file:
            got = read(file.read())
        with open(path.replace(".mmstats", ".json")) as file:
            want = json.load(file)["fields"]
        for field in got:
            field["type"] = field["type"].strip()
            if isinstance(field["value"], float) and not math.isfinite(field["value"]):
                field["value"] = str(field["value"])
        # As texts: 1 is not 1.0, nor is it True.
        got, want = ([json.dumps(field, sort_keys=True) for field in fields] for fields in (got, want))
        if got != want:
            differences += 1
            print(f"{path}: {len(got)} fields here, {len(want)} there")
            for here, there in itertools.zip_longest(got, want):
                if here != there:
                    print(f"  {here}\n  {there}")
    return differences


if __name__ == "__main__":
    sys.exit(compare(sys.argv[1]) > 0)

"""How labels become names in collectd: a second implementation, from plugin_collectd/mapping.md alone."""

import re

MAX_BYTES = 127


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def type_instance(label):
    """The type instance for a label, of a block that keeps no workers apart."""
    if isinstance(label, str):
        label = label.encode()
    text = re.sub(rb"[^A-Za-z0-9_.@-]", b"_", label)
    # A part of a dotted name may not be empty.
    text = re.sub(rb"^\.|\.$|(?<=\.)\.", b"_", text) or b"_"
    if text == label and len(text) <= MAX_BYTES and not re.search(rb"-[0-9a-f]{12}$", text):
        return text.decode()
    full = fnv1a(label)
    return f"{text[:MAX_BYTES - 13].decode()}-{(full ^ full >> 48) % 2**48:012x}"

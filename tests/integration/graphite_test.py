"""The main road: what an application writes is what Graphite draws. Real collectd, Carbon, Graphite-web."""

import contextlib
import json
import os
import struct
import threading
import time
import unittest
import zlib

import daemons
import mmstats_writer as writer
from series_names import type_instance

PACE = 200  # per second
LEVEL, SMALL, DEEP = 42.125, 7, -1.5e9

# Labels that no name can hold as they are. Two of each kind, so that they must not meet.
ODD_LABELS = [
    "a/b",
    "a_b",
    'quo"te',
    "blank s",
    "blank_s",
    "new\nline",
    b"nul\0byte",
    b"\xff\xfe",
    "caf\u00e9 \u2603",
    "x{y,z}[0-9]*?",
    "per%cent&amp#",
    "..dots..",
    "semi;colon=tag",
    "$(shell)`s`",
    "long" * 60 + "1",
    "long" * 60 + "2",
    "likehash-0123456789ab",
]


def write_graphite(port, rates=True):
    return f"""\
<LoadPlugin write_graphite>
  FlushInterval 1
</LoadPlugin>
<Plugin write_graphite>
  <Node "test">
    Host "127.0.0.1"
    Port "{port}"
    Protocol "tcp"
    Prefix "collectd."
    StoreRates {str(rates).lower()}
    PreserveSeparator true
  </Node>
</Plugin>
"""


class Pace:
    """Increments a counter at a known pace until it is stopped."""

    def __init__(self, file, label):
        self._file, self._label = file, label
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        began = time.monotonic()
        done = 0
        while not self._end.wait(0.01):
            due = int((time.monotonic() - began) * PACE)
            self._file.incr(self._label, due - done)
            done = due

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Returns what it has counted. May be called again."""
        self._end.set()
        self._thread.join()
        return self._file.get(self._label)


def decode_png(data):
    """Width, height and the bytes of the picture; asserts that all of the file is sound."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:8]
    at, width, height, pixels = 8, 0, 0, b""
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        (check,) = struct.unpack_from(">I", data, at + 8 + size)
        assert check == zlib.crc32(kind + body), kind
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", body)
        if kind == b"IDAT":
            pixels += body
        at += 12 + size
    assert kind == b"IEND"
    return width, height, zlib.decompress(pixels)


class GraphiteTest(unittest.TestCase):
    def test_what_the_application_writes_is_what_graphite_shows(self):
        with daemons.workspace() as workspace:
            folder = os.path.join(workspace, "run")
            os.mkdir(folder)
            carbon = daemons.Carbon(workspace)
            web = daemons.GraphiteWeb(workspace, carbon)
            block = f'<Files "shop">\n  Path "{folder}/*.mmstats"\n</Files>'
            blocks = write_graphite(carbon.line_port) + daemons.mmstats_block(workspace, block)
            fields = [
                writer.counter("requests"),
                writer.gauge("level", LEVEL),
                writer.gauge("small", SMALL, "H"),
                writer.gauge("deep", DEEP, "f"),
            ]
            odd = [writer.Field(label, "d", True, float(n)) for n, label in enumerate(ODD_LABELS)]
            file = writer.MmstatsFile(os.path.join(folder, "web.mmstats"), fields, prefix="shop.")
            writer.MmstatsFile(os.path.join(folder, "odd.mmstats"), odd)
            with carbon, web, Pace(file, "requests") as pace, daemons.Collectd(workspace, blocks) as collectd:
                self.check_values(web, collectd, pace)
                self.check_odd_labels(web)
                self.check_picture(web)

    def check_values(self, web, collectd, pace):
        """What collectd wrote down by itself says when it looked, however late a busy machine made that."""
        drawn = lambda name: dict(web.points(f"collectd.testhost.mmstats-shop.{name}", "-9min"))
        taken = lambda name: collectd.samples(f"mmstats-shop/{name}")
        slot = lambda when: int(when + 0.5)  # whole seconds, of which Carbon keeps the last point
        name = "derive-shop.requests"
        daemons.wait_until(lambda: len(drawn(name)) >= 5, "five points of the counter")
        collectd.wait_for(f"mmstats-shop/{name}", pace.stop())
        samples = taken(name)
        slots = [slot(when) for when, _ in samples]
        rates = {slot(when): ((value - before) / (when - last), when - last)
                 for (last, before), (when, value) in zip(samples, samples[1:]) if slots.count(slot(when)) == 1}
        self.assertGreater(len(rates), 3)
        daemons.wait_until(lambda: set(rates) <= set(drawn(name)), "a point of each look")
        points = drawn(name)
        for when, (rate, seconds) in rates.items():
            # The times here are cut to milliseconds.
            self.assertAlmostEqual(points[when], rate, delta=rate * (0.0001 + 0.0015 / seconds))
        for name, want in (("level", LEVEL), ("small", SMALL), ("deep", DEEP)):
            name = f"gauge-shop.{name}"
            wanted = {slot(when) for when, _ in taken(name)}
            self.assertGreaterEqual(len(wanted), 3, name)
            daemons.wait_until(lambda: wanted <= set(drawn(name)), f"{name} has a point of each look")
            self.assertEqual(set(drawn(name).values()), {want}, name)

    def check_odd_labels(self, web):
        names = [type_instance(label) for label in ODD_LABELS]
        self.assertEqual(len(set(names)), len(ODD_LABELS))

        def arrived():
            """The names that Graphite has, without those of the other file."""
            found = json.loads(web.get("/metrics/index.json"))
            leaves = {name.split("mmstats-shop.gauge-", 1)[1] for name in found if "mmstats-shop.gauge-" in name}
            return {name for name in leaves if not name.startswith("shop.")}

        with contextlib.suppress(AssertionError):  # what is missing is told below
            daemons.wait_until(lambda: arrived() == set(names), "all odd labels are in Graphite")
        self.assertEqual(arrived(), set(names))
        for number, (label, name) in enumerate(zip(ODD_LABELS, names)):
            with self.subTest(label=label):
                # Its file may be there before what is in it.
                drawn = lambda: {value for _, value in web.points("collectd.testhost.mmstats-shop.gauge-" + name)}
                self.assertEqual(daemons.wait_until(drawn, "its points"), {float(number)})

    def check_picture(self, web):
        width, height, pixels = decode_png(web.png("collectd.testhost.mmstats-shop.derive-shop.requests"))
        self.assertEqual((width, height), (600, 300))
        empty = decode_png(web.png("no.such.series"))[2]
        self.assertNotEqual(pixels, empty)


if __name__ == "__main__":
    unittest.main()

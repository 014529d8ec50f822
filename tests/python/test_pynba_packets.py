"""Tags, and the packets that timers make."""

import collections
import gc
import logging
import sys
import types
import unittest
from unittest import mock

from pynba_served import packet_of, ran
import pinba_packets
from pynba.core import DataCollector, Reporter, Timer, flattener, logger


class Flattener(unittest.TestCase):
    def test_gives_sorted_pairs_of_texts(self):
        def made():
            return ["bar", "baz"]

        class Shade(str):
            pass

        for tags, want in (
            ({}, []),
            ({"foo": "bar"}, [("foo", "bar")]),
            ({"foo": 12}, [("foo", "12")]),
            ({"foo": [12, 13]}, [("foo", "12"), ("foo", "13")]),
            ({"foo": (13, 12)}, [("foo", "12"), ("foo", "13")]),
            ({"foo": {12}}, [("foo", "12")]),
            ({"foo": frozenset(["x"])}, [("foo", "x")]),
            ({"foo": {"foo": [12]}}, [("foo.foo", "12")]),
            ({"foo": made}, [("foo", "bar"), ("foo", "baz")]),
            ({"foo": {42: [12]}}, [("foo.42", "12")]),
            ({"a": {"b": {"c": 1}}}, [("a.b.c", "1")]),
            ({"b": 1, "a": 2}, [("a", "2"), ("b", "1")]),
            ({"a": [1, "1", 1.0]}, [("a", "1"), ("a", "1.0")]),
            ({"a": [True, None, 0.5, 1e-05]}, [("a", "0.5"), ("a", "1e-05"), ("a", "None"), ("a", "True")]),
            ({"a": 10**30}, [("a", str(10**30))]),
            ({"a": [[1, [2]], {"k": 3}]}, [("a", "1"), ("a", "2"), ("a.k", "3")]),
            ({1: 2, None: 3}, [("1", "2"), ("None", "3")]),
            ({"a": b"bytes"}, [("a", "bytes")]),
            ({"a": Shade("red")}, [("a", "red")]),
            ({"a": "é"}, [("a", "é")]),
            ({"a": ""}, [("a", "")]),
            ({"a": collections.deque([1])}, [("a", "1")]),
            ({"a": {"x": 1}.keys()}, [("a", "x")]),
            ({"a": range(2)}, [("a", "0"), ("a", "1")]),
            ({"a": (i for i in "xy")}, [("a", "x"), ("a", "y")]),
            ({"a": types.MappingProxyType({"k": 1})}, [("a.k", "1")]),
            (types.MappingProxyType({"a": 1}), [("a", "1")]),
            (collections.OrderedDict(a=1), [("a", "1")]),
        ):
            with self.subTest(want=want):
                self.assertEqual(flattener(tags), want)

    def test_a_tag_that_fails_is_told_and_left_out(self):
        class Odd:
            def __str__(self):
                raise ValueError("mine")

        def fails():
            raise KeyError("mine")

        ring = []
        ring.append(ring)
        endless = {"a": iter(lambda: 1, 2)}
        for odd in (Odd(), fails, ring, endless, {"k": fails}, [1, fails], lambda: fails):
            with self.assertLogs(logger) as told:
                logging.getLogger("pynba").warning("one at least")
                self.assertEqual(flattener({"odd": odd, "good": 1}), [("good", "1")])
            del told

    def test_what_is_no_mapping_is_a_type_error(self):
        for odd in (None, 1, "text", [("a", 1)], object()):
            with self.assertRaises(TypeError):
                flattener(odd)

    def test_what_is_no_error_of_the_tag_is_raised(self):
        def interrupted():
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            flattener({"a": interrupted})

    def test_tags_that_change_themselves_do_not_crash(self):
        tags = {}

        def changes():
            tags.clear()
            tags["new"] = [1]
            return "changed"

        tags.update(a=changes, b="x" * 100, c=changes)
        self.assertEqual(flattener(tags), [("a", "changed"), ("b", "x" * 100), ("c", "changed")])

        class Emptying(str):
            def __str__(self):
                elements.clear()
                return "text"

        elements = [Emptying("a"), "b", "c"]
        flattener({"a": elements})

        class Odd:
            def __str__(self):
                holder["a"] = None
                gc.collect()
                return "odd"

        holder = {"a": [Odd(), Odd()], 1: Odd()}
        self.assertIn(("a", "odd"), flattener(holder))


class Packets(unittest.TestCase):
    def test_hold_what_was_measured(self):
        timer = ran({"foo": "bar", "baz": ["seq1", "seq2"], "qux": {"map1": "val1"}})
        packet = packet_of(
            [timer],
            {"app": "shop", "user": lambda: "guest"},
            ru_utime=0.25,
            ru_stime=0.125,
            document_size=2048,
            memory_peak=4096,
            status=404,
            memory_footprint=8192,
            schema="https",
        )
        self.assertEqual((packet.server_name, packet.hostname, packet.script_name), ("srv", "web1", "/cart"))
        self.assertEqual((packet.request_time, packet.ru_utime, packet.ru_stime), (0.5, 0.25, 0.125))
        self.assertEqual((packet.document_size, packet.memory_peak), (2048, 4096))
        self.assertEqual(packet.memory_footprint, 8192)
        self.assertEqual((packet.status, packet.schema, packet.request_count), (404, "https", 1))
        self.assertEqual(packet.tags, (("app", "shop"), ("user", "guest")))
        self.assertEqual(
            packet.timers[0].tags,
            (("baz", "seq1"), ("baz", "seq2"), ("foo", "bar"), ("qux.map1", "val1")),
        )

    def test_have_request_tags_without_timers(self):
        self.assertEqual(packet_of((), {"app": "shop"}).tags, (("app", "shop"),))

    def test_have_large_numbers_right(self):
        packet = packet_of([ran({"n": i}) for i in range(300)], document_size=2**32 - 1, status=599)
        self.assertEqual((len(packet.timers), packet.document_size, packet.status), (300, 2**32 - 1, 599))

    def test_have_no_timers_that_never_ran(self):
        self.assertEqual(packet_of([Timer({"a": "b"}), ran({"a": "c"})]).timers[0].tags, (("a", "c"),))

    def test_have_tags_as_they_are_when_the_packet_is_made(self):
        timer = ran({"a": "b"})
        timer.tags["late"] = "tag"
        del timer.tags["a"]
        self.assertEqual(packet_of([timer]).timers[0].tags, (("late", "tag"),))

    def test_are_safe_whatever_they_are_made_of(self):
        class Liar:
            elapsed = float("nan")
            tags = {"x": "\0", "": "", "\udc80": b"\xff\xfe", "long": "x" * 100_000}

        class Broken:
            @property
            def elapsed(self):
                raise ValueError("mine")

        class Bare:
            pass

        odd_things = [None, 0, -1, 2**200, -(2**200), float("nan"), float("inf"), "text", "\0", "\udc80",
                      b"\xff", "é" * 70_000, object(), [], {}, True, Broken()]  # fmt: skip
        with mock.patch.object(logger, "warning"):
            for odd in odd_things:
                with self.subTest(odd=repr(odd)[:40]):
                    data = Reporter.prepare(odd, odd, odd, odd, None, odd, odd, odd, odd, odd, odd, odd, odd)
                    pinba_packets.read(data, pinba_packets.MAX_DATAGRAM)
                    pinba_packets.read(
                        Reporter.prepare("a", "b", "c", 1.0, odd, tags={"t": odd}), pinba_packets.MAX_DATAGRAM
                    )
            broken = Timer({"a": "b"}).start().stop()
            broken.tags = 5
            packet = packet_of([Liar(), Broken(), Bare(), None, broken, ran({"good": 1})])
            self.assertTrue(any(("good", "1") in timer.tags for timer in packet.timers))

    def test_may_be_made_while_one_is_made(self):
        reporter = Reporter(("127.0.0.1", pinba_packets.free_udp_port()))

        def again():
            reporter("inner", "h", "s", 1.0, [ran({"in": "ner"})])
            Reporter.prepare("inner", "h", "s", 1.0, [ran({"in": "ner"})])
            return "outer"

        reporter("outer", "h", "s", 1.0, [ran({"out": again})], tags={"t": again})
        self.assertEqual(packet_of([ran({"out": again})]).timers[0].tags, (("out", "outer"),))

    def test_leak_nothing(self):
        class Other:
            elapsed = 0.5
            tags = {"a": {"b": [1, "x"]}}

        def round_of_it():
            collector = DataCollector("a", "b", "c", {"t": [1]}).start()
            with collector.timer(a="b", c=[1, 2], d=lambda: "x"):
                pass
            flattener({"a": {1: 2}, "b": [b"x"]})
            collector.stop()
            Reporter.prepare("s", "h", "n", 1.5, [*collector.timers, Other()], tags={"k": "v"})
            collector.flush()

        for _ in range(50):
            round_of_it()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(500):
            round_of_it()
        gc.collect()
        self.assertLess(sys.getallocatedblocks() - before, 100)


if __name__ == "__main__":
    unittest.main()

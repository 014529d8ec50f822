"""The reader as programs for the original meet it, judged by files of the original library and by what its
own reader says of them."""

import glob
import io
import json
import math
import mmap
import os
import pathlib
import pickle
import threading
import time
import unittest

import published

import mmstats
from mmstats import reader

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "data")
CORPUS = sorted(glob.glob(os.path.join(DATA, "corpus", "*.mmstats")))
BAD = sorted(glob.glob(os.path.join(DATA, "bad", "*.mmstats")))
WEB = os.path.join(DATA, "corpus", "web.mmstats")


def encode(*rows, version=1):
    """A file of (label, type, bytes of the unbuffered value)."""
    out = bytes([version])
    for label, type_, value in rows:
        for text in (label, type_.encode()):
            out += len(text).to_bytes(2, "little") + text
        out += b"\xff" + value
    return out + bytes(64)


class ReaderTest(published.TestCase):
    def test_the_corpus_is_read_as_the_original_reads_it(self):
        self.assertGreater(len(CORPUS), 5)
        for path in CORPUS:
            with self.subTest(os.path.basename(path)):
                with open(path.replace(".mmstats", ".json")) as file:
                    want = [(field["label"], field["value"]) for field in json.load(file)["fields"]]
                got = [
                    (label, str(value) if isinstance(value, float) and not math.isfinite(value) else value)
                    for label, value in reader.MmStatsReader.from_mmap(path)
                ]
                # As texts: 1 is not 1.0, nor is it True.
                self.assertEqual(list(map(json.dumps, got)), list(map(json.dumps, want)))

    def test_all_ways_to_open_give_the_same(self):
        want = list(reader.MmStatsReader.from_mmap(WEB))
        self.assertEqual(list(reader.MmStatsReader.from_file(WEB)), want)
        with open(WEB, "rb") as file:
            content = file.read()
            file.seek(0)
            self.assertEqual(list(reader.MmStatsReader(file)), want)
            self.assertFalse(file.closed)
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                self.assertEqual(list(reader.MmStatsReader(mapped)), want)
        for data in (io.BytesIO(content), content, bytearray(content), memoryview(content)):
            self.assertEqual(list(reader.MmStatsReader(data)), want)

    def test_stats_are_named_tuples(self):
        first = next(iter(reader.MmStatsReader.from_file(WEB)))
        self.assertIsInstance(first, reader.Stat)
        self.assertIsInstance(first, tuple)
        label, value = first
        self.assertEqual((first.label, first.value), (label, value))
        self.assertEqual(first._fields, ("label", "value"))
        self.assertEqual(repr(reader.Stat("a", 1)), "Stat(label='a', value=1)")
        self.assertEqual(pickle.loads(pickle.dumps(reader.Stat("a", 1))), reader.Stat(label="a", value=1))

    def test_it_may_be_iterated_again_and_counted(self):
        found = reader.MmStatsReader.from_file(WEB)
        self.assertEqual(list(found), list(found))
        self.assertEqual(len(found), len(list(found)))
        self.assertEqual((found.version, found.damage), (1, None))

    def test_other_versions_are_refused(self):
        for data in (b"\x02" + bytes(64), b"\x00" * 64, b"text", b""):
            with self.subTest(data[:4]), self.assertRaises(reader.InvalidMmStatsVersion):
                reader.MmStatsReader(io.BytesIO(data))
        path = os.path.join(self.folder, "x.mmstats")
        with open(path, "wb") as file:
            file.write(b"\x02" + bytes(64))
        for how in (reader.MmStatsReader.from_file, reader.MmStatsReader.from_mmap):
            with self.assertRaises(reader.InvalidMmStatsVersion):
                how(path)
        self.assertIs(mmstats.InvalidMmStatsVersion, reader.InvalidMmStatsVersion)
        self.assertFalse(issubclass(reader.InvalidMmStatsVersion, OSError))

    def test_a_file_that_is_not_there_is_an_os_error(self):
        for how in (reader.MmStatsReader.from_file, reader.MmStatsReader.from_mmap):
            with self.assertRaises(FileNotFoundError) as error:
                how(os.path.join(self.folder, "missing"))
            self.assertIn("No such file or directory", str(error.exception))
            self.assertIn("missing", str(error.exception))

    def test_a_path_is_no_file(self):
        for path in ("a.mmstats", pathlib.Path("a.mmstats")):
            with self.subTest(path), self.assertRaisesRegex(TypeError, "from_file"):
                reader.MmStatsReader(path)

    def test_texts_end_at_the_first_nul_and_leave_out_what_is_not_utf8(self):
        data = encode(
            (b"cut", "8s", b"abc\0def\0"),
            (b"full", "4s", b"wxyz"),
            (b"odd\xff", "4s", b"a\xffb\0"),
            (b"c", "c", b"x"),
        )
        self.assertEqual(
            [tuple(stat) for stat in reader.MmStatsReader(data)],
            [("cut", "abc"), ("full", "wxyz"), ("odd", "ab"), ("c", "x")],
        )

    def test_of_several_items_the_first_one_counts(self):
        self.assertEqual(list(reader.MmStatsReader(encode((b"two", "2H", b"\x07\0\x08\0")))), [("two", 7)])

    def test_damage_ends_the_list_and_says_where(self):
        data = encode((b"good", "H", b"\x07\0"), (b"bad", "Z", b""))
        found = reader.MmStatsReader(data)
        self.assertEqual(list(found), [("good", 7)])
        self.assertRegex(found.damage, r"\d")

    def test_every_cut_and_every_flipped_bit_is_read_or_refused(self):
        with open(WEB, "rb") as file:
            content = file.read(512)
        want = list(reader.MmStatsReader.from_file(WEB))
        for size in range(len(content)):
            try:
                found = list(reader.MmStatsReader(content[:size]))
            except reader.InvalidMmStatsVersion:
                self.assertEqual(size, 0)
                continue
            self.assertEqual(found, want[: len(found)])
        for bit in range(8 * len(content)):
            data = bytearray(content)
            data[bit // 8] ^= 1 << bit % 8
            try:
                list(reader.MmStatsReader(data))
            except reader.InvalidMmStatsVersion:
                self.assertLess(bit, 8)

    def test_damaged_files_are_read_or_refused(self):
        self.assertGreater(len(BAD), 30)
        damaged = 0
        for path in BAD:
            with self.subTest(os.path.basename(path)):
                try:
                    found = reader.MmStatsReader.from_file(path)
                except reader.InvalidMmStatsVersion:
                    continue
                for label, _ in found:
                    self.assertIsInstance(label, str)
                damaged += found.damage is not None
        self.assertGreater(damaged, 10)

    def test_a_live_model_is_read(self):
        class Stats(mmstats.MmStats):
            hits = mmstats.CounterField()
            text = mmstats.StringField()

        stats = Stats(path=self.folder, label_prefix="web.")
        stats.hits.incr(3)
        stats.text = "naïve"
        for settle in (False, True):
            found = dict(reader.MmStatsReader.from_mmap(stats.filename, settle=settle))
            self.assertEqual((found["web.hits"], found["web.text"]), (3, "naïve"))
            self.assertEqual(found["web.sys.pid"], os.getpid())
            self.assertEqual(found, published.values(stats.filename))

    def test_a_writer_in_another_thread_is_never_seen_torn(self):
        class Stats(mmstats.MmStats):
            text = mmstats.StringField(size=200)

        stats = Stats(path=self.folder)
        over, writes = threading.Event(), []

        def write():
            mine = stats.filename
            while not over.is_set():
                for letter in "ab":
                    stats.text = letter * 200
                writes.append(mine)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            seen, deadline = set(), time.monotonic() + 60
            while (len(seen) < 2 or len(writes) < 1000) and time.monotonic() < deadline:
                if writes:
                    text = dict(reader.MmStatsReader.from_file(writes[0], settle=True))["text"]
                    self.assertIn(text, ("", "a" * 200, "b" * 200))
                    seen.add(text)
        finally:
            over.set()
            thread.join()


if __name__ == "__main__":
    unittest.main()

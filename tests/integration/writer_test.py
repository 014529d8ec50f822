"""The tests' own writer writes what the format says: judged by a reader that first proves itself on
the files of the original implementation."""

import glob
import json
import math
import os
import tempfile
import unittest

import mmstats_writer as writer
from mmstats_reader import read

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "corpus")


def same(got, want):
    if isinstance(want, str) and isinstance(got, float):
        return math.isnan(got) if want == "nan" else got == float(want)
    return got == want


class WriterTest(unittest.TestCase):
    def test_the_reader_agrees_with_the_original_one(self):
        files = sorted(glob.glob(os.path.join(CORPUS, "*.mmstats")))
        self.assertGreater(len(files), 5)
        for path in files:
            with self.subTest(os.path.basename(path)), open(path, "rb") as file:
                got = read(file.read())
                with open(path.replace(".mmstats", ".json")) as file:
                    want = json.load(file)["fields"]
                self.assertEqual([f["label"] for f in got], [f["label"] for f in want])
                for g, w in zip(got, want):
                    for key in ("type", "buffered", "value"):
                        self.assertTrue(same(g[key], w[key]), (g, w))

    def test_what_is_written_is_read_back(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.mmstats")
            fields = [
                writer.counter("count", 5),
                writer.gauge("level", 0.25),
                writer.Field("byte", "b", False, -3),
                writer.text("name", "café"),
            ]
            file = writer.MmstatsFile(path, fields, prefix="app.", pid=7, created=12.5)
            self.assertEqual(os.listdir(folder), ["a.mmstats"])
            self.assertEqual(os.path.getsize(path) % writer.PAGE, 0)
            for turn in range(1, 4):
                file.incr("count", 10)
                file.set("level", turn + 0.5)
                file.set("byte", turn)
                with open(path, "rb") as opened:
                    values = {f["label"]: f["value"] for f in read(opened.read())}
                self.assertEqual(values["app.count"], 5 + 10 * turn)
                self.assertEqual(values["app.level"], turn + 0.5)
                self.assertEqual(values["app.byte"], turn)
                self.assertEqual(values["app.name"], "café")
                self.assertEqual((values["app.sys.pid"], values["app.sys.created"]), (7, 12.5))
            file.remove()
            self.assertEqual(os.listdir(folder), [])

    def test_a_file_ends_with_two_zero_bytes_however_long_its_fields_are(self):
        for size in range(writer.PAGE - 20, writer.PAGE + 20):
            data, _ = writer.encode([writer.text("t", "x", size)])
            self.assertEqual(len(data) % writer.PAGE, 0)
            self.assertEqual(len(read(data)), 1)
            self.assertEqual(data[-2:], b"\0\0")


if __name__ == "__main__":
    unittest.main()

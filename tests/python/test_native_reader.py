"""The reader of the extension module: files of the original, of second implementations, and broken ones."""

import glob
import json
import math
import os
import struct
import unittest

import native_files
from native_files import TESTS, _native

DATA = os.path.join(TESTS, "data")


def field(label, type, *values, buffer=0xFF):
    label, code = label.encode() if isinstance(label, str) else label, type.encode()
    return (struct.pack("H", len(label)) + label + struct.pack("H", len(code)) + code + bytes([buffer])
            + b"".join(struct.pack(type, *(value if isinstance(value, tuple) else (value,))) for value in values))


class ReaderTests(native_files.TestCase):
    def test_files_of_the_original_read_as_its_own_reader_reads_them(self):
        paths = glob.glob(os.path.join(DATA, "corpus", "**", "*.mmstats"), recursive=True)
        self.assertGreater(len(paths), 3)
        for path in paths:
            with self.subTest(path), open(path.replace(".mmstats", ".json")) as file:
                want = []
                for each in json.load(file)["fields"]:
                    value = each["value"]
                    if each["type"].strip() in ("d", "f") and isinstance(value, str):
                        value = float(value)
                    want.append((each["label"], value))
                with open(path, "rb") as file:
                    data = file.read()
                for reader in (_native.Reader(data), _native.Reader.from_path(path), _native.Reader.from_path(path, True)):
                    got = list(reader)
                    self.assertEqual(len(reader), len(want))
                    self.assertIsNone(reader.damage)
                    self.assertEqual(reader.version, 1)
                    for (label, value), (want_label, want_value) in zip(got, want, strict=True):
                        self.assertEqual(label, want_label)
                        self.assertIs(type(value), type(want_value), label)
                        if isinstance(value, float) and math.isnan(want_value):
                            self.assertTrue(math.isnan(value))
                        else:
                            self.assertEqual(value, want_value, label)

    def test_stats_are_named_tuples(self):
        (stat,) = _native.Reader(b"\x01" + field("a", "I", 5))
        self.assertIsInstance(stat, _native.Stat)
        self.assertIsInstance(stat, tuple)
        self.assertEqual((stat.label, stat.value, stat._fields), ("a", 5, ("label", "value")))
        self.assertEqual(stat, _native.Stat("a", 5))
        self.assertEqual(repr(stat), "Stat(label='a', value=5)")

    def test_values_of_every_type_are_those_of_module_struct(self):
        for type, value in (("b", -5), ("B", 250), ("h", -300), ("H", 65535), ("i", -2**31), ("I", 2**32 - 1), ("l", -2**63),
                            ("L", 2**64 - 1), ("q", -2**63), ("Q", 2**64 - 1), ("n", -7), ("N", 7), ("?", True), ("f", 0.5),
                            ("d", 1e300), ("e", 1.5), (">Q", 5), ("<i", -5), ("!h", -300), (">d", 2.5), ("=l", -9),
                            ("  Q", 5), ("10s", b"abc"), ("3s", b"abc"), ("5p", b"abc"), ("c", b"x")):
            with self.subTest(type):
                want = value.decode() if isinstance(value, bytes) else value
                got = [stat.value for stat in _native.Reader(b"\x01" + field("a", type, value))]
                self.assertEqual(got, [want])
                self.assertIs(got[0].__class__, want.__class__)

    def test_of_several_items_the_first_counts_and_none_is_none(self):
        data = b"\x01" + field("a", "4d", (1.5, 2, 3, 4)) + field("b", "Ih", (7, 8)) + field("c", "3x", ())
        self.assertEqual([stat.value for stat in _native.Reader(data)], [1.5, 7, None])

    def test_a_buffered_value_is_the_one_that_is_not_being_written(self):
        data = b"\x01" + field("a", "I", 1, 2, buffer=0) + field("b", "I", 1, 2, buffer=1)
        self.assertEqual([stat.value for stat in _native.Reader(data)], [2, 1])

    def test_texts_end_at_the_first_nul_and_what_is_no_utf8_is_left_out(self):
        data = b"\x01" + field(b"l\xffa", "8s", b"a\xffb\0zzz") + field("x", "4s", "ä€"[:1].encode() + b"\0")
        self.assertEqual([tuple(stat) for stat in _native.Reader(data)], [("la", "ab"), ("x", "ä")])

    def test_other_versions_are_refused(self):
        for data in (b"", b"\0", b"\x02", b"MM", b"\0" * 4096):
            with self.subTest(data[:4]):
                with self.assertRaises(_native.InvalidMmStatsVersion):
                    _native.Reader(data)
                path = os.path.join(self.folder, "other")
                with open(path, "wb") as file:
                    file.write(data)
                for settle in (False, True):
                    with self.assertRaises(_native.InvalidMmStatsVersion):
                        _native.Reader.from_path(path, settle)

    def test_fields_before_damage_are_read_and_the_damage_is_said(self):
        paths = glob.glob(os.path.join(DATA, "bad", "*.mmstats"))
        self.assertGreater(len(paths), 20)
        damaged = 0
        for path in paths:
            with self.subTest(path):
                try:
                    reader = _native.Reader.from_path(path)
                except _native.InvalidMmStatsVersion:
                    continue
                damaged += reader.damage is not None
                self.assertEqual(len(list(reader)), len(reader))
        self.assertGreater(damaged, 10)
        reader = _native.Reader(b"\x01" + field("a", "I", 5) + field("b", "I", 6)[:-2])
        self.assertEqual([stat.label for stat in reader], ["a"])
        self.assertRegex(reader.damage, r"^byte 1[2-9]: .*b")

    def test_every_beginning_of_a_file_reads_without_an_error(self):
        with open(os.path.join(DATA, "corpus", "every_type.mmstats"), "rb") as file:
            data = file.read().rstrip(b"\0")
        whole = list(_native.Reader(data))
        for size in range(1, len(data)):
            some = list(_native.Reader(data[:size]))
            self.assertEqual([label for label, _ in some], [label for label, _ in whole[:len(some)]])

    def test_anything_with_bytes_is_taken(self):
        data = b"\x01" + field("a", "I", 5)
        for bytes_like in (data, bytearray(data), memoryview(data)):
            self.assertEqual(len(_native.Reader(bytes_like)), 1)
        for wrong in ("x", 5, None):
            with self.assertRaises(TypeError):
                _native.Reader(wrong)

    def test_the_bytes_are_copied(self):
        data = bytearray(b"\x01" + field("a", "I", 5))
        reader = _native.Reader(data)
        data[:] = b"x" * len(data)
        self.assertEqual([tuple(stat) for stat in reader], [("a", 5)])

    def test_it_may_be_iterated_again_and_at_the_same_time(self):
        reader = _native.Reader(b"\x01" + field("a", "I", 5) + field("b", "I", 6))
        self.assertEqual([(a.label, b.label) for a in reader for b in reader],
                         [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")])
        iterator = iter(reader)
        del reader
        self.assertEqual([stat.value for stat in iterator], [5, 6])
        self.assertEqual(list(iterator), [])

    def test_paths_of_all_kinds_are_taken_and_links_followed(self):
        import pathlib
        path = os.path.join(self.folder, "a.mmstats")
        with open(path, "wb") as file:
            file.write(b"\x01" + field("a", "I", 5))
        os.symlink(path, path + ".link")
        for each in (path, os.fsencode(path), pathlib.Path(path), path + ".link"):
            self.assertEqual(len(_native.Reader.from_path(each)), 1)
        with self.assertRaises(FileNotFoundError) as caught:
            _native.Reader.from_path(path + ".gone")
        self.assertEqual(caught.exception.filename, path + ".gone")
        for other in (self.folder, "/dev/null"):
            with self.assertRaises(OSError):
                _native.Reader.from_path(other)
        for wrong in (5, None, "a\0b"):
            with self.assertRaises((TypeError, ValueError)):
                _native.Reader.from_path(wrong)

    def test_it_may_be_derived_from(self):
        class Mine(_native.Reader):
            def labels(self):
                return [stat.label for stat in self]

        path = os.path.join(self.folder, "a.mmstats")
        with open(path, "wb") as file:
            file.write(b"\x01" + field("a", "I", 5))
        self.assertEqual(Mine.from_path(path).labels(), ["a"])
        class Forgetful(_native.Reader):
            def __init__(self):
                pass

        for use in (iter, len, lambda reader: reader.damage):
            with self.assertRaises(RuntimeError):
                use(Forgetful())

    def test_its_constructor_may_take_something_else(self):
        class Mine(_native.Reader):
            def __init__(self, file):
                super().__init__(file.read())

        import io
        self.assertEqual(len(Mine(io.BytesIO(b"\x01" + field("a", "I", 5)))), 1)


if __name__ == "__main__":
    unittest.main()

"""Fields of the extension module: what they write, judged by an independent reader, and what they give back."""

import ctypes
import os
import struct
import unittest
import unittest.mock

import native_files
from native_files import _native, fields, values

NUMBERS = {
    "Int64Field": ("q", ctypes.c_int64), "UInt64Field": ("Q", ctypes.c_uint64), "IntField": ("i", ctypes.c_int32),
    "UIntField": ("I", ctypes.c_uint32), "ShortField": ("h", ctypes.c_int16), "UShortField": ("H", ctypes.c_uint16),
    "ByteField": ("b", ctypes.c_int8), "UByteField": ("B", ctypes.c_uint8), "FloatField": ("f", ctypes.c_float),
    "DoubleField": ("d", ctypes.c_double),
}


def whole(name):
    return name not in ("FloatField", "DoubleField")


class NumberTests(native_files.TestCase):
    def setUp(self):
        super().setUp()
        stats = type("Stats", (_native.Model,), {name: getattr(_native, name)() for name in NUMBERS})
        self.stats = self.model(stats)

    def test_each_number_has_the_type_of_its_name_and_bytes_are_not_buffered(self):
        found = fields(self.stats.filename)
        for name, (code, _) in NUMBERS.items():
            with self.subTest(name):
                self.assertEqual(found[name]["type"], code)
                self.assertEqual(found[name]["buffered"], code not in "bB")
                self.assertEqual(getattr(_native, name)().code, code)

    def test_what_is_assigned_is_what_c_makes_of_it(self):
        for name, (_, of_c) in NUMBERS.items():
            for value in (0, 1, -1, 127, 128, 255, 256, -129, 2**31, 2**32 + 5, 2**63, 2**64 - 1, -(2**63), 2**70 + 3, True):
                with self.subTest(name, value=value):
                    setattr(self.stats, name, value)
                    want = of_c(value).value
                    self.assertEqual(getattr(self.stats, name), want)
                    self.assertEqual(values(self.stats.filename)[name], want)

    def test_fractions_are_kept_and_infinity_and_nan_too(self):
        for value in (0.5, -1e300, float("inf"), float("-inf"), 5e-324):
            self.stats.DoubleField = value
            self.assertEqual(self.stats.DoubleField, value)
            self.assertEqual(values(self.stats.filename)["DoubleField"], value)
        self.stats.DoubleField = float("nan")
        self.assertNotEqual(self.stats.DoubleField, self.stats.DoubleField)
        self.stats.FloatField = 1e39
        self.assertEqual(self.stats.FloatField, float("inf"))
        self.stats.FloatField = 0.1
        self.assertEqual(self.stats.FloatField, struct.unpack("f", struct.pack("f", 0.1))[0])

    def test_a_value_of_a_wrong_type_is_a_type_error_and_changes_nothing(self):
        for name in NUMBERS:
            setattr(self.stats, name, 7)
            for wrong in ("1", None, [], b"1", object(), 1j, *([1.5] if whole(name) else [])):
                with self.subTest(name, wrong=wrong), self.assertRaises(TypeError):
                    setattr(self.stats, name, wrong)
            self.assertEqual(getattr(self.stats, name), 7)
        with self.assertRaises(OverflowError):
            self.stats.DoubleField = 10**400

    def test_objects_that_are_numbers_are_taken_as_such(self):
        class Index:
            def __index__(self):
                return 12

        class Float:
            def __float__(self):
                return 1.5

        self.stats.IntField = Index()
        self.stats.DoubleField = Float()
        self.assertEqual((self.stats.IntField, self.stats.DoubleField), (12, 1.5))

    def test_an_error_in_such_an_object_goes_to_the_caller(self):
        class Bad:
            def __index__(self):
                raise KeyError("bad")

            def __float__(self):
                raise KeyError("bad")

            def __bool__(self):
                raise KeyError("bad")

        for name in NUMBERS:
            with self.subTest(name), self.assertRaises(KeyError):
                setattr(self.stats, name, Bad())

    def test_a_number_cannot_be_deleted(self):
        with self.assertRaises(AttributeError):
            del self.stats.IntField

    def test_the_class_gives_the_field(self):
        self.assertIsInstance(type(self.stats).IntField, _native.IntField)
        self.assertEqual(type(self.stats).IntField.key, "IntField")
        self.assertIsNone(type(self.stats).IntField.label)
        self.assertEqual(repr(_native.IntField("a")), "IntField(label='a')")

    def test_initial_values_are_in_the_file_from_the_beginning(self):
        class Stats(_native.Model):
            a = _native.IntField(initial=-5)
            b = _native.DoubleField(initial=2.5)
            c = _native.BoolField(True)
            d = _native.StringField(initial="ä")

        stats = self.model(Stats, filename="initial.mmstats")
        self.assertEqual(values(stats.filename), {"a": -5, "b": 2.5, "c": True, "d": "ä"})
        self.assertEqual((stats.a, stats.b, stats.c, stats.d), (-5, 2.5, True, "ä"))

    def test_a_bool_takes_any_truth(self):
        class Stats(_native.Model):
            on = _native.BoolField()

        stats = self.model(Stats, filename="bool.mmstats")
        self.assertEqual(fields(stats.filename)["on"]["type"], "?")
        for value in (True, [], [1], 0, "x", None):
            stats.on = value
            self.assertIs(stats.on, bool(value))
            self.assertIs(values(stats.filename)["on"], bool(value))

    def test_a_handle_adds_and_subtracts(self):
        for name in NUMBERS:
            handle = self.stats.add(getattr(_native, name)(), name + ".more")
            handle.set(5)
            handle.add(3)
            handle.add()
            handle.subtract(2)
            self.assertEqual(handle.value, 7, name)
            self.assertEqual(handle.total, 7, name)
            self.assertEqual(values(self.stats.filename)[name + ".more"], 7)

    def test_what_is_not_finite_and_what_makes_a_counter_fall_adds_nothing_and_is_told_once(self):
        handle = self.stats.add(_native.DoubleField(kind="counter"), "grows")
        handle.add(2)
        for bad in (float("nan"), float("inf"), -1):
            handle.add(bad)
        handle.subtract(1)
        self.assertEqual(handle.value, 2)
        self.assertEqual(len(self.told), 1, self.told)


class CounterTests(native_files.TestCase):
    def setUp(self):
        super().setUp()

        class Stats(_native.Model):
            hits = _native.CounterField(unit="hits", help="How often")
            shared = _native.SharedCounterField()
            named = _native.CounterField("a.b")

        self.stats = self.model(Stats, system_fields=True)

    def test_it_counts(self):
        for counter in (self.stats.hits, self.stats.shared):
            counter.incr()
            counter.incr(2)
            counter.incr(amount=3)
            counter.incr(True)
            self.assertEqual(counter.value, 7)
            self.assertEqual(counter.total, 7)
        self.assertEqual(values(self.stats.filename)["hits"], 7)
        self.assertEqual(fields(self.stats.filename)["hits"]["type"], "Q")
        self.assertEqual([values(path)["shared"] for path in self.stats.filenames if "shared" in values(path)], [7])

    def test_its_old_name_warns(self):
        with self.assertWarns(DeprecationWarning):
            self.stats.hits.inc()
        with self.assertWarns(DeprecationWarning):
            self.stats.hits.inc(n=2)
        self.assertEqual(self.stats.hits.value, 3)

    def test_negative_and_huge_amounts_add_nothing_and_the_first_is_told(self):
        self.stats.hits.incr()
        for amount in (-1, -(2**63), 2**63, 2**64, 10**30, -(10**30)):
            self.stats.hits.incr(amount)
        self.assertEqual(self.stats.hits.value, 1)
        self.assertEqual(len(self.told), 1, self.told)
        self.stats.hits.incr(2**63 - 1)
        self.assertEqual(self.stats.hits.value, 2**63)

    def test_wrong_arguments_are_type_errors(self):
        for call in (lambda: self.stats.hits.incr(1.0), lambda: self.stats.hits.incr("1"),
                     lambda: self.stats.hits.incr(1, 2), lambda: self.stats.hits.incr(n=1),
                     lambda: self.stats.hits.incr(1, amount=1), lambda: self.stats.hits.incr(None)):
            with self.assertRaises(TypeError):
                call()
        self.assertEqual(self.stats.hits.value, 0)

    def test_its_value_can_be_set_modulo_two_to_the_64(self):
        self.stats.hits.value = 2**64 + 5
        self.assertEqual(self.stats.hits.value, 5)
        with self.assertRaises(AttributeError):
            del self.stats.hits.value

    def test_a_label_is_taken_instead_of_the_name(self):
        self.stats.named.incr()
        self.assertEqual(values(self.stats.filename)["a.b"], 1)
        self.assertNotIn("named", values(self.stats.filename))

    def test_unit_and_help_are_in_the_metadata(self):
        lines = values(self.stats.filename)["sys.metadata"].split("\n")
        self.assertIn("hits\tcounter\thits\tHow often", [line.rstrip("\t") for line in lines])

    def test_the_handle_is_the_same_each_time_and_comes_back_when_it_was_deleted(self):
        hits = self.stats.hits
        self.assertIs(self.stats.hits, hits)
        with self.assertRaises(AttributeError):
            del self.stats.hits
        self.assertIs(self.stats.hits, hits)
        for _ in range(2):
            self.stats.hits = "hidden"
            self.assertEqual((self.stats.hits, self.stats.named.value), ("hidden", 0))
            del self.stats.hits
            self.assertIs(self.stats.hits, hits)
        with unittest.mock.patch.object(self.stats, "hits") as mock:
            self.stats.hits.incr(5)
        mock.incr.assert_called_once_with(5)
        self.assertIs(self.stats.hits, hits)
        object.__setattr__(self.stats, "hits", "hidden")
        self.assertEqual(self.stats.hits, "hidden")

    def test_what_is_assigned_to_the_class_later_is_what_its_instances_have(self):
        class Stats(_native.Model):
            hits = _native.CounterField()

        class Others(_native.Model):
            hits = "of another class"

        stats = self.model(Stats)
        hits = stats.hits
        Stats.hits = 5
        self.assertEqual(stats.hits, 5)
        Stats.hits = _native.HistogramField("other")
        stats.hits.add(0.5)
        self.assertEqual(stats.hits.count, 1)
        del Stats.hits
        with self.assertRaises(AttributeError):
            stats.hits
        Stats.hits = "none"
        stats.__class__ = Others
        self.assertEqual(stats.hits, "of another class")
        hits.incr()
        self.assertEqual(hits.value, 1)

    def test_a_model_of_many_fields_finds_each(self):
        names = [f"counter{i}" for i in range(500)]
        stats = self.model(type("Stats", (_native.Model,), {name: _native.CounterField() for name in names}))
        for _ in range(2):
            for i, name in enumerate(names):
                getattr(stats, name).incr(i)
        found = values(stats.filename)
        self.assertEqual([found[name] for name in names], [2 * i for i in range(500)])

    def test_a_held_method_counts(self):
        incr = self.stats.hits.incr
        for _ in range(100):
            incr()
        self.assertEqual(values(self.stats.filename)["hits"], 100)


class TextTests(native_files.TestCase):
    def setUp(self):
        super().setUp()

        class Stats(_native.Model):
            text = _native.StringField(size=10)

        self.stats = self.model(Stats)

    def test_a_text_is_cut_between_two_characters(self):
        for text, want in (("", ""), ("abc", "abc"), ("0123456789abc", "0123456789"), ("ääääää", "äääää"),
                           ("aääääää", "aääää"), ("€€€€", "€€€"), ("a\0b", "a"), (b"bytes", "bytes")):
            self.stats.text = text
            self.assertEqual(self.stats.text, want)
            self.assertEqual(values(self.stats.filename)["text"], want)

    def test_what_is_no_utf8_becomes_question_marks(self):
        self.stats.text = "a\udcffb"
        self.assertEqual(self.stats.text, "a?b")
        self.stats.text = b"a\xffb"
        self.assertEqual(self.stats.text, "a?b")
        self.assertEqual(values(self.stats.filename)["text"], "a?b")

    def test_what_is_no_text_is_a_type_error(self):
        for wrong in (1, None, [], bytearray(b"x")):
            with self.assertRaises(TypeError):
                self.stats.text = wrong

    def test_sizes_have_bounds(self):
        for size in (0, -1, 65536, 2**40):
            with self.assertRaises(ValueError):
                _native.StringField(size)
        with self.assertRaises(OverflowError):
            _native.StringField(2**70)
        self.assertEqual(_native.StringField().size, 255)

    def test_the_texts_of_an_info_are_a_field_each(self):
        class Stats(_native.Model):
            build = _native.InfoField({"version": "1.2", "number": 7})

        stats = self.model(Stats, filename="info.mmstats")
        self.assertEqual(stats.build.value, {"version": "1.2", "number": "7"})
        stats.build.set({"version": "1.3"}, branch="main")
        self.assertEqual(stats.build.value, {"version": "1.3", "number": "7", "branch": "main"})
        self.assertEqual(values(stats.filename),
                         {"build.version": "1.3", "build.number": "7", "build.branch": "main"})
        for wrong in (1, "ab", [(1,)], {1: "a"}):
            with self.assertRaises((TypeError, AttributeError)):
                stats.build.set(wrong)


class StaticTests(native_files.TestCase):
    def test_facts_are_taken_or_called_for_when_the_model_is_made(self):
        class Stats(_native.Model):
            a = _native.StaticUIntField(value=2**32 - 1)
            b = _native.StaticInt64Field("bb", lambda: -5)
            c = _native.StaticUInt64Field(value=2**64 - 1)
            d = _native.StaticFloatField(value=0.5)
            e = _native.StaticDoubleField(value=lambda: 1e-300)
            f = _native.StaticTextField(value="ä" * 200)

        stats = self.model(Stats)
        want = {"a": 2**32 - 1, "bb": -5, "c": 2**64 - 1, "d": 0.5, "e": 1e-300, "f": "ä" * 128}
        self.assertEqual(values(stats.filename), want)
        self.assertEqual((stats.a, stats.b, stats.c, stats.d, stats.e, stats.f), tuple(want.values()))
        found = fields(stats.filename)
        self.assertEqual([found[label]["type"] for label in want], ["I", "q", "Q", "f", "d", "256s"])
        self.assertFalse(any(field["buffered"] for field in found.values()))
        for name in "abcdef":
            with self.assertRaises(AttributeError):
                setattr(stats, name, 1)

    def test_one_without_a_value_is_a_value_error_and_there_is_no_file(self):
        for field in (_native.StaticUIntField(), _native.StaticTextField(), _native.StaticDoubleField(value=lambda: None)):
            stats = type("Stats", (_native.Model,), {"first": _native.CounterField(), "fact": field})
            with self.assertRaises(ValueError):
                self.model(stats)
        self.assertEqual(self.files(), [])

    def test_what_the_callable_raises_goes_to_the_caller(self):
        class Stats(_native.Model):
            fact = _native.StaticUIntField(value=lambda: 1 // 0)

        with self.assertRaises(ZeroDivisionError):
            self.model(Stats)
        self.assertEqual(self.files(), [])

    def test_system_fields_are_read_as_they_are_in_the_file(self):
        class Stats(_native.Model):
            pid = _native.SystemField("sys.pid")
            tid = _native.SystemField("sys.tid")
            uid = _native.SystemField("sys.uid")
            gid = _native.SystemField("sys.gid")
            created = _native.SystemField("sys.created")

        for prefix in ("", "app", "web.stats."):
            stats = self.model(Stats, system_fields=True, label_prefix=prefix)
            found = values(stats.filename)
            for name in ("pid", "tid", "uid", "gid", "created"):
                self.assertEqual(getattr(stats, name), found[f"{prefix}sys.{name}"])
        with self.assertRaises(AttributeError):
            stats.pid = 1
        self.assertIsNone(self.model(Stats).pid)
        with self.assertRaises(ValueError):
            _native.SystemField("sys.other")


class MeanTests(native_files.TestCase):
    def test_means_are_of_all_values_or_of_the_last_ones(self):
        class Stats(_native.Model):
            all = _native.AverageField()
            last = _native.MovingAverageField(size=3)
            recent = _native.WindowAverageField(seconds=3600)

        stats = self.model(Stats)
        numbers = [1, 5, 2.5, 10, -3]
        for number in numbers:
            for name in ("all", "last", "recent"):
                getattr(stats, name).add(number)
        want = {"all": sum(numbers) / 5, "last": sum(numbers[-3:]) / 3, "recent": sum(numbers) / 5}
        for name, value in want.items():
            self.assertAlmostEqual(getattr(stats, name).value, value)
            self.assertAlmostEqual(values(stats.filename)[name], value)
            getattr(stats, name).add(float("nan"))
            getattr(stats, name).add(float("inf"))
            self.assertAlmostEqual(getattr(stats, name).value, value)
            with self.assertRaises(TypeError):
                getattr(stats, name).add("1")

    def test_a_histogram_knows_its_percentiles(self):
        class Stats(_native.Model):
            all = _native.HistogramField(unit="seconds")
            last = _native.MovingHistogramField(100)
            recent = _native.WindowHistogramField(3600, precision=8)

        stats = self.model(Stats, system_fields=True)
        for name in ("all", "last", "recent"):
            histogram = getattr(stats, name)
            for number in range(1, 101):
                histogram.add(number)
            histogram.add(float("nan"))
            self.assertEqual(histogram.count, 100)
            self.assertEqual(histogram.sum, 5050)
            error = 1 / 8 if name == "recent" else 1 / 32
            for read, want in ((histogram.p50, 50), (histogram.p90, 90), (histogram.p99, 99), (histogram.p999, 100),
                               (histogram.min, 1), (histogram.max, 100)):
                self.assertAlmostEqual(read, want, delta=want * error)
            self.assertEqual(values(stats.filename)[name + ".count"], 100)
            histogram.add(5.0, 10)
            histogram.observe(5.0)
            self.assertEqual(histogram.count, 111)
            for wrong in ((), ("1",), (1, -1), (1, 2.5), (1, 2**70), (1, 2, 3)):
                with self.assertRaises((TypeError, ValueError)):
                    histogram.add(*wrong)
            self.assertEqual(histogram.count, 111)


class FamilyTests(native_files.TestCase):
    def setUp(self):
        super().setUp()

        class Stats(_native.Model):
            responses = _native.FamilyField(_native.CounterField(unit="responses", help="Sent"), ["method", "status"])

        self.stats = self.model(Stats, system_fields=True)

    def test_each_combination_has_a_value_of_its_own(self):
        self.stats.responses.with_("GET", 200).incr()
        self.stats.responses.with_("GET", "200").incr(2)
        self.stats.responses.with_(status=404, method="POST").incr(5)
        self.stats.responses.with_("PUT", status=True).incr(6)
        found = values(self.stats.filename)
        self.assertEqual((found["responses.GET.200"], found["responses.POST.404"], found["responses.PUT.true"]), (3, 5, 6))
        self.assertIn("responses\tcounter\tresponses\tSent\t\tmethod status", found["sys.metadata"])

    def test_the_same_combination_gives_the_same_handle(self):
        first = self.stats.responses.with_("GET", 200)
        self.assertIs(self.stats.responses.with_("GET", b"200"), first)
        self.assertIs(self.stats.responses.labels("GET", "200"), first)

    def test_values_of_any_kind_become_texts(self):
        class Odd:
            def __str__(self):
                return "odd"

        for value, text in ((1.5, "1%2E5"), (None, "None"), (Odd(), "odd"), (2**80, str(2**80)), (-7, "-7"), (False, "false")):
            self.stats.responses.with_("x", value).incr()
        found = values(self.stats.filename)
        self.assertEqual(sum(value for label, value in found.items() if label.startswith("responses.x.")), 6)
        for label in ("responses.x.None", "responses.x.odd", f"responses.x.{2**80}", "responses.x.-7", "responses.x.false"):
            self.assertIn(label, found)

    def test_wrong_values_are_type_errors(self):
        class Bad:
            def __str__(self):
                raise KeyError("bad")

        family = self.stats.responses
        for call in (lambda: family.with_(1, 2, 3), lambda: family.with_(1, method=2), lambda: family.with_(other=1),
                     lambda: family.remove(1, 2, 3)):
            with self.assertRaises(TypeError):
                call()
        with self.assertRaises(KeyError):
            family.with_(Bad())
        family.with_("\udcff", b"\xff").incr()

    def test_a_removed_combination_is_hidden_and_comes_back_with_its_value(self):
        handle = self.stats.responses.with_("GET", 200)
        handle.incr(3)
        self.stats.responses.remove("GET", 200)
        self.stats.responses.with_("GET", 200).incr()
        self.assertEqual(values(self.stats.filename)["responses.GET.200"], 4)
        self.assertEqual(self.stats.responses.expire(), 0)

    def test_beyond_max_series_all_others_are_one(self):
        class Stats(_native.Model):
            few = _native.FamilyField(_native.CounterField(), ["path"], max_series=3)

        stats = self.model(Stats, system_fields=True)
        for i in range(10):
            stats.few.with_(i).incr()
        self.assertEqual(values(stats.filename)["few.other"], 7)
        self.assertEqual(len(self.told), 1, self.told)

    def test_there_are_families_of_all_that_can_be_written(self):
        inner = {
            "counter": _native.CounterField(), "shared": _native.SharedCounterField(), "number": _native.IntField(),
            "double": _native.DoubleField(shared=True), "bool": _native.BoolField(), "text": _native.StringField(20),
            "average": _native.AverageField(), "moving": _native.MovingAverageField(3),
            "window": _native.WindowAverageField(), "timer": _native.TimerField(lambda: 1.0),
            "histogram": _native.HistogramField(precision=4), "last": _native.MovingHistogramField(10),
            "recent": _native.WindowHistogramField(precision=4),
        }
        stats = self.model(type("Stats", (_native.Model,), {
            name: _native.FamilyField(field, ("a",)) for name, field in inner.items()}), system_fields=True)
        for name in ("counter", "shared"):
            getattr(stats, name).with_("x").incr(2)
        for name in ("number", "double", "bool"):
            getattr(stats, name).with_("x").set(1)
        stats.text.with_("x").value = "hello"
        for name in ("average", "moving", "window", "histogram", "last", "recent"):
            getattr(stats, name).with_("x").add(4)
        with stats.timer.with_("x"):
            pass
        found = {}
        for path in stats.filenames:
            found.update(values(path))
        want = {"counter.x": 2, "shared.x": 2, "number.x": 1, "double.x": 1.0, "bool.x": True, "text.x": "hello",
                "average.x": 4.0, "moving.x": 4.0, "window.x": 4.0, "timer.x": 0.0, "histogram.x.count": 1,
                "last.x.count": 1, "recent.x.count": 1}
        self.assertEqual({label: found.get(label) for label in want}, want)
        self.assertEqual(self.told, [])

    def test_what_no_family_can_be_of_is_refused(self):
        for field in (_native.StaticUIntField(value=1), _native.InfoField(), _native.SystemField("sys.pid"),
                      _native.FamilyField(_native.CounterField(), ["a"]), 5, None):
            with self.assertRaises(TypeError):
                _native.FamilyField(field, ["a"])
        for dimensions in ("method", 5, [1], None):
            with self.assertRaises(TypeError):
                _native.FamilyField(_native.CounterField(), dimensions)
        for dimensions in ([], ["a"] * 17):
            with self.assertRaises(ValueError):
                _native.FamilyField(_native.CounterField(), dimensions)

    def test_a_family_that_cannot_be_published_is_told_and_counts_all_the_same(self):
        self.stats.add(_native.FamilyField(_native.CounterField(), ["a"]), "f")
        family = self.stats.add(_native.FamilyField(_native.CounterField(), ["b"]), "f")  # one of them too many
        family.with_("x").incr()
        self.assertEqual(len(self.told), 1, self.told)
        self.assertEqual(family.with_("x").value, 1)


class ModelTests(native_files.TestCase):
    def test_the_prefix_is_put_before_labels_as_it_is(self):
        class Stats(_native.Model):
            hits = _native.CounterField()

        stats = self.model(Stats, label_prefix="app", system_fields=True)
        found = values(stats.filename)
        self.assertIn("apphits", found)
        self.assertIn("appsys.pid", found)
        stats = self.model(Stats, label_prefix="web.", filename="other.mmstats")
        found = values(stats.filename)
        self.assertEqual(list(found), ["web.hits"])

    def test_fields_of_bases_and_mixins_count_and_the_nearest_one_of_a_name(self):
        class Mixin:
            mixed = _native.CounterField()

        class Base(_native.Model):
            first = _native.CounterField()
            changed = _native.CounterField("old")
            gone = _native.CounterField()

        class Stats(Mixin, Base):
            changed = _native.CounterField("new")
            gone = None

        stats = self.model(Stats)
        self.assertEqual(list(values(stats.filename)), ["first", "mixed", "new"])
        stats.mixed.incr()
        self.assertIsNone(stats.gone)

    def test_two_declared_fields_of_one_label_are_an_error(self):
        class Stats(_native.Model):
            a = _native.CounterField("x")
            b = _native.CounterField("x")

        with self.assertRaises(_native.DuplicateFieldName):
            self.model(Stats)
        self.assertEqual(self.files(), [])

    def test_one_field_may_serve_several_classes_and_instances(self):
        field = _native.CounterField()
        number = _native.IntField()
        other = type("Other", (_native.Model,), {"a": _native.IntField(), "field": field, "number": number})
        stats = type("Stats", (_native.Model,), {"number": number, "field": field})
        models = [self.model(cls, filename=f"{i}.mmstats") for i, cls in enumerate([other, stats, other, stats])]
        for _ in range(3):
            for i, model in enumerate(models):
                model.field.incr(i)
                model.number = i
        self.assertEqual([(model.field.value, model.number) for model in models], [(3 * i, i) for i in range(4)])
        self.assertEqual([values(model.filename)["field"] for model in models], [0, 3, 6, 9])

    def test_fields_can_be_added_when_the_program_runs(self):
        stats = self.model()
        counter = stats.add(_native.CounterField(), "late")
        counter.incr(2)
        stats.add(_native.CounterField(), "late").incr(3)
        self.assertEqual(values(stats.filename), {"late": 5})
        self.assertEqual(stats.add(_native.CounterField("named")).value, 0)
        self.assertEqual(stats.add(_native.StaticTextField(value="v"), "fact"), "v")
        for wrong, error in (((5,), TypeError), ((_native.CounterField(),), ValueError), ((), TypeError),
                             ((_native.CounterField(), 5), TypeError), ((_native.SystemField("sys.pid"),), TypeError)):
            with self.assertRaises(error):
                stats.add(*wrong)

    def test_a_field_that_comes_to_the_class_later_works_in_instances_that_are_there(self):
        class Stats(_native.Model):
            pass

        stats = self.model(Stats)
        Stats.late = _native.CounterField()
        Stats.number = _native.IntField()
        stats.late.incr()
        stats.number = 4
        self.assertEqual(values(stats.filename), {"late": 1, "number": 4})

    def test_a_label_that_is_taken_is_told_and_the_field_works_all_the_same(self):
        stats = self.model()
        stats.add(_native.CounterField(), "x").incr()
        other = stats.add(_native.IntField(), "x")
        other.set(5)
        self.assertEqual(other.value, 5)
        self.assertEqual(values(stats.filename), {"x": 1})
        self.assertEqual(len(self.told), 1, self.told)

    def test_names_of_files_are_made_from_templates(self):
        import sys
        command = os.path.basename(sys.argv[0]) or "python"
        stats = self.model(filename="{CMD}-%PID%-{TID}-%TID%.mmstats")
        tid = __import__("threading").get_native_id()
        self.assertEqual(stats.filename, f"{self.folder}/{command}-{os.getpid()}-{tid}-{tid}.mmstats")
        self.assertEqual(stats.filenames, [stats.filename])
        self.assertEqual(stats.size, os.path.getsize(stats.filename))

    def test_a_folder_that_is_not_there_is_told_and_nothing_fails(self):
        class Stats(_native.Model):
            hits = _native.CounterField()

        stats = Stats("/nonexistent/folder", on_error=self.told.append)
        self.assertEqual(len(self.told), 1)
        stats.hits.incr()
        self.assertEqual(stats.hits.value, 1)
        self.assertEqual((stats.filename, stats.filenames, stats.size), ("", [], 0))
        with self.assertRaises(OSError):
            stats.open()
        stats.remove()

    def test_without_on_error_the_logger_is_told(self):
        with self.assertLogs("mmstats", "WARNING") as logs:
            _native.Model("/nonexistent/folder")
        self.assertIn("/nonexistent/folder", logs.output[0])

    def test_an_error_of_on_error_is_not_the_callers(self):
        import sys
        unraisable = []
        before, sys.unraisablehook = sys.unraisablehook, lambda what: unraisable.append(what.exc_type)
        try:
            _native.Model("/nonexistent/folder", on_error=lambda line: 1 // 0)
        finally:
            sys.unraisablehook = before
        self.assertEqual(unraisable, [ZeroDivisionError])

    def test_a_deleted_file_is_made_again(self):
        class Stats(_native.Model):
            hits = _native.CounterField()

        stats = self.model(Stats)
        for again in (stats.open, stats.reopen, stats.flush):
            path = stats.filename
            stats.hits.incr()
            os.unlink(path)
            again()
            self.assertEqual(values(path)["hits"], stats.hits.value)

    def test_flush_takes_async_in_three_ways(self):
        stats = self.model()
        stats.flush()
        stats.flush(True)
        stats.flush(async_=True)
        stats.flush(**{"async": True})
        for wrong in (((True, True), {}), ((), {"other": 1}), ((True,), {"async_": True})):
            with self.assertRaises(TypeError):
                stats.flush(*wrong[0], **wrong[1])

    def test_remove_takes_the_files_away_for_good_and_may_be_called_again(self):
        class Stats(_native.Model):
            hits = _native.CounterField()
            created = _native.SystemField("sys.created")

        stats = self.model(Stats, system_fields=True)
        path = stats.filename
        self.assertFalse(stats.removed)
        stats.remove()
        stats.remove()
        self.assertTrue(stats.removed)
        self.assertEqual(self.files(), [])
        stats.hits.incr()
        stats.flush()
        self.assertEqual((stats.hits.value, stats.filename, stats.size), (1, path, 0))
        self.assertGreater(stats.created, 1e9)

    def test_the_mode_of_files_can_be_chosen(self):
        stats = self.model(mode=0o600)
        self.assertEqual(os.stat(stats.filename).st_mode & 0o777, 0o600)
        with self.assertRaises(TypeError):
            self.model(mode="0600")

    def test_open_false_makes_no_file_until_something_is_written(self):
        class Stats(_native.Model):
            hits = _native.CounterField()

        stats = self.model(Stats, open=False)
        self.assertEqual(self.files(), [])
        stats.hits.incr()
        self.assertEqual(self.total("hits"), 1)

    def test_more_models_than_have_a_fast_place_work_as_well(self):
        class Stats(_native.Model):
            hits = _native.CounterField()
            shared = _native.SharedCounterField()
            number = _native.DoubleField()
            text = _native.StringField()
            histogram = _native.HistogramField()

        models = [self.model(Stats, filename=f"{i}-{{TID}}.mmstats") for i in range(40)]
        for i, stats in enumerate(models):
            stats.hits.incr(i)
            stats.shared.incr(i)
            stats.number = i
            stats.text = str(i)
            stats.histogram.add(i)
        for i, stats in enumerate(models):
            found = values(stats.filename)
            self.assertEqual((found["hits"], found["number"], found["text"], found["histogram.count"]), (i, i, str(i), 1))
            self.assertEqual(stats.shared.value, i)


if __name__ == "__main__":
    unittest.main()

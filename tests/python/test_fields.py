"""Fields: the original's own examples and tests, in the syntax of Python 3, and what fields have beyond it.
Files are judged by a reader that shares no code with the product."""

import asyncio
import contextlib
import os
import threading
import time
import unittest
import unittest.mock
import warnings

import published

import mmstats
from mmstats import fields


class Clock:
    """A clock that goes on when it is told."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class OriginalsTests(published.TestCase):
    """The original's tests of types."""

    def test_ints(self):
        class MyStats(mmstats.BaseMmStats):
            zebras = mmstats.IntField()
            apples = mmstats.UIntField()
            oranges = mmstats.UIntField()

        mmst = MyStats(path=self.folder, filename='mmstats-test-ints')

        found = published.fields(mmst.filename)
        self.assertEqual({label: field["type"] for label, field in found.items()},
                         {"zebras": "i", "apples": "I", "oranges": "I"})
        with open(mmst.filename, "rb") as file:
            self.assertEqual(file.read(1), b"\x01")

        self.assertEqual(mmst.apples, 0)
        self.assertEqual(mmst.oranges, 0)
        self.assertEqual(mmst.zebras, 0)

        mmst.apples = 1
        self.assertEqual(mmst.apples, 1)
        self.assertEqual(mmst.oranges, 0)
        self.assertEqual(mmst.zebras, 0)

        mmst.zebras = -9001
        self.assertEqual(mmst.apples, 1)
        self.assertEqual(mmst.oranges, 0)
        self.assertEqual(mmst.zebras, -9001)

        mmst.apples = -100
        self.assertEqual(mmst.apples, (2**32)-100)
        self.assertEqual(
            published.values(mmst.filename), {"apples": 2**32 - 100, "oranges": 0, "zebras": -9001}
        )

    def test_shorts(self):
        class ShortFields(mmstats.MmStats):
            a = mmstats.ShortField()
            b = mmstats.UShortField()

        s = ShortFields(path=self.folder, filename='mmstats-test-shorts')
        self.assertEqual(s.a, 0, s.a)
        self.assertEqual(s.b, 0, s.b)
        s.a = -1
        self.assertEqual(s.a, -1, s.a)
        self.assertEqual(s.b, 0, s.b)
        s.b = (2**16)-1
        self.assertEqual(s.a, -1, s.a)
        self.assertEqual(s.b, (2**16)-1, s.b)
        s.b = -2
        self.assertEqual(s.a, -1, s.a)
        self.assertEqual(s.b, (2**16)-2, s.b)

    def test_bools(self):
        class BoolFields(mmstats.MmStats):
            a = mmstats.BoolField()
            b = mmstats.BoolField(initial=True)

        s = BoolFields(path=self.folder, filename='mmstats-test-bools')
        found = published.fields(s.filename)
        self.assertEqual([found[name]["value"] for name in "ab"], [False, True])
        self.assertEqual([found[name]["type"] for name in "ab"], ["?", "?"])
        self.assertEqual([found[name]["buffered"] for name in "ab"], [False, False])
        self.assertTrue(s.a is False, s.a)
        self.assertTrue(s.b is True, s.b)
        s.a = 'Anything truthy at all'
        self.assertTrue(s.a is True, s.a)
        self.assertTrue(s.b is True, s.b)
        s.a = []  # Anything falsey
        self.assertTrue(s.a is False, s.a)
        self.assertTrue(s.b is True, s.b)
        s.b = False
        s.a = s.b
        self.assertTrue(s.a is False, s.a)
        self.assertTrue(s.b is False, s.b)

    def test_mixed(self):
        class MixedStats(mmstats.MmStats):
            a = mmstats.UIntField()
            b = mmstats.BoolField()
            c = mmstats.IntField()
            d = mmstats.BoolField(label='The Bool')
            e = mmstats.ShortField(label='shortie')

        m1 = MixedStats(path=self.folder, label_prefix='m1::', filename='mmstats-test-m1')
        m2 = MixedStats(path=self.folder, label_prefix='m2::', filename='mmstats-test-m2')

        self.assertNotIn('m2::shortie', published.fields(m1.filename))
        self.assertIn('m2::shortie', published.fields(m2.filename))

        for i in range(10):
            m1.a = i
            m2.a = i * 2
            m1.b = True
            m2.b = False
            m1.c = -i
            m2.c = -i * 2
            m1.d = False
            m2.d = True
            m1.e = 1
            m2.e = i * 10

        self.assertEqual(m1.a, i, m1.a)
        self.assertEqual(m2.a, i * 2, m2.a)
        self.assertTrue(m1.b is True, m1.b)
        self.assertTrue(m2.b is False, m2.b)
        self.assertEqual(m1.c, -i, m1.c)
        self.assertEqual(m2.c, -i * 2, m2.c)
        self.assertTrue(m1.d is False, m1.d)
        self.assertTrue(m2.d is True, m2.d)
        self.assertEqual(m1.e, 1, m1.e)
        self.assertEqual(m2.e, 90, m2.e)
        self.assertIs(published.values(m2.filename)['m2::The Bool'], True)

    def test_counter(self):
        class SimpleCounter(mmstats.MmStats):
            counter = mmstats.CounterField()

        s = SimpleCounter(path=self.folder, filename='mmstats-test_counter')
        self.assertEqual(published.fields(s.filename)["counter"]["type"], "Q")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.assertEqual(s.counter.value, 0)
            s.counter.inc()
            self.assertEqual(s.counter.value, 1)
            s.counter.inc()
            self.assertEqual(s.counter.value, 2)
            s.counter.inc()
            self.assertEqual(s.counter.value, 3)
            s.counter.inc(-4)
            self.assertNotEqual(s.counter.value, -1)
            self.assertNotEqual(s.counter.value, 0)
        s.counter.value = 0
        self.assertEqual(s.counter.value, 0)

    def test_floats(self):
        class FloatTest(mmstats.MmStats):
            f = mmstats.FloatField()
            d = mmstats.DoubleField()

        ft = FloatTest(path=self.folder, filename='mmstats-test_floats')
        self.assertEqual(ft.f, 0.0)
        self.assertEqual(ft.d, 0.0)
        ft.d = ft.f = 1.0
        self.assertEqual(ft.f, 1.0)
        self.assertEqual(ft.d, 1.0)
        ft.d = ft.f = -1.0
        self.assertEqual(ft.f, -1.0)
        self.assertEqual(ft.d, -1.0)
        ft.d = ft.f = 1.0 / 3
        self.assertTrue(ft.f > 0.3)
        self.assertTrue(ft.d > 0.3)
        self.assertTrue(ft.f < 0.4)
        self.assertTrue(ft.d < 0.4)

    def test_average(self):
        class AvgTest(mmstats.MmStats):
            avg = mmstats.AverageField()
        at = AvgTest(path=self.folder, filename='mmstats-test_average')
        self.assertEqual(at.avg.value, 0.0)
        at.avg.add(1)
        self.assertEqual(at.avg.value, 1.0)
        at.avg.add(1)
        self.assertEqual(at.avg.value, 1.0)
        at.avg.add(1)
        self.assertEqual(at.avg.value, 1.0)
        at.avg.add(-3)
        self.assertEqual(at.avg.value, 0.0)
        at.avg.add(1)
        self.assertTrue(0 < at.avg.value < 1)

    def test_static_strings(self):
        class StaticStringStats(mmstats.BaseMmStats):
            a = mmstats.StaticTextField(label="text", value="something cool")
        m1 = StaticStringStats(path=self.folder, filename='mmstats-test_strings_simple')

        self.assertEqual(m1.a, 'something cool')
        self.assertEqual(published.values(m1.filename), {"text": "something cool"})

    def test_strings(self):
        class StrTest(mmstats.MmStats):
            f = mmstats.FloatField()
            s = mmstats.StringField(10)
            c = mmstats.CounterField()
        st = StrTest(path=self.folder, filename='mmstats-test_strings')
        self.assertEqual(st.f, 0.0)
        self.assertEqual(st.c.value, 0)
        self.assertEqual(st.s, '')
        st.s = 'a' * 11
        self.assertEqual(st.s, 'a' * 10)
        st.s = 'b'
        self.assertEqual(st.s, 'b')
        self.assertEqual(st.f, 0.0)
        self.assertEqual(st.c.value, 0)
        st.f = 1.0
        st.c.incr()
        self.assertEqual(st.s, 'b')
        self.assertEqual(st.f, 1.0)
        self.assertEqual(st.c.value, 1)
        st.s = '\u2764' * 11
        # character is multibyte, so only 3 fit in 10 UTF8 encoded bytes
        self.assertEqual(st.s, '\u2764' * 3)
        self.assertEqual(published.values(st.filename)["s"], '\u2764' * 3)
        self.assertEqual(published.fields(st.filename)["s"]["type"], "10s")
        self.assertEqual(st.f, 1.0)
        self.assertEqual(st.c.value, 1)

    def test_moving_avg(self):
        class MATest(mmstats.MmStats):
            m1 = mmstats.MovingAverageField()
            a = mmstats.AverageField()
            m2 = mmstats.MovingAverageField()
        stats = MATest(path=self.folder, filename='mmstats-test_moving_avg')
        self.assertEqual(stats.m1.value, 0.0)
        stats.m1.add(1)
        self.assertEqual(stats.m1.value, 1.0)
        stats.m1.add(2)
        self.assertEqual(stats.m1.value, 1.5)
        for i in range(1000):
            stats.m1.add(1)
            stats.a.add(i)
            stats.m2.add(i)
        self.assertEqual(stats.m1.value, 1.0)
        self.assertTrue(stats.a.value < stats.m2.value,
                        '%d < %d' % (stats.a.value, stats.m2.value))

    def test_moving_avg_alt_sizes(self):
        class MATest2(mmstats.MmStats):
            m1 = mmstats.MovingAverageField(size=1)
            m2 = mmstats.MovingAverageField()
            m3 = mmstats.MovingAverageField(size=1000)
        stats = MATest2(path=self.folder, filename='mmstats-test_moving_avg_alt_sizes')
        for _ in range(2):
            for i in range(1000):
                stats.m1.add(i)
                stats.m2.add(i)
                stats.m3.add(i)
            self.assertEqual(stats.m1.value, 999.0)
            self.assertTrue(stats.m1.value > stats.m2.value > stats.m3.value)

    def test_timer(self):
        clock = Clock()

        class TTest(mmstats.MmStats):
            m1 = mmstats.MovingAverageField()
            t1 = mmstats.TimerField(timer=clock)
            c = mmstats.CounterField()
            t2 = mmstats.TimerField(timer=time.process_time)
        stats = TTest(path=self.folder, filename='mmstats-test_timer')
        with stats.t1 as timer:
            # Timer's value should == 0 until this context exits
            self.assertEqual(stats.t1.value, 0.0)
            self.assertEqual(stats.t2.value, 0.0)
            self.assertEqual(stats.t2.last, 0.0)
            # Some time has passed
            clock.now += 1
            self.assertEqual(timer.elapsed, 1.0)
            self.assertFalse(timer.done)
            # Any later elapsed check should be > than the former
            clock.now += 2
            self.assertEqual(timer.elapsed, 3.0)
        self.assertTrue(timer.done)
        self.assertEqual(timer.elapsed, 3.0)
        self.assertEqual(stats.t1.value, 3.0)
        self.assertNotEqual(stats.t1.value, stats.t2.value)
        self.assertEqual(stats.t1.value, stats.t1.last)
        stats.t1.start()
        clock.now += 0.5
        stats.t1.stop()
        self.assertEqual(stats.t1.last, 0.5)
        self.assertEqual(stats.t1.value, 1.75)
        self.assertEqual(published.values(stats.filename)["t1"], 1.75)

    def test_the_example_of_the_timer_runs(self):
        class T(mmstats.MmStats):
            timer = mmstats.TimerField()
        t = T(path=self.folder)
        with t.timer as ctx:
            assert ctx.elapsed > 0.0
        assert t.timer.value > 0.0
        assert t.timer.last > 0.0


class FieldsTest(published.TestCase):
    def model(self, **declared):
        return type("Model", (mmstats.MmStats,), declared)(path=self.folder)

    def test_every_field_has_the_type_and_the_range_of_the_original(self):
        rows = [
            # field, type, buffered, what is written, what is read
            (mmstats.UInt64Field(), "Q", True, 2**64 - 1, 2**64 - 1),
            (mmstats.UIntField(), "I", True, 2**32 - 1, 2**32 - 1),
            (mmstats.IntField(), "i", True, -(2**31), -(2**31)),
            (mmstats.UShortField(), "H", True, 2**16 - 1, 2**16 - 1),
            (mmstats.ShortField(), "h", True, -(2**15), -(2**15)),
            (mmstats.FloatField(), "f", True, 0.1, 0.10000000149011612),
            (mmstats.DoubleField(), "d", True, 6.02214076e23, 6.02214076e23),
            (mmstats.ByteField(), "b", False, -128, -128),
            (mmstats.BoolField(), "?", False, True, True),
            (mmstats.StringField(), "255s", True, "naïve café ☃", "naïve café ☃"),
            (mmstats.StringField(size=40), "40s", True, b"bytes", "bytes"),
            (mmstats.Int64Field(), "q", True, -(2**63), -(2**63)),
            (mmstats.UByteField(), "B", False, 255, 255),
        ]
        for field, type_, buffered, write, read in rows:
            with self.subTest(repr(field)):
                stats = self.model(x=field)
                stats.x = write
                self.assertEqual(stats.x, read)
                found = published.fields(stats.filename)["x"]
                self.assertEqual((found["type"], found["buffered"], found["value"]), (type_, buffered, read))
                stats.remove()

    def test_static_fields_are_read_only_and_may_call_for_their_value(self):
        rows = [
            (mmstats.StaticUIntField, "I", 2**32 - 1),
            (mmstats.StaticInt64Field, "q", -(2**63)),
            (mmstats.StaticUInt64Field, "Q", 2**64 - 1),
            (mmstats.StaticFloatField, "f", 0.5),
            (mmstats.StaticDoubleField, "d", 3.14159265358979),
            (mmstats.StaticTextField, "256s", "naïve café ☃"),
        ]
        for cls, type_, value in rows:
            with self.subTest(cls.__name__):
                stats = self.model(a=cls(value=value), b=cls("label", lambda value=value: value))
                found = published.fields(stats.filename)
                for label in ("a", "label"):
                    field = found[label]
                    self.assertEqual(
                        (field["type"], field["buffered"], field["value"]), (type_, False, value)
                    )
                self.assertEqual((stats.a, stats.b), (value, value))
                with self.assertRaises(AttributeError):
                    stats.a = value
                with self.assertRaises(ValueError):
                    self.model(a=cls())
                stats.remove()

    def test_the_value_of_a_static_field_is_called_for_when_the_model_is_made(self):
        calls = []

        class Stats(mmstats.MmStats):
            when = mmstats.StaticUIntField(value=lambda: calls.append(1) or len(calls))

        self.assertEqual(calls, [])
        self.assertEqual(Stats(path=self.folder).when, 1)
        self.assertEqual(Stats(path=self.folder).when, 2)

    def test_what_a_callable_raises_goes_to_the_program(self):
        def fails():
            raise KeyError("mine")

        with self.assertRaises(KeyError):
            self.model(x=mmstats.StaticTextField(value=fails))
        self.assertEqual(self.files(), [])

    def test_the_class_gives_the_field(self):
        class Stats(mmstats.MmStats):
            hits = mmstats.CounterField(label="all.hits", unit="requests", help="Requests answered")

        self.assertIsInstance(Stats.hits, mmstats.CounterField)
        self.assertIsInstance(Stats.hits, fields.Field)
        self.assertEqual(Stats.hits.label, "all.hits")
        self.assertEqual((Stats.hits.unit, Stats.hits.help), ("requests", "Requests answered"))
        self.assertEqual(repr(Stats.hits), "CounterField(label='all.hits')")

    def test_incr_takes_an_amount_and_its_old_name_is_deprecated(self):
        stats = self.model(hits=mmstats.CounterField())
        stats.hits.incr()
        stats.hits.incr(2)
        stats.hits.incr(amount=4)
        with self.assertWarns(DeprecationWarning) as warned:
            stats.hits.inc()
        self.assertEqual(os.path.basename(warned.filename), os.path.basename(__file__))
        with self.assertWarns(DeprecationWarning):
            stats.hits.inc(n=8)
        self.assertEqual(stats.hits.value, 16)
        stats.hits.value = 2**64 - 1
        self.assertEqual(published.values(stats.filename)["hits"], 2**64 - 1)
        with self.assertRaises(TypeError):
            stats.hits.incr(1.5)

    def test_a_bound_method_may_be_kept(self):
        stats = self.model(hits=mmstats.CounterField())
        incr = stats.hits.incr
        incr()
        self.assertEqual(published.values(stats.filename)["hits"], 1)

    def test_what_is_no_number_is_a_type_error(self):
        stats = self.model(i=mmstats.IntField(), d=mmstats.DoubleField(), s=mmstats.StringField())
        for name, value in (("i", "7"), ("i", 1.5), ("d", "1"), ("s", 7)):
            with self.subTest(f"{name} = {value!r}"), self.assertRaises(TypeError):
                setattr(stats, name, value)

    def test_texts_end_at_their_size_between_two_characters(self):
        stats = self.model(s=mmstats.StringField(size=4))
        for text, want in (("wxyz", "wxyz"), ("abcde", "abcd"), ("abcé", "abc"), ("☃☃", "☃"), ("", "")):
            stats.s = text
            self.assertEqual((stats.s, published.values(stats.filename)["s"]), (want, want))

    def test_means_leave_out_what_is_no_number(self):
        stats = self.model(a=mmstats.AverageField(), m=mmstats.MovingAverageField(3))
        for value in (1, float("nan"), float("inf"), 3):
            stats.a.add(value)
            stats.m.add(value)
        self.assertEqual((stats.a.value, stats.m.value), (2.0, 2.0))

    def test_timings_may_be_nested_and_overlap(self):
        clock = Clock()
        stats = self.model(t=mmstats.TimerField(timer=clock))
        with stats.t as outer:
            clock.now += 1
            with stats.t as inner:
                clock.now += 2
            self.assertEqual((inner.elapsed, outer.done), (2.0, False))
            clock.now += 4
        self.assertEqual(outer.elapsed, 7.0)
        self.assertEqual(stats.t.value, 4.5)

    def test_timings_of_coroutines_do_not_meet(self):
        clock = Clock()
        stats = self.model(t=mmstats.TimerField(timer=clock))
        seconds = []

        async def first(begun, go_on):
            with stats.t as scope:
                begun.set()
                await go_on.wait()
            seconds.append(scope.elapsed)

        async def second(begun, go_on):
            await begun.wait()
            clock.now += 1
            with stats.t as scope:
                clock.now += 2
                go_on.set()
                for _ in range(3):
                    await asyncio.sleep(0)  # the first one ends, though it began before
                clock.now += 4
            seconds.append(scope.elapsed)

        async def both():
            events = asyncio.Event(), asyncio.Event()
            await asyncio.gather(first(*events), second(*events))

        asyncio.run(both())
        self.assertEqual(seconds, [3.0, 6.0])
        self.assertEqual(stats.t.value, 4.5)

    def test_a_timing_that_fails_counts_and_the_exception_goes_on(self):
        clock = Clock()
        stats = self.model(t=mmstats.TimerField(timer=clock))
        with self.assertRaises(KeyError), stats.t:
            clock.now += 2
            raise KeyError
        self.assertEqual(stats.t.value, 2.0)

    def test_a_timer_is_a_decorator(self):
        clock = Clock()
        stats = self.model(t=mmstats.TimerField(timer=clock))

        @stats.t
        def answer(seconds, *, more=0):
            clock.now += seconds + more
            return seconds

        self.assertEqual([answer(1), answer(2, more=3)], [1, 2])
        self.assertEqual(answer.__name__, "answer")
        self.assertEqual(stats.t.value, 3.0)

    def test_histograms_have_percentiles_and_buckets(self):
        stats = self.model(
            h=mmstats.HistogramField(unit="seconds"),
            m=mmstats.MovingHistogramField(size=10),
            w=mmstats.WindowHistogramField(seconds=5),
        )
        for handle in (stats.h, stats.m, stats.w):
            for value in range(1, 101):
                handle.add(value)
            self.assertEqual((handle.count, handle.sum), (100, 5050.0))
        self.assertEqual((stats.h.min, stats.h.max), (1.0, 100.0))
        self.assertAlmostEqual(stats.h.p50, 50, delta=1.6)
        self.assertAlmostEqual(stats.m.p50, 95, delta=2.5)
        found = published.values(stats.filename)
        self.assertEqual((found["h.count"], found["h.sum"]), (100, 5050.0))
        self.assertEqual(sum(sum(found[label]) for label in found if label.startswith("h.buckets.")), 100)
        stats.h.add(7.0, 3)
        self.assertEqual(published.values(stats.filename)["h.count"], 103)

    def test_families_have_a_field_for_each_combination(self):
        stats = self.model(
            responses=mmstats.FamilyField(mmstats.CounterField(), ["method", "status"], max_series=2),
            sizes=mmstats.FamilyField(mmstats.HistogramField(), ["kind"]),
        )
        stats.responses.with_("GET", 200).incr()
        stats.responses.with_("GET", "200").incr()
        stats.responses.labels(method="GET", status=404).incr()
        stats.responses.with_("POST", 200).incr(7)
        stats.sizes.with_("page").add(3)
        found = published.values(stats.filename)
        self.assertEqual(found["responses.GET.200"], 2)
        self.assertEqual(found["responses.GET.404"], 1)
        self.assertEqual(found["responses.other.other"], 7)
        self.assertEqual(found["sizes.page.count"], 1)
        self.assertEqual(stats.responses.dimensions, ("method", "status"))
        for wrong in (lambda: stats.responses.with_(1, 2, 3), lambda: stats.responses.with_(nothing=1)):
            self.assertRaises(TypeError, wrong)

    def test_shared_fields_have_one_value_for_all_threads(self):
        stats = self.model(
            counter=mmstats.CounterField(shared=True),
            also=mmstats.SharedCounterField(),
            number=mmstats.IntField(shared=True),
            own=mmstats.CounterField(),
        )

        def write():
            stats.counter.incr()
            stats.also.incr()
            stats.number = 7
            stats.own.incr()

        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        self.assertEqual((stats.counter.value, stats.also.value, stats.number, stats.own.value), (1, 1, 7, 0))
        paths = stats.filenames
        names = ("counter", "also", "number", "own")
        self.assertEqual([published.total(paths, name) for name in names], [1, 1, 7, 1])

    def test_info_is_texts_that_belong_together(self):
        stats = self.model(build=mmstats.InfoField({"version": "1.2", "number": 7}))
        stats.build.set(branch="main")
        found = published.values(stats.filename)
        self.assertEqual(
            [found[f"build.{key}"] for key in ("version", "number", "branch")], ["1.2", "7", "main"]
        )
        self.assertEqual(stats.build.value, {"version": "1.2", "number": "7", "branch": "main"})

    def test_units_help_and_kinds_are_in_the_file(self):
        stats = self.model(
            hits=mmstats.CounterField(unit="requests", help="Requests answered"),
            when=mmstats.DoubleField(kind="timestamp"),
            total=mmstats.UInt64Field(kind="counter"),
        )
        with open(stats.filename, "rb") as file:
            content = file.read()
        for line in (b"hits\tcounter\trequests\tRequests answered\n", b"when\ttimestamp", b"total\tcounter"):
            self.assertIn(line, content)

    def test_many_threads_lose_nothing(self):
        stats = self.model(own=mmstats.CounterField(), one=mmstats.SharedCounterField())
        go = threading.Event()

        def count():
            go.wait(60)
            for _ in range(2000):
                stats.own.incr()
                stats.one.incr()

        threads = [threading.Thread(target=count) for _ in range(16)]
        for thread in threads:
            thread.start()
        go.set()
        for thread in threads:
            thread.join()
        self.assertEqual(stats.own.total, 32000)
        self.assertEqual(stats.one.value, 32000)
        self.assertEqual(published.total(stats.filenames, "own"), 32000)


class TimedTest(published.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = clock = Clock()

        class Stats(mmstats.MmStats):
            latency = mmstats.TimerField(timer=clock, size=1)
            mean = mmstats.AverageField()
            spread = mmstats.HistogramField()

        self.stats = Stats(path=self.folder)
        self.timed = mmstats.timed(self.stats.latency)

    def test_a_block_is_timed(self):
        with self.timed as timing:
            self.clock.now += 2
            self.assertEqual((timing.elapsed, timing.done), (2.0, False))
        self.assertTrue(timing.done)
        self.assertEqual(self.stats.latency.value, 2.0)
        with self.timed as timing:
            self.clock.now += 3
            timing.cancel()
        self.assertEqual(self.stats.latency.value, 2.0)

    def test_averages_and_histograms_are_timed_on_a_clock_of_ours(self):
        for handle in (self.stats.mean, self.stats.spread):
            with mmstats.timed(handle) as timing:
                pass
            self.assertGreater(timing.elapsed, 0.0)
            self.assertEqual(timing.stop(), timing.elapsed)
        self.assertGreater(self.stats.mean.value, 0.0)
        self.assertEqual(self.stats.spread.count, 1)

    def test_what_is_cancelled_adds_nothing(self):
        with mmstats.timed(self.stats.mean) as timing:
            timing.cancel()
        self.assertEqual(self.stats.mean.value, 0.0)

    def test_functions_are_timed_however_they_end(self):
        @self.timed
        def answer(seconds):
            """Says it."""
            self.clock.now += seconds
            return 1 / seconds

        self.assertEqual(answer(4), 0.25)
        self.assertEqual(self.stats.latency.value, 4.0)
        with self.assertRaises(ZeroDivisionError):
            answer(0)
        self.assertEqual(self.stats.latency.value, 0.0)
        self.assertEqual((answer.__name__, answer.__doc__), ("answer", "Says it."))

    def test_methods_are_timed(self):
        timed, clock = self.timed, self.clock

        class Service:
            @timed
            def answer(self):
                clock.now += 5
                return self

        service = Service()
        self.assertIs(service.answer(), service)
        self.assertEqual(self.stats.latency.value, 5.0)

    def test_coroutines_are_timed_while_they_are_awaited(self):
        @self.timed
        async def answer():
            self.clock.now += 1
            await asyncio.sleep(0)
            self.clock.now += 2
            return "done"

        self.assertTrue(asyncio.iscoroutinefunction(answer))
        coroutine = answer()
        self.clock.now += 100
        self.assertEqual(asyncio.run(coroutine), "done")
        self.assertEqual(self.stats.latency.value, 3.0)

    def test_generators_are_timed_from_the_first_value_to_their_end(self):
        @self.timed
        def answers():
            self.clock.now += 1
            got = yield "a"
            self.clock.now += 2
            with contextlib.suppress(KeyError):
                yield got
            self.clock.now += 4
            return "over"

        generator = answers()
        self.clock.now += 100
        self.assertEqual(next(generator), "a")
        self.assertEqual(generator.send("b"), "b")
        with self.assertRaises(StopIteration) as over:
            generator.throw(KeyError())
        self.assertEqual(over.exception.value, "over")
        self.assertEqual(self.stats.latency.value, 7.0)

    def test_a_generator_that_is_closed_early_is_over(self):
        @self.timed
        def answers():
            self.clock.now += 1
            yield 1
            yield 2

        generator = answers()
        next(generator)
        self.clock.now += 1
        generator.close()
        self.assertEqual(self.stats.latency.value, 2.0)

    def test_asynchronous_generators_are_timed_and_told_all(self):
        closed = []

        @self.timed
        async def answers():
            try:
                self.clock.now += 1
                got = yield "a"
                self.clock.now += 2
                with contextlib.suppress(KeyError):
                    yield got
                self.clock.now += 4
                yield "c"
            finally:
                closed.append(True)

        async def whole():
            generator = answers()
            self.clock.now += 100
            seen = [await generator.asend(None), await generator.asend("b")]
            seen.append(await generator.athrow(KeyError()))
            seen += [value async for value in generator]
            return seen

        async def early():
            generator = answers()
            await generator.asend(None)
            await generator.aclose()

        self.assertEqual(asyncio.run(whole()), ["a", "b", "c"])
        self.assertEqual(self.stats.latency.value, 7.0)
        asyncio.run(early())
        self.assertEqual(self.stats.latency.value, 1.0)
        self.assertEqual(closed, [True, True])

    def test_calls_overlap_in_threads(self):
        both = threading.Barrier(2, timeout=60)
        timed = mmstats.timed(self.stats.spread)

        @timed
        def meet():
            both.wait()

        threads = [threading.Thread(target=meet) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(published.total(self.stats.filenames, "spread.count"), 2)

    def test_withs_of_one_object_overlap_in_threads(self):
        steps = [threading.Event() for _ in range(3)]
        seconds = {}

        def measure(name, before, after, wait):
            with self.timed as timing:
                before.set()
                wait.wait(60)
            seconds[name] = timing.elapsed
            after.set()

        first = threading.Thread(target=measure, args=("first", steps[0], threading.Event(), steps[2]))
        first.start()
        self.assertTrue(steps[0].wait(60))
        self.clock.now += 10
        ready = threading.Event()
        go = threading.Event()
        second = threading.Thread(target=measure, args=("second", ready, steps[1], go))
        second.start()
        self.assertTrue(ready.wait(60))
        self.clock.now += 1
        steps[2].set()  # the first one ends first
        first.join()
        self.clock.now += 1
        go.set()
        second.join()
        self.assertEqual(seconds, {"first": 11.0, "second": 2.0})

    def test_withs_of_one_object_overlap_in_tasks_and_generators(self):
        async def wait(turns):
            with self.timed as timing:
                for _ in range(turns):
                    self.clock.now += 1
                    await asyncio.sleep(0)
            return timing

        async def both():
            return await asyncio.gather(wait(2), wait(5))

        # The clock goes on once in each turn of either.
        self.assertEqual([timing.elapsed for timing in asyncio.run(both())], [4.0, 6.0])
        ends = []

        def steps():
            with self.timed as timing:
                yield
            ends.append(timing.elapsed)

        one, other = steps(), steps()
        next(one)
        self.clock.now += 10
        next(other)
        self.clock.now += 1
        next(one, None)
        self.clock.now += 1
        next(other, None)
        self.assertEqual(ends, [11.0, 2.0])

    def test_an_exit_stack_and_calls_by_hand_end_the_last_one(self):
        with contextlib.ExitStack() as stack:
            outer = stack.enter_context(self.timed)
            self.clock.now += 1
            inner = stack.enter_context(self.timed)
            self.clock.now += 1
        self.assertEqual((outer.elapsed, inner.elapsed), (2.0, 1.0))
        with self.assertRaisesRegex(RuntimeError, "not begun"):
            self.timed.__exit__(None, None, None)

    def test_what_takes_no_seconds_is_a_type_error_at_once(self):
        class Others(mmstats.MmStats):
            hits = mmstats.CounterField()
            queue = mmstats.IntField()
            load = mmstats.DoubleField()
            family = mmstats.FamilyField(mmstats.HistogramField(), ["a"])
            spread = mmstats.HistogramField()

        others = Others(path=self.folder)
        for wrong in (others.hits, others.family, Others.spread, others.queue, others.add(Others.queue), None,
                      fields.Histogram):
            with self.subTest(wrong), self.assertRaisesRegex(TypeError, "a timer, a histogram or an average"):
                mmstats.timed(wrong)
        with mmstats.timed(others.family.with_("x")), mmstats.timed(others.add(Others.load)):
            pass
        self.assertEqual(others.family.with_("x").count, 1)
        self.assertGreater(others.load, 0.0)

    def test_what_is_no_function_is_not_decorated(self):
        for timer in (self.timed, self.stats.latency, self.stats.spread):
            for wrong in ("x", classmethod(print), staticmethod(print), property(print), 5):
                with self.subTest(wrong), self.assertRaisesRegex(TypeError, "decorates a function, not"):
                    timer(wrong)


class MistakesTest(published.TestCase):
    """Mistakes in declarations, and with what they give."""

    def test_declarations_that_cannot_be_are_refused(self):
        counter = mmstats.CounterField()
        for make, wrong in (
            (lambda: mmstats.HistogramField(precision=5), "precision must be 4, 8, 16 or 32, not 5"),
            (lambda: mmstats.WindowHistogramField(precision=64), "precision"),
            (lambda: mmstats.FamilyField(counter, ["a-b"]), "'a-b' is no name"),
            (lambda: mmstats.FamilyField(counter, ["1a"]), "'1a' is no name"),
            (lambda: mmstats.FamilyField(counter, [""]), "'' is no name"),
            (lambda: mmstats.FamilyField(counter, ["le"]), "'le' is no name"),
            (lambda: mmstats.FamilyField(counter, ["__a"]), "'__a' is no name"),
            (lambda: mmstats.FamilyField(counter, ["a", "b", "a"]), "'a' is there twice"),
            (lambda: mmstats.FamilyField(counter, []), "1 to 16 dimensions, not 0"),
        ):
            with self.subTest(wrong), self.assertRaisesRegex(ValueError, wrong):
                make()
        for wrong in ("x", ["x"], 5):
            with self.subTest(wrong), self.assertRaisesRegex(TypeError, "texts must be a dict"):
                mmstats.InfoField(wrong)
        for right in (4, 8, 16, 32):
            self.assertEqual(mmstats.HistogramField(precision=right).precision, right)
        self.assertEqual(mmstats.FamilyField(counter, ["_a1", "B"]).dimensions, ("_a1", "B"))

    def test_a_label_that_is_taken_for_the_beginning_of_a_bool_is_told(self):
        with self.assertWarnsRegex(RuntimeWarning, "begins as True; if that is its label, write label='lab'"):
            field = mmstats.BoolField("lab")
        self.assertIs(field.initial, True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            mmstats.BoolField(True, "lab")

    def test_numbers_are_not_assigned_to_what_has_methods(self):
        class Stats(mmstats.MmStats):
            hits = mmstats.CounterField()
            mean = mmstats.AverageField()
            latency = mmstats.HistogramField()
            family = mmstats.FamilyField(mmstats.CounterField(), ["a"])

        stats = Stats(path=self.folder)
        for name, use in (("latency", "latency.add"), ("family", "family.with_")):
            handle = getattr(stats, name)
            with self.subTest(name), self.assertRaisesRegex(TypeError, use):
                setattr(stats, name, 0.3)
            self.assertIs(getattr(stats, name), handle)
        # As in the original, but not without a word.
        for name, use in (("hits", "hits.incr"), ("mean", "mean.add")):
            with self.subTest(name), self.assertWarnsRegex(RuntimeWarning, use):
                setattr(stats, name, 5)
            self.assertEqual(getattr(stats, name), 5)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for fake in (object(), unittest.mock.MagicMock()):  # as tests do
                stats.latency = fake
                self.assertIs(stats.latency, fake)

    def test_a_family_of_histograms_has_room_for_some_130(self):
        def published_by(model, precision):
            field = mmstats.FamilyField(mmstats.HistogramField(precision=precision), ["a"])
            family = model.add(field, "family")
            for number in range(300):
                family.with_(number).add(1.0)
            labels = [stat.label for stat in mmstats.MmStatsReader.from_file(model.filename)]
            return len([label for label in labels if label.endswith(".count") and ".other." not in label])

        told = []
        few = published_by(mmstats.MmStats(path=self.folder, on_error=told.append), 32)
        self.assertTrue(120 <= few <= 140, few)
        self.assertIn("raise the model's max_file_bytes", told[0])
        self.assertEqual(published_by(mmstats.MmStats(path=self.folder), 8), 300)
        self.assertEqual(published_by(mmstats.MmStats(path=self.folder, max_file_bytes=16 << 20), 32), 300)

    def test_what_they_are_is_seen(self):
        class Stats(mmstats.MmStats):
            hits = mmstats.CounterField()
            queue = mmstats.IntField(label="queue.depth")
            latency = mmstats.HistogramField()
            mean = mmstats.AverageField()
            timer = mmstats.TimerField()
            family = mmstats.FamilyField(mmstats.CounterField(), ["a"])
            build = mmstats.InfoField({"commit": "abc"})
            text = mmstats.StringField(initial="x")

        self.assertEqual(repr(Stats.hits), "CounterField(label='hits')")
        self.assertEqual(repr(Stats.queue), "IntField(label='queue.depth')")
        stats = Stats(path=self.folder)
        self.assertIn(self.files()[0], repr(stats))
        stats.hits.incr(5)
        stats.latency.add(1)
        shown = [stats.hits, stats.add(Stats.queue), stats.latency, stats.mean, stats.timer, stats.family, stats.build,
                 stats.add(Stats.text)]
        self.assertEqual(
            [repr(handle) for handle in shown],
            ["<Counter value=5>", "<Number value=0>", "<Histogram count=1>", "<Average value=0.0>",
             "<Timer value=0.0>", "<Family dimensions=('a',)>", "<Info value={'commit': 'abc'}>",
             "<String value='x'>"],
        )


if __name__ == "__main__":
    unittest.main()

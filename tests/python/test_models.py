"""Models as programs for the original meet them: its own examples and tests, in the syntax of Python 3, judged
by a reader that shares no code with the product; and what models have beyond it."""

import atexit
import contextlib
import doctest
import errno
import gc
import inspect
import io
import multiprocessing
import os
import pydoc
import subprocess
import sys
import threading
import time
import types
import unittest
import uuid
import warnings

import published
from published import python

import mmstats
from mmstats import defaults, fields, models, reader


class OriginalsExamples(published.TestCase):
    """The documents of the original, line by line."""

    def test_the_example_of_the_readme_runs(self):
        path = self.folder
        response = types.SimpleNamespace(status_code=200)

        class WebStats(mmstats.MmStats):
            status2xx = mmstats.CounterField(label='status.2XX')
            status3xx = mmstats.CounterField(label='status.3XX')
            status4xx = mmstats.CounterField(label='status.4XX')
            status5xx = mmstats.CounterField(label='status.5XX')
            last_hit = mmstats.DoubleField(label='timers.last_hit')

        webstats = WebStats(path=path, label_prefix='web.stats.')

        if response.status_code == 200:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                webstats.status2xx.inc()

        webstats.last_hit = now = time.time()

        found = published.fields(webstats.filename)
        self.assertEqual(found["web.stats.status.2XX"]["value"], 1)
        self.assertEqual(found["web.stats.status.2XX"]["type"], "Q")
        self.assertTrue(found["web.stats.status.2XX"]["buffered"])
        self.assertEqual(found["web.stats.status.5XX"]["value"], 0)
        self.assertEqual(found["web.stats.timers.last_hit"]["value"], now)
        self.assertEqual(found["web.stats.sys.pid"]["value"], os.getpid())

    def test_the_example_of_the_model_runs(self):
        result = doctest.testmod(models)
        self.assertGreater(result.attempted, 4)
        self.assertEqual(result.failed, 0)

    def test_the_basic_example_runs(self):
        def gettid():
            return threading.get_native_id()

        class MyStats(mmstats.BaseMmStats):
            pid = mmstats.StaticUIntField(label="sys.pid", value=os.getpid)
            tid = mmstats.StaticInt64Field(label="sys.tid", value=gettid)
            uid = mmstats.StaticUInt64Field(label="sys.uid", value=os.getuid)
            gid = mmstats.StaticUInt64Field(label="sys.gid", value=os.getgid)
            errors = mmstats.UIntField(label="com.urbanairship.app.errors")
            warnings = mmstats.UIntField(label="com.urbanairship.app.warnings")
            queries = mmstats.UIntField(label="com.urbanairship.app.queries")
            cache_hits = mmstats.UIntField(label="com.urbanairship.app.cache_hits")
            cache_misses = mmstats.UIntField(label="com.urbanairship.app.cache_misses")
            degraded = mmstats.BoolField(label="com.urbanairship.app.degraded")

        stats = MyStats(path=self.folder, filename="mmstats-test-mystats")
        stats.degraded = True
        stats.errors += 1
        stats.cache_hits += 1000
        assert stats.cache_hits == 1000

        self.assertEqual(os.path.basename(stats.filename), "mmstats-test-mystats")
        found = published.fields(stats.filename)
        self.assertEqual(
            {label: (field["type"], field["buffered"], field["value"]) for label, field in found.items()},
            {
                "sys.pid": ("I", False, os.getpid()),
                "sys.tid": ("q", False, gettid()),
                "sys.uid": ("Q", False, os.getuid()),
                "sys.gid": ("Q", False, os.getgid()),
                "com.urbanairship.app.errors": ("I", True, 1),
                "com.urbanairship.app.warnings": ("I", True, 0),
                "com.urbanairship.app.queries": ("I", True, 0),
                "com.urbanairship.app.cache_hits": ("I", True, 1000),
                "com.urbanairship.app.cache_misses": ("I", True, 0),
                "com.urbanairship.app.degraded": ("?", False, True),
            },
        )

    def test_the_flask_example_runs(self):
        try:
            import flask
        except ImportError:
            self.skipTest("Flask is not installed")

        application = app = flask.Flask(__name__)

        class Stats(mmstats.MmStats):
            ok = mmstats.CounterField(label="flask.example.ok")
            bad = mmstats.CounterField(label="flask.example.bad")
            working = mmstats.BoolField(label="flask.example.working")

        stats = Stats(path=self.folder)
        seen = []

        def set_working(sender):
            stats.working = True
        flask.request_started.connect(set_working, app)

        def unset_working(sender, response):
            seen.append(stats.working)
            stats.working = False
        flask.request_finished.connect(unset_working, app)

        def inc_response(sender, response):
            if response.status_code == 200:
                stats.ok.incr()
            elif response.status_code == 500:
                stats.bad.incr()
        flask.request_finished.connect(inc_response, app)

        @app.route('/200')
        def ok():
            return 'OK'

        @app.route('/500')
        def bad():
            return 'oh noes!', 500

        @app.route('/status')
        def status():
            return "ok:%s bad:%s working:%s" % (stats.ok.value, stats.bad.value, stats.working)

        client = application.test_client()
        for path in ("/200", "/500", "/200"):
            client.get(path)
        self.assertEqual(client.get("/status").text, "ok:2 bad:1 working:True")
        self.assertEqual(seen, [True] * 4)
        found = published.values(stats.filename)
        self.assertEqual(found["flask.example.ok"], 3)  # the page of the status is one more
        self.assertEqual(found["flask.example.bad"], 1)
        self.assertIs(found["flask.example.working"], False)


class OriginalsTests(published.TestCase):
    """What the original's tests of models ask for."""

    def test_two_instances_of_a_model_share_nothing(self):
        class LaserStats(mmstats.MmStats):
            blue = mmstats.UIntField()
            red = mmstats.UIntField()

        a = LaserStats(path=self.folder, filename='test-laserstats-a.mmstats')
        b = LaserStats(path=self.folder, filename='test-laserstats-b.mmstats')

        a.blue = 1
        a.red = 2
        b.blue = 42

        self.assertEqual(a.blue, 1)
        self.assertEqual(a.red, 2)
        self.assertEqual(b.blue, 42)
        self.assertEqual(b.red, 0)
        self.assertEqual(published.values(a.filename)["blue"], 1)
        self.assertEqual(published.values(b.filename)["blue"], 42)

    def test_each_thread_has_a_file_of_its_own(self):
        class ScienceStats(mmstats.MmStats):
            facts = mmstats.StringField(size=50)

        stats = set()
        insts = {}

        s = ScienceStats(path=self.folder, filename='test-tls-{TID}.mmstats')
        num_threads = 111
        ready = threading.Event()
        collision = []
        written = {}

        class T(threading.Thread):
            def run(self):
                if s.filename in stats:
                    collision.append(s.filename)
                else:
                    stats.add(s.filename)
                insts[self.ident] = s.facts = str(uuid.uuid4())
                written[s.filename] = s.facts
                ready.wait()

        threads = [T() for _ in range(num_threads)]
        for t in threads:
            t.start()
        deadline = time.monotonic() + 60
        while len(written) < num_threads and time.monotonic() < deadline:
            ready.wait(0.005)
        found = {path: published.values(path)["facts"] for path in written}
        ready.set()
        for t in threads:
            t.join()

        self.assertEqual(collision, [])
        self.assertEqual(len(stats), num_threads)
        self.assertEqual(len(set(insts.values())), num_threads)
        self.assertEqual(found, written)

    def test_the_prefix_is_put_before_labels_as_it_is(self):
        class StatsA(mmstats.MmStats):
            f2 = mmstats.UIntField(label='f.secondary')
            f1 = mmstats.UIntField()

        for prefix in ("", "org.mmstats.", "app", "m1::"):
            with self.subTest(prefix=prefix):
                a = StatsA(path=self.folder, filename='prefix.mmstats', label_prefix=prefix or None)
                self.assertEqual(a.label_prefix, prefix)
                a.f1 = 2
                a.f2 = 4
                self.assertEqual((a.f1, a.f2), (2, 4))
                found = published.values(a.filename)
                self.assertEqual(found[prefix + "f1"], 2)
                self.assertEqual(found[prefix + "f.secondary"], 4)
                self.assertEqual(found[prefix + "sys.pid"], os.getpid())
                self.assertEqual([label for label in found if not label.startswith(prefix)], [])
                a.remove()

    def test_labels_may_be_longer_than_a_page(self):
        class BigStats(mmstats.MmStats):
            f1 = mmstats.UIntField(label='f' + ('o' * 4096))
            f2 = mmstats.UIntField(label='f' + ('0' * 4096))
            f3 = mmstats.UIntField(label='f' + ('1' * 4096))

        bs = BigStats(path=self.folder, filename='test-resize2.mmstats')
        self.assertEqual(bs.size, os.path.getsize(bs.filename))
        self.assertEqual(bs.size % 4096, 0)
        self.assertGreaterEqual(bs.size, 4 * 4096)
        bs.f3 = 3
        self.assertEqual((bs.f1, bs.f2, bs.f3), (0, 0, 3))
        self.assertEqual(published.values(bs.filename)['f' + '1' * 4096], 3)

    def test_fields_of_base_classes_count_unless_they_are_declared_again(self):
        class ParentStats(mmstats.MmStats):
            a = mmstats.UIntField()
            b = mmstats.UIntField()

        class ChildAStats(ParentStats):
            a = mmstats.BoolField()
            c = mmstats.UIntField()

        class ChildBStats(ChildAStats):
            b = mmstats.BoolField()
            c = mmstats.BoolField()

        self.assertTrue(isinstance(ParentStats.a, mmstats.UIntField))
        self.assertTrue(isinstance(ParentStats.b, mmstats.UIntField))
        self.assertRaises(AttributeError, getattr, ParentStats, 'c')

        self.assertTrue(isinstance(ChildAStats.a, mmstats.BoolField))
        self.assertTrue(isinstance(ChildAStats.b, mmstats.UIntField))
        self.assertTrue(isinstance(ChildAStats.c, mmstats.UIntField))

        self.assertTrue(isinstance(ChildBStats.a, mmstats.BoolField))
        self.assertTrue(isinstance(ChildBStats.b, mmstats.BoolField))
        self.assertTrue(isinstance(ChildBStats.c, mmstats.BoolField))

        for cls, want in ((ParentStats, "II"), (ChildAStats, "?II"), (ChildBStats, "???")):
            stats = cls(path=self.folder, filename=f"{cls.__name__}.mmstats")
            found = published.fields(stats.filename)
            self.assertEqual("".join(found[name]["type"] for name in "abc" if name in found), want)

    def test_file_names_have_the_process_the_thread_and_the_command(self):
        class Empty(mmstats.MmStats):
            pass

        name = os.path.basename(Empty(path=self.folder).filename)
        self.assertIn(str(os.getpid()), name)
        self.assertIn(str(threading.get_native_id()), name)
        self.assertTrue(name.endswith(".mmstats"))

        cmd = os.path.basename(sys.argv[0]) or "python"
        stats = Empty(path=self.folder, filename=' {CMD} {CMD} {PID} {TID} %PID% %TID%')
        fn = os.path.basename(stats.filename).split()
        self.assertEqual(fn, [cmd, cmd] + [str(os.getpid()), str(threading.get_native_id())] * 2)

    def test_a_file_name_may_be_a_whole_path(self):
        fn = os.path.join(self.folder, 'test_remove.mmstats')
        self.assertEqual(mmstats.MmStats(filename=fn).filename, fn)
        os.mkdir(os.path.join(self.folder, "below"))
        self.assertEqual(
            mmstats.MmStats(path=self.folder, filename="below/name.mmstats").filename,
            os.path.join(self.folder, "below", "name.mmstats"),
        )

    def test_remove_takes_the_file_away_and_may_be_called_again(self):
        class TestStat(mmstats.MmStats):
            b = mmstats.BoolField()

        fn = os.path.join(self.folder, 'test_remove.mmstats')
        ts = TestStat(filename=fn)
        ts.b = True
        self.assertTrue(ts.b)
        self.assertTrue(os.path.exists(fn), fn)
        ts.remove()
        self.assertFalse(os.path.exists(fn))
        self.assertTrue(ts.removed)
        ts.remove()
        ts.b = False  # nobody reads it, and nothing happens
        self.assertEqual(self.files(), [])

    def test_remove_takes_the_files_of_other_threads_away(self):
        stats = mmstats.MmStats(path=self.folder, filename="{PID}-{TID}.mmstats")
        there, over = threading.Barrier(2, timeout=60), threading.Event()

        def other():
            self.assertTrue(os.path.exists(stats.filename))
            there.wait()
            over.wait(60)

        thread = threading.Thread(target=other)
        thread.start()
        there.wait()
        before = self.files()
        stats.remove()
        after = self.files()
        over.set()
        thread.join()
        self.assertEqual((len(before), after), (2, []))

    def test_remove_can_be_registered_for_the_exit(self):
        class LoggerdStats(mmstats.MmStats):
            start = mmstats.StaticInt64Field(value=lambda: int(time.time()))

        stats = LoggerdStats(path=self.folder, label_prefix='simplelogd.')
        remove = atexit.register(stats.remove)
        self.addCleanup(atexit.unregister, remove)
        remove()
        self.assertEqual(self.files(), [])


class ModelTest(published.TestCase):
    def test_mmstats_has_what_every_process_publishes(self):
        before = time.time()
        stats = mmstats.MmStats(path=self.folder)
        found = published.fields(stats.filename)
        want = {
            "sys.pid": ("I", stats.pid, os.getpid()),
            "sys.tid": ("q", stats.tid, threading.get_native_id()),
            "sys.uid": ("Q", stats.uid, os.getuid()),
            "sys.gid": ("Q", stats.gid, os.getgid()),
            "org.python.version": ("256s", stats.python_version, sys.version.replace("\n", "")),
        }
        for label, (type_, attribute, value) in want.items():
            with self.subTest(label):
                self.assertEqual((found[label]["type"], found[label]["value"]), (type_, value))
                self.assertFalse(found[label]["buffered"])
                self.assertEqual(attribute, value)
        self.assertEqual(found["sys.created"]["type"], "d")
        self.assertEqual(found["sys.created"]["value"], stats.created)
        self.assertLessEqual(before - 1, stats.created)
        self.assertLessEqual(stats.created, time.time() + 1)
        for name in ("pid", "tid", "uid", "gid", "python_version", "created"):
            self.assertIsInstance(getattr(mmstats.MmStats, name), mmstats.Field)
            with self.assertRaises(AttributeError):
                setattr(stats, name, 1)

    def test_base_mmstats_has_no_fields_of_its_own(self):
        stats = mmstats.BaseMmStats(path=self.folder)
        self.assertEqual(published.fields(stats.filename), {})
        self.assertFalse(hasattr(stats, "pid"))

    def test_base_mmstats_gets_system_fields_when_asked(self):
        stats = mmstats.BaseMmStats(path=self.folder, system_fields=True)
        self.assertEqual(published.values(stats.filename)["sys.pid"], os.getpid())

    def test_arguments_are_those_of_the_original_in_their_order(self):
        stats = mmstats.MmStats(self.folder, "name.mmstats", "web.")
        self.assertEqual(stats.filename, os.path.join(self.folder, "name.mmstats"))
        self.assertEqual(stats.label_prefix, "web.")
        self.assertIn("web.sys.pid", published.fields(stats.filename))

    def test_flush_takes_its_argument_in_every_way(self):
        stats = mmstats.MmStats(path=self.folder)
        stats.flush()
        stats.flush(True)
        stats.flush(async_=True)
        stats.flush(**{"async": False})
        stats.remove()
        stats.flush()

    def test_two_fields_of_one_name_are_refused(self):
        class Twice(mmstats.MmStats):
            a = mmstats.CounterField(label="x")
            b = mmstats.IntField(label="x")

        class AlsoTwice(mmstats.MmStats):
            a = mmstats.CounterField()
            b = mmstats.CounterField(label="a")

        for cls in (Twice, AlsoTwice):
            with self.assertRaises(fields.DuplicateFieldName):
                cls(path=self.folder)
        self.assertIs(mmstats.DuplicateFieldName, fields.DuplicateFieldName)
        self.assertEqual(self.files(), [])

    def test_fields_may_be_called_like_what_models_have(self):
        class Stats(mmstats.MmStats):
            add = mmstats.CounterField()
            open = mmstats.CounterField()
            remove = mmstats.CounterField()
            flush = mmstats.HistogramField()
            size = mmstats.UIntField()
            filename = mmstats.StringField()
            removed = mmstats.BoolField()

        stats = Stats(path=self.folder)
        stats.add.incr(1)
        stats.open.incr(2)
        stats.remove.incr(3)
        stats.flush.add(0.5)
        stats.size = 7
        stats.filename = "name"
        stats.removed = True
        mmstats.wsgi.Middleware(lambda environ, start_response: [], stats)
        (path,) = stats.filenames
        found = published.values(path)
        names = ("add", "open", "remove", "flush.count", "size", "filename", "removed")
        self.assertEqual([found[name] for name in names], [1, 2, 3, 1, 7, "name", True])
        del stats
        self.assertEqual(self.files(), [])

    def test_one_field_object_may_be_in_two_models(self):
        hits = mmstats.CounterField(label="hits")

        class A(mmstats.MmStats):
            one = hits

        class B(mmstats.MmStats):
            two = hits

        a, b = A(path=self.folder, filename="a"), B(path=self.folder, filename="b")
        a.one.incr(1)
        b.two.incr(2)
        self.assertEqual(published.values(a.filename)["hits"], 1)
        self.assertEqual(published.values(b.filename)["hits"], 2)

    def test_a_subclass_may_have_an_init_of_its_own(self):
        class Mine(mmstats.MmStats):
            hits = mmstats.CounterField()

            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.more = 7
                self.hits.incr()

        stats = Mine(path=self.folder, label_prefix="mine.")
        self.assertEqual((stats.more, stats.hits.value), (7, 1))

    def test_fields_may_be_added_at_run_time(self):
        stats = mmstats.MmStats(path=self.folder, label_prefix="web.")
        hits = stats.add(mmstats.CounterField(), "hits")
        hits.incr(2)
        stats.add(mmstats.CounterField(), "hits").incr(3)
        stats.add(mmstats.IntField(label="depth")).set(4)
        found = published.values(stats.filename)
        self.assertEqual((found["web.hits"], found["web.depth"]), (5, 4))
        with self.assertRaises(ValueError):
            stats.add(mmstats.CounterField())

    def test_a_folder_that_is_not_there_is_told_and_stops_nothing(self):
        told = []

        class Stats(mmstats.MmStats):
            hits = mmstats.CounterField()

        stats = Stats(path=os.path.join(self.folder, "missing"), on_error=told.append)
        stats.hits.incr()
        self.assertEqual(stats.hits.value, 1)
        self.assertEqual(len(told), 1)
        self.assertIn("missing", told[0])
        with self.assertRaises(OSError):
            stats.open()

    def test_without_on_error_the_logger_is_told(self):
        with self.assertLogs("mmstats", "WARNING") as logs:
            stats = mmstats.MmStats(path=os.path.join(self.folder, "missing"))
            self.assertEqual(stats.size, 0)
        self.assertIn("missing", logs.output[0])

    def test_limits_that_cannot_be_are_refused(self):
        for named, wrong in (
            ({"mode": 644}, "mode=644 .* written as 0o644"),
            ({"mode": 0o1777}, "permissions"),
            ({"max_file_bytes": 10}, "max_file_bytes must be 65536 to 1073741824, not 10"),
            ({"max_file_bytes": 10**12}, "max_file_bytes"),
        ):
            with self.subTest(wrong), self.assertRaisesRegex(ValueError, wrong):
                mmstats.MmStats(path=self.folder, **named)
        for size in (64 << 10, 1 << 30):
            self.assertTrue(mmstats.MmStats(path=self.folder, max_file_bytes=size).filename)

    def test_a_removed_model_says_so(self):
        stats = mmstats.MmStats(path=self.folder)
        stats.remove()
        with self.assertRaises(OSError) as error:
            stats.open()
        self.assertEqual(str(error.exception), f"[Errno {errno.EIO}] the model was removed")

    def test_files_go_with_the_model_or_stay(self):
        for remove, want in ((True, 0), (False, 1)):
            stats = mmstats.MmStats(path=self.folder, remove_at_exit=remove)
            self.assertEqual(len(self.files()), 1)
            del stats
            gc.collect()
            self.assertEqual(len(self.files()), want)

    def test_files_go_when_the_process_ends_or_stay(self):
        for remove, want in ((True, 0), (False, 1)):
            with self.subTest(remove_at_exit=remove):
                python(
                    f"""
                    import mmstats, os
                    stats = mmstats.MmStats(path={self.folder!r}, remove_at_exit={remove})
                    assert os.path.exists(stats.filename)
                    """
                )
                self.assertEqual(len(self.files()), want)

    def test_a_child_has_a_file_of_its_own_and_leaves_the_parents(self):
        class Stats(mmstats.MmStats):
            hits = mmstats.CounterField()

        stats = Stats(path=self.folder)
        stats.hits.incr(5)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                stats.hits.incr(2)
                found = published.values(stats.filename)
                os.write(writing, f"{stats.filename}\n{found['hits']} {found['sys.pid']}".encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading) as pipe:
            path, values = pipe.read().split("\n")
        os.waitpid(child, 0)
        self.assertNotEqual(path, stats.filename)
        self.assertEqual(values, f"2 {child}")
        self.assertEqual(published.values(stats.filename)["hits"], 5)
        self.assertEqual(published.total(self.files(), "hits"), 7)

    def test_a_child_by_spawn_publishes(self):
        context = multiprocessing.get_context("spawn")
        child = context.Process(target=_publish_in_child, args=(self.folder,))
        child.start()
        child.join(120)
        self.assertEqual(child.exitcode, 0)
        self.assertEqual(published.total(self.files(), "hits"), 3)

    def test_counts_of_a_thread_that_ended_stay(self):
        class Stats(mmstats.MmStats):
            hits = mmstats.CounterField()

        stats = Stats(path=self.folder)
        for _ in range(20):
            thread = threading.Thread(target=stats.hits.incr)
            thread.start()
            thread.join()
        self.assertEqual(stats.hits.total, 20)
        self.assertEqual(published.total(self.files(), "hits"), 20)


def _publish_in_child(folder):
    class Stats(mmstats.MmStats):
        hits = mmstats.CounterField()

    Stats(path=folder, remove_at_exit=False).hits.incr(3)


class NamesTest(published.TestCase):
    def test_all_names_of_the_original_are_there(self):
        names = """BaseMmStats MmStats CounterField AverageField MovingAverageField TimerField UInt64Field
            UIntField IntField ShortField UShortField FloatField DoubleField ByteField BoolField StringField
            StaticUIntField StaticInt64Field StaticUInt64Field StaticFloatField StaticDoubleField StaticTextField
            DuplicateFieldName DEFAULT_PATH DEFAULT_FILENAME DEFAULT_GLOB DEFAULT_STRING_SIZE version
            __version__""".split()
        self.assertEqual([name for name in names if not hasattr(mmstats, name)], [])
        self.assertIs(models.MmStats, mmstats.MmStats)
        self.assertIs(fields.CounterField, mmstats.CounterField)
        self.assertTrue(reader.MmStatsReader and reader.Stat and reader.InvalidMmStatsVersion)
        star = {}
        exec("from mmstats import *", star)
        self.assertIs(star["MmStats"], mmstats.MmStats)
        self.assertEqual([name for name in names if name not in star and not name.startswith("__")], [])

    def test_defaults_come_from_the_environment(self):
        show = "from mmstats.defaults import *; print(DEFAULT_PATH, DEFAULT_FILENAME, DEFAULT_GLOB)"
        self.assertEqual(
            python(show, MMSTATS_PATH="/some", MMSTATS_FILES="{PID}.x", MMSTATS_GLOB="/some/*.x"),
            "/some {PID}.x /some/*.x\n",
        )
        with self.environment(MMSTATS_PATH=None, MMSTATS_FILES=None, MMSTATS_GLOB=None):
            folder, name, pattern = python(show, TMPDIR=self.folder).split()
            self.assertIn(folder, ("/run/mmstats", self.folder))
            self.assertEqual(name, "{CMD}-{PID}-{TID}.mmstats")
            self.assertEqual(pattern, folder + "/*.mmstats")
        self.assertEqual(defaults.DEFAULT_STRING_SIZE, 255)

    def test_a_model_goes_where_the_environment_says(self):
        shown = python(
            "import mmstats; print(mmstats.MmStats().filename)",
            MMSTATS_PATH=self.folder,
            MMSTATS_FILES="x-{CMD}.y",
        )
        self.assertEqual(shown, f"{self.folder}/x-python.y\n")

    def test_a_model_says_that_it_may_not_write_to_the_usual_folder(self):
        # /run/mmstats is there, and read-only, as in a hardened unit.
        hardened = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs mmstats /run && mkdir /run/mmstats && '
                    'mount -t tmpfs -o ro mmstats /run/mmstats && exec "$@"', "sh"]
        if os.geteuid() != 0:
            hardened[1:1] = ["--user", "--map-root-user"]
        if subprocess.run([*hardened, "true"], capture_output=True).returncode != 0:
            self.skipTest("no name spaces of its own for mounts")
        program = """
            import mmstats
            said = []
            print(mmstats.MmStats(on_error=said.append).filename)
            mmstats.MmStats(on_error=said.append)
            print(*said, sep="\\n")
            """
        with self.environment(MMSTATS_PATH=None, MMSTATS_FILES=None):
            path, said = python(program, run_in=hardened, TMPDIR=self.folder).splitlines()
            self.assertEqual(os.path.dirname(path), self.folder)
            self.assertRegex(said, f"^/run/mmstats: exists, but .* its files go to {self.folder}, .*ReadWritePaths")
            # Whoever names a folder means it, whichever it is.
            named = program.replace("MmStats(", f"MmStats({self.folder!r}, ")
            self.assertEqual(python(named, run_in=hardened, TMPDIR=self.folder).splitlines()[1:], [""])
            named = program.replace("MmStats(", "MmStats(filename='other-{PID}', ")
            self.assertIn("ReadWritePaths", python(named, run_in=hardened, TMPDIR=self.folder))
        self.assertNotIn("ReadWritePaths", python(program, run_in=hardened, MMSTATS_PATH=self.folder))

    def test_the_command_is_the_script(self):
        script = os.path.join(self.folder, "billing.py")
        with open(script, "w") as file:
            file.write("import mmstats; print(mmstats.MmStats().filename)")
        shown = python("", script, MMSTATS_PATH=self.folder, MMSTATS_FILES="{CMD}.mmstats")
        self.assertEqual(shown, f"{self.folder}/billing.py.mmstats\n")

    def test_importing_brings_nothing_that_is_slow(self):
        slow = ("logging", "typing", "tempfile", "inspect", "asyncio", "re", "ctypes", "mmstats.wsgi")
        show = f"import sys, mmstats; print([name for name in {slow} if name in sys.modules])"
        self.assertEqual(python("", "-S", "-c", show), "[]\n")

    def test_the_middlewares_are_found_without_an_import_of_their_own(self):
        self.assertEqual(python("import mmstats; print(mmstats.wsgi.__name__, mmstats.asgi.__name__)"),
                         "mmstats.wsgi mmstats.asgi\n")
        with self.assertRaises(AttributeError):
            mmstats.nothing  # noqa: B018

    def test_help_reads_well(self):
        text = pydoc.render_doc(mmstats, renderer=pydoc.plaintext)
        for want in ("Declare what the program publishes", "class MmStats", "class timed", "incr", "seconds"):
            self.assertIn(want, text)
        for name in mmstats.__all__:
            thing = getattr(mmstats, name)
            if isinstance(thing, type):
                with self.subTest(name):
                    self.assertTrue(thing.__doc__, "has no docstring")
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            help(mmstats.MmStats)
        self.assertIn("label_prefix", shown.getvalue())
        for name in ("Counter", "Number", "Histogram", "Family"):
            self.assertRegex(text, rf"\b{name}\b")

    def test_help_shows_the_parameters_of_all_fields(self):
        for name in mmstats.__all__:
            thing = getattr(mmstats, name)
            if isinstance(thing, type) and issubclass(thing, mmstats.Field) and thing is not mmstats.Field:
                with self.subTest(name):
                    self.assertIn("label", inspect.signature(thing).parameters)
                    self.assertNotIn("--", thing.__doc__)
        self.assertEqual(
            list(inspect.signature(mmstats.IntField).parameters),
            ["label", "initial", "unit", "help", "kind", "shared"],
        )
        self.assertIn("callable", mmstats.StaticUIntField.__doc__)


if __name__ == "__main__":
    unittest.main()

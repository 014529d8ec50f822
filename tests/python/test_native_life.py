"""How long models of the extension module and their files live: collection, threads, forks, interpreters."""

import gc
import os
import signal
import sys
import threading
import unittest
import warnings
import weakref

import native_files
from native_files import _native, values


class Stats(_native.Model):
    hits = _native.CounterField()
    shared = _native.SharedCounterField()
    number = _native.IntField()
    text = _native.StringField()
    timer = _native.TimerField()
    latency = _native.HistogramField()
    families = _native.FamilyField(_native.CounterField(), ["a"])


class LifeTests(native_files.TestCase):
    def test_the_files_go_with_the_model_and_at_once(self):
        stats = self.model(Stats)
        self.assertEqual(len(self.files()), 1)
        del stats
        self.assertEqual(self.files(), [])

    def test_they_stay_if_they_are_to(self):
        stats = self.model(Stats, remove_at_exit=False)
        stats.hits.incr(3)
        del stats
        self.assertEqual(self.total("hits"), 3)

    def test_handles_outlive_their_model(self):
        stats = self.model(Stats)
        handles = [stats.hits, stats.shared, stats.timer, stats.latency, stats.families, stats.families.with_("x"),
                   stats.add(_native.IntField(), "n"), stats.add(_native.StringField(), "s")]
        del stats
        gc.collect()
        self.assertEqual(self.files(), [])
        hits, shared, timer, latency, family, combination, number, text = handles
        for counter in (hits, shared, combination):
            counter.incr()
            self.assertEqual((counter.value, counter.total), (1, 1))
        with timer, latency:
            pass
        self.assertEqual(latency.count, 1)
        self.assertIs(family.with_("x"), combination)
        number.set(5)
        text.set("x")
        self.assertEqual((number.value, text.value), (5, "x"))
        self.assertEqual(self.files(), [])

    def test_a_model_may_be_weakly_referenced_and_is_collected_in_a_cycle(self):
        stats = self.model(Stats)
        stats.itself = stats
        stats.told = lambda: stats
        gone = weakref.ref(stats)
        del stats
        gc.collect()
        self.assertIsNone(gone())
        self.assertEqual(self.files(), [])

    def test_a_model_that_is_told_through_itself_is_collected(self):
        class Cyclic(_native.Model):
            def __init__(self, folder):
                super().__init__(folder, on_error=self.tell)

            def tell(self, line):
                pass

        gone = weakref.ref(Cyclic(self.folder))
        gc.collect()
        self.assertIsNone(gone())

    def test_classes_and_their_fields_are_collected(self):
        def make():
            local = type("Local", (_native.Model,), {"hits": _native.CounterField(), "n": _native.IntField()})
            stats = self.model(local)
            stats.hits.incr()
            stats.n = 1
            return weakref.ref(local)

        gone = make()
        gc.collect()
        self.assertIsNone(gone())

    def test_one_that_was_not_made_raises_and_does_not_crash(self):
        class Lazy(_native.Model):
            hits = _native.CounterField()
            number = _native.IntField()
            pid = _native.SystemField("sys.pid")

            def __init__(self):
                pass

        stats = Lazy()
        for use in (lambda: stats.hits, lambda: stats.number, lambda: setattr(stats, "number", 1), lambda: stats.pid,
                    lambda: stats.filename, lambda: stats.size, lambda: stats.filenames, stats.flush, stats.remove,
                    stats.open, stats.reopen, lambda: stats.add(_native.CounterField(), "x")):
            with self.assertRaises(RuntimeError):
                use()
        repr(stats)

    def test_a_second_init_raises_and_changes_nothing(self):
        stats = self.model(Stats)
        stats.hits.incr()
        with self.assertRaises(RuntimeError):
            stats.__init__(self.folder)
        self.assertEqual(self.total("hits"), 1)

    def test_an_init_that_failed_can_be_repeated(self):
        class Picky(_native.Model):
            fact = _native.StaticUIntField(value=lambda: answers.pop())

        answers = [5, None]
        stats = Picky.__new__(Picky)
        with self.assertRaises(ValueError):
            stats.__init__(self.folder)
        stats.__init__(self.folder)
        self.assertEqual(stats.fact, 5)

    def test_fields_of_classes_that_are_no_models_are_type_errors(self):
        class Other:
            hits = _native.CounterField()
            number = _native.IntField()
            text = _native.StringField()
            fact = _native.StaticUIntField(value=1)
            pid = _native.SystemField("sys.pid")

        other = Other()
        for name in ("hits", "number", "text", "fact", "pid"):
            with self.assertRaises(TypeError):
                getattr(other, name)
        for name in ("number", "text"):
            with self.assertRaises(TypeError):
                setattr(other, name, 1)

    def test_handles_and_the_base_of_fields_cannot_be_made(self):
        for cls in (_native.Counter, _native.Number, _native.String, _native.Average, _native.Timer, _native.Scope,
                    _native.Histogram, _native.Info, _native.Family, _native.Field):
            with self.assertRaises(TypeError):
                cls()
            if cls is not _native.Field:
                with self.assertRaises(TypeError):
                    type("Derived", (cls,), {})

    def test_fields_may_be_derived_from(self):
        class Mine(_native.CounterField):
            def __init__(self, what):
                super().__init__("mine." + what, help="mine")
                self.what = what

        class Forgetful(_native.IntField):
            def __init__(self):
                pass

        class Derived(_native.Model):
            a = Mine("x")
            b = Forgetful()

        stats = self.model(Derived)
        stats.a.incr()
        stats.b = 5
        self.assertEqual(values(stats.filename), {"mine.x": 1, "b": 5})

    def test_fields_that_got_another_class_raise_and_do_not_crash(self):
        self.enterContext(warnings.catch_warnings())
        warnings.simplefilter("ignore", RuntimeWarning)
        both = [cls for cls in vars(_native).values() if isinstance(cls, type) and issubclass(cls, _native.Field)
                and cls is not _native.Field]
        for first in both:
            for second in both:
                class Mine(first):
                    pass

                class Other(second):
                    pass

                for make in (lambda: type("Both", (first, second), {})(), lambda: type("Both", (first, second), {})("sys.pid"),
                             Mine, lambda: Mine("a"), lambda: Mine(value=5), lambda: Mine(5)):
                    try:
                        field = make()
                        if type(field) is Mine:
                            field.__class__ = Other
                        second.__init__(field)
                    except (TypeError, ValueError):
                        continue
                    for name in ("code", "initial", "value", "size", "seconds", "dimensions", "shared"):
                        try:
                            getattr(field, name, None)
                        except TypeError:
                            pass
                    try:
                        stats = self.model(type("Stats", (_native.Model,), {"field": field}), open=False)
                        stats.field
                        stats.field = 5
                        stats.field = "x"
                        stats.field
                    except (TypeError, ValueError, AttributeError):
                        pass

    def test_one_field_under_two_names_is_each_class_its_own(self):
        field = _native.CounterField()
        a = type("A", (_native.Model,), {"x": field})
        b = type("B", (_native.Model,), {"y": field})
        first, second = self.model(a, filename="a.mmstats"), self.model(b, filename="b.mmstats")
        first.x.incr()
        second.y.incr(2)
        self.assertEqual((values(first.filename), values(second.filename)), ({"x": 1}, {"y": 2}))
        self.assertNotIn("y", vars(first))

    def test_a_class_with_slots_works(self):
        class Slotted(_native.Model):
            __slots__ = ()
            hits = _native.CounterField()

        stats = self.model(Slotted)
        stats.hits.incr()
        stats.hits.incr()
        self.assertEqual(self.total("hits"), 2)

    def test_memory_does_not_grow_when_models_come_and_go(self):
        def use():
            stats = self.model(Stats)
            stats.hits.incr()
            stats.number = 1
            stats.text = "x"
            with stats.timer, stats.latency:
                pass
            stats.families.with_("x").incr()
            stats.add(_native.InfoField({"a": "b"}), "info")

        for _ in range(3):
            use()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(50):
            use()
        gc.collect()
        self.assertLess(sys.getallocatedblocks() - before, 50)


class ThreadTests(native_files.TestCase):
    def test_each_thread_has_a_file_and_the_shared_one_is_all_threads(self):
        stats = self.model(Stats)
        count = 8
        barrier = threading.Barrier(count, timeout=60)
        names = set()
        seen = []

        def work(i):
            for _ in range(1000):
                stats.hits.incr()
                stats.shared.incr()
            stats.number = i
            names.add(stats.filename)
            barrier.wait()
            seen.append((stats.hits.value, stats.number))
            barrier.wait()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(names), count)
        self.assertEqual(sorted(seen), [(1000, i) for i in range(count)])
        self.assertEqual(self.total("hits"), count * 1000)
        self.assertEqual(self.total("shared"), count * 1000)
        self.assertEqual(stats.shared.value, count * 1000)
        self.assertEqual(stats.hits.total, count * 1000)
        self.assertEqual(stats.hits.value, 0)

    def test_models_are_made_added_to_and_removed_while_threads_count(self):
        stats = self.model(Stats)
        stop = threading.Event()

        def count():
            while not stop.is_set():
                stats.hits.incr()
                stats.number = 5
                stats.families.with_("x").incr()
                with stats.timer:
                    pass

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for i in range(60):
            stats.add(_native.CounterField(), f"more{i}").incr()
            stats.families.with_(i).incr()
            self.model(Stats, filename=f"other{i}.mmstats").hits.incr()
            stats.flush(True)
            stats.families.expire()
        stats.remove()
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(self.files(), [])


class ForkTests(native_files.TestCase):
    def in_child(self, act):
        """Runs act in a forked child, which must come to its end."""
        child = os.fork()
        if child == 0:
            code = 1
            try:
                act()
                code = 0
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                os._exit(code)
        return child

    def wait(self, child):
        _, status = os.waitpid(child, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)

    def test_a_child_has_files_of_its_own_and_begins_at_nothing(self):
        stats = self.model(Stats)
        stats.hits.incr(5)
        path = stats.filename

        def act():
            assert stats.hits.value == 0, stats.hits.value
            stats.hits.incr(2)
            stats.shared.incr()
            stats.number = 7
            assert stats.filename != path
            assert str(os.getpid()) in stats.filename
            assert values(stats.filename)["hits"] == 2

        self.wait(self.in_child(act))
        self.assertEqual(values(path)["hits"], 5)
        self.assertEqual(self.total("hits"), 7)

    def test_a_child_that_lets_go_of_the_model_leaves_the_parents_files(self):
        holder = [self.model(Stats)]
        holder[0].hits.incr(5)

        def act():
            holder[0].hits.incr()
            holder.clear()
            gc.collect()

        self.wait(self.in_child(act))
        self.assertEqual(self.total("hits"), 5)

    def test_children_that_are_forked_while_threads_count_work(self):
        stats = self.model(Stats)
        stop = threading.Event()

        def count():
            while not stop.is_set():
                stats.hits.incr()
                stats.flush(True)

        def act():
            signal.alarm(60)
            stats.hits.incr()
            stats.add(_native.CounterField(), "late").incr()
            stats.families.with_("x").incr()
            self.model(Stats, filename="of-{PID}-{TID}.mmstats").hits.incr()
            stats.flush()

        thread = threading.Thread(target=count)
        thread.start()
        try:
            for _ in range(20):
                self.wait(self.in_child(act))
        finally:
            stop.set()
            thread.join()

    def test_multiprocessing_works_by_fork_and_by_spawn(self):
        for method in ("fork", "spawn"):
            out = native_files.run("""
                import multiprocessing, os, sys
                from mmstats import _native

                class Stats(_native.Model):
                    hits = _native.CounterField()

                stats = None

                def begin(folder):
                    global stats
                    if stats is None:
                        stats = Stats(folder, "{PID}-{TID}.mmstats", remove_at_exit=False)

                def work(n):
                    stats.hits.incr(n)
                    return os.getpid()

                if __name__ == "__main__":
                    folder, method = sys.argv[1:]
                    if method == "fork":
                        begin(folder)
                    context = multiprocessing.get_context(method)
                    sys.modules["__main__"].__spec__ = None
                    with context.Pool(3, begin, (folder,)) as pool:
                        pool.map(work, [1] * 300)
                        pool.close()
                        pool.join()
                """ if method == "fork" else """
                import os, subprocess, sys, textwrap
                path = os.path.join(sys.argv[1], "program.py")
                with open(path, "w") as file:
                    file.write(textwrap.dedent('''
                        import multiprocessing, sys
                        from mmstats import _native

                        class Stats(_native.Model):
                            hits = _native.CounterField()

                        def begin(folder):
                            global stats
                            stats = Stats(folder, "{PID}-{TID}.mmstats", remove_at_exit=False)

                        def work(n):
                            stats.hits.incr(n)

                        if __name__ == "__main__":
                            with multiprocessing.get_context("spawn").Pool(3, begin, (sys.argv[1],)) as pool:
                                pool.map(work, [1] * 300)
                                pool.close()
                                pool.join()
                        '''))
                subprocess.run([sys.executable, "-B", path, sys.argv[1]], check=True)
                """, self.folder, method)
            self.assertEqual(out, "")
            self.assertEqual(self.total("hits"), 300, method)
            for path in self.files():
                os.unlink(path)


class ProcessTests(native_files.TestCase):
    def test_files_go_when_the_process_ends_however_its_objects_do(self):
        for program in ("", "stats.itself = stats", "import atexit; atexit.register(stats.hits.incr)",
                        "import threading; threading.Thread(target=stats.hits.incr).start()",
                        "class End:\n    def __del__(self, stats=stats): stats.hits.incr(); stats.number = 5\nend = End()",
                        "import sys; sys.end = stats"):
            native_files.run(f"""
import sys
from mmstats import _native
class Stats(_native.Model):
    hits = _native.CounterField()
    number = _native.IntField()
stats = Stats(sys.argv[1])
stats.hits.incr()
{program}
""", self.folder)
            self.assertEqual(self.files(), [], program)

    def test_daemon_threads_may_count_while_the_process_ends(self):
        native_files.run("""
            import sys, threading
            from mmstats import _native
            class Stats(_native.Model):
                hits = _native.CounterField()
                latency = _native.HistogramField()
            stats = Stats(sys.argv[1])
            started = threading.Semaphore(0)
            def count():
                started.release()
                while True:
                    stats.hits.incr()
                    with stats.latency:
                        pass
            for _ in range(4):
                threading.Thread(target=count, daemon=True).start()
            for _ in range(4):
                started.acquire()
            """, self.folder)

    def test_subinterpreters_have_models_of_their_own(self):
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            try:
                import _interpreters as interpreters
            except ImportError:
                self.skipTest("no module makes interpreters here")
        del interpreters
        native_files.run("""
            import os, sys
            try:
                import _xxsubinterpreters as interpreters
            except ImportError:
                import _interpreters as interpreters
            program = '''
            import sys
            sys.path[:] = {path!r}
            from mmstats import _native
            class Stats(_native.Model):
                hits = _native.CounterField()
                timer = _native.TimerField()
            stats = Stats({folder!r}, "sub-{{TID}}-{i}.mmstats")
            for _ in range(5):
                stats.hits.incr()
            with stats.timer:
                pass
            assert stats.hits.value == 5
            '''
            from mmstats import _native
            main = _native.Model(sys.argv[1])
            hits = main.add(_native.CounterField(), "hits")
            import textwrap
            for i in range(3):
                interpreter = interpreters.create()
                answer = interpreters.run_string(
                    interpreter, textwrap.dedent(program).format(path=sys.path, folder=sys.argv[1], i=i))
                assert answer is None, answer
                hits.incr()
                assert len(os.listdir(sys.argv[1])) == 2, os.listdir(sys.argv[1])
                interpreters.destroy(interpreter)
                assert len(os.listdir(sys.argv[1])) == 1
            assert hits.value == 3
            """, self.folder)

    def test_a_module_that_is_imported_again_works_beside_the_first(self):
        native_files.run("""
            import sys
            from mmstats import _native
            first = _native.Model(sys.argv[1]).add(_native.CounterField(), "a")
            before = _native
            del sys.modules["mmstats._native"]
            import importlib
            again = importlib.import_module("mmstats._native")
            second = again.Model(sys.argv[1]).add(again.CounterField(), "a")
            first.incr(); second.incr()
            try:
                again.Model(sys.argv[1]).add(before.CounterField(), "a")
            except TypeError:
                pass
            """, self.folder)


if __name__ == "__main__":
    unittest.main()

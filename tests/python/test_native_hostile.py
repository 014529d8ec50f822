"""Foreign code that the extension module calls changes what is in use, or ends things; and what is used in great numbers."""

import gc
import importlib.util
import os
import sys
import threading
import time
import timeit
import unittest
import weakref

import native_files
from native_files import _native


class AttributeTests(native_files.TestCase):
    def test_a_field_that_has_its_own_get_is_asked_each_time(self):
        class Own(_native.CounterField):
            def __get__(self, instance, owner=None):
                if instance is None:
                    return self
                return ("own", super().__get__(instance, owner))

        class Stats(_native.Model):
            hits = Own()

        stats = self.model(Stats)
        self.assertEqual([type(stats.hits) for _ in range(5)], [tuple] * 5)

    def test_the_look_up_of_an_attribute_asks_no_metaclass(self):
        asked = []

        class Meta(type):
            def __getattribute__(cls, name):
                asked.append(name)
                return super().__getattribute__(name)

        class Stats(_native.Model, metaclass=Meta):
            hits = _native.CounterField()

        stats = self.model(Stats)
        asked.clear()
        for _ in range(3):
            stats.hits.incr()
        self.assertEqual(asked, [])
        self.assertEqual(self.total("hits"), 3)

    def test_the_handles_of_numbers_and_texts_do_not_get_slower_where_classes_share_fields(self):
        first = type("First", (_native.Model,), {f"n{i}": _native.IntField() for i in range(2000)})
        other = type("Other", (_native.Model,), {"another": _native.IntField()})
        second = type("Second", (first, other), {})
        one, two = self.model(first, filename="1.mmstats"), self.model(second, filename="2.mmstats")

        def alone():
            one.n1999, one.n1999

        def alternating():
            one.n1999, two.n1999

        def fastest(act):
            return min(timeit.repeat(act, number=500, repeat=20))

        self.assertLess(fastest(alternating), 5 * fastest(alone))


class FreedTests(native_files.TestCase):
    """In programs of their own, where memory that is freed is overwritten."""

    def run_program(self, program, *arguments):
        return native_files.run(program, self.folder, *arguments, PYTHONMALLOC="debug").split()

    def test_a_family_field_may_be_made_anew_while_its_handle_is_made(self):
        out = self.run_program("""
            import gc, sys
            from mmstats import _native
            for collect_at in range(1, 20):
                stats = _native.Model(sys.argv[1], "m.mmstats")
                field = _native.FamilyField(_native.CounterField(), ["dimension" * 5 + str(collect_at)], label="family")
                class Cycle:
                    def __init__(self): self.itself = self
                    def __del__(self): field.__init__(_native.CounterField(), ["other" * 5], label="family")
                gc.collect()
                gc.disable()
                Cycle()
                gc.set_threshold(collect_at)
                gc.enable()
                family = stats.add(field)
                gc.disable()
                family.with_("x").incr()
                with open(stats.filename, "rb") as file:
                    content = file.read()
                assert family.dimensions[0].encode() in content, family.dimensions
                assert b"\\xdd" * 8 not in content
            print("fine")
            """)
        self.assertEqual(out, ["fine"])

    def test_a_timer_field_may_be_made_anew_while_its_handle_is_made(self):
        out = self.run_program("""
            import gc, sys
            from mmstats import _native
            class Clock:
                def __call__(self): return 1.0
            for collect_at in range(1, 20):
                stats = _native.Model(sys.argv[1], "m.mmstats", system_fields=False)
                field = _native.TimerField(Clock(), label="timer")
                class Cycle:
                    def __init__(self): self.itself = self
                    def __del__(self): field.__init__(Clock(), label="timer")
                gc.collect()
                gc.disable()
                Cycle()
                gc.set_threshold(collect_at)
                gc.enable()
                timer = stats.add(field)
                gc.disable()
                with timer:
                    pass
            print("fine")
            """)
        self.assertEqual(out, ["fine"])

    def test_a_model_may_fail_to_begin_while_a_thread_sets_its_number(self):
        out = self.run_program("""
            import sys, threading
            from mmstats import _native
            inside, go_on = threading.Event(), threading.Event()
            threads = []
            class Slow:
                def __index__(self):
                    inside.set()
                    assert go_on.wait(60)
                    return 7
            def fail():
                threads.append(threading.Thread(target=setattr, args=(stats, "number", Slow())))
                threads[0].start()
                assert inside.wait(60)
                raise ValueError("no")
            class Stats(_native.Model):
                number = _native.IntField()
                fact = _native.StaticTextField(value=fail)
            stats = Stats.__new__(Stats)
            try:
                stats.__init__(sys.argv[1])
            except ValueError:
                print("failed")
            go_on.set()
            threads[0].join()
            """)
        self.assertEqual(out, ["failed"])


class ManyTests(native_files.TestCase):
    def test_each_of_many_models_has_its_file_from_the_start(self):
        models = [self.model(filename=f"{i}-{{TID}}.mmstats") for i in range(40)]
        self.assertEqual([len(model.filenames) for model in models], [1] * 40)
        shared = [model.add(_native.SharedCounterField(), "shared") for model in models]
        for counter in shared:
            counter.incr(2)
        self.assertEqual([counter.value for counter in shared], [2] * 40)
        self.assertEqual(self.told, [])

    def test_each_of_many_models_tells_why_it_has_no_file(self):
        told = [[] for _ in range(40)]
        nowhere = os.path.join(self.folder, "file")
        with open(nowhere, "wb"):
            pass
        models = [_native.Model(os.path.join(nowhere, "folder"), on_error=lines.append) for lines in told]
        for model in models:
            model.add(_native.CounterField(), "hits").incr()
        self.assertEqual([len(lines) > 0 for lines in told], [True] * 40)


class EndTests(native_files.TestCase):
    def test_the_module_is_collected(self):
        name = "mmstats._native"
        spec = importlib.util.spec_from_file_location(name, _native.__file__)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        stats = type("Stats", (module.Model,), {"timer": module.TimerField()})(self.folder)
        with stats.timer:
            pass

        class Reader(module.Reader):
            pass

        reader = Reader(b"\x01")
        reader.itself = reader
        gone = weakref.ref(module)
        sys.modules[name] = _native
        del spec, module, stats, Reader, reader
        for _ in range(3):
            gc.collect()
        self.assertIsNone(gone())

    def test_texts_are_collected_whose_keys_have_them(self):
        class Key(str):
            pass

        info = self.model().add(_native.InfoField(), "info")
        key = Key("a")
        key.info = info
        info.set({key: 1})
        gone = weakref.ref(key)
        del info, key
        gc.collect()
        self.assertIsNone(gone())

    def test_an_interruption_of_who_is_told_is_raised(self):
        unraisable = []
        self.addCleanup(setattr, sys, "unraisablehook", sys.unraisablehook)
        sys.unraisablehook = unraisable.append
        for error in (KeyboardInterrupt("now"), SystemExit(7)):
            with self.subTest(error):
                def tell(line, error=error):
                    raise error

                stats = self.model(on_error=tell)
                counter = stats.add(_native.CounterField(), "hits")
                with self.assertRaises(type(error)) as raised:
                    counter.incr(-1)
                    deadline = time.monotonic() + 60
                    while time.monotonic() < deadline:
                        pass
                self.assertIs(raised.exception, error)
        self.assertEqual(unraisable, [])

    def test_a_thread_does_not_find_the_timing_that_another_one_left(self):
        timer = self.model().add(_native.TimerField(), "timer")
        threads = set()
        wrong = []

        def use():
            if threading.get_ident() in threads:
                for end in (timer.stop, lambda: timer.__exit__(None, None, None)):
                    try:
                        wrong.append(end())
                    except RuntimeError:
                        pass
            threads.add(threading.get_ident())
            timer.start()
            timer.__enter__()

        for _ in range(20):
            thread = threading.Thread(target=use)
            thread.start()
            thread.join()
        self.assertEqual(wrong, [])

    def test_the_timings_of_ended_threads_are_let_go_of(self):
        timer = self.model().add(_native.TimerField(), "timer")

        def scopes():
            return sum(1 for each in gc.get_objects() if type(each).__name__ == "Scope" and not each.done)

        for _ in range(10):
            thread = threading.Thread(target=timer.start)
            thread.start()
            thread.join()
        deadline = time.monotonic() + 60  # threads end a moment after they are joined
        while True:
            timer.start()
            timer.stop()
            if scopes() == 0 or time.monotonic() > deadline:
                break
        self.assertEqual(scopes(), 0)


if __name__ == "__main__":
    unittest.main()

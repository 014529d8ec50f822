"""Timers, what they decorate, and collectors."""

import asyncio
import functools
import gc
import logging
import threading
import types
import unittest
import weakref

from pynba_served import packet_of, ran
from pynba.core import DataCollector, Timer


class Timers(unittest.TestCase):
    def test_runs_between_start_and_stop(self):
        timer = Timer({"foo": "bar"})
        self.assertIs(timer.started, False)
        self.assertIsNone(timer.elapsed)
        self.assertIs(timer.start(), timer)
        self.assertIs(timer.started, True)
        self.assertIsNone(timer.elapsed)
        self.assertIs(timer.stop(), timer)
        self.assertIs(timer.started, False)
        self.assertIsInstance(timer.elapsed, float)
        self.assertGreaterEqual(timer.elapsed, 0)
        self.assertEqual(timer.tags, {"foo": "bar"})
        self.assertIsNone(timer.parent)

    def test_starting_or_stopping_twice_is_a_runtime_error(self):
        timer = Timer({"foo": "bar"})
        with self.assertRaises(RuntimeError):
            timer.stop()
        timer.start()
        with self.assertRaises(RuntimeError):
            timer.start()
        timer.stop()
        with self.assertRaises(RuntimeError):
            timer.stop()

    def test_each_start_and_stop_is_a_hit(self):
        timer = Timer({"foo": "bar"})
        for _ in range(100):
            timer.start().stop()
        timers = packet_of([timer]).timers
        self.assertEqual(sum(each.hits for each in timers), 100)

    def test_elapsed_is_that_of_a_clock(self):
        timer = Timer({}).start()
        event = threading.Event()
        event.wait(0.05)
        timer.stop()
        self.assertGreaterEqual(timer.elapsed, 0.05)
        self.assertAlmostEqual(packet_of([timer]).timers[0].value, timer.elapsed, places=5)

    def test_is_a_context_manager_that_may_be_stopped_within(self):
        timer = Timer({"foo": "bar"})
        with timer as within:
            self.assertIs(within, timer)
            self.assertTrue(timer.started)
        self.assertFalse(timer.started)
        with timer:
            timer.stop()
        with timer.start():
            pass
        with self.assertRaises(KeyError):
            with timer:
                raise KeyError
        self.assertFalse(timer.started)

    def test_a_clone_has_the_tags_and_data_and_has_not_run(self):
        timer = ran({"foo": "bar"})
        timer.data = {"anything": 1}
        clone = timer.clone()
        self.assertIsNot(clone, timer)
        self.assertEqual(clone.tags, {"foo": "bar"})
        self.assertIsNot(clone.tags, timer.tags)
        self.assertIs(clone.data, timer.data)
        self.assertIsNone(clone.elapsed)

    def test_repr_says_how_it_stands(self):
        timer = Timer({"foo": "bar"})
        self.assertEqual(repr(timer), "<Timer({'foo': 'bar'})>")
        self.assertIn("started:", repr(timer.start()))
        self.assertIn("elapsed:", repr(timer.stop()))

    def test_tags_are_anything_that_makes_a_dict(self):
        self.assertEqual(Timer([("a", 1)]).tags, {"a": 1})
        for odd in (None, 1, object(), [1]):
            with self.assertRaises(TypeError):
                Timer(odd)
        with self.assertRaises(TypeError):
            Timer()

    def test_may_be_derived_from(self):
        class Named(Timer):
            def __init__(self, tags, parent=None):
                self.name = "mine"

        with Named({"a": "b"}) as timer:
            self.assertEqual(timer.name, "mine")
        self.assertEqual(packet_of([timer]).timers[0].tags, (("a", "b"),))

    def test_a_ring_of_timers_and_collectors_is_collected(self):
        class Watched(DataCollector):
            pass

        collector = Watched()
        collector.timer(a="b").data = collector
        gone = weakref.ref(collector)
        del collector
        gc.collect()
        self.assertIsNone(gone())


class Decorators(unittest.TestCase):
    def setUp(self):
        self.collector = DataCollector().start()

    def hits(self):
        return sum(1 for timer in self.collector.timers if timer.elapsed is not None)

    def test_each_call_of_a_function_is_measured_by_a_clone(self):
        timer = self.collector.timer(a="b")

        @timer
        def twice(number, *, plus=0):
            """Says so."""
            return 2 * number + plus if number < 3 else twice(1)

        self.assertEqual((twice(1), twice(2, plus=1), twice(3)), (2, 5, 2))
        self.assertEqual(self.hits(), 4)
        self.assertIsNone(timer.elapsed)
        self.assertEqual((twice.__name__, twice.__doc__), ("twice", "Says so."))

    def test_a_function_that_raises_is_measured(self):
        @self.collector.timer(a="b")
        def fails():
            raise KeyError("mine")

        with self.assertRaises(KeyError):
            fails()
        self.assertEqual(self.hits(), 1)

    def test_a_coroutine_is_measured_to_its_end(self):
        @self.collector.timer(a="b")
        async def slow():
            self.assertEqual(len(self.collector.timers), 2)
            await asyncio.sleep(0.05)
            return "done"

        coroutine = slow()
        self.assertEqual(self.hits(), 0)
        self.assertEqual(asyncio.run(coroutine), "done")
        self.assertEqual(self.hits(), 1)
        self.assertGreaterEqual(max(timer.elapsed or 0 for timer in self.collector.timers), 0.04)

    def test_a_generator_is_measured_to_its_end_and_takes_what_is_sent(self):
        @self.collector.timer(a="b")
        def echo():
            got = yield 1
            yield got
            return "end"

        generator = echo()
        self.assertIsInstance(generator, types.GeneratorType)
        self.assertEqual(len(self.collector.timers), 1)
        self.assertEqual(next(generator), 1)
        self.assertEqual(generator.send("x"), "x")
        self.assertEqual(self.hits(), 0)
        with self.assertRaises(StopIteration) as end:
            next(generator)
        self.assertEqual(end.exception.value, "end")
        self.assertEqual(self.hits(), 1)

    def test_an_asynchronous_generator_is_measured_to_its_end(self):
        ended = []

        @self.collector.timer(a="b")
        async def count():
            try:
                for i in range(3):
                    yield i
            finally:
                ended.append(True)

        async def run():
            all_of_it = [i async for i in count()]
            part = count()
            await part.__anext__()
            await part.aclose()
            return all_of_it

        self.assertEqual(asyncio.run(run()), [0, 1, 2])
        self.assertEqual((self.hits(), ended), (2, [True, True]))

    def test_an_asynchronous_generator_takes_what_is_sent_and_thrown(self):
        @self.collector.timer(a="b")
        async def echo():
            got = 0
            while True:
                try:
                    got = yield got
                except KeyError as error:
                    got = str(error)

        async def run():
            generator = echo()
            seen = [await generator.asend(None), await generator.asend(5)]
            seen.append(await generator.athrow(KeyError("mine")))
            with self.assertRaises(ValueError):
                await generator.athrow(ValueError())
            return seen

        self.assertEqual(asyncio.run(run()), [0, 5, "'mine'"])
        self.assertEqual(self.hits(), 1)

    def test_an_object_whose_call_is_a_coroutine_is_measured_to_its_end(self):
        class Work:
            async def __call__(self, number):
                await asyncio.sleep(0.05)
                return number

        work = self.collector.timer(a="b")(Work())
        self.assertEqual(asyncio.run(work(5)), 5)
        self.assertGreaterEqual(max(timer.elapsed or 0 for timer in self.collector.timers), 0.04)

    def test_methods_and_partial_functions_are_measured(self):
        class Shop:
            @self.collector.timer(a="b")
            def sell(self, what):
                return what

            @staticmethod
            @self.collector.timer(a="c")
            def open():
                return "open"

        self.assertEqual(Shop().sell("egg"), "egg")
        self.assertEqual(Shop.open(), "open")
        partial = self.collector.timer(a="d")(functools.partial(int, base=2))
        self.assertEqual(partial("101"), 5)
        self.assertEqual(self.hits(), 3)

    def test_a_timer_with_a_parent_of_another_kind_measures(self):
        class Parent:
            timers = set()

        work = Timer({"a": "b"}, Parent())(lambda: 5)
        self.assertEqual(work(), 5)

    def test_only_functions_are_decorated(self):
        for odd in (None, 3, "text"):
            with self.assertRaises(TypeError):
                self.collector.timer(a="b")(odd)
        with self.assertRaises(TypeError):
            self.collector.timer(a="b")()

    def test_threads_may_call_at_the_same_time(self):
        @self.collector.timer(a="b")
        def work():
            return threading.get_ident()

        threads = [threading.Thread(target=lambda: [work() for _ in range(50)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.hits(), 400)


class Collectors(unittest.TestCase):
    def test_holds_what_it_was_given(self):
        tags = {"baz": "qux"}
        collector = DataCollector("foo", "bar", "http", tags)
        self.assertIs(collector.enabled, True)
        self.assertEqual(collector.timers, set())
        self.assertEqual((collector.scriptname, collector.hostname, collector.schema), ("foo", "bar", "http"))
        self.assertEqual(collector.tags, tags)
        self.assertIsNot(collector.tags, tags)
        for name in ("elapsed", "dt_start", "document_size", "memory_peak", "memory_footprint", "status"):
            self.assertIsNone(getattr(collector, name), name)
        collector.document_size = 12
        self.assertEqual(collector.document_size, 12)
        collector.mine = "kept"
        self.assertEqual(collector.mine, "kept")

    def test_starts_and_stops_once(self):
        collector = DataCollector()
        with self.assertRaises(RuntimeError):
            collector.stop()
        self.assertIs(collector.start(), collector)
        self.assertTrue(collector.started)
        self.assertIsNone(collector.elapsed)
        with self.assertRaises(RuntimeError):
            collector.start()
        collector.stop()
        self.assertIsInstance(collector.elapsed, float)

    def test_stops_the_timers_that_run(self):
        collector = DataCollector().start()
        running, ended, never = (collector.timer(a=str(i)) for i in range(3))
        running.start()
        ended.start().stop()
        collector.stop()
        self.assertFalse(running.started)
        self.assertIsNotNone(running.elapsed)
        self.assertIsNone(never.elapsed)

    def test_knows_its_timers_until_they_are_deleted_or_flushed(self):
        collector = DataCollector()
        timer = collector.timer(foo="bar")
        clone = timer.clone()
        self.assertIs(timer.parent, collector)
        self.assertEqual(collector.timers, {timer, clone})
        timer.delete()
        timer.delete()
        self.assertEqual(collector.timers, {clone})
        self.assertIs(collector.flush(), collector)
        self.assertEqual(collector.timers, set())
        self.assertTrue(collector.started)
        Timer({}).delete()

    def test_tags_are_given_by_name(self):
        with self.assertRaises(TypeError):
            DataCollector().timer("a")
        self.assertEqual(DataCollector().timer(self="a", tags="b").tags, {"self": "a", "tags": "b"})

    def test_has_room_for_ten_thousand_timers(self):
        collector = DataCollector().start()
        timers = [collector.timer(n=i) for i in range(10_003)]
        self.assertEqual((len(collector.timers), collector.left_out), (10_000, 3))
        timers[-1].start().stop()
        clone = timers[0].clone()
        self.assertNotIn(clone, collector.timers)
        self.assertEqual((len(collector.timers), collector.left_out), (10_000, 4))
        collector.flush()
        self.assertEqual((len(collector.timers), collector.left_out), (0, 0))

    def test_that_is_over_has_no_timers_any_more(self):
        collector = DataCollector().start()
        timer = collector.timer(a="b").start()
        collector.end()
        self.assertFalse(collector.started)
        self.assertEqual(collector.timers, set())
        for later in (collector.timer(a="b"), timer.clone()):
            later.start().stop()
            self.assertEqual(collector.timers, set())
        collector.flush()
        collector.timer(a="b")
        self.assertEqual(collector.timers, set())
        collector.stop()
        collector.start().timer(a="b")
        self.assertEqual(len(collector.timers), 1)

    def test_processor_time_is_of_the_process_or_the_thread(self):
        for rusage in (0, 1):
            collector = DataCollector()
            collector.rusage = rusage
            collector.start()
            self.assertIsNone(collector.ru_utime)
            timer = Timer({}).start()
            while collector_used(collector, timer) < 0.02:
                sum(range(1000))
            collector.stop()
            self.assertGreater(collector.ru_utime + collector.ru_stime, 0)
        changed = DataCollector()
        changed.rusage = 2
        changed.start()
        changed.rusage = 0  # from the next start on
        changed.stop()
        self.assertEqual((changed.ru_utime, changed.ru_stime), (0, 0))
        elsewhere = DataCollector()
        elsewhere.rusage = 1
        thread = threading.Thread(target=elsewhere.start)
        thread.start()
        thread.join()
        elsewhere.stop()
        self.assertEqual((elsewhere.ru_utime, elsewhere.ru_stime), (0, 0))

    def test_odd_attributes_do_not_crash(self):
        collector = DataCollector().start()
        timer = collector.timer(a="b").start()
        for odd in (None, 5, [timer], frozenset([timer]), {"a": 1}):
            collector.timers = odd
            collector.timer(a="b")
            collector.flush()
            collector.stop()
            collector.start()
        del collector.timers, collector.tags
        collector.timer(a="b")
        collector.stop()
        del timer.tags, timer.parent
        timer.clone()
        timer.delete()
        repr(timer)


def collector_used(collector, timer):
    """Seconds of processor time of this thread, which both clocks see."""
    import time

    if not hasattr(collector, "began"):
        collector.began = time.thread_time()
    return time.thread_time() - collector.began


class Help(unittest.TestCase):
    def test_reads_well(self):
        import pydoc

        import pynba

        text = pydoc.render_doc(pynba, renderer=pydoc.plaintext)
        for word in (
            "Measures requests and scripts",
            "monitor(address",
            "ScriptMonitor",
            "raise_on_fail",
            "seconds",
        ):
            self.assertIn(word, text)
        self.assertIn("timer(self, /, **tags)", pydoc.render_doc(DataCollector, renderer=pydoc.plaintext))

    def test_everything_public_is_described(self):
        import pynba

        for name in pynba.__all__:
            thing = getattr(pynba, name)
            if isinstance(thing, logging.Logger):
                continue
            self.assertTrue(thing.__doc__, name)
            for member, value in vars(thing).items() if isinstance(thing, type) else ():
                if callable(value) and not member.startswith("_"):
                    self.assertTrue(value.__doc__, f"{name}.{member}")


if __name__ == "__main__":
    unittest.main()

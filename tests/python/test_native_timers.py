"""Timers and the timings of histograms in the extension module: nested, in threads and in coroutines."""

import asyncio
import contextlib
import gc
import threading
import unittest
import weakref

import native_files
from native_files import _native, values


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class TimerTests(native_files.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = Clock()
        clock = self.clock

        class Stats(_native.Model):
            timer = _native.TimerField(clock, size=3)
            steady = _native.TimerField()
            latency = _native.HistogramField()

        self.stats = self.model(Stats)
        self.timer = self.stats.timer

    def test_a_with_is_timed_from_its_beginning_to_its_end(self):
        with self.timer as scope:
            self.assertFalse(scope.done)
            self.clock.now += 1.5
            self.assertEqual(scope.elapsed, 1.5)
            self.clock.now += 0.5
        self.clock.now += 10
        self.assertTrue(scope.done)
        self.assertEqual(scope.elapsed, 2)
        self.assertEqual((self.timer.value, self.timer.last), (2, 2))
        self.assertEqual(values(self.stats.filename)["timer"], 2)

    def test_the_mean_is_of_the_last_ones(self):
        for seconds in (1, 2, 3, 4):
            with self.timer:
                self.clock.now += seconds
        self.assertEqual((self.timer.value, self.timer.last), (3, 4))

    def test_an_exception_goes_on_and_is_timed(self):
        with self.assertRaises(KeyError), self.timer:
            self.clock.now += 2
            raise KeyError
        self.assertEqual(self.timer.last, 2)

    def test_withs_may_be_nested(self):
        with self.timer as outer:
            self.clock.now += 1
            with self.timer as inner:
                self.clock.now += 2
        self.assertEqual((outer.elapsed, inner.elapsed), (3, 2))

    def test_coroutines_that_take_turns_are_timed_each_by_itself(self):
        async def work(begin, end):
            for _ in range(begin):
                await asyncio.sleep(0)
                self.clock.now += 1
            with self.timer as scope:
                started = self.clock.now
                for _ in range(end):
                    await asyncio.sleep(0)
                    self.clock.now += 1
                want = self.clock.now - started
            self.assertEqual(scope.elapsed, want)

        async def main():
            await asyncio.gather(work(0, 5), work(1, 1), work(2, 7), work(0, 2))

        asyncio.run(main())

    def test_threads_are_timed_each_by_itself(self):
        step = threading.Barrier(2, timeout=60)
        elapsed = {}

        def first():
            self.timer.start()
            with self.timer as scope:
                step.wait()  # the second one has begun
                step.wait()  # and has ended
            elapsed["first"] = scope.elapsed, self.timer.stop()

        def second():
            step.wait()
            self.clock.now += 1
            self.timer.start()
            with self.timer as scope:
                self.clock.now += 2
            elapsed["second"] = scope.elapsed, self.timer.stop()
            step.wait()

        threads = [threading.Thread(target=target) for target in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(elapsed, {"first": (3, 3), "second": (2, 2)})

    def test_the_methods_can_be_called_by_hand(self):
        scope = self.timer.__enter__()
        self.clock.now += 1
        with self.timer:
            self.clock.now += 1
        self.timer.__exit__(None, None, None)
        self.assertEqual(scope.elapsed, 2)
        with contextlib.ExitStack() as stack:
            scope = stack.enter_context(self.timer)
            self.clock.now += 4
        self.assertEqual(scope.elapsed, 4)
        scope = _native.Timer.__enter__(self.timer)
        _native.Timer.__exit__(self.timer, None, None, None)
        self.assertTrue(scope.done)

    def test_what_did_not_begin_cannot_end(self):
        with self.assertRaises(RuntimeError):
            self.timer.__exit__(None, None, None)
        with self.assertRaises(RuntimeError):
            self.timer.stop()
        self.assertTrue(hasattr(self.timer, "__enter__"))
        with self.timer:
            self.clock.now += 1
        self.assertEqual(self.timer.last, 1)
        enter = self.timer.__enter__
        enter()
        with self.assertRaises(RuntimeError):
            enter()
        for wrong in ((1,), (1, 2), (1, 2, 3, 4)):
            with self.assertRaises(TypeError):
                enter(*wrong)
        for call in (lambda: _native.Timer.__enter__(5), lambda: _native.Timer.__exit__(self.timer),
                     lambda: _native.Timer.__enter__(), lambda: enter(a=1)):
            with self.assertRaises(TypeError):
                call()

    def test_start_and_stop(self):
        self.timer.start()
        self.clock.now += 2
        self.assertEqual(self.timer.last, 2)
        self.timer.start()
        self.clock.now += 1
        self.assertEqual(self.timer.stop(), 1)
        self.assertEqual((self.timer.last, self.timer.value), (1, 1))

    def test_a_timing_of_its_own_can_be_stopped_once_and_cancelled(self):
        scope = self.timer.time()
        self.clock.now += 3
        self.assertEqual((scope.stop(), scope.stop()), (3, 3))
        scope.cancel()
        with self.timer.time() as scope:
            scope.cancel()
            scope.cancel()
        with self.timer as scope:
            self.clock.now += 7
            scope.cancel()
        self.assertEqual((self.timer.last, scope.elapsed), (3, 7))
        self.timer.add(5)
        self.assertEqual(self.timer.last, 5)

    def test_errors_of_the_clock_go_to_the_caller_and_nothing_is_added(self):
        def broken():
            raise LookupError("no time")

        for clock, error in ((broken, LookupError), (lambda: "now", TypeError), (lambda x: 1.0, TypeError)):
            timer = self.stats.add(_native.TimerField(clock), "broken")
            for call in (timer.start, timer.time, timer.__enter__):
                with self.assertRaises(error):
                    call()
            with self.assertRaises(error), timer:
                self.fail("it began")
            self.assertEqual(timer.value, 0)
        with self.assertRaises(TypeError):
            _native.TimerField(5)

    def test_an_error_of_the_clock_at_the_end_goes_to_the_caller(self):
        times = iter([1.0])
        timer = self.stats.add(_native.TimerField(lambda: next(times)), "short")
        with self.assertRaises(StopIteration), timer:
            pass
        self.assertEqual(timer.value, 0)

    def test_a_clock_may_use_the_timer_and_its_own_scope(self):
        scopes = []

        def clock():
            if len(scopes) == 1 and not scopes[0].done:
                scope, = scopes
                scopes.append(None)
                scope.stop()
            return 1.0

        timer = self.stats.add(_native.TimerField(clock), "within")
        scopes.append(timer.time())
        scopes[0].stop()
        self.assertTrue(scopes[0].done)

    def test_without_a_clock_it_is_one_that_never_steps(self):
        with self.stats.steady as scope:
            pass
        self.assertGreaterEqual(scope.elapsed, 0)
        self.assertLess(scope.elapsed, 600)
        self.assertEqual(self.stats.steady.last, scope.elapsed)
        self.assertEqual(_native.TimerField().unit, "seconds")

    def test_a_histogram_is_timed_in_the_same_ways(self):
        with self.stats.latency as scope:
            pass
        self.stats.latency.time().stop()
        self.assertEqual(self.stats.latency.count, 2)
        self.assertGreaterEqual(scope.elapsed, 0)

    def test_a_timer_in_a_cycle_is_collected(self):
        class Cyclic:
            def __call__(self):
                return 1.0

        clock = Cyclic()
        clock.stats = self.model(type("Stats", (_native.Model,), {"timer": _native.TimerField(clock)}), filename="c")
        clock.timer = clock.stats.timer
        clock.scope = clock.timer.__enter__()  # never ended
        clock.timer.start()
        gone = weakref.ref(clock)
        del clock
        gc.collect()
        self.assertIsNone(gone())

    def test_scopes_outlive_their_timer_and_model(self):
        scope = self.stats.timer.time()
        del self.stats, self.timer
        gc.collect()
        self.clock.now += 1
        self.assertEqual(scope.stop(), 1)


if __name__ == "__main__":
    unittest.main()

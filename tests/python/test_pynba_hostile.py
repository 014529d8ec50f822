"""What programs hand to pynba may do anything at any time, and cannot break the process."""

import signal
import sys
import traceback
import unittest
from unittest import mock

import pynba_served
from pynba_served import packet_of, run_script
from pynba import _native
from pynba.core import logger

NOTHING = (None,) * 12  # of the arguments of a report, all but the tags

# A thread runs act(), in which Python code waits in slow() until the interpreter ends and wants no thread
# back. What ends with the modules lets it go then, and waits until it has come to rest, or is gone.
ENDING = """
import os, sys, threading, time
from pynba import _native

inside = threading.Event()
waits, lets_go = os.pipe()

def slow(*_):
    inside.set()
    os.read(waits, 1)
    return ()

class Keys:
    keys = slow

class Index:
    def __getattr__(self, name):
        return slow()
    __float__ = __int__ = __str__ = __iter__ = slow
    __repr__ = slow

class Set(set):
    __iter__ = slow

class Dying:
    __del__ = slow

class End:
    def __del__(self, write=os.write, open=os.open, read=os.read, clock=time.monotonic, sleep=time.sleep):
        def rests():
            try:
                file = open(state, 0)
            except OSError:  # the thread is gone
                return True
            text = read(file, 4096)
            return text[text.rindex(b")") + 2:][:1] == b"S"
        write(lets_go, b"x")
        sleep(0.002)  # as long as the thread needs the interpreter: nobody has it meanwhile
        deadline = clock() + 20
        while not rests() and clock() < deadline:
            sleep(0.002)

report = (None,) * 12
client = _native.Client(["127.0.0.1:%d" % PORT], slow)

def tell():
    while not inside.is_set():
        client.report(*report, None)

def replace():
    collector = _native.Collector(Dying())
    collector.__init__()

def timer(**attributes):
    made = _native.Timer({})
    for name, value in attributes.items():
        setattr(made, name, value)
    return made

def stop():
    collector = _native.Collector()
    collector.timers = Set()
    collector.start().stop()

def current():
    _native.current.set(Index())
    _native.Proxy().timer(a=1)

def act():
    held = [object()]  # so that something has to be let go
    WHAT

def run():
    global state
    state = f"/proc/self/task/{threading.get_native_id()}/stat"
    act()

threading.Thread(target=run, daemon=True).start()
assert inside.wait(60)
sys.modules["the end"] = End()
"""


@unittest.skipUnless(sys.platform == "linux", "the end of a thread is seen in /proc")
class Ends(unittest.TestCase):
    def test_of_the_interpreter_stop_no_thread_in_the_middle_of_native_code(self):
        for what in (
            '_native.flattener({"a": slow})',
            '_native.flattener({"a": {"b": [slow]}})',
            '_native.flattener({"a": Index()})',
            '_native.flattener({Index(): 1})',
            '_native.encode(*report, {"a": slow})',
            'client.report(*report, {"a": slow})',
            "client.report(Index(), *report)",
            "client.report(*report[:3], Index(), *report[:9])",
            "client.report(*report[:4], Index(), *report[:8])",
            "client.report(*report[:4], [Index()], *report[:8])",
            "client.report(*report[:7], Index(), *report[:5])",
            "tell()",
            "replace()",
            "stop()",
            "current()",
            "_native.Timer(Keys())",
            "_native.Collector(tags=Keys())",
            "timer(tags=Keys()).clone()",
            "timer(parent=Index()).delete()",
            "timer(parent=Index()).clone()",
            "repr(timer(tags=Index()).start())",
            "next(_native.Body(Index(), None, Index()))",
            "_native.Body(Index(), None, []).close()",
            "_native.Body(Index(), None, Index()).close()",
        ):
            with self.subTest(what=what), pynba_served.no_server() as port:
                run_script(ENDING.replace("WHAT", what).replace("PORT", str(port)))


class Replacements(unittest.TestCase):
    """Of what a call works with, while it does."""

    def run_alive(self, text):
        script = "from pynba import _native\n" + text + '\nprint("alive")'
        self.assertEqual(run_script(script).stdout, "alive\n")

    def test_of_a_collectors_timers_while_it_stops(self):
        self.run_alive("""
class Odd(set):
    def __iter__(self):
        collector.timers = None
        return iter(())
    def __len__(self):
        assert not gone
        return 0
    def __del__(self):
        gone.append(True)

gone = []

collector = _native.Collector()
collector.timers = Odd()
collector.start().stop()
""")

    def test_of_a_timers_tags_while_it_is_cloned(self):
        self.run_alive("""
class Other:
    __slots__ = ()

class Odd:
    __slots__ = ()
    def keys(self):
        del timer.tags
        self = None
        self = [object.__new__(Other) for _ in range(100)]
        return ["a"]
    def __getitem__(self, name):
        return 1

timer = _native.Timer({})
timer.tags = Odd()
assert timer.clone().tags == {"a": 1}
""")

    def test_of_a_timers_parent_while_its_timers_are_asked_for(self):
        for call in ("delete", "clone"):
            self.run_alive(f"""
class Odd:
    def __getattribute__(self, name):
        timer.parent = None
        del self
        raise AttributeError(name)
    def __getattr__(self, name):
        assert not gone
        return set()
    def __del__(self):
        gone.append(True)

gone = []
timer = _native.Timer({{}})
timer.parent = Odd()
timer.{call}()
""")


class Endless(unittest.TestCase):
    """What never ends is left out and told of; the rest is sent."""

    def test_tags_are_left_out(self):
        for value in (
            "itertools.repeat(())",
            "itertools.repeat([])",
            "itertools.repeat({})",
            "[itertools.repeat({})]",
            '{"b": itertools.repeat([])}',
            "lambda: itertools.repeat([])",
            "functools.reduce(lambda inner, _: [inner] * 100, range(12), [])",
            "Items()",
        ):
            result = run_script(
                """
                import functools, itertools, logging, sys
                from pynba import _native
                class Items(dict):
                    def items(self):
                        return itertools.repeat(("c", []))
                logging.basicConfig(format="%(message)s", stream=sys.stdout)
                print(_native.flattener({"before": 1, "a": VALUE}))
                """.replace("VALUE", value)
            )
            with self.subTest(value=value):
                self.assertIn("tag a: left out of a packet", result.stdout)
                self.assertIn("ValueError: more than 10000 elements", result.stdout)
                self.assertIn("\n[('before', '1')]\n", result.stdout)

    def test_items_are_left_out(self):
        for item in ('("a", [])', '("a", 1)'):
            result = run_script(
                """
                import itertools, logging, sys
                from pynba import _native
                class Tags(dict):
                    def items(self):
                        return itertools.chain([("before", 1)], itertools.repeat(ITEM))
                logging.basicConfig(format="%(message)s", stream=sys.stdout)
                print(_native.flattener(Tags())[-1])
                """.replace("ITEM", item)
            )
            with self.subTest(item=item):
                self.assertIn("tags: left out of a packet", result.stdout)
                self.assertIn("\n('before', '1')\n", result.stdout)

    def test_timers_are_left_out(self):
        result = run_script(
            """
            import itertools, logging, sys
            from pynba import _native
            logging.basicConfig(format="%(message)s", stream=sys.stdout)
            timer = _native.Timer({"a": "b"}).start().stop()
            print(len(_native.encode(*[None] * 4, itertools.repeat(timer), *[None] * 8)) > 1000)
            """
        )
        self.assertIn("timers: left out of a packet", result.stdout)
        self.assertIn("\nTrue\n", result.stdout)

    def test_is_not_what_is_long(self):
        tags = {"a": [[]] * 9_000, "b": list(range(900))}
        self.assertEqual(len(_native.flattener(tags)), 900)

    def test_a_count_begins_anew_with_each_set(self):
        timers = [pynba_served.ran({"a": [[]] * 9_000, "b": str(i)}) for i in range(5)]
        self.assertEqual(len(packet_of(timers).timers), 5)


class Interrupts(unittest.TestCase):
    def report_until_told(self, client):
        pynba_served.daemons.wait_until(lambda: client.report(*NOTHING, None) and None, "news")

    def test_while_something_is_told_are_raised(self):
        for kind in (KeyboardInterrupt, SystemExit):
            with pynba_served.no_server() as port:
                client = _native.Client([f"127.0.0.1:{port}"], mock.Mock(side_effect=[kind, None, None]))
                with self.assertRaises(kind):
                    self.report_until_told(client)
                self.assertTrue(client.report(*NOTHING, None))

    def test_are_raised_but_other_errors_of_the_logger_are_not(self):
        log = mock.Mock(side_effect=KeyError("mine"))
        with pynba_served.no_server() as port, mock.patch.object(sys, "unraisablehook") as hook:
            client = _native.Client([f"127.0.0.1:{port}"], log)
            pynba_served.daemons.wait_until(
                lambda: client.report(*NOTHING, None) and log.call_count, "something to tell"
            )
            del client
        self.assertEqual({call.args[0].exc_type for call in hook.call_args_list}, {KeyError})

    def test_while_a_client_ends_are_nobodys(self):
        log = mock.Mock(side_effect=KeyboardInterrupt)
        with pynba_served.no_server() as port, mock.patch.object(sys, "unraisablehook") as hook:

            def is_told():
                _native.Client([f"127.0.0.1:{port}"], log).report(*NOTHING, None)
                return log.call_count

            pynba_served.daemons.wait_until(is_told, "something to tell")
        self.assertEqual(hook.call_args.args[0].exc_type, KeyboardInterrupt)

    def test_while_a_body_fails_are_raised_and_its_error_otherwise(self):
        class Failing:
            def __iter__(self):
                raise ValueError("the application's")

            close = __iter__

        for raised in (KeyboardInterrupt, SystemExit, KeyError):
            expected = ValueError if raised is KeyError else raised
            call = mock.Mock(failed=mock.Mock(side_effect=raised), end=mock.Mock(side_effect=raised))
            body = _native.Body(call, None, Failing())
            with self.assertRaises(expected):
                next(body)
            with mock.patch.object(sys, "unraisablehook"):
                try:
                    body.close()
                    self.fail("nothing was raised")
                except expected as error:
                    if expected is ValueError:
                        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
                        self.assertEqual(names[1:], ["__iter__"])

    def test_end_a_flush(self):
        result = run_script(
            """
            import signal
            from pynba import _native
            def handler(*_):
                raise KeyboardInterrupt
            signal.signal(signal.SIGALRM, handler)
            client = _native.Client(["no-such-host.invalid"], str)
            client.report(*[None] * 13)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.2)
                client.flush(3600)
            except KeyboardInterrupt:
                print("interrupted", client.counts()["queued"])
            """
        )
        self.assertEqual(result.stdout, "interrupted 1\n")

    def test_that_nobody_raises_for_let_a_flush_go_on(self):
        calls = []
        before = signal.signal(signal.SIGALRM, lambda *_: calls.append(1))
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        client = _native.Client(["no-such-host.invalid"], str)
        client.report(*NOTHING, None)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        self.assertFalse(client.flush(0.3))
        self.assertEqual(calls, [1])


class Names(unittest.TestCase):
    def test_that_are_no_texts_are_told_of(self):
        for name, told in ((b"\xff", "tag \\xff: "), ("a\0b", "tag a\0b: "), ("\udc80", "tag \\udc80: "),
                           ("\u00e9", "tag \u00e9: ")):  # fmt: skip
            with self.subTest(name=name), self.assertLogs(logger) as log:
                self.assertEqual(_native.flattener({name: lambda: 1 // 0}), [])
                self.assertTrue(log.records[0].getMessage().startswith(told), log.output)


if __name__ == "__main__":
    unittest.main()

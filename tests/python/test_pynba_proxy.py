"""The proxy to the current request, and requests as contexts."""

import unittest

import pynba_served
from pynba_served import PinbaServer, hello, serve
from pynba import stacked
from pynba.core import DataCollector, logger
from pynba.stacked import LOCAL_STACK, LocalProxy
from pynba.wsgi import PynbaMiddleware, RequestContext, pynba


class Proxy(unittest.TestCase):
    def test_outside_of_a_request_is_disabled_and_raises(self):
        self.assertIs(pynba.enabled, False)
        for name in ("scriptname", "timers", "tags", "elapsed", "stop", "flush", "document_size"):
            with self.assertRaises(RuntimeError, msg=name):
                getattr(pynba, name)
            with self.assertRaises(RuntimeError, msg=name):
                setattr(pynba, name, 1)
            with self.assertRaises(RuntimeError, msg=name):
                delattr(pynba, name)
        self.assertFalse(hasattr(pynba, "scriptname"))
        self.assertIn("outside", repr(pynba))

    def test_outside_of_a_request_gives_a_decorator(self):
        @pynba.timer(where="global", many=[1, 2])
        def work(number):
            """Doubles."""
            return 2 * number

        self.assertEqual((work.__name__, work.__doc__), ("work", "Doubles."))
        with self.assertRaises(RuntimeError):
            work(1)
        for misuse in (lambda: pynba.timer(a="b").start(), lambda: pynba.timer(a="b").__enter__()):
            with self.assertRaises(RuntimeError):
                misuse()
        with self.assertRaises(TypeError):
            pynba.timer("positional")

        def app(environ, start_response):
            work(work(1))
            return hello(environ, start_response)

        with PinbaServer() as server:
            wrapped = PynbaMiddleware(app, server.pair)
            serve(wrapped)
            serve(wrapped)
            for packet in server.wait(2):
                self.assertEqual(len(packet.timers), 2)
                self.assertEqual(packet.timers[0].tags, (("many", "1"), ("many", "2"), ("where", "global")))

    def test_is_the_collector_within_a_request(self):
        def nothing(*_, **__):
            pass

        with RequestContext(nothing, {}) as context:
            self.assertTrue(pynba.enabled)
            timer = pynba.timer(foo="bar")
            self.assertIn(timer, pynba.timers)
            self.assertIs(timer.parent, context.pynba)
            many = {f"t{i}": i for i in range(20)}
            self.assertEqual(pynba.timer(**many).tags, many)
            pynba.mine = 5
            self.assertEqual(context.pynba.mine, 5)
            del pynba.mine
            with self.assertRaises(AttributeError):
                pynba.mine
        self.assertIs(pynba.enabled, False)

    def test_warns_once_of_names_that_are_not_sent(self):
        def nothing(*_, **__):
            pass

        stacked._checked.clear()
        with RequestContext(nothing, {}) as context, self.assertLogs(logger, "WARNING") as told:
            for _ in range(2):
                pynba.script_name = "x"
                pynba.DocumentSize = 5
                pynba.user = pynba.scriptname = "mine"
            self.assertEqual(context.pynba.script_name, "x")
        self.assertEqual(
            [line.partition("pynba:")[2] for line in told.output],
            [
                "pynba.script_name is not sent; is pynba.scriptname meant?",
                "pynba.DocumentSize is not sent; is pynba.document_size meant?",
            ],
        )

    def test_takes_whatever_is_current(self):
        import contextlib

        class Other:
            @contextlib.contextmanager
            def timer(self, **tags):
                seen.append(tags)
                yield

        @LocalProxy(enabled=False).timer(foo="bar")
        def work():
            return "done"

        seen = []
        LOCAL_STACK.pynba = Other()
        try:
            self.assertEqual(work(), "done")
        finally:
            del LOCAL_STACK.pynba
        self.assertEqual(seen, [{"foo": "bar"}])

    def test_of_a_module_imported_in_a_request_measures_later_requests_too(self):
        made = []

        def app(environ, start_response):
            if not made:
                made.append(pynba.timer(late="import")(lambda: "done"))
            made[0]()
            return hello(environ, start_response)

        with PinbaServer() as server:
            wrapped = PynbaMiddleware(app, server.pair)
            serve(wrapped)
            serve(wrapped)
            for packet in server.wait(2):
                self.assertEqual(packet.timer(late="import").hits, 1)


class Contexts(unittest.TestCase):
    def test_know_their_names(self):
        self.assertEqual(RequestContext(print, {}).scriptname, "")
        self.assertEqual(RequestContext(print, {}, prefix="foo").scriptname, "foo")
        environ = {"PATH_INFO": "/x", "SERVER_NAME": "srv"}
        context = RequestContext(print, environ, prefix="foo", tags={"a": 1})
        self.assertEqual((context.scriptname, context.hostname, context.tags), ("foo/x", "srv", {"a": 1}))
        for host, want in (("[::1]:80", "[::1]"), ("a:80", "a"), ("a", "a"), ("", "srv"), (None, "srv")):
            context = RequestContext(print, {"HTTP_HOST": host, "SERVER_NAME": "srv"})
            self.assertEqual(context.servername, want)

    def test_are_current_from_push_to_pop(self):
        context = RequestContext(print, {})
        self.assertIsNone(context.pynba)
        context.push()
        self.assertIs(LOCAL_STACK.pynba, context.pynba)
        self.assertIsInstance(context.pynba, DataCollector)
        context.pop()
        self.assertIsNone(context.pynba)
        self.assertIsNone(LOCAL_STACK.pynba)
        context.flush()
        context.pop()

    def test_call_a_reporter_as_the_original_did(self):
        calls = []

        def reporter(*names, **more):
            calls.append((names, more))

        with RequestContext(reporter, pynba_served.environ(), prefix="p", tags={"a": "b"}) as context:
            timer = pynba.timer(foo="bar").start()
            pynba.timer(never="ran")
            context.flush()
        ((servername, hostname, scriptname, elapsed, timers), more), _ = calls
        self.assertEqual((servername, hostname, scriptname), ("shop.example.com", "web1", "p/cart"))
        self.assertEqual((timers, more["tags"], more["schema"]), ([timer], {"a": "b"}, "https"))
        self.assertGreater(elapsed, 0)

    def test_of_the_application_itself_are_used(self):
        class Mine(RequestContext):
            @property
            def scriptname(self):
                return "mine"

        class Foreign:
            def __init__(self, reporter, environ, **config):
                self.reporter = reporter

            def __enter__(self):
                self.reporter("foreign")

            def __exit__(self, *_):
                pass

        with PinbaServer() as server:
            serve(PynbaMiddleware(hello, server.pair, ctx_factory=Mine))
            self.assertEqual(server.one().script_name, "mine")
        told = []
        self.assertEqual(serve(PynbaMiddleware(hello, None, told.append, Foreign)).body, b"hello world")
        self.assertEqual(told, ["foreign"])


if __name__ == "__main__":
    unittest.main()

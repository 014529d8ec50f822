"""What goes wrong in pynba is logged, and never reaches the application."""

import unittest
from unittest import mock

import pynba_served
from pynba_served import PinbaServer, call, hello, serve
from pynba.core import logger
from pynba.stacked import LOCAL_STACK
from pynba.wsgi import PynbaMiddleware, RequestContext


class Own(RequestContext):
    pass


class Failures(unittest.TestCase):
    def test_never_reach_the_application(self):
        def broken(*_, **__):
            raise KeyError("mine")

        class Broken(RequestContext):
            def push(self):
                raise KeyError("mine")

        class Late(RequestContext):
            def push(self):
                super().push()
                raise KeyError("mine")

        for config in (
            {"reporter": broken},
            {"ctx_factory": broken},
            {"ctx_factory": Broken},
            {"ctx_factory": Late},
            {"route": broken},
            {"prefix": object()},
        ):
            with self.subTest(config=config), self.assertLogs(logger), pynba_served.no_server() as port:
                logger.warning("one at least")
                wrapped = PynbaMiddleware(hello, ("127.0.0.1", port), **config)
                self.assertEqual(serve(wrapped).body, b"hello world")
            self.assertIsNone(LOCAL_STACK.pynba)

    def test_of_options_are_told_once_and_not_used(self):
        with PinbaServer() as server:
            for count, (config, want) in enumerate(
                (
                    ({"rusage": "nobody's"}, "rusage is 'process', 'thread' or 'none', not \"nobody's\""),
                    ({"rusage": "", "ctx_factory": Own}, "rusage is "),
                    ({"tags": 5}, "tags: not used, as they are no mapping: 5"),
                    ({"route": "/fixed"}, "route: not used, as it is no function: '/fixed'"),
                    ({"prefx": "/shop", "tag": {}}, "not used: prefx, tag; options are classic, .* tags, "),
                ),
                1,
            ):
                with self.subTest(config=config):
                    with self.assertRaisesRegex((TypeError, ValueError), want):
                        PynbaMiddleware(hello, server.pair, raise_on_fail=True, **config)
                    with self.assertLogs(logger, "ERROR") as told:
                        wrapped = PynbaMiddleware(hello, server.pair, **config)
                        serve(wrapped)
                    self.assertEqual(len(told.output), 1)
                    self.assertRegex(told.output[0], want)
                    self.assertEqual(server.wait(count)[-1].script_name, "/cart")
            with self.assertLogs(logger, "ERROR") as told:
                PynbaMiddleware(hello, server.pair, print, linger=5)
            self.assertIn("not used: linger;", told.output[0])

    def test_of_options_are_none_if_they_are_of_the_applications_own_kind(self):
        with PinbaServer() as server, self.assertNoLogs(logger):
            serve(PynbaMiddleware(hello, server.pair, ctx_factory=Own, mine=5))
            serve(PynbaMiddleware(hello, server.pair, tags=[("a", "b")], rusage=None, route=None, prefix="p"))
            tags = {"a": "b"}
            later = PynbaMiddleware(hello, server.pair, tags=tags)
            tags["c"] = "d"
            serve(later)
            self.assertEqual(
                [packet.tags for packet in server.wait(3)], [(), (("a", "b"),), (("a", "b"), ("c", "d"))]
            )

    def test_are_raised_where_that_is_wanted(self):
        def broken(*_, **__):
            raise KeyError("mine")

        broken.raise_on_fail = True
        with self.assertRaises(KeyError):
            serve(PynbaMiddleware(hello, None, broken))
        with self.assertRaises(ValueError):
            PynbaMiddleware(hello, "", raise_on_fail=True)

    def test_of_odd_addresses_are_told_and_nothing_is_sent(self):
        for address in ("", None, 5, (), ("a b", 1), ("host", -1), ("h", 70000), object(),
                        ["a", "a"], "a,,b:x", ("h", "x"), ("h", "30002x")):  # fmt: skip
            with self.subTest(address=address):
                with self.assertLogs(logger, "ERROR"):
                    wrapped = PynbaMiddleware(hello, address)
                self.assertEqual(serve(wrapped).body, b"hello world")
                wrapped.reporter.raise_on_fail = True
                with self.assertRaises(OSError):
                    serve(wrapped)

    def test_of_the_application_stay_its_own(self):
        for odd in (None, 5, object()):

            def app(environ, start_response, odd=odd):
                return odd

            with pynba_served.no_server() as port:
                result = PynbaMiddleware(app, ("127.0.0.1", port))(pynba_served.environ(), None)
            if odd is None:
                self.assertIsNone(result)
            else:
                with self.assertRaises(TypeError):
                    list(result)

        def odd_chunks(environ, start_response):
            start_response(None, None)
            return [5, None, "text"]

        with pynba_served.no_server() as port:
            answer = call(PynbaMiddleware(odd_chunks, ("127.0.0.1", port)))
            self.assertEqual(answer.chunks(), [5, None, "text"])

    def test_of_a_server_that_is_gone_are_told_and_cost_nothing(self):
        with pynba_served.no_server() as port, self.assertLogs(logger, "WARNING") as told:
            wrapped = PynbaMiddleware(hello, ("127.0.0.1", port))
            for _ in range(50):
                serve(wrapped)
            pynba_served.daemons.wait_until(
                lambda: wrapped.reporter.flush(0) and wrapped.reporter.counts["refused"], "refused packets"
            )
            serve(wrapped)
        self.assertTrue(any("came back" in line for line in told.output), told.output)

    def test_are_few_in_the_log(self):
        def fails():
            raise KeyError("mine")

        with PinbaServer() as server, mock.patch.object(logger, "warning") as told:
            wrapped = PynbaMiddleware(hello, server.pair, tags={f"rare {id(self)}": fails})
            for _ in range(100):
                serve(wrapped)
            self.assertLess(told.call_count, 10)
            self.assertEqual(len(server.wait(100)[0].tags), 0)


if __name__ == "__main__":
    unittest.main()

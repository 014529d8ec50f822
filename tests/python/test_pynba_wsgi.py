"""Applications of WSGI behind the middleware: what a Pinba server gets of their requests."""

import contextvars
import gc
import sys
import threading
import unittest

import pynba_served
from pynba_served import PinbaServer, call, hello, serve
from pynba.core import Reporter
from pynba.stacked import LOCAL_STACK
from pynba.wsgi import PynbaMiddleware, monitor, pynba


class Requests(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(PinbaServer())

    def packet_of(self, app, path="/cart", config=None, **environ):
        serve(PynbaMiddleware(app, self.server.pair, **(config or {})), path, **environ)
        return self.server.one()

    def test_are_sent_with_their_names(self):
        packet = self.packet_of(hello, config={"prefix": "shop:", "tags": {"app": "shop"}})
        self.assertEqual(packet.script_name, "shop:/cart")
        self.assertEqual((packet.hostname, packet.server_name), ("web1", "shop.example.com"))
        self.assertEqual((packet.schema, packet.tags), ("https", (("app", "shop"),)))
        self.assertEqual((packet.status, packet.document_size), (200, len("hello world")))
        self.assertGreater(packet.request_time, 0)

    def test_have_the_names_that_they_are_told_to(self):
        def app(environ, start_response):
            self.assertEqual((pynba.scriptname, pynba.hostname, pynba.schema), ("/cart", "web1", "https"))
            pynba.scriptname = "[x]" + pynba.scriptname
            pynba.hostname, pynba.servername, pynba.schema = "host", "srv", "spdy"
            pynba.document_size, pynba.memory_peak, pynba.memory_footprint = 7, 8, 9
            pynba.tags["user"] = ["guest", "new"]
            return hello(environ, start_response)

        packet = self.packet_of(app, config={"prefix": "shop", "tags": {"app": "shop"}})
        self.assertEqual(packet.script_name, "shop[x]/cart")
        self.assertEqual((packet.hostname, packet.server_name, packet.schema), ("host", "srv", "spdy"))
        self.assertEqual((packet.document_size, packet.memory_peak, packet.memory_footprint), (7, 8, 9))
        self.assertEqual(packet.tags, (("app", "shop"), ("user", "guest"), ("user", "new")))

    def test_of_one_request_are_not_tagged_by_another(self):
        tags = {"app": "shop"}

        def app(environ, start_response):
            pynba.tags["path"] = environ["PATH_INFO"]
            return hello(environ, start_response)

        wrapped = PynbaMiddleware(app, self.server.pair, tags=tags)
        serve(wrapped, "/a")
        serve(wrapped, "/b")
        first, second = self.server.wait(2)
        self.assertEqual((first.tags[1], second.tags[1]), (("path", "/a"), ("path", "/b")))
        self.assertEqual(tags, {"app": "shop"})

    def test_have_a_path_that_is_text(self):
        def app(environ, start_response):
            self.assertEqual(pynba.scriptname, "/grüße")
            return hello(environ, start_response)

        self.assertEqual(self.packet_of(app, "/grüße").script_name, "/grüße")

    def test_have_the_real_status(self):
        for status, want in (("404 Not Found", 404), ("204 No Content", 204), ("599 Mine", 599)):

            def app(environ, start_response, status=status):
                start_response(status, [])
                return []

            serve(PynbaMiddleware(app, self.server.pair))
            self.server.wait(1 + [404, 204, 599].index(want))
            self.assertEqual(self.server.packets()[-1].status, want)

    def test_have_status_500_if_the_application_raises(self):
        def app(environ, start_response):
            with pynba.timer(a="b"):
                raise KeyError("mine")

        with self.assertRaises(KeyError):
            call(PynbaMiddleware(app, self.server.pair))
        packet = self.server.one()
        self.assertEqual((packet.status, packet.timer(a="b").hits), (500, 1))
        self.assertIsNone(LOCAL_STACK.pynba)

    def test_have_a_status_that_is_answered_late_or_again(self):
        def app(environ, start_response):
            try:
                start_response("200 OK", [])
                raise KeyError
            except KeyError:
                start_response("503 Busy", [], sys.exc_info())
            yield b"busy"

        self.assertEqual(self.packet_of(app).status, 503)

    def test_have_the_bytes_that_were_written(self):
        def app(environ, start_response):
            write = start_response("200 OK", [])
            write(b"abc")
            return [b"de"]

        self.assertEqual(self.packet_of(app).document_size, 5)

    def test_of_head_have_no_bytes(self):
        self.assertEqual(self.packet_of(hello, REQUEST_METHOD="HEAD").document_size, 0)

    def test_are_not_sent_if_disabled(self):
        def app(environ, start_response):
            pynba.enabled = environ["PATH_INFO"] != "/favicon.ico"
            return hello(environ, start_response)

        wrapped = PynbaMiddleware(app, self.server.pair)
        serve(wrapped, "/favicon.ico")
        serve(wrapped, "/cart")
        self.assertEqual(self.server.one().script_name, "/cart")

    def test_count_those_before_them(self):
        wrapped = PynbaMiddleware(hello, self.server.pair)
        for _ in range(3):
            serve(wrapped)
        self.assertEqual([packet.request_count for packet in self.server.wait(3)], [0, 1, 2])

    def test_are_sent_at_once_by_a_flush_within_and_start_over(self):
        def app(environ, start_response):
            with pynba.timer(part="1"):
                pass
            pynba.flush()
            with pynba.timer(part="2"):
                pass
            return hello(environ, start_response)

        serve(PynbaMiddleware(app, self.server.pair))
        first, second = self.server.wait(2)
        self.assertEqual([timer.tags for timer in first.timers], [(("part", "1"),)])
        self.assertEqual([timer.tags for timer in second.timers], [(("part", "2"),)])

    def test_may_be_stopped_early(self):
        def app(environ, start_response):
            timer = pynba.timer(a="b").start()
            pynba.stop()
            self.assertFalse(timer.started)
            self.assertIsNotNone(pynba.elapsed)
            return hello(environ, start_response)

        packet = self.packet_of(app)
        self.assertEqual(packet.timer(a="b").hits, 1)

    def test_go_to_several_servers(self):
        with PinbaServer() as other:
            serve(PynbaMiddleware(hello, [self.server.pair, other.address]))
            self.assertEqual(self.server.one().script_name, "/cart")
            self.assertEqual(other.one().script_name, "/cart")

    def test_have_processor_time(self):
        def app(environ, start_response):
            import time

            end = time.thread_time() + 0.05
            while time.thread_time() < end:
                sum(range(1000))
            return hello(environ, start_response)

        for i, rusage in enumerate(("thread", "process", "none")):
            serve(PynbaMiddleware(app, self.server.pair, rusage=rusage))
            packet = self.server.wait(i + 1)[i]
            used = packet.ru_utime + packet.ru_stime
            self.assertEqual(used > 0.02, rusage != "none", rusage)

    def test_with_many_timers_go_in_several_datagrams(self):
        def app(environ, start_response):
            for i in range(1000):
                with pynba.timer(number=i, group="many"):
                    pass
            return hello(environ, start_response)

        serve(PynbaMiddleware(app, self.server.pair))
        pynba_served.daemons.wait_until(lambda: self.server.hits(group="many") == 1000, "all timers")

    def test_of_middleware_within_middleware_are_each_sent(self):
        inner = PynbaMiddleware(hello, self.server.pair, prefix="in")
        serve(PynbaMiddleware(inner, self.server.pair, prefix="out"))
        self.assertEqual({packet.script_name for packet in self.server.wait(2)}, {"in/cart", "out/cart"})


class Memory(unittest.TestCase):
    def test_of_requests_is_given_back_without_the_garbage_collector(self):
        def streamed(environ, start_response):
            with pynba.timer(a=["b", 1], c=lambda: "d"):
                yield from hello(environ, start_response)

        def named(environ, start_response):
            pynba.timer(a="b")(lambda: None)
            pynba.tags["user"] = 5
            return hello(environ, start_response)

        with pynba_served.no_server() as port:
            for app in (hello, streamed, named):
                with self.subTest(app=app.__name__):
                    wrapped = PynbaMiddleware(app, ("127.0.0.1", port), tags={"t": "u"}, route=lambda _: "/x")
                    gc.collect()
                    gc.disable()
                    try:
                        for _ in range(50):
                            serve(wrapped)
                        before = sys.getallocatedblocks()
                        for _ in range(300):
                            serve(wrapped)
                        self.assertLess(sys.getallocatedblocks() - before, 100)
                    finally:
                        gc.enable()


class Threads(unittest.TestCase):
    def test_serve_at_the_same_time_and_keep_their_requests_apart(self):
        inside = threading.Barrier(8)

        def app(environ, start_response):
            with pynba.timer(path=environ["PATH_INFO"]):
                inside.wait()
            pynba.tags["path"] = environ["PATH_INFO"]
            return hello(environ, start_response)

        with PinbaServer() as server:
            wrapped = PynbaMiddleware(app, server.pair)

            def serve_some(path):
                for _ in range(20):
                    serve(wrapped, path)

            threads = [threading.Thread(target=serve_some, args=(f"/{i}",)) for i in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for packet in server.wait(160):
                self.assertEqual(packet.tags, (("path", packet.script_name),))
                self.assertEqual([timer.tags for timer in packet.timers], [packet.tags])

    def test_that_a_request_starts_may_have_it_too(self):
        def app(environ, start_response):
            def work():
                with pynba.timer(where="thread"):
                    pass

            thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
            thread.start()
            thread.join()
            return hello(environ, start_response)

        with PinbaServer() as server:
            serve(PynbaMiddleware(app, server.pair))
            self.assertEqual(server.one().timer(where="thread").hits, 1)


class Decorator(unittest.TestCase):
    def test_makes_a_middleware_with_its_options(self):
        with PinbaServer() as server:

            @monitor(server.pair, prefix="p", raise_on_fail=True, max_datagram=512)
            def app(environ, start_response):
                for i in range(100):
                    pynba.timer(number=i).start().stop()
                return hello(environ, start_response)

            self.assertIsInstance(app, PynbaMiddleware)
            self.assertIsInstance(app.reporter, Reporter)
            self.assertTrue(app.reporter.raise_on_fail)
            serve(app)
            pynba_served.daemons.wait_until(
                lambda: sum(len(p.timers) for p in server.packets()) == 100, "all timers"
            )
            self.assertGreater(len(server.packets()), 1)
            self.assertTrue(all(packet.size <= 512 for packet in server.packets()))


if __name__ == "__main__":
    unittest.main()

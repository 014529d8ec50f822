"""What applications of WSGI answer: each body lasts to its close, and stays what the server can send."""

import contextvars
import gc
import threading
import unittest
import weakref
import wsgiref.simple_server
import wsgiref.util
import wsgiref.validate

import pynba_served
from pynba_served import PinbaServer, call, hello, serve
from pynba.stacked import LOCAL_STACK
from pynba.wsgi import PynbaMiddleware, pynba


class Bodies(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(PinbaServer())

    def test_count_to_their_close(self):
        closed = []

        class Body:
            def __iter__(self):
                with pynba.timer(where="body"):
                    yield b"12"
                    yield b"345"

            def close(self):
                with pynba.timer(where="close"):
                    closed.append(True)

        def app(environ, start_response):
            start_response("200 OK", [])
            return Body()

        answer = call(PynbaMiddleware(app, self.server.pair))
        body = iter(answer.body)
        self.assertEqual(next(body), b"12")
        self.assertIsNone(LOCAL_STACK.pynba)
        self.assertEqual(self.server.packets(), [])
        threading.Event().wait(0.05)
        self.assertEqual(list(body), [b"345"])
        answer.body.close()
        packet = self.server.one()
        self.assertEqual((packet.document_size, closed), (5, [True]))
        self.assertGreaterEqual(packet.request_time, 0.05)
        self.assertGreaterEqual(packet.timer(where="body").value, 0.05)
        self.assertEqual(packet.timer(where="close").hits, 1)

    def test_of_a_generator_have_the_status_that_it_answers(self):
        def app(environ, start_response):
            start_response("302 Found", [("Location", "/")])
            with pynba.timer(a="b"):
                yield b"moved"

        serve(PynbaMiddleware(app, self.server.pair))
        packet = self.server.one()
        self.assertEqual((packet.status, packet.document_size, packet.timer(a="b").hits), (302, 5, 1))

    def test_that_raise_have_status_500_unless_something_was_sent(self):
        def app(environ, start_response):
            start_response("200 OK", [])
            if environ["PATH_INFO"] == "/late":
                yield b"begun"
            raise KeyError("mine")

        wrapped = PynbaMiddleware(app, self.server.pair)
        for path in ("/early", "/late"):
            with self.assertRaises(KeyError):
                serve(wrapped, path)
        packets = self.server.wait(2)
        self.assertEqual([(p.script_name, p.status) for p in packets], [("/early", 500), ("/late", 200)])

    def test_whose_close_raises_are_sent(self):
        class Body(list):
            def close(self):
                raise KeyError("mine")

        def app(environ, start_response):
            start_response("200 OK", [])
            return Body([b"x"])

        with self.assertRaises(KeyError):
            serve(PynbaMiddleware(app, self.server.pair))
        self.assertEqual(self.server.one().document_size, 1)

    def test_whose_chunks_are_odd_are_handed_on_as_they_are(self):
        class Rude:
            def __len__(self):
                raise KeyError("mine")

        chunks = [b"12", "345", bytearray(b"6"), memoryview(b"78"), 5, None, Rude()]

        def app(environ, start_response):
            start_response("200 OK", [])
            yield from chunks

        answer = call(PynbaMiddleware(app, self.server.pair))
        self.assertEqual(answer.chunks(), chunks)
        self.assertEqual(self.server.one().document_size, 8)

    def test_in_a_ring_are_collected_and_sent(self):
        class Ring:
            def __iter__(self):
                return self

            def __next__(self):
                raise StopIteration

        ring = Ring()
        ring.body = call(PynbaMiddleware(lambda environ, start_response: ring, self.server.pair)).body
        gone = weakref.ref(ring)
        del ring
        gc.collect()
        self.assertIsNone(gone())
        self.assertEqual(self.server.one().document_size, 0)

    def test_that_no_server_closes_are_sent_when_they_go(self):
        answer = call(PynbaMiddleware(hello, self.server.pair))
        self.assertEqual(list(answer.body), [b"hello ", b"world"])
        answer.body = None
        gc.collect()
        self.assertEqual(self.server.one().document_size, 11)

    def test_of_lists_keep_their_length(self):
        answer = call(PynbaMiddleware(hello, self.server.pair))
        self.assertEqual(len(answer.body), 2)
        answer.chunks()
        streamed = call(PynbaMiddleware(lambda e, s: iter(()), self.server.pair))
        self.assertFalse(hasattr(streamed.body, "__len__"))
        streamed.chunks()
        self.server.wait(2)

    def test_of_files_stay_what_the_server_can_send_at_once(self):
        import io

        closed = []

        class File(io.BytesIO):
            def close(self):
                closed.append(True)
                super().close()

        def app(environ, start_response):
            start_response("200 OK", [("Content-Length", "6")])
            return environ["wsgi.file_wrapper"](File(b"123456"))

        answer = call(
            PynbaMiddleware(app, self.server.pair), **{"wsgi.file_wrapper": wsgiref.util.FileWrapper}
        )
        self.assertIs(type(answer.body), wsgiref.util.FileWrapper)
        self.assertEqual(self.server.packets(), [])
        answer.body.close()
        self.assertEqual((self.server.one().document_size, closed), (6, [True]))

    def test_of_files_that_the_server_takes_as_they_are_end_with_their_close_if_it_can_be_known(self):
        import io

        class Open(io.BytesIO):
            pass

        for kind, ends_early in ((Open, False), (io.BytesIO, True)):
            with self.subTest(kind=kind), PinbaServer() as server:

                def app(environ, start_response, kind=kind):
                    start_response("200 OK", [("Content-Length", "6")])
                    return environ["wsgi.file_wrapper"](kind(b"123456"), 4096)

                seen = []
                wrapper = lambda file, size: seen.append(file) or file  # noqa: E731
                environ = pynba_served.environ(**{"wsgi.file_wrapper": wrapper})
                result = PynbaMiddleware(app, server.pair)(environ, pynba_served.Answer().start_response)
                self.assertIs(result, seen[0])
                self.assertIs(environ["wsgi.file_wrapper"], wrapper)
                if not ends_early:
                    self.assertEqual(server.packets(), [])
                result.close()
                result.close()
                self.assertTrue(result.closed)
                self.assertEqual(server.one().document_size, 6)

    def test_may_be_read_in_another_thread_and_context(self):
        answer = call(PynbaMiddleware(hello, self.server.pair))
        thread = threading.Thread(target=contextvars.Context().run, args=(answer.chunks,))
        thread.start()
        thread.join()
        self.assertEqual(self.server.one().document_size, 11)

    def test_of_two_requests_may_be_read_in_turns(self):
        def app(environ, start_response):
            start_response("200 OK", [])
            for _ in range(3):
                with pynba.timer(path=environ["PATH_INFO"]):
                    yield environ["PATH_INFO"].encode()

        wrapped = PynbaMiddleware(app, self.server.pair)
        answers = [call(wrapped, path) for path in ("/a", "/b")]
        for chunks in zip(*(answer.body for answer in answers)):
            self.assertEqual(chunks, (b"/a", b"/b"))
        for answer in answers:
            answer.body.close()
        for packet in self.server.wait(2):
            self.assertEqual({timer.tags for timer in packet.timers}, {(("path", packet.script_name),)})
            self.assertEqual(len(packet.timers), 3)


class Servers(unittest.TestCase):
    """What judges an application's manners, and a real server."""

    def test_find_nothing_to_complain_of(self):
        with PinbaServer() as server:
            app = wsgiref.validate.validator(PynbaMiddleware(wsgiref.validate.validator(hello), server.pair))
            answer = pynba_served.Answer()
            environ = {}
            wsgiref.util.setup_testing_defaults(environ)
            environ["wsgi.input"] = wsgiref.validate.InputWrapper(environ["wsgi.input"])

            # The validator asks for these very names.
            def start_response(status, headers, exc_info=None):
                return answer.start_response(status, headers)

            answer.body = app(environ, start_response)
            self.assertEqual(b"".join(answer.chunks()), b"hello world")
            self.assertEqual(server.one().document_size, 11)

    def test_of_wsgiref_serve_it(self):
        import http.client

        class Quiet(wsgiref.simple_server.WSGIRequestHandler):
            def log_message(self, *_):
                pass

        def app(environ, start_response):
            start_response("201 Created", [])
            return [b"one"]

        with PinbaServer() as server:
            wrapped = PynbaMiddleware(app, server.pair)
            with wsgiref.simple_server.make_server("127.0.0.1", 0, wrapped, handler_class=Quiet) as web:
                thread = threading.Thread(target=web.handle_request)
                thread.start()
                client = http.client.HTTPConnection("127.0.0.1", web.server_port)
                client.request("GET", "/new?query=left-out")
                answer = client.getresponse()
                self.assertEqual((answer.read(), answer.getheader("Content-Length")), (b"one", "3"))
                thread.join()
            packet = server.one()
            self.assertEqual((packet.script_name, packet.status, packet.document_size), ("/new", 201, 3))


if __name__ == "__main__":
    unittest.main()

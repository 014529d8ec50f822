"""The middleware for WSGI: what it counts, and that the application never notices it."""

import io
import os
import sys
import threading
import types
import unittest
import wsgiref.handlers
import wsgiref.simple_server
import wsgiref.util
import wsgiref.validate

import published

import mmstats
from mmstats import wsgi


def environ(path="/", method="GET", **more):
    result = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, **more}
    wsgiref.util.setup_testing_defaults(result)
    return result


class Server:
    """The part of a server that calls an application: keeps what it answered."""

    def __init__(self, application):
        self.application = application

    def __call__(self, *arguments, **named):
        self.status = self.headers = None

        def start_response(status, headers, exc_info=None):
            self.status, self.headers = status, headers
            return lambda data: None

        body = self.application(environ(*arguments, **named), start_response)
        try:
            return b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()


class MiddlewareTest(published.TestCase):
    def setUp(self):
        super().setUp()
        self.stats = mmstats.MmStats(path=self.folder)

    def middleware(self, application, **named):
        return wsgi.Middleware(application, stats=self.stats, **named)

    def values(self):
        """label -> the sum over all files."""
        paths = self.stats.filenames
        labels = {label for path in paths for label in published.fields(path) if label.startswith("http.")}
        return {label: published.total(paths, label) for label in labels if ".buckets." not in label}

    def requests(self):
        return {
            label.removeprefix("http.requests."): value
            for label, value in self.values().items()
            if label.startswith("http.requests.")
        }

    def test_requests_are_counted_by_method_status_and_route(self):
        def application(environ, start_response):
            status = environ["PATH_INFO"][1:]
            start_response(status, [])
            return [b"answer"]

        call = Server(self.middleware(application, route=lambda environ: "/{status}"))
        for path, method in (("/200 OK", "GET"), ("/200 OK", "GET"), ("/404 Gone", "GET"), ("/200 OK", "POST")):
            self.assertEqual(call(path, method), b"answer")
            self.assertEqual(call.status, path[1:])
        self.assertEqual(
            self.requests(), {"GET.200./{status}": 2, "GET.404./{status}": 1, "POST.200./{status}": 1}
        )
        self.assertEqual(self.values()["http.latency.count"], 4)
        self.assertGreater(self.values()["http.latency.sum"], 0)
        self.assertEqual(self.values()["http.in_flight"], 0)

    def test_one_line_is_enough(self):
        shown = published.python(
            """
            import glob, os, mmstats, published

            def application(environ, start_response):
                start_response("200 OK", [])
                return [b"answer"]

            application = mmstats.wsgi.Middleware(application)

            assert application({"REQUEST_METHOD": "GET"}, lambda *_: None) == [b"answer"]
            files = glob.glob(mmstats.DEFAULT_GLOB)
            print(*(published.total(files, f"http.{label}") for label in ("requests.GET.200.unknown", "latency.count")))
            """,
            MMSTATS_PATH=self.folder,
        )
        self.assertEqual(shown, "1 1\n")

    def test_arguments_that_cannot_be_are_refused_at_once(self):
        for arguments, wrong in (
            ((5,), "app must be an application, not int"),
            ((hello, "http."), "stats must be a model, not str"),
            ((hello, None, 5), "prefix must be a str, not int"),
            ((hello, None, "http.", "/fixed"), "route must be a function that tells a name, not str"),
        ):
            with self.subTest(wrong), self.assertRaisesRegex(TypeError, wrong):
                wsgi.Middleware(*arguments)

    def test_the_prefix_can_be_chosen(self):
        call = Server(self.middleware(hello, prefix="web."))
        call()
        self.assertEqual(published.total(self.stats.filenames, "web.requests.GET.200.unknown"), 1)

    def test_what_clients_choose_makes_no_series(self):
        call = Server(self.middleware(hello))
        for number in range(50):
            call(f"/{number}", method=f"M{number}")
        self.assertEqual(self.requests(), {"other.200.unknown": 50})

    def test_a_streamed_body_is_timed_to_its_close(self):
        in_flight = []

        def application(environ, start_response):
            start_response("200 OK", [])
            for part in (b"a", b"b"):
                in_flight.append(self.values()["http.in_flight"])
                yield part

        body = self.middleware(application)(environ(), lambda status, headers: None)
        self.assertEqual(list(body), [b"a", b"b"])
        self.assertEqual(in_flight, [1, 1])
        self.assertEqual(self.requests(), {})
        self.assertEqual(self.values()["http.in_flight"], 1)
        body.close()
        body.close()
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})
        self.assertEqual(self.values()["http.in_flight"], 0)

    def test_the_body_is_closed_once_and_what_that_raises_goes_on(self):
        closed = []

        class Body:
            def __iter__(self):
                return iter([b"a"])

            def close(self):
                closed.append(True)
                raise OSError("mine")

        def application(environ, start_response):
            start_response("200 OK", [])
            return Body()

        with self.assertRaisesRegex(OSError, "mine"):
            Server(self.middleware(application))()
        self.assertEqual(closed, [True])
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})

    def test_a_client_that_goes_away_is_counted(self):
        def application(environ, start_response):
            start_response("200 OK", [])
            yield b"a"
            yield b"b"

        body = self.middleware(application)(environ(), lambda status, headers: None)
        next(iter(body))
        body.close()
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})

    def test_a_server_that_does_not_close_is_counted(self):
        def application(environ, start_response):
            start_response("200 OK", [])
            yield b"a"

        body = self.middleware(application)(environ(), lambda status, headers: None)
        list(body)
        del body
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})

    def test_exceptions_go_on_and_are_500(self):
        def before(environ, start_response):
            raise KeyError("mine")

        def amid(environ, start_response):
            start_response("200 OK", [])
            yield b"a"
            raise KeyError("mine")

        def nothing(environ, start_response):
            raise KeyError("mine")
            yield b""

        def error(environ, start_response):
            try:
                raise KeyError
            except KeyError:
                start_response("503 Busy", [], sys.exc_info())
            return [b""]

        def too_late(environ, start_response):
            start_response("200 OK", [])
            raise KeyError("mine")

        def too_late_in_body(environ, start_response):
            start_response("200 OK", [])
            yield b""
            raise KeyError("mine")

        for application in (before, amid, nothing, too_late, too_late_in_body):
            with self.assertRaisesRegex(KeyError, "mine"):
                Server(self.middleware(application))()
        Server(self.middleware(error))()
        self.assertEqual(self.requests(), {"GET.500.unknown": 4, "GET.200.unknown": 1, "GET.503.unknown": 1})
        self.assertEqual(self.values()["http.in_flight"], 0)

    def test_lists_and_files_of_the_server_are_left_as_they_are(self):
        answer = [b"a"]

        def whole(environ, start_response):
            start_response("200 OK", [])
            return answer

        self.assertIs(self.middleware(whole)(environ(), lambda *_: None), answer)

        def sends_file(environ, start_response):
            start_response("200 OK", [])
            return environ["wsgi.file_wrapper"](io.BytesIO(b"file"), 100)

        of_server = environ(**{"wsgi.file_wrapper": wsgiref.util.FileWrapper})
        body = self.middleware(sends_file)(of_server, lambda *_: None)
        self.assertIsInstance(body, wsgiref.util.FileWrapper)
        self.assertIs(of_server["wsgi.file_wrapper"], wsgiref.util.FileWrapper)
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})
        body.close()
        self.assertTrue(body.filelike.closed)
        self.assertEqual(self.requests(), {"GET.200.unknown": 2})

    def test_a_body_that_cannot_tell_of_its_end_ends_when_it_is_returned(self):
        class Rigid:
            __slots__ = ()

            def __iter__(self):
                return iter(())

        def sends_file(environ, start_response):
            start_response("200 OK", [])
            return environ["wsgi.file_wrapper"]()

        self.middleware(sends_file)(environ(**{"wsgi.file_wrapper": Rigid}), lambda *_: None)
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})

    def test_the_writer_of_the_server_reaches_the_application(self):
        written = []

        def application(environ, start_response):
            write = start_response("200 OK", [])
            write(b"old way")
            return []

        self.middleware(application)(environ(), lambda status, headers: written.append)
        self.assertEqual(written, [b"old way"])
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})

    def test_what_was_written_in_the_old_way_cannot_become_a_500(self):
        def application(environ, start_response):
            start_response("200 OK", [])(environ["PATH_INFO"][1:].encode())
            raise KeyError("mine")

        for path in ("/", "/written"):
            with self.assertRaisesRegex(KeyError, "mine"):
                Server(self.middleware(application))(path)
        self.assertEqual(self.requests(), {"GET.500.unknown": 1, "GET.200.unknown": 1})

    def test_it_is_a_wsgi_application_by_the_rules(self):
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return iter([b"a", b"b"])

        checked = wsgiref.validate.validator(self.middleware(wsgiref.validate.validator(application)))
        body = checked(environ(), lambda status, headers, exc_info=None: lambda data: None)
        self.assertEqual(b"".join(body), b"ab")
        body.close()
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})

    def test_two_of_them_count_once_in_one_model_and_both_in_two(self):
        other = mmstats.MmStats(path=self.folder)
        call = Server(self.middleware(self.middleware(wsgi.Middleware(hello, stats=other))))
        call()
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})
        self.assertEqual(published.total(other.filenames, "http.requests.GET.200.unknown"), 1)

    def test_what_raises_has_its_route(self):
        def application(environ, start_response):
            raise KeyError("mine")

        call = Server(self.middleware(application, route=lambda environ: environ["PATH_INFO"]))
        with self.assertRaisesRegex(KeyError, "mine"):
            call("/cart")
        self.assertEqual(self.requests(), {"GET.500./cart": 1})

    def test_a_route_that_fails_is_logged_and_stops_nothing(self):
        call = Server(self.middleware(hello, route=lambda environ: 1 / 0))
        with self.assertLogs("mmstats", "WARNING") as logs:
            self.assertEqual(call(), b"hello")
        self.assertIn("route", logs.output[0])
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})

    def test_metrics_that_fail_are_logged_once_and_stop_nothing(self):
        class Broken:
            def __getattr__(self, name):
                raise RuntimeError("broken")

        from mmstats import _http

        for name in ("latency", "in_flight", "requests"):
            with self.subTest(name), self.assertLogs("mmstats", "WARNING") as logs:
                _http._told.clear()
                middleware = self.middleware(hello)
                setattr(middleware._http, name, Broken())
                call = Server(middleware)
                self.assertEqual([call(), call()], [b"hello"] * 2)
            self.assertEqual(len(logs.output), 1)

    def test_odd_statuses_stop_nothing(self):
        def application(environ, start_response):
            start_response(environ["PATH_INFO"], [])
            return [b""]

        call = Server(self.middleware(application))
        for status in ("", "2", "abc Odd", "٣٣٣ Odd"):
            call(status)
        self.assertEqual(set(self.requests()) - {"GET.500.unknown"}, {"GET.unknown.unknown"})

    def test_a_child_that_forks_amid_a_request_leaves_the_gauge_alone(self):
        def application(environ, start_response):
            start_response("200 OK", [])
            child = os.fork()
            if child == 0:
                return [b"child"]
            os.waitpid(child, 0)
            return [b"parent"]

        me = os.getpid()
        body = self.middleware(application)(environ(), lambda *_: None)
        if os.getpid() != me:
            os._exit(0)
        self.assertEqual(body, [b"parent"])
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})
        self.assertEqual(self.values()["http.in_flight"], 0)

    def test_requests_of_many_threads_are_all_counted(self):
        application = self.middleware(hello)

        def serve():
            call = Server(application)
            for _ in range(50):
                call()

        threads = [threading.Thread(target=serve) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.requests(), {"GET.200.unknown": 800})
        self.assertEqual(self.values()["http.latency.count"], 800)
        self.assertEqual(self.values()["http.in_flight"], 0)

    def test_a_real_server_runs_it(self):
        with wsgiref.simple_server.make_server(
            "127.0.0.1", 0, self.middleware(hello), handler_class=_QuietHandler
        ) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            import urllib.request

            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/", timeout=60) as answer:
                self.assertEqual(answer.read(), b"hello")
            thread.join()
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})

    def test_flask_tells_the_names_of_routes(self):
        try:
            import flask
        except ImportError:
            self.skipTest("Flask is not installed")
        app = flask.Flask(__name__)

        @app.route("/users/<int:number>", methods=["GET", "POST"])
        def user(number):
            return f"user {number}"

        @app.route("/fails")
        def fails():
            raise KeyError

        @app.route("/streams")
        def streams():
            return flask.Response(str(number) for number in range(3))

        app.wsgi_app = self.middleware(app.wsgi_app)
        client = app.test_client()

        def answer(path, method="GET"):
            # Buffered: the client closes the body, as servers do.
            answer = client.open(path, method=method, buffered=True)
            return answer.status_code, answer.text

        for number in range(3):
            self.assertEqual(answer(f"/users/{number}"), (200, f"user {number}"))
        self.assertEqual(answer("/users/7", "POST"), (200, "user 7"))
        self.assertEqual(answer("/fails")[0], 500)
        self.assertEqual(answer("/nothing/of/that/name")[0], 404)
        self.assertEqual(answer("/streams"), (200, "012"))
        self.assertEqual(
            self.requests(),
            {
                "GET.200./users/<int:number>": 3,
                "POST.200./users/<int:number>": 1,
                "GET.500./fails": 1,
                "GET.404.unknown": 1,
                "GET.200./streams": 1,
            },
        )

    def test_django_tells_the_names_of_routes(self):
        try:
            import django
        except ImportError:
            self.skipTest("Django is not installed")
        from django.conf import settings
        from django.http import HttpResponse, StreamingHttpResponse
        from django.urls import include, path, re_path

        urls = types.ModuleType("mmstats_test_urls")
        urls.urlpatterns = [
            path("users/<int:number>/", lambda request, number: HttpResponse(f"user {number}")),
            path("shop/", include([path("cart", lambda request: HttpResponse("cart", status=201))])),
            re_path(r"^old/\d+$", lambda request: StreamingHttpResponse([b"o", b"ld"])),
        ]
        sys.modules[urls.__name__] = urls
        self.addCleanup(sys.modules.pop, urls.__name__)
        if not settings.configured:
            settings.configure(ROOT_URLCONF=urls.__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="none")
            django.setup()
        from django.core.wsgi import get_wsgi_application

        call = Server(self.middleware(get_wsgi_application()))
        self.assertEqual(call("/users/7/"), b"user 7")
        self.assertEqual(call("/shop/cart", method="POST"), b"cart")
        self.assertEqual(call("/old/99"), b"old")
        call("/nothing/of/that/name")
        requests = self.requests()
        self.assertEqual(
            {label for label in requests if "404" not in label},
            {"GET.200./users/<int:number>/", "POST.201./shop/cart", r"GET.200./old/\d+$"},
        )
        self.assertEqual(requests["GET.404.unknown"], 1)


class _QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, format, *args):
        pass


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


if __name__ == "__main__":
    unittest.main()

"""The middleware for ASGI: what it counts, and that the application never notices it."""

import asyncio
import socket
import sys
import threading
import time
import types
import unittest
import urllib.request

import published

import mmstats
from mmstats import asgi

START = {"type": "http.response.start", "status": 200, "headers": []}


def scope(path="/", method="GET", **more):
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [],
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1),
        **more,
    }


async def call(application, *arguments, **named):
    """The messages that the application sent."""
    sent = []
    asked = []

    async def receive():
        if asked:
            await asyncio.Event().wait()  # the client stays
        asked.append(True)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    await application(scope(*arguments, **named), receive, send)
    return sent


async def hello(scope, receive, send):
    await send(START)
    await send({"type": "http.response.body", "body": b"hello"})


def body(messages):
    return b"".join(message.get("body", b"") for message in messages)


class MiddlewareTest(published.TestCase):
    def setUp(self):
        super().setUp()
        self.stats = mmstats.MmStats(path=self.folder)

    def middleware(self, application, **named):
        return asgi.Middleware(application, stats=self.stats, **named)

    def value(self, label):
        return published.total(self.stats.filenames, label)

    def requests(self):
        labels = {label for path in self.stats.filenames for label in published.fields(path)}
        return {
            label.removeprefix("http.requests."): self.value(label)
            for label in labels
            if label.startswith("http.requests.")
        }

    def test_arguments_that_cannot_be_are_refused_at_once(self):
        for arguments, wrong in (
            ((5,), "app must be an application, not int"),
            ((hello, "http."), "stats must be a model, not str"),
            ((hello, None, 5), "prefix must be a str, not int"),
            ((hello, None, "http.", "/fixed"), "route must be a function that tells a name, not str"),
        ):
            with self.subTest(wrong), self.assertRaisesRegex(TypeError, wrong):
                asgi.Middleware(*arguments)

    def test_requests_are_counted_by_method_status_and_route(self):
        async def application(scope, receive, send):
            await send({**START, "status": int(scope["path"][1:])})
            await send({"type": "http.response.body", "body": b"answer"})

        async def all_of_them():
            app = self.middleware(application, route=lambda scope: "/{status}")
            for path, method in (("/200", "GET"), ("/200", "GET"), ("/404", "GET"), ("/200", "POST")):
                self.assertEqual(body(await call(app, path, method)), b"answer")

        asyncio.run(all_of_them())
        self.assertEqual(
            self.requests(), {"GET.200./{status}": 2, "GET.404./{status}": 1, "POST.200./{status}": 1}
        )
        self.assertEqual(self.value("http.latency.count"), 4)
        self.assertEqual(self.value("http.in_flight"), 0)

    def test_one_line_is_enough(self):
        shown = published.python(
            """
            import asyncio, glob, mmstats, published, test_asgi
            application = mmstats.asgi.Middleware(test_asgi.hello)
            assert test_asgi.body(asyncio.run(test_asgi.call(application))) == b"hello"
            print(published.total(glob.glob(mmstats.DEFAULT_GLOB), "http.requests.GET.200.unknown"))
            """,
            MMSTATS_PATH=self.folder,
        )
        self.assertEqual(shown, "1\n")

    def test_what_the_application_gets_and_sends_is_the_same(self):
        async def application(scope, receive, send):
            self.assertEqual((await receive())["type"], "http.request")
            await hello(scope, receive, send)

        self.assertEqual(asyncio.run(call(self.middleware(application))), asyncio.run(call(application)))

    def test_a_streamed_body_is_timed_to_its_last_part(self):
        seen = []

        async def application(scope, receive, send):
            await send(START)
            for more in (True, True, False):
                seen.append((self.value("http.in_flight"), self.value("http.latency.count")))
                await send({"type": "http.response.body", "body": b"x", "more_body": more})
            seen.append((self.value("http.in_flight"), self.value("http.latency.count")))  # a background task

        asyncio.run(call(self.middleware(application)))
        self.assertEqual(seen, [(1, 0), (1, 0), (1, 0), (0, 1)])
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})

    def test_requests_that_overlap_are_all_in_flight(self):
        async def together():
            go = asyncio.Event()

            async def application(scope, receive, send):
                await go.wait()
                await hello(scope, receive, send)

            app = self.middleware(application)
            tasks = [asyncio.create_task(call(app)) for _ in range(10)]
            await asyncio.sleep(0)
            in_flight = self.value("http.in_flight")
            go.set()
            await asyncio.gather(*tasks)
            return in_flight

        self.assertEqual(asyncio.run(together()), 10)
        self.assertEqual(self.value("http.in_flight"), 0)
        self.assertEqual(self.requests(), {"GET.200.unknown": 10})

    def test_exceptions_go_on_and_are_500(self):
        async def before(scope, receive, send):
            raise KeyError("mine")

        async def amid(scope, receive, send):
            await send(START)
            raise KeyError("mine")

        for application in (before, amid):
            with self.assertRaisesRegex(KeyError, "mine"):
                asyncio.run(call(self.middleware(application)))
        self.assertEqual(self.requests(), {"GET.500.unknown": 1, "GET.200.unknown": 1})
        self.assertEqual(self.value("http.in_flight"), 0)

    def test_a_client_that_goes_away_is_499(self):
        async def cancelled():
            async def application(scope, receive, send):
                await asyncio.Event().wait()

            task = asyncio.create_task(call(self.middleware(application)))
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        async def silent(scope, receive, send):
            pass

        asyncio.run(cancelled())
        asyncio.run(call(self.middleware(silent)))
        self.assertEqual(self.requests(), {"GET.499.unknown": 2})
        self.assertEqual(self.value("http.in_flight"), 0)

    def test_other_protocols_pass(self):
        seen = []

        async def application(scope, receive, send):
            seen.append(scope["type"])

        for kind in ("lifespan", "websocket"):
            asyncio.run(call(self.middleware(application), type=kind))
        self.assertEqual(seen, ["lifespan", "websocket"])
        self.assertEqual(self.requests(), {})
        self.assertEqual(self.value("http.latency.count"), 0)

    def test_two_of_them_count_once(self):
        asyncio.run(call(self.middleware(self.middleware(hello))))
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})

    def test_what_raises_has_its_route(self):
        async def application(scope, receive, send):
            raise KeyError("mine")

        with self.assertRaisesRegex(KeyError, "mine"):
            asyncio.run(call(self.middleware(application, route=lambda scope: "/cart")))
        self.assertEqual(self.requests(), {"GET.500./cart": 1})

    def test_a_route_that_fails_stops_nothing(self):
        from mmstats import _http

        _http._told.clear()
        with self.assertLogs("mmstats", "WARNING") as logs:
            messages = asyncio.run(call(self.middleware(hello, route=lambda scope: 1 / 0)))
        self.assertEqual(body(messages), b"hello")
        self.assertEqual(len(logs.output), 1)
        self.assertEqual(self.requests(), {"GET.200.unknown": 1})

    def test_starlette_tells_the_names_of_routes(self):
        try:
            from starlette.applications import Starlette
            from starlette.responses import PlainTextResponse, StreamingResponse
            from starlette.routing import Mount, Route
        except ImportError:
            self.skipTest("Starlette is not installed")

        async def user(request):
            return PlainTextResponse(f"user {request.path_params['number']}")

        async def streams(request):
            return StreamingResponse(str(number) for number in range(3))

        async def fails(request):
            raise KeyError

        async def cart(request):
            return PlainTextResponse("cart")

        app = Starlette(
            routes=[
                Route("/users/{number:int}", user),
                Route("/streams", streams),
                Route("/fails", fails),
                Mount("/shop", routes=[Route("/cart", cart, methods=["POST"]), Mount("/raw", app=hello)]),
            ]
        )
        app.add_middleware(asgi.Middleware, stats=self.stats)

        async def all_of_them():
            paths = ("/users/7", "/users/8", "/streams", "/shop/raw/a/b")
            answers = [body(await call(app, path)) for path in paths]
            answers.append(body(await call(app, "/shop/cart", "POST")))
            await call(app, "/nothing/of/that/name")
            with self.assertRaises(KeyError):
                await call(app, "/fails")
            return answers

        self.assertEqual(asyncio.run(all_of_them()), [b"user 7", b"user 8", b"012", b"hello", b"cart"])
        self.assertEqual(
            self.requests(),
            {
                "GET.200./users/{number:int}": 2,
                "GET.200./streams": 1,
                "GET.200./shop/raw/{path}": 1,
                "POST.200./shop/cart": 1,
                "GET.404.unknown": 1,
                "GET.500./fails": 1,
            },
        )

    def test_django_tells_the_names_of_routes(self):
        try:
            import django
        except ImportError:
            self.skipTest("Django is not installed")
        from django.conf import settings
        from django.http import HttpResponse
        from django.urls import path

        async def user(request, number):
            return HttpResponse(f"user {number}")

        urls = types.ModuleType("mmstats_test_asgi_urls")
        urls.urlpatterns = [path("users/<int:number>/", user)]
        sys.modules[urls.__name__] = urls
        self.addCleanup(sys.modules.pop, urls.__name__)
        if not settings.configured:
            settings.configure(ROOT_URLCONF=urls.__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="none")
            django.setup()
        from django.core.asgi import get_asgi_application

        messages = asyncio.run(call(self.middleware(get_asgi_application()), "/users/7/"))
        self.assertEqual(body(messages), b"user 7")
        self.assertEqual(self.requests(), {"GET.200./users/<int:number>/": 1})

    def test_a_real_server_runs_it(self):
        try:
            import uvicorn
        except ImportError:
            self.skipTest("uvicorn is not installed")
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = uvicorn.Server(uvicorn.Config(self.middleware(hello), log_level="error", lifespan="off"))
            server.install_signal_handlers = lambda: None
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            try:
                address = f"http://127.0.0.1:{listening.getsockname()[1]}/"
                for _ in range(5):
                    with urllib.request.urlopen(address, timeout=60) as answer:
                        self.assertEqual(answer.read(), b"hello")
                # The client has the answer a moment before the application knows that it is sent.
                deadline = time.monotonic() + 60
                while self.requests() != {"GET.200.unknown": 5} and time.monotonic() < deadline:
                    threading.Event().wait(0.01)
            finally:
                server.should_exit = True
                thread.join()
        self.assertEqual(self.requests(), {"GET.200.unknown": 5})


if __name__ == "__main__":
    unittest.main()

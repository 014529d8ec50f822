"""Names of routes as script names, from the frameworks themselves where they are installed."""

import asyncio
import types
import unittest

import pynba_served
from pynba_served import PinbaServer, serve
import pynba.asgi
import pynba.routes
from pynba.wsgi import PynbaMiddleware, pynba as current

try:
    import flask
except ImportError:
    flask = None
try:
    import starlette.applications
    import starlette.responses
    import starlette.routing
except ImportError:
    starlette = None
try:
    import django
    import django.conf
    import django.core.handlers.asgi
    import django.core.handlers.wsgi
    import django.http
    import django.urls
except ImportError:
    django = None


class Routes(unittest.TestCase):
    def names(self, count):
        return [packet.script_name for packet in self.server.wait(count)]

    def setUp(self):
        self.server = self.enterContext(PinbaServer())

    def test_of_any_framework_are_what_a_function_says(self):
        def app(environ, start_response):
            if environ["PATH_INFO"] == "/own":
                current.scriptname = "mine"
            start_response("404 Not Found" if environ["PATH_INFO"] == "/none" else "200 OK", [])
            return []

        wrapped = PynbaMiddleware(
            app, self.server.pair, prefix="p", route=lambda e: {"/a": "/<a>", "/own": "x"}.get(e["PATH_INFO"])
        )
        for path in ("/a", "/other", "/own", "/none"):
            serve(wrapped, path)
        self.assertEqual(self.names(4), ["p/<a>", "p/other", "pmine", "p/<404>"])

    def test_of_odd_environments_are_none(self):
        for odd in (None, 5, types.SimpleNamespace(url_rule=None)):
            self.assertIsNone(pynba.routes.flask({"werkzeug.request": odd}))
        self.assertIsNone(pynba.routes.starlette({}))
        self.assertIsNone(pynba.routes.starlette({"endpoint": print, "app": None, "route": None}))
        route = types.SimpleNamespace(path="/x/{id}")
        self.assertEqual(pynba.routes.starlette({"endpoint": print, "route": route}), "/x/{id}")

    @unittest.skipIf(flask is None, "no Flask")
    def test_of_flask(self):
        app = flask.Flask("shop")

        @app.route("/user/<int:number>")
        @current.timer(group="view")
        def user(number):
            return f"user {number}"

        @app.route("/slash/<name>/")
        def slash(name):
            return name

        @app.route("/fails")
        def fails():
            raise KeyError

        app.wsgi_app = PynbaMiddleware(app.wsgi_app, self.server.pair, route=pynba.routes.flask)
        client = app.test_client()
        for path in ("/user/1", "/user/2", "/nowhere/1", "/nowhere/2", "/fails", "/slash/1"):
            client.get(path).close()
        packets = self.server.wait(6)
        self.assertEqual(
            [(packet.script_name, packet.status) for packet in packets],
            [("/user/<int:number>", 200)] * 2 + [("/<404>", 404)] * 2 + [("/fails", 500), ("/<308>", 308)],
        )
        self.assertEqual(packets[0].timer(group="view").hits, 1)
        self.assertEqual(packets[0].document_size, len("user 1"))

    @unittest.skipIf(starlette is None, "no Starlette")
    def test_of_starlette(self):
        async def user(request):
            with current.timer(group="view"):
                return starlette.responses.PlainTextResponse("user")

        def sync(request):
            with current.timer(group="thread"):
                return starlette.responses.PlainTextResponse("sync")

        route = starlette.routing.Route
        app = starlette.applications.Starlette(
            routes=[
                route("/user/{number:int}", user),
                starlette.routing.Mount("/api", routes=[route("/item/{id}", sync)]),
            ]
        )
        app.add_middleware(pynba.asgi.PynbaMiddleware, address=self.server.pair, route=pynba.routes.starlette)

        async def run():
            for path in ("/user/1", "/user/2", "/api/item/x", "/nowhere"):
                await pynba_served.ask(app, path)

        asyncio.run(run())
        packets = self.server.wait(4)
        self.assertEqual(
            [(packet.script_name, packet.status) for packet in packets],
            [("/user/{number:int}", 200)] * 2 + [("/api/item/{id}", 200), ("/<404>", 404)],
        )
        self.assertEqual((packets[0].timer(group="view").hits, packets[2].timer(group="thread").hits), (1, 1))

    @unittest.skipIf(starlette is None, "no Starlette")
    def test_of_starlette_are_those_that_took_the_request(self):
        async def one(request):
            return starlette.responses.PlainTextResponse("one")

        def two(request):
            return starlette.responses.PlainTextResponse("two")

        async def files(scope, receive, send):
            await starlette.responses.PlainTextResponse("file")(scope, receive, send)

        route, mount = starlette.routing.Route, starlette.routing.Mount
        web = pynba.asgi.PynbaMiddleware
        inner = starlette.applications.Starlette(routes=[route("/items/{id}", one)])
        inner.add_middleware(web, address=self.server.pair, prefix="inner", route=lambda scope: None)
        app = starlette.applications.Starlette(
            routes=[
                route("/v1/u/{id}", one),
                route("/v2/u/{id}", one, methods=["GET"]),
                route("/sync", two),
                mount("/m", routes=[route("/x/{y}", two), mount("/{tenant}", routes=[route("/y/{z}", two)])]),
                mount("/api", app=inner),
                mount("/files", app=files),
            ]
        )
        wrapped = web(app, self.server.pair, route=pynba.routes.starlette)

        async def run():
            for path in wants:
                await pynba_served.ask(wrapped, path)
            await pynba_served.ask(wrapped, "/v2/u/5", method="POST")

        wants = {
            "/v1/u/1": "/v1/u/{id}",
            "/v2/u/1": "/v2/u/{id}",
            "/sync": "/sync",
            "/m/x/4": "/m/x/{y}",
            "/m/a/y/4": "/m/{tenant}/y/{z}",
            "/api/items/4": "/api/items/{id}",
            "/api/none": "/<404>",
            "/m/a/none": "/<404>",
            "/files/a/b": "/files/{path}",
            "/none": "/<404>",
            "/sync/": "/<307>",
        }
        asyncio.run(run())
        packets = self.server.wait(len(wants) + 3)
        outer = [packet for packet in packets if not packet.script_name.startswith("inner")]
        self.assertEqual([packet.script_name for packet in outer], [*wants.values(), "/v2/u/{id}"])
        self.assertEqual(outer[-1].status, 405)

    @unittest.skipIf(django is None, "no Django")
    def test_of_django(self):
        def user(request, number):
            with current.timer(group="view"):
                return django.http.HttpResponse(f"user {number}")

        def own(request):
            current.scriptname = "mine"
            return django.http.StreamingHttpResponse([b"a", b"bc"])

        urls = types.ModuleType("urls_of_a_test")
        def bare(request):
            return django.http.HttpResponse("bare")

        urls.urlpatterns = [
            django.urls.path("user/<int:number>/", user),
            django.urls.path("own", own),
            django.urls.path("bare", bare),
        ]
        django.conf.settings.configure(
            ROOT_URLCONF=urls,
            ALLOWED_HOSTS=["*"],
            MIDDLEWARE=["pynba.routes.django", "django.middleware.common.CommonMiddleware"],
            SECRET_KEY="x",
            DEBUG=False,
        )
        django.setup()
        app = PynbaMiddleware(django.core.handlers.wsgi.WSGIHandler(), self.server.pair)
        for path in ("/user/1/", "/user/2/", "/own", "/nowhere", "/user/1"):
            serve(app, path)
        packets = self.server.wait(5)
        want = [("/user/<int:number>/", 200)] * 2 + [("mine", 200), ("/<404>", 404), ("/<301>", 301)]
        self.assertEqual([(packet.script_name, packet.status) for packet in packets], want)
        self.assertEqual((packets[0].timer(group="view").hits, packets[2].document_size), (1, 3))
        # Without a middleware of ours around it, it does nothing.
        self.assertEqual(serve(app.app, "/bare").status, "200 OK")

        web = pynba.asgi.PynbaMiddleware(django.core.handlers.asgi.ASGIHandler(), self.server.pair)

        async def run():
            for path in ("/user/1/", "/user/2/", "/own", "/nowhere", "/user/1"):
                await pynba_served.ask(web, path)

        asyncio.run(run())
        packets = self.server.wait(10)[5:]
        self.assertEqual([(packet.script_name, packet.status) for packet in packets], want)
        self.assertEqual(packets[0].timer(group="view").hits, 1)


if __name__ == "__main__":
    unittest.main()

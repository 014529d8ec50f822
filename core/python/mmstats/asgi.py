"""Metrics of any ASGI application, with one line.

    app = mmstats.asgi.Middleware(app, prefix="shop.http.")

Give each service of a machine its own prefix: what has one name is added up. MMSTATS_FILES in the
environment names its files: "shop-{PID}-{TID}.mmstats".

For Starlette and FastAPI also `app.add_middleware(mmstats.asgi.Middleware, prefix="shop.http.")`; for
Django a line in asgi.py.
What it publishes is in mmstats.wsgi; both may be in one process. Only requests of HTTP are counted: no
websockets.
"""

from __future__ import annotations

from . import _http, _routes

__all__ = ["Middleware"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    from .models import BaseMmStats

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Middleware:
    """An ASGI application that counts and times another one, and changes nothing in it.

    A request lasts until the last part of its body has been given to the server, so background tasks that
    follow are not in its time. An application that raises has answered with status 500, unless it had begun
    to answer; if it was cancelled before, or returned without an answer, the status is 499: the client went
    away. Exceptions go on to the server. Trouble with metrics never reaches the application: it is logged
    once, by the logger `mmstats`.

    Requests of one event loop may overlap in any way. Any thread may have a loop. Make it before the server
    forks.
    """

    def __init__(
        self,
        app: Application,
        stats: BaseMmStats | None = None,
        prefix: str = "http.",
        route: Callable[[Scope], str | None] | None = None,
    ) -> None:
        """As mmstats.wsgi.Middleware; `route` is called at the end of the request, with its scope."""
        _http.check(app, route)
        self.app = app
        self._http = _http.HttpStats(stats, prefix)
        self._route = route
        _routes.listen()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        _routes.listen()
        route = scope.get(_routes.KEY)
        if not isinstance(route, _routes.Route):
            route = scope[_routes.KEY] = _routes.Route()
        request = self._http.begin(scope.get("method", ""), route)
        if request is None:
            await self.app(scope, receive, send)
        else:
            await self._call(scope, receive, send, request)

    async def _call(self, scope: Scope, receive: Receive, send: Send, request: _http.Request) -> None:
        async def noted(message: Message) -> None:
            kind = message.get("type")
            if kind == "http.response.start":
                request.status = str(message.get("status", ""))
            await send(message)
            request.sent = True
            if kind == "http.response.body" and not message.get("more_body", False):
                self._ask(request, scope)
                request.end()

        try:
            await self.app(scope, receive, noted)
        except Exception:
            self._ask(request, scope)
            request.fail()
            raise
        finally:
            # Cancelled, or without an answer that is whole.
            if not request.ended:
                self._ask(request, scope)
            request.end("499")

    def _ask(self, request: _http.Request, scope: Scope) -> None:
        if self._route is not None:
            request.ask(self._route, scope)

"""For ASGI, so for Starlette and FastAPI, too: the middleware. Each request has its own `pynba`, however many
are served at the same time.

    from pynba.asgi import monitor, pynba

    @monitor(("127.0.0.1", 30002))
    async def app(scope, receive, send):
        with pynba.timer(group="http"):
            ...

With Starlette and FastAPI, whose routes give requests their names::

    from pynba import asgi, routes

    app.add_middleware(asgi.PynbaMiddleware, address=("127.0.0.1", 30002), route=routes.starlette)
"""

from __future__ import annotations

from pynba.context import BaseMiddleware, Measured, RequestContext
from pynba.routes import follow
from pynba.wsgi import pynba

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

__all__ = ["PynbaMiddleware", "RequestContext", "monitor", "pynba"]


def environ_of(scope: Mapping[str, Any]) -> dict[str, Any]:
    """What WSGI would say of a request."""
    path = scope.get("path") or ""
    if not path.isascii():
        path = path.encode("utf-8", "replace").decode("latin-1")
    environ = {
        "REQUEST_METHOD": scope.get("method"),
        "PATH_INFO": path,
        "wsgi.url_scheme": scope.get("scheme", "http"),
    }
    server = scope.get("server")
    if server:
        environ["SERVER_NAME"] = server[0]
    for name, value in scope.get("headers") or ():
        if name == b"host":
            environ["HTTP_HOST"] = value.decode("latin-1")
            break
    return environ


class PynbaMiddleware(BaseMiddleware):
    """An ASGI application whose HTTP requests are measured, and sent to Pinba servers.

    Its arguments are those of pynba.wsgi.PynbaMiddleware; `route` is called with the scope.

    A request takes until its answer is complete, or the application is done with it, whichever comes first;
    timers of what it does after the answer still count. Its packet is sent when the application is done. Its
    processor time is that of the thread, with what else runs there meanwhile. Other scopes than HTTP are
    handed on.
    """

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        if scope.get("type") != "http":
            await self.app(scope, receive, send)
            return
        context = None
        try:
            context = self.request_context(environ_of(scope))
            measured = isinstance(context, RequestContext)
            if measured:
                if self.route is not None:
                    follow(scope)
                context.push()
        except Exception:
            self.give_up(context)
            await self.app(scope, receive, send)
            return
        if not measured:  # one of the application's own kind
            with context:
                await self.app(scope, receive, send)
            return
        call = Measured(self, context, scope, scope.get("method"))
        collector = context.pynba
        length = 0

        async def counted(message: Any) -> None:
            nonlocal length
            kind = message.get("type")
            if kind == "http.response.start":
                call.status = message.get("status")
                length = _content_length(message)
            await send(message)
            if kind == "http.response.body":
                call.size += len(message.get("body") or b"")
                if not message.get("more_body"):
                    collector.end_clock()
            elif kind == "http.response.pathsend":
                call.size = length
                collector.end_clock()

        try:
            await self.app(scope, receive, counted)
        except BaseException:
            if call.status is None:
                call.status = 500  # which the server makes of it
            raise
        finally:
            context.leave()
            call.finish()


def _content_length(message: Mapping[str, Any]) -> int:
    for name, value in message.get("headers") or ():
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return 0


def monitor(address: Any, **config: Any) -> Callable[[Callable[..., Awaitable[None]]], PynbaMiddleware]:
    """A decorator for ASGI applications: see PynbaMiddleware for its options."""

    def wrapper(func: Callable[..., Awaitable[None]]) -> PynbaMiddleware:
        return PynbaMiddleware(func, address, **config)

    return wrapper

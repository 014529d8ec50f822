"""Names of routes as script names: /user/<id> in place of each user's own path, of which there is no end.

Flask (and what else is made with Werkzeug's routing)::

    from pynba import PynbaMiddleware, routes

    app.wsgi_app = PynbaMiddleware(app.wsgi_app, ("127.0.0.1", 30002), route=routes.flask)

Starlette and FastAPI::

    from pynba import asgi, routes

    app.add_middleware(asgi.PynbaMiddleware, address=("127.0.0.1", 30002), route=routes.starlette)

Django, with WSGI or ASGI, in settings.py::

    MIDDLEWARE = ["pynba.routes.django", ...]

What no route took is called /<404> if its status is that, and so with other errors, and redirects, as of a
path whose last slash is missing. A script name that the application sets itself stays. Another framework's
name is any function of the environ or scope that gives a text or None. None of the frameworks is imported
here.
"""

from __future__ import annotations

import functools
import sys
import threading

from pynba.context import name_without_route
from pynba.wsgi import pynba

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping
    from typing import Any

__all__ = ["django", "flask", "follow", "starlette"]

_FOLLOWED = "pynba.route"
"""Where a scope has what is known of its request's route."""

_lock = threading.Lock()
_is_listening = False


def flask(environ: Mapping[str, Any]) -> str | None:
    """The rule that took a request of Flask, as /user/<id>; None if none did."""
    # Werkzeug's request leaves itself there.
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    text = getattr(rule, "rule", None)
    return None if text is None else str(text)


class _Followed:
    """A request on its way through Starlette's routes."""

    __slots__ = ("mounted", "name")

    def __init__(self) -> None:
        self.name: str | None = None
        #: The paths of the mounts that it is in.
        self.mounted = ""


def follow(scope: MutableMapping[str, Any]) -> None:
    """Note which route of Starlette takes a request, for starlette(). The middleware for ASGI calls it before
    the application; any thread may."""
    # Afterwards it could not be told: a function may have several routes, and a mount changes the scope.
    if not _is_listening:
        _listen()
    if _FOLLOWED not in scope:
        scope[_FOLLOWED] = _Followed()


def _listen() -> None:
    global _is_listening
    routing: Any = sys.modules.get("starlette.routing")
    if not hasattr(routing, "Mount") or not hasattr(routing, "Route"):
        return  # it is not imported, or being so just now
    with _lock:
        if not _is_listening:
            routing.Route.handle = _naming(routing.Route.handle)
            routing.Mount.handle = _mounting(routing.Mount.handle)
            _is_listening = True


def _naming(handle: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(handle)
    def named(self: Any, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        followed = scope.get(_FOLLOWED)
        if isinstance(followed, _Followed):
            followed.name = f"{followed.mounted}{self.path}"
        return handle(self, scope, receive, send)

    return named


def _mounting(handle: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(handle)
    async def mounted(self: Any, scope: Any, receive: Any, send: Any) -> None:
        followed = scope.get(_FOLLOWED)
        if not isinstance(followed, _Followed):
            await handle(self, scope, receive, send)
            return
        outside = followed.mounted
        followed.mounted = f"{outside}{self.path}"
        if not getattr(self, "routes", None):  # files, or another framework
            followed.name = f"{followed.mounted}/{{path}}"
        try:
            await handle(self, scope, receive, send)
        finally:
            followed.mounted = outside

    return mounted


def starlette(scope: Mapping[str, Any]) -> str | None:
    """The path of the route that took a request of Starlette or FastAPI, as /user/{id}, with that of its
    mounts; /files/{path} of a mounted application without routes; None if none took it."""
    followed = scope.get(_FOLLOWED)
    if isinstance(followed, _Followed) and followed.name is not None:
        return followed.name
    path = getattr(scope.get("route"), "path", None)  # of a kind of its own, in FastAPI
    return None if path is None else str(path)


def _name_django(request: Any, response: Any) -> None:
    try:
        if not pynba.enabled:
            return
        match = getattr(request, "resolver_match", None)
        route = getattr(match, "route", None)
        if pynba.scriptname != request.path_info:
            return  # the application has set its own
        if route is not None:
            pynba.scriptname = f"/{route}"
        else:
            pynba.scriptname = name_without_route(response.status_code) or pynba.scriptname
    except (AttributeError, RuntimeError):  # no request is measured
        pass


def django(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A middleware of Django that gives the current request its route's name, as /user/<int:id>/."""
    if getattr(get_response, "_is_coroutine", None) is not None or getattr(
        getattr(get_response, "__code__", None), "co_flags", 0
    ) & 0x80:

        async def named_later(request: Any) -> Any:
            awaited: Awaitable[Any] = get_response(request)
            response = await awaited
            _name_django(request, response)
            return response

        return named_later

    def named(request: Any) -> Any:
        response = get_response(request)
        _name_django(request, response)
        return response

    return named


setattr(django, "sync_capable", True)
setattr(django, "async_capable", True)

"""Names of routes ("/users/<id>"), from the frameworks that know them.

A server sees paths, of which there are as many as somebody likes to ask for. Their frameworks know which
route a path belongs to. This module listens at Flask, Django and Starlette (so FastAPI, too), if the program
has imported them: it imports none of them.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

KEY = "mmstats.route"
"""Where the Route is in a WSGI environ or an ASGI scope."""

_logger = logging.getLogger("mmstats")
_lock = threading.Lock()


class Route:
    """The route of one request: its name, once a framework has told it."""

    __slots__ = ("counted_by", "mounted", "name")

    def __init__(self) -> None:
        self.name = ""
        self.mounted = ""
        """The paths of the applications that Starlette has passed it to."""
        self.counted_by: tuple[object, ...] = ()
        """What has counted it: so that a middleware that is there twice counts once."""


def listen() -> None:
    """Listens at the frameworks that have been imported since the last call. Any thread; never raises.

    Costs some 50 ns for each framework that is not there."""
    for module, hook in tuple(_waiting.items()):
        if module not in sys.modules:
            continue
        with _lock:
            if module not in _waiting:
                continue
            try:
                if not hook(sys.modules[module]):
                    continue  # it is being imported just now
            except Exception as reason:
                _logger.warning("no names of routes from %s: %r", module, reason)
            del _waiting[module]


def _tell(place: Mapping[str, Any], name: str) -> None:
    route = place.get(KEY)
    if isinstance(route, Route):
        route.name = name


def _listen_at_flask(flask: Any) -> bool:
    if not hasattr(flask, "Flask") or not hasattr(flask, "request_started"):
        return False

    def started(sender: object, **_: object) -> None:
        request = flask.request
        if request.url_rule is not None:
            _tell(request.environ, request.url_rule.rule)

    flask.request_started.connect(started, weak=False)  # raises if the package blinker is missing
    return True


def _listen_at_django(base: Any) -> bool:
    if not hasattr(base, "BaseHandler"):
        return False
    resolve = base.BaseHandler.resolve_request

    @functools.wraps(resolve)
    def resolve_request(self: Any, request: Any) -> Any:
        match = resolve(self, request)
        try:
            # An ASGI request has a scope; META of a WSGI request is its environ.
            _tell(getattr(request, "scope", None) or request.META, "/" + match.route.lstrip("^/"))
        except Exception as reason:
            _logger.debug("no route: %r", reason)
        return match

    base.BaseHandler.resolve_request = resolve_request
    return True


def _listen_at_starlette(routing: Any) -> bool:
    if not hasattr(routing, "Mount") or not hasattr(routing, "Route"):
        return False

    def is_there(self: Any, route: Route) -> None:
        route.name = route.mounted + self.path

    def goes_on(self: Any, route: Route) -> None:
        route.mounted += self.path
        route.name = route.mounted + "/{path}"

    routing.Route.handle = _noting(routing.Route.handle, is_there)
    routing.Mount.handle = _noting(routing.Mount.handle, goes_on)
    return True


def _noting(handle: Callable[..., Any], note: Callable[[Any, Route], None]) -> Callable[..., Any]:
    @functools.wraps(handle)
    def noted(self: Any, scope: Any, receive: Any, send: Any) -> Any:
        route = scope.get(KEY)
        if isinstance(route, Route):
            note(self, route)
        return handle(self, scope, receive, send)

    return noted


_waiting: dict[str, Callable[[Any], bool]] = {
    "flask": _listen_at_flask,
    "django.core.handlers.base": _listen_at_django,
    "starlette.routing": _listen_at_starlette,
}

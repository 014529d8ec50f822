"""What the middlewares for WSGI and ASGI publish of requests."""

from __future__ import annotations

import logging
import os
import threading

from . import fields, models
from ._native import Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from ._routes import Route

    _Place = TypeVar("_Place")

# Clients choose methods: others than these are counted together.
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))

_logger = logging.getLogger("mmstats")
_lock = threading.Lock()
_default: list[models.BaseMmStats] = []
_told: set[str] = set()


def default_model() -> models.BaseMmStats:
    """The model of all middlewares that are given none. Any thread."""
    with _lock:
        if not _default:
            _default.append(models.MmStats(open=False))
        return _default[0]


def tell(what: str, reason: BaseException) -> None:
    """Logs the first reason of each sort."""
    if what not in _told:
        _told.add(what)
        _logger.warning("%s: %r (this is not logged again)", what, reason)


def check(app: object, route: object) -> None:
    """TypeError: a middleware has no use for them."""
    if not callable(app):
        raise TypeError(f"app must be an application, not {type(app).__name__}")
    if route is not None and not callable(route):
        raise TypeError(f"route must be a function that tells a name, not {type(route).__name__}")


class HttpStats:
    """The fields of requests in a model. Any thread."""

    def __init__(self, model: models.BaseMmStats | None, prefix: str) -> None:
        """Raises TypeError, and what Model.add() does. A second one with the same arguments has the same
        fields."""
        if model is not None and not isinstance(model, Model):
            raise TypeError(f"stats must be a model, not {type(model).__name__}")
        if not isinstance(prefix, str):
            raise TypeError(f"prefix must be a str, not {type(prefix).__name__}")
        if model is None:
            model = default_model()
        self.key = (id(model), prefix)
        self.model = model
        add = models.BaseMmStats.add  # a model may have a field of that name
        self.requests = add(
            model,
            fields.FamilyField(
                fields.CounterField(unit="requests", help="Requests that were answered"),
                ["method", "status", "route"],
            ),
            prefix + "requests",
        )
        self.latency = add(
            model,
            fields.HistogramField(unit="seconds", help="From a request to the end of its answer"),
            prefix + "latency",
        )
        self.in_flight = add(
            model,
            fields.IntField(shared=True, unit="requests", help="Requests that are being answered"),
            prefix + "in_flight",
        )

    def begin(self, method: str, route: Route) -> Request | None:
        """A request that begins now. None: it is counted here already, or cannot be. Never raises."""
        if self.key in route.counted_by:
            return None
        try:
            request = Request(self, method, route)
        except Exception as reason:
            tell("a request is not counted", reason)
            return None
        route.counted_by = (*route.counted_by, self.key)
        return request


class Request:
    """One request, from begin() to end(). One thread at a time. Nothing here raises."""

    __slots__ = ("_http", "_method", "_pid", "_route", "_timing", "ended", "sent", "status")

    def __init__(self, http: HttpStats, method: str, route: Route) -> None:
        self._http = http
        self._method = method if method in _METHODS else "other"
        self._route = route
        self._pid = os.getpid()
        self.status = ""
        """What the application answered, once that is known."""
        self.sent = False
        """Whether the server has sent that."""
        self.ended = False
        self._timing = http.latency.time()
        http.in_flight.add(1)

    def ask(self, route: Callable[[_Place], str | None], place: _Place) -> None:
        """Has `route`, which is the program's, tell the name of the route."""
        try:
            name = route(place)
            if name:
                self._route.name = str(name)
        except Exception as reason:
            tell("a request's route is not known", reason)

    def fail(self) -> None:
        """Ends it: the application raised an exception. The server answers 500, if it still can."""
        if not self.sent:
            self.status = "500"
        self.end()

    def end(self, otherwise: str = "500") -> None:
        """Counts it, once. `otherwise`: its status, if the application did not begin to answer."""
        if self.ended:
            return
        self.ended = True
        try:
            if self._pid != os.getpid():
                return  # the application forked meanwhile: the parent counts it
            self._http.in_flight.subtract(1)
            self._timing.stop()
            status = self.status or otherwise
            if len(status) != 3 or not (status.isascii() and status.isdecimal()):
                status = "unknown"
            self._http.requests.with_(self._method, status, self._route.name or "unknown").incr()
        except Exception as reason:
            tell("a request is not counted", reason)

"""Metrics of any WSGI application, with one line.

    application = mmstats.wsgi.Middleware(application, prefix="shop.http.")

Give each service of a machine its own prefix: what has one name is added up. MMSTATS_FILES in the
environment names its files: "shop-{PID}-{TID}.mmstats".

For Flask that is `app.wsgi_app = mmstats.wsgi.Middleware(app.wsgi_app, prefix="shop.http.")`, for Django a
line in wsgi.py. It publishes

    shop.http.requests.METHOD.STATUS.ROUTE   a counter: requests that were answered
    shop.http.latency                        a histogram, seconds: from the server's call to the body's end
    shop.http.in_flight                      a gauge: requests that are being answered

ROUTE is the name that Flask or Django have for it, such as /users/<id>; with other frameworks give `route`.
"""

from __future__ import annotations

from . import _http, _routes

__all__ = ["Middleware"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from .models import BaseMmStats


class Middleware:
    """A WSGI application that counts and times another one, and changes nothing in it.

    A request lasts until the server has sent the body and closes it; if the body is a list or a tuple, until
    the application returns it. An application that raises has answered with status 500, unless it had given
    a part of the body; the exception goes on to the server. Trouble with metrics never reaches the
    application: it is logged once, by the logger `mmstats`.

    Any thread may call it. Make it before the server forks: each worker has files of its own.
    """

    def __init__(
        self,
        app: WSGIApplication,
        stats: BaseMmStats | None = None,
        prefix: str = "http.",
        route: Callable[[WSGIEnvironment], str | None] | None = None,
    ) -> None:
        """`stats`: the model to publish in; by default one for all middlewares of the process. `prefix`: is
        put before the labels. `route`: tells the name of a request's route, after the application has
        returned or raised; it must be one of few, never the path itself. None or "" from it is "unknown".

        Raises TypeError for what is none of these.
        """
        _http.check(app, route)
        self.app = app
        self._http = _http.HttpStats(stats, prefix)
        self._route = route
        _routes.listen()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        _routes.listen()
        route = environ.get(_routes.KEY)
        if not isinstance(route, _routes.Route):
            route = environ[_routes.KEY] = _routes.Route()
        request = self._http.begin(environ.get("REQUEST_METHOD", ""), route)
        if request is None:
            return self.app(environ, start_response)
        return self._call(environ, start_response, request)

    def _call(
        self, environ: WSGIEnvironment, start_response: StartResponse, request: _http.Request
    ) -> Iterable[bytes]:
        def started(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            request.status = str(status)[:3]
            if exc_info is None:
                write = start_response(status, headers)
            else:
                write = start_response(status, headers, exc_info)

            def written(data: bytes) -> object:
                request.sent = request.sent or bool(data)
                return write(data)

            return written

        wrap: Any = environ.get("wsgi.file_wrapper")
        files: list[Any] = []
        if wrap is not None:

            def kept(*arguments: Any, **named: Any) -> Any:
                files.append(wrap(*arguments, **named))
                return files[-1]

            environ["wsgi.file_wrapper"] = kept
        try:
            body = self.app(environ, started)
        except BaseException:
            self._ask(request, environ)
            request.fail()
            raise
        finally:
            # Servers take it for what they have put there.
            if wrap is not None:
                environ["wsgi.file_wrapper"] = wrap
        self._ask(request, environ)
        if isinstance(body, (list, tuple)):
            request.end()
            return body
        if files and files[-1] is body:
            # The server has a faster way for it than to iterate, if it is this very object.
            return _close_with(body, request)
        return _Body(body, request)

    def _ask(self, request: _http.Request, environ: WSGIEnvironment) -> None:
        if self._route is not None:
            request.ask(self._route, environ)


class _Body:
    """A body that tells when it is over."""

    __slots__ = ("_body", "_iterator", "_request")

    def __init__(self, body: Iterable[bytes], request: _http.Request) -> None:
        self._body = body
        self._iterator: Iterator[bytes] | None = None
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            part = next(self._iterator)
        except StopIteration:
            raise
        except BaseException:
            self._request.fail()
            raise
        if part:  # until then the server keeps the status
            self._request.sent = True
        return part

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._request.end()

    def __del__(self) -> None:
        # A server that breaks the rules and does not close it.
        self._request.end()


def _close_with(body: Any, request: _http.Request) -> Iterable[bytes]:
    """`body`, which ends `request` when it is closed."""
    close = getattr(body, "close", None)

    def closed() -> None:
        try:
            if close is not None:
                close()
        finally:
            request.end()

    try:
        body.close = closed
    except Exception:  # an object of C, perhaps: then the request ends before it is sent
        request.end()
    result: Iterable[bytes] = body
    return result

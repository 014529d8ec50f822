"""For WSGI: the middleware, and the proxy to the current request.

    from pynba.wsgi import monitor, pynba

    @monitor(("127.0.0.1", 30002), prefix="/shop", tags={"app": "shop"})
    def app(environ, start_response):
        with pynba.timer(group="mysql", op="select"):
            ...
"""

from __future__ import annotations

from pynba import _native
from pynba.context import BaseMiddleware, Measured, RequestContext
from pynba.stacked import LocalProxy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["PynbaMiddleware", "RequestContext", "monitor", "pynba"]

#: The current request, wherever the code is.
pynba = LocalProxy(enabled=False)


class _Call(Measured):
    """What the middleware gives to the application in place of the server's functions."""

    __slots__ = ("_start_response", "_write", "_length", "_wrap_file", "_file")

    def __init__(
        self,
        middleware: BaseMiddleware,
        context: RequestContext,
        environ: Mapping[str, Any],
        start_response: Any,
    ) -> None:
        super().__init__(middleware, context, environ, environ.get("REQUEST_METHOD"))
        self._start_response = start_response
        self._write: Any = None
        self._length: str | None = None
        self._wrap_file = environ.get("wsgi.file_wrapper")
        self._file: Any = None

    def start_response(self, status: Any, headers: Any, exc_info: Any = None) -> Any:
        try:
            self.status = int(status[:3])
        except (TypeError, ValueError):
            pass  # the server judges it
        if self.middleware.route is not None:
            self.ask_route()  # Flask forgets the request before its body ends
        if exc_info is None:
            self._write = self._start_response(status, headers)
        else:
            self._write = self._start_response(status, headers, exc_info)
        if self._wrap_file is not None:
            self._length = _content_length(headers)
        return self.write

    def write(self, data: Any) -> Any:
        result = self._write(data)
        self.size += len(data)
        return result

    def body_of(self, result: Any) -> Any:
        """What the server gets: `result`, measured to its close()."""
        if result is None:
            self.finish()
            return None
        if self._file is not None and result is self._file:
            self._watch_close(result)
            return result  # the server knows its own, and sends the file at once
        kind = type(result)
        if kind is list or kind is tuple:
            try:
                self.size += sum(map(len, result))
            except TypeError:
                pass  # the server judges it
            return _ListBody(self, self.context.pynba, result)
        make = _SizedBody if hasattr(kind, "__len__") else _native.Body
        return make(self, self.context.pynba, result)

    def failed(self) -> None:
        """The body raised before its first byte."""
        if self.size == 0:
            self.status = 500  # which the server makes of it

    def end(self, size: int) -> None:
        """So many bytes of the body were handed on, and no more will be."""
        self.size += size
        self.finish()

    def wrap_file(self, *arguments: Any, **named: Any) -> Any:
        """What the server makes of a file, as its own wsgi.file_wrapper."""
        assert self._wrap_file is not None
        self._file = self._wrap_file(*arguments, **named)
        return self._file

    def _watch_close(self, result: Any) -> None:
        if self._length is not None:
            self.size = int(self._length)
        close = getattr(result, "close", None)

        def closed() -> None:
            nonlocal close
            call, close = close, None
            try:
                if call is not None:
                    call()
            finally:
                self.finish()

        try:
            result.close = closed
        except (AttributeError, TypeError):
            self.finish()  # an object of C: before it is sent, rather than never


def _content_length(headers: Any) -> str | None:
    try:
        for name, value in headers:
            if name.lower() == "content-length" and value.isdigit():
                return str(value)
    except (AttributeError, TypeError, ValueError):
        pass
    return None


class _SizedBody(_native.Body):
    """Of something like a list: servers learn its content's length from one that has a single element."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.result)


class _ListBody(_SizedBody):
    """Of a list or tuple, whose bytes are counted already: nothing of the application runs meanwhile."""

    __slots__ = ()

    def __iter__(self) -> Any:
        return iter(self.result)


class PynbaMiddleware(BaseMiddleware):
    """A WSGI application whose requests are measured, and sent to Pinba servers.

    app
        The application.
    address
        ("host", port), "host:port", or several of these. Names are looked up in the background.
    reporter
        What sends, instead of a Reporter of our own.
    ctx_factory
        What makes a request's context, instead of RequestContext.
    config
        Options of RequestContext (prefix, tags, hostname, servername, rusage) and of Reporter (raise_on_fail,
        spread, linger, max_datagram, classic, equal_timers, continue_timers); and `route`: called with the
        environ when the application answers, and, if it gives nothing then, when the request ends. What it
        gives is the script name, unless the application set one: see pynba.routes.

    Options that cannot be read, or that there are not, are told in the log once and not used; with
    raise_on_fail they raise TypeError or ValueError.

    A request lasts until its body is closed. Its status is that which the application answered, 500 if it
    raised; its document size is the bytes of the body, unless the application set it. Nothing is raised at
    the application or the server, unless `reporter.raise_on_fail` is set.
    """

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        context = None
        try:
            context = self.request_context(environ)
            measured = isinstance(context, RequestContext)
            if measured:
                context.push()
        except Exception:
            self.give_up(context)
            return self.app(environ, start_response)
        if not measured:  # one of the application's own kind
            with context:
                return self.app(environ, start_response)
        call = _Call(self, context, environ, start_response)
        wrap_file = environ.get("wsgi.file_wrapper")
        if wrap_file is not None:
            environ["wsgi.file_wrapper"] = call.wrap_file
        try:
            result = self.app(environ, call.start_response)
        except BaseException:
            call.status = 500
            context.leave()
            call.finish()
            raise
        finally:
            if wrap_file is not None:
                environ["wsgi.file_wrapper"] = wrap_file  # by which the server knows it
        context.leave()
        return call.body_of(result)


def monitor(address: Any, **config: Any) -> Callable[[Callable[..., Any]], PynbaMiddleware]:
    """A decorator for WSGI applications: see PynbaMiddleware for its options."""

    def wrapper(func: Callable[..., Any]) -> PynbaMiddleware:
        return PynbaMiddleware(func, address, **config)

    return wrapper

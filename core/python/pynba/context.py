"""One request, from its begin to its packet: what WSGI and ASGI share."""

from __future__ import annotations

from pynba import _native
from pynba.collector import DataCollector, usage_number
from pynba.log import left_out, logger
from pynba.reporter import OPTIONS, Reporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextvars import Token
    from types import TracebackType
    from typing import Any

__all__ = ["BaseMiddleware", "Measured", "RequestContext"]


_OF_THREAD = usage_number("thread")
_OPTIONS = frozenset(["prefix", "tags", "hostname", "servername", "rusage"])
_REDIRECTS = frozenset([301, 302, 303, 307, 308])


def _path_of(environ: Mapping[str, Any]) -> Any:
    path = environ.get("PATH_INFO", "")
    if type(path) is str and not path.isascii():
        try:
            return path.encode("latin-1").decode("utf-8")  # WSGI has bytes as characters
        except UnicodeError:
            pass
    return path


def _server_of(environ: Mapping[str, Any]) -> Any:
    host = environ.get("HTTP_HOST")
    if not host or not isinstance(host, str):
        return environ.get("SERVER_NAME")
    end = host.find("]") + 1 if host.startswith("[") else 0
    colon = host.find(":", end)
    return host if colon < 0 else host[:colon]


class RequestContext:
    """A request while it is measured; a new one for each.

    reporter
        What sends it: a Reporter, or anything that is called as one.
    environ
        WSGI's mapping. The script name is PATH_INFO, the host name SERVER_NAME, the server name that of the
        Host header, the schema wsgi.url_scheme.
    config
        `prefix`: put before script names. `tags`: of each request. `hostname`, `servername`: instead of those
        above. `rusage`: whose processor time it has: "thread" (the default; 0 if another thread ends it),
        "process" or "none".

    As a context manager it is current within, and sent at its end.
    """

    def __init__(self, reporter: Callable[..., Any], environ: Mapping[str, Any], **config: Any) -> None:
        self.reporter: Any = reporter
        self.config = config
        #: The DataCollector, while the request is measured.
        self.pynba: DataCollector | None = None
        self._scriptname = _path_of(environ)
        self._hostname = config.get("hostname") or environ.get("SERVER_NAME")
        self._servername = config.get("servername") or _server_of(environ)
        self._schema = environ.get("wsgi.url_scheme")
        self._token: Token[Any] | None = None
        self._is_last = False  # the flush: what comes after it is not measured

    @property
    def scriptname(self) -> str:
        """The script name as it is sent: with the prefix."""
        prefix = self.config.get("prefix", "")
        name = self.pynba.scriptname if self.pynba is not None else None
        return f"{'' if prefix is None else prefix}{name or self._scriptname or ''}"

    @property
    def hostname(self) -> str | None:
        """The host name as it is sent."""
        name = self.pynba.hostname if self.pynba is not None else None
        return name or self._hostname or None

    @property
    def servername(self) -> str | None:
        """The server name as it is sent."""
        name = self.pynba.servername if self.pynba is not None else None
        return name or self._servername or None

    @property
    def tags(self) -> Mapping[Any, Any]:
        """The request's tags."""
        if self.pynba is not None:
            return self.pynba.tags or {}
        tags: Mapping[Any, Any] = self.config.get("tags") or {}
        return tags

    def push(self) -> None:
        """Start to measure, and make it the current request of this thread or task."""
        collector = DataCollector(self._scriptname, self._hostname, self._schema, self.config.get("tags"))
        rusage = self.config.get("rusage")
        collector.rusage = _OF_THREAD if rusage is None else usage_number(rusage)
        collector._send_now = self.flush
        collector.start()
        self.pynba = collector
        self._token = _native.current.set(collector)

    def leave(self) -> None:
        """It is no longer current; it goes on."""
        token, self._token = self._token, None
        if token is None:
            return
        try:
            _native.current.reset(token)
        except ValueError:  # another thread or task
            pass

    def pop(self) -> None:
        """End it, without sending."""
        self.leave()
        collector, self.pynba = self.pynba, None
        if collector is not None:
            collector._send_now = None
            collector.end()  # a task that goes on may have it still

    def __enter__(self) -> RequestContext:
        self.push()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.flush()
        finally:
            self.pop()

    def flush(self) -> None:
        """Send what was measured, and start over without timers. Nothing happens outside of a request, and if
        it is not enabled. Errors are logged, or raised if the reporter's raise_on_fail says so."""
        collector = self.pynba
        if collector is None or not collector.enabled:
            return
        try:
            self._report(collector)
        except Exception:
            if getattr(self.reporter, "raise_on_fail", False):
                raise
            logger.exception("a request was not sent")
        finally:
            if not self._is_last:
                collector.restart()

    def _report(self, collector: DataCollector) -> None:
        if collector.started:
            collector.stop()
        if collector.left_out:
            left_out("timers", ValueError(f"{collector.left_out} more than a request has room for"))
        timers: Any = collector.timers
        if type(self.reporter) is not Reporter:
            timers = [timer for timer in timers if timer.elapsed is not None]
        self.reporter(
            self.servername,
            self.hostname,
            self.scriptname,
            collector.elapsed,
            timers,
            ru_utime=collector.ru_utime,
            ru_stime=collector.ru_stime,
            document_size=collector.document_size,
            memory_peak=collector.memory_peak,
            status=collector.status,
            memory_footprint=collector.memory_footprint,
            schema=collector.schema,
            tags=self.tags,
        )


def name_without_route(status: int) -> str | None:
    """The script name of a request that no route took, if its status is an error, or sends to another path:
    its own may be any that somebody thinks of."""
    return f"/<{status}>" if status >= 400 or status in _REDIRECTS else None


class Measured:
    """What a middleware learns of a request, and its end."""

    __slots__ = ("context", "middleware", "status", "size", "scope", "route", "is_head", "is_over")

    def __init__(self, middleware: BaseMiddleware, context: RequestContext, scope: Any, method: Any) -> None:
        self.middleware = middleware
        self.context = context
        self.scope = scope
        self.status: int | None = None
        self.size = 0
        #: The name of the route; None as long as there is none, "" if it cannot be asked for.
        self.route: str | None = None
        self.is_head = method == "HEAD"  # whose body is not sent
        self.is_over = False

    def ask_route(self) -> None:
        """Learn the name of the route, if it is not known yet and there is something to ask."""
        ask = self.middleware.route
        if ask is None or self.route is not None:
            return
        try:
            name = ask(self.scope)
            self.route = str(name) if name else None
        except Exception:
            self.route = ""
            logger.exception("the name of a route is not known")

    def finish(self) -> None:
        """Send the request; once. Raises only if the reporter's raise_on_fail says so."""
        if self.is_over:
            return
        self.is_over = True
        context = self.context
        if self.is_head:
            self.size = 0
        try:
            collector = context.pynba
            if collector is not None:
                if collector.status is None:
                    collector.status = self.status
                if collector.document_size is None:
                    collector.document_size = self.size
                if self.middleware.route is not None and collector.scriptname == context._scriptname:
                    self.ask_route()
                    collector.scriptname = self.route or self._no_route() or collector.scriptname
            context._is_last = True
            try:
                context.flush()
            finally:
                context.pop()
        except Exception:
            self.middleware.fail("a request was not sent")

    def _no_route(self) -> str | None:
        return None if self.status is None else name_without_route(self.status)


class BaseMiddleware:
    """What the middlewares for WSGI and ASGI share."""

    #: What makes a request, and a reporter, unless they are given.
    default_ctx: Callable[..., Any] = RequestContext
    default_reporter: Callable[..., Any] = Reporter

    def __init__(
        self,
        app: Callable[..., Any],
        address: Any,
        reporter: Callable[..., Any] | None = None,
        ctx_factory: Callable[..., Any] | None = None,
        **config: Any,
    ) -> None:
        self.app = app
        self.address = address
        options = {name: config.pop(name) for name in OPTIONS & config.keys()}
        #: Its `raise_on_fail` may be set.
        self.reporter: Any = reporter or type(self).default_reporter(address, **options)
        self.ctx_factory = ctx_factory or type(self).default_ctx
        self.route: Callable[[Any], str | None] | None = config.pop("route", None)
        self.config = config
        must_be_right = bool(options.get("raise_on_fail"))
        for wrong in self._wrong_options([] if reporter is None else options):
            if must_be_right:
                raise wrong
            logger.error("%s", wrong)

    def _wrong_options(self, unused: Iterable[str]) -> Iterator[Exception]:
        # Gives them up as well. The originals took whatever they were given, and so may a ctx_factory.
        config, route, factory = self.config, self.route, self.ctx_factory
        if route is not None and not callable(route):
            self.route = None
            yield TypeError(f"route: not used, as it is no function: {route!r}")
        if isinstance(factory, type) and issubclass(factory, RequestContext):
            try:
                if config.get("rusage") is not None:
                    usage_number(config["rusage"])
            except ValueError as wrong:
                del config["rusage"]
                yield wrong
        if factory is RequestContext:
            tags = config.get("tags")
            if tags and not hasattr(tags, "keys"):
                try:
                    config["tags"] = dict(tags)
                except (TypeError, ValueError):
                    del config["tags"]
                    yield TypeError(f"tags: not used, as they are no mapping: {tags!r}")
            unused = [*unused, *(config.keys() - _OPTIONS)]
        unused = sorted(unused)
        if unused:
            known = ", ".join(sorted([*_OPTIONS, *OPTIONS, "route"]))
            yield TypeError(
                f"not used: {', '.join(unused)}; options are {known}, and no reporter's beside a reporter"
            )

    def request_context(self, environ: Mapping[str, Any]) -> Any:
        """A new context for a request: what ctx_factory gives, by default a RequestContext."""
        return self.ctx_factory(self.reporter, environ, **self.config)

    def give_up(self, context: Any) -> None:
        """Of a request that could not be begun: tell the exception that is being handled, as fail() does."""
        if isinstance(context, RequestContext):
            context.leave()
        self.fail("a request is not measured")

    def fail(self, what: str) -> None:
        """Log the exception that is being handled, or raise it again if the reporter's raise_on_fail says
        so."""
        if getattr(self.reporter, "raise_on_fail", False):
            raise  # noqa: PLE0704
        logger.exception(what)

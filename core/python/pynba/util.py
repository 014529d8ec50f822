"""For scripts and jobs."""

from __future__ import annotations

import os
import sys

from pynba import _native
from pynba.collector import DataCollector, usage_number
from pynba.log import left_out, logger
from pynba.reporter import Reporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from types import TracebackType
    from typing import Any

__all__ = ["ScriptMonitor"]


class _Name:
    """A name of a script: what it was set to last, at the ScriptMonitor or at its collector."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name, self._own = name, f"_{name}"

    def __get__(self, monitor: ScriptMonitor | None, owner: type | None = None) -> Any:
        if monitor is None:
            return self
        return getattr(monitor.collector, self._name, None) or getattr(monitor, self._own)

    def __set__(self, monitor: ScriptMonitor, value: str | None) -> None:
        setattr(monitor, self._own, value)  # which another collector gets as well
        setattr(monitor.collector, self._name, value)


def _has_failed(exc_type: type[BaseException] | None, exc_value: BaseException | None) -> bool:
    if exc_type is None or issubclass(exc_type, GeneratorExit):
        return False
    return not isinstance(exc_value, SystemExit) or exc_value.code not in (None, 0)


class ScriptMonitor:
    """Measures a script or job.

        monitor = ScriptMonitor(("127.0.0.1", 30002), tags={"job": "nightly"})
        with monitor.timer(group="mysql"):
            ...
        monitor.send()

    address
        ("host", port), "host:port", or several of these.
    hostname, servername
        This machine's name, unless given. May be set later.
    scriptname
        The command line, unless given. May be set later.
    reporter
        What sends, instead of a Reporter of our own.
    tags
        Of the script.
    autostart
        Whether it starts to measure at once.
    options
        Options of Reporter, and `rusage`: "process" (the default), "thread" or "none".

    As a context manager it is what `pynba.timer(...)` finds within, and it is sent at the end: with status
    500 if an exception ends it, or SystemExit with a code other than 0, unless `collector.status` was set.
    Names that are still looked up when the script ends get half a second.
    """

    default_reporter: Callable[..., Any] = Reporter

    scriptname = _Name()
    hostname = _Name()
    servername = _Name()

    def __init__(
        self,
        address: Any,
        hostname: str | None = None,
        scriptname: str | None = None,
        servername: str | None = None,
        reporter: Callable[..., Any] | None = None,
        tags: dict[Any, Any] | None = None,
        autostart: bool = True,
        *,
        rusage: str = "process",
        **options: Any,
    ) -> None:
        self.reporter: Any = reporter or type(self).default_reporter(address, **options)
        #: What it measures.
        self.collector = DataCollector(None, None, None, dict(tags or {}))
        self.collector.rusage = usage_number(rusage)
        machine = os.uname().nodename
        self.hostname = hostname or machine
        self.scriptname = scriptname or " ".join(map(str, getattr(sys, "argv", None) or [""]))
        self.servername = servername or machine
        self._token: Token[Any] | None = None
        if autostart:
            self.start()

    def start(self) -> ScriptMonitor:
        """Start to measure. RuntimeError if it runs already."""
        self.collector.start()
        return self

    def stop(self) -> ScriptMonitor:
        """Stop, and stop the timers that run. RuntimeError if it does not run."""
        self.collector.stop()
        return self

    @property
    def started(self) -> bool:
        """Whether it runs."""
        return self.collector.started

    @property
    def elapsed(self) -> float | None:
        """Seconds from start to stop; None unless it is stopped."""
        return self.collector.elapsed

    @property
    def tags(self) -> dict[Any, Any]:
        """Tags of the script."""
        return self.collector.tags

    @property
    def ru_utime(self) -> float | None:
        """Seconds of processor time in the program, up to the last stop; None before."""
        return self.collector.ru_utime

    @property
    def ru_stime(self) -> float | None:
        """Seconds of processor time in the system, up to the last stop; None before."""
        return self.collector.ru_stime

    def timer(self, **tags: Any) -> _native.Timer:
        """A new timer of the script."""
        return self.collector.timer(**tags)

    def flush(self) -> ScriptMonitor:
        """Forget what was measured, and start anew; nothing is sent."""
        self.collector.restart()
        return self

    def send(self) -> None:
        """Send what was measured, stopping it first if it runs, and start anew without timers.

        RuntimeError if it was never started. Other errors are logged, or raised if the reporter's
        raise_on_fail says so.
        """
        collector = self.collector
        if collector.started or collector.elapsed is None:
            collector.stop()
        try:
            self._report(collector)
        except Exception:
            if getattr(self.reporter, "raise_on_fail", False):
                raise
            logger.exception("a script was not sent")
        finally:
            collector.restart()

    def _report(self, collector: DataCollector) -> None:
        if not collector.enabled:
            return
        if collector.left_out:
            left_out("timers", ValueError(f"{collector.left_out} more than a script has room for"))
        self.reporter(
            self.servername,
            self.hostname,
            self.scriptname,
            collector.elapsed,
            [timer for timer in collector.timers if timer.elapsed is not None],
            ru_utime=collector.ru_utime,
            ru_stime=collector.ru_stime,
            document_size=collector.document_size,
            memory_peak=collector.memory_peak,
            status=collector.status,
            memory_footprint=collector.memory_footprint,
            schema=collector.schema,
            tags=collector.tags,
        )

    def __enter__(self) -> ScriptMonitor:
        if not self.started:
            self.start()
        self._token = _native.current.set(self.collector)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        token, self._token = self._token, None
        if token is not None:
            try:
                _native.current.reset(token)
            except ValueError:  # another thread or task
                pass
        collector = self.collector
        fails = getattr(collector, "status", None) is None and _has_failed(exc_type, exc_value)
        if fails:
            collector.status = 500
        try:
            self.send()
        finally:
            if fails:
                collector.status = None  # of the next run

"""What is measured of one request or script."""

from __future__ import annotations

from pynba import _native
from pynba._native import Timer
from pynba.log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DataCollector", "Timer"]

_USAGES = {"process": 0, "thread": 1, "none": 2}


def usage_number(rusage: object) -> int:
    """What Collector.rusage is for "process", "thread" or "none". ValueError for anything else."""
    number = _USAGES.get(rusage) if isinstance(rusage, str) else None
    if number is None:
        raise ValueError(f"rusage is 'process', 'thread' or 'none', not {rusage!r}")
    return number


class DataCollector(_native.Collector):
    """One request, script or job: its names, tags, sizes, and timers. `pynba` in a request is one of these.

    scriptname, hostname, servername, schema
        Names, as texts or None.
    tags
        A dict; a value may be all that a timer's tag may be.
    document_size, memory_peak, memory_footprint
        Bytes, or None.
    status
        As of HTTP; None: what the application answered.
    enabled
        Whether it is sent.
    timers
        The set of its timers.

    From threads and tasks of the same request it may be used at the same time.
    """

    #: What sends it; None where it belongs to no request.
    _send_now: Callable[[], None] | None = None

    def flush(self) -> DataCollector:
        """Send what was measured so far, and start over without timers. Of one that belongs to no request
        nothing is sent: its timers are forgotten."""
        logger.debug("flush")
        if self._send_now is not None:
            self._send_now()
        else:
            self.restart()
        return self

    def __repr__(self) -> str:
        state = "running" if self.started else "not running"
        return f"<{type(self).__name__} {self.scriptname!r}, {len(self.timers)} timers, {state}>"

"""How long something takes: a function, a coroutine, a generator, a block."""

from __future__ import annotations

import functools
import sys
import time
from _thread import get_ident

from . import fields

__all__ = ["timed"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any, Protocol, TypeVar

    class Timeable(Protocol):
        """A Timer, a Histogram, an Average: whatever takes seconds."""

        def add(self, value: float, /) -> object: ...

    class Timing(Protocol):
        """One timing, as mmstats.fields.Scope."""

        @property
        def elapsed(self) -> float: ...
        @property
        def done(self) -> bool: ...
        def stop(self) -> float: ...
        def cancel(self) -> None: ...

    _F = TypeVar("_F", bound=Callable[..., Any])
    _Entered = tuple[FrameType, int, Timing]

# What module inspect calls CO_..., and takes longer to import than all of this package.
_GENERATOR = 0x20
_COROUTINE = 0x80 | 0x100
_ASYNC_GENERATOR = 0x200


class timed:
    """Adds the seconds that something takes to a Timer, a Histogram or an average, however it ends.

        @mmstats.timed(stats.latency)
        def answer(request): ...

        with mmstats.timed(stats.latency) as timing:
            ...
            if not worth_it:
                timing.cancel()

    A coroutine function is timed while it is awaited, waiting included. A generator (asynchronous or not) is
    timed from its first value to its end. The time between its values counts too; one that is never asked
    for a value adds nothing. Threads, tasks and generators may share one object, as a decorator and in
    `with`.

    Seconds are of a clock that never steps, unless a TimerField has its own `timer`, whose exceptions go to
    the caller. What takes no seconds, or is no function, is a TypeError at once: below @classmethod,
    @staticmethod and @property, not above.
    """

    __slots__ = ("_field", "_open")

    def __init__(self, field: Timeable) -> None:
        """`field`: what an instance has, `stats.latency`, and not the class's field."""
        fraction = not isinstance(field, fields.Number) or field.code in "fd"
        if isinstance(field, type) or not callable(getattr(field, "add", None)) or not fraction:
            what = field.__name__ if isinstance(field, type) else type(field).__name__
            raise TypeError(f"a timer, a histogram or an average is needed, not {what}")
        self._field = field
        self._open: list[_Entered] = []

    def time(self) -> Timing:
        """Begins a timing, which ends with its stop()."""
        begin = getattr(self._field, "time", None)
        timing: Timing = _Scope(self._field) if begin is None else begin()
        return timing

    def __enter__(self) -> Timing:
        timing = self.time()
        self._open.append((sys._getframe(1), get_ident(), timing))
        return timing

    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._take(sys._getframe(1)).stop()

    def _take(self, frame: FrameType) -> Timing:
        """The timing of the `with` in `frame`. Others may begin and end meanwhile: in other threads, and, as
        tasks and generators take turns, in this one."""
        entered = tuple(reversed(self._open))
        thread = get_ident()
        # An ExitStack has not the same frame at both ends.
        found = [each for each in entered if each[0] is frame]
        found = found or [each for each in entered if each[1] == thread] or list(entered)
        if not found:
            raise RuntimeError("this timing has not begun")
        self._open.remove(found[0])
        return found[0][2]

    def __call__(self, function: _F) -> _F:
        if not callable(function) or isinstance(function, (classmethod, staticmethod)):
            raise TypeError(f"a timer decorates a function, not {type(function).__name__}")
        flags = _flags(function)
        if flags & _ASYNC_GENERATOR:
            wrap = _asynchronous_generator
        elif flags & _COROUTINE:
            wrap = _coroutine
        elif flags & _GENERATOR:
            wrap = _generator
        else:
            wrap = _function
        # Any: how exactly wraps() is typed differs between versions of mypy.
        wrapped: Any = functools.wraps(function)(wrap(function, self.time))
        result: _F = wrapped
        return result


def _function(function: Callable[..., Any], begin: Callable[[], Timing]) -> Any:
    def wrapped(*arguments: Any, **named: Any) -> Any:
        timing = begin()
        try:
            return function(*arguments, **named)
        finally:
            timing.stop()

    return wrapped


def _coroutine(function: Callable[..., Any], begin: Callable[[], Timing]) -> Any:
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        timing = begin()
        try:
            return await function(*arguments, **named)
        finally:
            timing.stop()

    return wrapped


def _generator(function: Callable[..., Any], begin: Callable[[], Timing]) -> Any:
    def wrapped(*arguments: Any, **named: Any) -> Any:
        timing = begin()
        try:
            return (yield from function(*arguments, **named))
        finally:
            timing.stop()

    return wrapped


def _asynchronous_generator(function: Callable[..., Any], begin: Callable[[], Timing]) -> Any:
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        timing = begin()
        try:
            generator = function(*arguments, **named)
            try:
                value = await generator.__anext__()
                while True:
                    try:
                        sent = yield value
                    except GeneratorExit:
                        raise
                    except BaseException as thrown:
                        value = await generator.athrow(thrown)
                    else:
                        value = await generator.asend(sent)
            except StopAsyncIteration:
                return
            finally:
                await generator.aclose()
        finally:
            timing.stop()

    return wrapped


class _Scope:
    """A timing of what cannot begin one by itself."""

    __slots__ = ("_end", "_field", "_start", "done")

    def __init__(self, field: Timeable) -> None:
        self._field = field
        self._end = 0.0
        self.done = False
        self._start = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds until now, or until it ended."""
        return (self._end if self.done else time.perf_counter()) - self._start

    def stop(self) -> float:
        """Ends it, once; adds and returns the seconds."""
        if not self.done:
            self.cancel()
            self._field.add(self.elapsed)
        return self.elapsed

    def cancel(self) -> None:
        """Ends it and adds nothing."""
        if not self.done:
            self._end = time.perf_counter()
            self.done = True


def _flags(function: Callable[..., Any]) -> int:
    """Of the code that a call of `function` runs."""
    while isinstance(function, functools.partial):
        function = function.func
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:  # an object with __call__
        code = getattr(getattr(type(function), "__call__", None), "__code__", None)
    return int(getattr(code, "co_flags", 0))

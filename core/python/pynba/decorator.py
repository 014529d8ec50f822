"""Functions that are measured each time they are called: what timers are as decorators."""

from __future__ import annotations

import functools

from pynba import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from contextlib import AbstractContextManager
    from typing import Any, TypeVar

    Function = TypeVar("Function", bound=Callable[..., Any])
    Make = Callable[[], AbstractContextManager[Any]]

# Of a code object, as inspect has them; that module is slow to import.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


def _flags(function: object) -> int:
    while isinstance(function, functools.partial):
        function = function.func
    function = getattr(function, "__func__", function)  # of a bound method, static or class method
    code = getattr(function, "__code__", None)
    if code is None:  # an object that can be called
        code = getattr(getattr(type(function), "__call__", None), "__code__", None)
    flags = getattr(code, "co_flags", 0)
    return flags if isinstance(flags, int) else 0


def measured_by(make: Make, function: Function) -> Function:
    """`function`, within a timer that `make` gives, from each call on until it is done.

    Coroutines are measured to their end, generators from the first element that is asked for to the last.
    """
    if not callable(function):
        raise TypeError(f"a timer decorates a function, not {type(function).__name__}")
    flags = _flags(function)
    wrapper: Any
    if flags & _COROUTINE:

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            with make():
                return await function(*args, **kwargs)

        wrapper = coroutine
    elif flags & _ASYNC_GENERATOR:

        @functools.wraps(function)
        async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            with make():
                elements = function(*args, **kwargs)
                try:
                    step = elements.asend(None)
                    while True:
                        try:
                            element = await step
                        except StopAsyncIteration:
                            return
                        try:
                            sent = yield element
                        except GeneratorExit:
                            raise
                        except BaseException as thrown:
                            step = elements.athrow(thrown)
                        else:
                            step = elements.asend(sent)
                finally:
                    await elements.aclose()

        wrapper = async_generator
    elif flags & _GENERATOR:

        @functools.wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            with make():
                return (yield from function(*args, **kwargs))

        wrapper = generator
    else:

        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            with make():
                return function(*args, **kwargs)

        wrapper = plain
    decorated: Function = wrapper
    return decorated


def measured(timer: _native.Timer, function: Function) -> Function:
    """What `timer(function)` gives: each call is measured by a clone.

    A timer of a request that is over, as of a module that was imported within one, measures for the request
    that is current when the function runs, if there is one.
    """

    def make() -> AbstractContextManager[Any]:
        parent = timer.parent
        if parent is not None and not getattr(parent, "started", True):
            request = _native.current.get(None)
            if request is not None:
                made: AbstractContextManager[Any] = request.timer(**timer.tags)
                return made
        return timer.clone()

    return measured_by(make, function)

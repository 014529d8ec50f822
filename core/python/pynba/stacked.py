"""The current request, which code anywhere can reach: of a thread, or an asyncio task and what it starts."""

from __future__ import annotations

from pynba import _native
from pynba.decorator import measured_by
from pynba.log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, TypeVar

    from pynba.collector import DataCollector

    Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = ["LOCAL_STACK", "LocalProxy", "LocalStack", "OutsideRequest"]

_OUTSIDE = "working outside of request context"
_MODULES = frozenset(["asgi", "core", "routes", "util", "wsgi"])  # of the package of the same name


class OutsideRequest(RuntimeError, AttributeError):
    """There is no current request. A RuntimeError; hasattr() and getattr() with a default take it as well."""


class LocalStack:
    """Its attribute `pynba` is the current DataCollector, or None; to set and to delete."""

    __slots__ = ()

    @property
    def pynba(self) -> Any:
        return _native.current.get(None)

    @pynba.setter
    def pynba(self, collector: Any) -> None:
        _native.current.set(collector)

    @pynba.deleter
    def pynba(self) -> None:
        _native.current.set(None)


LOCAL_STACK = LocalStack()


class OutsideTimer:
    """What `pynba.timer(...)` is outside of a request: a decorator, whose function looks the request up when
    it runs. RuntimeError for all else, and for a function that runs outside of a request."""

    __slots__ = ("tags",)

    def __init__(self, tags: dict[str, Any]) -> None:
        self.tags = tags

    def _make(self) -> Any:
        request = _native.current.get(None)
        if request is None:
            raise OutsideRequest(_OUTSIDE)
        return request.timer(**self.tags)

    def __call__(self, func: Function) -> Function:
        return measured_by(self._make, func)

    def __enter__(self) -> NoReturn:
        raise OutsideRequest(_OUTSIDE)

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise OutsideRequest(_OUTSIDE)


_MOST_CHECKED = 1000
_checked: set[str] = set()


def _check_name(collector: _native.Collector, name: str) -> None:
    # An attribute of the application's own, or one that is meant to be sent, and will not be?
    if name in _checked:
        return
    if len(_checked) >= _MOST_CHECKED:
        _checked.clear()
    _checked.add(name)
    import difflib  # only a program with such attributes needs it

    known = [each for each in dir(type(collector)) if not each.startswith("_")]
    for near in difflib.get_close_matches(name.lower(), known, 1, 0.8):
        logger.warning("pynba.%s is not sent; is pynba.%s meant?", name, near)


class LocalProxy(_native.Proxy):
    """Stands for the current request: its attributes and methods are those of its DataCollector, and any that
    the application sets.

    Outside of a request `enabled` is False, `timer(...)` gives a decorator, and anything else raises
    RuntimeError.
    """

    if TYPE_CHECKING:
        enabled: bool
        timers: set[_native.Timer]
        scriptname: str | None
        hostname: str | None
        servername: str | None
        schema: str | None
        tags: dict[Any, Any]
        document_size: int | None
        memory_peak: int | None
        memory_footprint: int | None
        status: int | None
        rusage: int
        started: bool
        elapsed: float | None

        def timer(self, **tags: Any) -> _native.Timer: ...
        def start(self) -> DataCollector: ...
        def stop(self) -> DataCollector: ...
        def flush(self) -> DataCollector: ...

    def __init__(self, **defaults: Any) -> None:
        object.__setattr__(self, "defaults", defaults)

    def _outside(self, tags: dict[str, Any]) -> OutsideTimer:
        return OutsideTimer(tags)

    def __getattr__(self, name: str) -> Any:
        request = _native.current.get(None)
        if request is not None:
            return getattr(request, name)
        if name.startswith("__"):
            raise AttributeError(name)
        defaults: dict[str, Any] = object.__getattribute__(self, "defaults")
        if name not in defaults:
            hint = f"; the module is `from pynba import {name}`" if name in _MODULES else ""
            raise OutsideRequest(f"{_OUTSIDE}: {name}{hint}")
        logger.debug("%s: %s is %r", _OUTSIDE, name, defaults[name])
        return defaults[name]

    if not TYPE_CHECKING:  # which would take any name then

        def __setattr__(self, name: str, value: Any) -> None:
            request = _native.current.get(None)
            if request is None:
                raise OutsideRequest(f"{_OUTSIDE}: {name}")
            if isinstance(request, _native.Collector) and not hasattr(type(request), name):
                _check_name(request, name)
            setattr(request, name, value)

    def __delattr__(self, name: str) -> None:
        request = _native.current.get(None)
        if request is None:
            raise OutsideRequest(f"{_OUTSIDE}: {name}")
        delattr(request, name)

    def __repr__(self) -> str:
        request = _native.current.get(None)
        return "<LocalProxy outside of a request>" if request is None else repr(request)

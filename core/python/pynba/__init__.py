"""Measures requests and scripts, and sends them to Pinba servers.

A web application (WSGI; for ASGI the same from pynba.asgi)::

    from pynba import monitor, pynba

    @monitor(("127.0.0.1", 30002), prefix="/shop", tags={"app": "shop"})
    def app(environ, start_response):
        with pynba.timer(group="mysql", op="select"):
            ...

An application of Flask, whose script names are those of its routes (Starlette, FastAPI, Django: see
pynba.routes)::

    from pynba import PynbaMiddleware, pynba, routes

    app.wsgi_app = PynbaMiddleware(app.wsgi_app, ("127.0.0.1", 30002), route=routes.flask)

A script::

    from pynba import ScriptMonitor

    monitor = ScriptMonitor(("127.0.0.1", 30002))
    with monitor.timer(group="mysql"):
        ...
    monitor.send()

Each request has a script name (its path, a route's name: see pynba.routes, or what `pynba.scriptname` is
set to), its status, seconds, bytes, tags (`pynba.tags["user"] = "guest"`), and timers with tags of their own.
After `from pynba import pynba` this name stands for the current one wherever the code is: of its thread, or
of its asyncio task. Outside of a request `pynba.enabled` is False, `@pynba.timer(...)` may decorate
functions, and all else raises RuntimeError. Threads that a request starts are outside, too, unless they run
in a copy of its context::

    await loop.run_in_executor(None, contextvars.copy_context().run, work)  # asyncio.to_thread(work) does it

Nothing here blocks, and nothing is raised at the application but RuntimeError for misuse (starting or
stopping twice, `pynba` outside of a request), unless `reporter.raise_on_fail` is set. What went wrong goes to
the logger "pynba".

May be used from any thread, after os.fork(), and in subinterpreters, each of which has all of it for itself.

Modules: pynba.wsgi, pynba.asgi, pynba.routes, pynba.util (ScriptMonitor), pynba.core (DataCollector, Timer,
Reporter, flattener).
"""

from __future__ import annotations

from pynba.collector import DataCollector, Timer
from pynba.log import logger
from pynba.reporter import Reporter, flattener
from pynba.util import ScriptMonitor
from pynba.wsgi import PynbaMiddleware, RequestContext, monitor, pynba

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pynba import asgi as asgi, core as core, routes as routes

__version__ = "0.6.0"
__all__ = [
    "DataCollector",
    "PynbaMiddleware",
    "Reporter",
    "RequestContext",
    "ScriptMonitor",
    "Timer",
    "flattener",
    "logger",
    "monitor",
    "pynba",
]


def _later(name: str) -> Any:
    # Modules that not every program needs: imported at first use.
    if name in ("asgi", "core", "routes"):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    hint = "; the current request is `from pynba import pynba`" if name in _OF_REQUESTS else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


_OF_REQUESTS = frozenset(["enabled", "flush", "scriptname", "tags", "timer", "timers"])
if not TYPE_CHECKING:  # which would take any name then
    __getattr__ = _later

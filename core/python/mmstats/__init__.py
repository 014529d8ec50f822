"""mmstats: metrics of a program in small files, which readers and agents find by themselves.

Declare what the program publishes, make it once, and use it in any thread:

    import mmstats

    class WebStats(mmstats.MmStats):
        requests = mmstats.CounterField(help="Requests answered")
        responses = mmstats.FamilyField(mmstats.CounterField(unit="responses"), ["method", "status"])
        latency = mmstats.HistogramField(unit="seconds", help="From accept to answer")
        queue = mmstats.IntField(label="queue.depth")

    stats = WebStats(label_prefix="web.")          # keep it: its files go with it

    stats.requests.incr()                          # some 25 ns: one addition in memory
    stats.responses.with_("GET", 200).incr()
    stats.queue = 7
    with stats.latency:
        answer()

Look with `slurpstats`, `pollstats` or `mmash`; collectd, Prometheus and Pinba have agents.

Where the files are: mmstats.defaults. Fields, and the handles that instances have of them (Counter, Number,
String, Average, Timer, Histogram, Family, Info): mmstats.fields. Models, and how their files are named:
mmstats.models. Reading files: mmstats.reader. Any function, coroutine or generator: mmstats.timed. Any web
application, with one line: mmstats.wsgi, mmstats.asgi.

Threads: everything may be used in any thread, after a fork, and in subinterpreters, each of which has models
of its own. Errors: a file that cannot be made or is full never stops the program; the logger `mmstats` gets a
line, or `on_error` of the model. Arguments of a wrong type raise TypeError. In a signal handler of Python's,
which runs between two of its instructions, all of it may be used.
"""

from __future__ import annotations

from . import _native, defaults, fields, models, reader
from .defaults import DEFAULT_FILENAME, DEFAULT_GLOB, DEFAULT_PATH, DEFAULT_STRING_SIZE
from .fields import (
    AverageField,
    BoolField,
    ByteField,
    CounterField,
    DoubleField,
    DuplicateFieldName,
    FamilyField,
    Field,
    FloatField,
    HistogramField,
    InfoField,
    Int64Field,
    IntField,
    MovingAverageField,
    MovingHistogramField,
    SharedCounterField,
    ShortField,
    StaticDoubleField,
    StaticFloatField,
    StaticInt64Field,
    StaticTextField,
    StaticUInt64Field,
    StaticUIntField,
    StringField,
    SystemField,
    TimerField,
    UByteField,
    UInt64Field,
    UIntField,
    UShortField,
    WindowAverageField,
    WindowHistogramField,
)
from .models import BaseMmStats, MmStats
from .reader import InvalidMmStatsVersion, MmStatsReader, Stat
from .timing import timed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from . import asgi, wsgi

version = __version__ = _native.__version__

__all__ = [
    "DEFAULT_FILENAME",
    "DEFAULT_GLOB",
    "DEFAULT_PATH",
    "DEFAULT_STRING_SIZE",
    "AverageField",
    "BaseMmStats",
    "BoolField",
    "ByteField",
    "CounterField",
    "DoubleField",
    "DuplicateFieldName",
    "FamilyField",
    "Field",
    "FloatField",
    "HistogramField",
    "InfoField",
    "Int64Field",
    "IntField",
    "InvalidMmStatsVersion",
    "MmStats",
    "MmStatsReader",
    "MovingAverageField",
    "MovingHistogramField",
    "SharedCounterField",
    "ShortField",
    "Stat",
    "StaticDoubleField",
    "StaticFloatField",
    "StaticInt64Field",
    "StaticTextField",
    "StaticUInt64Field",
    "StaticUIntField",
    "StringField",
    "SystemField",
    "TimerField",
    "UByteField",
    "UInt64Field",
    "UIntField",
    "UShortField",
    "WindowAverageField",
    "WindowHistogramField",
    "defaults",
    "fields",
    "models",
    "reader",
    "timed",
    "version",
]


def __getattr__(name: str) -> ModuleType:
    # The middlewares, which not every program needs: imported at first use.
    if name in ("asgi", "wsgi"):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

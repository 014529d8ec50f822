"""The C++ half of mmstats: models, fields, handles and the reader, over libmmstats.

Applications import `mmstats`, which gives all of this and more under the names of the original.

- A *field* (`CounterField` ...) is what a class declares. It is a descriptor: on the class it gives itself, on an
  instance of a `Model` it gives the value (numbers, texts, facts) or a *handle* (counters, averages, histograms,
  families). Fields may be subclassed, but a subclass that overrides `__get__` or `__set__` is slower.
- A *handle* (`Counter` ...) writes. It may be kept, is never made by its own class, and stays valid for ever: when
  its model has gone it writes to memory that nobody reads.
- `help` and `unit` go into the file: a sentence, and a word as OpenMetrics has them ("seconds", "bytes").

Threads: everything may be used by any thread at any time. Values are those of the calling thread unless `shared`.
What limits say (no room, a label that is taken, a file that cannot be made) never raises: the value goes to private
memory, and `on_error` is told. TypeError, OverflowError and ValueError are raised for arguments that are no such value.
"""
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import GenericAlias, TracebackType
from typing import Any, Generic, NamedTuple, Never, TypeVar, final, overload
from typing_extensions import Self

from _typeshed import ReadableBuffer

__version__: str  # of libmmstats, as "0.1.0"

class DuplicateFieldName(Exception):
    """Two declared fields of a model have one label. Its `__module__` is mmstats.fields."""

# ---------------------------------------------------------------------------------------------------------- models

class Model:
    """What a program publishes. Each thread that touches it has a file of its own; so has a process after fork.

    When the object ends its files go (unless not `remove_at_exit`), as they do when the process exits.
    Has no `__dict__`, but its subclasses do; may be weakly referenced. Using one whose `__init__` did not run raises
    RuntimeError; so does running it twice.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        filename: str | None = None,
        label_prefix: str | None = None,
        *,
        system_fields: bool = True,
        remove_at_exit: bool = True,
        mode: int | None = None,
        max_file_bytes: int = 4 << 20,
        on_error: Callable[[str], object] | None = None,
        open: bool = True,
    ) -> None:
        """Makes the fields that the class and its bases declare (bases first, in the order of declaration).

        path, filename: templates with {CMD} {PID} {TID}, or %PID% %TID%. None: the library's ($MMSTATS_PATH, ...).
            A folder that does not exist is not made.
        label_prefix: put before all labels as it is: "app" makes "appsys.pid". None: "".
        system_fields: sys.pid, sys.tid, sys.uid, sys.gid, sys.created and sys.metadata, which the library writes
            itself; declare them with SystemField to read them. Without them files have neither help nor units nor
            buckets of histograms.
        mode: permissions of the files, as 0o640. None: $MMSTATS_MODE, else 0644 less the umask.
        max_file_bytes: 64 KiB to 1 GiB.
        on_error: called with one line for each thing that went wrong, soon after it, in a thread that uses the
            model. KeyboardInterrupt and SystemExit are raised in the main thread, soon; what else it raises goes to
            sys.unraisablehook. None: a warning of the logger "mmstats".
        open: makes this thread's file now and not at its first write.
        Raises ValueError for a static field without a value, a mode or size that cannot be, DuplicateFieldName,
        TypeError, and what the callable of a static field raises. No file then.
        """

    @property
    def filename(self) -> str:
        """Full path of this thread's file, which is made if need be; of the last one if it was removed. "" if there
        never was one."""
    @property
    def filenames(self) -> list[str]:
        """Paths of all files that this process has of the model now: of all threads, and of shared fields."""
    @property
    def label_prefix(self) -> str: ...
    @property
    def size(self) -> int:
        """Bytes of this thread's file; 0 if there is none."""
    @property
    def removed(self) -> bool:
        """Whether remove() was called."""
    def open(self) -> None:
        """Makes this thread's file now; again if somebody deleted it. OSError: why there is none."""
    def reopen(self) -> None:
        """Makes files again that were deleted or could not be made: this thread's and those of ended threads.
        OSError: why one of them cannot be."""
    def flush(self, async_: bool = False, **kwargs: bool) -> None:
        """Has the files written to disk, after reopen(); waits for it unless `async_` (also as `async`, by
        `**{"async": True}`). OSError if that fails. Nothing after remove(). The GIL is released."""
    def remove(self) -> None:
        """Takes all files of this process away, for good. Fields go on, on private memory. May be called again."""
    def add(self, field: Field[_H], label: str | None = None) -> _H:
        """The field of that label, which is made if there is none: what `stats.NAME` gives for handles; for fields
        that are plain values a handle (Number, String, or the value of a fact).

        label: label_prefix is put before it; None: that of `field`. The field object itself is not changed and may
        be used again. What is added again with the same label, class, size and so on is the same field. ValueError if there
        is no label.
        """

_H = TypeVar("_H", covariant=True)  # the handle that Model.add() and Family.with_() give
_V = TypeVar("_V")

# ---------------------------------------------------------------------------------------------------------- handles

@final
class Counter:
    """Counts events, or adds whole amounts up; of the thread, or of all if `shared`."""

    def incr(self, amount: int = 1) -> None:
        """Adds. A negative amount, or one above 2**63 - 1, adds nothing, and the first is told. TypeError for what
        is no integer."""
    def inc(self, n: int = 1) -> None:
        """The same by its old name. (The DeprecationWarning of mmstats.fields is given here.)"""
    @property
    def value(self) -> int:
        """Of this thread, or of all if shared. Setting takes the value modulo 2**64."""
    @value.setter
    def value(self, value: int) -> None: ...
    @property
    def total(self) -> int:
        """Over all threads of this process, ended ones included."""
    @property
    def shared(self) -> bool: ...

@final
class Number:
    """A number of this moment. What does not fit into a whole number is taken modulo its size, as in C; a float is
    a TypeError there. Of a bool any object's truth counts."""

    value: float | int | bool
    def set(self, value: float, /) -> None: ...
    def add(self, amount: float = 1, /) -> None:
        """Adds; atomically if shared. NaN and infinite amounts add nothing."""
    def subtract(self, amount: float = 1, /) -> None: ...
    @property
    def total(self) -> float | int:
        """The sum over the threads of this process that live. Of a byte or bool: `value`."""
    @property
    def code(self) -> str:
        """The type, as module struct has it."""
    @property
    def shared(self) -> bool: ...

@final
class String:
    """A text of up to `size` bytes of UTF-8, cut between two characters. Lone surrogates become "?"."""

    value: str
    def set(self, value: str | bytes, /) -> None: ...
    @property
    def size(self) -> int: ...

@final
class Average:
    """A mean: of all values, of the last `size`, or of the last `seconds`."""

    def add(self, value: float, /) -> None:
        """NaN and infinite values are left out."""
    @property
    def value(self) -> float: ...

@final
class Timer:
    """A moving average of seconds. Also a context manager, and a decorator of functions and coroutine functions.

    `with stats.timer as scope:` may be nested, and used in threads and coroutines at the same time.
    """

    def add(self, value: float, /) -> None: ...
    @property
    def value(self) -> float: ...
    @property
    def last(self) -> float:
        """This thread's last value. After start() and before stop(): the seconds so far."""
    def start(self) -> None:
        """Starts this thread's one timing, again if it runs."""
    def stop(self) -> float:
        """Ends it, adds and returns its seconds. RuntimeError if it was not started."""
    def time(self) -> Scope:
        """A timing of its own, which began now. It may be stopped by any thread."""
    def __enter__(self) -> Scope: ...
    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...
    @overload
    def __call__(self, function: _F, /) -> _F: ...
    @overload
    def __call__(self) -> Self: ...

_F = TypeVar("_F", bound=Callable[..., Any])

@final
class Scope:
    """One timing. Ended by stop(), or by the end of its `with`."""

    @property
    def elapsed(self) -> float:
        """Seconds until now, or until it ended."""
    @property
    def done(self) -> bool: ...
    def stop(self) -> float:
        """Ends it, once; adds and returns the seconds."""
    def cancel(self) -> None:
        """Ends it and adds nothing."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...

@final
class Histogram:
    """A distribution: of all values, of the last `size`, or of the last `seconds`; percentiles to 1.6 % or as its
    precision. All of this thread."""

    def add(self, value: float, times: int = 1, /) -> None:
        """NaN and infinite values are left out. `times`: so many that are the same."""
    observe = add
    def time(self) -> Scope:
        """A timing in seconds that began now, on a clock that never steps."""
    @overload
    def __call__(self, function: _F, /) -> _F: ...
    @overload
    def __call__(self) -> Self: ...
    def __enter__(self) -> Scope: ...
    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def sum(self) -> float: ...
    @property
    def min(self) -> float: ...
    @property
    def max(self) -> float: ...
    @property
    def p50(self) -> float: ...
    @property
    def p90(self) -> float: ...
    @property
    def p99(self) -> float: ...
    @property
    def p999(self) -> float: ...

@final
class Info:
    """Texts that belong together, each in a field LABEL.KEY."""

    def set(self, texts: Mapping[str, object] = ..., /, **more: object) -> None:
        """Sets these, as str(); other keys keep what they have. Keys may be new. Each is cut to 255 bytes."""
    @property
    def value(self) -> dict[str, str]: ...

@final
class Family(Generic[_H]):
    """One metric with a handle for each combination of its dimensions."""

    def with_(self, *values: object, **named: object) -> _H:
        """The handle of one combination: a value for each dimension, in their order or by name. A value is a str,
        bytes, int or bool; of others str() is taken. Missing ones are "". Beyond max_series: that of "other".

        The same combination gives the same handle as long as it is there, so keep it or ask again. TypeError for
        too many values, or names that are no dimension.
        """
    labels = with_
    def remove(self, *values: object, **named: object) -> None:
        """Hides the combination from readers; with_() brings it back, with its value."""
    def expire(self) -> int:
        """Removes combinations that were not used for expire_after; returns how many. The GIL is released."""
    @property
    def dimensions(self) -> tuple[str, ...]: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...

# ----------------------------------------------------------------------------------------------------------- fields

class Field(Generic[_H]):
    """What a class declares. Cannot be made itself."""

    @property
    def label(self) -> str | None:
        """As given; None: the attribute's name."""
    @property
    def unit(self) -> str: ...
    @property
    def help(self) -> str: ...
    @property
    def key(self) -> str | None:
        """The name of the attribute that it was declared as, once it was."""
    def __set_name__(self, owner: type, name: str, /) -> None: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    # repr: CounterField(label='hits')

class _HandleField(Field[_H]):
    """Assigning something else to the attribute hides the handle in that instance; `del` brings it back. A number is
    refused (TypeError); by what the original had as well, it is taken with a RuntimeWarning."""

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(self, instance: Model, owner: type | None = None, /) -> _H: ...

class CounterField(_HandleField[Counter]):
    @property
    def shared(self) -> bool: ...
    def __init__(self, label: str | None = None, *, unit: str = "", help: str = "", shared: bool = False) -> None: ...

class SharedCounterField(CounterField):
    """CounterField(shared=True): one exact value for all threads."""
    def __init__(self, label: str | None = None, *, unit: str = "", help: str = "") -> None: ...

class AverageField(_HandleField[Average]):
    def __init__(self, label: str | None = None, *, unit: str = "", help: str = "") -> None: ...

class MovingAverageField(_HandleField[Average]):
    @property
    def size(self) -> int: ...  # 1 to 65,536
    def __init__(self, size: int = 100, label: str | None = None, *, unit: str = "", help: str = "") -> None: ...

class WindowAverageField(_HandleField[Average]):
    @property
    def seconds(self) -> int: ...  # 1 to 3,600
    def __init__(self, seconds: int = 60, label: str | None = None, *, unit: str = "", help: str = "") -> None: ...

class TimerField(_HandleField[Timer]):
    """timer: any callable that returns seconds. None: a clock that never steps, and the fastest."""
    @property
    def timer(self) -> Callable[[], float] | None: ...
    @property
    def size(self) -> int: ...
    def __init__(
        self,
        timer: Callable[[], float] | None = None,
        size: int = 100,
        label: str | None = None,
        *,
        unit: str = "seconds",
        help: str = "",
    ) -> None: ...

class HistogramField(_HandleField[Histogram]):
    """precision: 32, 16, 8 or 4 buckets for each power of two."""
    @property
    def precision(self) -> int: ...
    def __init__(
        self, label: str | None = None, *, precision: int = 32, unit: str = "", help: str = ""
    ) -> None: ...

class MovingHistogramField(_HandleField[Histogram]):
    @property
    def size(self) -> int: ...
    @property
    def precision(self) -> int: ...
    def __init__(
        self, size: int = 1000, label: str | None = None, *, precision: int = 32, unit: str = "", help: str = ""
    ) -> None: ...

class WindowHistogramField(_HandleField[Histogram]):
    @property
    def seconds(self) -> int: ...
    @property
    def precision(self) -> int: ...
    def __init__(
        self, seconds: int = 60, label: str | None = None, *, precision: int = 32, unit: str = "", help: str = ""
    ) -> None: ...

class FamilyField(_HandleField[Family[_H]]):
    """`responses = FamilyField(CounterField(unit="responses"), ["method", "status"])`.

    field: what each combination is: a counter, number, string, average, timer or histogram; it gives unit and help,
        and the label if `label` is None. Dimensions: 1 to 16 names as OpenMetrics has them. ValueError, TypeError.
    max_series: how many combinations there may be at a time; further ones are counted together, as "other". A family
        of histograms has room for about 130, unless their precision is lower, or max_file_bytes higher.
    expire_after: seconds without use after which a combination may be removed; 0: never.
    """
    @property
    def field(self) -> Field[_H]: ...
    @property
    def dimensions(self) -> tuple[str, ...]: ...
    def __init__(
        self,
        field: Field[_H],
        dimensions: Sequence[str],
        label: str | None = None,
        *,
        max_series: int = 1000,
        expire_after: int = 0,
    ) -> None: ...

class InfoField(_HandleField[Info]):
    """texts: the first ones, or something to call for them when the model is made."""
    @property
    def texts(self) -> Mapping[str, object] | Callable[[], Mapping[str, object]] | None: ...
    def __init__(
        self,
        texts: Mapping[str, object] | Callable[[], Mapping[str, object]] | None = None,
        label: str | None = None,
        *,
        help: str = "",
    ) -> None: ...

class _NumberField(Field[Number], Generic[_V]):
    """Plain assignment and reading. `kind`: "counter", "gauge", "timestamp" or "state", if it is not what the class
    says. `initial`: the value at first. `shared`: one value for all threads (not of bytes and bools)."""
    @property
    def code(self) -> str:
        """The type, as module struct has it."""
    @property
    def initial(self) -> _V: ...
    @property
    def shared(self) -> bool: ...
    def __init__(
        self,
        label: str | None = None,
        initial: float = 0,
        *,
        unit: str = "",
        help: str = "",
        kind: str | None = None,
        shared: bool = False,
    ) -> None: ...
    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(self, instance: Model, owner: type | None = None, /) -> _V: ...
    def __set__(self, instance: Model, value: _V, /) -> None:
        """`del stats.NAME` is an AttributeError."""

class Int64Field(_NumberField[int]): ...    # q
class UInt64Field(_NumberField[int]): ...   # Q, a gauge
class IntField(_NumberField[int]): ...      # i
class UIntField(_NumberField[int]): ...     # I
class ShortField(_NumberField[int]): ...    # h
class UShortField(_NumberField[int]): ...   # H
class FloatField(_NumberField[float]): ...  # f
class DoubleField(_NumberField[float]): ... # d
class ByteField(_NumberField[int]): ...     # b, unbuffered
class UByteField(_NumberField[int]): ...    # B, unbuffered

class BoolField(_NumberField[bool]):        # ?, unbuffered
    def __init__(
        self, initial: bool = False, label: str | None = None, *, unit: str = "", help: str = "",
        kind: str | None = None
    ) -> None: ...

class StringField(Field[String]):
    """size: 1 to 65,535 bytes."""
    @property
    def size(self) -> int: ...
    @property
    def initial(self) -> str: ...
    def __init__(
        self, size: int = 255, label: str | None = None, *, initial: str = "", unit: str = "", help: str = ""
    ) -> None: ...
    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(self, instance: Model, owner: type | None = None, /) -> str: ...
    def __set__(self, instance: Model, value: str | bytes, /) -> None: ...

class _StaticField(Field[_V]):
    """Read only. value: or something to call for it when a model is made; None is a ValueError there. Setting or
    deleting it on an instance is an AttributeError."""
    @property
    def value(self) -> Any: ...
    def __init__(
        self, label: str | None = None, value: _V | Callable[[], _V] | None = None, *, unit: str = "",
        help: str = ""
    ) -> None: ...
    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(self, instance: Model, owner: type | None = None, /) -> _V: ...
    def __set__(self, instance: Model, value: Never, /) -> None: ...

class StaticUIntField(_StaticField[int]): ...
class StaticInt64Field(_StaticField[int]): ...
class StaticUInt64Field(_StaticField[int]): ...
class StaticFloatField(_StaticField[float]): ...
class StaticDoubleField(_StaticField[float]): ...

class StaticTextField(_StaticField[str]):   # 256s
    @property
    def size(self) -> int: ...
    def __init__(
        self, label: str | None = None, value: str | Callable[[], str] | None = None, size: int = 256, *,
        unit: str = "", help: str = ""
    ) -> None: ...

class SystemField(_StaticField[_V]):
    """What the library itself writes into this thread's file: label "sys.pid", "sys.tid", "sys.uid", "sys.gid"
    (int) or "sys.created" (float, Unix seconds). Of a child process or another thread, its own.

    `pid = SystemField("sys.pid")` in the class; makes nothing. ValueError for other labels. None is read from a
    model without system_fields.
    """
    def __init__(self, label: str) -> None: ...

# ---------------------------------------------------------------------------------------------------------- reading

class Stat(NamedTuple):
    label: str
    value: Any

class InvalidMmStatsVersion(Exception):
    """Its `__module__` is mmstats.reader."""

class Reader:
    """Iterates `Stat`s over one file's bytes, in file order; may be iterated again, and from several threads.

    Of a value with several items the first counts, as in the original. Texts end at the first NUL; what is not UTF-8
    in labels and texts is left out. `c` is text too, a value without items None.
    """

    def __init__(self, data: ReadableBuffer) -> None:
        """Copies the bytes. InvalidMmStatsVersion if the first one is not 1."""
    @classmethod
    def from_path(cls, path: str | bytes | os.PathLike[str] | os.PathLike[bytes], settle: bool = False) -> Self:
        """Reads a file, with the GIL released. settle: again until no value is torn, as our tools do; otherwise
        once. OSError, InvalidMmStatsVersion."""
    @property
    def version(self) -> int:
        """1."""
    @property
    def damage(self) -> str | None:
        """What ended the list of fields early, and at which byte; None: nothing did."""
    def __iter__(self) -> Iterator[Stat]: ...
    def __len__(self) -> int:
        """How many fields."""

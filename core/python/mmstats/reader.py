"""Reading files.

    for label, value in mmstats.reader.MmStatsReader.from_mmap(path):
        print(label, value)

Counters and the like are int, fractions float, conditions bool, texts str. Of a field with several items,
such as the buckets of a histogram (`latency.buckets.1`, 32 numbers), the first one is given: slurpstats and
mmash show percentiles. In the label of a family's combination, dots of its values are written as %2E:
"web.responses.GET.a%2Eb".

A file is read, never mapped, whatever the name of the method says: so its owner may cut it at any time.
"""

from __future__ import annotations

from ._native import InvalidMmStatsVersion, Reader, Stat

__all__ = ["InvalidMmStatsVersion", "MmStatsReader", "Stat"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Protocol, Self

    class SupportsRead(Protocol):
        """What has read(), as open files and mmap objects."""

        def read(self) -> bytes: ...


VERSION_1 = b"\x01"
UNBUFFERED_FIELD = 255


class MmStatsReader(Reader):
    """The fields of one file, as they were when the object was made: iterates `Stat(label, value)`, in the
    file's order, as often as asked.

    Damage ends the iteration early: `damage` says what it is and at which byte; the fields before it are
    sound. `version` is 1. `len()` is how many fields there are. Any thread may use it.
    """

    def __init__(self, data: SupportsRead | bytes | bytearray | memoryview) -> None:
        """`data`: an open binary file, a mmap object, or bytes. A file is read from where it stands, and left
        open. For a path there is from_file().

        Raises InvalidMmStatsVersion if the first byte is no version that there is, an empty file too; and
        what `data.read()` raises.
        """
        if isinstance(data, str) or hasattr(data, "__fspath__"):
            raise TypeError("a path is read with MmStatsReader.from_file(path)")
        super().__init__(data if isinstance(data, (bytes, bytearray, memoryview)) else data.read())

    @classmethod
    def from_file(cls, fn: str | bytes | os.PathLike[str], settle: bool = False) -> Self:
        """Reads the file `fn`. `settle`: again, until no value is torn that another process is writing.

        Raises OSError, InvalidMmStatsVersion. The GIL is released meanwhile."""
        return cls.from_path(fn, settle)

    @classmethod
    def from_mmap(cls, fn: str | bytes | os.PathLike[str], settle: bool = False) -> Self:
        """The same."""
        return cls.from_path(fn, settle)

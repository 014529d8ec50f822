"""Models: what a program publishes.

    class WebStats(mmstats.MmStats):
        hits = mmstats.CounterField()

    stats = WebStats(label_prefix="web.")
    stats.hits.incr()

Make one instance for the process, and keep it as long as the program runs: its files go with it, and what is
kept of it (`hits = stats.hits`) then counts for nobody. Each thread that touches it gets a file of its own,
and so does a child after a fork; readers put the files together.
"""

from __future__ import annotations

import os
import sys

from ._native import DuplicateFieldName, Model, StaticTextField, SystemField
from .defaults import DEFAULT_FILENAME, DEFAULT_PATH, shut_out

__all__ = ["BaseMmStats", "DuplicateFieldName", "MmStats"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class BaseMmStats(Model):
    """A model without fields of its own.

    Nobody can tell which process wrote its file, or whether that still runs; so agents read it, and nobody
    cleans it up. Neither are help and units in it, nor the buckets of histograms. MmStats has all of that.
    """

    _has_system_fields = False

    def __init__(
        self,
        path: str | os.PathLike[str] | None = DEFAULT_PATH,
        filename: str | os.PathLike[str] | None = DEFAULT_FILENAME,
        label_prefix: str | None = None,
        *,
        system_fields: bool | None = None,
        remove_at_exit: bool = True,
        mode: int | None = None,
        max_file_bytes: int = 4 << 20,
        on_error: Callable[[str], object] | None = None,
        open: bool = True,
    ) -> None:
        """Makes the fields that the class and its bases declare, and this thread's file.

        path: the folder, which must be there. None: defaults.DEFAULT_PATH.
        filename: the name of each file. None: defaults.DEFAULT_FILENAME.
            Both may hold {CMD} (the base name of sys.argv[0], or python), {PID} and {TID}, also as %PID% and
            %TID%. With {TID} each thread's file has its own name. A name that a living process uses gets a
            number before its ending.
        label_prefix: is put before the labels as it is: "web." makes "web.hits", and "web" makes "webhits".
        system_fields: sys.pid, sys.tid, sys.uid, sys.gid, sys.created, sys.metadata. None: MmStats has them.
        remove_at_exit: whether the files go when the process exits; after SIGKILL they stay in any case.
        mode: the permissions of the files, as 0o640. None: $MMSTATS_MODE, in octal, else 0o644 less the
            umask.
        max_file_bytes: how many bytes of fields a file takes, from 64 KiB to 1 GiB. It costs address space,
            not memory. Readers leave out files of more than 4 MiB, unless they are told otherwise.
        on_error: is called with one line for each thing that went wrong: a file that cannot be made, a field
            that does not fit. None: a warning of the logger `mmstats`. The program goes on in any case.
        open: make this thread's file now. False: at its first write; for a process that only forks workers.

        Raises DuplicateFieldName if two fields have one label, ValueError for a static field without a value,
        a mode or a size that cannot be, and what the callable of a static field raises.
        """
        is_default = path is None or path is DEFAULT_PATH
        path = DEFAULT_PATH if path is None else path
        filename = DEFAULT_FILENAME if filename is None else filename
        folder, name = os.path.split(os.path.join(path, filename))
        super().__init__(
            None if is_default and folder == DEFAULT_PATH and shut_out() else folder,
            name,
            label_prefix,
            system_fields=self._has_system_fields if system_fields is None else system_fields,
            remove_at_exit=remove_at_exit,
            mode=mode,
            max_file_bytes=max_file_bytes,
            on_error=on_error,
            open=open,
        )


class MmStats(BaseMmStats):
    """The model to inherit from. Declare fields, and make an instance:

    >>> import mmstats
    >>> class MyStats(mmstats.MmStats):
    ...     errors = mmstats.CounterField()
    ...
    >>> stats = MyStats()
    >>> stats.errors.incr()
    >>> stats.errors.value
    1

    Its files say whose they are, and what their fields mean.
    """

    _has_system_fields = True

    pid: SystemField[int] = SystemField("sys.pid")
    tid: SystemField[int] = SystemField("sys.tid")
    uid: SystemField[int] = SystemField("sys.uid")
    gid: SystemField[int] = SystemField("sys.gid")
    python_version = StaticTextField(label="org.python.version", value=lambda: sys.version.replace("\n", ""))
    created: SystemField[float] = SystemField("sys.created")

"""Where files are, from the environment as it is when this module is imported.

MMSTATS_PATH   DEFAULT_PATH, the folder: else /run/mmstats if that can be written to, else $TMPDIR, else /tmp
MMSTATS_FILES  DEFAULT_FILENAME, the template of their names: else {CMD}-{PID}-{TID}.mmstats
MMSTATS_GLOB   DEFAULT_GLOB, what readers read: else all *.mmstats in DEFAULT_PATH
"""

from __future__ import annotations

import os

__all__ = ["DEFAULT_FILENAME", "DEFAULT_GLOB", "DEFAULT_PATH", "DEFAULT_STRING_SIZE"]

_RUN = "/run/mmstats"


def _folder() -> str:
    if os.path.isdir(_RUN) and os.access(_RUN, os.W_OK | os.X_OK):
        return _RUN
    return os.environ.get("TMPDIR") or "/tmp"


# The same folder as the library finds, and not tempfile.gettempdir(): importing that would take longer than
# all of this package.
DEFAULT_PATH: str = os.environ.get("MMSTATS_PATH") or _folder()
DEFAULT_FILENAME: str = os.environ.get("MMSTATS_FILES") or "{CMD}-{PID}-{TID}.mmstats"
DEFAULT_GLOB: str = os.environ.get("MMSTATS_GLOB") or os.path.join(DEFAULT_PATH, "*.mmstats")


def shut_out() -> bool:
    """Whether DEFAULT_PATH is another folder than /run/mmstats because this process may not write there. The library
    then finds the same one, and says so if the choice is left to it."""
    return not os.environ.get("MMSTATS_PATH") and os.path.exists(_RUN) and _RUN != DEFAULT_PATH == _folder()


DEFAULT_STRING_SIZE: int = 255
"""Bytes of a StringField."""

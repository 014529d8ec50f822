"""Where files are, from the environment as it is when this module is imported.

MMSTATS_PATH   DEFAULT_PATH, the folder: else /run/mmstats if that can be written to, else $TMPDIR, else /tmp
MMSTATS_FILES  DEFAULT_FILENAME, the template of their names: else {CMD}-{PID}-{TID}.mmstats
MMSTATS_GLOB   DEFAULT_GLOB, what readers read: else all *.mmstats in DEFAULT_PATH
"""

from __future__ import annotations

import os

__all__ = ["DEFAULT_FILENAME", "DEFAULT_GLOB", "DEFAULT_PATH", "DEFAULT_STRING_SIZE"]


def _folder() -> str:
    run = "/run/mmstats"
    if os.path.isdir(run) and os.access(run, os.W_OK | os.X_OK):
        return run
    return os.environ.get("TMPDIR") or "/tmp"


# The same folder as the library finds, and not tempfile.gettempdir(): importing that would take longer than
# all of this package.
DEFAULT_PATH: str = os.environ.get("MMSTATS_PATH") or _folder()
DEFAULT_FILENAME: str = os.environ.get("MMSTATS_FILES") or "{CMD}-{PID}-{TID}.mmstats"
DEFAULT_GLOB: str = os.environ.get("MMSTATS_GLOB") or os.path.join(DEFAULT_PATH, "*.mmstats")

DEFAULT_STRING_SIZE: int = 255
"""Bytes of a StringField."""

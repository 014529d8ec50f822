"""The logger of this package, and what is told of packets that are not what the program meant."""

from __future__ import annotations

import logging

#: All that pynba has to tell goes here: losses, servers that are not found, misuse. Nothing is printed.
logger = logging.getLogger("pynba")

_MOST_KINDS = 1000
_counts: dict[tuple[str, str], int] = {}


def left_out(what: str, error: BaseException) -> None:
    """Log that `what` could not be put into a packet, and why: the 1st, 2nd, 4th, 8th ... of each kind."""
    kind = (what, type(error).__name__)
    if kind not in _counts and len(_counts) >= _MOST_KINDS:
        _counts.clear()
    count = _counts[kind] = _counts.get(kind, 0) + 1
    if count & (count - 1) == 0:
        logger.warning(
            "%s: left out of a packet (%d times so far): %s: %s",
            what,
            count,
            kind[1],
            error,
            exc_info=(type(error), error, error.__traceback__),
        )

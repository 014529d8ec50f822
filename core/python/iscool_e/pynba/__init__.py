"""The first name of the package `pynba`, for programs that were written for it."""

from __future__ import annotations

from pynba.wsgi import PynbaMiddleware, monitor, pynba

__version__ = "0.6.0"
__all__ = ["PynbaMiddleware", "monitor", "pynba"]

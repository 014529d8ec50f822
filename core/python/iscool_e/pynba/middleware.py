"""See pynba.wsgi."""

from __future__ import annotations

from pynba.wsgi import PynbaMiddleware

__all__ = ["PynbaMiddleware"]

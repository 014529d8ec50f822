"""See pynba.wsgi."""

from __future__ import annotations

from pynba.wsgi import pynba

__all__ = ["pynba"]

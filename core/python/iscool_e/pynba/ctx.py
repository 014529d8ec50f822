"""See pynba.wsgi."""

from __future__ import annotations

from pynba.wsgi import RequestContext

__all__ = ["RequestContext"]

"""See pynba.util."""

from __future__ import annotations

from pynba.util import ScriptMonitor

__all__ = ["ScriptMonitor"]

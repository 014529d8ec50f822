"""See pynba.core."""

from __future__ import annotations

from pynba.core import DataCollector, Timer

__all__ = ["DataCollector", "Timer"]

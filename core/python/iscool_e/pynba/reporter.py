"""See pynba.core."""

from __future__ import annotations

from pynba.core import Reporter, flattener

__all__ = ["Reporter", "flattener"]

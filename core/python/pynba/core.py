"""What requests, scripts and reporters are made of."""

from __future__ import annotations

from pynba.collector import DataCollector, Timer
from pynba.log import logger
from pynba.reporter import Reporter, flattener

__all__ = ["DataCollector", "Reporter", "Timer", "flattener", "logger"]

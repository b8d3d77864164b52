"""The composition root: settings in, running system out. The only place that builds things."""

from gristmill.system.places import PAID, SERVICES, SIMULATOR
from gristmill.system.root import System

__all__ = ["PAID", "SERVICES", "SIMULATOR", "System"]

"""The library's face: what the command line and the service do, as methods."""

from gristmill.library.mill import Gristmill
from gristmill.library.tracker import CostTracker
from gristmill.library.watching import IngestReport, Progress

__all__ = ["CostTracker", "Gristmill", "IngestReport", "Progress"]

"""When an item counts as placed: pure sight, frames in and placements out."""

from bin_daemon.placement.detector import Detector
from bin_daemon.placement.states import State

__all__ = ["Detector", "State"]

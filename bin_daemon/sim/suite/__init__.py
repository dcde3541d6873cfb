"""A suite of hard scenes with ground truth: what a tray's camera may see, and what a detector should have said of it."""

from bin_daemon.sim.suite.truth import Clip, Truth

__all__ = ["Clip", "Truth"]

"""The demo: a simulated camera and controller, everything else real, told to a person (or a script) as it happens."""

from bin_daemon.demo.play import DemoOptions, play

__all__ = ["DemoOptions", "play"]

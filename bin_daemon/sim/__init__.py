"""The bin made of software: a shipped backend, chosen by config."""

from bin_daemon.sim.serial_handlers import register_serial

__all__ = ["register_serial"]

"""Few exception types; each answers "who must act?" and carries a hint for the field."""

from __future__ import annotations


class BinError(Exception):
    """Root of our errors. ``str()`` says what was seen and where; ``hint`` says what mends it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(BinError):
    """The technician must act before the daemon can start (exit 78, never restarted)."""

    exit_code = 78


class DeviceError(BinError):
    """A camera, controller or broker failed: nobody need act, the worker tries again (exit 69 where a command needs it)."""

    exit_code = 69


class ModelError(BinError):
    """A bundle or picture that the model cannot take: unsure while running, exit 78 at start."""

    exit_code = 78


class UnreachableError(BinError):
    """The other end (broker, running daemon) is not reachable now."""

    exit_code = 75


class EndOfFrames(BinError):  # noqa: N818 - an end, like StopIteration, not an error
    """A clip or folder has been shown to its end: not a fault; the daemon may stop."""

    exit_code = 0

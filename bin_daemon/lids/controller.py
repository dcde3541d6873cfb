"""Which controller is behind the port: one place that knows every kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bin_daemon.lids.maestro import MaestroLids
from bin_daemon.lids.serial_lids import SerialLids

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from bin_daemon.config.settings import CalibrationSettings, ControllerSettings, LidSettings
    from bin_daemon.domain import LidCommand, LidReport, LidsState, Signal
    from bin_daemon.lids.detail import LidDetail
    from bin_daemon.lids.snapshot import ControllerInfo
    from firmware_protocol.messages import Telemetry


class LidController(Protocol):
    """What the app drives: `bin_daemon.pipeline.LidPort`, and all that only makes the bin safer or tells of it."""

    @property
    def state(self) -> LidsState:
        """All lids as last reported; returns at once."""

    @property
    def hello(self) -> ControllerInfo | None:
        """Who the controller said it is; None before it first answered."""

    @property
    def telemetry(self) -> Telemetry | None:
        """Supply and temperature; None without them."""

    @property
    def line_errors(self) -> Mapping[str, int]:
        """What the controller threw away of our bytes, by its own names."""

    @property
    def details(self) -> Mapping[int, LidDetail]:
        """Each lid of the config as a technician wants to see it."""

    def open(self, command: LidCommand) -> None:
        """Send one command. Never raises; the outcome comes by `poll`."""

    def poll(self) -> Sequence[LidReport]:
        """Reports since the last call, oldest first; returns at once."""

    def signal(self, signal: Signal) -> None:
        """Lamp and buzzer, where there are any. Returns at once, never raises."""

    def close(self, lid: int) -> bool:
        """Shut one lid now; any thread. True when the controller took it."""

    def stop(self, *, latch: bool = False) -> bool:
        """Halt every motion now; any thread. With ``latch`` nothing moves until `clear_stop`."""

    def clear_stop(self) -> bool:
        """Clear a latched stop and latched faults; moves nothing."""

    def close_all(self, timeout_s: float) -> bool:
        """Shut what is open and wait for it; True when all are known to be shut. For shutdown."""

    def session(self) -> AbstractContextManager[Callable[[], None]]:
        """One life of the port, for one `Worker`."""


def make_lids(
    settings: ControllerSettings, lids: Sequence[LidSettings], calibration: Mapping[int, CalibrationSettings]
) -> LidController:
    """The driver that ``settings.kind`` names; the port is opened later. Raises `ConfigError`."""
    if settings.kind == "maestro":
        return MaestroLids(settings, lids, calibration)
    return SerialLids(settings, lids, calibration)

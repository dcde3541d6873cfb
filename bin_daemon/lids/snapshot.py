"""What the controller last said about its lids, as the words that everybody shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bin_daemon.domain import LidPosition, LidsState, LidState
from firmware_protocol.messages import Caps, EventKind, LidPhase, ResetCause, Stop, Telemetry, TelemetryMore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bin_daemon.config.settings import LidSettings
    from firmware_protocol.messages import HelloAck

LOW_SUPPLY_MV = 4600
"""Below this the reference controller refuses to open: a stalling servo would drag a 5 V supply into brown-out."""

POSITIONS: dict[int, LidPosition] = {
    LidPhase.CLOSED: LidPosition.CLOSED,
    LidPhase.WAITING: LidPosition.OPENING,
    LidPhase.OPENING: LidPosition.OPENING,
    LidPhase.OPEN: LidPosition.OPEN,
    LidPhase.CLOSING: LidPosition.CLOSING,
    LidPhase.REVERSING: LidPosition.OPENING,
    LidPhase.HALTED: LidPosition.UNKNOWN,
    LidPhase.FAULT: LidPosition.FAULT,
    LidPhase.HOMING: LidPosition.CLOSING,
}
"""A waiting lid is still shut but not at rest: it may start any moment. What is not here (jogging) is unknown."""


@dataclass(frozen=True, slots=True)
class ControllerInfo:
    """Who the controller said it is, for the info topic and for recovery after a crash."""

    firmware: str
    git: str
    board: int
    uid: str
    """Hexadecimal."""
    protocol: str
    lids: int
    reset_cause: str
    last_action_id: int | None
    """The last action whose motion it began, 0 for none: an interrupted journal row with this id did move a lid. None: it cannot
    say."""
    capabilities: frozenset[str]

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.firmware} ({self.git})" if self.git else self.firmware


def controller_info(ack: HelloAck) -> ControllerInfo:
    """The handshake's answer in people's words."""
    causes = {cause.value: cause.name.lower() for cause in ResetCause}
    return ControllerInfo(
        firmware=f"{ack.fw_major}.{ack.fw_minor}.{ack.fw_patch}",
        git=f"{ack.git:08x}",
        board=ack.board,
        uid=ack.uid.hex(),
        protocol=f"{ack.proto_major}.{ack.proto_minor}",
        lids=ack.lids,
        reset_cause=causes.get(ack.reset_cause, f"unknown ({ack.reset_cause})"),
        last_action_id=ack.last_action_id,
        capabilities=frozenset(cap.name.lower() for cap in Caps if cap.name and ack.caps & cap),
    )


def full_frac(fill_mm: int | None, settings: LidSettings) -> float | None:
    """How full a compartment is, 0..1; None without a reading or without both calibration values."""
    empty, full = settings.empty_mm, settings.full_mm
    if fill_mm is None or empty is None or full is None or empty <= full:
        return None
    return min(1.0, max(0.0, (empty - fill_mm) / (empty - full)))


class Snapshot:
    """Builds `LidsState` from telemetry and events. Not thread-safe: its owner holds the mutex."""

    def __init__(self, lids: Sequence[LidSettings]) -> None:
        self._settings = {lid.lid: lid for lid in lids}
        self._lids = {number: LidState(number, LidPosition.UNKNOWN) for number in self._settings}
        self._connected = False
        self._stopped = self._stop_pressed = False
        self._stop_presses = 0
        self._voltage_ok = True
        self._capabilities: frozenset[str] = frozenset()

    @property
    def state(self) -> LidsState:
        """All lids at this moment."""
        return LidsState(
            self._connected,
            dict(self._lids),
            self._stopped,
            self._voltage_ok,
            self._capabilities,
            stop_pressed=self._stop_pressed,
            stop_presses=self._stop_presses,
        )

    def connect(self, info: ControllerInfo) -> None:
        """The controller shook hands: it is there, where its lids are it will say."""
        self._connected, self._capabilities = True, info.capabilities
        for number in self.not_fitted(info):
            self._lids[number] = LidState(number, LidPosition.FAULT)

    def not_fitted(self, info: ControllerInfo) -> list[int]:
        """Lids of the config that this controller does not have."""
        return [number for number in self._lids if number > info.lids]

    def disconnect(self) -> None:
        """Nobody knows any more."""
        self._connected = False
        for number, lid in self._lids.items():
            self._lids[number] = LidState(number, LidPosition.UNKNOWN, lid.full_frac, lid.closed_t_s)

    def telemetry(self, report: Telemetry | TelemetryMore) -> None:
        """Take one report."""
        if isinstance(report, Telemetry):
            self._stopped = report.stop != 0
            self._press(pressed=bool(report.stop & Stop.MUSHROOM))
            self._voltage_ok = report.vservo_mv is None or report.vservo_mv >= LOW_SUPPLY_MV
        first_lid = 0 if isinstance(report, Telemetry) else report.first_lid
        for number, slot in enumerate(report.slots, first_lid + 1):
            if (lid := self._lids.get(number)) and slot.state != LidPhase.ABSENT:
                fill = full_frac(slot.fill_mm, self._settings[number])
                position = POSITIONS.get(slot.state, LidPosition.UNKNOWN)
                self._lids[number] = LidState(number, position, fill, lid.closed_t_s)

    def event(self, kind: int, number: int, now_s: float) -> None:
        """Take one event of lid ``number`` (from 1): it is newer than the last telemetry."""
        if (lid := self._lids.get(number)) is None:
            return
        if kind == EventKind.OPENED:
            self._lids[number] = LidState(number, LidPosition.OPEN, lid.full_frac, lid.closed_t_s)
        elif kind == EventKind.CLOSED:
            self._lids[number] = LidState(number, LidPosition.CLOSED, lid.full_frac, now_s)

    def stop(self) -> None:
        """The mushroom switch was pressed."""
        self._stopped = True
        self._press(pressed=True)

    def _press(self, *, pressed: bool) -> None:
        """Event and telemetry tell of one press in any order, and the event alone of a short one."""
        self._stop_presses += pressed and not self._stop_pressed
        self._stop_pressed = pressed

    def resting(self, number: int) -> bool:
        """Whether that lid is known to be shut."""
        return number in self._lids and self._lids[number].position is LidPosition.CLOSED

    def opening(self, number: int) -> None:
        """The controller accepted an OPEN: from now on the lid is not to be taken for shut."""
        if lid := self._lids.get(number):
            self._lids[number] = LidState(number, LidPosition.OPENING, lid.full_frac, lid.closed_t_s)

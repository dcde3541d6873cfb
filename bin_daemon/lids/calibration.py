"""Which calibration counts, the controller's or the config's. Pure: told what was heard, says what to ask next.

The controller works by what is in its own memory. The file records the board on which its values were measured (``uid``):

- both agree: nothing to do;
- no table for this lid in the config: the controller's values count;
- the file's values come from another board, or the board has the firmware's default values: the board was swapped or its memory
  lost. The file's values are stored in it and logged with what was there before;
- the file names no board (written by hand): likewise, a person has decided;
- the same board with other values: it was calibrated from elsewhere since, or its newer record was damaged and an older one is in
  force; from here the two look alike. The board's values stay, and a warning names both;
- values measured on a simulator are never stored in a real board.

One question at a time, only while every lid is shut or given up, so that nothing waits for it: an OPEN goes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import structlog

from bin_daemon.domain import LidPosition
from firmware_protocol.lid_core import default_calibration
from firmware_protocol.messages import Calibration, GetCal, SetCal
from firmware_protocol.session import Answered, Calibrated, Lost, Rebooted, SessionEvent, Unanswered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bin_daemon.config.settings import CalibrationSettings
    from bin_daemon.domain import LidsState
    from bin_daemon.lids.snapshot import ControllerInfo
    from firmware_protocol.messages import Command

VALUES = ("open_us", "closed_us", "speed_us_per_20ms", "jam_ma")
"""What a calibration consists of, by the names of wire and config."""
AT_REST = (LidPosition.CLOSED, LidPosition.FAULT)
"""A lid in fault may be there because its board has the wrong ends: the right ones must reach it."""
TRIES_MAX = 3
"""Of storing in one board: a worn memory must not be written for ever."""
TOLD_S = 1.0
"""The values follow the answer to GET_CAL at once; after this long they were lost on the line."""
SIMULATED = "0" * 12
"""What a simulated board calls itself."""


class Source(str, Enum):
    """Where the calibration in force comes from, as people say it."""

    UNKNOWN = "not read yet"
    DEFAULT = "never calibrated: the firmware's default values"
    CONTROLLER = "the controller's memory"
    AGREED = "controller and config agree"
    STORED = "stored from the config into this board"
    DIFFERS = "the controller's memory; the config differs"
    FAILED = "the controller does not take the config's values"


class Verdict(str, Enum):
    """What to do about one lid."""

    KEEP = "keep"
    STORE = "store"
    WARN = "warn"


def judge(wanted: CalibrationSettings, device: Calibration, uid: str) -> tuple[Verdict, str]:
    """The rule; and the reason, for the log."""
    if _same(wanted, device):
        return Verdict.KEEP, "they agree"
    if wanted.uid == SIMULATED != uid:
        return Verdict.WARN, "the config's values were measured on a simulator"
    if not wanted.uid:
        return Verdict.STORE, "the config's values were written by hand"
    if device == default_calibration(device.lid):
        return Verdict.STORE, "the board has the firmware's default values"
    if wanted.uid != uid:
        return Verdict.STORE, f"the config's values were measured on board {wanted.uid}, this is another"
    return Verdict.WARN, (
        "the controller holds other values than the file: calibrated elsewhere, or its memory was damaged; "
        f"`bin-daemon lid calibrate {device.lid + 1}` settles it"
    )


def _same(wanted: CalibrationSettings, device: Calibration) -> bool:
    return values_of(wanted) == values_of(device)


def values_of(cal: CalibrationSettings | Calibration) -> dict[str, int]:
    """`VALUES` by name."""
    return {name: getattr(cal, name) for name in VALUES}


@dataclass(slots=True)
class _Lid:
    number: int
    source: Source = Source.UNKNOWN
    device: Calibration | None = None
    to_store: bool = False
    stored: bool = False
    """SET_CAL was accepted; what the controller says next shows whether it was kept."""
    tries: int = 0

    @property
    def done(self) -> bool:
        return self.source is not Source.UNKNOWN


class CalibrationCheck:
    """Not thread-safe: its owner holds the mutex. ``wanted`` by lid from 1; ``lids`` are all of the config."""

    def __init__(self, wanted: Mapping[int, CalibrationSettings], lids: Iterable[int]) -> None:
        self._wanted = wanted
        self._lids = {n: _Lid(n) for n in lids}
        self._uid = ""
        self._ticket = 0
        """The command under way, 0 = none."""
        self._asked_t_s: float | None = None
        """When GET_CAL was sent whose values have not come yet."""
        self._log = structlog.get_logger()

    @property
    def sources(self) -> dict[int, Source]:
        """Where each lid's calibration comes from."""
        return {n: x.source for n, x in self._lids.items()}

    @property
    def values(self) -> dict[int, Calibration]:
        """What the controller has in force, as far as it was asked."""
        return {n: x.device for n, x in self._lids.items() if x.device}

    def connect(self, info: ControllerInfo) -> None:
        """A session was opened: ask again, it may be another board."""
        same_board, self._uid = info.uid == self._uid, info.uid
        self._ticket, self._asked_t_s = 0, None
        self._lids = {n: _Lid(n, tries=x.tries if same_board else 0) for n, x in self._lids.items()}

    def next(self, state: LidsState, now_s: float) -> Command | None:
        """What to send now, if anything; tell `sent` its ticket."""
        calm = state.connected and not state.stopped and all(x.position in AT_REST for x in state.lids.values())
        waits = self._asked_t_s is not None and now_s - self._asked_t_s < TOLD_S
        if not calm or self._ticket or waits:
            return None
        lid = next((x for x in self._lids.values() if not x.done), None)
        if lid is None:
            return None
        wanted = self._wanted.get(lid.number)
        if lid.to_store and wanted:
            return SetCal(lid.number - 1, **values_of(wanted))
        return GetCal(lid.number - 1)

    def sent(self, command: Command, ticket: int, now_s: float) -> None:
        """The command of `next` is on its way."""
        self._ticket = ticket
        self._asked_t_s = now_s if isinstance(command, GetCal) else None

    def hear(self, event: SessionEvent) -> None:
        """Take one event of the session."""
        if isinstance(event, Calibrated):
            self._asked_t_s = None
            if (lid := self._lids.get(event.calibration.lid + 1)) and not lid.done:
                self._read(lid, event.calibration)
        elif isinstance(event, (Answered, Unanswered)) and event.ticket == self._ticket != 0:
            self._ticket = 0
            self._answered(event)
        elif isinstance(event, (Lost, Rebooted)):
            self._ticket, self._asked_t_s = 0, None

    def _answered(self, answer: Answered | Unanswered) -> None:
        command = answer.command
        lid = self._lids.get(getattr(command, "lid", -1) + 1)
        if lid is None or isinstance(answer, Unanswered):
            return
        if isinstance(command, SetCal):
            lid.to_store, lid.stored = False, answer.accepted  # asked again in any case: BUSY, or to see what was kept
        elif not answer.accepted:
            lid.source = Source.CONTROLLER  # it has no such lid, or does not tell

    def _read(self, lid: _Lid, device: Calibration) -> None:
        before, lid.device = lid.device, device
        wanted = self._wanted.get(lid.number)
        if wanted is None:
            is_default = device == default_calibration(device.lid)
            lid.source = Source.DEFAULT if is_default else Source.CONTROLLER
            return
        verdict, why = judge(wanted, device, self._uid)
        log = self._log.bind(lid=lid.number, board=self._uid, controller=values_of(device), config=values_of(wanted))
        if verdict is Verdict.KEEP and lid.stored:
            lid.source = Source.STORED
            log.info("calibration of the config stored in the controller", before=values_of(before or device))
        elif verdict is Verdict.KEEP:
            lid.source = Source.AGREED
        elif verdict is Verdict.WARN:
            lid.source = Source.DIFFERS
            log.warning(
                "controller and config have different calibrations; the controller's counts",
                why=why,
                fix=f"run: bin-daemon lid calibrate {lid.number}",
            )
        elif lid.tries >= TRIES_MAX:
            lid.source = Source.FAILED
            log.error("the controller does not take the config's calibration", why=why)
        else:
            lid.tries += 1
            lid.to_store = True
            log.info("storing the config's calibration in the controller", why=why)

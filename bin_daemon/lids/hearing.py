"""What the session heard, entered into the ledger and the snapshot. Pure: no port, no thread, no clock of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from bin_daemon.domain import LidPosition, Outcome
from bin_daemon.lids.ledger import Ledger
from bin_daemon.lids.snapshot import ControllerInfo, Snapshot, controller_info
from firmware_protocol.messages import (
    NO_LID,
    Code,
    Event,
    EventKind,
    LidTelemetry,
    Limits,
    Open,
    StopLatch,
    StopNow,
    Telemetry,
    TimeoutReason,
)
from firmware_protocol.session import (
    Answered,
    Connected,
    Happened,
    Lost,
    Rebooted,
    Reported,
    SessionEvent,
    Unanswered,
    WrongVersion,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bin_daemon.config.settings import LidSettings

TROUBLES: dict[int, tuple[Outcome | None, str]] = {
    EventKind.JAM: (Outcome.OBSTRUCTED, "JAM"),
    EventKind.TIMEOUT: (Outcome.OBSTRUCTED, "TIMEOUT"),
    EventKind.PINCH_REVERSED: (None, "PINCH_REVERSED"),
    EventKind.HOST_LOST: (None, "HOST_LOST"),
}
"""Events on the way, and what the report will say once the lid is shut; None: worth telling, not a failure."""


def code_name(code: int) -> str:
    """RESULT's name; a newer controller's unknown code as its number."""
    try:
        return Code(code).name
    except ValueError:
        return f"CODE_{code}"


class Hearing:
    """Not thread-safe: its owner holds the mutex. ``lost_t_s`` is when the session was lost, None while there is one."""

    def __init__(self, lids: Sequence[LidSettings], url: str) -> None:
        self.ledger = Ledger()
        self.snapshot = Snapshot(lids)
        self.hello: ControllerInfo | None = None
        self.telemetry: Telemetry | None = None
        self.slots: dict[int, LidTelemetry] = {}
        """What was last reported of each lid, from 1."""
        self.held_switches: frozenset[int] = frozenset()
        """Lids, from 1, whose shut switch did not let go when they were to open, until it is seen to."""
        self.lost_t_s: float | None = None
        self.wrong_version: WrongVersion | None = None
        self._connected_t_s = 0.0
        self._log = structlog.get_logger().bind(port=url)

    def begin(self, now_s: float) -> None:
        """The port has just been opened."""
        self.lost_t_s, self.wrong_version, self.telemetry = now_s, None, None

    def end(self) -> None:
        """The port is gone, and with it all knowledge of the lids."""
        self.snapshot.disconnect()
        self.slots = {}
        self.ledger.interrupt("LINK_LOST")

    def take(self, event: SessionEvent, now_s: float) -> None:
        """Enter one event of the session."""
        if isinstance(event, Connected):
            self._connected(event, now_s)
        elif isinstance(event, (Answered, Unanswered)):
            self._answered(event, now_s)
        elif isinstance(event, Happened):
            self._happened(event.event, now_s)
        elif isinstance(event, Reported):
            self._reported(event)
        elif isinstance(event, Rebooted):
            self.ledger.interrupt("CONTROLLER_RESET")
        elif isinstance(event, Lost):
            self._lost(event, now_s)
        elif isinstance(event, WrongVersion):
            self.wrong_version = event

    def _connected(self, event: Connected, now_s: float) -> None:
        info = controller_info(event.ack)
        self.hello, self.lost_t_s, self._connected_t_s = info, None, now_s
        self.snapshot.connect(info)
        self.ledger.began(event.ack.last_action_id)
        self._log.info("controller connected", firmware=info.firmware, uid=info.uid, reset_cause=info.reset_cause)
        if missing := self.snapshot.not_fitted(info):
            self._log.error("the config names lids that this controller does not have", lids=missing, has=info.lids)

    def _lost(self, event: Lost, now_s: float) -> None:
        """The session is gone, not the controller: its events come in the next one, so actions stay open."""
        if self.lost_t_s is None:
            self.lost_t_s = now_s
            self._log.warning("controller session lost", reason=event.reason)
        self.snapshot.disconnect()

    def _reported(self, event: Reported) -> None:
        self.snapshot.telemetry(event.message)
        first = 0 if isinstance(event.message, Telemetry) else event.message.first_lid
        slots = dict(enumerate(event.message.slots, first + 1))
        self.slots |= slots
        self.held_switches -= {n for n, x in slots.items() if x.limits is not None and not x.limits & Limits.CLOSED}
        if isinstance(event.message, Telemetry):
            before, self.telemetry = self.telemetry, event.message
            if before and event.message.uptime_ms < before.uptime_ms:  # its BOOT was lost
                self.ledger.interrupt("CONTROLLER_RESET", before_s=self._connected_t_s)
        for lid in self.snapshot.state.lids.values():
            if lid.position is LidPosition.FAULT:
                self.ledger.faulted(lid.lid)

    def _answered(self, answer: Answered | Unanswered, now_s: float) -> None:
        command = answer.command
        if isinstance(command, Open):
            self._open_answered(command, answer, now_s)
        elif isinstance(answer, Answered) and answer.accepted and isinstance(command, (StopNow, StopLatch)):
            self.ledger.interrupt("STOPPED")

    def _open_answered(self, command: Open, answer: Answered | Unanswered, now_s: float) -> None:
        action_id, lid = command.action_id, command.lid + 1
        if isinstance(answer, Unanswered) and answer.sent:
            self.ledger.unanswered(action_id, "NO_REPLY")
        elif isinstance(answer, Unanswered):
            self.ledger.ended(action_id, Outcome.NO_REPLY, "NOT_SENT")
        elif answer.code == Code.DUPLICATE and self.snapshot.resting(lid):
            self.ledger.ended(
                action_id, Outcome.INTERRUPTED, "DUPLICATE"
            )  # done in an earlier life: no event will come
        elif answer.accepted:
            self.ledger.accepted(action_id, code_name(answer.code), now_s)
            self.snapshot.opening(lid)
        else:
            self.ledger.ended(action_id, Outcome.REFUSED, code_name(answer.code))

    def _happened(self, event: Event, now_s: float) -> None:
        self._log.debug("lid event", kind=event.kind, lid=event.lid + 1, action_id=event.action_id, value=event.value)
        if event.lid != NO_LID:
            self.snapshot.event(event.kind, event.lid + 1, now_s)
        if event.kind == EventKind.OPENED:
            self.ledger.opened(event.action_id, now_s)
        elif event.kind == EventKind.CLOSED:
            self.ledger.closed(event.action_id, event.value, now_s)
        elif event.kind == EventKind.STOP_PRESSED:
            self.snapshot.stop()
            self.ledger.interrupt("STOP_PRESSED")
        elif event.kind == EventKind.TIMEOUT and event.value == TimeoutReason.NOT_STARTED:
            self.ledger.ended(event.action_id, Outcome.REFUSED, "NOT_STARTED")
        elif event.kind == EventKind.TIMEOUT and event.value == TimeoutReason.SHUT_SWITCH:
            self.held_switches |= {event.lid + 1}
            self.ledger.troubled(event.action_id, Outcome.OBSTRUCTED, "SHUT_SWITCH")
        elif trouble := TROUBLES.get(event.kind):
            self.ledger.troubled(event.action_id, *trouble)

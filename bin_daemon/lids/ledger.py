"""Commands under way, and the one report that each of them ends in. Pure: told what was heard and when.

A command is open here from `begin` until its report; whatever happens in between (refusal, jam, controller reset, cable out,
silence) only decides which report that is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bin_daemon.domain import LidCommand, LidReport, Outcome

SLACK_S = 12.0
"""On top of start and hold: both travels, and three reversals of 2 s each before the controller gives up on a lid."""
DOUBT_S = 3.0
"""An unanswered command shows itself by then (after its latest start) in an event or in the next handshake, or never arrived."""


@dataclass(slots=True)
class _Action:
    command: LidCommand
    called_t_s: float
    accepted_t_s: float | None = None
    opened_t_s: float | None = None
    trouble: Outcome | None = None
    code: str = ""
    doubtful: bool = False
    """No RESULT came, and no sign that it was obeyed."""

    @property
    def due_t_s(self) -> float:
        """Later than this, the controller has forgotten about it."""
        latest_start = self.called_t_s + self.command.start_within_ms / 1000.0
        return latest_start + (DOUBT_S if self.doubtful else self.command.hold_ms / 1000.0 + SLACK_S)

    def report(self, outcome: Outcome, code: str, open_ms: float | None = None) -> LidReport:
        """How it ended."""
        accepted = self.accepted_t_s
        wire_ms = None if accepted is None else 1000.0 * (accepted - self.called_t_s)
        return LidReport(self.command.action_id, outcome, code, open_ms, wire_ms)


class Ledger:
    """Not thread-safe: its owner holds the mutex."""

    def __init__(self) -> None:
        self._actions: dict[int, _Action] = {}
        self._reports: list[LidReport] = []

    def begin(self, command: LidCommand, now_s: float) -> None:
        """`open()` was called."""
        self._actions[command.action_id] = _Action(command, now_s)

    def accepted(self, action_id: int, code: str, now_s: float) -> None:
        """The controller will do it, or has done it already."""
        if (action := self._actions.get(action_id)) and action.accepted_t_s is None:
            action.accepted_t_s, action.code = now_s, code

    def ended(self, action_id: int, outcome: Outcome, code: str) -> None:
        """It is over without a CLOSED: refused, no reply, stopped."""
        if action := self._actions.pop(action_id, None):
            self._reports.append(action.report(outcome, code))

    def unanswered(self, action_id: int, code: str) -> None:
        """No RESULT came, its fate is unknown. A lid that was seen to open is proof that it arrived."""
        if (action := self._actions.get(action_id)) and action.opened_t_s is None:
            action.doubtful, action.code = True, code

    def began(self, action_id: int) -> None:
        """The controller names it as the last motion that it began."""
        if action := self._actions.get(action_id):
            action.doubtful = False

    def opened(self, action_id: int, now_s: float) -> None:
        """The lid stands open; the first time counts."""
        if (action := self._actions.get(action_id)) and action.opened_t_s is None:
            action.opened_t_s, action.doubtful = now_s, False

    def troubled(self, action_id: int, outcome: Outcome | None, code: str) -> None:
        """Something went wrong on the way; the report comes when the lid is shut. None: worth telling, not a failure."""
        if action := self._actions.get(action_id):
            action.trouble, action.code, action.doubtful = outcome or action.trouble, code, False

    def closed(self, action_id: int, open_ms: float | None, now_s: float) -> None:
        """The lid is shut: the report is due. ``open_ms`` is the controller's own measure; without it ours serves."""
        if (action := self._actions.pop(action_id, None)) is None:
            return
        if open_ms is None and action.opened_t_s is not None:
            open_ms = 1000.0 * (now_s - action.opened_t_s)
        outcome = action.trouble or (Outcome.FAULT if open_ms is None else Outcome.CLOSED)
        self._reports.append(action.report(outcome, action.code, open_ms))

    def faulted(self, lid: int) -> None:
        """The controller has given up on this lid: no CLOSED will come."""
        for action_id, action in list(self._actions.items()):
            if action.command.lid == lid and action.accepted_t_s is not None:
                self.ended(action_id, Outcome.FAULT, action.code or "FAULT_LATCHED")

    def interrupt(self, code: str, *, before_s: float = math.inf) -> None:
        """The controller or the line died: what was begun before that time is not repeated."""
        for action_id, action in list(self._actions.items()):
            if action.called_t_s < before_s and action.doubtful:
                self.ended(action_id, Outcome.NO_REPLY, action.code)
            elif action.called_t_s < before_s:
                self.ended(action_id, Outcome.INTERRUPTED, code)

    def expire(self, now_s: float) -> None:
        """Give up on what should have ended long ago."""
        for action_id, action in list(self._actions.items()):
            if now_s > action.due_t_s:
                code = action.code if action.doubtful else "NO_CLOSED_EVENT"
                self.ended(action_id, action.trouble or Outcome.NO_REPLY, code)

    def take(self) -> tuple[LidReport, ...]:
        """Reports since the last call, oldest first."""
        reports, self._reports = tuple(self._reports), []
        return reports

"""Commands wait here for the moment between two frames: few, briefly, each answered exactly once."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import orjson

from bin_daemon.events.commands import Command, CommandGate, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

QUEUE_MAX = 16
"""More waiting commands than this means that the line is not turning; a person should know now, not later."""
WAIT_MAX_S = 5.0
"""A lid that opens later than this after the click surprises somebody."""
LOCAL_ANSWER_S = 8.0


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended: ``data`` when ``ok``, else ``code`` and ``message``."""

    ok: bool
    data: dict[str, Any] | None = None
    code: str = ""
    message: str = ""


@dataclass(slots=True)
class PendingCommand:
    """One command with its way back. Answer it with `accept` or `refuse`; only the first answer counts."""

    command: Command
    on_answer: Callable[[Answer], None]
    since_t_s: float
    _answered: bool = field(default=False, init=False)

    def accept(self, data: dict[str, Any] | None = None) -> None:
        """It was carried out (or begun)."""
        self._answer(Answer(ok=True, data=data))

    def refuse(self, code: str, message: str) -> None:
        """It was not."""
        self._answer(Answer(ok=False, code=code, message=message))

    def _answer(self, answer: Answer) -> None:
        if not self._answered:
            self._answered = True
            self.on_answer(answer)


class CommandQueue:
    """At most `QUEUE_MAX` commands; any thread puts, the main thread takes."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        now_utc: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._clock = clock
        self._now_utc = now_utc
        self._lock = threading.Lock()
        self._waiting: deque[PendingCommand] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, command: Command, on_answer: Callable[[Answer], None]) -> None:
        """Queue it, or answer ``busy`` at once."""
        pending = PendingCommand(command, on_answer, self._clock())
        with self._lock:
            full = len(self._waiting) >= QUEUE_MAX
            if not full:
                self._waiting.append(pending)
        if full:
            pending.refuse("busy", f"{QUEUE_MAX} commands are waiting already.")

    def drain(self) -> list[PendingCommand]:
        """All that wait, oldest first; those that waited too long or expired meanwhile are answered ``stale`` here."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        return [x for x in waiting if self._is_fresh(x)]

    def _is_fresh(self, pending: PendingCommand) -> bool:
        ends = pending.command.expires_at
        if self._clock() - pending.since_t_s > WAIT_MAX_S:
            pending.refuse("stale", f"The bin was busy for more than {WAIT_MAX_S:g} s.")
        elif ends is not None and ends <= self._now_utc():
            pending.refuse("stale", f"The command expired at {ends.isoformat()} while the bin was busy.")
        else:
            return True
        return False


class LocalCommands:
    """The control socket's handler: a request ``{"name", "id"?, "args"?, "expires_at"?}`` gives ``{"ok", ...}``.

    ``queries`` are answered at once without the queue (``status``), so that they work while the line stands still.
    """

    def __init__(
        self,
        queue: CommandQueue,
        queries: Mapping[str, Callable[[], dict[str, Any]]],
        *,
        gate: CommandGate | None = None,
    ) -> None:
        self._queue = queue
        self._queries = queries
        self._gate = gate or CommandGate(local=True)

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request; waits at most `LOCAL_ANSWER_S` for the line."""
        name = request.get("name")
        if not isinstance(name, str):
            return _as_dict(Answer(ok=False, code="bad_envelope", message="name: a command's name is missing."))
        if query := self._queries.get(name):
            return _as_dict(Answer(ok=True, data=query()))
        rest = {key: value for key, value in request.items() if key != "name"}
        try:
            payload = orjson.dumps(rest) if rest else b""
        except orjson.JSONEncodeError:  # reads 1024 levels, writes 254
            return _as_dict(Answer(ok=False, code="too_deep", message="A command nests at most a few levels."))
        result = self._gate.admit(name, payload)
        if isinstance(result, Refusal):
            return _as_dict(Answer(ok=False, code=result.code, message=result.message))
        done = threading.Event()
        answers: list[Answer] = []

        def take(answer: Answer) -> None:
            answers.append(answer)
            done.set()

        self._queue.put(result, take)
        if not done.wait(LOCAL_ANSWER_S):
            return _as_dict(Answer(ok=False, code="no_answer", message="The line does not turn."))
        return _as_dict(answers[0])


def _as_dict(answer: Answer) -> dict[str, Any]:
    if answer.ok:
        return {"ok": True, "data": answer.data or {}}
    return {"ok": False, "error": {"code": answer.code, "message": answer.message}}

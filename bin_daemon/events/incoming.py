"""Command messages from the broker: through the gate into the queue, and each answer back to its sender."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bin_daemon.events.commands import COMMANDS, CommandGate, Refusal
from bin_daemon.events.payloads import CommandError, Response, utc_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.events.client import Message
    from bin_daemon.events.command_queue import Answer, CommandQueue

ANSWERS_MAX = 64
"""Answers that wait for a connection; an older one interests nobody."""
SCOLD_S = 1.0
"""Over the rate limit: one answer a second, the rest is only counted."""
ANSWER_TOPIC_MAX = 256


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One answer on its way; ``topic`` is complete."""

    topic: str
    payload: bytes
    correlation: bytes


class Incoming:
    """``take`` runs on the publisher's thread; answers may come from any."""

    def __init__(
        self,
        base: str,
        prefix: str,
        queue: CommandQueue,
        gate: CommandGate,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._base = base
        self._prefix = prefix
        self._queue = queue
        self._gate = gate
        self._clock = clock
        self._wall = wall
        self._scolded_t_s = float("-inf")
        self.answers: deque[Outgoing] = deque(maxlen=ANSWERS_MAX)
        self.dropped = 0
        """Commands over the rate limit that were not even answered."""

    @property
    def topic_filter(self) -> str:
        """The one subscription of a bin."""
        return f"{self._prefix}/cmd/+"

    def take(self, message: Message) -> None:
        """Admit, queue or refuse one command message; anything else is ignored."""
        start = f"{self._prefix}/cmd/"
        if not message.topic.startswith(start):
            return
        name = message.topic[len(start) :]
        result = self._gate.admit(name, message.payload, retain=message.retain)
        if isinstance(result, Refusal):
            if result.code == "rate_limited" and not self._may_scold():
                self.dropped += 1
                return
            error = CommandError(code=result.code, message=result.message)
            self._answer(name, message, result.id, error=error)
            return

        def on_answer(answer: Answer) -> None:
            error = None if answer.ok else CommandError(code=answer.code, message=answer.message)
            self._answer(name, message, result.id, error=error, data=answer.data)

        self._queue.put(result, on_answer)

    def _may_scold(self) -> bool:
        now_s = self._clock()
        if now_s - self._scolded_t_s < SCOLD_S:
            return False
        self._scolded_t_s = now_s
        return True

    def _answer(
        self,
        name: str,
        message: Message,
        command_id: str | None,
        *,
        error: CommandError | None,
        data: dict[str, object] | None = None,
    ) -> None:
        response = Response(ts=utc_text(self._wall()), id=command_id, ok=error is None, error=error, data=data)
        payload = response.json_bytes()
        known = name if name in COMMANDS else "unknown"
        self.answers.append(Outgoing(f"{self._prefix}/rsp/{known}", payload, message.correlation))
        if self._may_answer_to(message.answer_to):
            self.answers.append(Outgoing(message.answer_to, payload, message.correlation))

    def _may_answer_to(self, topic: str) -> bool:
        """A sender chooses the response topic: it must not make this bin speak as another bin, or to Home Assistant."""
        if not topic or len(topic) > ANSWER_TOPIC_MAX or any(x in topic for x in "+#\0"):
            return False
        return not topic.startswith(("$", f"{self._base}/", "homeassistant/"))

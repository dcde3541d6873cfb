"""The simulated bin's lamp and buzzer, by SPEC.md's rules: what shows, for how long, and what showed before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from firmware_protocol.messages import Pattern

HISTORY = 100


@dataclass(frozen=True, slots=True)
class Shown:
    """One change of what shows; ``duration_ms`` 0: until the next one."""

    pattern: Pattern
    duration_ms: int


class Lamp:
    """A repeat of what shows is no change and makes no sound; that a pattern's time is over is one."""

    def __init__(self) -> None:
        self.pattern = Pattern.OFF
        self.history: deque[Shown] = deque(maxlen=HISTORY)
        """Changes, oldest first."""
        self.on_change: Callable[[Shown], None] = lambda _: None
        """Called with each change, on the controller's thread; must return at once."""
        self._left_s: float | None = None

    def indicate(self, pattern: int, duration_ms: int) -> None:
        """INDICATE arrived."""
        self._left_s = duration_ms / 1000.0 if duration_ms and pattern != Pattern.OFF else None
        self._change(Pattern(pattern), duration_ms)

    def advance(self, dt_s: float) -> None:
        """Let time pass."""
        if self._left_s is None:
            return
        self._left_s -= dt_s
        if self._left_s <= 0.0:
            self.indicate(Pattern.OFF, 0)

    def _change(self, pattern: Pattern, duration_ms: int) -> None:
        if pattern is self.pattern:
            return
        self.pattern = pattern
        self.history.append(Shown(pattern, duration_ms))
        self.on_change(self.history[-1])

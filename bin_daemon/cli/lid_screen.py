"""The screen on which a technician calibrates a lid with single keys: cold fingers, one hand, a lid to look at."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from bin_daemon.cli.keys import Keys
from bin_daemon.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from bin_daemon.technician.calibrate_desk import Desk
    from bin_daemon.technician.calibrate_state import Reading

REFRESH_S = 0.1
SAID = 3
"""The whole must fit into 24 lines."""
STEPS_US = {
    "left": -5, "h": -5, "right": 5, "l": 5,
    "down": -20, "j": -20, "up": 20, "k": 20,
    "pgdn": -50, "n": -50, "pgup": 50, "p": 50,
}  # fmt: skip
"""Positive opens."""
HELP = """\
[bold]<-[/]  shut  5     [bold]down[/]  shut 20     [bold]PgDn[/]  shut 50     the same: h j n
[bold]->[/]  open  5     [bold]up[/]    open 20     [bold]PgUp[/]  open 50               l k p

[bold]o[/]  here is OPEN        [bold]c[/]  here is SHUT        [bold]m[/]  it goes the wrong way
[bold]t[/]  try up and down     [bold]a[/]  find the ends by itself
[bold]\\[ ][/]  slower, faster    [bold]- +[/]  jam limit
[bold]s[/]  STORE               [bold]x[/]  clear stop or fault     [bold]q[/]  quit"""
BY_ITSELF = (" ", "t", "a")
"""Keys after which the lid moves for a while."""
GO = "Hands off the lid: it may jerk. Press SPACE to begin, q to quit."


class Screen:
    """Runs until the person quits or the terminal is gone."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._said: deque[str] = deque(maxlen=SAID)
        self._shown_t_s = 0.0
        self._question = ""
        self._busy = False
        self._desk: Desk | None = None
        self._live = Live(console=Console(highlight=False), auto_refresh=False, screen=False)
        self._keys = Keys()

    def say(self, sentence: str) -> None:
        """One more line."""
        if sentence:
            self._said.append(sentence)
            self._show(at_once=True)

    def confirm(self, question: str) -> bool:
        """Wait for y or n; anything else is asked again."""
        self._question = f"{question}  (y / n)"
        try:
            while True:
                for key in self._pause():
                    if key.lower() in ("y", "n"):
                        self._said.append(f"{question} {'yes' if key.lower() == 'y' else 'no'}")
                        return key.lower() == "y"
        finally:
            self._question = ""

    def run(self, desk: Desk) -> None:
        """Keys until q. Raises EOFError when the terminal is gone, `DeviceError` when the port is."""
        self._desk = desk
        desk.cal.on_run = self._show
        with self._keys, self._live:
            while True:
                for key in self._pause():
                    if key == "q":
                        return
                    self._press(desk, key)
                    if key.lower() in BY_ITSELF:
                        break  # what was typed meanwhile was meant for another moment

    def _pause(self) -> list[str]:
        """Let a moment pass; the keys of that moment."""
        assert self._desk is not None  # noqa: S101 - run() has set it
        self._desk.cal.run(0.05)
        keys = self._keys.read()
        if keys:
            self._desk.cal.touch()
        return keys

    def _press(self, desk: Desk, key: str) -> None:
        self._busy = key.lower() in BY_ITSELF
        try:
            told = self._act(desk, key)
        except DeviceError as error:
            told = f"{_sentence(error)} {error.hint}".strip()
        if self._busy:
            self._keys.read()  # dropped before the answer is shown, for what comes after it counts
        self._busy = False
        self.say(told)

    def _act(self, desk: Desk, key: str) -> str:
        if key in STEPS_US:
            return desk.cal.step(STEPS_US[key]) if desk.cal.active else self._begin_first(desk)
        draft = desk.cal.draft
        actions: dict[str, Callable[[], str]] = {
            " ": lambda: "" if desk.cal.active else desk.begin(),
            "o": desk.mark_open,
            "c": desk.mark_closed,
            "m": desk.turn_round,
            "t": desk.try_out,
            "a": desk.auto,
            "[": lambda: desk.set_speed(draft.speed_us_per_20ms - 1),
            "]": lambda: desk.set_speed(draft.speed_us_per_20ms + 1),
            "-": lambda: desk.set_jam(draft.jam_ma - 50),
            "+": lambda: desk.set_jam(draft.jam_ma + 50),
            "=": lambda: desk.set_jam(draft.jam_ma + 50),
            "s": desk.store,
            "x": desk.clear,
        }
        action = actions.get(key.lower())
        return action() if action else ""

    def _begin_first(self, desk: Desk) -> str:
        ending = desk.cal.ending
        return "Press SPACE to go on." if ending else GO

    # ---- what is shown ----------------------------------------------------------------------------------------------

    def _show(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if self._desk is None or (not at_once and now - self._shown_t_s < REFRESH_S):
            return
        self._shown_t_s = now
        self._live.update(self._view(self._desk), refresh=True)

    def _view(self, desk: Desk) -> RenderableType:
        said = "\n".join(escape(x) for x in self._said)
        return Panel(
            Group(self._state(desk), "", _side_by_side(_readings(desk.cal.reading), _values(desk)), "", HELP, "", said),
            title=escape(self._title),
            title_align="left",
            width=78,
        )

    def _state(self, desk: Desk) -> str:
        if self._question:
            return f"[black on yellow] {escape(self._question)} [/]"
        if self._busy:
            return "[black on yellow] MOVES BY ITSELF [/]  Hands off the lid. Ctrl-C ends it, lid shut."
        if desk.cal.active:
            return "[black on green] CALIBRATING [/]  Keep hands off the lid."
        ending = desk.cal.ending
        if ending is None:
            found = desk.cal.hindrance()
            return f"[black on yellow] READY [/]  {escape(f'{found.text} {found.hint}' if found else GO)}"
        return f"[white on red] STOPPED [/]  {escape(ending.text)}\n{escape(ending.hint)} Then SPACE goes on."


def _side_by_side(left: Table, right: Table) -> Table:
    table = Table.grid(padding=(0, 4))
    table.add_row(left, right)
    return table


def _readings(reading: Reading) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row("pulse", "[bold]no signal[/]" if reading.pulse_us is None else f"[bold]{reading.pulse_us} us[/]")
    table.add_row("switches", _switches(reading))
    peak = "" if reading.peak_ma is None else f", highest {reading.peak_ma}"
    table.add_row(
        "current", "not measured" if reading.current_ma is None else f"[bold]{reading.current_ma} mA[/]{peak}"
    )
    supply = [
        f"{name} {mv / 1000:.1f} V" for name, mv in (("board", reading.vin_mv), ("servos", reading.vservo_mv)) if mv
    ]
    table.add_row("supply", ", ".join(supply) or "not measured")
    return table


def _switches(reading: Reading) -> str:
    if not reading.has_switches:
        return "none on this board"
    shut = "[black on green] SHUT [/]" if reading.shut else "[dim] shut [/]"
    opened = "[black on green] OPEN [/]" if reading.open else "[dim] open [/]"
    caught = "  [white on red] SOMETHING IS CAUGHT [/]" if reading.pinched else ""
    return f"{shut} {opened}{caught}"


def _values(desk: Desk) -> Table:
    table = Table.grid(padding=(0, 2))
    draft, stored = desk.cal.draft, desk.cal.stored
    for name, new, old in (
        ("open us", draft.open_us, stored.open_us),
        ("shut us", draft.closed_us, stored.closed_us),
        ("speed", draft.speed_us_per_20ms, stored.speed_us_per_20ms),
        ("jam mA", draft.jam_ma, stored.jam_ma),
    ):
        table.add_row(name, f"[bold]{new}[/]", "[dim]stored[/]" if new == old else f"[yellow]stored: {old}[/]")
    return table


def _sentence(error: DeviceError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")

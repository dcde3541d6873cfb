"""Calibration without a screen: line commands for a script, and the search that needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from bin_daemon.cli.keys import Lines
from bin_daemon.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.technician.calibrate_desk import Desk

WORDS = """\
begin | jog US | step US | open | shut | turn | try | auto | speed N | jam MA | show | store | clear | quit
  begin      enter calibration and give the servo its signal; again after it was ended
  jog 1500   go to that pulse; step 20: so much further open, step -20: further shut
  open, shut the lid is open or shut as it stands; turn: the servo is mounted the other way round
  try        to open and back to shut;  auto: find the ends;  show: what is seen now
  store      in the controller and in the file;  clear: a stop or a fault;  quit: end, lid shut"""


class Script:
    """Reads commands from stdin, one a line, and prints what came of each. The first that fails ends the script."""

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self._say = say
        self._lines = Lines()
        self._desk: Desk | None = None

    def attach(self, desk: Desk) -> None:
        """Whose line lives on while an answer is awaited."""
        self._desk = desk

    def confirm(self, question: str) -> bool:
        """The next line answers."""
        self._say(f"{question} (y/n)")
        return (self._next() or "n").lower().startswith("y")

    def run(self, desk: Desk) -> None:
        """Until quit or the end of the input. Raises `DeviceError` for a command that fails."""
        self.attach(desk)
        while (line := self._next()) not in (None, "quit", "q"):
            word, *rest = (line or "").split()
            if word.startswith("#"):
                continue
            desk.cal.touch()
            self._say(self._act(desk, word.lower(), rest))
            if word != "show" and not desk.cal.active and (ending := desk.cal.ending) and ending.code != "left":
                raise DeviceError(ending.text, hint=ending.hint)

    def _next(self) -> str | None:
        """The next line that is not empty, None at the end."""
        assert self._desk is not None  # noqa: S101 - run() has set it
        while True:
            try:
                line = self._lines.read()
            except EOFError:
                return None
            if line:
                return line
            self._desk.cal.run(0.02)

    def _act(self, desk: Desk, word: str, rest: list[str]) -> str:
        plain: dict[str, Callable[[], str]] = {
            "begin": desk.begin,
            "open": desk.mark_open,
            "shut": desk.mark_closed,
            "turn": desk.turn_round,
            "try": desk.try_out,
            "auto": desk.auto,
            "show": lambda: show(desk),
            "store": desk.store,
            "clear": desk.clear,
            "help": lambda: WORDS,
        }
        numbered: dict[str, Callable[[int], str]] = {
            "jog": lambda n: self._moved(desk, desk.cal.jog(n)),
            "step": lambda n: self._moved(desk, desk.cal.step(n)),
            "speed": desk.set_speed,
            "jam": desk.set_jam,
        }
        if word in plain and not rest:
            return plain[word]()
        if word in numbered and len(rest) == 1 and rest[0].lstrip("+-").isdecimal():
            return numbered[word](int(rest[0]))
        raise typer.BadParameter(f"{' '.join([word, *rest])!r} is no command; help lists them")

    def _moved(self, desk: Desk, said: str) -> str:
        desk.cal.arrive()
        return f"{said} {show(desk)}".strip()


def show(desk: Desk) -> str:
    """All readings in one line, as key=value; ? = not measured."""
    reading = desk.cal.reading
    values = {
        "calibrating": int(desk.cal.active),
        "pulse_us": reading.pulse_us,
        "shut": reading.shut,
        "open": reading.open,
        "current_ma": reading.current_ma,
        "peak_ma": reading.peak_ma,
        "pinched": reading.pinched,
        "vin_mv": reading.vin_mv,
        "vservo_mv": reading.vservo_mv,
    }
    return " ".join(f"{k}={'?' if v is None else int(v)}" for k, v in values.items())

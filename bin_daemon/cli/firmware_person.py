"""Who flashes, at a terminal: asked before anything happens, told what goes on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from bin_daemon.cli.firmware_show import plan_rows, show_facts

if TYPE_CHECKING:
    from bin_daemon.technician.firmware import Plan

WHAT_HAPPENS = """What happens now takes about a minute:
  the controller restarts several times; meanwhile its lids get no signal and the bin takes nothing
  {kept}, then the image is written, read back and compared
  the calibration of the lids stays
Keep hands off the lids, leave cable and supply alone."""
HANDS = "Its lids cannot be asked whether they are shut. Are all hands, and all people, away from the lids?"


class Technician:
    """Answers, and is told, in a terminal."""

    def __init__(self, *, yes: bool, hands_away: bool) -> None:
        self._yes, self._hands_away = yes, hands_away
        self._shown = ""

    def say(self, text: str) -> None:
        """See `Person`."""
        self._end_bar()
        print(text, flush=True)

    def progress(self, word: str, done: float) -> None:
        """On one line of a terminal; a log gets no bars."""
        if sys.stderr.isatty():
            self._shown = f"\r  {word} {done:4.0%}"
            print(self._shown, end="", file=sys.stderr, flush=True)

    def agrees(self, plan: Plan) -> bool:
        """See `Person`."""
        show_facts("controller firmware", plan_rows(plan))
        print(
            WHAT_HAPPENS.format(
                kept="what is on it now is read and kept" if plan.alive else "what is on it now is lost"
            )
        )
        if plan.controller is None and not (self._hands_away or typer.confirm(HANDS)):
            return False
        return self._yes or typer.confirm("Flash now?")

    def _end_bar(self) -> None:
        if self._shown:
            print(file=sys.stderr)
            self._shown = ""

"""Who may change the mode, when it ends, and that a bin told to keep shut keeps shut over a restart."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bin_daemon.app.commands import RESTART_REST_S, Commands
from bin_daemon.app.mode import StandingMode
from bin_daemon.app.parts import Parts
from bin_daemon.config import load
from bin_daemon.domain import Mode
from bin_daemon.events import Command, CommandQueue
from bin_daemon.events.command_queue import Answer
from bin_daemon.events.commands import ModeArgs, NoArgs
from bin_daemon.pipeline import Pipeline


class Desk:
    """Commands of one bin, by hand: a clock that stands still, and what was answered."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 1000.0
        self.restarts = 0
        self.line = cast("Pipeline", SimpleNamespace(mode=Mode.AUTO))
        self.queue = CommandQueue(clock=lambda: self.now_s)
        settings = load(None, overrides={"service.state_dir": str(folder)}).settings
        parts = cast("Parts", SimpleNamespace(commands=self.queue))
        self.commands = Commands(
            settings,
            parts,
            self.line,
            newest=lambda: None,
            send_image=lambda _: False,
            restart=self._restarted,
            clock=lambda: self.now_s,
        )

    def _restarted(self) -> None:
        self.restarts += 1

    def give(self, name: str, args: Any, *, local: bool = False) -> Answer:
        """Carry out one command."""
        answers: list[Answer] = []
        self.queue.put(Command(name, args, local=local), answers.append)
        self.commands.run_waiting()
        return answers[0]

    def mode(self, mode: Mode, for_s: float | None = None, *, local: bool = False) -> str:
        """Ask for a mode; the refusal's code, or nothing."""
        return self.give("mode", ModeArgs(mode=mode, for_s=for_s), local=local).code

    def later(self, seconds: float) -> Mode:
        """The mode after a while."""
        self.now_s += seconds
        self.commands.run_waiting()
        return self.line.mode


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No config of this machine."""
    monkeypatch.delenv("BIN_CONFIG", raising=False)


def test_far_commands_do_not_end_maintenance_set_at_the_bin(tmp_path: Path) -> None:
    """Hands may be inside: neither auto nor a maintenance of a moment may come from the network; the bin itself may."""
    desk = Desk(tmp_path)
    assert not desk.mode(Mode.MAINTENANCE, 600, local=True)
    for mode in Mode:
        assert desk.mode(mode, 0.001) == "not_allowed"
    assert desk.later(599) is Mode.MAINTENANCE
    assert not desk.mode(Mode.AUTO, local=True)
    assert not desk.mode(Mode.PAUSED)


def test_maintenance_ends_by_its_time(tmp_path: Path) -> None:
    """Also when nobody comes back; what was set from afar may be ended from afar."""
    desk = Desk(tmp_path)
    desk.mode(Mode.MAINTENANCE, 600, local=True)
    assert desk.later(600) is Mode.AUTO
    desk.mode(Mode.MAINTENANCE, 600)
    assert not desk.mode(Mode.AUTO)
    assert desk.line.mode is Mode.AUTO


@pytest.mark.parametrize(("mode", "for_s"), [(Mode.PAUSED, None), (Mode.MAINTENANCE, 60.0), (Mode.MANUAL, 60.0)])
def test_a_mode_outlives_the_daemon(tmp_path: Path, mode: Mode, for_s: float | None) -> None:
    """A restart opens no lid over hands: the mode stands, a timed one for its whole time again; auto leaves nothing behind."""
    Desk(tmp_path).mode(mode, for_s, local=True)
    after = Desk(tmp_path)
    assert after.line.mode is mode
    assert after.mode(Mode.AUTO) == ("not_allowed" if mode is Mode.MAINTENANCE else "")
    assert after.later(60) is Mode.AUTO
    assert Desk(tmp_path).line.mode is Mode.AUTO
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"\xff", b'{"mode": "open"}', b'{"mode": "paused", "for_s": -1}'])
def test_a_damaged_memory_is_told_and_forgotten(tmp_path: Path, content: bytes) -> None:
    """The daemon starts; the next change mends the file."""
    (tmp_path / "mode.json").write_bytes(content)
    desk = Desk(tmp_path)
    assert desk.line.mode is Mode.AUTO
    desk.mode(Mode.PAUSED)
    assert Desk(tmp_path).line.mode is Mode.PAUSED


def test_a_disk_that_refuses_costs_only_the_memory(tmp_path: Path) -> None:
    """The mode is entered all the same."""
    line = cast("Pipeline", SimpleNamespace(mode=Mode.AUTO))
    standing = StandingMode(line, tmp_path / "nowhere" / "mode.json")
    assert not standing.change(Mode.PAUSED, None, local=False)
    assert line.mode is Mode.PAUSED


def test_restarts_from_afar_cannot_use_up_the_start_limit(tmp_path: Path) -> None:
    """The service manager gives up for good on five starts in five minutes; at the bin itself a restart is always to be had."""
    desk = Desk(tmp_path)
    assert desk.give("restart", NoArgs()).code == "too_soon"
    desk.later(RESTART_REST_S)
    assert desk.give("restart", NoArgs()).ok
    assert Desk(tmp_path).give("restart", NoArgs(), local=True).ok
    assert desk.restarts == 1
    unit = (Path(__file__).parents[2] / "systemd" / "bin-daemon.service").read_text()
    told = dict(line.split("=", 1) for line in unit.splitlines() if line.startswith("StartLimit"))
    assert int(told["StartLimitBurst"]) * RESTART_REST_S > int(told["StartLimitIntervalSec"])

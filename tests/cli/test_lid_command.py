"""`bin-daemon lid`: calibration as a person does it, at a terminal and from a script; and the lids through the running daemon."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bin_daemon.app.lid_queries import lid_queries
from bin_daemon.cli import app
from bin_daemon.cli.lid_calibrate import _auto
from bin_daemon.cli.lid_lines import Script
from bin_daemon.config import load
from bin_daemon.errors import BinError, DeviceError
from bin_daemon.events import CommandQueue, LocalCommands
from bin_daemon.lids import SerialLids
from bin_daemon.service.control import ControlSocket
from bin_daemon.service.worker import Worker
from bin_daemon.sim import register_serial
from bin_daemon.sim.options import SimOptions
from bin_daemon.sim.plant import PlantSettings
from bin_daemon.sim.serve import PtyController
from bin_daemon.sim.world import world
from bin_daemon.technician.calibrate_desk import Desk
from firmware_protocol.messages import Calibration
from tests.technician.calibrate_rig import Rig, calibration

OPTIONS = SimOptions(closed_us=1000, open_us=1780, blank=1, board=42, lids=2)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[PtyController]:
    """A board never calibrated behind a pty, and a config that names it."""
    with PtyController(world(f"cli-{tmp_path.name}"), OPTIONS) as simulated:
        (tmp_path / "bin.toml").write_text(
            f'[controller]\nport = "{simulated.path}"\n[service]\nruntime_dir = "{tmp_path}"\nstate_dir = "{tmp_path}"\n'
            '[[lids]]\nlid = 1\ncategory = "other"\n[[lids]]\nlid = 2\ncategory = "kitchen"\n'
        )
        yield simulated


def until(condition: Callable[[], Any], timeout_s: float = 15.0) -> Any:
    """Wait for a condition, bounded; its value."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)
    return value


class Terminal:
    """A person at an 80x24 terminal: reads the screen, presses keys."""

    def __init__(self, *words: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.modes = termios.tcgetattr(slave)
        self.slave = slave
        # The terminal must be the process's own, or neither Ctrl-C nor a closed window would reach it.
        own = (
            "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from bin_daemon.__main__ import main; main()"
        )
        command = [sys.executable, "-c", own, *words]
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm"},
            start_new_session=True,
        )
        self.seen = ""
        """All that was shown, without control sequences; written by the reading thread alone."""
        self._told = 0
        """So much of it has been waited for."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.master, 4096)
            except OSError:
                return
            self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode("utf-8", "replace"))

    def sees(self, text: str, timeout_s: float = 15.0) -> None:
        """Wait for that text, after what was waited for before."""

        def shown() -> int:
            seen = self.seen[self._told :]
            return len(seen) if text in re.sub(r"\s+", " ", seen) else 0

        try:
            self._told += until(shown, timeout_s)
        except AssertionError:
            raise AssertionError(f"{text!r} was not shown; the last was: {self.seen[-2000:]}") from None

    def press(self, keys: str) -> None:
        """As typed."""
        os.write(self.master, keys.encode())

    def steps(self, key: str, by_us: int, first_us: int, last_us: int) -> None:
        """One press after the other, each when the lid has followed the one before."""
        for pulse_us in range(first_us, last_us + by_us // abs(by_us), by_us):
            self.press(key)
            self.sees(f"{pulse_us} us")

    def ends(self, timeout_s: float = 10.0) -> int:
        """Its exit code."""
        return self.process.wait(timeout_s)

    def hang_up(self) -> None:
        """The window is closed."""
        os.close(self.slave)
        os.close(self.master)
        self._reader.join(2.0)

    def close(self) -> None:
        """End what is left."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for end in (self.slave, self.master):
            with contextlib.suppress(OSError):
                os.close(end)
        self._reader.join(2.0)


@pytest.fixture
def terminal(board: PtyController, tmp_path: Path) -> Iterator[Terminal]:
    """Calibrating lid 1, the screen up."""
    opened = Terminal("lid", "calibrate", "1", "--config", str(tmp_path / "bin.toml"))
    try:
        opened.sees("Press SPACE to begin")
        opened.press(" ")
        opened.sees("Calibration runs.")
        yield opened
    finally:
        opened.close()


UP, PAGE_UP = "\x1b[A", "\x1b[5~"


def test_a_lid_is_calibrated_with_keys(terminal: Terminal, board: PtyController, tmp_path: Path) -> None:
    """Big steps up, `o`, back down, `c`, `s`, `q`: stored in the board and in conf.d, lid shut, the terminal as it was."""
    terminal.steps(PAGE_UP, 50, 1050, 1750)
    terminal.steps(UP, 20, 1770, 1770)
    terminal.press("o")
    terminal.sees("Open is 1770 us.")
    terminal.steps("n", -50, 1720, 1020)
    terminal.steps("j", -20, 1000, 1000)
    terminal.steps("h", -5, 995, 995)
    terminal.press("c]+s")
    terminal.sees("Stored, and written to")
    terminal.press("q")
    terminal.sees("Lid 1 is shut.")
    assert terminal.ends() == 0
    assert board.device.board.load_cal(0) == Calibration(0, 1770, 995, 21, 950)
    values = load(tmp_path / "bin.toml").settings.calibration[1]
    assert (values.open_us, values.closed_us, values.uid) == (1770, 995, "00000000002a")
    assert board.device.all_closed
    assert termios.tcgetattr(terminal.slave)[:4] == terminal.modes[:4]


@pytest.mark.parametrize("way", ["ctrl-c", "hang up"])
def test_however_the_person_goes_the_lid_is_shut(way: str, terminal: Terminal, board: PtyController) -> None:
    """Ctrl-C, a closed window: half open one moment, shut by its servo the next; nothing is stored."""
    terminal.steps(PAGE_UP, 50, 1050, 1300)
    assert not board.device.all_closed
    if way == "ctrl-c":
        terminal.press("\x03")
        terminal.sees("Lid 1 is shut.")
        assert terminal.ends() == 130
    else:
        terminal.hang_up()
        assert terminal.ends() != 0
    until(lambda: board.device.all_closed, 6.0)
    assert board.device.board.load_cal(0) is None


def script(tmp_path: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Calibrate lid 2 from a pipe."""
    command = [sys.executable, "-m", "bin_daemon", "lid", "calibrate", "2", "-c", str(tmp_path / "bin.toml"), *words]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


def test_a_script_calibrates_without_a_terminal(board: PtyController, tmp_path: Path) -> None:
    """One command a line, one answer each; the first that is none ends it, with the lid shut."""
    text = "# a comment\nhelp\nbegin\njog 1770\nopen\njog 1000\nshut\nspeed 15\njam 700\nstore\nfly\n"
    command = [sys.executable, "-m", "bin_daemon", "lid", "calibrate", "2", "-c", str(tmp_path / "bin.toml")]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "'fly' is no command" in done.stderr
    lines = done.stdout.splitlines()
    assert "calibrating=1 pulse_us=1770 shut=0 open=1 current_ma=8" in done.stdout
    assert "Open is 1770 us." in lines
    assert lines[-1] == "Lid 2 is shut."
    assert board.device.board.load_cal(1) == Calibration(1, 1770, 1000, 15, 700)
    assert board.device.all_closed


def test_a_script_ends_at_the_first_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing after it is carried out: what a script was to store would be wrong."""
    rig = Rig(PlantSettings(closed_us=1000, open_us=1780))
    rig.board.lids[0].block_opening = 0.4
    given = ["begin", "jog 1700", "open", "store"]
    monkeypatch.setattr("bin_daemon.cli.lid_lines.Lines", lambda: SimpleNamespace(read=lambda: given.pop(0)))
    said: list[str] = []
    run = Script(said.append)
    with pytest.raises(DeviceError, match="drew too much current"):
        run.run(Desk(calibration(rig), None, said.append, run.confirm))
    assert given == ["open", "store"]
    assert rig.board.load_cal(0) is None


class Answers:
    """A person's answers, one after the other."""

    def __init__(self, *answers: bool) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def attach(self, desk: Desk) -> None:
        """No line to keep alive."""

    def confirm(self, question: str) -> bool:
        """The next one."""
        self.asked.append(question)
        return self.answers.pop(0)


def test_auto_shows_old_and_new_and_asks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No stores nothing; yes stores in board and file, and tries it."""
    (tmp_path / "bin.toml").touch()
    rig = Rig(PlantSettings(closed_us=1150, open_us=1780))
    for answers, stored in (((True, False), False), ((True, True), True)):
        person = Answers(*answers)
        desk = Desk(calibration(rig), tmp_path / "bin.toml", print, person.confirm)
        _auto(desk, person, yes=False)  # type: ignore[arg-type]
        assert person.asked == ["Hands off the lid: it moves to both ends. Begin?", "Store these values?"]
        assert desk.stored is stored
        assert (rig.board.load_cal(0) is not None) is stored
        assert desk.end() == "Lid 1 is shut."
        said = capsys.readouterr().out
        assert re.search(r"open\W+2000 us\W+17\d\d us", said)
        assert ("The open switch closed, highest current 220 mA. The shut switch closed" in said) is stored
    assert load(tmp_path / "bin.toml").settings.calibration[1].jam_ma == 860


# ---- through the running daemon -------------------------------------------------------------------------------------


def run(*words: str) -> Result:
    """The command line in this process."""
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[tuple[Path, SerialLids]]:
    """The part of a daemon that answers here: control socket, commands, lids."""
    register_serial()
    config = tmp_path / "bin.toml"
    name = f"sim://cli-{tmp_path.name}"
    config.write_text(f'[controller]\nport = "{name}"\ntelemetry_ms = 50\n[service]\nruntime_dir = "{tmp_path}"\n')
    settings = load(config).settings
    with ExitStack() as stack:
        lids = SerialLids(settings.controller, settings.lids)
        handler = LocalCommands(CommandQueue(), lid_queries(settings, lids))
        for worker in (
            Worker("lids", lids.session),
            Worker("control", ControlSocket(tmp_path / "control.sock", handler).session),
        ):
            worker.start()
            stack.callback(worker.join, 2.0)
            stack.callback(worker.stop)
        until(lambda: lids.details[4].open_us and (tmp_path / "control.sock").exists())
        yield config, lids


def test_the_list_shows_what_the_controller_says(daemon: tuple[Path, SerialLids]) -> None:
    """Position, switches, current, fill, calibration; then a stop, seen in the list."""
    config, lids = daemon
    shown = run("lid", "list", "-c", str(config), "--json")
    assert '"position":"closed"' in shown.output
    assert '"switches":"shut","current_ma":8,"fill_mm":450' in shown.output
    listed = run("lid", "list", "-c", str(config)).output
    assert re.search(r"2 +│ 2000 us │ 1000 us │ \d+ +│ 900 mA +│ the controller's memory", listed)
    stopped = run("lid", "stop", "-c", str(config)).output
    assert "All lids are stopped." in stopped
    assert "Maestro" not in stopped
    until(lambda: lids.state.stopped)
    assert "bin-daemon lid clear" in run("lid", "list", "-c", str(config)).output


def test_calibration_asks_to_stop_the_service_first(daemon: tuple[Path, SerialLids]) -> None:
    """The daemon has the port: said at once, with the command."""
    config, _ = daemon
    refused = run("lid", "calibrate", "1", "-c", str(config))
    assert isinstance(refused.exception, BinError)
    assert str(refused.exception) == "the service runs and has the controller"
    assert "sudo systemctl stop bin-daemon" in refused.exception.hint


@pytest.mark.parametrize(
    ("words", "answer", "said"),
    [
        (("open", "2"), {"ok": True, "data": {"lid": 2, "hold_ms": 2500}}, "Lid 2 opens, and shuts after 2.5 s."),
        (("close", "2"), {"ok": True, "data": {"accepted": {"2": True}}}, "Lid 2 shuts."),
        (("close", "2"), {"ok": True, "data": {"accepted": {"2": False}}}, "the controller does not shut lid 2"),
        (("clear",), {"ok": True, "data": {}}, "Cleared. Nothing has moved"),
        (("stop",), {"ok": True, "data": {"stopped": False}}, "the stop did NOT reach it"),
        (("stop",), {"ok": True, "data": {"stopped": True, "unconfirmed": True}}, "sends all lids home"),
        (
            ("open", "2"),
            {"ok": False, "error": {"code": "stopped", "message": "A stop is latched."}},
            "A stop is latched.",
        ),
        (
            ("open", "2"),
            {"ok": False, "error": {"code": "no_answer", "message": "The line does not turn."}},
            "does not turn",
        ),
    ],
)
def test_each_command_says_what_came_of_it(
    words: tuple[str, ...], answer: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sentence; a refusal in the daemon's own words, with an exit code that is not 0. Opening goes by the daemon's rules."""
    asked: list[dict[str, Any]] = []

    def ask(_: Path, request: dict[str, Any], **__: float) -> dict[str, Any]:
        asked.append(request)
        return answer

    monkeypatch.setattr("bin_daemon.service.control.ask", ask)
    (tmp_path / "bin.toml").touch()
    done = run("lid", *words, "-c", str(tmp_path / "bin.toml"))
    assert said in done.output + str(done.exception or "")
    assert (done.exit_code == 0) == (answer["ok"] and "not" not in said.lower().replace("nothing", ""))
    assert asked[0]["name"] in {"lid.open", "lid.close", "lid.stop", "stop.clear"}

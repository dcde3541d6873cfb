"""`bin-daemon firmware` as a technician and a script see it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bin_daemon.cli.firmware import firmware_app
from bin_daemon.errors import BinError, ConfigError, DeviceError
from bin_daemon.technician import link
from bin_daemon.technician.avrdude import Avrdude
from bin_daemon.technician.avrdude_says import CutOffError
from bin_daemon.technician.firmware import FlashError
from bin_daemon.technician.firmware_image import Image, write_hex
from bin_daemon.technician.firmware_store import FirmwareStore
from tests.technician.mega_board import UID, MegaBoard, program_image
from tests.technician.mega_bootloader import Faults

OLD, NEW = program_image((1, 0, 0), git=0x0A), program_image((1, 1, 0), git=0x0B, size=5000)
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command that has to end with ``code``, somebody typing ``keys``; its output. Our errors come through."""
    config = tmp_path / "bin.toml"
    config.write_text(
        f'config_version = 1\n[service]\nstate_dir = "{tmp_path / "state"}"\n[controller]\nport = "{tmp_path / "tty"}"\n'
    )
    (tmp_path / "old.hex").write_bytes(write_hex(OLD))
    (tmp_path / "new.hex").write_bytes(write_hex(NEW))
    store = FirmwareStore(tmp_path / "state")
    store.update(flashed=store.keep(OLD, UID.hex()))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def invoke(*words: str, code: int = 0, keys: str = "") -> str:
        result = CliRunner().invoke(firmware_app, [*words, "--config", str(config)], input=keys)
        if isinstance(result.exception, BinError):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.output

    return invoke


def board(faults: Faults | None = None) -> MegaBoard:
    """On the cable, in the present folder."""
    return MegaBoard(Path("tty").absolute(), [OLD, NEW], OLD, faults=faults)


def test_info(run: Run) -> None:
    """Both sides, and in one sentence which is older; no line is longer than a terminal is wide."""
    with board():
        text = run("info", "new.hex")
        assert "image new.hex\n  firmware  1.1.0 (git 0000000b)" in text
        assert "firmware     1.0.0 (git 0000000a)" in text
        assert f"uid          {UID.hex()}" in text
        assert "last start   power-on" in text
        assert text.endswith("The controller is older than the image.\n")
        lines = [line.strip() for line in text.splitlines() if "tty" not in line]
        assert max(map(len, lines)) <= 80
        assert "runs this firmware" in run("info", "old.hex")
        assert "version that belongs to this bin-daemon (1.0.0)" in run("info")
        told = json.loads(run("info", "new.hex", "--json"))
    assert told["controller"]["version"] == "1.0.0"
    assert told["controller"]["board"] == "mega2560"
    assert "bootloader" in told["controller"]["capabilities"]
    assert told["image"] == {
        "version": "1.1.0",
        "git": "0000000b",
        "board": "mega2560",
        "protocol": "1.0",
        "size_bytes": 5000,
        "sha256": NEW.sha256,
    }
    assert told["kept"]["flashed"]["sha256"] == OLD.sha256
    assert told["compared"] == "The controller is older than the image."


def test_info_of_the_simulator(run: Run) -> None:
    """sim:// answers HELLO too; it says what it is."""
    assert "board        simulated" in run("info", "--port", "sim://firmware-info")


def test_flash_asks_first_then_verify_and_rollback(run: Run) -> None:
    """What is on it, what goes on it, what will happen; then the question. Afterwards both other commands."""
    with board() as mega:
        text = run("flash", "new.hex", code=1, keys="n\n")
        assert "Flash now? [y/N]: n" in text
        assert "its lids get no signal" in text
        assert "goes on   1.1.0 (git 0000000b), 5000 bytes: new.hex" in text
        assert "is on it  1.0.0 (git 0000000a); mega2560, uid a1b2c3d4e5f6, all 4 lids shut" in " ".join(
            text.split("\n")
        )
        assert text.endswith("nothing was touched\n")
        assert mega.pages_written == 0

        text = run("flash", "new.hex", keys="y\n")
        assert f"flashed and verified: the controller runs 1.1.0 (git 0000000b), SHA-256 {NEW.sha256}" in text
        assert "bin-daemon firmware rollback" in text
        assert "sudo systemctl start bin-daemon" in text
        assert mega.runs == NEW.identity

        assert run("verify").endswith(f"verified: 5000 bytes, SHA-256 {NEW.sha256}\n")
        assert "DIFFERS" in run("verify", "old.hex", code=1)
        assert "the controller runs 1.0.0" in run("rollback", "--yes")
        assert mega.runs == OLD.identity


def test_a_script_must_say_yes(run: Run) -> None:
    """Without a terminal nothing is flashed by accident."""
    with board() as mega:
        assert "Aborted" in run("flash", "new.hex", code=1)
        assert mega.pages_written == 0


def test_a_failed_flash_offers_the_way_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error first, then the question; yes brings the old firmware back. With --yes nothing is done by itself."""
    faults, written = Faults(), list[Image]()
    real = Avrdude.write

    def write(self: Avrdude, image: Image) -> None:
        written.append(image)
        if len(written) > 2:
            raise CutOffError("tty: the bootloader stopped answering", hint="check the cable")
        faults.says = {"fw_minor": 9} if image == NEW else {}
        real(self, image)

    monkeypatch.setattr(Avrdude, "write", write)
    with board(faults) as mega:
        text = run("flash", "new.hex", keys="y\ny\ny\n")
        assert "the controller runs 1.9.0 (git 0000000b) instead of 1.1.0 (git 0000000b)" in text
        assert "Go back to 1.0.0 (git 0000000a) now? [y/N]: y" in text
        assert mega.runs == OLD.identity
        with pytest.raises(FlashError, match="half a firmware"):
            run("flash", "new.hex", "--yes")
    assert written == [NEW, OLD, NEW]


def test_recover_wants_hands_away(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """--yes is not enough where the lids cannot be asked: it is its own question, or its own option."""
    monkeypatch.setattr(link.Link.hello, "__defaults__", (0.5,))
    monkeypatch.setattr("bin_daemon.technician.firmware.Flasher.__init__.__defaults__", (0.5, 1.0))
    with MegaBoard(Path("tty").absolute(), [OLD, NEW]) as mega:
        text = run("flash", "new.hex", "--recover", "--yes", code=1, keys="n\n")
        assert "is on it  not known, it cannot be asked" in text
        assert "what is on it now is lost" in text
        assert "away from the lids? [y/N]: n" in text
        assert mega.pages_written == 0
        assert "1.1.0" in run("flash", "new.hex", "--recover", "--yes", "--hands-away")
        assert mega.runs == NEW.identity


def test_killed_while_writing(run: Run, tmp_path: Path) -> None:
    """The terminal is gone, kill -9: avrdude finishes its work all the same, and `verify` finds it done."""
    with board(Faults(page_s=0.05)) as mega:
        command = [sys.executable, "-m", "bin_daemon", "firmware", "flash", "new.hex", "--yes", "-c", "bin.toml"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as flashing:
            wait_for(lambda: mega.pages_written > 2)
            flashing.kill()
        with pytest.raises(DeviceError, match="another program has the port open"):
            run("info")  # it would talk into the middle of it
        wait_for(lambda: mega.runs == NEW.identity)
        assert "flashing 1.1.0" in run("info")
        assert "verified: 5000 bytes" in run("verify")
        told = json.loads(run("info", "--json"))["kept"]
        assert told["unfinished"] is None
        assert (told["flashed"]["sha256"], told["previous"]["sha256"]) == (NEW.sha256, OLD.sha256)


def wait_for(condition: Callable[[], object]) -> None:
    """Poll, bounded."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_who_has_no_firmware_of_ours(run: Run, tmp_path: Path) -> None:
    """A simulator cannot be flashed, a Maestro has its own."""
    with pytest.raises(ConfigError, match="only a controller on a serial port"):
        run("flash", "new.hex", "--port", "sim://bin")
    with (tmp_path / "bin.toml").open("a") as config:
        config.write('kind = "maestro"\n')
        config.writelines(f"[calibration.{lid}]\nopen_us = 2000\nclosed_us = 1000\n" for lid in range(1, 5))
    with pytest.raises(ConfigError, match="Pololu Maestro has a firmware of its own"):
        run("info")


def test_nothing_on_the_port(run: Run) -> None:
    """The name is wrong, or the cable is out."""
    with pytest.raises(DeviceError, match="No such file") as caught:
        run("info", "--port", "/dev/serial/by-id/none")
    assert "ls /dev/serial/by-id" in caught.value.hint


def test_verify_without_a_past(run: Run) -> None:
    """Nothing was flashed from here: which image?"""
    FirmwareStore(Path("state")).update(flashed=None)
    with board() as mega:
        with pytest.raises(ConfigError, match="nothing was flashed from here") as caught:
            run("verify")
        with pytest.raises(ConfigError, match="no previous firmware is kept"):
            run("rollback")
        assert mega.program
        assert mega.program.errors.length == mega.program._session == 0  # the port was not even opened
    assert "firmware verify IMAGE" in caught.value.hint

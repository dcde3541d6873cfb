"""Flashing a controller, with the real avrdude: every gate, and every way in which it can go wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bin_daemon.errors import ConfigError, DeviceError
from bin_daemon.lids import waking
from bin_daemon.technician.avrdude import Avrdude
from bin_daemon.technician.avrdude_says import NoSyncError
from bin_daemon.technician.firmware import FlashError, previous_image
from bin_daemon.technician.firmware_gate import RefusedError, enter_bootloader
from bin_daemon.technician.firmware_image import MEGA2560, Image, read_image
from bin_daemon.technician.link import SilentError, opened_link
from firmware_protocol.messages import Calibrate, StopLatch
from firmware_protocol.version import FIRMWARE
from tests.firmware_protocol.bodies.build import build_image
from tests.technician.firmware_rig import NEW, OLD, rigged
from tests.technician.mega_board import UID, program_image
from tests.technician.mega_bootloader import Faults


def test_a_new_firmware_and_back(tmp_path: Path) -> None:
    """The whole way on a board that nobody knows: read and kept, written, checked; then back, and forth again is offered."""
    with rigged(tmp_path, known=False) as rig:
        store = rig.flasher.store
        controller = rig.flasher.flash(NEW, "new.hex")
        assert controller
        assert NEW.identity
        assert NEW.identity.same_build(controller.identity)
        assert rig.board.runs == NEW.identity
        manifest = store.manifest()
        assert manifest.flashed
        assert manifest.previous
        assert (manifest.flashed.sha256, manifest.flashed.uid) == (NEW.sha256, UID.hex())
        assert (manifest.previous.sha256, manifest.previous.version) == (OLD.sha256, (1, 0, 0))

        image, kept = previous_image(store)
        assert image == OLD
        assert rig.flasher.flash(image, kept.words, force=True)
        assert rig.board.runs == OLD.identity
        assert previous_image(store)[0] == NEW
        assert sum("half a minute" in x for x in rig.person.said) == 1  # the second time it only compared


def test_an_arduino_that_resets_when_its_port_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening, avrdude and our own pulse all reset it: it is waited for each time, and never held in its bootloader."""
    monkeypatch.setattr(waking, "has_modem_lines", lambda _: True)
    with rigged(tmp_path, auto_reset=True) as rig:
        assert rig.flasher.flash(NEW, "new.hex")
        assert rig.board.runs == NEW.identity
        assert rig.board.bootloader_entries >= 6


def test_nobody_agrees(tmp_path: Path) -> None:
    """Asked once, with both sides in the plan; nothing is touched."""
    with rigged(tmp_path) as rig:
        rig.person.answer = False
        assert rig.flasher.flash(NEW, "new.hex") is None
        assert [plan.controller is not None for plan in rig.person.plans] == [True]
        assert rig.untouched
        assert rig.board.bootloader_entries == 0


@pytest.mark.parametrize(
    ("image", "said", "hint"),
    [
        (OLD, "already runs this firmware", "--force"),
        (program_image((1, 0, 0), git=0x0C), "same version of another build", "--force"),
        (program_image((0, 9, 0)), "the image is older", "firmware rollback"),
    ],
    ids=["same", "other build", "older"],
)
def test_without_force_only_newer_ones(tmp_path: Path, image: Image, said: str, hint: str) -> None:
    """Nobody is asked, nothing is touched."""
    with rigged(tmp_path) as rig:
        with pytest.raises(RefusedError, match=said) as caught:
            rig.flasher.flash(image, "some.hex")
        assert hint in caught.value.hint
        assert rig.untouched
        assert not rig.person.plans


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (program_image((2, 0, 0), board=7), "another board .unknown board 7"),
        (program_image((2, 0, 0), protocol=2), "speaks protocol 2"),
        (Image(b"\x0c\x94 some sketch", None), "no identification block"),
        (Image(b"\xff\xff" + NEW.data[2:], NEW.identity), "does not begin with a program"),
    ],
    ids=["board", "protocol", "sketch", "no start"],
)
def test_images_that_never_go_on(tmp_path: Path, image: Image, said: str) -> None:
    """Not with --force, nor with --recover."""
    with rigged(tmp_path) as rig:
        with pytest.raises(ConfigError, match=said):
            rig.flasher.flash(image, "some.hex", force=True, recover=True)
        assert rig.untouched


def test_another_board_answers(tmp_path: Path) -> None:
    """An image for the Mega does not go on what says it is none, not even by force."""
    with rigged(tmp_path, Faults(says={"board": 2})) as rig:
        with pytest.raises(RefusedError, match="the controller is unknown board 2"):
            rig.flasher.flash(NEW, "new.hex", force=True)
        assert rig.untouched


def test_a_lid_that_is_not_shut(tmp_path: Path) -> None:
    """The host refuses by telemetry; and the controller itself, whatever the host believes."""
    with rigged(tmp_path) as rig:
        with rig.board.held() as board:
            board.lids[1].frac = 0.5
            board.lids[1].block_closing = 0.4
            assert rig.board.program
            rig.board.program.core.boot(rig.board.program._now_ms)  # its switch is looked at when it starts
        with pytest.raises(RefusedError, match=r"lid 2 is (homing|unknown|reversing|open|in fault)"):
            rig.flasher.flash(NEW, "new.hex")
        with pytest.raises(RefusedError, match="refuses to enter its bootloader"):
            enter_bootloader(rig.flasher.link)
        assert rig.untouched
        assert rig.board.bootloader_entries == 0


def test_calibration_latch_and_stop_switch(tmp_path: Path) -> None:
    """Somebody is at work here: each refusal says what, and what ends it."""
    with rigged(tmp_path) as rig:
        link = rig.flasher.link
        link.hello()
        assert link.ask(Calibrate(1)).accepted
        with pytest.raises(RefusedError, match="calibration is under way"):
            rig.flasher.flash(NEW, "new.hex")
        link.hello()
        assert link.ask(Calibrate(0)).accepted
        assert link.ask(StopLatch()).accepted
        with pytest.raises(RefusedError, match="a stop is latched"):
            rig.flasher.flash(NEW, "new.hex")
        with rig.board.held() as board:
            board.mushroom = True
        with pytest.raises(RefusedError, match="stop switch is pressed"):
            rig.flasher.flash(NEW, "new.hex")
        assert rig.untouched
        assert rig.board.bootloader_entries == 0


def test_the_gate_is_asked_again(tmp_path: Path) -> None:
    """Minutes may pass before somebody agrees: the stop switch is seen before the present firmware is read, too."""
    with rigged(tmp_path) as rig:
        rig.person.when("agrees", lambda: vars(rig.board.board).update(mushroom=True))
        with pytest.raises(DeviceError, match=r"stop switch is pressed.*Nothing was written"):
            rig.flasher.flash(NEW, "new.hex")
        assert rig.untouched
        assert rig.board.bootloader_entries == 0


def test_supply_cut_in_the_middle_and_recovered(tmp_path: Path) -> None:
    """Half a firmware: said so, refused without --recover; with it the old one is put back, and nothing lies behind that."""
    with rigged(tmp_path, Faults(cut_at_page=9)) as rig:
        store = rig.flasher.store
        with pytest.raises(FlashError, match="half a firmware and runs none") as caught:
            rig.flasher.flash(NEW, "new.hex")
        assert "--recover" in caught.value.hint
        assert "bin-daemon firmware rollback" in caught.value.hint
        assert caught.value.previous
        assert caught.value.previous.sha256 == OLD.sha256
        assert store.manifest().unfinished

        rig.board.power_cycle()
        with pytest.raises(SilentError, match="nothing answers HELLO") as silent:
            rig.flasher.flash(NEW, "new.hex")
        assert "--recover" in silent.value.hint

        rig.board.power_cycle()
        image, kept = previous_image(store)
        assert rig.flasher.flash(image, kept.words, recover=True)
        assert rig.person.plans[-1].controller is None
        assert rig.board.runs == OLD.identity
        manifest = store.manifest()
        assert manifest.flashed
        assert manifest.flashed.sha256 == OLD.sha256
        assert (manifest.unfinished, manifest.previous) == (None, None)


def test_a_blank_board_gets_the_built_image(
    tmp_path: Path, build_once: Callable[[str, Callable[[Path], Path]], Path]
) -> None:
    """Never flashed, it waits in its bootloader for ever; --recover gives it what `make firmware` builds."""
    image = read_image(build_once("image", build_image).with_suffix(".hex"))
    assert image.identity
    assert (image.identity.board, image.identity.version) == (MEGA2560, FIRMWARE)
    with rigged(tmp_path, known=False, flashed=None) as rig:
        rig.board.programs.append(image)
        assert rig.flasher.flash(image, "mega2560.hex", recover=True)
        assert rig.board.runs == image.identity
        assert rig.flasher.store.manifest().previous is None


def test_what_was_written_is_not_there(tmp_path: Path) -> None:
    """Worn-out flash: what is on the board now, and both ways on."""
    with rigged(tmp_path) as rig:
        rig.person.when("writing", lambda: rig.board.faults.stuck_low.update({700: 0xFF}))
        with pytest.raises(FlashError, match=r"first at 0x02bc.*half a firmware") as caught:
            rig.flasher.flash(NEW, "new.hex")
        assert "--recover" in caught.value.hint
        assert rig.flasher.store.manifest().unfinished


def test_the_bootloader_is_not_there_when_it_comes_to_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was written: said so, and nothing is left unfinished."""

    def write(*_: object) -> None:
        raise NoSyncError("tty: the bootloader does not answer", hint="try again")

    monkeypatch.setattr(Avrdude, "write", write)
    with rigged(tmp_path) as rig:
        with pytest.raises(DeviceError, match=r"does not answer.*Nothing was written"):
            rig.flasher.flash(NEW, "new.hex")
        assert rig.untouched


def test_it_reads_back_other_bytes(tmp_path: Path) -> None:
    """Avrdude was content and HELLO is right, but our own reading is not: SHA-256 decides."""
    with rigged(tmp_path) as rig:
        rig.person.when("reading", lambda: rig.board.faults.stuck_low.update({700: 0xFF}))
        with pytest.raises(FlashError, match="the flash does not hold the image"):
            rig.flasher.flash(NEW, "new.hex")
        assert rig.flasher.store.manifest().unfinished


def test_another_chip(tmp_path: Path) -> None:
    """Nothing was written, and the error says so."""
    with rigged(tmp_path, Faults(signature=b"\x1e\x97\x03"), known=False) as rig:
        with pytest.raises(DeviceError, match=r"no ATmega2560.*Nothing was written"):
            rig.flasher.flash(NEW, "new.hex")
        assert rig.untouched


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"says": {"fw_minor": 7, "git": 0}}, r"runs 1.7.0 .no git. instead of 1.1.0 .git 0000000b."),
        ({"mute": True}, "written and compared, but does not run"),
    ],
    ids=["version", "mute"],
)
def test_it_says_something_else_afterwards(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    """HELLO after flashing must tell the image's version and commit; the way back is named."""
    with rigged(tmp_path) as rig:
        rig.person.when("writing", lambda: vars(rig.board.faults).update(wrong))
        with pytest.raises(FlashError, match=said) as caught:
            rig.flasher.flash(NEW, "new.hex")
        assert "go back to 1.0.0 (git 0000000a): bin-daemon firmware rollback" in caught.value.hint


def test_the_same_once_more_keeps_the_way_back(tmp_path: Path) -> None:
    """--force with what is on it already: a rollback still leads to what was before."""
    with rigged(tmp_path) as rig:
        store = rig.flasher.store
        before = store.keep(NEW, "")
        store.update(previous=before)
        assert rig.flasher.flash(OLD, "old.hex", force=True)
        assert store.manifest().previous == before


def test_the_port_is_taken(tmp_path: Path) -> None:
    """By the service: the hint says how to stop it. No second one gets in while we are at work, either."""
    with (
        rigged(tmp_path) as rig,
        pytest.raises(DeviceError, match="another program has the port open") as caught,
        opened_link(rig.board.path, 115200),
    ):
        pass
    assert "sudo systemctl stop bin-daemon" in caught.value.hint


def test_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before writing nothing is touched; after it, the error says that the controller is well."""
    with rigged(tmp_path) as rig:
        store = rig.flasher.store

        def full(*_: object, **__: object) -> None:
            raise ConfigError("No space left on device", hint="make room")

        monkeypatch.setattr(store, "keep", full)
        with pytest.raises(ConfigError, match="No space left"):
            rig.flasher.flash(NEW, "new.hex")
        assert rig.untouched
        monkeypatch.undo()
        rig.person.when("starting", lambda: monkeypatch.setattr(store, "update", full))
        with pytest.raises(ConfigError, match=r"the controller runs 1.1.0 .* could not be noted"):
            rig.flasher.flash(NEW, "new.hex")
        assert rig.board.runs == NEW.identity


def test_no_avrdude(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found before anybody is asked."""
    with rigged(tmp_path) as rig:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ConfigError, match="avrdude is not installed"):
            rig.flasher.flash(NEW, "new.hex")
        assert rig.untouched
        assert not rig.person.plans


def test_the_controller_vanishes_while_it_is_asked(tmp_path: Path) -> None:
    """Before HELLO, and after the session was lost: one kind of error, with what to do."""
    with rigged(tmp_path) as rig:
        link = rig.flasher.link
        with pytest.raises(DeviceError, match="no session"):
            enter_bootloader(link)
        link.hello()
        rig.board.faults.mute = True
        with pytest.raises(DeviceError, match=r"no answer to EnterBootloader after 5 repeats|silent") as caught:
            enter_bootloader(link)
        assert "check the cable" in caught.value.hint
        assert rig.untouched

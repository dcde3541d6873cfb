"""Host and controller of different protocols: which side to update, with what command, wherever a person looks."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bin_daemon.app.faults import device_faults
from bin_daemon.config.settings import ControllerSettings, LidSettings
from bin_daemon.domain import Category
from bin_daemon.lids import SerialLids, waking
from bin_daemon.service import Worker
from bin_daemon.technician.avrdude import Avrdude
from bin_daemon.technician.firmware import Flasher, Plan
from bin_daemon.technician.firmware_store import FirmwareStore
from bin_daemon.technician.link import OtherProtocolError, opened_link
from firmware_protocol import messages as msg
from firmware_protocol.framing import encode
from firmware_protocol.session import HostSession, WrongVersion
from tests.technician.mega_board import UID, MegaBoard, program_image
from tests.technician.mega_bootloader import Faults

OLD, NEW = program_image((1, 0, 0)), program_image((1, 1, 0), size=5000)


def refused(body: bytes) -> WrongVersion:
    """What the session makes of this frame, in answer to its HELLO."""
    session = HostSession(nonce=7)
    session.start(0.0)
    (event,) = session.receive(encode(body), 0.01)
    assert isinstance(event, WrongVersion)
    return event


def ack(major: int, minor: int) -> bytes:
    """A HELLO_ACK frame of this protocol, without CRC, that claims another in its payload."""
    fields = {"fw_major": 3, "fw_minor": 2, "fw_patch": 1, "git": 0, "board": 1, "uid": UID, "caps": 0, "lids": 4}
    hello = msg.HelloAck(major, minor, **fields, reset_cause=1, last_action_id=0)  # type: ignore[arg-type]
    return msg.Frame(7, 0, hello).to_body()


@pytest.mark.parametrize(("major", "update"), [(0, "controller"), (2, "host"), (15, "host")])
def test_the_older_side_is_to_be_updated(major: int, update: str) -> None:
    """Told by the payload, or already by the header of a newer frame: both versions, and the side."""
    event = refused(ack(major, 4))
    assert (event.update, event.major) == (update, major)
    assert event.text == (
        f"the controller (firmware 3.2.1) speaks protocol {major}.4, this host protocol 1.{msg.PROTO_MINOR}: update the {update}"
    )
    body = bytearray(ack(major, 4))
    body[1] = major << 4
    event = refused(bytes(body) + b"\x00" * 9)  # another length: only the header and two bytes are certain
    assert event.text.startswith(f"the controller (firmware unknown) speaks protocol {major}.4,")
    body[6] = 9  # header and payload do not agree: the header counts, the rest is unknown
    assert f"speaks protocol {major}, " in refused(bytes(body)).text


@pytest.mark.parametrize(
    ("major", "side", "command"),
    [
        (2, "update the host: bin-daemon 0.", "install one that speaks protocol 2"),
        (0, "update the controller to an image of protocol 1", "bin-daemon firmware flash IMAGE --recover"),
    ],
)
def test_status_says_it(tmp_path: Path, major: int, side: str, command: str) -> None:
    """The daemon keeps its lids shut, and `bin-daemon status` shows both versions and what to do."""
    with MegaBoard(tmp_path / "tty", [OLD], OLD, faults=Faults(says={"proto_major": major})) as board:
        lids = SerialLids(ControllerSettings(port=board.path), [LidSettings(lid=1, category=Category.OTHER)], {})
        worker = Worker("lids", lids.session)
        worker.start()
        end = time.monotonic() + 10
        while not worker.status.failing and time.monotonic() < end:
            time.sleep(0.01)
        (fault,) = device_faults([worker.status], time.monotonic(), 5.0)
        worker.stop()
        assert worker.join(10)
        assert not lids.state.connected
    assert f"speaks protocol {major}.{msg.PROTO_MINOR}, this host protocol 1.{msg.PROTO_MINOR}" in fault.text
    assert fault.fix.startswith(side)
    assert command in fault.fix


class Somebody:
    """Agrees. What is written from then on speaks our protocol."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def say(self, text: str) -> None:
        """See `Person`."""
        if text.startswith("writing"):
            self._faults.says = {}

    def agrees(self, plan: Plan) -> bool:
        """See `Person`."""
        return plan.controller is None and f"speaks protocol 2.{msg.PROTO_MINOR}" in plan.silence


def test_back_to_a_firmware_of_our_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lids cannot be asked, for it opens no session: only --recover goes on. What is on it is kept all the same."""
    monkeypatch.setattr(waking, "has_modem_lines", lambda _: True)
    faults = Faults(says={"proto_major": 2})
    store = FirmwareStore(tmp_path / "state")
    with (
        MegaBoard(tmp_path / "tty", [OLD, NEW], OLD, faults=faults, auto_reset=True) as board,
        opened_link(board.path, 115200) as link,
    ):
        flasher = Flasher(link, Avrdude(board.path, lambda *_: None, sync_s=2.5), store, Somebody(faults))
        with pytest.raises(OtherProtocolError, match="update the host"):
            flasher.flash(NEW, "new.hex")
        assert flasher.flash(NEW, "new.hex", recover=True)
        assert board.runs == NEW.identity
    previous = store.manifest().previous
    assert previous
    assert previous.sha256 == OLD.sha256

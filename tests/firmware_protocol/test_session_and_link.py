"""Sessions as the controller keeps them, and both ends together: repeats, events exactly once, every frame lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from firmware_protocol import messages as m
from firmware_protocol.framing import encode
from firmware_protocol.messages import Code, EventKind, Frame, ResetCause
from firmware_protocol.session import Answered, Calibrated, Connected, Happened, Lost, Rebooted, Reported, Unanswered
from tests.firmware_protocol.bodies.link import Link
from tests.firmware_protocol.bodies.stand import Stand
from tests.firmware_protocol.conftest import MakeBody


@pytest.fixture
def strange(make_body: MakeBody) -> Stand:
    """A stand without a session."""
    stand = Stand(make_body())
    stand.settle()
    return stand


@pytest.fixture
def linked(strange: Stand) -> Link:
    """A connected pair, all lids shut."""
    link = Link(strange)
    link.connect()
    return link


# ---- the controller's session rules -----------------------------------------------------------------------------------------


def test_seq_rules(stand: Stand) -> None:
    """Same seq: cached answer, nothing done; next: executed; else BAD_SEQ with the expected one; and each counts."""
    before = stand.errors()[2]
    assert stand.ask_raw(m.Open(0, 1, 1000, 0), 2) == (Code.BAD_SEQ, 1)
    assert stand.ask_raw(m.Open(0, 1, 1000, 0), 0) == (Code.BAD_SEQ, 1)
    assert stand.ask_raw(m.Open(0, 1, 1000, 0), 1) == (Code.OK_ACCEPTED, 0)
    assert stand.ask_raw(m.Open(1, 2, 1000, 0), 1) == (Code.OK_ACCEPTED, 0)  # the old answer, whatever it says
    assert [f for f in stand.frames if isinstance(f.message, m.Result)][-1].retransmit
    assert stand.ask_raw(m.StopNow(), 3) == (Code.BAD_SEQ, 2)
    assert stand.errors()[2] - before == 3
    stand.run(4000)
    assert stand.openings(0) == 1
    assert stand.openings(1) == 0


@pytest.mark.needs("no_time")
def test_an_open_that_lay_in_a_buffer_opens_nothing(stand: Stand) -> None:
    """The first bytes after 2 s of silence meet a closed session even when no tick came between."""
    frames = stand.step(2001, stand.frame(m.Open(0, 1, 1000, 0), 1))
    assert m.Result(Code.NO_SESSION, 0) in [x.message for x in frames]
    stand.run(1000, ping=False)
    assert stand.openings() == 0


@pytest.mark.needs("no_time")
def test_seq_runs_over_to_one(stand: Stand) -> None:
    """After 65535 comes 1."""
    for first in range(1, 65535, 2000):
        many = b"".join(stand.frame(m.GetCal(9), n) for n in range(first, min(first + 2000, 65535)))
        stand.body.step(0, many)  # more answers than there is room for: not looked at
    assert stand.ask_raw(m.GetCal(0), 65535)[0] is Code.OK_ACCEPTED
    assert stand.ask_raw(m.GetCal(1), 1)[0] is Code.OK_ACCEPTED
    assert stand.ask_raw(m.GetCal(1), 3) == (Code.BAD_SEQ, 2)


def test_no_session_no_motion(strange: Stand) -> None:
    """Before HELLO, and with another session: NO_SESSION with the sender's own numbers, and nothing moves."""
    assert strange.ask_raw(m.Open(0, 1, 1000, 0), 1) == (Code.NO_SESSION, 0)
    strange.hello()
    strange.session += 1
    assert strange.ask_raw(m.Open(0, 1, 1000, 0), 9) == (Code.NO_SESSION, 0)
    last = [x for x in strange.frames if isinstance(x.message, m.Result)][-1]
    assert (last.session, last.seq) == (strange.session, 9)
    ping = strange.answer(strange.frame(m.Ping(1, 0)), lambda x: isinstance(x.message, m.Result))
    assert ping.message == m.Result(Code.NO_SESSION, 0)
    strange.session -= 1
    assert strange.errors()[2] == 3
    strange.run(1000)
    assert strange.plant.moved == []


def test_hello_again_changes_nothing_another_takes_over(stand: Stand) -> None:
    """The same session keeps its seq; a new one starts at 1; session 0 and a HELLO with seq are dropped."""
    before = stand.errors()
    stand.ask(m.SetTelemetry(50))
    stand.hello()
    assert stand.ask_raw(m.SetTelemetry(50), 2)[0] is Code.OK_ACCEPTED
    stand.session += 1
    stand.hello()
    assert stand.ask_raw(m.SetTelemetry(50), 1)[0] is Code.OK_ACCEPTED
    for rude in (
        encode(Frame(0, 0, m.Hello(1, 0, 500)).to_body()),
        stand.frame(m.Hello(1, 0, 500), seq=5),
        stand.frame(m.Pong(1, 1)),
    ):
        answers = stand.raw(rude)
        assert [x for x in answers if not isinstance(x.message, m.Telemetry)] == []
    after = stand.errors()
    assert (after[2] - before[2], after[1] - before[1]) == (2, 1)


def test_a_stranger_major_gets_an_ack_and_no_session(strange: Stand) -> None:
    """HELLO of another major, in header or payload, is answered so that the host can say who must update."""
    in_payload = strange.raw(strange.frame(m.Hello(2, 0, 500)))
    body = bytearray(Frame(strange.session, 0, m.Hello(2, 0, 500)).to_body())
    body[1] = 0x20
    in_header = strange.raw(encode(bytes(body)))
    body[0] = m.Type.CMD
    assert strange.raw(encode(bytes(body))) == []
    for frames in (in_payload, in_header):
        assert isinstance(frames[-1].message, m.HelloAck)
        assert frames[-1].session == strange.session
    assert strange.ask_raw(m.Open(0, 1, 1000, 0), 1) == (Code.NO_SESSION, 0)


def test_events_wait_for_their_acknowledgement(stand: Stand) -> None:
    """A ring of 8, repeated each 200 ms oldest first; PING drops up to the named one; a stranger number drops nothing."""
    for lid in (0, 1, 2, 3, 0, 1, 2, 3, 0, 1):
        stand.ask(m.SetCal(lid, 2000, 1000, 20, 900))
    stand.frames.clear()
    stand.run(210, ping=False)
    assert repeated(stand) == list(range(3, 11))
    stand.raw(stand.frame(m.Ping(0, 999)))
    stand.raw(stand.frame(m.Ping(0, 6)))
    stand.frames.clear()
    stand.run(210, ping=False)
    assert repeated(stand) == [7, 8, 9, 10]


def repeated(stand: Stand) -> list[int]:
    """Numbers of the events that came, each once, in the order of their first coming."""
    return list(dict.fromkeys(f.seq for f in stand.frames if isinstance(f.message, m.Event)))


@pytest.mark.needs("no_time")
def test_output_is_bounded(stand: Stand) -> None:
    """A host that never reads costs at most 4 kB."""
    assert 0 < len(stand.body.step(0, stand.frame(m.Ping(1, 0)) * 1000)) <= 4096


@pytest.mark.needs("virtual")
def test_bytes_may_come_one_by_one(stand: Stand) -> None:
    """A frame spread over a second of single bytes is one frame."""
    stand.seq += 1
    wire = stand.frame(m.GetCal(3), stand.seq)
    found: list[Frame] = []
    for byte in wire:
        found += stand.run(50, ping=False)
        found += stand.step(1, bytes([byte]))
    found += stand.run(20, ping=False)
    assert [x.message for x in found if isinstance(x.message, m.Result)] == [m.Result(Code.OK_ACCEPTED, 0)]


# ---- both ends --------------------------------------------------------------------------------------------------------------


def test_an_opening_from_end_to_end(linked: Link) -> None:
    """HELLO, OPEN, accepted, OPENED, CLOSED, telemetry: what a daemon sees of one item."""
    assert linked.host.ack is not None
    assert linked.host.ack.lids == 4
    ticket = linked.host.send(m.Open(1, 42, 1500, 0), linked.now_s)
    events = linked.run(6000)
    (answer,) = [e for e in events if isinstance(e, Answered)]
    assert (answer.ticket, answer.code, answer.accepted) == (ticket, Code.OK_ACCEPTED, True)
    assert [e.event.kind for e in events if isinstance(e, Happened)] == [EventKind.OPENED, EventKind.CLOSED]
    assert any(isinstance(e, Reported) for e in events)
    linked.host.send(m.GetCal(2), linked.now_s)
    assert [e.calibration.lid for e in linked.run(50) if isinstance(e, Calibrated)] == [2]


@pytest.mark.needs("resets")
def test_a_reset_in_the_middle_is_told_and_repeated_safely(linked: Link) -> None:
    """Controller resets mid-opening: BOOT, a new session, and the same action id opens nothing more."""
    linked.host.send(m.Open(1, 42, 1500, 0), linked.now_s)
    linked.run(500)
    linked.stand.reset(ResetCause.WATCHDOG)
    events = linked.run(200)
    assert [type(e) for e in events if not isinstance(e, Reported)] == [Rebooted, Lost, Connected]
    assert linked.host.ack is not None
    assert linked.host.ack.last_action_id == 42
    linked.host.send(m.Open(1, 42, 1500, 9000), linked.now_s)
    (answer,) = [e for e in linked.run(50) if isinstance(e, Answered)]
    assert answer.code is Code.DUPLICATE
    linked.run(8000)
    assert linked.stand.openings() == 1
    assert linked.stand.plant.all_shut


def lose_boot(link: Link) -> None:
    """The controller restarts, and what it says first is lost."""
    link.stand.reset(ResetCause.EXTERNAL)
    link.stand.exchange(60 if link.stand.body.answer_ms else 0)


@pytest.mark.needs("resets")
def test_a_lost_boot_is_noticed_by_the_next_answer(linked: Link) -> None:
    """Without BOOT the first command or PING after a reset meets NO_SESSION and the session starts anew."""
    lose_boot(linked)
    events = linked.run(700)
    assert [type(e) for e in events if not isinstance(e, Reported)] == [Lost, Connected]
    lose_boot(linked)
    linked.host.send(m.Open(0, 7, 1000, 0), linked.now_s)
    events = linked.run(50)
    assert [type(e) for e in events if not isinstance(e, Reported)] == [Unanswered, Lost, Connected]


def test_a_paused_host_finds_its_session_gone(linked: Link) -> None:
    """3 s without a tick: the controller has given up, the first PING is told so, and a new session is open at once."""
    for _ in range(600):
        linked.stand.exchange(5)
    events = linked.run(300)
    assert [type(e) for e in events if isinstance(e, Lost | Connected)] == [Lost, Connected]


class OneFrame:
    """The fault: the ``number``-th frame (empty ones do not count) is lost, doubled or cut in half; all others pass."""

    def __init__(self, kind: str, number: int) -> None:
        self._kind, self._left = kind, number
        self._held = b""

    def __call__(self, data: bytes) -> Iterator[bytes]:
        *whole, self._held = (self._held + data).split(b"\x00")
        for part in whole:
            wire = part + b"\x00"
            if part:
                self._left -= 1
                if self._left == -1:
                    wire = {"lost": b"", "doubled": wire * 2, "cut": wire[: len(wire) // 2]}[self._kind]
            yield wire


@pytest.mark.needs("virtual")
@pytest.mark.parametrize("kind", ["lost", "doubled", "cut"])
@pytest.mark.parametrize("way", ["to_device", "to_host"])
@pytest.mark.parametrize("number", range(4))
def test_any_one_frame_may_be_lost_doubled_or_cut(strange: Stand, kind: str, way: str, number: int) -> None:
    """Whichever of the first frames suffers: the session comes up, the lid opens once and every end is told once."""
    link = Link(strange)
    setattr(link, way, OneFrame(kind, number))
    link.connect()
    link.host.send(m.Open(1, 42, 1000, 0), link.now_s)
    events = link.run(3000)
    while not link.stand.plant.all_shut:
        assert link.now_s < 8
        events += link.run(100)
    events += link.run(600)  # events are repeated each 200 ms, and PING names them each 500 ms
    assert len([e for e in events if isinstance(e, Answered)]) == 1
    assert [e.event.kind for e in events if isinstance(e, Happened)] == [EventKind.OPENED, EventKind.CLOSED]
    assert strange.openings() == 1

"""Both ends together: sessions, repeats, events exactly once, versions, and every frame lost or doubled."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from firmware_protocol import messages as m
from firmware_protocol import session as s
from firmware_protocol.framing import Decoder, encode
from firmware_protocol.messages import Code, EventKind, Frame, LidPhase, ResetCause
from firmware_protocol.reference import Survivor
from firmware_protocol.session import (
    Answered,
    Calibrated,
    Connected,
    Happened,
    HostSession,
    Lost,
    Rebooted,
    Reported,
    SessionError,
    State,
    Unanswered,
    WrongVersion,
)
from tests.firmware_protocol.bench import Device, Link, connected, noisy


def linked() -> Link:
    """A connected pair, all lids shut."""
    device = Device()
    device.run(3000, ping=False)
    link = Link(device)
    link.connect()
    return link


def sent(host: HostSession) -> list[Frame]:
    """Frames that the host wants to write."""
    return [Frame.from_body(body) for body in Decoder().feed(host.take_output())]


def from_device(host: HostSession, message: m.Message, now_s: float, seq: int = 0) -> list[s.SessionEvent]:
    """Give the host one frame of its session."""
    return host.receive(encode(Frame(host._session, seq, message).to_body()), now_s)


ACK = m.HelloAck(1, 0, 1, 0, 0, 0, 0, b"\x00" * 6, 0x15F, 4, 1, 0)


def alone() -> HostSession:
    """A host with an open session and nobody behind it, at 0 s."""
    host = HostSession(500)
    host.start(0.0)
    (event,) = from_device(host, ACK, 0.0)
    assert isinstance(event, Connected)
    host.take_output()
    return host


# ---- the host alone -------------------------------------------------------------------------------------------------------


def test_hello_opens_with_a_flush_and_repeats() -> None:
    """The first byte is a delimiter; HELLO is repeated after 60 ms five times, then each 0.25 s; silence is told each 5 s."""
    host = HostSession(1234, telemetry_ms=250)
    assert host.next_deadline() is None
    assert host.tick(0.0) == []
    host.start(10.0)
    first = host.take_output()
    assert first[0] == 0
    (frame,) = [Frame.from_body(b) for b in Decoder().feed(first)]
    assert (frame.session, frame.seq, frame.message) == (1234, 0, m.Hello(1, 0, 250))
    now_s, hellos, lost = 10.0, 0, []
    while now_s < 15.01:
        deadline = host.next_deadline()
        assert deadline is not None
        now_s = deadline
        lost += host.tick(now_s)
        hellos += len(sent(host))
    assert 5 + 18 <= hellos <= 5 + 20
    assert [type(x) for x in lost] == [Lost]


def test_a_nonce_has_bounds() -> None:
    """Session 0 means none."""
    for nonce in (0, 65536, -1):
        with pytest.raises(ValueError, match="nonce"):
            HostSession(nonce)


def test_capabilities_have_names() -> None:
    """HELLO_ACK's bits become names; unknown bits are left out."""
    assert s.capability_names(0b1_0000_0001) == {"limit_switches", "indicator"}
    assert s.capability_names(1 << 31) == frozenset()


def test_stop_and_wait_with_the_same_seq() -> None:
    """One in flight; 60 ms; five repeats with the same seq and bit 0 set; then lost, and a HELLO with the next nonce."""
    host = alone()
    one, two = host.send(m.GetCal(0), 0.0), host.send(m.GetCal(1), 0.0)
    frames = sent(host)
    now_s = 0.0
    events: list[s.SessionEvent] = []
    while not events:
        now_s += 0.06
        events = host.tick(now_s)
        if not events:
            frames += [f for f in sent(host) if isinstance(f.message, m.Command)]
    assert [(f.seq, f.message, f.retransmit) for f in frames] == [(1, m.GetCal(0), n > 0) for n in range(6)]
    assert 0.35 < now_s < 0.37
    first, second, lost = events
    assert isinstance(first, Unanswered)
    assert isinstance(second, Unanswered)
    assert (first.ticket, first.sent, second.ticket, second.sent) == (one, True, two, False)
    assert isinstance(lost, Lost)
    hello = sent(host)[-1]
    assert (hello.session, hello.message.TYPE) == (501, m.Type.HELLO)
    assert host.state is State.OPENING


def test_answers_in_order_and_stop_first() -> None:
    """The next command leaves when the first is answered; a STOP overtakes what waits."""
    host = alone()
    a, b = host.send(m.GetCal(0), 0.0), host.send(m.GetCal(1), 0.0)
    c = host.send(m.StopNow(), 0.0)
    order = []
    for seq in (1, 2, 3):
        events = from_device(host, m.Result(0, 0), 0.01 * seq, seq)
        order += [e.ticket for e in events if isinstance(e, Answered)]
    assert order == [a, c, b]
    assert from_device(host, m.Result(0, 0), 0.05, 3) == []  # the answer to a repeat


def test_the_queue_has_a_cap_but_a_stop_always_fits() -> None:
    """Nine wait at most (one in flight); STOP is taken even then."""
    host = alone()
    for _ in range(s.QUEUE_MAX + 1):
        host.send(m.GetCal(0), 0.0)
    with pytest.raises(SessionError, match="wait"):
        host.send(m.GetCal(0), 0.0)
    host.send(m.StopLatch(), 0.0)


def test_no_session_no_command() -> None:
    """Before HELLO_ACK nothing can be sent, and a number that fits no field fails in send."""
    host = HostSession(1)
    with pytest.raises(SessionError, match="new"):
        host.send(m.StopNow(), 0.0)
    with pytest.raises(Exception, match="format requires"):
        alone().send(m.Open(0, 2**32, 1, 1), 0.0)


@pytest.mark.parametrize(("major", "who"), [(0, "controller"), (2, "host"), (9, "host")])
def test_another_major_names_who_must_update(major: int, who: str) -> None:
    """HELLO_ACK of another major, in its payload or already in the header: over, and it says which side is behind."""
    in_payload = HostSession(500)
    in_payload.start(0.0)
    ack = m.HelloAck(major, 0, 1, 0, 0, 0, 0, b"\x00" * 6, 0, 4, 1, 0)
    body = bytearray(Frame(500, 0, ack).to_body())
    (event,) = in_payload.receive(encode(bytes(body)), 0.0)
    in_header = HostSession(500)
    in_header.start(0.0)
    body[1] = major << 4
    (other,) = in_header.receive(encode(bytes(body)), 0.0)
    for found, host in ((event, in_payload), (other, in_header)):
        assert isinstance(found, WrongVersion)
        assert found.update == who
        assert f"update the {who}" in found.text
        assert host.state is State.WRONG_VERSION
        assert host.next_deadline() is None
        assert host.tick(100.0) == []
        assert host.receive(encode(bytes(body)), 100.0) == []


def test_a_silent_controller_is_lost_after_two_seconds() -> None:
    """PINGs go out each 0.5 s; 2 s without any answer and the session is over."""
    host = alone()
    pings, now_s = 0, 0.0
    events: list[s.SessionEvent] = []
    while not events:
        deadline = host.next_deadline()
        assert deadline is not None
        now_s = deadline
        events = host.tick(now_s)
        pings += len([f for f in sent(host) if isinstance(f.message, m.Ping)])
    assert now_s == pytest.approx(2.0)
    assert pings == 3
    assert isinstance(events[-1], Lost)


def test_foreign_frames_change_nothing() -> None:
    """Another session's answer, a host's frame and nonsense are dropped and counted."""
    host = alone()
    ticket = host.send(m.GetCal(0), 0.0)
    assert host.receive(encode(Frame(499, 1, m.Result(0, 0)).to_body()), 0.01) == []
    assert host.receive(encode(b"\x82\x10\xf4\x01\x01\x00\x00"), 0.01) == []
    assert host.receive(encode(Frame(500, 1, m.GetCal(0)).to_body()), 0.01) == []
    assert (host.errors.seq, host.errors.length) == (1, 1)
    (answer,) = from_device(host, m.Result(200, 7), 0.02, 1)
    assert isinstance(answer, Answered)
    assert (answer.ticket, answer.code, answer.accepted) == (ticket, 200, False)


def event(number: int, value: int | None = None) -> m.Event:
    """One event, told apart by its number and value."""
    return m.Event(number, EventKind.CLOSED, 0, 1, value)


def test_events_come_once_and_in_order() -> None:
    """Repeats are dropped; an event after a gap waits for the missing one, which the controller repeats."""
    host = alone()
    found = []
    for number in (1, 1, 2, 4, 3, 4, 2, 5):
        found += from_device(host, event(number), 0.1, number)
    assert [e.event.event_seq for e in found if isinstance(e, Happened)] == [1, 2, 3, 4, 5]


def test_an_old_gap_is_given_up() -> None:
    """What the controller's ring has overwritten is counted as lost after 1 s and does not hold up the rest."""
    host = alone()
    from_device(host, event(1), 0.1, 1)
    assert from_device(host, event(4), 0.2, 4) == []
    assert from_device(host, event(4), 1.0, 4) == []
    assert len(from_device(host, event(4), 1.2, 4)) == 1
    assert host.lost_events == 2


def test_event_numbers_run_over() -> None:
    """After 65535 comes 1."""
    host = alone()
    found = []
    for number in (65534, 65535, 1, 65535, 2):
        found += from_device(host, event(number), 0.1, number)
    assert [e.event.event_seq for e in found if isinstance(e, Happened)] == [65534, 65535, 1, 2]


def test_the_first_event_is_not_named_at_once() -> None:
    """PING names an event only after it had time to be preceded by an older, repeated one."""
    host = alone()
    from_device(host, event(5), 0.4, 5)
    host.tick(0.5)
    (ping,) = [f.message for f in sent(host) if isinstance(f.message, m.Ping)]
    assert ping.last_event_seq == 0
    assert len(from_device(host, event(4), 0.6, 4)) == 1  # older, but never seen
    host.tick(1.0)
    (ping,) = [f.message for f in sent(host) if isinstance(f.message, m.Ping)]
    assert ping.last_event_seq == 5


# ---- the controller's session rules -----------------------------------------------------------------------------------------


def test_seq_rules() -> None:
    """Same seq: cached answer, nothing done; next: executed; else BAD_SEQ with the expected one; and each counts."""
    d = connected()
    assert d.ask_raw(m.Open(0, 1, 1000, 0), 2) == (Code.BAD_SEQ, 1)
    assert d.ask_raw(m.Open(0, 1, 1000, 0), 0) == (Code.BAD_SEQ, 1)
    assert d.ask_raw(m.Open(0, 1, 1000, 0), 1) == (Code.OK_ACCEPTED, 0)
    assert d.ask_raw(m.Open(1, 2, 1000, 0), 1) == (Code.OK_ACCEPTED, 0)  # the old answer, whatever it says
    assert [f for f in d.frames if isinstance(f.message, m.Result)][-1].retransmit
    assert d.ask_raw(m.StopNow(), 3) == (Code.BAD_SEQ, 2)
    assert d.controller.errors.seq == 3
    assert dict(d.controller.opens) == {1: 1}


def test_an_open_that_lay_in_a_buffer_opens_nothing() -> None:
    """The first bytes after 2 s of silence meet a closed session even when no tick came between."""
    d = connected()
    d.now_ms += 2001
    assert d.ask(m.Open(0, 1, 1000, 0)) == (Code.NO_SESSION, 0)
    assert d.motions == []


def test_seq_runs_over_to_one() -> None:
    """After 65535 comes 1."""
    d = connected()
    d.controller._last_seq = 65534
    assert d.ask_raw(m.GetCal(0), 65535)[0] is Code.OK_ACCEPTED
    assert d.ask_raw(m.GetCal(0), 1)[0] is Code.OK_ACCEPTED


def test_no_session_no_motion() -> None:
    """Before HELLO, and with another session: NO_SESSION with the sender's own numbers, and nothing moves."""
    d = Device()
    d.run(3000, ping=False)
    assert d.ask_raw(m.Open(0, 1, 1000, 0), 1) == (Code.NO_SESSION, 0)
    d.hello()
    d.session += 1
    assert d.ask_raw(m.Open(0, 1, 1000, 0), 9) == (Code.NO_SESSION, 0)
    assert (d.frames[-1].session, d.frames[-1].seq) == (d.session, 9)
    d.raw(d.frame(m.Ping(1, 0)))
    assert d.frames[-1].message == m.Result(Code.NO_SESSION, 0)
    assert d.motions == []
    assert d.controller.errors.seq == 3


def test_hello_again_changes_nothing_another_takes_over() -> None:
    """The same session keeps its seq; a new one starts at 1; session 0 and a HELLO with seq are dropped."""
    d = connected()
    d.ask(m.GetCal(0))
    d.hello()
    assert d.ask_raw(m.GetCal(0), 2)[0] is Code.OK_ACCEPTED
    d.session += 1
    d.hello()
    assert d.ask_raw(m.GetCal(0), 1)[0] is Code.OK_ACCEPTED
    assert d.raw(encode(Frame(0, 0, m.Hello(1, 0, 500)).to_body())) == []
    assert d.raw(d.frame(m.Hello(1, 0, 500), seq=5)) == []
    assert d.raw(d.frame(m.Pong(1, 1))) == []
    assert (d.controller.errors.seq, d.controller.errors.length) == (2, 1)


def test_a_stranger_major_gets_an_ack_and_no_session() -> None:
    """HELLO of another major, in header or payload, is answered so that the host can say who must update."""
    d = Device()
    in_payload = d.raw(d.frame(m.Hello(2, 0, 500)))
    body = bytearray(Frame(d.session, 0, m.Hello(2, 0, 500)).to_body())
    body[1] = 0x20
    in_header = d.raw(encode(bytes(body)))
    body[0] = m.Type.CMD
    assert d.raw(encode(bytes(body))) == []
    for frames in (in_payload, in_header):
        assert isinstance(frames[-1].message, m.HelloAck)
        assert frames[-1].session == d.session
    assert not d.controller.core.host_alive


def test_events_wait_for_their_acknowledgement() -> None:
    """A ring of 8, repeated each 200 ms oldest first; PING drops up to the named one; a stranger number drops nothing."""
    d = connected()
    for lid in (0, 1, 2, 3, 0, 1, 2, 3, 0, 1):
        d.ask(m.SetCal(lid, 2000, 1000, 20, 900))
    d.frames.clear()
    d.run(200, ping=False)
    assert [f.seq for f in d.frames if isinstance(f.message, m.Event)] == list(range(3, 11))
    d.raw(d.frame(m.Ping(0, 999)))
    d.raw(d.frame(m.Ping(0, 6)))
    d.frames.clear()
    d.run(200, ping=False)
    assert [f.seq for f in d.frames if isinstance(f.message, m.Event)] == [7, 8, 9, 10]


def test_output_is_bounded() -> None:
    """A host that never reads costs at most 4 kB."""
    d = connected()
    for _ in range(1000):
        d.controller.receive(d.frame(m.Ping(1, 0)), d.now_ms)
    assert len(d.controller.take_output()) <= 4096


# ---- both ends --------------------------------------------------------------------------------------------------------------


def test_an_opening_from_end_to_end() -> None:
    """HELLO, OPEN, accepted, OPENED, CLOSED, telemetry: what a daemon sees of one item."""
    link = linked()
    assert link.host.ack is not None
    assert link.host.ack.lids == 4
    ticket = link.host.send(m.Open(1, 42, 1500, 0), link.now_s)
    events = link.run(6000)
    (answer,) = [e for e in events if isinstance(e, Answered)]
    assert (answer.ticket, answer.code, answer.accepted) == (ticket, Code.OK_ACCEPTED, True)
    assert [e.event.kind for e in events if isinstance(e, Happened)] == [EventKind.OPENED, EventKind.CLOSED]
    assert any(isinstance(e, Reported) for e in events)
    link.host.send(m.GetCal(2), link.now_s)
    assert [e.calibration.lid for e in link.run(50) if isinstance(e, Calibrated)] == [2]


def test_a_reset_in_the_middle_is_told_and_repeated_safely() -> None:
    """Controller resets mid-opening: BOOT, a new session, and the same action id opens nothing more."""
    link = linked()
    link.host.send(m.Open(1, 42, 1500, 0), link.now_s)
    link.run(500)
    link.reset(ResetCause.WATCHDOG)
    events = link.run(200)
    assert [type(e) for e in events if not isinstance(e, Reported)] == [Rebooted, Lost, Connected]
    assert link.host.ack is not None
    assert link.host.ack.last_action_id == 42
    link.host.send(m.Open(1, 42, 1500, 9000), link.now_s)
    (answer,) = [e for e in link.run(50) if isinstance(e, Answered)]
    assert answer.code is Code.DUPLICATE
    link.run(8000)
    assert link.device.controller.opens[42] == 1
    assert link.device.phase(1) is LidPhase.CLOSED


def test_a_lost_boot_is_noticed_by_the_next_answer() -> None:
    """Without BOOT the first command or PING after a reset meets NO_SESSION and the session starts anew."""
    link = linked()
    link.reset(ResetCause.EXTERNAL)
    link.device.controller.take_output()  # BOOT is lost
    events = link.run(700)
    assert [type(e) for e in events if not isinstance(e, Reported)] == [Lost, Connected]
    link.reset(ResetCause.EXTERNAL)
    link.device.controller.take_output()
    link.host.send(m.Open(0, 7, 1000, 0), link.now_s)
    events = link.run(50)
    assert [type(e) for e in events if not isinstance(e, Reported)] == [Unanswered, Lost, Connected]


def test_a_paused_host_finds_its_session_gone() -> None:
    """3 s without a tick: the controller has given up, the first PING is told so, and a new session is open at once."""
    link = linked()
    link.device.run(3000, ping=False)
    events = link.run(300)
    assert [type(e) for e in events if isinstance(e, Lost | Connected)] == [Lost, Connected]


def each_frame(kind: str, number: int) -> Iterator[int]:
    """How often to deliver each frame: the ``number``-th is lost, doubled or cut."""
    count = 0
    while True:
        yield {"lost": 0, "doubled": 2, "cut": -1}[kind] if count == number else 1
        count += 1


@pytest.mark.parametrize("kind", ["lost", "doubled", "cut"])
@pytest.mark.parametrize("way", ["to_device", "to_host"])
@pytest.mark.parametrize("number", range(4))
def test_any_one_frame_may_be_lost_doubled_or_cut(kind: str, way: str, number: int) -> None:
    """Whichever of the first frames suffers: the session comes up, the lid opens once and every end is told once."""
    device = Device()
    device.run(3000, ping=False)
    device.controller.take_output()
    fate = each_frame(kind, number)

    def fault(data: bytes) -> Iterator[bytes]:
        for part in data.split(b"\x00")[:-1]:
            wire = part + b"\x00"
            times = next(fate) if part else 1
            yield wire[: len(wire) // 2] if times < 0 else wire * times

    link = Link(device)
    setattr(link, way, fault)
    link.connect()
    link.host.send(m.Open(1, 42, 1000, 0), link.now_s)
    events = link.run(5500)
    assert len([e for e in events if isinstance(e, Answered)]) == 1
    assert [e.event.kind for e in events if isinstance(e, Happened)] == [EventKind.OPENED, EventKind.CLOSED]
    assert device.controller.opens == {42: 1}


# ---- double openings ----------------------------------------------------------------------------------------------------------


class Openings:
    """Asks for openings, each by its own id and repeated until answered, over a noisy line to a controller that resets.

    Motions are left out (a lid counts as shut and rested at once), so that thousands fit.
    """

    def __init__(self, noise: float, resets: float, seed: int) -> None:
        rng = self.rng = random.Random(seed)
        self.resets = resets
        self.resets_made = 0
        self.device = Device(lids=1)
        self.link = Link(self.device, noisy(rng, noise), noisy(rng, noise))
        self.link.meanwhile = self.perhaps_reset
        self.opens = self.device.controller.opens

    def perhaps_reset(self) -> None:
        """The controller has acted and dies before its answer is out."""
        for lid in self.device.controller.core.lids:
            lid.phase, lid.action_id, lid.moved = LidPhase.CLOSED, 0, False
        self.device.controller.core.moved = False
        self.device.controller.core.opens_ms = []
        if self.rng.random() < self.resets:
            self.link.reset(self.rng.choice([ResetCause.WATCHDOG, ResetCause.EXTERNAL]))
            self.resets_made += 1

    def ask(self, action: int) -> None:
        """One action until it is accepted."""
        for _ in range(20_000):
            if self.link.host.state is not State.CONNECTED:
                self.link.leap()
            elif self.exchange(action):
                return
        raise AssertionError("never answered")

    def exchange(self, action: int) -> bool:
        """One command in one session; True when it was accepted."""
        ticket = self.link.host.send(m.Open(0, action, 1000, 0), self.link.now_s)
        while True:
            for event in self.link.leap():
                if isinstance(event, Answered) and event.ticket == ticket:
                    assert event.code in (Code.OK_ACCEPTED, Code.DUPLICATE)
                    return True
                if isinstance(event, Unanswered) and event.ticket == ticket:
                    return False


LOADS = [(0.009, 0.0), (0.009, 0.02), (0.06, 0.05)]
"""Share of faulty bytes both ways, chance of a reset in each exchange."""


def doubles(noise: float, resets: float, wanted: int, seed: int) -> int:
    """Actions that opened twice; every action must have opened."""
    run = Openings(noise, resets, seed)
    for action in range(1, wanted + 1):
        run.ask(action)
    assert len(run.opens) == wanted
    assert (run.resets_made > 0) == (resets > 0)
    return sum(1 for times in run.opens.values() if times > 1)


@pytest.mark.parametrize(("noise", "resets"), LOADS)
def test_no_double_openings(noise: float, resets: float) -> None:
    """150 commands under the published loads of byte faults and resets: each opens exactly once."""
    assert doubles(noise, resets, wanted=150, seed=11) == 0


@pytest.mark.parametrize("resets", [0.02, 0.05])
def test_without_surviving_ids_it_would_double(resets: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counter-proof: the same runs with the surviving memory wiped at each reset do open twice."""
    monkeypatch.setattr(Survivor, "check", Survivor.clear)
    run = Openings(0.06, resets, seed=11)
    for action in range(1, 151):
        run.ask(action)
    assert max(run.opens.values()) > 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("noise", "resets"), LOADS)
def test_no_double_openings_in_full(noise: float, resets: float) -> None:
    """7500 commands under each load: no double opening."""
    assert doubles(noise, resets, wanted=7500, seed=12) == 0

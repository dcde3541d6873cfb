"""The host's end alone: sessions, repeats, events exactly once, versions; nobody is behind it."""

from __future__ import annotations

import pytest

from firmware_protocol import messages as m
from firmware_protocol import session as s
from firmware_protocol.framing import Decoder, encode
from firmware_protocol.messages import EventKind, Frame
from firmware_protocol.session import (
    Answered,
    Connected,
    Happened,
    HostSession,
    Lost,
    SessionError,
    State,
    Unanswered,
    WrongVersion,
)


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


def test_hello_opens_with_a_flush_and_repeats() -> None:
    """The first byte is a delimiter; HELLO is repeated after 60 ms five times, then each 0.25 s; silence is told each 5 s."""
    host = HostSession(1234, telemetry_ms=250)
    assert host.next_deadline() is None
    assert host.tick(0.0) == []
    host.start(10.0)
    first = host.take_output()
    assert first[0] == 0
    (frame,) = [Frame.from_body(b) for b in Decoder().feed(first)]
    assert (frame.session, frame.seq, frame.message) == (1234, 0, m.Hello(1, m.PROTO_MINOR, 250))
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

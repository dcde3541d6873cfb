"""A command whose turn on the line does not come in time is taken back: it must not open a lid after its caller gave up."""

from __future__ import annotations

import threading
from typing import cast

import pytest
import serial

from bin_daemon.config.settings import ControllerSettings, LidSettings
from bin_daemon.domain import Category, LidCommand, Outcome
from bin_daemon.lids import SerialLids
from bin_daemon.lids.serial_lids import ANSWER_S
from firmware_protocol import messages as m
from firmware_protocol.framing import Decoder, encode
from firmware_protocol.messages import Frame
from firmware_protocol.session import Answered, HostSession

ACK = m.HelloAck(1, 0, 1, 0, 0, 0, 0, b"\x00" * 6, 0x15F, 4, 1, 0)
SLOW_S = 0.3
"""Of the controller's answers: five repeats take 0.36 s, so no session is lost."""


class Port:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._decoder = Decoder()

    def write(self, data: bytes) -> int:
        """To the controller."""
        self.frames += [Frame.from_body(body) for body in self._decoder.feed(data)]
        return len(data)

    @property
    def commands(self) -> list[m.Message]:
        """In the order of their first sending."""
        return [x.message for x in self.frames if isinstance(x.message, m.Command) and not x.retransmit]


class Bench(threading.Condition):
    """A link whose waits take virtual time, in which a slow controller answers what is in flight."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s, self.due_s = 0.0, SLOW_S
        self.port = Port()
        self.lids = SerialLids(
            ControllerSettings(port="loop://"), [LidSettings(lid=1, category=Category.OTHER)], clock=lambda: self.now_s
        )
        self.lids._changed = self
        self.lids._begin(cast("serial.Serial", self.port))
        self.hear(ACK)

    @property
    def session(self) -> HostSession:
        """The session of the link."""
        assert self.lids._session is not None
        return self.lids._session

    def wait(self, timeout: float | None = None) -> bool:
        """No sleep: the clock goes on by as much, and an answer comes when it is due."""
        self.now_s += timeout or 0.0
        if self.now_s >= self.due_s and (waiting := self.session._in_flight):
            self.due_s = self.now_s + SLOW_S
            self.hear(m.Result(m.Code.OK_ACCEPTED, 0), waiting.seq)
        return True

    def hear(self, message: m.Message, seq: int = 0) -> None:
        """The reader's part: one frame from the controller."""
        frame = Frame(self.session._session, seq, message)
        with self:
            self.lids._handle(self.session.receive(encode(frame.to_body()), self.now_s), self.now_s)
            self.lids._flush()
            self.lids._publish()

    def occupy(self, commands: int) -> None:
        """Others have so many commands on the line."""
        for _ in range(commands):
            self.session.send(m.GetCal(0), self.now_s)

    def drain(self) -> None:
        """Until nothing waits any more; ticks as the reader's."""
        for _ in range(200):
            self.lids._handle(self.session.tick(self.now_s), self.now_s)
            self.lids._flush()
            if self.session.idle:
                return
            self.wait(0.02)
        raise AssertionError("the line does not come to rest")


def test_an_open_that_was_not_sent_never_goes_out() -> None:
    """Behind four slow commands it gives up at its time, says NOT_SENT, and nothing of it is on the wire later."""
    bench = Bench()
    bench.occupy(4)
    bench.lids.open(LidCommand(1, None, 2000, 1000, 7))
    assert bench.now_s == pytest.approx(ANSWER_S, abs=0.1)
    (report,) = bench.lids.poll()
    assert (report.action_id, report.outcome, report.code) == (7, Outcome.NO_REPLY, "NOT_SENT")
    bench.drain()
    assert bench.port.commands == [m.GetCal(0)] * 4
    assert bench.lids.poll() == []


def test_an_open_whose_turn_comes_in_time_is_sent() -> None:
    """Behind one slow command it goes out, once, and is accepted."""
    bench = Bench()
    bench.occupy(1)
    bench.lids.open(LidCommand(1, None, 2000, 1000, 8))
    assert bench.port.commands == [m.GetCal(0), m.Open(0, 8, 2000, 1000)]
    assert bench.lids.poll() == []  # it moves; its report comes with CLOSED


def test_an_open_on_the_wire_stays_doubtful() -> None:
    """Its turn came just before its caller gave up: it may have arrived, so nobody says that it was not sent."""
    bench = Bench()
    bench.occupy(2)
    bench.lids.open(LidCommand(1, None, 2000, 1000, 9))
    assert isinstance(bench.port.commands[-1], m.Open)
    assert all(x.code != "NOT_SENT" for x in bench.lids.poll())


def test_a_late_clear_is_taken_back_and_a_late_close_is_not() -> None:
    """Who was told that the stop is not cleared relies on it; shutting late does no harm."""
    bench = Bench()
    bench.occupy(4)
    assert not bench.lids.clear_stop()
    bench.drain()
    assert bench.port.commands == [m.GetCal(0)] * 4
    bench.occupy(4)
    assert not bench.lids.close(1)
    bench.drain()
    assert isinstance(bench.port.commands[-1], m.Close)


def test_withdraw_takes_only_what_waits() -> None:
    """In flight, ended, unknown: False, and they go on; what waited ends in no event."""
    bench = Bench()
    session = bench.session
    first, second, third = (session.send(m.GetCal(n), 0.0) for n in range(3))
    assert [session.withdraw(x) for x in (first, second, second, 99, 0)] == [False, True, False, False, False]
    tickets = []
    for seq in (1, 2):
        frame = Frame(session._session, seq, m.Result(m.Code.OK_ACCEPTED, 0))
        tickets += [x.ticket for x in session.receive(encode(frame.to_body()), 0.01) if isinstance(x, Answered)]
    assert tickets == [first, third]
    assert session.idle
    assert not session.withdraw(first)

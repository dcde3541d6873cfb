"""What each of the broker's words means for an event; a scripted client says them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bin_daemon.events.client import Acked, Message
from bin_daemon.events.delivery import CUTS_MAX, REFUSALS_MAX, REST_MAX_S, WINDOW, Delivery


class Scripted:
    """A client whose broker answers every publish with one code."""

    kind = "mqtt"

    def __init__(self) -> None:
        self.max_packet_bytes: int | None = None
        self.receive_max = 65_535
        self.overflow = 0
        self.sent: list[Message] = []

    def connect(self, will: Message, timeout_s: float) -> None:
        """Not used here."""

    def subscribe(self, topic_filter: str) -> None:
        """Not used here."""

    def publish(self, message: Message) -> int:
        """Take it."""
        self.sent.append(message)
        return len(self.sent)

    def poll(self, timeout_s: float) -> list[Any]:
        """No news."""
        return []

    def close(self, timeout_s: float) -> None:
        """Not used here."""


class Rig:
    """One delivery, its journal and what was sent."""

    def __init__(self, journal: Any, clock: Any) -> None:
        self.journal, self.clock, self.client = journal, clock, Scripted()
        self.delivery = Delivery(journal.outbox, journal, "b/1", clock=lambda: clock.t_s, jitter=lambda x: x)
        self._seen = 0

    def round(self, code: int) -> int:
        """Fill the window and answer all of it; returns how many were sent."""
        self.delivery.fill(self.client)
        handles = range(self._seen + 1, len(self.client.sent) + 1)
        self._seen = len(self.client.sent)
        for handle in handles:
            self.delivery.answered(Acked(handle, code))
        self.delivery.settle()
        return len(handles)


@pytest.fixture
def one(desk: Any, clock: Any, item: Callable[..., Any]) -> Rig:
    """A delivery with 30 waiting events."""
    journal = desk.journal()
    for _ in range(30):
        journal.begin(*item(opens=False).parts)
    return Rig(journal, clock)


@pytest.mark.parametrize("code", [0x00, 0x10])
def test_taken_rows_leave_in_windows(one: Rig, code: int) -> None:
    """Success, with or without subscribers, empties the outbox, at most a window at once."""
    assert [one.round(code), one.round(code), one.round(code)] == [WINDOW, 30 - WINDOW, 0]
    assert one.journal.outbox.stats == (0, 0, 0)


@pytest.mark.parametrize("code", [0x90, 0x95, 0x99])
def test_rows_that_will_never_be_taken_are_put_aside(one: Rig, code: int) -> None:
    """Topic invalid, too large, payload invalid: aside at once, with a fault; nothing rests."""
    assert one.round(code) == WINDOW
    assert one.round(0) == 30 - WINDOW + 1  # and the fault's own event
    assert one.journal.outbox.stats == (0, 0, WINDOW)
    assert [x.code for x in one.journal.active_faults] == ["event_put_aside"]


@pytest.mark.parametrize("code", [0x87, 0x97])
def test_what_a_person_or_time_mends_is_kept_for_ever(one: Rig, code: int) -> None:
    """Not authorised and quota: half a day of refusals loses nothing and makes no hot loop."""
    sent = 0
    for _ in range(12 * 60):
        sent += one.round(code)
        one.clock.forward(60.0)
    assert one.journal.outbox.stats.rows >= 30
    assert one.journal.outbox.stats.dead_letters == 0
    assert sent <= 12 * 60 * WINDOW
    assert [x.code for x in one.journal.active_faults] == (["mqtt_not_authorised"] if code == 0x87 else [])
    one.clock.forward(REST_MAX_S)
    while one.round(0):
        pass
    assert one.journal.outbox.stats.rows == 0
    assert one.journal.active_faults == ()


def test_rests_grow_and_end(one: Rig) -> None:
    """1, 2, 4 ... 60 s between attempts; one success and the next refusal starts small again."""
    rests = []
    for _ in range(9):
        assert one.round(0x97) > 0
        rests.append(one.delivery._rest_until_t_s - one.clock.t_s)
        assert one.round(0x97) == 0
        one.clock.forward(rests[-1])
    assert rests == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60])
    assert one.round(0) == WINDOW
    assert one.round(0x97) > 0
    assert one.delivery._rest_until_t_s - one.clock.t_s == pytest.approx(1)


@pytest.mark.parametrize("code", [0x80, 0x83, 0x91])
def test_an_unexplained_refusal_has_an_end(one: Rig, code: int) -> None:
    """A broker that says only "no" to a row is asked ten times, then the row makes room."""
    for _ in range(REFUSALS_MAX):
        one.round(code)
        one.clock.forward(REST_MAX_S)
    assert one.journal.outbox.stats.dead_letters == WINDOW


@pytest.mark.parametrize("code", [0x8D, 0x8E])
def test_a_hang_or_a_take_over_says_nothing_about_an_event(one: Rig, code: int) -> None:
    """However often the network hangs, no event is suspected."""
    for _ in range(50):
        one.delivery.fill(one.client)
        one.delivery.lost(code)
    assert one.journal.outbox.stats == (30, 0, 0)
    assert one.delivery.room(one.client) == WINDOW


def test_cuts_single_out_the_one_in_flight(one: Rig) -> None:
    """After three cuts rows go one by one; only one that is alone at the sixth cut is put aside."""

    def cut() -> None:
        one.delivery.answered(Acked(0, 0))  # the broker answers availability, as it always does first
        one.delivery.lost(0x80)

    for _ in range(CUTS_MAX - 1):
        one.delivery.fill(one.client)
        cut()
    assert one.journal.outbox.stats.dead_letters == 0
    before = len(one.client.sent)
    one.delivery.fill(one.client)
    assert len(one.client.sent) == before + 1
    cut()
    assert one.journal.outbox.stats.dead_letters == 1


def test_a_small_receive_maximum_is_respected(one: Rig) -> None:
    """MQTT 5's Receive Maximum of the broker bounds the window."""
    one.client.receive_max = 3
    assert one.round(0) == 3


def test_a_network_that_drops_says_nothing_about_an_event(one: Rig) -> None:
    """Connections that end before the broker said a word are the network's doing."""
    for _ in range(50):
        one.delivery.fill(one.client)
        one.delivery.lost(0x80)
    assert one.journal.outbox.stats == (30, 0, 0)

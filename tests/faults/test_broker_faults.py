"""The broker absent, killed and hung: the bin goes on sorting, and no event is lost."""

from __future__ import annotations

import signal

import pytest

from tests.faults.rig import Bin, wait_for


def bring_back(smart_bin: Bin) -> None:
    """Start the broker anew; the daemon sleeps until the subscriber is there, or it would miss what nobody keeps for it."""
    assert smart_bin.daemon
    smart_bin.subscriber.subscribed.clear()
    smart_bin.daemon.send_signal(signal.SIGSTOP)
    try:
        smart_bin.broker.start()
        smart_bin.subscriber.await_ready()
    finally:
        smart_bin.daemon.send_signal(signal.SIGCONT)


def check_all_told(smart_bin: Bin) -> None:
    """Everything decided so far arrives, and what comes after it."""
    before = set(smart_bin.outcomes())
    wait_for(lambda: before <= smart_bin.subscriber.ids(), "all events of the outage")
    wait_for(lambda: smart_bin.subscriber.ids() - before, "an event after the outage")
    assert smart_bin.stop() == 0
    smart_bin.check_books()


def test_broker_absent_at_start(lone_broker_bin: Bin) -> None:
    """Ready without a broker; items are sorted meanwhile; all their events arrive once it comes."""
    lone_broker_bin.start()
    wait_for(lambda: lone_broker_bin.decided(2), "two items sorted without a broker")
    health = lone_broker_bin.status()["health"]
    assert not health["mqtt"]["connected"]
    assert health["tray"]["placement"] >= 2
    bring_back(lone_broker_bin)
    check_all_told(lone_broker_bin)


def test_broker_killed_and_restarted(lone_broker_bin: Bin) -> None:
    """Kill -9 of the broker: sorting goes on, and what was not acknowledged is told when it is back."""
    lone_broker_bin.broker.start()
    lone_broker_bin.subscriber.await_ready()
    lone_broker_bin.start()
    wait_for(lone_broker_bin.subscriber.events, "an event before the outage")
    lone_broker_bin.broker.stop()
    count = len(lone_broker_bin.outcomes())
    wait_for(lambda: lone_broker_bin.decided(count + 2), "two items sorted without the broker")
    bring_back(lone_broker_bin)
    check_all_told(lone_broker_bin)


@pytest.mark.parametrize("keepalive_s", [2, 600], ids=["connection given up", "connection kept"])
def test_broker_hangs_for_a_while(lone_broker_bin: Bin, keepalive_s: int) -> None:
    """A broker that is stopped answers nothing and closes nothing: sorting goes on, and all is told when it goes on."""
    broker = lone_broker_bin.broker
    broker.start()
    lone_broker_bin.subscriber.await_ready()
    lone_broker_bin.start({"mqtt.keepalive_s": keepalive_s})
    wait_for(lone_broker_bin.subscriber.events, "an event before the hang")
    assert broker.process
    broker.process.send_signal(signal.SIGSTOP)
    try:
        count = len(lone_broker_bin.outcomes())
        wait_for(lambda: lone_broker_bin.decided(count + 2), "two items sorted meanwhile")
        if keepalive_s == 2:
            wait_for(lambda: not lone_broker_bin.status()["health"]["mqtt"]["connected"], "the hang was noticed")
    finally:
        broker.process.send_signal(signal.SIGCONT)
    check_all_told(lone_broker_bin)

"""What systemd hears from the whole daemon, and how it ends when there is a bug in it."""

from __future__ import annotations

from pathlib import Path

from tests.faults.rig import EMPTY, Bin, wait_for

DYING = str(Path(__file__).with_name("dying_daemon.py"))


def test_words_to_systemd(smart_bin: Bin) -> None:
    """READY=1 once, STATUS, WATCHDOG=1 at least twice in each watchdog time, STOPPING=1 before the end, exit 0."""
    smart_bin.environment["WATCHDOG_USEC"] = "2000000"
    smart_bin.start({"camera.source": EMPTY})
    wait_for(lambda: len(smart_bin.feedings()) >= 6, "six feedings")
    assert smart_bin.has_told("STATUS=sorting")
    assert smart_bin.stop() == 0
    words = [word for _, word in smart_bin.told]
    assert words.count("READY=1") == 1
    assert words[-1] == "STOPPING=1"
    fed = smart_bin.feedings()
    assert (fed[-1] - fed[0]) / (len(fed) - 1) < 1.0


def test_ready_though_degraded(smart_bin: Bin) -> None:
    """Without a controller: READY=1 after service.ready_timeout_s, and the status says what is missing."""
    smart_bin.start({"controller.port": str(smart_bin.folder / "no-such-port"), "service.ready_timeout_s": 0.5})
    wait_for(lambda: smart_bin.has_told("STATUS=degraded: controller_lost"), "the status names the fault")
    wait_for(smart_bin.subscriber.events, "an item")
    event = smart_bin.subscriber.events()[0]
    assert (event["outcome"], event["reason"]) == ("refused", "not_connected")
    assert smart_bin.stop() == 0


def test_bug_on_the_line(smart_bin: Bin) -> None:
    """An exception that nobody foresaw, with a lid open: lids shut in good order, everything told, exit 70."""
    daemon = smart_bin.start({"policy.hold_ms": 5000}, command=(DYING, "bug", "detector.update"))
    assert daemon.wait(40) == 70
    assert smart_bin.controller.openings()
    wait_for(smart_bin.controller.all_shut, "all lids shut", 2)
    wait_for(lambda: smart_bin.subscriber.last("availability") == b"offline", "offline told")
    assert smart_bin.has_told("STOPPING=1")
    smart_bin.check_books()


def test_bug_that_comes_back_while_stopping(smart_bin: Bin) -> None:
    """The same bug strikes again on the way out: the other steps of the end are still made, exit 70."""
    daemon = smart_bin.start({"policy.hold_ms": 1000}, command=(DYING, "bug", "lids.poll"))
    assert daemon.wait(40) == 70
    wait_for(smart_bin.controller.all_shut, "all lids shut", 5)
    wait_for(lambda: smart_bin.subscriber.last("availability") == b"offline", "offline told")


def test_worker_that_crashes_again_and_again(smart_bin: Bin) -> None:
    """A bug in a camera's driver: five crashes, then exit 70 for a fresh start by systemd."""
    daemon = smart_bin.start({"camera.source": "tests.faults.cameras:Buggy"}, wait_ready=False)
    assert daemon.wait(40) == 70
    assert smart_bin.has_told("STOPPING=1")
    assert smart_bin.log.read_text().count("ZeroDivisionError: fps") == 5

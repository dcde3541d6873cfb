"""The camera gone, hung, frozen, dark, covered, torn: lids stay shut, somebody is told how to mend it, and it mends itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.cameras import FAULT, HITS
from tests.faults.rig import Bin, wait_for


def strike(smart_bin: Bin) -> None:
    """From now on the camera fails."""
    (smart_bin.folder / FAULT).touch()


def mend(smart_bin: Bin) -> None:
    """The camera works again."""
    (smart_bin.folder / FAULT).unlink()


def hits(smart_bin: Bin) -> int:
    """How many frames (or attempts to open) the fault has struck so far."""
    path: Path = smart_bin.folder / HITS
    return path.stat().st_size if path.exists() else 0


def sight(smart_bin: Bin) -> str:
    """What the retained state tells of the camera."""
    state = smart_bin.subscriber.last("/state")
    return str(json.loads(state)["sight"]) if state else ""


def sorted_before(smart_bin: Bin, camera: str, **settings: object) -> None:
    """The camera works at first: one item is sorted."""
    smart_bin.start({"camera.source": f"tests.faults.cameras:{camera}", "camera.frozen_frames": 10, **settings})
    wait_for(smart_bin.subscriber.events, "an item before the fault")


def sorted_after(smart_bin: Bin, code: str) -> None:
    """The fault is cleared, and items are sorted again."""
    mend(smart_bin)
    wait_for(lambda: smart_bin.subscriber.faults(code)[-1] == "cleared", "the fault cleared")
    count = len(smart_bin.controller.openings())
    wait_for(lambda: len(smart_bin.controller.openings()) > count, "an item sorted after the fault")
    wait_for(lambda: sight(smart_bin) == "ok", "sight is ok")
    assert smart_bin.stop() == 0
    smart_bin.check_books()


@pytest.mark.parametrize(
    ("camera", "code", "word", "enough"),
    [
        ("Gone", "camera_lost", "lost", 3),
        ("Frozen", "camera_lost", "lost", 3),
        ("Black", "sight_too_dark", "too_dark", 25),
        ("Covered", "sight_covered", "covered", 25),
    ],
)
def test_blind(smart_bin: Bin, camera: str, code: str, word: str, enough: int) -> None:
    """No lid opens while the bin cannot see; the fault says what mends it, is raised once and cleared once."""
    sorted_before(smart_bin, camera)
    strike(smart_bin)
    wait_for(lambda: smart_bin.subscriber.faults(code) == ["raised"], "the fault told")
    wait_for(lambda: sight(smart_bin) == word, "the state says so")
    wait_for(smart_bin.controller.all_shut, "all lids shut")
    openings, struck = smart_bin.controller.openings(), hits(smart_bin)
    wait_for(lambda: hits(smart_bin) >= struck + enough, "the fault lasts")
    assert smart_bin.controller.openings() == openings
    assert smart_bin.subscriber.faults(code) == ["raised"]
    told = next(x for x in smart_bin.subscriber.events("event/fault") if x["code"] == code)
    assert told["fix"]
    assert told["severity"] == "error"
    assert smart_bin.daemon
    assert smart_bin.daemon.poll() is None
    sorted_after(smart_bin, code)


def test_torn_frames(smart_bin: Bin) -> None:
    """An item of which no picture can be read opens nothing, not even the lid for doubt; the event says why."""
    sorted_before(smart_bin, "Torn")
    strike(smart_bin)
    wait_for(lambda: len(smart_bin.subscriber.because("sight")) >= 2, "two items that could not be seen")
    assert {(x["outcome"], x["lid"]) for x in smart_bin.subscriber.because("sight")} == {("refused", None)}
    assert "damaged" in smart_bin.subscriber.because("sight")[0]["text"]
    mend(smart_bin)
    count = len(smart_bin.controller.openings())
    wait_for(lambda: len(smart_bin.controller.openings()) > count, "an item sorted after the fault")
    assert smart_bin.stop() == 0
    smart_bin.check_books()
    assert smart_bin.controller.lids() == {2}


def test_hung_camera_starves_the_watchdog(smart_bin: Bin) -> None:
    """A read that does not come back: told as a fault, no WATCHDOG=1 until it comes back (systemd would restart us)."""
    smart_bin.environment["WATCHDOG_USEC"] = "1000000"
    sorted_before(smart_bin, "Hung", **{"service.stale_s": 2.5, "camera.read_timeout_s": 0.5})
    wait_for(lambda: smart_bin.fed_ago_s() < 1, "the watchdog fed")
    strike(smart_bin)
    wait_for(lambda: smart_bin.subscriber.faults("camera_lost")[-1:] == ["raised"], "the fault told")
    wait_for(lambda: smart_bin.fed_ago_s() > 2, "the watchdog starves")
    assert sight(smart_bin) == "lost"
    wait_for(smart_bin.controller.all_shut, "all lids shut")
    sorted_after(smart_bin, "camera_lost")
    assert smart_bin.fed_ago_s() < 20  # fed again before the end


def test_unplugged_camera_keeps_the_watchdog_fed(smart_bin: Bin) -> None:
    """A camera that is known to be gone is no reason to be restarted."""
    smart_bin.environment["WATCHDOG_USEC"] = "1000000"
    sorted_before(smart_bin, "Gone", **{"service.stale_s": 2.5})
    strike(smart_bin)
    wait_for(lambda: smart_bin.subscriber.faults("camera_lost") == ["raised"], "the fault told")
    raised = len(smart_bin.feedings())
    wait_for(lambda: len(smart_bin.feedings()) > raised + 12, "fed for more than 3 s")
    assert smart_bin.has_told("STATUS=degraded: camera_lost")
    assert smart_bin.stop() == 0

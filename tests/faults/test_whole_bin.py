"""The daemon as systemd starts it: items sorted, status, orderly end, refusals to start."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bin_daemon.service.control import ask
from tests.faults.rig import EMPTY, Bin, wait_for


def test_items_are_sorted_and_told(far_bin: Bin) -> None:
    """Two items: each decided, opened once, shut, told once; SIGTERM ends with 0, lids shut, availability offline."""
    far_bin.start()
    wait_for(lambda: len(far_bin.subscriber.events()) >= 2, "two events")
    assert far_bin.stop() == 0
    wait_for(lambda: far_bin.subscriber.last("availability") == b"offline", "offline")
    events = far_bin.subscriber.events()
    assert {x["category"] for x in events} == {"kitchen"}
    assert {x["lid"] for x in events} == {2}
    assert len({x["id"] for x in events}) == len(events)
    assert set(far_bin.controller.openings().values()) == {1}
    wait_for(far_bin.controller.all_shut, "all lids shut", 5)
    assert not [x for x in far_bin.outcomes().values() if x is None]


def test_status_and_local_commands(far_bin: Bin) -> None:
    """`status` shows the bin; a manual open over the control socket opens that lid once and is told as manual."""
    far_bin.start({"camera.source": EMPTY})
    socket_path = far_bin.folder / "run" / "control.sock"
    done = subprocess.run(
        [sys.executable, "-m", "bin_daemon", "status", "--json", "--config", str(config_of(far_bin))],
        capture_output=True,
        text=True,
        check=False,
    )
    status = json.loads(done.stdout)
    assert status["state"]["controller"] is True
    assert [x["position"] for x in status["state"]["lids"]] == ["closed"] * 4
    answer = ask(socket_path, {"name": "lid.open", "args": {"lid": 3}})
    assert answer["ok"], answer
    wait_for(far_bin.subscriber.events, "the manual event")
    event = far_bin.subscriber.events()[0]
    assert (event["manual"], event["lid"], event["outcome"]) == (True, 3, "closed")
    assert ask(socket_path, {"name": "lid.open", "args": {"lid": 9}})["error"]["code"] == "no_lid"
    assert ask(socket_path, {"name": "fly"})["error"]["code"] == "unknown_command"
    assert ask(socket_path, {"name": "restart"})["ok"]
    assert far_bin.daemon
    assert far_bin.daemon.wait(20) == 0


def config_of(far_bin: Bin) -> Path:
    """A config file that says where the daemon lives."""
    path = far_bin.folder / "status.toml"
    path.write_text(f'[service]\nruntime_dir = "{far_bin.settings["service.runtime_dir"]}"\n')
    return path


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_every_farewell_is_orderly(far_bin: Bin, sig: signal.Signals) -> None:
    """Any of the usual signals, even with a lid open, shuts the lids and ends with 0 within the unit's time-out."""
    far_bin.start({"policy.hold_ms": 5000})
    wait_for(lambda: any(x["motion"] == "open" for x in far_bin.controller.motions), "an open lid")
    assert far_bin.stop(sig) == 0
    wait_for(far_bin.controller.all_shut, "all lids shut", 5)


def test_a_second_daemon_is_refused(far_bin: Bin) -> None:
    """The lock names the first one; exit 78."""
    first = far_bin.start({"camera.source": EMPTY})
    second = far_bin.start(wait_ready=False)
    far_bin.daemon = first
    assert second.wait(20) == 78
    assert f"another bin-daemon runs (pid {first.pid})" in far_bin.log.read_text()

"""The whole daemon on a Pololu Maestro: items sorted and told as unconfirmed, and shut lids whatever becomes of the host."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bin_daemon.sim.maestro import MaestroOptions, SimulatedMaestro
from bin_daemon.sim.serve import PtyEnd
from bin_daemon.sim.world import LidMotion, world
from tests.faults.conftest import make_bin
from tests.faults.rig import EMPTY, TRAVEL_MS, Bin, Broker, Motions, wait_for

TIMEOUT_S = 2.0
CONFIG = "".join(f"[calibration.{n}]\nopen_us = 2000\nclosed_us = 1000\nspeed_us_per_20ms = 150\n" for n in range(1, 5))


class LocalMaestro(Motions):
    """A simulated Maestro behind a pty of this process: it lives on when the daemon dies. It knows no action ids."""

    def __init__(self, link: Path) -> None:
        super().__init__(link)
        where = world(str(link))
        where.listen(self._moved)
        self.pty = PtyEnd(SimulatedMaestro(where, MaestroOptions(travel_ms=TRAVEL_MS)), link)

    def _moved(self, motion: LidMotion) -> None:
        self.motions.append({"lid": motion.lid, "motion": motion.motion.value, "action_id": motion.action_id})


class MaestroBin(Bin):
    """A bin whose lids hang on it."""

    maestro: SimulatedMaestro

    def start(self, *arguments: Any, **options: Any) -> subprocess.Popen[str]:
        """The calibration stands in a file beside the config, as on a real bin."""
        parts = self.folder / "conf.d"
        parts.mkdir(exist_ok=True)
        (parts / "50-calibration.toml").write_text(CONFIG)
        return super().start(*arguments, **options)


@pytest.fixture
def maestro_bin(tmp_path: Path, kitchen_bundle: Path, shared_broker: Broker) -> Iterator[MaestroBin]:
    """Broker, Maestro and subscriber running; the daemon not yet."""
    controller = LocalMaestro(tmp_path / "lids")
    with controller.pty:
        plain = make_bin(tmp_path, kitchen_bundle, shared_broker, controller)  # type: ignore[arg-type]
        made = MaestroBin(
            **{name: getattr(plain, name) for name in ("folder", "broker", "controller", "subscriber", "settings")}
        )
        made.settings["controller.kind"] = "maestro"
        made.maestro = controller.pty.device
        made.subscriber.await_ready()
        yield made
        made.end()


def test_a_bin_on_a_maestro(maestro_bin: MaestroBin) -> None:
    """Items are told as unconfirmed, never as closed (refused before the proof), and status says why. Killed with a lid open: the
    Maestro shuts it within its 2 s and the travel, and the next daemon repeats nothing.
    """
    maestro_bin.start({"policy.hold_ms": 1500})
    wait_for(lambda: any(x["outcome"] == "unconfirmed" for x in maestro_bin.subscriber.events()), "an item sorted")
    status = subprocess.run(
        [sys.executable, "-m", "bin_daemon", "status", "--config", str(maestro_bin.folder / "bin.toml")],
        capture_output=True,
        text=True,
        check=False,
        env={"COLUMNS": "200", "BIN_SERVICE__RUNTIME_DIR": str(maestro_bin.folder / "run")},
    )
    assert "Pololu Maestro; reduced" in status.stdout, status
    info = json.loads(maestro_bin.subscriber.last("info") or b"")
    assert (info["firmware"], info["capabilities"]) == ("Pololu Maestro", ["unconfirmed"])
    wait_for(maestro_bin.controller.any_open, "an open lid")
    maestro_bin.kill()
    died_s = time.monotonic()
    wait_for(lambda: maestro_bin.maestro.all_closed, "all lids shut", TIMEOUT_S + 1.5)
    assert time.monotonic() - died_s > TIMEOUT_S - 0.5
    opened = maestro_bin.maestro.opens[2]
    maestro_bin.start({"camera.source": EMPTY})
    wait_for(lambda: None not in maestro_bin.outcomes().values(), "the open action is closed")
    assert maestro_bin.stop() == 0
    outcomes = [x for x in maestro_bin.outcomes().values() if x != "refused"]
    assert sorted(map(str, outcomes)) == ["interrupted"] + ["unconfirmed"] * (opened - 1)
    wait_for(lambda: maestro_bin.subscriber.ids() == set(maestro_bin.outcomes()), "every decision told")
    told = {(x["lid"], x["category"]) for x in maestro_bin.subscriber.events() if x["outcome"] != "refused"}
    assert told == {(2, "kitchen")}
    assert maestro_bin.maestro.opens == {2: opened}
    assert maestro_bin.maestro.all_closed

"""``make bench``: measure, show a table on stderr, and print one JSON object on stdout.

Nothing here passes or fails: aims stand beside the figures. Everything that is compared runs on the same machine in turns, so
that ratios hold where times do not. ``--quick`` only tries the benchmarks out: a tiny network, few runs, figures without worth.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bin_daemon.service.logs import setup_logs
from tests.benchmarks import (
    firmware,
    idle,
    idle_pace,
    memory,
    networks,
    placement_peers,
    preprocessing,
    start,
    training_step,
    whole,
    wire,
)
from tests.benchmarks.figures import Figure
from tests.benchmarks.report import machine, show
from tests.benchmarks.still_life import Pictures, take_pictures


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of everything."""

    network: str
    items: int
    idle_rounds: int
    idle_frames: int
    arrivals: int
    places: int
    starts: int
    judgements: int
    windows: int
    frames: int
    stretches: int
    engines: tuple[str, ...]
    peers: placement_peers.Effort = field(default_factory=placement_peers.Effort)


FULL = Effort(
    "base",
    items=40,
    idle_rounds=15,
    idle_frames=60,
    arrivals=100,
    places=4,
    starts=5,
    judgements=15,
    windows=15,
    frames=100_000,
    stretches=10,
    engines=("onnx", "torch"),
)
QUICK = Effort(
    "tiny",
    items=1,
    idle_rounds=1,
    idle_frames=5,
    arrivals=1,
    places=1,
    starts=1,
    judgements=2,
    windows=1,
    frames=300,
    stretches=2,
    engines=("onnx",),
    peers=placement_peers.Effort(("plain",)),
)
OPENS_MAX = 20
"""Of the emulated lids: each takes 3 s of virtual time."""
WIDTH = 170
"""Of the table where there is no terminal."""


def main() -> None:
    """Run all, or those named."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only try the benchmarks out: figures without worth")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    placement_peers.add_arguments(parser)
    arguments = parser.parse_args()
    effort = QUICK if arguments.quick else replace(FULL, peers=placement_peers.effort_of(arguments))
    setup_logs("error")
    console = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    began, about = time.monotonic(), machine()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        rig = Rig(Path(name), effort, console)
        for part in arguments.only:
            console.print(f"measuring {part} ...")
            rig.figures[part] = PARTS[part](rig)
    found = {
        "machine": about,
        "network": f"convnext {effort.network}, 265 labels, random weights",
        "quick": arguments.quick,
        "took_s": round(time.monotonic() - began, 1),
        "figures": {part: [x.as_json() for x in figures] for part, figures in rig.figures.items()},
        **rig.extra,
    }
    text = f"{about['cpu']}, {about['cores']} cores, load before {about['load_before']}, {found['network']}; medians"
    title = "Quick try: these figures are worth nothing" if arguments.quick else "Benchmarks"
    show(console, title, [x for figures in rig.figures.values() for x in figures], text)
    print(json.dumps(found))  # noqa: T201 - this is the result


class Rig:
    """What the parts share: a folder, the bundle and the pictures, each made when first asked for."""

    def __init__(self, folder: Path, effort: Effort, console: Console) -> None:
        self.folder = folder
        self.effort = effort
        self.figures: dict[str, list[Figure]] = {}
        self.extra: dict[str, Any] = {}
        self.console = console
        self._pictures: Pictures | None = None

    @property
    def bundle(self) -> Path:
        """Random weights, exported."""
        path = self.folder / "bundle"
        if not path.exists():
            self.console.print(f"making a convnext {self.effort.network} of random weights ...")
            subprocess.run([sys.executable, "-m", "tests.benchmarks.network", path, self.effort.network], check=True)
        return path

    @property
    def pictures(self) -> Pictures:
        """A tray without and with an item."""
        self._pictures = self._pictures or take_pictures()
        return self._pictures


def _idle(rig: Rig) -> list[Figure]:
    effort = rig.effort
    figures, rig.extra["idle_pace"] = idle_pace.measure(
        max(1, effort.idle_rounds // 2), effort.idle_frames / 15, effort.arrivals, effort.places
    )
    return [*idle.measure(rig.pictures, effort.idle_rounds, effort.idle_frames), *figures]


def _memory(rig: Rig) -> list[Figure]:
    figures, rig.extra["memory_samples"] = memory.measure(rig.effort.frames, rig.effort.stretches)
    return figures


def _peers(rig: Rig) -> list[Figure]:
    figures, rig.extra["placement_peers"], table = placement_peers.measure(rig.effort.peers)
    rig.console.print(table)
    return figures


PARTS: dict[str, Callable[[Rig], list[Figure]]] = {
    "preprocessing": lambda rig: preprocessing.measure(rig.effort.windows * 4),
    "wire": lambda rig: wire.measure(rig.bundle, rig.pictures, rig.folder, rig.effort.items),
    "idle": _idle,
    "whole": lambda rig: whole.measure(rig.bundle, rig.pictures, rig.folder, rig.effort.windows),
    "networks": lambda rig: networks.measure(
        rig.bundle,
        rig.pictures,
        rig.folder,
        rig.effort.network,
        runs=rig.effort.judgements,
        starts=rig.effort.starts,
    ),
    "start": lambda rig: start.measure(rig.bundle, rig.effort.starts, rig.effort.engines),
    "training": lambda rig: training_step.measure(rig.folder, rig.effort.network, rig.effort.windows),
    "memory": _memory,
    "peers": _peers,
    "firmware": lambda rig: firmware.measure(rig.folder, min(rig.effort.items, OPENS_MAX), rig.effort.frames),
}

if __name__ == "__main__":
    main()

"""A table for people on stderr, and what the machine was."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tests.benchmarks.figures import Figure

PACKAGES = ("numpy", "opencv-python", "simplejpeg", "onnxruntime", "torch", "timm")


def machine() -> dict[str, Any]:
    """What the figures depend on. ``load_before`` above the number of cores means: disturbed, trust ratios only."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "load_before": round(os.getloadavg()[0], 1),
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), platform.machine())


def show(console: Console, title: str, figures: Sequence[Figure], about: str) -> None:
    """Print them."""
    table = Table(title=title, caption=about)
    table.add_column("what")
    table.add_column("peer")
    for heading in ("unit", "ours", "peer's", "ratio", "aim", "n"):
        table.add_column(heading, justify="left" if heading == "unit" else "right", no_wrap=True)
    for x in figures:
        ratio = "" if x.ratio is None else f"{x.ratio:.2f}"
        table.add_row(x.name, x.peer_name, x.unit, _text(x.ours), _text(x.peer), ratio, x.aim, str(x.n))
    console.print(table)


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"

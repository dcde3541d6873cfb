"""From exec to READY=1 and the peak of resident memory by then: whole daemon, either engine, beside a bare timm script.

Files are in the page cache for all alike. The peak is VmHWM of the process itself: getrusage's ru_maxrss would also count
the parent's pages from before exec.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.benchmarks.figures import Figure, paired
from tests.benchmarks.still_life import FPS

READY_S = 120.0
"""A daemon that takes longer is broken."""
SCRIPT = "timm script to first inference"
AIMS = {"onnx": ("< 0.5", "< 0.6"), "torch": ("<= 1.3", "<= 1.3")}
"""Of time and memory. The daemon also starts a camera, a serial line, a journal and a control socket meanwhile."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a program."""

    took_s: float
    peak_mb: float


def measure(bundle: Path, rounds: int, engines: Sequence[str] = ("onnx", "torch")) -> list[Figure]:
    """Each program once a round."""
    starts: dict[str, list[Start]] = {name: [] for name in (*engines, "script")}
    for _ in range(rounds):
        for engine in engines:
            with daemon(bundle, engine=engine) as (_, start):
                starts[engine].append(start)
        starts["script"].append(_script(bundle))
    script = starts["script"]
    figures = []
    for engine in engines:
        ours, (time_aim, memory_aim) = starts[engine], AIMS[engine]
        seconds, peaks = [x.took_s for x in ours], [x.peak_mb for x in ours]
        figures += [
            paired(
                f"cold start to READY, {engine}", "s", seconds, [x.took_s for x in script], against=SCRIPT, aim=time_aim
            ),
            paired(
                f"peak memory of that, {engine}",
                "MB",
                peaks,
                [x.peak_mb for x in script],
                against=SCRIPT,
                aim=memory_aim,
            ),
        ]
    return figures


@contextmanager
def daemon(
    bundle: Path, *, engine: str = "onnx", environment: Mapping[str, str] | None = None, **more: object
) -> Iterator[tuple[psutil.Process, Start]]:
    """`bin-daemon run`, up and ready; ended in good order afterwards.

    Camera and controller are simulated ones where ``more`` (settings) does not say otherwise.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
    ):
        folder = Path(name)
        ready.bind(str(folder / "notify"))
        settings = {
            "camera.source": "sim:bench?photos=drawn&items=0",
            "camera.fps": FPS,
            "controller.port": "sim://bench",
            "model.bundle": str(bundle),
            "model.engine": engine,
            "service.state_dir": str(folder / "state"),
            "service.runtime_dir": str(folder / "run"),
            **more,
        }
        (folder / "bin.toml").touch()
        sets = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
        command = [sys.executable, "-m", "bin_daemon", "run", "--config", str(folder / "bin.toml"), *sets]
        variables = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), **(environment or {})}
        with (folder / "log").open("w+") as log:
            began = time.monotonic()
            process = subprocess.Popen(command, stdout=log, stderr=log, env=variables)
            try:
                _await_ready(ready, process)
                took_s = time.monotonic() - began
                yield psutil.Process(process.pid), Start(took_s, _peak_mb(process.pid))
            except TimeoutError:
                raise RuntimeError(f"no READY=1: {(folder / 'log').read_text()[-2000:]}") from None
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(20.0)


def _await_ready(ready: socket.socket, process: subprocess.Popen[bytes]) -> None:
    end_s = time.monotonic() + READY_S
    ready.settimeout(0.2)
    while time.monotonic() < end_s and process.poll() is None:
        with contextlib.suppress(TimeoutError):
            if b"READY=1" in ready.recv(4096):
                return
    raise TimeoutError


def _peak_mb(pid: int) -> float:
    """Largest resident set of a process since exec."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise RuntimeError(f"process {pid} has ended")
    return int(found[1]) * 1024 / 1e6


def _script(bundle: Path) -> Start:
    command = [sys.executable, "-m", "tests.benchmarks.plain_timm", str(bundle)]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline() if process.stdout else ""
        took_s = time.monotonic() - began  # before the interpreter takes itself apart
        if not line.strip():
            raise RuntimeError("the timm script failed")
        return Start(took_s, int(line) * 1024 / 1e6)

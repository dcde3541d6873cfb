"""One network on the engines of the CPU, beside timm and ModelScope's own pipeline: from picture file to answer.

All run the same network size with random weights, each in its own process, in turns, with the same number of threads. ModelScope
takes part where ``BIN_BENCH_MODELSCOPE_PYTHON`` names a Python that has modelscope, mmcls 0.25 and mmcv 1.7.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.figures import Figure, in_turns, paired
from tests.benchmarks.still_life import Pictures, to_jpeg

PYTHON_VARIABLE = "BIN_BENCH_MODELSCOPE_PYTHON"
SHAPES = {"base": ([3, 3, 27, 3], [128, 256, 512, 1024]), "tiny": ([1, 1, 1, 1], [8, 16, 32, 64])}
"""Depths and widths; of `tests.benchmarks.network.SIZES`."""
TIMM, MODELSCOPE, SGEMM = "timm, channels_last", "ModelScope's pipeline", "sgemm of the same shapes"
OURS = {"onnx": "fp32", "onnx-int8": "int8"}
AIMS = {
    ("onnx", TIMM): ("", "<= 0.24", "<= 0.29"),
    ("onnx-int8", TIMM): ("", "<= 0.12", "<= 0.17"),
    ("onnx", MODELSCOPE): ("<= 0.70", "", ""),
    ("onnx-int8", MODELSCOPE): ("<= 0.41", "", ""),
}
"""Of time, cold start and peak memory."""
BOUND_AIM = "<= 1.17"


@dataclass
class Contestant:
    """A process that judges when asked, with what its starts took."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    starts_s: list[float] = field(default_factory=list)
    peaks_mb: list[float] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None

    def start(self) -> float:
        """Begin anew; seconds from exec to the first answer."""
        self.stop()
        began = time.monotonic()
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **self.environment},
        )
        peak_kb = float(self._line())
        self.starts_s.append(time.monotonic() - began)
        self.peaks_mb.append(peak_kb * 1024 / 1e6)
        return self.starts_s[-1]

    def judge(self) -> float:
        """Milliseconds of one judgement."""
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("not started")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._line())

    def stop(self) -> None:
        """End it, where it runs."""
        if self._process is not None:
            self._process.communicate(timeout=60)
            self._process = None

    def _line(self) -> str:
        line = self._process.stdout.readline() if self._process and self._process.stdout else ""
        if not line.strip():
            raise RuntimeError(f"ended without an answer: {' '.join(self.command)}")
        return line


def measure(bundle: Path, pictures: Pictures, folder: Path, size: str, *, runs: int, starts: int) -> list[Figure]:
    """Time with one thread and with a thread on each core; cold start and peak memory with all cores."""
    photos = folder / "photos"
    photos.mkdir()
    picture = photos / "item.jpg"
    picture.write_bytes(to_jpeg(pictures.item[0]).tobytes())
    _export_int8(bundle, photos)
    model = _modelscope_folder(folder, size)
    cores = len(os.sched_getaffinity(0))
    figures: list[Figure] = []
    for threads in sorted({1, cores}):
        contestants = _contestants(bundle, model, picture, size, threads)
        with ExitStack() as stack:
            for one in contestants.values():
                stack.callback(one.stop)
            if threads == cores:
                in_turns(starts - 1, {name: one.start for name, one in contestants.items()})
            for one in contestants.values():
                one.start()
            times = in_turns(runs, {name: one.judge for name, one in contestants.items()})
        figures += _time_figures(times, threads)
        if threads == cores:
            figures += _start_figures(contestants)
    return figures


def _time_figures(times: dict[str, list[float]], threads: int) -> list[Figure]:
    figures = []
    for engine, word in OURS.items():
        name = f"picture to answer, {word}, {threads} thread{'s' * (threads > 1)}"
        for peer in (x for x in (TIMM, MODELSCOPE) if x in times):
            aim = AIMS[engine, peer][0]
            figures.append(paired(name, "ms", times[engine], times[peer], against=peer, aim=aim))
    name = f"picture to answer, fp32, {threads} thread{'s' * (threads > 1)}"
    return [*figures, paired(name, "ms", times["onnx"], times[SGEMM], against=SGEMM, aim=BOUND_AIM)]


def _start_figures(contestants: dict[str, Contestant]) -> list[Figure]:
    figures = []
    for engine, word in OURS.items():
        ours = contestants[engine]
        for peer in (x for x in (TIMM, MODELSCOPE) if x in contestants):
            other = contestants[peer]
            _, start_aim, memory_aim = AIMS[engine, peer]
            figures += [
                paired(
                    f"cold start to answer, {word}", "s", ours.starts_s, other.starts_s, against=peer, aim=start_aim
                ),
                paired(
                    f"peak memory of that, {word}", "MB", ours.peaks_mb, other.peaks_mb, against=peer, aim=memory_aim
                ),
            ]
    return figures


def _contestants(bundle: Path, model: Path | None, picture: Path, size: str, threads: int) -> dict[str, Contestant]:
    depths, dims = (json.dumps(x) for x in SHAPES[size])
    arguments = [str(bundle), str(picture), str(threads)]
    found = {
        **{name: Contestant(_module("contestant", name, *arguments)) for name in OURS},
        TIMM: Contestant(_module("contestant", "timm", *arguments)),
        SGEMM: Contestant(_module("sgemm", depths, dims), {"OPENBLAS_NUM_THREADS": str(threads)}),
    }
    if model is not None:
        script = [_modelscope_python(), _script(), "run", str(model), str(picture), str(threads)]
        found[MODELSCOPE] = Contestant(script)
    return found


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"tests.benchmarks.{name}", *arguments]


def _export_int8(bundle: Path, photos: Path) -> None:
    command = [sys.executable, "-m", "bin_daemon", "model", "export", str(bundle), "--engine", "onnx-int8", "--json"]
    subprocess.run([*command, "--pictures", str(photos)], check=True, stdout=subprocess.DEVNULL)


def _modelscope_python() -> str:
    return os.environ.get(PYTHON_VARIABLE, "")


def _script() -> str:
    return str(Path(__file__).with_name("modelscope_contestant.py"))


def _modelscope_folder(folder: Path, size: str) -> Path | None:
    """The same network as the hub would ship it; None where ModelScope takes no part."""
    if not _modelscope_python():
        return None
    depths, dims = (json.dumps(x) for x in SHAPES[size])
    model = folder / "modelscope"
    command: Sequence[str] = (_modelscope_python(), _script(), "make", str(model), depths, dims)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return model

"""Threads and cores: inference stays where the config says, everything else stays where it was."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from bin_daemon.config.checks import cross_check
from bin_daemon.config.settings import ModelSettings, Settings
from bin_daemon.errors import ConfigError
from bin_daemon.model.bundle import read_bundle
from bin_daemon.model.cores import Cpu, default_threads, use_of_cpu
from bin_daemon.model.engine import open_engine

IMAGE = np.random.default_rng(3).standard_normal((1, 3, 64, 64)).astype(np.float32)
ONE = min(os.sched_getaffinity(0))


def test_one_core_is_left_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores - 1, and one on a single core."""
    for cores, wanted in ((1, 1), (2, 1), (6, 5)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, n=cores: set(range(n)))
        assert default_threads() == wanted


def test_threads_default_to_the_cores_that_were_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named cores are for inference alone: one thread each. A number of threads counts all the same."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)))
    assert use_of_cpu(0, [4, 5]) == Cpu(2, frozenset({4, 5}))
    assert use_of_cpu(1, [4, 5]) == Cpu(1, frozenset({4, 5}))
    assert use_of_cpu(3) == Cpu(3)


def test_a_core_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, or kept from this process: which one, and which there are."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 5})
    with pytest.raises(ConfigError, match=r"model\.cores: this process cannot use core 4, 9, only 0-2, 5") as caught:
        use_of_cpu(0, [9, 1, 4])
    assert "model.cores" in caught.value.hint


def test_only_the_threads_of_inference_are_bound() -> None:
    """Inside, the caller and what is born there; a thread from before, and the caller afterwards, are where they were."""
    before = os.sched_getaffinity(0)
    gone, started = threading.Event(), threading.Event()
    seen: list[set[int]] = []

    def other() -> None:
        started.set()
        gone.wait(10)
        seen.append(os.sched_getaffinity(0))

    earlier = threading.Thread(target=other)
    earlier.start()
    started.wait(10)
    with Cpu(1, frozenset({ONE})).bound():
        assert os.sched_getaffinity(0) == {ONE}
        born = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
        born.start()
        born.join()
    gone.set()
    earlier.join()
    assert seen == [{ONE}, before]
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_an_engine_s_own_threads_stay_on_the_cores(exported_bundle: Path, kind: str) -> None:
    """Pools that ONNX Runtime and torch start are born on the cores that were named; the caller is free again after a run."""
    before, tasks = os.sched_getaffinity(0), _threads()
    engine = open_engine(read_bundle(exported_bundle), kind, 2, cores=[ONE])
    engine.logits(IMAGE)
    born = _threads() - tasks
    assert all(os.sched_getaffinity(task) == {ONE} for task in born)
    if kind == "onnx":  # torch's pool may be from an earlier test
        assert born
    assert os.sched_getaffinity(0) == before


def _threads() -> set[int]:
    return {int(x.name) for x in Path("/proc/self/task").iterdir()}


def test_a_config_cannot_contradict_itself_about_cores() -> None:
    """A core named twice, more threads than cores; cores that this machine lacks are no business of `config check`."""
    for model, wanted in (
        (ModelSettings(cores=(2, 2)), ["names a core twice (got [2, 2])"]),
        (
            ModelSettings(cores=(2, 3), threads=3),
            ["more threads than cores wait for each other: at most 2 here (got 3)"],
        ),
        (ModelSettings(cores=(700,), threads=1), []),
        (ModelSettings(threads=64), []),
    ):
        found = [x.text for x in cross_check(Settings(model=model)) if x.path[0] == "model"]
        assert found == wanted

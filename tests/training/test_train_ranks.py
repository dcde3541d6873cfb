"""Several processes train one network: the same result as one process, and only the first of them writes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pytest
import torch

from bin_daemon.errors import ConfigError
from bin_daemon.model.weights import read_weights
from bin_daemon.training.ranks import Ranks, open_ranks
from bin_daemon.training.recipe import FinetuneRecipe
from bin_daemon.training.run import Order, train_bundle
from bin_daemon.training.screen import QuietScreen

if TYPE_CHECKING:
    from pathlib import Path

    from bin_daemon.model.bundle import Bundle

TOLERANCE = 1e-5
"""Of a weight, after 12 steps at a rate of 1e-3: gradients are added in another order, all else is the same."""
OPTIONS = {"epochs": 4, "batch_size": 16, "batch_per_step": 4, "lr": 1e-3, "drop_path": 0.3, "workers": 1}


@pytest.mark.slow
def test_two_processes_agree_with_one(shapes: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Under torchrun two CPU processes share each batch, hold the same weights, the loss falls, process 0 alone writes, and the
    bundle is that of one process to rounding, drop path and augmentation included.
    """
    words = [str(shapes), "--out", str(tmp_path / "two"), "--from", str(tiny_bundle.path)]
    words += [word for k, v in OPTIONS.items() for word in (f"--{k.replace('_', '-')}", str(v))]
    launch = ["torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2", "-m"]
    command = [sys.executable, "-m", *launch, "tests.training.two_ranks", str(tmp_path), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank-{n}.json").read_text()) for n in (0, 1))
    assert first["processes"] == second["processes"] == 2
    assert first["digest"] == second["digest"]
    assert any(str(tmp_path / "two.train") in x for x in first["wrote"])
    assert not [x for x in second["wrote"] if str(tmp_path) in x]
    log = [orjson.loads(x) for x in (tmp_path / "two.train" / "log.jsonl").read_bytes().splitlines()]
    losses = [x["train_loss"] for x in log if x["event"] == "epoch"]
    assert len(losses) == 4
    assert losses[-1] < losses[0]

    torch.set_num_threads(1)
    alone = Order(shapes, tmp_path / "one", start=str(tiny_bundle.path), finetune=FinetuneRecipe(**OPTIONS))  # type: ignore[arg-type]
    screen = QuietScreen()
    train_bundle(alone, screen)
    one, two = (read_weights(tmp_path / x / "model.safetensors") for x in ("one", "two"))
    assert max(float(np.abs(np.subtract(one[k], two[k])).max()) for k in one) < TOLERANCE
    told = [x["train_loss"] for x in screen.records if x["event"] == "epoch"]
    assert told == pytest.approx(losses, abs=1e-4)


def test_half_an_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that torchrun sets together, set by half or by nonsense: what is missing is named, nobody waits for anybody."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(ConfigError, match="WORLD_SIZE set, but not RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT"),
        open_ranks(),
    ):
        pass
    for name, value in {"RANK": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="RANK 2, LOCAL_RANK 0, WORLD_SIZE 2 do not fit together"), open_ranks():
        pass
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(ConfigError, match="first"), open_ranks():
        pass


def test_alone_without_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable, one process: nothing is gathered or averaged over others."""
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    with open_ranks() as ranks:
        assert (ranks.rank, ranks.processes, ranks.first) == (0, 1, True)
    assert Ranks().gather("x") == ["x"]
    assert Ranks().mean(torch.tensor([2.0])).item() == 2.0


def test_a_batch_that_cannot_be_shared(shapes: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """A batch that is no multiple of portion times processes is refused with one that is."""
    recipe = FinetuneRecipe(batch_size=16, batch_per_step=6)
    with pytest.raises(ConfigError, match="no multiple of --batch-per-step 6 x 1") as caught:
        train_bundle(Order(shapes, tmp_path / "out", start=str(tiny_bundle.path), finetune=recipe), QuietScreen())
    assert caught.value.hint == "such as --batch-size 18"
    assert list(tmp_path.iterdir()) == []

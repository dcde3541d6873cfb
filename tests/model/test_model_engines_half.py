"""Half precision: the norms keep single precision, and a network that overflows is replaced by an exact one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bin_daemon.errors import ModelError
from bin_daemon.model.bundle import read_bundle, read_metadata, write_bundle
from bin_daemon.model.cores import Cpu
from bin_daemon.model.cuda_graph import captured
from bin_daemon.model.guard import GuardedEngine
from bin_daemon.model.network import load_network
from bin_daemon.model.precision import norms_in_single_precision
from bin_daemon.model.torch_engine import TorchEngine, open_torch
from bin_daemon.model.weights import read_weights

IMAGES = np.random.default_rng(3).standard_normal((2, 3, 64, 64)).astype(np.float32)
CPU = Cpu(1)


def test_norms_stay_in_single_precision(plain_bundle: Path) -> None:
    """Their weights and sums are float32, what goes in and out of them is half; no other layer is touched."""
    network = load_network(read_bundle(plain_bundle)).half()
    norms_in_single_precision(network)
    norms = [x for x in network.modules() if isinstance(x, torch.nn.LayerNorm)]
    assert len(norms) == 10
    assert {x.weight.dtype for x in norms} == {torch.float32}
    others = [x for x in network.modules() if isinstance(x, torch.nn.Conv2d | torch.nn.Linear)]
    assert {x.weight.dtype for x in others} == {torch.float16}
    norm = torch.nn.LayerNorm(4)
    norms_in_single_precision(norm)
    large = torch.tensor([[400.0, -400.0, 400.0, -400.0]], dtype=torch.float16)  # squares beyond 65,504
    assert norm(large).dtype == torch.float16
    assert norm(large).tolist() == [[1.0, -1.0, 1.0, -1.0]]


def test_half_precision_agrees_with_single(plain_bundle: Path) -> None:
    """Logits differ by the 11 bits that half precision has, not more."""
    bundle = read_bundle(plain_bundle)
    exact = TorchEngine(bundle, CPU).logits(IMAGES)
    half = TorchEngine(bundle, CPU, dtype=torch.float16)
    assert half.name == "torch cpu x1 fp16"
    assert 0 < np.abs(half.logits(IMAGES) - exact).max() < 0.02 * np.abs(exact).max()


def test_an_overflow_is_judged_again_exactly(
    plain_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A bias beyond 65,504: the same pictures get the exact network's logits, with one warning; and so do all later ones."""
    weights = dict(read_weights(plain_bundle / "model.safetensors"))
    weights["head.fc.bias"] = weights["head.fc.bias"] + np.float32(1e5)
    bundle = write_bundle(tmp_path / "large", read_metadata(plain_bundle), weights)
    opened: list[TorchEngine] = []

    def open_exact() -> TorchEngine:
        opened.append(TorchEngine(bundle, CPU))
        return opened[-1]

    engine = GuardedEngine(TorchEngine(bundle, CPU, dtype=torch.float16), open_exact)
    assert engine.name.endswith("fp16")
    wanted = TorchEngine(bundle, CPU).logits(IMAGES)
    for _ in range(2):
        assert np.array_equal(engine.logits(IMAGES), wanted)
    assert len(opened) == 1
    assert engine.name == "torch cpu x1"
    assert capfd.readouterr().err.count("half precision overflowed") == 1


def test_finite_answers_never_open_the_exact_engine(plain_bundle: Path) -> None:
    """It would cost 350 MB for nothing."""
    engine = GuardedEngine(TorchEngine(read_bundle(plain_bundle), CPU), lambda: pytest.fail("opened"))
    assert np.isfinite(engine.logits(IMAGES)).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine without CUDA")
def test_without_cuda_nothing_pretends(plain_bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Where a GPU must be, it is an error; a graph that cannot be captured leaves the network as it is, with a warning."""
    with pytest.raises(ModelError, match="sees no CUDA GPU") as caught:
        open_torch(read_bundle(plain_bundle), CPU, must_be_gpu=True)
    assert "nvidia-smi" in caught.value.hint
    network = torch.nn.Identity()
    assert captured(network, torch.zeros(1)) is network
    assert "no CUDA graph" in capfd.readouterr().err

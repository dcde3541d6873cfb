"""Fixtures: a tiny model, and a whole bin around it."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bin_daemon.domain import Category
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import BundleMetadata, LabelInfo, Preprocessing, read_bundle, write_bundle
from bin_daemon.model.onnx_file import ensure_onnx
from tests.faults.rig import Bin, Broker, Controller, Subscriber

TINY = ArchitectureInfo(name="convnext_atto", kwargs={"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)})


@pytest.fixture(scope="session")
def kitchen_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny exported model that takes everything for kitchen waste: the line is under test, not the sight."""
    import torch

    from bin_daemon.model.network import build_network, weights_of

    torch.manual_seed(1)
    network = build_network(TINY, len(Category))
    weights = weights_of(network)
    bias = next(name for name in weights if name.endswith("fc.bias"))
    weights[bias] = weights[bias] * 0
    weights[bias][1] = 12.0
    path = tmp_path_factory.mktemp("model") / "kitchen"
    labels = tuple(LabelInfo(label=f"some {c.value}", category=c) for c in Category)
    metadata = BundleMetadata(
        id="kitchen-1", architecture=TINY, labels=labels, preprocessing=Preprocessing(resize_px=36, crop_px=32)
    )
    write_bundle(path, metadata, weights)
    ensure_onnx(read_bundle(path))
    return path


@pytest.fixture
def smart_bin(tmp_path: Path, kitchen_bundle: Path) -> Iterator[Bin]:
    """Broker, controller and subscriber running; the daemon not yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    broker, controller = Broker(tmp_path, port), Controller(tmp_path / "lids")
    broker.start()
    controller.start("--travel-ms", "120")
    subscriber = Subscriber(port)
    settings = {
        "bin.id": "t1",
        "camera.source": "sim:faults?seed=3&items=1000&photos=drawn&patience_s=2",
        "camera.width": 320,
        "camera.height": 180,
        "controller.port": str(controller.link),
        "policy.hold_ms": 400,
        "model.bundle": str(kitchen_bundle),
        "mqtt.host": "127.0.0.1",
        "mqtt.port": port,
        "mqtt.keepalive_s": 5,
        "service.state_dir": str(tmp_path / "state"),
        "service.runtime_dir": str(tmp_path / "run"),
    }
    made = Bin(tmp_path, broker, controller, subscriber, settings)
    yield made
    made.kill()
    subscriber.stop()
    controller.stop(signal.SIGKILL)
    broker.stop()

"""Fixtures: a tiny model, and a whole bin around it."""

from __future__ import annotations

import itertools
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bin_daemon.domain import Category
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import BundleMetadata, LabelInfo, Preprocessing, read_bundle, write_bundle
from bin_daemon.model.onnx_file import ensure_onnx
from tests.faults.rig import Bin, Broker, Controller, LocalController, Subscriber, wait_for

TINY = ArchitectureInfo(name="convnext_atto", kwargs={"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)})
NUMBERS = itertools.count(1)


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


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """For tests that leave it alone."""
    broker = Broker(tmp_path_factory.mktemp("broker"), free_port())
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def shared_controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    """For tests that leave it alone."""
    controller = Controller(tmp_path_factory.mktemp("controller") / "lids")
    controller.start()
    yield controller
    controller.stop(signal.SIGKILL)


def make_bin(folder: Path, bundle: Path, broker: Broker, controller: Controller | LocalController) -> Bin:
    """A bin of its own name at this broker and controller; the daemon not yet."""
    name = f"t{next(NUMBERS)}"
    subscriber = Subscriber(broker.port, name)
    settings = {
        "bin.id": name,
        "camera.source": "tests.faults.cameras:quick",
        "camera.width": 320,
        "camera.height": 180,
        "placement.settle_ms": 200,
        "placement.clear_ms": 150,
        "controller.port": str(controller.link),
        "policy.hold_ms": 300,
        "policy.cooldown_ms": 100,
        "model.bundle": str(bundle),
        "mqtt.host": "127.0.0.1",
        "mqtt.port": broker.port,
        "mqtt.keepalive_s": 5,
        "service.state_dir": str(folder / "state"),
        "service.runtime_dir": str(folder / "run"),
    }
    return Bin(folder, broker, controller, subscriber, settings)


@pytest.fixture
def smart_bin(
    tmp_path: Path, kitchen_bundle: Path, shared_broker: Broker, shared_controller: Controller
) -> Iterator[Bin]:
    """Broker, controller and subscriber running; the daemon not yet."""
    shared_controller.motions.clear()
    made = make_bin(tmp_path, kitchen_bundle, shared_broker, shared_controller)
    made.subscriber.await_ready()
    yield made
    made.end()
    wait_for(shared_controller.all_shut, "all lids shut after the daemon is gone", 10)


@pytest.fixture
def lone_broker_bin(tmp_path: Path, kitchen_bundle: Path, shared_controller: Controller) -> Iterator[Bin]:
    """A bin whose broker is its own and not running yet."""
    shared_controller.motions.clear()
    broker = Broker(tmp_path, free_port())
    made = make_bin(tmp_path, kitchen_bundle, broker, shared_controller)
    yield made
    made.end()
    broker.stop()
    wait_for(shared_controller.all_shut, "all lids shut after the daemon is gone", 10)


@pytest.fixture
def handy_bin(tmp_path: Path, kitchen_bundle: Path, shared_broker: Broker) -> Iterator[Bin]:
    """A bin whose controller is in this process: it can be reset, and its cable pulled."""
    controller = LocalController(tmp_path / "lids")
    with controller.pty:
        made = make_bin(tmp_path, kitchen_bundle, shared_broker, controller)
        made.subscriber.await_ready()
        yield made
        made.end()

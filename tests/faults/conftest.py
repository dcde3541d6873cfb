"""Fixtures: a tiny model, and a whole bin around it."""

from __future__ import annotations

import itertools
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

from bin_daemon.domain import Category
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import BundleMetadata, LabelInfo, Preprocessing, write_bundle
from bin_daemon.model.onnx_file import (
    INPUT_NAME,
    ONNX_FILE,
    OUTPUT_NAME,
    SIDECAR_FILE,
    OnnxInfo,
    architecture_id,
    checked_onnx,
)
from bin_daemon.model.weights import sha256_of
from bin_daemon.sim.drawn import drawn_items
from tests.faults.rig import Bin, Broker, Controller, LocalController, Subscriber, wait_for

TINY = ArchitectureInfo(name="convnext_atto", kwargs={"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)})
NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def kitchen_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose network takes everything for kitchen waste: the line is under test, not the sight.

    Weights and export are written here by hand: torch would take longer to import than most of these tests to run.
    """
    weight, bias = np.zeros((len(Category), 3), np.float32), np.array([0, 12, 0, 0], np.float32)
    path = tmp_path_factory.mktemp("model") / "kitchen"
    metadata = BundleMetadata(
        id="kitchen-1",
        architecture=TINY,
        labels=tuple(LabelInfo(label=f"some {c.value}", category=c) for c in Category),
        preprocessing=Preprocessing(resize_px=36, crop_px=32),
    )
    bundle = write_bundle(path, metadata, {"head.fc.weight": weight, "head.fc.bias": bias})
    (path / ONNX_FILE).write_bytes(_exported(weight, bias))
    info = OnnxInfo(
        architecture_id=architecture_id(bundle),
        sha256={ONNX_FILE: sha256_of(path / ONNX_FILE)},
        opset=17,
        exporter="by hand",
        max_logit_difference=0.0,
    )
    (path / SIDECAR_FILE).write_text(info.model_dump_json())
    checked_onnx(bundle)
    return path


def _exported(weight: NDArray[np.float32], bias: NDArray[np.float32]) -> bytes:
    """Mean over the picture, then one layer."""
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("GlobalAveragePool", [INPUT_NAME], ["mean"]),
            onnx.helper.make_node("Flatten", ["mean"], ["flat"]),
            onnx.helper.make_node("Gemm", ["flat", "weight", "bias"], [OUTPUT_NAME], transB=1),
        ],
        "kitchen",
        [onnx.helper.make_tensor_value_info(INPUT_NAME, onnx.TensorProto.FLOAT, [1, 3, 32, 32])],
        [onnx.helper.make_tensor_value_info(OUTPUT_NAME, onnx.TensorProto.FLOAT, [1, len(bias)])],
        [onnx.numpy_helper.from_array(weight, "weight"), onnx.numpy_helper.from_array(bias, "bias")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


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


@pytest.fixture(scope="session", autouse=True)
def one_item(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The photographs of `tests.faults.cameras`."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "kitchen").mkdir()
    _, _, rgba = next(x for x in drawn_items() if x[1] is Category.KITCHEN)
    Image.fromarray(rgba).save(folder / "kitchen" / "item.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAULTS_PHOTOS", str(folder))
        yield


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
        "policy.hold_ms": 1000,
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
def smart_bin(tmp_path: Path, kitchen_bundle: Path, shared_broker: Broker) -> Iterator[Bin]:
    """Broker, controller and subscriber running; the daemon not yet. The controller is at hand: reset it, pull its cable."""
    controller = LocalController(tmp_path / "lids")
    with controller.pty:
        made = make_bin(tmp_path, kitchen_bundle, shared_broker, controller)
        made.subscriber.await_ready()
        yield made
        made.end()


@pytest.fixture
def lone_broker_bin(tmp_path: Path, kitchen_bundle: Path) -> Iterator[Bin]:
    """A bin whose broker is its own and not running yet."""
    broker, controller = Broker(tmp_path, free_port()), LocalController(tmp_path / "lids")
    with controller.pty:
        made = make_bin(tmp_path, kitchen_bundle, broker, controller)
        yield made
        made.end()
    broker.stop()


@pytest.fixture
def far_bin(
    tmp_path: Path, kitchen_bundle: Path, shared_broker: Broker, shared_controller: Controller
) -> Iterator[Bin]:
    """A bin at the controller of another process, `bin-daemon simulate-controller`."""
    shared_controller.motions.clear()
    made = make_bin(tmp_path, kitchen_bundle, shared_broker, shared_controller)
    made.subscriber.await_ready()
    yield made
    made.end()
    wait_for(shared_controller.all_shut, "all lids shut after the daemon is gone", 10)

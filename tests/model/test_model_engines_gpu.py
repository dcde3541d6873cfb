"""NVIDIA GPUs through ONNX Runtime: what is chosen, what is said when something lacks, and how long a built engine lives.

No GPU is needed: `FakeSession` stands where ONNX Runtime's session does and, like TensorRT, writes an engine into its cache.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.model import engine as engine_module
from bin_daemon.model import onnx_gpu
from bin_daemon.model.bundle import read_bundle
from bin_daemon.model.engine import candidates, has_gpu, needs_onnx, open_engine
from bin_daemon.model.engine_cache import KEPT, LIST_FILE, cache_folder, engines_dir, is_whole, seal
from bin_daemon.model.onnx_gpu import cuda_options, open_tensorrt, tensorrt_options

ALL = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
IMAGE = np.zeros((1, 3, 64, 64), np.float32)


class FakeSession:
    """Takes an engine from its cache or builds one; broken ones make it fail as TensorRT does."""

    opened: list[list[Any]] = []  # noqa: RUF012 - emptied by the fixture
    broken = ""
    silent_fall_back = False

    def __init__(self, file: str, options: object, providers: list[Any], *, enable_fallback: bool) -> None:
        assert not enable_fallback, "ONNX Runtime would print to stdout and go on without a word to us"
        FakeSession.opened.append(providers)
        name, settings = providers[0] if isinstance(providers[0], tuple) else (providers[0], {})
        self._providers = [x[0] if isinstance(x, tuple) else x for x in providers]
        if FakeSession.silent_fall_back and name != "CPUExecutionProvider":
            self._providers = self._providers[-1:]
        if "trt_engine_cache_path" in settings:
            self._use_cache(Path(settings["trt_engine_cache_path"]))

    def _use_cache(self, folder: Path) -> None:
        engine = folder / "sm87.engine"
        if engine.exists() and engine.read_bytes() == FakeSession.broken.encode():
            raise RuntimeError("could not deserialize engine from cache")
        if FakeSession.broken == "always":
            engine.write_bytes(b"half")
            raise RuntimeError("out of memory while building")
        if not engine.exists():
            engine.write_bytes(b"built")

    def get_providers(self) -> list[str]:
        return self._providers

    def run(self, _: None, feeds: dict[str, np.ndarray[Any, Any]], _options: object = None) -> list[Any]:
        return [np.full((1, 8), 1.0 if self._providers[0] == "CUDAExecutionProvider" else np.nan, np.float32)]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> type[FakeSession]:
    """A machine with a GPU and an ONNX Runtime built for it."""
    monkeypatch.setattr(FakeSession, "opened", [])
    monkeypatch.setattr(engine_module, "has_gpu", lambda: True)
    monkeypatch.setattr(engine_module, "torch_can_use_gpu", lambda: False)
    monkeypatch.setattr(onnx_gpu, "available_providers", lambda: tuple(ALL))
    monkeypatch.setattr("onnxruntime.InferenceSession", FakeSession)
    return FakeSession


@pytest.mark.parametrize("sign", ["dev/nvidia0", "dev/nvhost-gpu", "dev/nvgpu/igpu0", "dev/dxg"])
def test_a_gpu_is_known_by_its_device_node(sign: str, tmp_path: Path) -> None:
    """Card, Jetson (older and newer JetPack), WSL 2."""
    assert not has_gpu(tmp_path)
    (tmp_path / sign).parent.mkdir(parents=True)
    (tmp_path / sign).touch()
    assert has_gpu(tmp_path)


@pytest.mark.parametrize(
    ("providers", "torch", "wanted"),
    [
        (ALL, "2.3.0", ("onnx-tensorrt", "onnx-cuda", "torch", "onnx")),
        (ALL[1:], "2.3.0+cpu", ("onnx-cuda", "onnx")),
        (ALL[2:], "2.3.0", ("torch", "onnx")),
    ],
)
def test_auto_takes_the_best_that_is_installed(
    providers: list[str], torch: str, wanted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT, CUDA, torch, CPU; never int8 by itself; and only the CPU's without a GPU, whatever is installed."""
    monkeypatch.setattr(onnx_gpu, "available_providers", lambda: tuple(providers))
    monkeypatch.setattr("importlib.metadata.version", lambda _: torch)
    monkeypatch.setattr(engine_module, "has_gpu", lambda: True)
    assert candidates() == wanted
    assert needs_onnx("auto") == (wanted[0] != "torch")
    monkeypatch.setattr(engine_module, "has_gpu", lambda: False)
    assert candidates() == ("onnx",)


def test_a_gpu_that_nothing_can_use_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The usual mistake on a new bin: onnxruntime in place of onnxruntime-gpu. It judges, and says what to install."""
    monkeypatch.setattr(engine_module, "has_gpu", lambda: True)
    monkeypatch.setattr(engine_module, "torch_can_use_gpu", lambda: False)
    monkeypatch.setattr(onnx_gpu, "available_providers", lambda: ("CPUExecutionProvider",))
    assert candidates() == ("onnx",)
    said = capfd.readouterr()
    assert "onnxruntime-gpu" in said.err
    assert said.out == ""


def test_auto_goes_on_where_a_better_engine_fails(
    exported_bundle: Path,
    tmp_path: Path,
    gpu: type[FakeSession],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A driver that does not load: TensorRT and CUDA are passed over with a warning each, and the CPU judges."""
    monkeypatch.setattr(gpu, "silent_fall_back", True)
    engine = open_engine(read_bundle(exported_bundle), "auto", 1, state_dir=tmp_path)
    assert engine.name == "onnx cpu x1"
    warnings = capfd.readouterr().err.splitlines()
    assert [x.split()[2] for x in warnings] == ["onnx-tensorrt", "onnx-cuda"]
    assert "nvidia-smi" in warnings[0]


@pytest.mark.parametrize("kind", ["onnx-cuda", "onnx-tensorrt"])
def test_an_engine_that_is_not_installed_names_what_to_install(exported_bundle: Path, kind: str) -> None:
    """Asked for by name, it is an error: nobody who wrote onnx-tensorrt wants the CPU."""
    if "CUDAExecutionProvider" in onnx_gpu.available_providers():
        pytest.skip("this ONNX Runtime has GPU providers")
    with pytest.raises(ModelError, match=f"engine {kind}: the installed ONNX Runtime .* has no") as caught:
        open_engine(read_bundle(exported_bundle), kind, 1)
    assert "onnxruntime-gpu" in caught.value.hint
    assert "'auto'" in caught.value.hint


@pytest.mark.parametrize("kind", ["onnx-cuda", "onnx-tensorrt"])
def test_a_provider_that_does_not_load_is_an_error(
    exported_bundle: Path, tmp_path: Path, kind: str, gpu: type[FakeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime logs a missing library and takes the CPU: here that is not taken for a GPU, and leaves no cache."""
    monkeypatch.setattr(gpu, "silent_fall_back", True)
    with pytest.raises(ModelError, match="could not load"):
        open_engine(read_bundle(exported_bundle), kind, 1, state_dir=tmp_path)
    assert not list(tmp_path.rglob("*.engine"))


def test_an_unknown_engine_is_named(exported_bundle: Path) -> None:
    """With the ones that there are."""
    with pytest.raises(ConfigError, match="'tensorrt'") as caught:
        open_engine(read_bundle(exported_bundle), "tensorrt")
    assert "onnx-tensorrt" in caught.value.hint


def test_tensorrt_computes_in_half_precision_but_for_the_norms(tmp_path: Path) -> None:
    """And keeps engine and timings in the cache that it was given; the CUDA provider takes what TensorRT does not know."""
    options = tensorrt_options(tmp_path)
    assert options["trt_fp16_enable"]
    assert options["trt_layer_norm_fp32_fallback"]
    assert options["trt_engine_cache_enable"]
    assert options["trt_timing_cache_enable"]
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)
    assert 0 < options["trt_max_workspace_size"] <= 2 << 30
    assert cuda_options()["arena_extend_strategy"] == "kSameAsRequested"


def test_an_engine_is_built_once(exported_bundle: Path, tmp_path: Path, gpu: type[FakeSession]) -> None:
    """The second start takes it from the state directory, without asking systemd for patience."""
    told: list[float] = []
    for _ in range(2):
        open_engine(read_bundle(exported_bundle), "onnx-tensorrt", 1, state_dir=tmp_path, on_export=told.append)
    assert told == [onnx_gpu.BUILD_TIMEOUT_S]
    (folder,) = (tmp_path / "engines").iterdir()
    assert sorted(x.name for x in folder.iterdir()) == [LIST_FILE, "sm87.engine"]
    assert [x[0] if isinstance(x, tuple) else x for x in gpu.opened[0]] == ALL


@pytest.mark.parametrize("damage", ["engine", "list", "no list", "one more"])
def test_a_cache_that_is_not_whole_is_built_anew(
    exported_bundle: Path, tmp_path: Path, gpu: type[FakeSession], damage: str
) -> None:
    """A bad disk, or a build that was cut off: TensorRT never sees such a file, for it may end the process."""
    file = exported_bundle / "model.onnx"
    open_tensorrt(file, 1, tmp_path, lambda _: None)
    (folder,) = tmp_path.iterdir()
    if damage == "engine":
        (folder / "sm87.engine").write_bytes(b"rotten")
    elif damage == "list":
        (folder / LIST_FILE).write_text('{"sm87.eng')
    elif damage == "no list":
        (folder / LIST_FILE).unlink()
    else:
        (folder / "other.engine").write_bytes(b"stray")
    told: list[float] = []
    open_tensorrt(file, 1, tmp_path, told.append)
    assert len(told) == 1
    assert (folder / "sm87.engine").read_bytes() == b"built"
    assert is_whole(folder)


def test_a_cache_that_tensorrt_does_not_take_is_built_anew(
    exported_bundle: Path,
    tmp_path: Path,
    gpu: type[FakeSession],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """After an update of TensorRT or on another GPU: removed and built again, once, with a warning."""
    file = exported_bundle / "model.onnx"
    open_tensorrt(file, 1, tmp_path, lambda _: None)
    (folder,) = tmp_path.iterdir()
    (folder / "sm87.engine").write_bytes(b"old")
    seal(folder)
    monkeypatch.setattr(gpu, "broken", "old")
    open_tensorrt(file, 1, tmp_path, lambda _: None)
    assert (folder / "sm87.engine").read_bytes() == b"built"
    assert "building anew" in capfd.readouterr().err


def test_a_build_that_fails_leaves_nothing(
    exported_bundle: Path, tmp_path: Path, gpu: type[FakeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of memory while building: one error, tried once, no half engine left."""
    monkeypatch.setattr(gpu, "broken", "always")
    with pytest.raises(ModelError, match="out of memory while building"):
        open_tensorrt(exported_bundle / "model.onnx", 1, tmp_path, lambda _: None)
    assert len(gpu.opened) == 1
    assert not list(tmp_path.rglob("*.engine"))


def test_caches_of_older_networks_go(tmp_path: Path) -> None:
    """The one in use and the one before stay, so that a rollback need not build; other files are not touched."""
    (tmp_path / "note.txt").touch()
    folders = []
    for name in ("a", "b", "c"):
        folders.append(cache_folder(tmp_path, name, "1.20"))
        (folders[-1] / "x.engine").write_text(name)
        seal(folders[-1])
    assert KEPT == 2
    assert sorted(x.name for x in tmp_path.iterdir()) == sorted(["note.txt", *(x.name for x in folders[1:])])
    assert cache_folder(tmp_path, "b", "1.20") == folders[1]
    assert cache_folder(tmp_path, "b", "1.21") != folders[1], "another ONNX Runtime"


def test_a_state_directory_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "engines").write_text("")
    with pytest.raises(ModelError, match="engines") as caught:
        cache_folder(engines_dir(tmp_path), "x")
    assert "state directory" in caught.value.hint


def test_an_overflow_on_tensorrt_goes_on_in_single_precision(
    exported_bundle: Path, tmp_path: Path, gpu: type[FakeSession], capfd: pytest.CaptureFixture[str]
) -> None:
    """The fake TensorRT gives NaN: the same picture is judged again by the CUDA provider, and so is every later one."""
    engine = open_engine(read_bundle(exported_bundle), "onnx-tensorrt", 1, state_dir=tmp_path)
    assert engine.name == "onnx tensorrt fp16"
    for _ in range(2):
        assert engine.logits(IMAGE).tolist() == [[1.0] * 8]
    assert engine.name == "onnx cuda"
    assert [x[0][0] for x in gpu.opened] == ALL[:2]
    assert capfd.readouterr().err.count("overflowed") == 1


def test_export_builds_ahead_and_refuses_what_disagrees(
    exported_bundle: Path, tmp_path: Path, gpu: type[FakeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`model export --engine onnx-tensorrt`: without pictures it builds; when other categories come out, the cache is removed."""
    from bin_daemon.model import gpu_export
    from bin_daemon.model.agreement import Agreement
    from bin_daemon.model.photos import Photo

    bundle = read_bundle(shutil.copytree(exported_bundle, tmp_path / "bundle"))
    monkeypatch.setattr(gpu_export, "check_installed", lambda _: None)
    folder, agreement = gpu_export.export_tensorrt(bundle, tmp_path, [])
    assert agreement is None
    assert is_whole(folder)
    poor = Agreement(pictures=4, labelled=0, max_logit_difference=3, same_category=0.5, same_top1=0.5)
    monkeypatch.setattr(gpu_export, "compare", lambda *_: poor)
    with pytest.raises(ModelError, match=r"tensorrt refused: only 50\.00% of 4 pictures"):
        gpu_export.export_tensorrt(bundle, tmp_path, [Photo(tmp_path / "x.jpg", None)])
    assert not folder.exists()

"""The store over its life: new models, going back, removing, two commands at once, and what a power cut leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bin_daemon.config.settings import ModelSettings
from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError, ModelError, UnreachableError
from bin_daemon.model.bundle import read_bundle
from bin_daemon.model.inventory import find_bundle, list_bundles
from bin_daemon.model.lock import locked
from bin_daemon.model.pointer import HISTORY_MAX, Pointer, point_to, read_pointer
from bin_daemon.model.store import activate, active_bundle, models_dir, put, remove, rollback
from bin_daemon.model.verify import verify
from bin_daemon.model.weights import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory."""
    return tmp_path / "state"


@pytest.fixture
def three(exported_bundle: Path, tmp_path: Path, state: Path) -> list[Path]:
    """Models a, b and c, activated in this order."""
    return [activate(_named(exported_bundle, tmp_path, name), state) for name in ("a", "b", "c")]


def _named(source: Path, folder: Path, name: str) -> Path:
    """A copy of the bundle under another id."""
    path = shutil.copytree(source, folder / f"from-{name}")
    content = json.loads((path / "bundle.json").read_text())
    (path / "bundle.json").write_text(json.dumps(content | {"id": name}))
    return path


def _names(state: Path) -> list[str]:
    """All that lies in the store."""
    return sorted(x.name for x in models_dir(state).iterdir())


def test_put_writes_one_folder_for_one_content(plain_bundle: Path, state: Path) -> None:
    """Imported twice is there once, whole and not active; what was made before is not made again."""
    bundle = read_bundle(plain_bundle)
    weights = read_weights(bundle.weights_path)
    first = put(bundle.metadata, weights, state)
    again = put(
        bundle.metadata.model_copy(update={"created": first.metadata.created.replace(year=2030)}), weights, state
    )
    assert first.path == again.path
    assert first.path.name.startswith("tiny-7-")
    assert _names(state) == [first.path.name]
    assert active_bundle(state) is None
    other = put(bundle.metadata.model_copy(update={"temperature": 3.0}), weights, state)
    assert other.path != first.path


def test_put_mends_what_rotted(plain_bundle: Path, state: Path, flip_bit: Callable[[Path], None]) -> None:
    """The same content, damaged in the store: the good one takes its place."""
    bundle = read_bundle(plain_bundle)
    weights = read_weights(bundle.weights_path)
    stored = put(bundle.metadata, weights, state)
    flip_bit(stored.weights_path)
    assert put(bundle.metadata, weights, state).path == stored.path
    read_bundle(stored.path)


def test_a_rollback_can_be_done_again(three: list[Path], state: Path) -> None:
    """Each goes one further back, to the first; then one error that says what else there is, and nothing changes."""
    a, b, c = three
    assert active_bundle(state) == c
    assert rollback(state) == b
    assert rollback(state) == a
    with pytest.raises(ModelError, match="no model was active before") as caught:
        rollback(state)
    assert "model list" in caught.value.hint
    assert active_bundle(state) == a
    assert activate(c, state) == c
    assert rollback(state) == a


def test_a_rollback_to_a_damaged_model_changes_nothing(
    three: list[Path], state: Path, flip_bit: Callable[[Path], None]
) -> None:
    """The one that runs is better than a broken one."""
    _, b, c = three
    flip_bit(b / "model.safetensors")
    with pytest.raises(ModelError, match="sha256 is"):
        rollback(state)
    assert active_bundle(state) == c


def test_the_history_is_bounded_and_holds_each_once(tmp_path: Path) -> None:
    """Back and forth between models does not grow the file."""
    for name in [*(f"m{i}" for i in range(HISTORY_MAX + 5)), "m3", "m12", "m3"]:
        point_to(tmp_path, name)
    pointer = read_pointer(tmp_path)
    assert pointer is not None
    assert pointer.active == "m3"
    assert pointer.previous == ("m12", "m11", "m10", "m9", "m8", "m7", "m6", "m5")


@pytest.mark.parametrize(("previous", "wanted"), [('"old"', ("old",)), ("null", ())])
def test_the_first_pointer_format_is_read(tmp_path: Path, previous: str, wanted: tuple[str, ...]) -> None:
    """It held one name or null."""
    (tmp_path / "active.json").write_text(f'{{"active": "new", "previous": {previous}}}')
    assert read_pointer(tmp_path) == Pointer(active="new", previous=wanted)


def test_removing_spares_what_is_needed(three: list[Path], state: Path) -> None:
    """Not the active one; the next rollback's only by force, and then it is out of the history; others at once."""
    a, b, c = three
    with pytest.raises(ModelError, match="is the active model"):
        remove(c, state, force=True)
    with pytest.raises(ModelError, match="goes back to") as caught:
        remove(b, state)
    assert "--force" in caught.value.hint
    with pytest.raises(ModelError, match="of the config"):
        remove(a, state, in_use=a, force=True)
    assert len(_names(state)) == 4
    remove(b, state, force=True)
    assert rollback(state) == a
    remove(c, state)
    assert _names(state) == [a.name, "active.json"]


@pytest.mark.parametrize("name", ["..", "../..", "nothing", "active.json"])
def test_only_models_of_the_store_are_removed(three: list[Path], state: Path, name: str) -> None:
    """Whatever the path says."""
    with pytest.raises(ModelError, match="is no model of"):
        remove(models_dir(state) / name, state, force=True)
    assert all(x.exists() for x in three)


def test_an_interrupted_removal_leaves_no_half_model(
    three: list[Path], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power cut while files go: its name is gone already, and the next command clears the rest away."""
    a, _, c = three

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", cut)
        with pytest.raises(KeyboardInterrupt):
            remove(a, state)
    assert not a.exists()
    assert [x.name for x in list_bundles(models_dir(state)) if x.damage] == []
    assert any(x.startswith(".old.") for x in _names(state))
    activate(c, state)
    assert not any(x.startswith(".") for x in _names(state))


def test_kill_while_a_model_is_copied(exported_bundle: Path, three: list[Path], tmp_path: Path, state: Path) -> None:
    """Kill -9 in the middle: the old one is active, no half model bears a name, the next activation works and clears away."""
    new = _named(exported_bundle, tmp_path, "d")
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom bin_daemon.model import store\n"
        "real = store._copy\n"
        "def copy(source, target):\n"
        "    real(source, target)\n"
        "    if target.name == 'model.safetensors':\n"
        "        os.kill(os.getpid(), 9)\n"
        "store._copy = copy\n"
        "store.activate(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(new), str(state)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert active_bundle(state) == three[-1]
    assert len(list_bundles(models_dir(state))) == 3
    assert any(x.startswith(".new.") for x in _names(state))
    assert activate(new, state).name.startswith("d-")
    assert not any(x.startswith(".") for x in _names(state))


def test_two_commands_at_once(three: list[Path], state: Path) -> None:
    """The second is told to come again (exit 75) and has changed nothing."""
    before = _names(state)
    with locked(models_dir(state)):
        for change in (lambda: rollback(state), lambda: activate(three[0], state), lambda: remove(three[0], state)):
            with pytest.raises(UnreachableError, match="another bin-daemon model command") as caught:
                change()
            assert caught.value.exit_code == 75
    assert active_bundle(state) == three[-1]
    assert _names(state) == before


def test_a_site_rule_for_a_label_that_the_new_model_lacks(three: list[Path], tmp_path: Path, state: Path) -> None:
    """The daemon would not start with it: told before the switch."""
    settings = ModelSettings(label_overrides={"battery_pack": Category.HAZARDOUS})
    with pytest.raises(ConfigError, match="battery_pack"):
        activate(three[0], state, settings)
    assert active_bundle(state) == three[-1]


def test_files_are_readable_for_the_daemon(exported_bundle: Path, tmp_path: Path, state: Path) -> None:
    """From a stick mounted for root alone, with other things in the folder: readable, and only what belongs to it."""
    source = _named(exported_bundle, tmp_path, "stick")
    for file in source.iterdir():
        file.chmod(0o600)
    (source / "holiday.jpg").write_bytes(b"x")
    (source / "folder").mkdir()
    stored = activate(source, state)
    assert {x.name for x in stored.iterdir()} == {x.name for x in exported_bundle.iterdir()}
    assert all(x.stat().st_mode & 0o044 == 0o044 for x in (stored, *stored.iterdir()))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_may_not_be_written(three: list[Path], state: Path) -> None:
    """One error with the path."""
    models_dir(state).chmod(0o500)
    with pytest.raises(ModelError, match="Permission denied"):
        rollback(state)
    models_dir(state).chmod(0o700)


def test_the_list_shows_sound_and_damaged(three: list[Path], state: Path) -> None:
    """Each with its reason: no metadata, no weights, half of the weights; a stray file is no model."""
    a, b, c = three
    (a / "bundle.json").unlink()
    (b / "model.safetensors").unlink()
    (models_dir(state) / "note.txt").write_text("x")
    half = shutil.copytree(c, models_dir(state) / "half")
    content = (half / "model.safetensors").read_bytes()
    (half / "model.safetensors").write_bytes(content[: len(content) // 2])
    found = {x.name: x for x in list_bundles(models_dir(state))}
    assert set(found) == {a.name, b.name, c.name, "half"}
    assert "no bundle.json" in found[a.name].damage
    assert "model.safetensors" in found[b.name].damage
    assert "not a readable safetensors file" in found["half"].damage
    assert found[c.name].damage == ""
    assert [x.name for x in found.values() if x.active] == [c.name]
    assert (found[b.name].back_steps, found[a.name].back_steps, found[c.name].back_steps) == (1, 2, None)
    assert found[c.name].size_bytes == sum(x.stat().st_size for x in c.iterdir())


def test_a_word_finds_its_model(three: list[Path], state: Path) -> None:
    """Whole name, id, beginning; else the nearest, or all, are named."""
    store = models_dir(state)
    a = three[0]
    assert find_bundle(store, a.name) == a
    assert find_bundle(store, "a") == a
    assert find_bundle(store, a.name[:5]) == a
    with pytest.raises(ModelError, match="no model 'convnext'") as caught:
        find_bundle(store, "convnext")
    assert a.name in caught.value.hint
    with pytest.raises(ModelError) as caught:
        find_bundle(store, a.name[:-2] + "zz")
    assert f"did you mean {a.name}" in caught.value.hint
    with pytest.raises(ModelError, match="no model ''"):
        find_bundle(store, "")
    shutil.copytree(a, store / "a-copy")
    with pytest.raises(ModelError, match=f"may mean {a.name}, a-copy|may mean a-copy, {a.name}|may mean a-"):
        find_bundle(store, "a-")
    with pytest.raises(ModelError) as caught:
        find_bundle(store / "none", "x")
    assert "the store is empty" in caught.value.hint


def test_verify_says_what_is_right(bundle_copy: Path) -> None:
    """Every check of a sound bundle; int8 does not apply."""
    checks = {x.name: x.ok for x in verify(bundle_copy)}
    assert checks == {"files": True, "weights": True, "onnx": True, "int8": None, "inference": True, "agreement": True}


@pytest.mark.parametrize(
    ("file", "check"),
    [("bundle.json", "files"), ("model.safetensors", "files"), ("model.onnx", "onnx"), ("model.onnx.json", "onnx")],
)
def test_verify_finds_what_is_wrong(bundle_copy: Path, file: str, check: str) -> None:
    """Cut in half, each file of a bundle, the export too, which bundle.json's digests do not cover; nothing is mended."""
    content = (bundle_copy / file).read_bytes()
    (bundle_copy / file).write_bytes(content[: len(content) // 2])
    last = list(verify(bundle_copy))[-1]
    assert (last.name, last.ok) == (check, False)
    assert file in last.text
    assert last.hint
    assert len((bundle_copy / file).read_bytes()) == len(content) // 2


def test_verify_finds_weights_of_another_network(bundle_copy: Path) -> None:
    """Digests right, labels right, and yet not the network that bundle.json names."""
    content = json.loads((bundle_copy / "bundle.json").read_text())
    content["architecture"]["kwargs"]["depths"] = [1, 1, 3, 1]
    (bundle_copy / "bundle.json").write_text(json.dumps(content))
    last = list(verify(bundle_copy))[-1]
    assert (last.name, last.ok) == ("weights", False)
    assert "is missing for convnext_atto" in last.text


def test_verify_finds_an_export_that_answers_otherwise(bundle_copy: Path, tmp_path: Path) -> None:
    """Digest and origin of the exported file made right by hand: only running both shows that it is another network."""
    import onnx
    from onnx import numpy_helper

    from bin_daemon.model.weights import sha256_of

    model = onnx.load(str(bundle_copy / "model.onnx"))
    tensor = next(x for x in model.graph.initializer if "head.fc.bias" in x.name)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + 1, tensor.name))
    onnx.save_model(model, str(bundle_copy / "model.onnx"))
    sidecar = json.loads((bundle_copy / "model.onnx.json").read_text())
    sidecar["sha256"] = {"model.onnx": sha256_of(bundle_copy / "model.onnx")}
    (bundle_copy / "model.onnx.json").write_text(json.dumps(sidecar))
    last = list(verify(bundle_copy))[-1]
    assert (last.name, last.ok) == ("agreement", False)
    assert "differ by 1 in a logit" in last.text
    assert "model export" in last.hint

"""The store: a new model becomes active whole, or the old one stays."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from bin_daemon.config.settings import ModelSettings
from bin_daemon.errors import ModelError
from bin_daemon.model.bundle import read_bundle
from bin_daemon.model.onnx_file import checked_onnx
from bin_daemon.model.store import activate, active_bundle, models_dir, resolve_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _renamed(path: Path, name: str) -> Path:
    """The bundle under another id; weights and export stay."""
    content = json.loads((path / "bundle.json").read_text())
    (path / "bundle.json").write_text(json.dumps(content | {"id": name}))
    return path


def test_an_activated_bundle_lives_in_the_store(bundle_copy: Path, tmp_path: Path) -> None:
    """Copied, so that the folder it came from (a USB stick) may go; its export comes along; twice is once."""
    state = tmp_path / "state"
    assert active_bundle(state) is None
    stored = activate(bundle_copy, state)
    assert activate(bundle_copy, state) == stored
    assert stored.parent == models_dir(state)
    shutil.rmtree(bundle_copy)
    assert resolve_bundle(ModelSettings(), state) == stored
    assert checked_onnx(read_bundle(stored)).exists()
    assert sorted(x.name for x in models_dir(state).iterdir()) == ["active.json", stored.name]


def test_settings_name_a_bundle_first(tmp_path: Path) -> None:
    """model.bundle wins over the active one, without looking at the store."""
    assert resolve_bundle(ModelSettings(bundle=tmp_path / "mine"), tmp_path) == tmp_path / "mine"


def test_no_model_at_all_says_what_to_do(tmp_path: Path) -> None:
    """The daemon's config fault: exit 78 with both ways out."""
    with pytest.raises(ModelError, match="no active model") as caught:
        resolve_bundle(ModelSettings(), tmp_path)
    assert caught.value.exit_code == 78
    assert "model.bundle" in caught.value.hint


def test_a_bad_new_bundle_keeps_the_old(bundle_copy: Path, tmp_path: Path, flip_bit: Callable[[Path], None]) -> None:
    """Bit rot in the new one: one error, the old one active and untouched."""
    state = tmp_path / "state"
    old = activate(bundle_copy, state)
    flip_bit(_renamed(bundle_copy, "new") / "model.safetensors")
    with pytest.raises(ModelError, match="sha256 is"):
        activate(bundle_copy, state)
    assert active_bundle(state) == old
    read_bundle(old)


def test_a_failed_export_keeps_the_old(bundle_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pointer moves last: a network that does not export never becomes active."""
    state = tmp_path / "state"
    old = activate(bundle_copy, state)

    def refuse(*_: object) -> None:
        raise ModelError("cannot be exported")

    (_renamed(bundle_copy, "new") / "model.onnx").unlink()
    monkeypatch.setattr("bin_daemon.model.onnx_file.run_module", refuse)
    with pytest.raises(ModelError, match="cannot be exported"):
        activate(bundle_copy, state)
    assert active_bundle(state) == old


def test_a_full_disk_keeps_the_old(bundle_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space while copying: one error, no leftovers."""
    state = tmp_path / "state"
    old = activate(bundle_copy, state)
    before = sorted(models_dir(state).iterdir())

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(ModelError, match="No space left"):
        activate(_renamed(bundle_copy, "new"), state)
    assert active_bundle(state) == old
    assert sorted(models_dir(state).iterdir()) == before


def test_the_pointer_remembers_what_was_active_before(bundle_copy: Path, tmp_path: Path) -> None:
    """For going back."""
    old = activate(bundle_copy, tmp_path / "state")
    new = activate(_renamed(bundle_copy, "new"), tmp_path / "state")
    pointer = json.loads((models_dir(tmp_path / "state") / "active.json").read_text())
    assert pointer == {"active": new.name, "previous": [old.name]}


def test_a_stored_bundle_that_rotted_is_replaced(
    bundle_copy: Path, tmp_path: Path, flip_bit: Callable[[Path], None]
) -> None:
    """Activating the good original again mends it."""
    stored = activate(bundle_copy, tmp_path / "state")
    flip_bit(stored / "model.safetensors")
    assert activate(bundle_copy, tmp_path / "state") == stored
    read_bundle(stored)


@pytest.mark.parametrize("content", ["", "{}", '{"active": "../../etc"}', '{"active": 3}', "\x00"])
def test_a_damaged_pointer_is_one_error_and_can_be_mended(bundle_copy: Path, tmp_path: Path, content: str) -> None:
    """Reading says what to do, and doing it works."""
    pointer = models_dir(tmp_path / "state") / "active.json"
    pointer.parent.mkdir(parents=True)
    pointer.write_text(content)
    with pytest.raises(ModelError, match=r"active\.json: damaged") as caught:
        active_bundle(tmp_path / "state")
    assert "model.bundle" in caught.value.hint
    activate(bundle_copy, tmp_path / "state")
    assert active_bundle(tmp_path / "state") is not None

"""What is kept for going back survives: power cuts, other hands, full disks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bin_daemon.errors import ConfigError
from bin_daemon.model import durable
from bin_daemon.model.durable import write_durably
from bin_daemon.technician.firmware import previous_image
from bin_daemon.technician.firmware_image import Image
from bin_daemon.technician.firmware_store import FirmwareStore, Manifest
from tests.technician.mega_board import program_image

A, B, C = (program_image((1, minor, 0), size=600) for minor in range(3))


@pytest.fixture
def store(tmp_path: Path) -> FirmwareStore:
    """Empty."""
    return FirmwareStore(tmp_path / "state")


def files(store: FirmwareStore) -> set[str]:
    """All that lies in it."""
    return {file.name for file in store.folder.iterdir()}


def test_empty(store: FirmwareStore) -> None:
    """Nothing is made by looking; a rollback says what else there is."""
    assert store.manifest() == Manifest()
    assert not store.folder.exists()
    with pytest.raises(ConfigError, match="no previous firmware is kept") as caught:
        previous_image(store)
    assert "bin-daemon firmware flash IMAGE" in caught.value.hint


def test_only_what_the_manifest_names_stays(store: FirmwareStore) -> None:
    """Images in, images out; what is named twice lies there once."""
    a, b, c = (store.keep(x, "01") for x in (A, B, C))
    assert store.update(flashed=a, previous=b) == store.manifest()
    assert files(store) == {"manifest.json", a.file_name, b.file_name}
    assert store.image(b) == B
    store.update(unfinished=store.keep(C, "01"), previous=a)
    assert files(store) == {"manifest.json", a.file_name, c.file_name}
    store.update(unfinished=None)
    assert files(store) == {"manifest.json", a.file_name}


def test_a_power_cut_at_any_moment(store: FirmwareStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever write or rename is the last one: the manifest is the old or the new one, and its images are there."""
    a = store.keep(A, "01")
    store.update(flashed=a)

    class CutError(Exception):
        pass

    real_replace, real_write = Path.replace, write_durably
    for moment in range(6):
        left = [moment]

        def tick(left: list[int] = left) -> None:
            if left[0] == 0:
                raise CutError
            left[0] -= 1

        def write(file: Path, content: bytes, tick: object = tick) -> None:
            tick()  # type: ignore[operator]
            real_write(file, content[: len(content) // 2])  # as far as it got
            tick()  # type: ignore[operator]
            real_write(file, content)

        def replace(self: Path, target: Path, tick: object = tick) -> Path:
            tick()  # type: ignore[operator]
            return real_replace(self, target)

        monkeypatch.setattr(durable, "write_durably", write)
        monkeypatch.setattr(Path, "replace", replace)
        with pytest.raises(CutError):
            store.update(previous=store.keep(B, "01"))
        monkeypatch.undo()
        assert store.manifest() == Manifest(flashed=a)
        assert store.image(a) == A
    store.update(previous=store.keep(B, "01"))
    assert previous_image(store)[0] == B
    assert len(files(store)) == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format_version": 2}', b'{"flashed": {"sha256": "../x"}}'])
def test_a_damaged_manifest(store: FirmwareStore, content: bytes) -> None:
    """Said before anything is written to a board; the images are still there for a person."""
    store.update(flashed=store.keep(A, "01"))
    (store.folder / "manifest.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"manifest.json: damaged") as caught:
        store.manifest()
    assert "remove the file" in caught.value.hint


def test_a_damaged_image(store: FirmwareStore) -> None:
    """Another image under its name does not go onto a controller."""
    a = store.keep(A, "01")
    store.update(previous=a)
    b = store.keep(B, "01")
    (store.folder / b.file_name).replace(store.folder / a.file_name)
    with pytest.raises(ConfigError, match="its SHA-256 differs"):
        previous_image(store)
    (store.folder / a.file_name).unlink()
    with pytest.raises(ConfigError, match="No such file"):
        previous_image(store)


def test_what_was_there_is_none_of_ours(store: FirmwareStore) -> None:
    """A sketch that somebody had on the board is kept, but a rollback would leave lids that nobody can ask."""
    store.update(previous=store.keep(Image(b"\x0c\x94 blink", None), ""))
    with pytest.raises(ConfigError, match="no firmware of bin-daemon"):
        previous_image(store)


def test_no_room_and_no_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory that is none, and a full disk: one hint for both."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="firmware: Not a directory") as caught:
        FirmwareStore(tmp_path / "file").keep(A, "01")
    assert "sudo" in caught.value.hint

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(durable, "write_durably", full)
    with pytest.raises(ConfigError, match="No space left"):
        FirmwareStore(tmp_path).keep(A, "01")

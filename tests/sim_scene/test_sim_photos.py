"""Where the items come from: fetched cut-outs, drawings that say so, or a folder of one's own."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError, UnreachableError
from bin_daemon.sim.compose import as_card, compose_on_tray, cut_out
from bin_daemon.sim.photos import load_photos, read_photo
from bin_daemon.sim.stamps import FOLDER, TABLE, fetch_stamps, find_stamps

SHARED = Path(os.environ.get("BIN_TEST_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
NOWHERE = Path("/nowhere")


def _write_stamps(folder: Path) -> None:
    for number, (name, _, _) in enumerate(TABLE):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        disc = np.zeros((40, 60, 4), np.uint8)
        disc[10:30, 20:50] = (number, 120, 60, 255)
        Pillow.fromarray(disc).save(folder / name)


def test_the_table_is_rich_enough_for_a_demo() -> None:
    """At least 24 photographs of all four categories, no file and no name twice."""
    assert len(TABLE) >= 24
    assert {category for _, category, _ in TABLE} == set(Category)
    assert len({path for path, _, _ in TABLE}) == len({name for _, _, name in TABLE}) == len(TABLE)


def test_drawn_items_say_that_they_are_drawn() -> None:
    """The fallback is told by its kind, covers all categories, and every item is an opaque shape with a transparent ground."""
    drawn = load_photos("drawn")
    assert drawn.kind == "drawn"
    assert {p.category for p in drawn.items} == set(Category)
    for photo in drawn.items:
        assert photo.rgba.shape[2] == 4
        assert 0.1 < float((photo.rgba[..., 3] > 127).mean()) <= 1.0


def test_auto_takes_the_photographs_where_they_were_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without fetched stamps auto means drawn and stamps is an error with a hint; with them both give photographs."""
    monkeypatch.setattr("bin_daemon.sim.stamps.INSTALLED", NOWHERE)
    monkeypatch.setattr("bin_daemon.sim.photos.find_stamps", lambda folder: find_stamps(folder, NOWHERE))
    assert load_photos("auto", tmp_path).kind == "drawn"
    with pytest.raises(ConfigError) as caught:
        load_photos("stamps", tmp_path)
    assert "drawn" in caught.value.hint
    _write_stamps(tmp_path / FOLDER)
    for source in ("auto", "stamps"):
        found = load_photos(source, tmp_path)
        assert found.kind == "photographs"
        assert [(p.name, p.category) for p in found.items] == [(name, category) for _, category, name in TABLE]
        assert found.items[0].rgba.shape == (20, 30, 4)


def test_a_corrupt_photo_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    """A truncated, an empty and a text file each give one fault with the path; the good one is used."""
    for category in ("kitchen", "other"):
        (tmp_path / category).mkdir()
    good = tmp_path / "kitchen" / "plum.png"
    Pillow.fromarray(_disc_on((250, 250, 250))).save(good)
    (tmp_path / "kitchen" / "torn.png").write_bytes(good.read_bytes()[:200])
    (tmp_path / "other" / "empty.jpg").touch()
    (tmp_path / "other" / "words.jpg").write_text("not a picture")
    (tmp_path / "other" / "notes.txt").write_text("ignored")
    found = load_photos(tmp_path)
    assert [(p.name, p.category) for p in found.items] == [("plum", Category.KITCHEN)]
    assert sorted(Path(fault.split(": ")[0]).name for fault in found.faults) == ["empty.jpg", "torn.png", "words.jpg"]


def test_a_folder_without_a_readable_photo_is_an_error(tmp_path: Path) -> None:
    """The error names the folder and what it should hold."""
    (tmp_path / "recyclable").mkdir()
    (tmp_path / "recyclable" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    with pytest.raises(ConfigError) as caught:
        load_photos(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "recyclable, kitchen, hazardous, other" in caught.value.hint


def test_a_manifest_gives_its_test_split_and_never_leaves_its_folder(tmp_path: Path) -> None:
    """Only test rows count; a row that points outside is refused; a broken table is a clear error."""
    Pillow.fromarray(_disc_on((240, 240, 240))).save(tmp_path / "a.png")
    table = tmp_path / "MANIFEST.csv"
    head = "file,split,fine_label,bin\n"
    table.write_text(head + "a.png,test,plastic_cup,recyclable\na.png,train,plum,kitchen\n")
    assert [(p.name, p.category) for p in load_photos(tmp_path).items] == [("plastic cup a", Category.RECYCLABLE)]
    for bad in (head + "../a.png,test,cup,recyclable\n", head + "a.png,test,cup,glass\n", "just,words\n1,2\n"):
        table.write_text(bad)
        with pytest.raises(ConfigError, match=r"MANIFEST\.csv"):
            load_photos(tmp_path)


def _disc_on(ground: tuple[int, int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A purple disc of radius 50 on a plain ground whose light falls off to one side; RGB."""
    y, x = np.mgrid[0:160, 0:200]
    picture = np.array(ground, np.float32) * (1 - 0.15 * x / 200)[..., None]
    picture += np.random.default_rng(1).normal(0, 1.5, picture.shape)
    picture[(x - 110) ** 2 + (y - 80) ** 2 < 50**2] = (110, 30, 90)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def test_cut_out_finds_the_item_on_a_plain_ground() -> None:
    """A disc on an unevenly lit board is cut out to its own size, corners transparent, middle opaque and of the right colour."""
    cut = cut_out(np.ascontiguousarray(_disc_on((235, 238, 240))[..., ::-1]))
    assert cut is not None
    assert abs(cut.shape[0] - 100) <= 6
    assert abs(cut.shape[1] - 100) <= 6
    assert cut[2, 2, 3] == 0
    assert tuple(cut[50, 50]) == (110, 30, 90, 255)
    assert 0.70 < float((cut[..., 3] > 127).mean()) < 0.85


def test_cut_out_refuses_what_it_cannot_tell() -> None:
    """A busy picture, an empty board and an item that runs out of the picture are not cut."""
    rng = np.random.default_rng(3)
    busy = rng.integers(0, 255, (120, 120, 3)).astype(np.uint8)
    board = np.full((120, 120, 3), 230, np.uint8)
    cropped = board.copy()
    cropped[40:, 30:90] = (30, 60, 90)
    assert cut_out(busy) is None
    assert cut_out(board) is None
    assert cut_out(cropped) is None


def test_an_opaque_photo_that_cannot_be_cut_becomes_a_soft_card(tmp_path: Path) -> None:
    """Its middle stays opaque, its edge fades."""
    rng = np.random.default_rng(3)
    Pillow.fromarray(rng.integers(0, 255, (120, 160, 3)).astype(np.uint8)).save(tmp_path / "busy.png")
    card = read_photo(tmp_path / "busy.png")
    assert card[60, 80, 3] == 255
    assert card[0, :, 3].max() < 40


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_any_kind_of_picture_file_becomes_an_rgba_item(tmp_path: Path, mode: str) -> None:
    """Grey, palette and print colours are read too; a large picture is made smaller."""
    path = tmp_path / ("print.jpg" if mode == "CMYK" else "item.png")
    disc = Pillow.fromarray(_disc_on((245, 245, 245))).resize((1000, 800))
    disc.convert(mode).save(path)
    item = read_photo(path)
    assert item.shape[2] == 4
    assert max(item.shape) <= 512
    assert item[item.shape[0] // 2, item.shape[1] // 2, 3] == 255


def test_a_wholly_transparent_picture_is_refused(tmp_path: Path) -> None:
    """There is nothing to lay on the tray, and the error says so."""
    Pillow.new("RGBA", (30, 30), (9, 9, 9, 0)).save(tmp_path / "glass.png")
    with pytest.raises(ConfigError, match=r"glass\.png: wholly transparent"):
        read_photo(tmp_path / "glass.png")


@pytest.mark.parametrize("channels", [3, 4])
def test_compose_on_tray_shows_the_item_and_is_seeded(channels: int) -> None:
    """The picture has the asked size, shows the item's colour in its middle, and one seed gives one picture."""
    item = np.full((90, 120, channels), 255, np.uint8)
    item[..., :3] = (200, 30, 30)
    one, two, other = (compose_on_tray(item, np.random.default_rng(s), (96, 128)) for s in (1, 1, 2))
    assert one.shape == (96, 128, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    blue, green, red = one[44:52, 60:68].reshape(-1, 3).mean(axis=0)
    assert red > 110
    assert max(blue, green) < 70
    assert as_card(item[..., :3]).shape == (90, 120, 4)


def _fake_program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_fetch_keeps_the_table_only_and_is_quick_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """apt-get and dpkg are run once in a scratch folder; afterwards only the table's files are left."""
    package, programs, cache = tmp_path / "package", tmp_path / "programs", tmp_path / "cache"
    _write_stamps(package)
    (package / "cartoon.png").touch()
    _fake_program(programs, "apt-get", f"echo x >> {tmp_path}/calls; touch tuxpaint-stamps-default_1_all.deb")
    _fake_program(
        programs, "dpkg", f'mkdir -p "$3/usr/share/tuxpaint" && cp -r {package} "$3/usr/share/tuxpaint/stamps"'
    )
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    (cache / FOLDER).mkdir(parents=True)
    (cache / FOLDER / "half.png").touch()
    folder = fetch_stamps(cache, NOWHERE)
    assert fetch_stamps(cache, NOWHERE) == folder == cache / FOLDER
    assert (tmp_path / "calls").read_text() == "x\n"
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png")) == sorted(
        name for name, _, _ in TABLE
    )
    assert [p.name for p in cache.iterdir()] == [FOLDER]


@pytest.mark.parametrize(
    ("apt_get", "dpkg", "says"),
    [
        ("echo 'E: Unable to locate package' >&2; exit 100", "exit 0", "Unable to locate package"),
        ("exit 0", "exit 0", "brought no"),
        ("touch tuxpaint-stamps-default_1_all.deb", "echo 'dpkg: corrupt' >&2; exit 2", "corrupt"),
        ("touch tuxpaint-stamps-default_1_all.deb", "exit 0", "lacks"),
    ],
)
def test_a_failed_fetch_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apt_get: str, dpkg: str, says: str
) -> None:
    """No network, no package, a corrupt package, another version: one clear error, no half-filled cache."""
    _fake_program(tmp_path / "programs", "apt-get", apt_get)
    _fake_program(tmp_path / "programs", "dpkg", dpkg)
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{os.environ['PATH']}")
    with pytest.raises(UnreachableError, match=says) as caught:
        fetch_stamps(tmp_path / "cache", NOWHERE)
    assert caught.value.hint
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_machine_without_apt_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no apt-get, the error names it and offers the other sources."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnreachableError, match="apt-get is not on this machine") as caught:
        fetch_stamps(tmp_path / "cache", NOWHERE)
    assert "drawn" in caught.value.hint


@pytest.mark.real_photos
@pytest.mark.skipif(not (SHARED / "waste_images").is_dir(), reason="the shared photographs are not here")
def test_the_shared_photographs_load_with_all_categories() -> None:
    """The test split gives at most 96 items, an even share of every category, some cut out and some as cards, without a fault."""
    found = load_photos(SHARED / "waste_images")
    assert found.kind == "photographs"
    assert found.faults == ()
    assert {c: sum(p.category is c for p in found.items) for c in Category} == dict.fromkeys(Category, 24)

"""`bin-daemon calibrate roi | background`: by numbers, over real HTTP, and what may not become the empty tray."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bin_daemon.app.drift import REFERENCE
from bin_daemon.cli import app
from bin_daemon.config import load_settings
from bin_daemon.errors import BinError, ConfigError, DeviceError
from bin_daemon.placement.drift import TrayReference
from bin_daemon.service.control import ControlSocket
from bin_daemon.technician import aim_background
from bin_daemon.technician.aim_page import AimPage
from bin_daemon.technician.roi import Roi, parse_roi
from tests.technician.clip_rig import THING, tray

JPEG = b"\xff\xd8 picture"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config file that knows its own folders only."""
    file = tmp_path / "bin.toml"
    file.write_text(f'[service]\nstate_dir = "{tmp_path}"\nruntime_dir = "{tmp_path}"\n[placement]\nclear_ms = 250\n')
    return file


def calibrate(*args: str | Path, typed: str | None = None) -> Result:
    """The command; our own errors come through."""
    return CliRunner().invoke(app, ["calibrate", *map(str, args)], input=typed)


@pytest.mark.parametrize(
    ("text", "roi"),
    [
        ("0.1,0.2,0.5,0.6", (0.1, 0.2, 0.5, 0.6)),
        ("[0, 0, 1, 1]", (0, 0, 1, 1)),
        ("64,48,320,240", (0.1, 0.1, 0.5, 0.5)),
        ("0,0,641,480", (0, 0, 1, 1)),
    ],
)
def test_region_as_people_write_it(text: str, roi: Roi) -> None:
    """Fractions, or pixels of the picture."""
    assert parse_roi(text, (640, 480)) == pytest.approx(roi)


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "x,0,1,1", "nan,0,1,1", "-0.1,0,1,1", "0.5,0,0.6,1", "0,0,0.01,1", "0,0,inf,1"]
)
def test_region_that_is_none(text: str) -> None:
    """A ConfigError that quotes what was given."""
    with pytest.raises(ConfigError, match="region"):
        parse_roi(text, (640, 480))


def test_numbers_are_saved_beside_the_config(config: Path) -> None:
    """The daemon's next start uses them; other words of the file stay, and saving again replaces."""
    file = config.parent / "conf.d" / "40-aim.toml"
    file.parent.mkdir()
    file.write_text("# mine\n[placement]\nsettle_ms = 500.0 # slow\n")
    assert calibrate("roi", "-c", config, "--roi", "0.1,0.2,0.5,0.6").exit_code == 0
    assert calibrate("roi", "-c", config, typed="0.2,0.2,0.5,0.5\n").exit_code == 0
    settings = load_settings(config).placement
    assert settings.roi == (0.2, 0.2, 0.5, 0.5)
    assert (settings.settle_ms, settings.clear_ms) == (500.0, 250.0)
    assert "# mine" in file.read_text()
    assert "# slow" in file.read_text()
    assert sorted(x.name for x in file.parent.iterdir()) == ["40-aim.toml"]


def test_pixels_are_of_the_picture(config: Path, tmp_path: Path) -> None:
    """Their size is the picture's."""
    cv2.imwrite(str(tmp_path / "p.png"), tray(0))
    assert calibrate("roi", "-c", config, "--roi", "64,48,320,240", "--picture", tmp_path / "p.png").exit_code == 0
    assert load_settings(config).placement.roi == (0.1, 0.1, 0.5, 0.5)


def test_another_setting_with_the_last_word_is_named(config: Path) -> None:
    """A later drop-in would make the saving useless in silence."""
    (config.parent / "conf.d").mkdir()
    (config.parent / "conf.d" / "90-site.toml").write_text("[placement]\nroi = [0.0, 0.0, 1.0, 1.0]\n")
    said = calibrate("roi", "-c", config, "--roi", "0.1,0.2,0.5,0.6").stdout
    assert "90-site.toml" in said
    assert "last word" in said


@pytest.mark.parametrize("content", ["placement = 3\n", "[placement\n", "\x00"])
def test_a_broken_file_is_left_alone(config: Path, content: str) -> None:
    """Nothing is overwritten that nobody understands."""
    file = config.parent / "conf.d" / "40-aim.toml"
    file.parent.mkdir()
    file.write_text(content)
    assert isinstance(calibrate("roi", "-c", config, "--roi", "0,0,1,1").exception, BinError)
    assert file.read_text() == content


def ask(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    """One real HTTP request."""
    try:
        with urllib.request.urlopen(url, data=body, timeout=5) as reply:  # noqa: S310 - our own loopback server
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_page_saves_one_region() -> None:
    """Page, picture and saving with the link's secret; a wrong region is told, the first right one ends it."""
    saved: list[Roi] = []

    def save(roi: Roi) -> str:
        saved.append(roi)
        return "Saved."

    with AimPage(JPEG, (0.1, 0.1, 0.8, 0.8), save) as page:
        base, query = page.url.split("?")
        status, text = ask(page.url)
        assert status == 200
        assert b'data-roi="[0.1, 0.1, 0.8, 0.8]"' in text
        assert b"http://" not in text
        assert b"https://" not in text
        assert ask(f"{base}picture?{query}") == (200, JPEG)
        for wrong in (b"", b"[[", b'{"roi":[0,0,1]}', b'{"roi":[0,0,1,NaN]}', b'{"roi":[0.5,0,0.6,1]}', b"9" * 5000):
            assert ask(f"{base}save?{query}", wrong)[0] == 400
        assert not page.wait(0)
        assert ask(f"{base}nothing?{query}")[0] == 404
        status, text = ask(f"{base}save?{query}", json.dumps({"roi": [0.2, 0.2, 0.5, 0.5]}).encode())
        assert (status, json.loads(text)) == (200, {"said": "Saved."})
        assert page.wait(5)
        assert ask(f"{base}save?{query}", b'{"roi":[0,0,1,1]}')[0] == 410
    assert saved == [(0.2, 0.2, 0.5, 0.5)]
    with pytest.raises(urllib.error.URLError):
        ask(page.url)


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=%FF", "?TOKEN=x"])
def test_page_wants_the_whole_link(query: str) -> None:
    """Without the secret there is no page, no picture of people beside the bin, and no saving."""
    with AimPage(JPEG, (0, 0, 1, 1), lambda _: pytest.fail("saved")) as page:
        base = page.url.split("?")[0]
        assert ask(base + query)[0] == 403
        assert ask(f"{base}picture{query}")[0] == 403
        assert ask(f"{base}save{query}", b'{"roi":[0,0,1,1]}')[0] == 403


def test_page_on_an_address_that_is_not_ours() -> None:
    """A ConfigError that names the option."""
    with pytest.raises(ConfigError) as caught:
        AimPage(JPEG, (0, 0, 1, 1), str, address="192.0.2.1")
    assert "--listen" in caught.value.hint


def test_background_is_kept_with_region_and_time(config: Path, tmp_path: Path) -> None:
    """What the daemon will read: the same file, the same region."""
    cv2.imwrite(str(tmp_path / "p.png"), tray(0))
    assert aim_background.NAME == REFERENCE
    result = calibrate("background", "-c", config, "--picture", tmp_path / "p.png", "--anyway")
    assert result.exit_code == 0, result.exception
    reference = TrayReference.from_bytes((tmp_path / REFERENCE).read_bytes())
    assert (reference.size, reference.roi) == ((640, 480), (0.0, 0.0, 1.0, 1.0))
    assert reference.at.endswith("+00:00")


def test_background_with_a_thing_on_it(config: Path, tmp_path: Path) -> None:
    """Told with its place and not kept, unless a person insists."""
    x, y, width, height = THING
    even = np.full((480, 640, 3), 130, np.uint8)
    cv2.rectangle(even, (x, y), (x + width, y + height), (30, 50, 190), -1)
    cv2.imwrite(str(tmp_path / "p.png"), even)
    result = calibrate("background", "-c", config, "--picture", tmp_path / "p.png")
    assert isinstance(result.exception, ConfigError)
    assert "seems to lie" in str(result.exception)
    assert not (tmp_path / REFERENCE).exists()
    assert calibrate("background", "-c", config, "--picture", tmp_path / "p.png", "--anyway").exit_code == 0


@pytest.mark.parametrize(("grey", "word"), [(3, "dark"), (252, "overexposed"), (128, "structure")])
def test_background_that_is_no_picture(config: Path, tmp_path: Path, grey: int, word: str) -> None:
    """Too dark, too bright or covered: not kept."""
    cv2.imwrite(str(tmp_path / "p.png"), np.full((480, 640, 3), grey, np.uint8))
    result = calibrate("background", "-c", config, "--picture", tmp_path / "p.png")
    assert word in str(result.exception)
    assert not (tmp_path / REFERENCE).exists()


@pytest.mark.parametrize("command", [("background",), ("roi", "--browser"), ("roi", "--roi", "0,0,300,300")])
def test_running_service_has_the_camera(config: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Said before the camera is touched, with the command that stops it."""
    done = threading.Event()
    with ControlSocket(tmp_path / "control.sock", lambda _: {"ok": True, "data": {}}).session() as step:

        def serve() -> None:
            while not done.is_set():
                step()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        result = calibrate(*command, "-c", config)
        done.set()
        thread.join(5)
    assert isinstance(result.exception, DeviceError)
    assert "systemctl stop bin-daemon" in result.exception.hint

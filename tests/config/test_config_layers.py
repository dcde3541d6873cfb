"""Which layer has the last word, and that every value knows where it came from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bin_daemon.config import Settings, load, load_settings
from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours, and relative names."""
    for name in [x for x in os.environ if x.upper().startswith("BIN_")] + ["CREDENTIALS_DIRECTORY"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str, mode: int = 0o640) -> Path:
    """A file of this text."""
    file = Path(name)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, "utf-8")
    file.chmod(mode)
    return file


def test_each_layer_overrides_the_one_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults < bin.toml < conf.d in order < credentials < BIN_* < command line, each taken away in turn."""
    main = write("bin.toml", "[mqtt]\npassword = '1'\n")
    write("conf.d/10.toml", "[mqtt]\npassword = '2'\n")
    write("conf.d/20.toml", "[mqtt]\npassword = '3'\n")
    write("creds/mqtt.password", "4\n", 0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "creds")
    monkeypatch.setenv("BIN_MQTT__PASSWORD", "5")

    def winner(overrides: dict[str, str] | None = None) -> tuple[str, str]:
        loaded = load(main, overrides=overrides)
        return loaded.settings.mqtt.password.get_secret_value(), loaded.origins["mqtt.password"]

    assert winner({"mqtt.password": "6"}) == ("6", "command line")
    assert winner() == ("5", "env BIN_MQTT__PASSWORD")
    monkeypatch.delenv("BIN_MQTT__PASSWORD")
    assert winner() == ("4", "credential mqtt.password")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert winner() == ("3", "conf.d/20.toml:2")
    Path("conf.d/20.toml").unlink()
    assert winner() == ("2", "conf.d/10.toml:2")
    Path("conf.d/10.toml").unlink()
    assert winner() == ("1", "bin.toml:2")


def test_tables_merge_deeply_and_lists_are_replaced() -> None:
    """A drop-in with one key keeps the rest of its table; one with [[lids]] says all lids."""
    main = write("bin.toml", "[camera]\nwidth = 640\nfps = 5\n[policy.min_probability]\nkitchen = 0.9\n")
    write(
        "conf.d/x.toml",
        "camera.fps = 7\n[policy.min_probability]\nother = 0.1\n[[lids]]\nlid = 3\ncategory = 'other'\n",
    )
    settings = load_settings(main)
    assert (settings.camera.width, settings.camera.fps) == (640, 7)
    assert settings.policy.min_probability == {
        Category.KITCHEN: 0.9, Category.OTHER: 0.1, Category.RECYCLABLE: 0.55, Category.HAZARDOUS: 0.5,
    }  # fmt: skip
    assert [x.lid for x in settings.lids] == [3]


def test_origins_name_file_and_line_and_leave_out_defaults() -> None:
    """Also inside lists and free tables."""
    main = write("bin.toml", "[[lids]]\nlid = 1\ncategory = 'other'\n[model.label_overrides]\n'a.b' = 'kitchen'\n")
    origins = load(main).origins
    assert origins == {
        "lids[0].lid": "bin.toml:2",
        "lids[0].category": "bin.toml:3",
        'model.label_overrides."a.b"': "bin.toml:5",
    }


def test_without_any_file_the_defaults_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the result says that there was no file."""
    monkeypatch.setattr("bin_daemon.config.loading.DEFAULT_FILE", Path("nowhere.toml"))
    loaded = load()
    assert (loaded.file, loaded.files, dict(loaded.origins), loaded.settings) == (None, (), {}, Settings())


def test_where_the_file_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argument, then $BIN_CONFIG, then the system's place."""
    system, named, given = (write(f"{x}.toml", f"bin.id = '{x}'\n") for x in ("system", "named", "given"))
    monkeypatch.setattr("bin_daemon.config.loading.DEFAULT_FILE", system)
    assert load().settings.bin.id == "system"
    monkeypatch.setenv("BIN_CONFIG", str(named))
    assert load().settings.bin.id == "named"
    assert load(given).settings.bin.id == "given"
    assert load(given).file == given


def test_variables_carry_numbers_lists_and_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists and tables as JSON; a variable for one key beats one for its table, in any letter case."""
    monkeypatch.setenv("BIN_CAMERA", '{"fps": 3, "width": 640}')
    monkeypatch.setenv("bin_camera__fps", "4.5")
    monkeypatch.setenv("BIN_LIDS", '[{"lid": 2, "category": "other"}]')
    monkeypatch.setenv("BIN_POLICY__UNSURE_CATEGORY", "none")
    monkeypatch.setenv("BIN_MODEL__BUNDLE", "")
    loaded = load()
    assert (loaded.settings.camera.fps, loaded.settings.camera.width) == (4.5, 640)
    assert loaded.settings.lids[0].lid == 2
    assert loaded.settings.policy.unsure_category is None
    assert loaded.settings.model.bundle is None
    assert loaded.origins["camera.width"] == "env BIN_CAMERA"
    assert loaded.origins["camera.fps"] == "env bin_camera__fps"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("BIN_MQTT_PORT", "1", 'env BIN_MQTT_PORT: no such setting. Did you mean "BIN_MQTT__PORT"?'),
        ("BIN_CAMERA__FSP", "1", 'env BIN_CAMERA__FSP: camera.fsp: unknown key. Did you mean "fps"?'),
        ("BIN_KAMERA__FPS", "1", 'env BIN_KAMERA__FPS: no such setting. Did you mean "BIN_CAMERA__FPS"?'),
        ("BIN_XYZ__ABC", "1", "env BIN_XYZ__ABC: no such setting"),
        ("BIN_LIDS", "[1", "env BIN_LIDS: not JSON"),
        ("BIN_MQTT", "x", "env BIN_MQTT: not JSON"),
        ("BIN_PLACEMENT__ROI", "[0,0,5,1]", "env BIN_PLACEMENT__ROI: placement.roi[2]: must be at most 1 (got 5)"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str) -> None:
    """None is ignored in silence."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load()
    assert str(caught.value).startswith(text)


def test_a_foreign_variable_is_only_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    """BIN_ is a common prefix: a daemon must not die of somebody's BIN_DIR."""
    monkeypatch.setenv("BIN_DIR", "/usr/bin")
    assert load().warnings == ("env BIN_DIR: not a setting of ours, ignored",)


def test_a_password_in_the_environment_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process list shows it to others; the warning does not."""
    monkeypatch.setenv("BIN_MQTT__HOST", "b")
    monkeypatch.setenv("BIN_MQTT__PASSWORD", "geheim")
    (warning,) = load().warnings
    assert "/proc" in warning
    assert "geheim" not in warning


def test_a_file_with_a_password_must_not_be_world_readable() -> None:
    """0640 with the service's group is the usual place; 0644 is refused with the command that mends it."""
    text = "[mqtt]\nhost = 'b'\npassword = 'geheim'\n"
    assert load_settings(write("bin.toml", text)).mqtt.password.get_secret_value() == "geheim"
    with pytest.raises(ConfigError, match=r"bin\.toml:3:1: mqtt\.password: everybody .* chmod o-r bin\.toml"):
        load(write("bin.toml", text, 0o644))
    assert load(write("bin.toml", "[mqtt]\nhost = 'b'\npassword = ''\n", 0o644))


def test_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """World-readable is refused, a misspelt name is said, files of others are left alone, even binary ones."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "creds")
    Path("creds").mkdir()
    Path("creds/tls.key").write_bytes(b"\xff\xfe")
    write("creds/mqtt.pasword", "x", 0o400)
    (warning,) = load().warnings
    assert warning == 'credential mqtt.pasword: no such setting. Did you mean "mqtt.password"?'
    write("creds/mqtt.password", "geheim", 0o444)
    with pytest.raises(ConfigError, match=r"credential mqtt\.password: everybody") as caught:
        load()
    assert "geheim" not in str(caught.value)


def test_a_key_file_must_not_be_world_readable() -> None:
    """The private key of the bin is its identity at the broker."""
    write("cert.pem", "c", 0o644)
    main = write("bin.toml", "[mqtt]\nhost='b'\nport=8883\ntls=true\ncert_file='cert.pem'\nkey_file='key.pem'\n")
    write("key.pem", "k", 0o640)
    assert load(main).warnings == ()
    write("key.pem", "k", 0o644)
    with pytest.raises(ConfigError, match=r"bin\.toml:6:1: mqtt\.key_file: everybody"):
        load(main)


def test_windows_editors_are_forgiven() -> None:
    """Byte order mark and CRLF; lines still count right."""
    Path("bin.toml").write_bytes(b"\xef\xbb\xbf[camera]\r\nfps = 5\r\n")
    assert load(Path("bin.toml")).origins == {"camera.fps": "bin.toml:2"}


def test_the_same_files_give_the_same_settings_whatever_the_order_of_creation() -> None:
    """conf.d is sorted by name."""
    main = write("bin.toml", "")
    for name in ("90", "10", "50"):
        write(f"conf.d/{name}.toml", f"camera.fps = {name}\n")
    loaded = load(main)
    assert loaded.settings.camera.fps == 90
    assert loaded.files == ("bin.toml", "conf.d/10.toml", "conf.d/50.toml", "conf.d/90.toml")

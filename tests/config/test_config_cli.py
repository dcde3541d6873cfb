"""``bin-daemon config`` as a technician and a script see it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bin_daemon.cli.config import config_app

GOOD = "[bin]\nid = 'kantine'\n[mqtt]\nhost = 'broker'\npassword = 'geheim'\n"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours, and relative names."""
    for name in [x for x in os.environ if x.upper().startswith("BIN_")] + ["CREDENTIALS_DIRECTORY"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def call(*words: str, text: str = GOOD) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command over bin.toml."""
    Path("bin.toml").write_text(text, "utf-8")
    Path("bin.toml").chmod(0o600)
    result = CliRunner().invoke(config_app, list(words))
    return result.exit_code, result.stdout, result.stderr


def test_check_says_ok_with_a_summary() -> None:
    """Which bin, camera, controller, lids and broker."""
    code, out, err = call("check", "bin.toml")
    assert (code, err) == (0, "")
    assert out == (
        "ok: bin.toml: bin kantine; camera sim:bin; controller sim://bin; "
        "lids 1 recyclable, 2 kitchen, 3 hazardous, 4 other; broker broker:1883\n"
    )


def test_check_tells_warnings_on_stderr() -> None:
    """And is still ok."""
    code, out, err = call("check", "bin.toml", text="mqtt.host = 'b'\nmqtt.port = 8883\n")
    assert (code, out[:3]) == (0, "ok:")
    assert err.startswith("warning: bin.toml:2:6: mqtt.port: 8883 with tls off")


def test_check_of_a_wrong_file_exits_78() -> None:
    """Errors on stderr, nothing on stdout; --json puts them into the object."""
    wrong = "[camera]\nwidht = 1\n"
    code, out, err = call("check", "bin.toml", text=wrong)
    assert (code, out) == (78, "")
    assert 'bin.toml:2:1: camera.widht: unknown key. Did you mean "width"?' in err
    code, out, _ = call("check", "bin.toml", "--json", text=wrong)
    assert code == 78
    assert json.loads(out)["ok"] is False
    assert "camera.widht" in json.loads(out)["errors"]
    assert json.loads(call("check", "bin.toml", "--json")[1]) == {"ok": True, "files": ["bin.toml"], "warnings": []}


def test_show_masks_the_password_and_tells_origins() -> None:
    """In every form."""
    forms = [("show", "bin.toml"), ("show", "bin.toml", "--origin"), ("show", "bin.toml", "--origin", "--json")]
    for words in forms:
        code, out, err = call(*words)
        assert code == 0
        assert "geheim" not in out + err
    lines = {x.split(" ")[0]: x.split() for x in call("show", "bin.toml", "--origin")[1].splitlines()}
    assert lines["bin.id"] == ["bin.id", "=", '"kantine"', "#", "bin.toml:2"]
    assert lines["mqtt.password"] == ["mqtt.password", "=", '"********"', "#", "bin.toml:5"]
    assert lines["camera.fps"][-1] == "default"
    assert lines["policy.unsure_category"][2] == '"other"'
    values = json.loads(call("show", "bin.toml", "--json")[1])
    assert values["lids[3].category"] == "other"
    assert values["placement.roi"] == [0.0, 0.0, 1.0, 1.0]


def test_show_of_a_wrong_file_exits_78() -> None:
    """Nothing half-right is shown."""
    code, out, err = call("show", "bin.toml", text="x = ")
    assert (code, out) == (78, "")
    assert "not TOML" in err


def test_what_show_prints_for_doubt_that_keeps_shut_can_be_written_back() -> None:
    """The word none, not null."""
    out = call("show", "bin.toml", text="policy.unsure_category = 'none'\n")[1]
    assert 'policy.unsure_category = "none"\n' in out


def test_schema_is_json() -> None:
    """For editors and scripts."""
    assert json.loads(call("schema")[1])["title"] == "bin-daemon configuration"

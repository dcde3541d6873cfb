"""Every wrong configuration is told with file, line, key, value and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from bin_daemon.config import load
from bin_daemon.errors import ConfigError

CATEGORIES = "must be recyclable, kitchen, hazardous"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours, and relative names as a technician in that folder sees them."""
    import os

    for name in [x for x in os.environ if x.upper().startswith("BIN_")] + ["CREDENTIALS_DIRECTORY"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def said(text: str | bytes, **overrides: object) -> str:
    """What a technician reads about a file with this text."""
    file = Path("bin.toml")
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    file.chmod(0o640)
    with pytest.raises(ConfigError) as caught:
        load(file, overrides={k.replace("__", "."): v for k, v in overrides.items()})
    assert caught.value.exit_code == 78
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_the_whole_report_is_as_designed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Golden: all errors at once, in reading order, files before variables."""
    monkeypatch.setenv("BIN_MQTT__PORT", "abc")
    text = (
        "# a bin\n\n[camera]\nwidht  = 1280\n\n[mqtt]\nhost = 'b'\nport = 1883\n\n"
        '[[lids]]\nlid = 1\ncategory = "other"\n\n[[lids]]\nlid = 2\ncategory = "kitchn"\n'
    )
    assert said(text) == (
        'bin.toml:4:1: camera.widht: unknown key. Did you mean "width"?\n'
        "    4 | widht  = 1280\n"
        "      | ^^^^^\n"
        f'bin.toml:16:1: lids[1].category: {CATEGORIES} or other (got "kitchn"; did you mean "kitchen"?)\n'
        '   16 | category = "kitchn"\n'
        "      | ^^^^^^^^\n"
        'env BIN_MQTT__PORT: mqtt.port: not an integer (got "abc"); bin.toml:8 says 1883'
    )


@pytest.mark.parametrize(
    ("text", "first_line"),
    [
        ("[camera]\nfps = 0\n", "bin.toml:2:1: camera.fps: must be more than 0 (got 0)"),
        ("[camera]\nfps = 500\n", "bin.toml:2:1: camera.fps: must be at most 120 (got 500)"),
        ("camera.width = 3\n", "bin.toml:1:8: camera.width: must be at least 64 (got 3)"),
        ("[camera]\nloop = 'maybe'\n", 'bin.toml:2:1: camera.loop: must be true or false (got "maybe")'),
        ("[camera]\nsource = 3\n", "bin.toml:2:1: camera.source: must be text in quotes (got 3)"),
        ("camera = 3\n", "bin.toml:1:1: camera: must be a table (got 3)"),
        ("[policy]\ncooldown_ms = nan\n", "bin.toml:2:1: policy.cooldown_ms: not a finite number (got nan)"),
        ("[policy]\ncooldown_ms = inf\n", "bin.toml:2:1: policy.cooldown_ms: not a finite number (got inf)"),
        ("[camera]\nwidth = 70.5\n", "bin.toml:2:1: camera.width: not an integer (got 70.5)"),
        (
            "[policy]\nunsure_category = 'non'\n",
            f'bin.toml:2:1: policy.unsure_category: {CATEGORIES}, other or none (got "non"; did you mean "none"?)',
        ),
        (
            "[policy.min_probability]\nkitchn = 0.5\n",
            f'bin.toml:2:1: policy.min_probability.kitchn: {CATEGORIES} or other (got "kitchn"; did you mean "kitchen"?)',
        ),
        ("[policy.cost.kitchen]\nother = -1\n", "bin.toml:2:1: policy.cost.kitchen.other: must be at least 0 (got -1)"),
        ("[placement]\nroi = [0, 0, 2, 1]\n", "bin.toml:2:14: placement.roi[2]: must be at most 1 (got 2)"),
        ("[[lids]]\nlid = 1\n", "bin.toml:1:3: lids[0].category: missing"),
        ("lids = 3\n", "bin.toml:1:1: lids: must be a list (got 3)"),
        ("width = 3\n", 'bin.toml:1:1: width: unknown key. Did you mean "camera.width"?'),
        ("[kamera]\n", 'bin.toml:1:2: kamera: unknown key. Did you mean "camera"?'),
        ("[bin]\nqwxyz = 3\n", "bin.toml:2:1: bin.qwxyz: unknown key."),
        ("config_version = 2\n", "bin.toml:1:1: config_version: must be 1 (got 2)"),
        (
            "[bin]\nid = 'My bin'\n",
            'bin.toml:2:1: bin.id: not allowed here (got "My bin"). Name in MQTT topics: a-z, 0-9, _ and -.',
        ),
        ("[bin]\nname = '" + "x" * 81 + "'\n", "bin.toml:2:1: bin.name: must be at most 80 characters"),
        ('[bin]\n"a.b" = 1\n', 'bin.toml:2:1: bin."a.b": unknown key.'),
    ],
)
def test_one_wrong_value(text: str, first_line: str) -> None:
    """Place, key, what it must be, what it is."""
    assert said(text).split("\n")[0].startswith(first_line)


@pytest.mark.parametrize(
    ("text", "first_line"),
    [
        ("[camera]\nsource = v4l2:/dev/x\n", "bin.toml:2:10: not TOML: invalid value: text needs quotes"),
        ("[camera]\nfps = 1\nfps = 2\n", "bin.toml:3:8: not TOML: cannot overwrite a value: this key is set twice"),
        ("a: 1\n", "bin.toml:1:2: not TOML: expected '=' after a key in a key/value pair: write key = value"),
        ('[camera]\nsource = "C:\\dir"\n', "bin.toml:2:15: not TOML: unescaped '\\' in a string: use 'single quotes'"),
        ("x = [1,\n", "bin.toml:2:1: not TOML: invalid value"),
        (b"[bin]\nname = '\xff'\n", "bin.toml:2: not UTF-8 (byte 0xff)"),
        ("x = " + "[" * 5000, "bin.toml"),
    ],
)
def test_what_is_no_toml(text: str | bytes, first_line: str) -> None:
    """Syntax errors carry file, line and a remedy."""
    assert said(text).startswith(first_line)


@pytest.mark.parametrize(
    ("text", "first_line"),
    [
        (
            "[[lids]]\nlid=1\ncategory='other'\n[[lids]]\nlid = 1\ncategory='kitchen'\n",
            "bin.toml:5:1: lids[1].lid: lid 1 is there twice (also lids[0])",
        ),
        ('[mqtt]\nbase = "a\\u0000b"\n', "bin.toml:2:1: mqtt.base: holds a control character (got 'a\\x00b')"),
        ('[bin]\nname = "a\\nb"\n', "bin.toml:2:1: bin.name: holds a control character"),
        ('[service]\nstate_dir = "/x\\u0000"\n', "bin.toml:2:1: service.state_dir: holds a control character"),
        ("[service]\nruntime_dir = ''\n", 'bin.toml:2:1: service.runtime_dir: must name a folder (got "")'),
        ("lids = []\n", "bin.toml:1:1: lids: a bin needs at least one [[lids]] table"),
        ("[[lids]]\nlid=1\ncategory='kitchen'\n", "defaults: policy.unsure_category: no lid takes other"),
        (
            "[policy]\nunsure_category='kitchen'\n[[lids]]\nlid=1\ncategory='other'\n",
            "bin.toml:2:1: policy.unsure_category: no lid takes kitchen",
        ),
        (
            "[[lids]]\nlid=1\ncategory='other'\nempty_mm=90\nfull_mm=90\n",
            "bin.toml:5:1: lids[0].full_mm: must be less than empty_mm",
        ),
        (
            "[[lids]]\nlid=1\ncategory='other'\nempty_mm=90\n",
            "bin.toml:1:3: lids[0]: empty_mm and full_mm belong together",
        ),
        ("[policy.cost.kitchen]\nkitchen=1\n", "bin.toml:2:1: policy.cost.kitchen.kitchen: must be 0 or left out"),
        ("[placement]\nroi=[0.5,0,0.6,1]\n", "bin.toml:2:1: placement.roi: x, y, width, height must lie inside"),
        ("[placement]\nroi=[0,0.5,1,0.6]\n", "bin.toml:2:1: placement.roi: x, y, width, height must lie inside"),
        ("[placement]\nroi=[0,0,0,1]\n", "bin.toml:2:1: placement.roi: x, y, width, height must lie inside"),
        ("[placement]\nroi=[0,0,1,0]\n", "bin.toml:2:1: placement.roi: x, y, width, height must lie inside"),
        ("[placement]\ndark_grey=245\n", "bin.toml:2:1: placement.dark_grey: must be less than bright_grey"),
        ("[service]\nstale_s=2\n", "bin.toml:2:1: service.stale_s: must be more than camera.read_timeout_s"),
        ("[mqtt]\nca_file='x'\n", "bin.toml:2:1: mqtt.ca_file: is of no use without tls = true"),
        ("[mqtt]\ntls=true\nca_file='nope.pem'\n", 'bin.toml:3:1: mqtt.ca_file: no such file (got "nope.pem")'),
        (
            "[mqtt]\ntls=true\ncert_file='bin.toml'\n",
            "bin.toml:3:1: mqtt.cert_file: cert_file and key_file belong together",
        ),
    ],
)
def test_values_that_contradict_each_other(text: str, first_line: str) -> None:
    """Found across keys and tables, still with a place."""
    assert said(text).startswith(first_line)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("[[lids]]\nlid=1\ncategory='other'\n[[lids]]\nlid=2\ncategory='kitchen'\n[[lids]]\nlid=3\ncategory='hazardous'\n",
         "no lid takes recyclable: such items go to other"),
        ("policy.unsure_category='none'\n[[lids]]\nlid=1\ncategory='hazardous'\n",
         "no lid takes kitchen: such items stay on the tray"),
        ("mqtt.host='b'\nmqtt.port=8883\n", "8883 with tls off is unusual"),
        ("mqtt.host='b'\nmqtt.tls=true\n", "1883 with tls on is unusual"),
        ("mqtt.username='u'\n", "mqtt.host: is empty"),
    ],
)  # fmt: skip
def test_what_may_be_meant_is_a_warning(text: str, warning: str) -> None:
    """A bin of three lids is a bin."""
    Path("bin.toml").write_text(text)
    assert any(warning in x for x in load(Path("bin.toml")).warnings)


@pytest.mark.parametrize(
    "text",
    [
        "[mqtt]\npassword = ['geheim']\n",
        "[mqtt]\npasword = 'geheim'\n",
        "[mqtt]\nPasswort = 'geheim'\n",
        "mqtt = {password = 'geheim', prot = 1}\n",
        "[mqtt]\npassword = 'geheim\n",
        "[mqtt]\npassword = geheim\n",
        "[mqtt]\nmqtt_secret = 'geheim'\n",
    ],
)
def test_no_error_shows_a_secret(text: str) -> None:
    """Not even under a misspelt key, in a wrong type or in broken TOML."""
    assert "geheim" not in said(text)


def test_missing_files_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named file that is not there is never silently the defaults."""
    with pytest.raises(ConfigError, match=r"nope\.toml: no such file"):
        load(Path("nope.toml"))
    with pytest.raises(ConfigError, match="is a folder"):
        load(tmp_path)
    monkeypatch.setenv("BIN_CONFIG", "gone.toml")
    with pytest.raises(ConfigError, match=r"env BIN_CONFIG: gone\.toml: no such file"):
        load()


def test_an_error_in_a_drop_in_names_that_file() -> None:
    """And what the main file says about the same key."""
    Path("conf.d").mkdir()
    Path("conf.d/50-camera.toml").write_text("[camera]\nfps = 'fast'\n")
    text = said("[camera]\nfps = 10\n")
    assert text.startswith('conf.d/50-camera.toml:2:1: camera.fps: not a number (got "fast"); bin.toml:2 says 10')


def test_an_override_is_told_as_such() -> None:
    """The command line has no lines."""
    assert said("", camera__fps="fast") == 'command line: camera.fps: not a number (got "fast")'


def test_carets_stand_under_the_key_after_wide_characters() -> None:
    """A Chinese character takes two cells."""
    text = said('model.label_overrides = {"电池" = "other", x = "y"}\n')
    lines = text.split("\n")
    assert lines[2] == "      | " + " " * len('model.label_overrides = {"') + "    " + " " * len('" = "other", ') + "^"


def test_a_name_that_no_file_can_have() -> None:
    """Longer than the system allows: told, not crashed on."""
    with pytest.raises(ConfigError, match="no such file"):
        load(Path("a" * 5000))

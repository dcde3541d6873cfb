"""What is shipped: every sample loads, the schema file is fresh, the schema knows every key."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bin_daemon.config import Settings, load
from bin_daemon.config.keys import known_keys, section_of
from bin_daemon.config.schema import config_schema, schema_text

CONFIGS = Path(__file__).parents[2] / "configs"
SAMPLES = sorted(CONFIGS.glob("*.toml"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda x: x.name)
def test_each_sample_loads_without_warning(sample: Path) -> None:
    """And carries the editor's schema line."""
    loaded = load(sample)
    assert loaded.warnings == ()
    assert loaded.origins["bin.id"].startswith(f"{sample}:")
    assert sample.read_text("utf-8").startswith("#:schema ./bin.schema.json\n")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda x: x.name)
def test_what_a_sample_comments_out_is_valid_too(sample: Path, tmp_path: Path) -> None:
    """A technician who takes away a # in front of a key or table gets no error but for files that are not there."""
    lines = sample.read_text("utf-8").split("\n")
    options = [x.removeprefix("# ") if x.startswith(("# [", "# empty_mm", "# full_mm", '# "')) else x for x in lines]
    file = tmp_path / "bin.toml"
    file.write_text("\n".join(options), "utf-8")
    load(file)


def test_samples_for_each_machine_are_there() -> None:
    """The README names them."""
    assert [x.name for x in SAMPLES] == ["demo.toml", "jetson.toml", "maestro.toml", "x86.toml"]


def test_the_shipped_schema_is_fresh() -> None:
    """A changed setting changes configs/bin.schema.json in the same commit:  python -m bin_daemon.config.schema > that file."""
    assert (CONFIGS / "bin.schema.json").read_text("utf-8") == schema_text()


def test_every_key_is_described() -> None:
    """The schema is the reference of the config file."""
    schema = config_schema()
    for path in known_keys():
        if len(path) == 1:
            continue
        section = section_of(Settings.model_fields[str(path[0])])
        assert section is not None
        key: dict[str, Any] = schema["$defs"][section.__name__]["properties"][path[1]]
        assert key.get("description"), path


def test_the_schema_knows_the_word_none_and_hides_the_password() -> None:
    """What differs from pydantic's own idea."""
    schema = config_schema()
    assert "none" in schema["$defs"]["PolicySettings"]["properties"]["unsure_category"]["enum"]
    assert schema["$defs"]["MqttSettings"]["properties"]["password"]["format"] == "password"


def test_the_configuration_imports_nothing_heavy() -> None:
    """Checking answers at once: no torch, OpenCV, ONNX Runtime, paho, nor pydantic_settings without variables."""
    code = "import sys, json, bin_daemon.config as c; c.load(); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env={})
    assert not {"torch", "cv2", "onnxruntime", "paho", "timm", "pydantic_settings"} & set(json.loads(done.stdout))

"""Parity with ModelScope's own pipeline, pinned by numbers that it gave: no reference is needed to check them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bin_daemon.model.bundle import Preprocessing
from bin_daemon.model.picture import read_picture
from bin_daemon.model.preprocess import prepare_picture
from tests.model.golden_pictures import GOLDEN, describe, write_all

INPUTS = json.loads(GOLDEN.read_text("utf-8"))["inputs"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All the pictures."""
    path = tmp_path_factory.mktemp("golden")
    assert [x.name for x in write_all(path)] == sorted(INPUTS)
    return path


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_the_networks_input_is_modelscopes_bit_for_bit(name: str, folder: Path) -> None:
    """Sizes, turned, grey, transparent, palette, CMYK, deep, interlaced: the tensor that ModelScope's pipeline made."""
    found = describe(prepare_picture(read_picture(folder / name), Preprocessing()))
    assert found["at_100_50"] == pytest.approx(INPUTS[name]["at_100_50"], abs=1e-6)
    assert found["sha256"] == INPUTS[name]["sha256"]

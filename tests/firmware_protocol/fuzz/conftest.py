"""The programs of these tests, each compiled once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.firmware_protocol.fuzz.build import compile_program
from tests.firmware_protocol.fuzz.twins import CoreEnd


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where programs are compiled to."""
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="session")
def core_end(built: Path) -> CoreEnd:
    """The C core as it is."""
    return CoreEnd(compile_program("scripted", built))

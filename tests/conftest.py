"""Options of the whole suite. They stand here so that pytest knows them whatever folder it is told to run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which bodies the controller's tests run on."""
    group = parser.getgroup("lid controller")
    group.addoption("--port", help="run the lid controller's tests on the bench board at this port, and no others")
    group.addoption("--lids-may-move", action="store_true", help="--port: nothing and nobody is at the lids, they may move")
    group.addoption("--all-bodies", action="store_true", help="run also the long tests of the emulated board")

"""What all tests share: options, and programs that are built once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from tests.firmware_protocol.bodies import build


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which bodies the controller's tests run on."""
    group = parser.getgroup("lid controller")
    group.addoption("--port", help="run the lid controller's tests on the bench board at this port, and no others")
    group.addoption(
        "--lids-may-move", action="store_true", help="--port: nothing and nobody is at the lids, they may move"
    )
    group.addoption("--all-bodies", action="store_true", help="run also the long tests of the emulated board")


def pytest_configure(config: pytest.Config) -> None:
    """Nothing moves unless somebody said so."""
    if config.getoption("--port") and not config.getoption("--lids-may-move"):
        raise pytest.UsageError(
            "--port opens and shuts the lids of that board at any time. Keep hands and things away from them, "
            "then add --lids-may-move"
        )
    if config.getoption("--port") and getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("--port: one board is one process, leave out -n")


@pytest.fixture(autouse=True)
def log_as_imported() -> Iterator[None]:
    """A test that set up the log, if only to listen, leaves the next one a process that never did."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def build_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Path]], Path]:
    """Builds something once a session, also when several processes share one; what cannot be built fails each test alike."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def once(name: str, make: Callable[[Path], Path]) -> Path:
        folder = shared / name
        folder.mkdir(exist_ok=True)
        done, failed = folder / "where", folder / "why_not"
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists() and not failed.exists():
                try:
                    done.write_text(str(make(folder)))
                except build.BuildError as error:
                    failed.write_text(str(error))
        if failed.exists():
            pytest.fail(failed.read_text(), pytrace=False)
        return Path(done.read_text())

    return once


@pytest.fixture(scope="session")
def avr_program(build_once: Callable[[str, Callable[[Path], Path]], Path]) -> Callable[[], tuple[Path, Path]]:
    """The emulator and the image, compiled when first asked for."""
    return lambda: (
        build_once("avr_body", build.compile_avr_body),
        build_once("image", build.build_image),
    )

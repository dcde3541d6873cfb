"""One suite, several bodies: a test that takes `body_name`, `make_body` or `stand` runs once for each body that can do it.

``@pytest.mark.needs("resets")`` names what a test asks of a body (see NEEDS for the reasons), ``@pytest.mark.long_on_avr`` keeps
it off the emulated board unless ``--all-bodies`` is given. With ``--port`` all runs on that bench board and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.firmware_protocol.bodies import build
from tests.firmware_protocol.bodies.avr import AvrBody
from tests.firmware_protocol.bodies.body import NEEDS, Body, Fitting
from tests.firmware_protocol.bodies.host import HostBody
from tests.firmware_protocol.bodies.port import PortBody
from tests.firmware_protocol.bodies.reference import ReferenceBody
from tests.firmware_protocol.bodies.stand import Stand, shut_stand

CAN = {x.name: x.can for x in (ReferenceBody, HostBody, AvrBody, PortBody)}
NONE = "no body"


class MakeBody(Protocol):
    """Makes bodies of the kind under test."""

    def __call__(self, fitting: Fitting | None = None) -> Body:
        """A fresh one, not reset yet; what it is ``fitting`` is for bodies that can be built so."""


def pytest_configure(config: pytest.Config) -> None:
    """Marks of this folder."""
    config.addinivalue_line("markers", "needs(what, ...): what this test asks of a body, see bodies/body.py")
    config.addinivalue_line("markers", "long_on_avr: on the emulated board only with --all-bodies")


def bodies_for(needs: set[str], *, port: bool, short: bool) -> list[str]:
    """Names of the bodies that a test with these needs runs on."""
    assert needs <= set(NEEDS), f"no such need: {needs - set(NEEDS)}"
    wanted = [PortBody.name] if port else [ReferenceBody.name, HostBody.name, AvrBody.name]
    return [x for x in wanted if needs <= CAN[x] and (short or x != AvrBody.name)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Once for each body."""
    if "body_name" not in metafunc.fixturenames:
        return
    needs = {x for mark in metafunc.definition.iter_markers("needs") for x in mark.args}
    short = metafunc.config.getoption("--all-bodies") or not list(metafunc.definition.iter_markers("long_on_avr"))
    names = bodies_for(needs, port=bool(metafunc.config.getoption("--port")), short=short)
    metafunc.parametrize("body_name", names or [NONE])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What runs on no body here is left out; a bench board gets only what is about bodies."""
    port = config.getoption("--port")

    def wanted(item: pytest.Item) -> bool:
        spec = getattr(item, "callspec", None)
        name = spec.params.get("body_name") if spec else None
        return name not in (None, NONE) if port else name != NONE

    left_out = [x for x in items if not wanted(x)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [x for x in items if wanted(x)]


@pytest.fixture(scope="session")
def host_program(build_once: Callable[[str, Callable[[Path], Path]], Path]) -> Callable[[], Path]:
    """The host build's program, compiled when first asked for."""
    return lambda: build_once("host_body", build.compile_host_body)


@pytest.fixture
def make_body(
    request: pytest.FixtureRequest,
    body_name: str,
    host_program: Callable[[], Path],
    avr_program: Callable[[], tuple[Path, Path]],
) -> Iterator[MakeBody]:
    """Makes bodies of the kind under test, and ends them; one that complains fails the test."""
    made: list[Body] = []

    def make(fitting: Fitting | None = None) -> Body:
        if body_name == HostBody.name:
            made.append(HostBody(host_program(), fitting))
        elif body_name == AvrBody.name:
            made.append(AvrBody(*avr_program()))
        elif body_name == PortBody.name:
            made.append(PortBody(request.config.getoption("--port")))
        else:
            made.append(ReferenceBody(fitting))
        return made[-1]

    yield make
    for body in made:
        body.close()


@pytest.fixture
def stand(make_body: MakeBody) -> Stand:
    """A stand with a session and all lids shut."""
    return shut_stand(make_body())

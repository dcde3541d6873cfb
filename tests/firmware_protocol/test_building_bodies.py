"""What is missing for the bodies is named with its package, once and plainly; nothing is skipped in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_protocol.messages import Calibration, ResetCause
from tests.firmware_protocol.bodies import build
from tests.firmware_protocol.bodies.avr import AvrBody
from tests.firmware_protocol.bodies.body import NEEDS
from tests.firmware_protocol.bodies.host import HostBody
from tests.firmware_protocol.bodies.port import PortBody
from tests.firmware_protocol.bodies.reference import ReferenceBody
from tests.firmware_protocol.conftest import bodies_for


@pytest.mark.parametrize(
    ("make", "packages"),
    [
        (build.compile_host_body, "apt-get install gcc"),
        (build.compile_avr_body, "apt-get install gcc"),
        (build.build_image, "apt-get install gcc-avr avr-libc binutils-avr"),
    ],
)
def test_a_missing_compiler_names_its_packages(
    make: object, packages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert callable(make)
    with pytest.raises(build.BuildError, match=packages):
        make(tmp_path)


def test_a_missing_simavr_names_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No header, no body."""
    monkeypatch.setattr(build, "SIMAVR", tmp_path / "simavr")
    with pytest.raises(build.BuildError, match="apt-get install simavr libsimavr-dev libelf-dev"):
        build.compile_avr_body(tmp_path)


def test_what_the_compiler_says_is_told(tmp_path: Path) -> None:
    """Command and complaint."""
    with pytest.raises(build.BuildError, match=r"gcc .*no-such-file"):
        build.run(["gcc", str(tmp_path / "no-such-file.c")])


def test_each_need_keeps_some_body_away_and_none_all() -> None:
    """A need that every body meets says nothing; one that none meets would hide its tests."""
    bodies = (ReferenceBody, HostBody, AvrBody, PortBody)
    for need in NEEDS:
        able = [x.name for x in bodies if need in x.can]
        assert 0 < len(able) < len(bodies), need


def test_which_bodies_a_test_runs_on() -> None:
    """All three every day; a bench board alone with --port; the long ones not on the emulated board."""
    assert bodies_for(set(), port=False, short=True) == ["reference", "host", "avr"]
    assert bodies_for({"fitting"}, port=False, short=True) == ["reference", "host"]
    assert bodies_for({"hang"}, port=False, short=True) == ["avr"]
    assert bodies_for(set(), port=False, short=False) == ["reference", "host"]
    assert bodies_for(set(), port=True, short=True) == ["port"]
    assert bodies_for({"inputs"}, port=True, short=True) == []
    with pytest.raises(AssertionError, match="no such need"):
        bodies_for({"wings"}, port=False, short=True)


def test_the_host_body_is_sanitized_and_tells_how_it_died(host_program: Callable[[], Path]) -> None:
    """Both sanitizers are in it; a body that ends before its time fails the test with its last words."""
    program = host_program()
    binary = program.read_bytes()
    assert b"__asan_init" in binary
    assert b"__ubsan_handle" in binary
    body = HostBody(program)
    body.reset(ResetCause.POWER_ON)
    body.step(5)
    body.damage_calibration(Calibration(99, 2000, 1000, 20, 900))
    with pytest.raises(AssertionError, match=r"host died: body: STORE has another length or lid"):
        body.step(5)

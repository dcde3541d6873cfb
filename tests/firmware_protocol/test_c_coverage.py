"""Every branch of the C core is taken, by gcov's count: by stories, by turns that stories take seldom, and from the inside.

The same scripts run on the Python reference, record by record; so what is covered is also compared.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware_protocol import messages as m
from firmware_protocol.framing import encode
from firmware_protocol.messages import Frame
from firmware_protocol.reference import SIM_CAPS
from tests.firmware_protocol.bodies.build import FIRMWARE, SANITIZED, WARNINGS, run
from tests.firmware_protocol.fuzz.scripts import BinIn, Boot, LidIn, Op, Reset, Rx, Script, Tick
from tests.firmware_protocol.fuzz.stories import story
from tests.firmware_protocol.fuzz.twins import CoreEnd, difference

INSIDE = Path(__file__).with_name("c") / "inside.c"
FUZZ = Path(__file__).with_name("fuzz")
CORE = ("bin_core.c", "bin_link.c", "frame.c")
COUNTED = ["-O0", "--coverage", "-fprofile-abs-path"]
STORIES, OPS = 30, 600
SESSION = 0x1234
Branch = tuple[str, int, int]
"""File, line, and number of the branch; -1 is the line itself."""


def said(message: m.Message, seq: int = 0, session: int = SESSION) -> Rx:
    """One frame."""
    return Rx(encode(Frame(session, seq, message).to_body()))


def commands(*wishes: m.Command | Op) -> Iterator[Op]:
    """HELLO, then these commands with the right seq; ops pass as they are."""
    seq = 0
    yield said(m.Hello(1, 0, 500))
    for wish in wishes:
        if isinstance(wish, m.Command):
            seq += 1
            yield said(wish, seq)
        else:
            yield wish


def seconds(count: int) -> Iterator[Op]:
    """Time passes under a living host."""
    for _ in range(count):
        yield Tick(1000)
        yield said(m.Ping(0, 0))


def ticks(count: int) -> Iterator[Op]:
    """Steps of 20 ms under a living host."""
    for n in range(count):
        yield Tick(20)
        if n % 25 == 0:
            yield said(m.Ping(0, 0))


def opened() -> Iterator[Op]:
    """Lid 0 stands open, its hold time goes by, it shuts and rests."""
    yield from (Tick(20), LidIn(0, 2), Tick(20), *ticks(60), LidIn(0, 0), Tick(20), LidIn(0, 1), Tick(20), *ticks(60))


CAUGHT, STALLED = BinIn(pinch=1), LidIn(0, current_ma=1500)
OPEN, CLOSE = m.Open(0, 1, 1000, 9000), m.Close(0, 2)
JOG = (m.Calibrate(1), m.Jog(0, 1100), Tick(20), LidIn(0, 0), Tick(200))
BOOTLOADER = int(SIM_CAPS | m.Caps.BOOTLOADER)

TURNS: dict[str, Script] = {
    "something caught while jogging": [Boot(), *commands(*JOG, CAUGHT, Tick(20))],
    "a jog that stalls": [Boot(), *commands(*JOG, STALLED, Tick(20), Tick(80))],
    "a jog that stalls on the shut switch, and is homed": [
        Boot(),
        *commands(m.Calibrate(1), m.Jog(0, 1100), Tick(200), LidIn(0, 1, 1500), Tick(20), Tick(80), LidIn(0, 1)),
        *(Tick(100) for _ in range(15)),
    ],
    "something caught on the shut switch while jogging": [
        Boot(),
        *commands(m.Calibrate(1), m.Jog(0, 1100), Tick(20), CAUGHT, Tick(20), BinIn(pinch=0)),
        *(Tick(100) for _ in range(15)),
    ],
    "a shut switch that is stuck": [
        Boot(),
        *commands(
            OPEN, *ticks(50), LidIn(0, 3), *ticks(60), LidIn(0, 1), *ticks(80), m.StopClear(), m.Close(0, 9), *ticks(80)
        ),
    ],
    "a shut switch that does not let go": [
        Boot(),
        *commands(OPEN, *ticks(110), *ticks(80), m.Open(0, 5, 1000, 2000), *ticks(200)),
    ],
    "halted on a shut switch that may be stuck": [
        Boot(),
        *commands(OPEN, *ticks(25), m.StopNow(), *ticks(60), m.Close(0, 9), *ticks(80)),
    ],
    "halted, and pushed shut": [
        Boot(),
        *commands(
            OPEN, *ticks(5), LidIn(0, 0), *ticks(20), m.StopNow(), *ticks(20), LidIn(0, 1), m.Close(0, 9), *ticks(80)
        ),
    ],
    "caught behind a stuck shut switch": [
        Boot(),
        *commands(
            OPEN,
            Tick(20),
            LidIn(0, 2),
            *ticks(80),
            LidIn(0, 3),
            Tick(20),
            CAUGHT,
            Tick(20),
            BinIn(pinch=0),
            *ticks(120),
        ),
    ],
    "a lid that runs on through a reset": [Boot(), Reset(2), Tick(20), LidIn(0, 0), *(Tick(20) for _ in range(9))],
    "a lid that is lifted a second after a reset": [Boot(), Reset(2), Tick(999), Tick(1), LidIn(0, 0), Tick(20)],
    "no jog while the supply is low": [Boot(), *commands(m.Calibrate(1), BinIn(vservo_mv=4000), m.Jog(0, 1100))],
    "an action that is too old": [
        Boot(),
        *commands(OPEN, *opened(), m.Open(0, 5, 1000, 9000), *opened(), OPEN),
    ],
    "jogged off its shut switch and back": [
        Boot(),
        *commands(
            m.Calibrate(1), m.Jog(0, 1200), Tick(20), LidIn(0, 0), Tick(20), LidIn(0, 1), Tick(20), m.Calibrate(0)
        ),
        *(Tick(20) for _ in range(65)),
    ],
    "homing from beyond the ends": [
        Boot(),
        *commands(m.Calibrate(1), m.Jog(0, 2300), Tick(20), LidIn(0, 0), m.Calibrate(0)),
        *(Tick(100) for _ in range(35)),
    ],
    "homing long after a jog": [
        Boot(),
        *commands(m.Calibrate(1), m.Jog(0, 1500), Tick(20), LidIn(0, 0), m.Jog(1, 1100), *seconds(3), m.Calibrate(0)),
        *(Tick(100) for _ in range(15)),
    ],
    "calibration refused while stopped": [Boot(), *commands(m.StopLatch(), m.Calibrate(1))],
    "calibration that nobody ends": [Boot(), *commands(m.Calibrate(1), *seconds(31), OPEN)],
    "CLOSE takes back a waiting OPEN": [
        Boot(),
        *commands(m.Open(1, 7, 1000, 0), Tick(20), OPEN, CLOSE, m.Close(0, 2), m.Close(0, 0)),
    ],
    "too late to open": [Boot(), *commands(m.Open(1, 7, 1000, 0), Tick(20), m.Open(0, 1, 1000, 40), Tick(40), Tick(1))],
    "a host that dies while a lid opens": [Boot(), *commands(OPEN, Tick(20), Tick(2100), LidIn(0, 1), Tick(20))],
    "no indicator": [Boot(caps=0), *commands(m.Indicate(1, 5)), Tick(2100), said(m.Hello(1, 0, 0))],
    "no bootloader": [Boot(), *commands(m.EnterBootloader())],
    "bootloader": [Boot(caps=BOOTLOADER), *commands(m.EnterBootloader(1), m.EnterBootloader())],
    "an OPEN behind a REBOOT": [
        Boot(),
        said(m.Hello(1, 0, 500)),
        Rx(b"".join(encode(Frame(SESSION, n, x).to_body()) for n, x in enumerate((m.Reboot(), OPEN), 1))),
    ],
    "no bootloader while a lid is open": [Boot(caps=BOOTLOADER), *commands(OPEN, m.EnterBootloader())],
    "PING of another seq, another session, none": [
        Boot(),
        said(m.Ping(1, 0)),
        *commands(),
        said(m.Ping(1, 0), seq=1),
        said(m.Ping(1, 0), session=9),
    ],
    "a command without a command": [Boot(), *commands(), Rx(encode(Frame(SESSION, 1, m.StopNow()).to_body()[:6]))],
}


@pytest.fixture(scope="session")
def scripted(build_once: Callable[[str, Callable[[Path], Path]], Path]) -> CoreEnd:
    """The core that runs scripts, counted."""

    def compiled(folder: Path) -> Path:
        sources = [str(FIRMWARE / x) for x in CORE]
        flags = ["-std=c11", *COUNTED, f"-I{FIRMWARE}", f"-I{FUZZ}"]
        run(["gcc", *flags, str(FUZZ / "scripted.c"), *sources, "-o", str(folder / "scripted")])
        return folder / "scripted"

    return CoreEnd(build_once("counted", compiled))


def compile_inside(folder: Path, flags: list[str]) -> Path:
    """inside.c includes bin_link.c."""
    program = folder / "inside"
    linked = [str(FIRMWARE / x) for x in ("bin_core.c", "frame.c")]
    run(["gcc", "-std=c99", *flags, f"-I{FIRMWARE}", str(INSIDE), *linked, "-o", str(program)])
    return program


def test_from_the_inside(tmp_path: Path) -> None:
    """inside.c under ASan and UBSan: each refusal of the gate alone, torn writes, and what no frame can bring about."""
    program = compile_inside(tmp_path, ["-Wpedantic", *WARNINGS, *SANITIZED])
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.endswith(" checks, 0 wrong\n")


@pytest.mark.parametrize("turn", TURNS)
def test_seldom_turns(scripted: CoreEnd, turn: str) -> None:
    """What stories seldom do: both ends answer the same."""
    assert difference(scripted, TURNS[turn]) is None


def count(folder: Path, taken: Counter[Branch]) -> None:
    """Add how often each line and branch of the core was taken by the program that ran in this folder."""
    for data in sorted(folder.glob("*.gcda")):
        command = ["gcov", "--branch-probabilities", "--stdout", "--json-format", data.name]
        said = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
        for file in json.loads(said)["files"]:
            name = Path(file["file"]).name
            for line in file["lines"] if name in CORE else []:
                taken[name, line["line_number"], -1] += line["count"]
                for number, branch in enumerate(line["branches"]):
                    taken[name, line["line_number"], number] += branch["count"]


def test_every_branch_of_the_core_is_taken(scripted: CoreEnd, tmp_path: Path) -> None:
    """No line and no way of a condition in bin_core.c, bin_link.c and frame.c is left out, by gcov."""
    for turn in TURNS.values():
        scripted.trace(turn)
    for seed in range(STORIES):
        told = story(seed, OPS)
        assert difference(scripted, told.ops, told.records) is None
    subprocess.run([compile_inside(tmp_path, COUNTED)], check=True, capture_output=True, timeout=60)
    taken: Counter[Branch] = Counter()
    count(scripted.program.parent, taken)
    count(tmp_path, taken)
    assert len([x for x in taken if x[0] == "bin_core.c" and x[2] >= 0]) > 250, "gcov said nothing"
    lines = {name: (FIRMWARE / name).read_text(encoding="utf-8").splitlines() for name in CORE}
    missed = sorted(x for x, times in taken.items() if times == 0)
    assert [f"{name}:{line} {lines[name][line - 1].strip()}" for name, line, _ in missed] == []

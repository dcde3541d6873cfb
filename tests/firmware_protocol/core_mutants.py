"""Test the tests: break the C core in every small way, one at a time, and see that a test notices.

``python -m tests.firmware_protocol.core_mutants [bin_core|bin_link|frame [WORD]]`` compiles each mutant of that source (only
those whose description holds WORD) and runs the tests from the inside (c/inside.c), then the seldom turns of test_c_coverage and
STORIES stories, byte by byte against the Python reference. It prints each mutant that survives without being explained in
EQUIVALENT, and exits 1 if there is one. Not part of CI: it takes some minutes on one core.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.firmware_protocol.bodies.build import FIRMWARE
from tests.firmware_protocol.fuzz.scripts import Script, to_bytes, trace
from tests.firmware_protocol.fuzz.stories import story
from tests.firmware_protocol.test_c_coverage import FUZZ, INSIDE, TURNS

REBUILT = {"bin_core": ["bin_core"], "bin_link": ["bin_link", "inside"], "frame": ["frame"]}
"""Which objects a mutant of a source changes; inside.c includes bin_link.c."""
STORIES, OPS = 300, 600
TIMEOUT_S = 20
"""A mutant that loops for ever is noticed, too."""
TRAPS = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
"""A step beyond an array or a lost sign is noticed, too."""
FLAGS = ["gcc", "-std=c11", "-O1", "-w", *TRAPS, "-I."]

SWAPS = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
    "&&": ("||",),
    "||": ("&&",),
    "+": ("-",),
    "-": ("+",),
    "|": ("&",),
    "&": ("|",),
    "+=": ("-=",),
    "|=": ("=", "&="),
    "&=": ("=", "|="),
    "%": ("*",),
    ">>": ("<<",),
}
BOUNDARY = "at the boundary both ways lead to the same number"
TOLD = "a board that says it can tell writes the value"
ROOM = "the longest message leaves room to spare: 48 of 52 bytes of payload"
UNSEEN = "a rest that has just ended counts 0 ms anyway: only after 49 days does forgetting it matter"
EQUIVALENT: dict[str, str] = {
    "apart: return (uint16_t)(a > b ? a - b : b - a); -> return (uint16_t)(a >= b ? a - b : b - a);": BOUNDARY,
    (
        "at_most: return value > most ? most : (uint16_t)value; -> return value >= most ? most : (uint16_t)value;"
    ): BOUNDARY,
    "begin: lid->stay = false; -> ;": "CLOSE, the dead-man and JOG have taken it back before any motion can begin",
    "begin: if (from_us > way_us) { -> if (from_us >= way_us) {": BOUNDARY,
    (
        "bin_accept_open: lid->hold_ms = hold_ms < BIN_HOLD_MIN_MS ? BIN_HOLD_MIN_MS : at_most(hold_ms, "
        "BIN_HOLD_MAX_MS); -> lid->hold_ms = hold_ms < (BIN_HOLD_MIN_MS + 1) ? BIN_HOLD_MIN_MS : "
        "at_most(hold_ms, BIN_HOLD_MAX_MS);"
    ): BOUNDARY,
    (
        "bin_accept_open: lid->hold_ms = hold_ms < BIN_HOLD_MIN_MS ? BIN_HOLD_MIN_MS : at_most(hold_ms, "
        "BIN_HOLD_MAX_MS); -> lid->hold_ms = hold_ms <= BIN_HOLD_MIN_MS ? BIN_HOLD_MIN_MS : at_most(hold_ms, "
        "BIN_HOLD_MAX_MS);"
    ): BOUNDARY,
    (
        "expire: if (core->moved && bin_since(core, core->ended_ms) >= BIN_STAGGER_MS) { -> if (core->moved && "
        "bin_since(core, core->ended_ms) > BIN_STAGGER_MS) {"
    ): UNSEEN,
    (
        "expire: if (core->moved && bin_since(core, core->ended_ms) >= BIN_STAGGER_MS) { -> if (core->moved && "
        "bin_since(core, core->ended_ms) >= (BIN_STAGGER_MS + 1)) {"
    ): UNSEEN,
    (
        "expire: if (lid->moved && bin_since(core, lid->ended_ms) >= BIN_REST_MS) { -> if (lid->moved && "
        "bin_since(core, lid->ended_ms) > BIN_REST_MS) {"
    ): UNSEEN,
    (
        "expire: if (lid->moved && bin_since(core, lid->ended_ms) >= BIN_REST_MS) { -> if (lid->moved && "
        "bin_since(core, lid->ended_ms) >= (BIN_REST_MS + 1)) {"
    ): UNSEEN,
    (
        "left: return gone_ms >= span_ms ? 0 : (uint16_t)(span_ms - gone_ms); -> return gone_ms > span_ms ? 0 : "
        "(uint16_t)(span_ms - gone_ms);"
    ): BOUNDARY,
    "pinched: uint16_t lids = 0; -> uint16_t lids = (0 + 1);": TOLD,
    (
        "rest_left: (left_ms = left(core, lid->since_ms, lid->hold_ms)) > wait_ms) { -> (left_ms = left(core, "
        "lid->since_ms, lid->hold_ms)) >= wait_ms) {"
    ): BOUNDARY,
    (
        "rest_left: if (lid->moved && (left_ms = left(core, lid->ended_ms, BIN_REST_MS)) > wait_ms) { -> if "
        "(lid->moved && (left_ms = left(core, lid->ended_ms, BIN_REST_MS)) >= wait_ms) {"
    ): BOUNDARY,
    (
        "reverse: if (lid->goal == BIN_LIMITS_OPEN && lid->reversals < BIN_REVERSALS_MAX && -> if (lid->goal == "
        "BIN_LIMITS_OPEN && lid->reversals <= BIN_REVERSALS_MAX &&"
    ): BOUNDARY,
    (
        "reverse: if (lid->goal == BIN_LIMITS_OPEN && lid->reversals < BIN_REVERSALS_MAX && -> if (lid->goal == "
        "BIN_LIMITS_OPEN && lid->reversals < (BIN_REVERSALS_MAX + 1) &&"
    ): BOUNDARY,
    (
        "slew: pulse(core, lid, (uint16_t)(to_us > lid->pulse_us ? lid->pulse_us + step_us : lid->pulse_us - "
        "step_us)); -> pulse(core, lid, (uint16_t)(to_us >= lid->pulse_us ? lid->pulse_us + step_us : "
        "lid->pulse_us - step_us));"
    ): BOUNDARY,
    "start_next: return; -> ; (2)": "once a lid shuts, rest_left() lets no other one begin",
    "watch_mushroom: core->stop |= BIN_STOP_MUSHROOM; -> core->stop = BIN_STOP_MUSHROOM;": "bin_latch() sets the rest",
    # bin_link.c
    (
        "bin_begin_action: memmove(actions.ids, actions.ids + 1, (BIN_ACTION_RING - 1) * sizeof actions.ids[0]); "
        "-> memmove(actions.ids, actions.ids + 1, (BIN_ACTION_RING - (1 - 1)) * sizeof actions.ids[0]);"
    ): "the new id overwrites that place",
    (
        "bin_core_init: core->lid_count = identity->lids < BIN_LIDS_MAX ? identity->lids : BIN_LIDS_MAX; -> "
        "core->lid_count = identity->lids <= BIN_LIDS_MAX ? identity->lids : BIN_LIDS_MAX;"
    ): BOUNDARY,
    (
        "clamp_period: if (period_ms > BIN_TELEMETRY_MAX_MS) { -> if (period_ms > (BIN_TELEMETRY_MAX_MS - 1)) {"
    ): BOUNDARY,
    ("clamp_period: if (period_ms > BIN_TELEMETRY_MAX_MS) { -> if (period_ms >= BIN_TELEMETRY_MAX_MS) {"): BOUNDARY,
    (
        "clamp_period: return period_ms > 0 && period_ms < BIN_TELEMETRY_MIN_MS ? BIN_TELEMETRY_MIN_MS : "
        "period_ms; -> return period_ms > 0 && period_ms < (BIN_TELEMETRY_MIN_MS + 1) ? BIN_TELEMETRY_MIN_MS : "
        "period_ms;"
    ): BOUNDARY,
    (
        "clamp_period: return period_ms > 0 && period_ms < BIN_TELEMETRY_MIN_MS ? BIN_TELEMETRY_MIN_MS : "
        "period_ms; -> return period_ms > 0 && period_ms <= BIN_TELEMETRY_MIN_MS ? BIN_TELEMETRY_MIN_MS : "
        "period_ms;"
    ): BOUNDARY,
    "pinch_of: uint16_t lids = 0; -> uint16_t lids = (0 + 1);": TOLD,
    "put_u32: uint8_t bytes[1 + BIN_WIRE_MAX]; -> uint8_t bytes[1 + (BIN_WIRE_MAX + 1)];": ROOM,
    "put_u32: uint8_t bytes[1 + BIN_WIRE_MAX]; -> uint8_t bytes[1 + (BIN_WIRE_MAX - 1)];": ROOM,
    (
        "send_event: put_u16(payload + BIN_AT_EVENT_EVENT_SEQ, event->seq); -> put_u16(payload - "
        "BIN_AT_EVENT_EVENT_SEQ, event->seq);"
    ): "that offset is 0",
    (
        "send_telemetry: put_u32(payload + BIN_AT_TELEMETRY_UPTIME_MS, bin_since(core, core->booted_ms)); -> "
        "put_u32(payload - BIN_AT_TELEMETRY_UPTIME_MS, bin_since(core, core->booted_ms));"
    ): "that offset is 0",
    (
        "take_hello: core->repeated_ms = core->now_ms - BIN_EVENT_REPEAT_MS; -> core->repeated_ms = core->now_ms "
        "- (BIN_EVENT_REPEAT_MS + 1);"
    ): BOUNDARY,
    (
        "take_ping: memcpy(payload + BIN_AT_PONG_HOST_MS, frame->payload + BIN_AT_PING_HOST_MS, "
        "sizeof(uint32_t)); -> memcpy(payload + BIN_AT_PONG_HOST_MS, frame->payload - BIN_AT_PING_HOST_MS, "
        "sizeof(uint32_t));"
    ): "that offset is 0",
    (
        "take_ping: memcpy(payload + BIN_AT_PONG_HOST_MS, frame->payload + BIN_AT_PING_HOST_MS, "
        "sizeof(uint32_t)); -> memcpy(payload - BIN_AT_PONG_HOST_MS, frame->payload + BIN_AT_PING_HOST_MS, "
        "sizeof(uint32_t));"
    ): "that offset is 0",
    (
        "tell_state: if (period_ms > BIN_TELEMETRY_MOVING_MS && bin_lids_phases(core) & (BIN_MOVING | "
        "BIN_PHASE(JOGGING))) { -> if (period_ms > (BIN_TELEMETRY_MOVING_MS - 1) && bin_lids_phases(core) & "
        "(BIN_MOVING | BIN_PHASE(JOGGING))) {"
    ): BOUNDARY,
    (
        "tell_state: if (period_ms > BIN_TELEMETRY_MOVING_MS && bin_lids_phases(core) & (BIN_MOVING | "
        "BIN_PHASE(JOGGING))) { -> if (period_ms >= BIN_TELEMETRY_MOVING_MS && bin_lids_phases(core) & "
        "(BIN_MOVING | BIN_PHASE(JOGGING))) {"
    ): BOUNDARY,
    (
        "watch_host: (uint16_t)(silence_ms < BIN_EVENT_VALUE_MAX ? silence_ms : BIN_EVENT_VALUE_MAX)); -> "
        "(uint16_t)(silence_ms < (BIN_EVENT_VALUE_MAX + 1) ? silence_ms : BIN_EVENT_VALUE_MAX));"
    ): BOUNDARY,
    (
        "watch_host: (uint16_t)(silence_ms < BIN_EVENT_VALUE_MAX ? silence_ms : BIN_EVENT_VALUE_MAX)); -> "
        "(uint16_t)(silence_ms <= BIN_EVENT_VALUE_MAX ? silence_ms : BIN_EVENT_VALUE_MAX));"
    ): BOUNDARY,
}
"""Mutants that no test can notice, by their description, and why."""


@dataclass(frozen=True)
class Mutant:
    """One change of the source."""

    said: str
    text: str


def mutants(text: str) -> Iterator[Mutant]:
    """Operators swapped, conditions turned, constants shifted, statements and members of sets dropped; never in comments."""
    code = re.sub(r"/\*.*?\*/", lambda x: re.sub(r"[^\n]", " ", x[0]), text, flags=re.DOTALL)
    code = re.sub(r"^#.*$", lambda x: " " * len(x[0]) if "define" not in x[0] else x[0], code, flags=re.MULTILINE)
    seen: Counter[str] = Counter()
    for start, end, new in (*_operators(code), *_conditions(code), *_constants(code), *_statements(code)):
        said = _describe(code, start, end, new)
        seen[said] += 1
        yield Mutant(said if seen[said] == 1 else f"{said} ({seen[said]})", text[:start] + new + text[end:])


def _describe(code: str, start: int, end: int, new: str) -> str:
    begin = code.rfind("\n", 0, start) + 1
    stop = code.find("\n", end)
    headings = re.findall(r"^\w[^\n;]*?(\w+)\([^;{]*\)\s*\{", code[:start], flags=re.MULTILINE)
    where = headings[-1] if headings else "file"
    old_line, new_line = code[begin:stop], code[begin:start] + new + code[end:stop]
    return f"{where}: {' '.join(old_line.split())} -> {' '.join(new_line.split())}"


def _operators(code: str) -> Iterator[tuple[int, int, str]]:
    for found in re.finditer(r"(?<=[\w)\]]) ([<>=!&|+%-]{1,2}) (?=[\w(!~\n&])", code):
        for new in SWAPS.get(found[1], ()):
            yield found.start(1), found.end(1), new
    for found in re.finditer(r"(?<=[\w)\]])(\+\+|--)", code):
        yield found.start(), found.end(), "--" if found[0] == "++" else "++"
    for found in re.finditer(r"(?<=[\s(])[!~](?=[\w(])", code):
        yield found.start(), found.end(), ""


def _conditions(code: str) -> Iterator[tuple[int, int, str]]:
    for found in re.finditer(r"\bif \(", code):
        end = _closing(code, found.end() - 1)
        yield found.end(), end, f"!({code[found.end() : end]})"
    for found in re.finditer(r"([^=(,?\n]+?) \? ([^:;\n]+) : ([^;\n]+?)(?=[;,)])", code):
        yield found.start(2), found.end(3), f"{found[3]} : {found[2]}"


def _closing(code: str, at: int) -> int:
    depth = 0
    for n in range(at, len(code)):
        depth += {"(": 1, ")": -1}.get(code[n], 0)
        if depth == 0:
            return n
    raise ValueError("a parenthesis is not closed")


def _constants(code: str) -> Iterator[tuple[int, int, str]]:
    for found in re.finditer(r"\bBIN_\w*(?:_MS|_US|_MA|_MV|_MAX)\b|(?<=[\s(])\d+u?\b", code):
        if found[0] != "0":
            yield found.start(), found.end(), f"({found[0]} - 1)"
        yield found.start(), found.end(), f"({found[0]} + 1)"
    for found in re.finditer(r"\bBIN_PHASE\(\w+\)|\bBIN_MOVING\b", code):
        yield found.start(), found.end(), "0u"
    for found in re.finditer(r"\b(true|false)\b", code):
        yield found.start(), found.end(), "false" if found[0] == "true" else "true"


def _statements(code: str) -> Iterator[tuple[int, int, str]]:
    """Each expression statement and each ``return;``."""
    keeps = r"(?:static|const|struct|uint\d+_t|bool|unsigned|if|for|else|enum|typedef|return [^;]|#|\}|\{)"
    depth = start = 0
    for n, char in enumerate(code):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char in "{};" and depth == 0:
            part = code[start:n]
            body = part.strip()
            if char == ";" and body and "{" not in body and not re.match(keeps, body):
                yield start + part.index(body), n, ""
            start = n + 1


class Jury:
    """All that may notice a mutant of one source."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        for path in (*FIRMWARE.glob("*.[ch]"), *FUZZ.glob("*.[ch]"), INSIDE):
            shutil.copy(path, folder)
        for source in ("frame", "bin_core", "bin_link", "scripted", "inside"):
            self._compile(source)
        turns = [(x, trace(x)) for x in TURNS.values()]
        told = [(x.ops, x.records) for x in map(story, range(STORIES), [OPS] * STORIES)]
        self.trials = [_trial(x) for x in (turns, told[:10], told[10:50], told[50:])]

    def verdict(self, text: str) -> str:
        """Who noticed; empty = nobody."""
        (self.folder / f"{self.name}.c").write_text(text, encoding="utf-8")
        if not all(self._compile(x) for x in REBUILT[self.name]):
            return "the compiler"
        if not _same(self._link("inside", "bin_core", "frame"), b"", None):
            return "inside.c"
        scripted = self._link("scripted", "bin_core", "bin_link", "frame")
        for n, (script, records) in enumerate(self.trials):
            if not _same(scripted, script, records):
                return "stories" if n else "turns"
        return ""

    def _compile(self, name: str) -> bool:
        return self._gcc("-c", f"{name}.c", "-o", f"{name}.o")

    def _link(self, *names: str) -> Path:
        program = self.folder / f"{names[0]}_program"
        self._gcc(*(f"{x}.o" for x in names), "-o", str(program))
        return program

    def _gcc(self, *arguments: str) -> bool:
        command = [*FLAGS, *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, check=False).returncode == 0


def _trial(told: list[tuple[Script, list[bytes]]]) -> tuple[bytes, bytes]:
    records = b"".join(len(x).to_bytes(2, "little") + x for _, records in told for x in records)
    return b"".join(to_bytes(script) for script, _ in told), records


def _same(program: Path, script: bytes, said: bytes | None) -> bool:
    try:
        done = subprocess.run([program], input=script, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and (said is None or done.stdout == said)


def main(name: str = "bin_core", word: str = "") -> int:
    """0 = every survivor is explained."""
    text = (FIRMWARE / f"{name}.c").read_text(encoding="utf-8")
    found = [x for x in mutants(text) if word in x.said]
    said: Counter[str] = Counter()
    unexplained = 0
    with tempfile.TemporaryDirectory() as folder:
        jury = Jury(Path(folder), name)
        if by := jury.verdict(text):
            sys.stderr.write(f"the source as it stands is noticed by {by}\n")
            return 1
        for mutant in found:
            by = jury.verdict(mutant.text)
            said[by] += 1
            if not by and mutant.said not in EQUIVALENT:
                unexplained += 1
                sys.stdout.write(f"SURVIVED {mutant.said}\n")
                sys.stdout.flush()
    counts = ", ".join(f"{count} by {by}" for by, count in sorted(said.items()) if by)
    sys.stdout.write(
        f"{len(found)} mutants of {name}.c noticed: {counts}; {said['']} by nobody, {unexplained} unexplained\n"
    )
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Test the tests: break the board's code in a way that hurts somebody, one by one, and see that its tests notice.

``python -m tests.firmware_protocol.board_mutants [WORD]`` builds each image (only those whose description holds WORD) and runs
what runs on it until the first failure. It prints each mutant with the test that noticed, and exits 1 if one survives. Not part
of CI: it takes about half a minute for each mutant.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.firmware_protocol.bodies.build import FIRMWARE, ROOT

TESTS = [
    "test_firmware_image_runs",
    "test_last_resorts",
    "test_gate_and_refusals",
    "test_lid_motions",
    "test_session_and_link",
]
MUTANTS: list[tuple[str, str, str, str]] = [
    ("no watchdog", "reset.c", "wdt_enable(WDTO_250MS);", ""),
    ("a watchdog of 2 s", "reset.c", "wdt_enable(WDTO_250MS);", "wdt_enable(WDTO_2S);"),
    ("the watchdog is fed by an interrupt", "main.c", "clock_ms++;", 'clock_ms++; __asm__ __volatile__("wdr");'),
    (
        "action ids are lost in a reset",
        "main.c",
        "bin_core_init(&core",
        "memset(&survivor, 0, sizeof survivor); bin_core_init(&core",
    ),
    (
        "a power-on is taken for an external reset",
        "reset.c",
        "return BIN_RESET_CAUSE_POWER_ON;\n    }",
        "return BIN_RESET_CAUSE_EXTERNAL;\n    }",
    ),
    ("the mushroom switch is not read", "inputs.c", "(gpio_is_high(PIN_ESTOP) ? STOP_BIT : 0u)", "0u"),
    (
        "the mushroom switch the wrong way round",
        "inputs.c",
        "gpio_is_high(PIN_ESTOP) ? STOP_BIT : 0u",
        "gpio_is_high(PIN_ESTOP) ? 0u : STOP_BIT",
    ),
    ("pinch strips are not read", "inputs.c", "(uint8_t)(pinched |", "(uint8_t)((pinched & 0u) |"),
    ("limit switches the wrong way round", "inputs.c", "(uint8_t)~PINA", "PINA"),
    ("the core begins before the inputs are known", "main.c", "run_board(SETTLE_MS);", ""),
    ("servos begin with a signal", "servo.c", "*compares[lid] = NEVER;", "*compares[lid] = TOP - 3000u;"),
    ("no signal means the last pulse", "servo.c", "return NEVER;", "return TOP - 2000u;"),
    ("two servos swapped", "servo.c", "{&OCR3A, &OCR4A, &OCR4B, &OCR4C}", "{&OCR3A, &OCR4B, &OCR4A, &OCR4C}"),
    ("pulses twice as long", "servo.c", "TOP - pulse_us * STEPS_PER_US", "TOP - pulse_us * STEPS_PER_US * 2u"),
    ("pulses change at any time", "servo.c", "!changed || TCNT3 >= QUIET_UNTIL || TCNT4 >= QUIET_UNTIL", "!changed"),
    (
        "the current is never high",
        "analog.c",
        "return ma <= CURRENT_MAX_MA ? (uint16_t)ma : BIN_UNKNOWN_U16;",
        "return (void)ma, 0u;",
    ),
    ("currents of two lids swapped", "analog.c", "ADC_CURRENT_0, ADC_CURRENT_1,", "ADC_CURRENT_1, ADC_CURRENT_0,"),
    (
        "a dead servo supply reads as full",
        "analog.c",
        "        vservo_mv = BIN_UNKNOWN_U16;",
        "        vservo_mv = 5000u;",
    ),
    (
        "the board's supply is not measured",
        "analog.c",
        "vin_mv = mv_of((uint32_t)ADC_STEPS * ROUNDS, BANDGAP_MV);",
        "vin_mv = 5000u;",
    ),
    ("damaged calibrations are used", "store.c", "&& u16_at(bytes + CRC_AT) == frame_crc(bytes, CRC_AT)", ""),
    (
        "calibrations are stored under one lid",
        "store.c",
        "CALS_AT + (lid * SLOTS + slot) * SLOT",
        "CALS_AT + (0u * lid + slot) * SLOT",
    ),
    (
        "no echo is nearness",
        "ultrasonic.c",
        "mm > ECHO_MAX_MM) {\n        return BIN_UNKNOWN_U16;",
        "mm > ECHO_MAX_MM) {\n        return 0;",
    ),
    ("a full ring of output is written over", "uart.c", "return false;", "len = room;"),
    ("the bootloader gets running servos", "main.c", "servo_set(lid, SERVO_OFF);", ";"),
    ("the lamp is never dark again", "lamp.c", "ends && --left_ms == 0", "ends && left_ms == 0"),
]
"""What breaks, file, from, to."""


def noticed(why: str, file: str, old: str, new: str) -> str:
    """The test that failed, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "firmware"
        shutil.copytree(FIRMWARE, sources, ignore=shutil.ignore_patterns("build"))
        path = sources / "boards" / "mega2560" / file
        text = path.read_text()
        if text.count(old) != 1:
            raise SystemExit(f"{why}: {file} holds {text.count(old)} times: {old}")
        path.write_text(text.replace(old, new))
        files = [f"tests/firmware_protocol/{x}.py" for x in TESTS]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "-k",
                "avr or image_runs",
                f"--basetemp={folder}/tests",
                *files,
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env={**os.environ, "BIN_FIRMWARE_SOURCES": str(sources)},
        )
    found = re.search(r"^(?:FAILED|ERROR) \S*::(\S+)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1) or "avr-gcc" in done.stdout:
        raise SystemExit(f"{why}: {done.stdout[-2000:]}")
    return found[1] if found else ""


def main() -> int:
    """All, or those with a word."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    survived = 0
    for mutant in MUTANTS:
        if word in mutant[0]:
            test = noticed(*mutant)
            survived += not test
            print(f"{mutant[0]}: {test or 'SURVIVED'}", flush=True)  # noqa: T201  # a report
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs a libFuzzer program: bounded and repeatable every day, long by hand.

Long: ``python -m tests.firmware_protocol.fuzz.fuzzing core 600 CORPUS`` (or ``frame``) fuzzes for 600 s with a random seed,
starts from the seeds and keeps what it finds in the folder CORPUS; a broken promise leaves a crash file there and exits 1.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.firmware_protocol.fuzz.build import compile_fuzzer
from tests.firmware_protocol.fuzz.seeds import write_frames, write_histories

FUZZERS: dict[str, tuple[str, Callable[[Path], None], int]] = {
    "frame": ("fuzz_frame", write_frames, 400),
    "core": ("fuzz_core", write_histories, 600),
}
"""Program, what it starts from, longest input."""


@dataclass(frozen=True)
class Fuzzed:
    """How it ended."""

    status: int
    said: str

    @property
    def edges(self) -> int:
        """Edges covered, the core's and the watching program's own; 0 = the fuzzer saw nothing."""
        return max([0, *map(int, re.findall(r"cov: (\d+)", self.said))])

    @property
    def broken(self) -> str:
        """The promise that was broken, if one was."""
        found = re.search(r"broken promise: (.*) \(", self.said)
        return found[1] if found else ""


def fuzz(name: str, program: Path, folder: Path, runs: int) -> Fuzzed:
    """So many inputs from one fixed seed."""
    _, write, longest = FUZZERS[name]
    write(folder)
    options = ["-seed=1", f"-runs={runs}", f"-max_len={longest}", f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    options += [
        "-rss_limit_mb=0"
    ]  # that is the sanitizers' shadow, which a kernel may hold in huge pages: no heap here
    done = subprocess.run([program, *options, folder], capture_output=True, text=True, errors="replace", check=False)
    return Fuzzed(done.returncode, done.stderr)


def main() -> int:
    """The long run."""
    name, seconds, corpus = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    source, write, longest = FUZZERS[name]
    corpus.mkdir(parents=True, exist_ok=True)
    write(corpus)
    with tempfile.TemporaryDirectory() as folder:
        program = compile_fuzzer(source, Path(folder))
        options = [f"-max_total_time={seconds}", f"-max_len={longest}", f"-artifact_prefix={corpus}/"]
        return int(subprocess.run([program, *options, corpus], check=False).returncode != 0)


if __name__ == "__main__":
    sys.exit(main())

"""``torchrun ... -m tests.training.two_ranks FOLDER WORDS...``: `bin-daemon train WORDS`, and what each process had at its end.

Writes FOLDER/rank-N.json: a digest of the trained weights, and every file that this process opened for writing.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from bin_daemon.__main__ import main as bin_daemon
from bin_daemon.training.whole import Trained, WholeTraining

WROTE: list[str] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        WROTE.append(arguments[0])


def main(folder: Path, *words: str) -> None:
    """Train as the command does."""
    run = WholeTraining.run

    def told(self: WholeTraining) -> Trained:
        trained = run(self)
        digest = hashlib.sha256()
        for tensor in trained.network.state_dict().values():
            digest.update(tensor.numpy().tobytes())
        about = {"digest": digest.hexdigest(), "wrote": WROTE, "processes": self.ranks.processes}
        (folder / f"rank-{self.ranks.rank}.json").write_text(json.dumps(about))
        return trained

    WholeTraining.run = told  # type: ignore[method-assign] # the rig looks in
    sys.argv = ["bin-daemon", "train", *words]
    sys.addaudithook(_watch)
    bin_daemon()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

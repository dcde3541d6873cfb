"""`bin-daemon` and `python -m bin_daemon`: one place where an error becomes a message and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

BUG = 70


def main() -> None:
    """Run the command line; every error is one message on stderr and its exit code, never a traceback to a person."""
    from bin_daemon.cli import app
    from bin_daemon.errors import BinError

    try:
        app()
    except BinError as error:
        _say(str(error), error.hint)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader (head, less) went away: nothing more to say, not even at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the last net: a bug is told too
        if sys.flags.dev_mode or "JOURNAL_STREAM" in os.environ:
            traceback.print_exc()  # for who looks for the bug, not for who uses the bin
        last = traceback.extract_tb(error.__traceback__)[-1]
        _say(
            f"bug: {type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})",
            "please report this line; `python -X dev -m bin_daemon ...` shows where it came from",
        )
        sys.exit(BUG)


def _say(message: str, hint: str) -> None:
    print(f"bin-daemon: {message}", file=sys.stderr)  # noqa: T201 - this is the command line
    if hint:
        print(f"  mend: {hint}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()

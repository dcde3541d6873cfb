"""`bin-daemon` and `python -m bin_daemon`: one place where an error becomes a message and an exit code."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; every foreseen error is one message on stderr and its exit code, never a traceback."""
    from bin_daemon.cli import app
    from bin_daemon.errors import BinError

    try:
        app()
    except BinError as error:
        print(f"bin-daemon: {error}", file=sys.stderr)  # noqa: T201 - this is the command line
        if error.hint:
            print(f"  mend: {error.hint}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader (head, less) went away: nothing more to say, not even at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()

"""What the model has to say that is no error: into the daemon's log, or on a command's stderr."""

from __future__ import annotations

import sys


def warn(event: str, **facts: object) -> None:
    """One warning. A command that set up no log keeps its stdout for its answer."""
    import structlog  # 0.1 s, for what is seldom said

    if structlog.is_configured():
        structlog.get_logger().warning(event, **facts)
        return
    details = ", ".join(f"{name} {value}" for name, value in facts.items())
    print(f"warning: {event} ({details})" if details else f"warning: {event}", file=sys.stderr)  # noqa: T201 - see above

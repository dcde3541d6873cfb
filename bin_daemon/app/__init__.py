"""Builds a bin out of its parts and keeps it alive."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from bin_daemon.app.app import App
from bin_daemon.app.lock import only_one
from bin_daemon.app.parts import Parts, make_parts
from bin_daemon.config import Loaded

__all__ = ["App", "Parts", "make_parts", "run_until_signalled", "serve"]


def serve(loaded: Loaded) -> int:
    """Build and run the bin of these settings until SIGTERM, SIGINT or SIGHUP; returns the exit code."""
    with only_one(loaded.settings.service.state_dir / "lock"):  # before the journal's file is touched
        return run_until_signalled(App(loaded, make_parts(loaded.settings)))


def run_until_signalled(app: App, *, beside: Callable[[], None] | None = None) -> int:
    """Run ``app`` on this (the main) thread; ``beside`` runs on a thread of its own for as long."""
    old = {sig: signal.signal(sig, lambda *_: app.stop()) for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    if beside:
        threading.Thread(target=beside, name="beside", daemon=True).start()
    try:
        return app.run()
    finally:
        for sig, handler in old.items():
            signal.signal(sig, handler)

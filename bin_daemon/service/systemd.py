"""Talk to systemd: READY, STATUS, WATCHDOG, STOPPING over the notify socket. Outside systemd every call does nothing.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket


def notify(*lines: str) -> bool:
    """Send assignments such as ``READY=1``; False when there is no systemd to hear them or it does not answer."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # abstract socket namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.sendto("\n".join(lines).encode(), address)
    except OSError:
        return False
    return True


def watchdog_s() -> float | None:
    """The watchdog time-out that systemd expects of this process, seconds; None when there is none."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(usec) / 1e6 if usec.isdigit() and pid == str(os.getpid()) else None


def under_systemd() -> bool:
    """True when stderr goes to the journal."""
    return "JOURNAL_STREAM" in os.environ

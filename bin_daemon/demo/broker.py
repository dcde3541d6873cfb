"""A real mosquitto on a free loopback port, for as long as the demo lasts."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

START_S = 5.0
"""mosquitto listens within 0.1 s; a loaded machine gets more."""


def find_mosquitto() -> str | None:
    """The broker's program; Debian puts it into sbin, which is not on everybody's PATH."""
    return shutil.which(
        "mosquitto", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    )


@contextlib.contextmanager
def mosquitto(folder: Path) -> Iterator[int | None]:
    """Yield the port of a broker that runs until the block ends; None when there is no mosquitto or it does not start."""
    program = find_mosquitto()
    if program is None:
        yield None
        return
    port = _free_port()
    config = folder / "mosquitto.conf"
    # No `user` line: started as root it gives up its rights by itself. Nothing is kept on disk.
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - found above
    try:
        if _listens(port, process):
            yield port
        else:
            structlog.get_logger().warning("mosquitto did not start", program=program, exit_code=process.poll())
            yield None
    finally:
        process.terminate()
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    end_t_s = time.monotonic() + START_S
    while time.monotonic() < end_t_s and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return True
        time.sleep(0.02)
    return False

"""One daemon a bin, and no disk so sick that there is none."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from bin_daemon.app.lock import only_one
from bin_daemon.errors import ConfigError


def sicken(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The disk takes no new file and no byte more; what is there can be read."""
    real = os.open

    def opened(path: Any, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise OSError(number, os.strerror(number))
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", opened)


def test_the_second_is_told_of_the_first(tmp_path: Path) -> None:
    """By its process number; afterwards the lock is free again."""
    with (
        only_one(tmp_path / "lock"),
        pytest.raises(ConfigError, match=f"pid {os.getpid()}"),
        only_one(tmp_path / "lock"),
    ):
        pass
    with only_one(tmp_path / "lock"):
        pass


def test_a_full_disk_takes_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC for the process number is no reason not to start; the lock holds."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with only_one(tmp_path / "lock"), pytest.raises(ConfigError, match="another"), only_one(tmp_path / "lock"):
        pass


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_a_sick_disk_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """An existing file still keeps a second daemon away; without one, the bin sorts all the same."""
    sicken(monkeypatch, number)
    with only_one(tmp_path / "lock"):
        assert not list(tmp_path.iterdir())
    (tmp_path / "lock").touch()
    with only_one(tmp_path / "lock"), pytest.raises(ConfigError, match="another"), only_one(tmp_path / "lock"):
        pass


def test_a_folder_that_may_not_be_written_is_the_technicians(tmp_path: Path) -> None:
    """Anything else is told with its mend."""
    (tmp_path / "state").touch()
    with pytest.raises(ConfigError, match="state") as caught, only_one(tmp_path / "state" / "lock"):
        pass
    assert "state_dir" in caught.value.hint

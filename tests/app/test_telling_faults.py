"""What the bin tells of its faults: every edge once, and no flood from a value at its limit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from bin_daemon.app.parts import Parts
from bin_daemon.app.tally import Tally
from bin_daemon.app.telling import FAULT_REST_S, Telling
from bin_daemon.config import load
from bin_daemon.domain import Fault
from bin_daemon.pipeline import Pipeline

FULL = Fault("lid_1_full", "warning", "Compartment 1 is 95% full.", "Empty it.")


class Journal:
    """Writes down edges."""

    def __init__(self) -> None:
        self.active: dict[str, Fault] = {}
        self.edges: list[str] = []

    def raise_fault(self, fault: Fault) -> None:
        """As the real one: once per edge."""
        if fault.code not in self.active:
            self.active[fault.code] = fault
            self.edges.append(f"+{fault.code}")

    def clear_fault(self, code: str) -> None:
        """As the real one."""
        if self.active.pop(code, None):
            self.edges.append(f"-{code}")


def test_a_value_at_its_limit_is_one_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fill sensor that trembles about the limit for a minute: raised once, cleared once, when it has been away for long."""
    monkeypatch.delenv("BIN_CONFIG", raising=False)
    now = [0.0]
    journal = Journal()
    nothing = SimpleNamespace(journal=journal)
    telling = Telling(
        load(None), cast("Parts", nothing), cast("Pipeline", nothing), cast("Tally", nothing), clock=lambda: now[0]
    )
    for turn in range(120):
        telling.update_faults([FULL] if turn % 2 else [])
        now[0] += 0.5
    assert journal.edges == ["+lid_1_full"]
    now[0] += FAULT_REST_S
    telling.update_faults([])
    assert journal.edges == ["+lid_1_full", "-lid_1_full"]

"""A shut switch that did not let go is shown as a fault of its lid."""

from __future__ import annotations

import pytest

from bin_daemon.app.faults import switch_faults
from bin_daemon.domain import LidPosition, LidsState, LidState
from bin_daemon.lids.detail import LidDetail


@pytest.mark.parametrize(("connected", "shown"), [(True, ["lid_2_shut_switch"]), (False, [])])
def test_a_held_switch_is_a_fault(connected: bool, shown: list[str]) -> None:  # noqa: FBT001
    """Only of the lid whose switch it is, and only while the controller is there."""
    lids = {n: LidState(n, LidPosition.CLOSED) for n in (1, 2)}
    state = LidsState(connected, lids, stopped=False, voltage_ok=True)
    details = {1: LidDetail("config"), 2: LidDetail("config", shut_switch_held=True)}
    found = list(switch_faults(state, details))
    assert [x.code for x in found] == shown
    assert all("lid 2" in x.fix and "bin-daemon lid clear" in x.fix for x in found)

"""What the tray showed is counted for the health topic; what comes with no item is told in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from structlog.testing import capture_logs

from bin_daemon.app.tally import Tally
from bin_daemon.domain import TrayKind, TrayOutcome

if TYPE_CHECKING:
    from bin_daemon.pipeline import JournalPort


def test_outcomes_are_counted_and_those_without_an_item_logged() -> None:
    """A placement stands in the log as its item."""
    tally = Tally(cast("JournalPort", None))
    assert tally.health()["tray"] == {}
    with capture_logs() as told:
        tally.saw([TrayOutcome(TrayKind.PLACEMENT, 1.0, 10, (8, 8, 16, 16)), TrayOutcome(TrayKind.TAKEN_BACK, 2.0, 20)])
        tally.saw([])
        tally.saw([TrayOutcome(TrayKind.TAKEN_BACK, 3.0, 30), TrayOutcome(TrayKind.MULTI_ITEM, 4.0, 40)])
    assert tally.health()["tray"] == {"placement": 1, "taken_back": 2, "multi_item": 1}
    assert [(x["event"], x["kind"]) for x in told] == [("tray", "taken_back")] * 2

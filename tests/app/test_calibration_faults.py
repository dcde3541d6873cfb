"""A calibration that needs a person shows in status and MQTT; one that does not stays quiet."""

from __future__ import annotations

from bin_daemon.app.faults import calibration_faults
from bin_daemon.lids.calibration import Source
from bin_daemon.lids.detail import LidDetail


def test_only_what_a_person_must_decide_is_a_fault() -> None:
    """Two values that contradict each other, and a board that does not keep what it is given."""
    details = {n: LidDetail(source) for n, source in enumerate(Source, 1)}
    found = {x.code: x for x in calibration_faults({**details, 99: LidDetail("the config; a Maestro stores none")})}
    lids = {source: n for n, source in enumerate(Source, 1)}
    assert set(found) == {f"lid_{lids[x]}_calibration" for x in (Source.DIFFERS, Source.FAILED)}
    fault = found[f"lid_{lids[Source.DIFFERS]}_calibration"]
    assert fault.severity == "warning"
    assert "the controller's count" in fault.text
    assert "or the controller's memory was damaged" in fault.text
    assert fault.fix.endswith(f"run: bin-daemon lid calibrate {lids[Source.DIFFERS]}")

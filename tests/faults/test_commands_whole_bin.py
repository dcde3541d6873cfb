"""Commands over MQTT to the real daemon: the good ones once, the bad ones never, and each gets its answer."""

from __future__ import annotations

import json
import time
from typing import Any

import uuid_utils

from tests.faults.rig import EMPTY, Bin, wait_for

ANSWERS: dict[str, tuple[str, str | bytes, str]] = {
    "expired": ("lid.open", json.dumps({"args": {"lid": 3}, "expires_at": "2024-01-01T00:00:00Z"}), "stale"),
    "old id": ("lid.open", json.dumps({"id": "018cc251-f400-7000-8000-000000000000", "args": {"lid": 3}}), "stale"),
    "not json": ("lid.open", b"{\xff", "not_json"),
    "nested": ("lid.open", "[" * 50 + "]" * 50, "too_deep"),
    "long": ("lid.open", "1" * 5000, "too_large"),
    "wrong type": ("lid.open", '{"lid": true}', "bad_args"),
    "no such lid": ("lid.open", '{"lid": 9}', "no_lid"),
    "unknown": ("lid.explode", "", "unknown_command"),
}


def answers(smart_bin: Bin, command: str = "lid.open") -> list[dict[str, Any]]:
    """What came on ``rsp/<command>``."""
    return smart_bin.subscriber.events(f"/rsp/{command}")


def codes(smart_bin: Bin, command: str = "lid.open") -> list[str]:
    """Codes of the refusals, in order; ok for an acceptance."""
    return ["ok" if x["ok"] else x["error"]["code"] for x in answers(smart_bin, command)]


def test_bad_commands_move_nothing(smart_bin: Bin) -> None:
    """Retained (before and after the start), expired, malformed: refused with a reason; no lid moves."""
    smart_bin.subscriber.send("lid.open", '{"lid": 1}', retain=True)
    smart_bin.start({"camera.source": EMPTY})
    smart_bin.subscriber.send("lid.open", '{"lid": 1}', retain=True)
    wait_for(lambda: codes(smart_bin) == ["retained"], "the retained one refused")
    smart_bin.subscriber.send("lid.open", b"", retain=True)
    wait_for(lambda: len(codes(smart_bin)) == 2, "its removal answered")
    for name, payload, _ in ANSWERS.values():
        smart_bin.subscriber.send(name, payload)
    wanted = [code for name, _, code in ANSWERS.values() if name == "lid.open"]
    wait_for(lambda: len(codes(smart_bin)) >= 2 + len(wanted), "all answered")
    assert codes(smart_bin)[2:] == wanted
    wait_for(lambda: codes(smart_bin, "unknown") == ["unknown_command"], "the unknown one answered")
    assert smart_bin.stop() == 0
    assert not smart_bin.controller.motions


def test_manual_open_once(smart_bin: Bin) -> None:
    """lid.open opens that lid once and is told as manual; the same command again is refused as a replay."""
    smart_bin.start({"camera.source": EMPTY})
    command = json.dumps({"id": str(uuid_utils.uuid7()), "args": {"lid": 3}})
    for _ in range(3):
        smart_bin.subscriber.send("lid.open", command)
    wait_for(lambda: len(codes(smart_bin)) == 3, "three answers")
    assert sorted(codes(smart_bin)) == ["ok", "replayed", "replayed"]
    wait_for(smart_bin.subscriber.events, "its event")
    event = smart_bin.subscriber.events()[0]
    assert (event["manual"], event["lid"], event["outcome"]) == (True, 3, "closed")
    assert smart_bin.stop() == 0
    assert list(smart_bin.controller.openings().values()) == [1]
    assert smart_bin.controller.lids() == {3}
    smart_bin.check_books()


def test_modes(smart_bin: Bin) -> None:
    """paused: items open nothing, and their events say so; manual ends by itself, and items are sorted again."""
    smart_bin.start({"camera.source": EMPTY})
    smart_bin.subscriber.send("mode", "paused")
    wait_for(lambda: codes(smart_bin, "mode") == ["ok"], "paused")
    assert smart_bin.status()["state"]["mode"] == "paused"
    smart_bin.subscriber.send("mode", '{"mode": "manual", "for_s": 1}')
    wait_for(lambda: smart_bin.status()["state"]["mode"] == "manual", "manual")
    began_t_s = time.monotonic()
    wait_for(lambda: smart_bin.status()["state"]["mode"] == "auto", "auto again")
    assert time.monotonic() - began_t_s < 5
    assert smart_bin.stop() == 0


def test_paused_bin_keeps_shut(smart_bin: Bin) -> None:
    """Two items while paused: refused, told, no lid; sorting goes on in auto."""
    smart_bin.start()
    smart_bin.subscriber.send("mode", "paused")
    wait_for(lambda: codes(smart_bin, "mode") == ["ok"], "paused")
    wait_for(smart_bin.controller.all_shut, "all lids shut")
    openings = smart_bin.controller.openings()
    wait_for(lambda: len(smart_bin.subscriber.because("paused")) >= 2, "two items refused")
    assert {(x["outcome"], x["lid"], x["guess"]) for x in smart_bin.subscriber.because("paused")} == {
        ("refused", None, "kitchen")
    }
    assert smart_bin.controller.openings() == openings
    smart_bin.subscriber.send("mode", "auto")
    wait_for(lambda: smart_bin.controller.openings() != openings, "sorting again")
    assert smart_bin.stop() == 0
    smart_bin.check_books()

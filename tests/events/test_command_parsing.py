"""Commands from outside are suspect: everything odd is refused with a code, and nothing raises."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bin_daemon.domain import Mode
from bin_daemon.events import Command, CommandQueue, LocalCommands, Refusal
from bin_daemon.events.command_queue import QUEUE_MAX, WAIT_MAX_S
from bin_daemon.events.commands import (
    BURST,
    COMMANDS,
    IDS_KEPT,
    RATE_PER_S,
    STALE_S,
    CommandGate,
    LidCloseArgs,
    LidOpenArgs,
    ModeArgs,
    NoArgs,
    parse,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)


def one(name: str, payload: bytes | str | dict[str, Any], *, retain: bool = False) -> Command | Refusal:
    """Parse at a fixed moment."""
    raw = (
        payload
        if isinstance(payload, bytes)
        else payload.encode()
        if isinstance(payload, str)
        else json.dumps(payload).encode()
    )
    return parse(name, raw, retain=retain, now_utc=NOW)


def uuid7_at(at: datetime) -> str:
    """A UUIDv7 made then."""
    return str(UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | 12345))


@pytest.mark.parametrize(
    ("name", "payload", "args"),
    [
        ("mode", b"auto", ModeArgs(mode=Mode.AUTO)),
        ("mode", b'"paused"', ModeArgs(mode=Mode.PAUSED)),
        ("mode", b'{"mode": "manual", "for_s": 60}', ModeArgs(mode=Mode.MANUAL, for_s=60)),
        ("mode", b'{"args": "maintenance"}', ModeArgs(mode=Mode.MAINTENANCE)),
        ("lid.open", b"2", LidOpenArgs(lid=2)),
        ("lid.open", b'{"lid": 3, "hold_ms": 900}', LidOpenArgs(lid=3, hold_ms=900)),
        ("lid.open", b'{"id": "a-1", "args": {"lid": 4}}', LidOpenArgs(lid=4)),
        ("lid.close", b"", LidCloseArgs()),
        ("lid.close", b"{}", LidCloseArgs()),
        ("restart", b"PRESS", NoArgs()),
        ("restart", b'{"id": "x"}', NoArgs()),
        ("snapshot", b" null ", NoArgs()),
    ],
)
def test_good_forms_are_understood(name: str, payload: bytes, args: object) -> None:
    """The envelope, bare arguments, a bare value, a dashboard's button."""
    result = one(name, payload)
    assert isinstance(result, Command)
    assert result.args == args


MALICIOUS: list[tuple[str, bytes, str]] = [
    ("lid.open", b"\xff\xfe\x00", "not_json"),
    ("lid.open", b"{", "not_json"),
    ("lid.open", b"[" * 500 + b"]" * 500, "too_deep"),
    ("lid.open", b'{"a":' * 150, "not_json"),
    ("lid.open", b'{"a":' * 200 + b"1" + b"}" * 200, "too_large"),
    ("lid.open", b'{"a":' * 100 + b"1" + b"}" * 100, "too_deep"),
    ("lid.open", b"[[[[[[[1]]]]]]]", "too_deep"),
    ("lid.open", b"x" * 65536, "too_large"),
    ("lid.open", b'{"lid": 1, "lid": 2}', "duplicate_key"),
    ("lid.open", b'{"args": {"lid": 1, "lid": 2}}', "duplicate_key"),
    ("lid.open", b'{"lid": NaN}', "not_finite"),
    ("lid.open", b"Infinity", "not_finite"),
    ("mode", b'{"mode": "manual", "for_s": 1e999}', "not_finite"),
    ("mode", b'{"mode": "manual", "for_s": -1}', "bad_args"),
    ("lid.open", b"NaN", "not_finite"),
    ("lid.open", b"9223372036854775808", "bad_args"),
    ("lid.open", b"9" * 1000, "bad_args"),
    ("lid.open", b"0", "bad_args"),
    ("lid.open", b"17", "bad_args"),
    ("lid.open", b"-1", "bad_args"),
    ("lid.open", b"1.0", "bad_args"),
    ("lid.open", b"true", "bad_args"),
    ("lid.open", b'"1"', "bad_args"),
    ("lid.open", b"", "bad_args"),
    ("lid.open", b"[1]", "bad_args"),
    ("lid.open", b'{"lid": "1"}', "bad_args"),
    ("lid.open", b'{"lid": 1, "angle": 180}', "bad_args"),
    ("lid.open", b'{"lid": 1, "hold_ms": 999999}', "bad_args"),
    ("lid.open", b'{"__proto__": {"lid": 1}}', "bad_args"),
    ("lid.open", b'{"args": {"lid": 1}, "extra": 1}', "bad_envelope"),
    ("lid.open", b'{"args": {"lid": 1}, "id": 7}', "bad_envelope"),
    ("lid.open", b'{"args": {"lid": 1}, "id": "../../etc/passwd"}', "bad_envelope"),
    ("lid.open", b'{"args": {"lid": 1}, "id": "' + b"x" * 65 + b'"}', "bad_envelope"),
    ("lid.open", b'{"args": {"lid": 1}, "expires_at": "soon"}', "bad_envelope"),
    ("lid.open", b'{"args": {"lid": 1}, "expires_at": "2026-06-01T12:00:10"}', "bad_envelope"),
    ("lid.open", b'{"args": {"lid": 1}, "expires_at": "2026-06-01T11:59:59Z"}', "stale"),
    ("lid.open", b'{"args": {"lid": 1}, "expires_at": "2096-06-01T12:00:00Z"}', "bad_expiry"),
    ("mode", b"dance", "bad_args"),
    ("mode", b'{"mode": "AUTO"}', "bad_args"),
    ("mode", b'{"mode": ["auto"]}', "bad_args"),
    ("restart", b"now", "bad_args"),
    ("restart", b"[]", "bad_args"),
    ("restart", b'{"reason": "x"}', "bad_args"),
    ("snapshot", b'{"path": "/etc/passwd"}', "bad_args"),
    ("serial.write", b"AT", "unknown_command"),
    ("", b"", "unknown_command"),
    ("LID.OPEN", b"1", "unknown_command"),
    ("lid.open", b'{"lid": 1}\x00', "not_json"),
    ("lid.open", '{"lid": \u0661}'.encode(), "not_json"),
    ("lid.open", b'{"lid": 1} {"lid": 2}', "not_json"),
    ("lid.open", b"\xef\xbb\xbf1", "not_json"),
    ("mode", b'"\\ud800"', "bad_args"),
    ("lid.open", b'{"id": "\\ud800", "args": 1}', "bad_envelope"),
]


@pytest.mark.parametrize(("name", "payload", "code"), MALICIOUS)
def test_bad_input_is_refused_with_its_code(name: str, payload: bytes, code: str) -> None:
    """The corpus: each one a code, a sentence without what was sent, never an exception."""
    result = one(name, payload)
    assert isinstance(result, Refusal)
    assert result.code == code
    assert result.message
    assert len(result.message) < 300
    assert "passwd" not in result.message


@given(
    st.sampled_from(sorted(COMMANDS)),
    st.binary(max_size=200) | st.text(max_size=100).map(lambda x: x.encode("utf-8", "replace")),
)
@settings(max_examples=150, deadline=None)
def test_no_bytes_make_it_raise(name: str, payload: bytes) -> None:
    """Random bytes and text end as a command or a refusal."""
    assert isinstance(one(name, payload), Command | Refusal)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda x: (
        st.lists(x, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "args", "expires_at", "lid", "mode", "x"]), x, max_size=4)
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(COMMANDS)), _json)
@settings(max_examples=150, deadline=None)
def test_no_json_opens_a_lid_that_does_not_exist(name: str, value: Any) -> None:
    """Whatever JSON comes, an accepted lid.open names a lid of 1..16 and a hold within its bounds."""
    result = one(name, json.dumps(value).encode())
    if isinstance(result, Command) and isinstance(result.args, LidOpenArgs):
        assert 1 <= result.args.lid <= 16
        assert type(result.args.lid) is int
        assert result.args.hold_ms is None or 200 <= result.args.hold_ms <= 10_000


def test_retained_is_refused_before_anything_else() -> None:
    """A retained command is never carried out, however valid."""
    result = one("lid.open", b"1", retain=True)
    assert isinstance(result, Refusal)
    assert result.code == "retained"


@pytest.mark.parametrize(
    ("age_s", "code"), [(0, None), (100, None), (130, "stale"), (86400, "stale"), (-600, None), (-7200, "bad_expiry")]
)
def test_the_time_inside_a_uuid7_counts(age_s: float, code: str | None) -> None:
    """An id of the UUIDv7 kind tells when the command was made; old ones are refused without an expires_at."""
    result = one("lid.open", {"id": uuid7_at(NOW - timedelta(seconds=age_s)), "args": 1})
    assert (result.code if isinstance(result, Refusal) else None) == code


def test_ids_are_remembered_and_forgotten_in_order() -> None:
    """The same id again is refused; only after many others its memory ends, and memory stays bounded."""
    now = [0.0]
    gate = CommandGate(clock=lambda: now[0], now_utc=lambda: NOW)

    def code(command_id: str) -> str | None:
        now[0] += 1
        result = gate.admit("lid.open", json.dumps({"id": command_id, "args": 1}).encode())
        return result.code if isinstance(result, Refusal) else None

    assert [code("first"), code("first")] == [None, "replayed"]
    assert {code(f"n{i}") for i in range(IDS_KEPT)} == {None}
    assert code("first") is None
    assert len(gate._seen) == IDS_KEPT


def test_a_refused_command_may_be_corrected_under_its_id() -> None:
    """Only carried-out commands use up their id."""
    gate = CommandGate(now_utc=lambda: NOW)
    first = gate.admit("lid.open", b'{"id": "a", "args": 99}')
    assert isinstance(first, Refusal)
    assert first.id == "a"
    assert isinstance(gate.admit("lid.open", b'{"id": "a", "args": 1}'), Command)


def test_the_rate_is_limited_except_for_the_control_socket() -> None:
    """A burst passes, then five a second; whoever has a shell is not limited."""
    now = [0.0]
    far, near = (CommandGate(local=x, clock=lambda: now[0], now_utc=lambda: NOW) for x in (False, True))

    def passed(gate: CommandGate, count: int) -> int:
        return sum(isinstance(gate.admit("lid.close", b""), Command) for _ in range(count))

    assert passed(far, 100) == BURST
    now[0] += 1.0
    assert passed(far, 100) == 5
    assert passed(near, 100) == 100


def test_the_queue_is_bounded_and_answers_busy() -> None:
    """The 17th waiting command is refused at once."""
    queue = CommandQueue(clock=lambda: 0.0)
    answers: list[str] = []
    for _ in range(QUEUE_MAX + 1):
        queue.put(Command("lid.close", LidCloseArgs()), lambda x: answers.append(x.code))
    assert answers == ["busy"]
    assert len(queue.drain()) == QUEUE_MAX
    assert queue.drain() == []


def test_a_command_that_waited_too_long_is_not_carried_out() -> None:
    """A lid must not open seconds after the click."""
    now = [0.0]
    queue = CommandQueue(clock=lambda: now[0])
    answers: list[str] = []
    queue.put(Command("lid.open", LidOpenArgs(lid=1)), lambda x: answers.append(x.code))
    now[0] = WAIT_MAX_S + 0.1
    assert queue.drain() == []
    assert answers == ["stale"]


def test_a_command_that_expired_while_waiting_is_not_carried_out() -> None:
    """``expires_at`` holds until the lid moves, not only until the command is read."""
    now = [NOW]
    queue = CommandQueue(clock=lambda: 0.0, now_utc=lambda: now[0])
    answers: list[str] = []
    command = Command("lid.open", LidOpenArgs(lid=1), expires_at=NOW + timedelta(seconds=1))
    queue.put(command, lambda x: answers.append(x.code))
    now[0] = NOW + timedelta(seconds=1)
    assert queue.drain() == []
    assert answers == ["stale"]


@pytest.mark.parametrize("deep", ["[" * 500 + "]" * 500, '{"a":' * 300 + "1" + "}" * 300])
def test_a_deeply_nested_local_command_is_refused(deep: str) -> None:
    """What JSON readers take but writers do not must not crash the control socket: five crashes would end the daemon."""
    local = LocalCommands(CommandQueue(), {})
    assert local({"name": "mode", "args": json.loads(deep)})["error"]["code"] == "too_deep"


def test_no_id_is_forgotten_before_it_is_stale() -> None:
    """As many other commands as the rate allows within STALE_S do not push an id out of memory."""
    now = [0.0]
    gate = CommandGate(clock=lambda: now[0], now_utc=lambda: NOW)
    assert isinstance(gate.admit("lid.close", b'{"id": "first", "args": {}}'), Command)
    for n in range(int(STALE_S * RATE_PER_S)):
        now[0] += 1 / RATE_PER_S
        gate.admit("lid.close", json.dumps({"id": f"x{n}", "args": {}}).encode())
    again = gate.admit("lid.close", b'{"id": "first", "args": {}}')
    assert isinstance(again, Refusal)
    assert again.code == "replayed"


def test_the_control_socket_speaks_the_same_commands() -> None:
    """Queries answer at once; commands go through the same models and queue; a full line says no_answer or busy."""
    queue = CommandQueue()
    put = queue.put

    def put_and_run(command: Command, on_answer: Any) -> None:
        put(command, on_answer)
        for pending in queue.drain():
            assert pending.command.local
            pending.accept({"args": pending.command.args.model_dump(mode="json")})

    queue.put = put_and_run  # type: ignore[method-assign]  # the line, in one thread
    local = LocalCommands(queue, {"status": lambda: {"mode": "auto"}})
    assert local({"name": "status"}) == {"ok": True, "data": {"mode": "auto"}}
    assert local({"name": "lid.open", "args": {"lid": 2}})["data"] == {"args": {"lid": 2, "hold_ms": None}}
    assert local({"name": "lid.close"})["ok"] is True
    assert local({"name": "lid.open", "args": {"lid": 99}})["error"]["code"] == "bad_args"
    assert local({"name": "fly"})["error"]["code"] == "unknown_command"
    assert local({"nam": 1})["error"]["code"] == "bad_envelope"

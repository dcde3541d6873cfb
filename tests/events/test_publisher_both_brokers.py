"""The publisher over a real mosquitto and over the in-process bus: the same promises."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import uuid_utils

from bin_daemon.domain import LidReport, Mode, Outcome
from bin_daemon.errors import DeviceError
from bin_daemon.events.client import Message
from bin_daemon.events.commands import LidOpenArgs, ModeArgs
from bin_daemon.events.payloads import EventItem, Health, Info, Response, State


@pytest.fixture
def post(wire: Any, make_post: Callable[..., Any]) -> Any:
    """A publisher on that broker."""
    return make_post(lambda: wire.client("smartbin-bin-1"))


@pytest.fixture
def listen(wire: Any, listener_class: Any) -> Callable[..., Any]:
    """A subscriber on that broker."""
    return lambda topic_filter="smartbin/#": listener_class(wire.client(f"test-{uuid.uuid4()}"), topic_filter)


def hears_commands(step: Callable[[], None], listener: Any) -> None:
    """Step until the broker has passed on ``online``, which the publisher sends after its SUBSCRIBE on the same connection."""
    for _ in range(100):
        step()
        if any(x.topic.endswith("/availability") for x in listener.look(0.05)):
            return
    pytest.fail("the publisher never said online")


def test_events_arrive_once_and_leave_the_outbox(
    post: Any, listen: Callable[..., Any], item: Callable[..., Any]
) -> None:
    """Each event reaches a subscriber in order and leaves on its PUBACK; the payload is what the model says."""
    listener = listen()
    items = [item() for _ in range(50)]
    for one in items:
        post.journal.begin(*one.parts)
        post.journal.finish(LidReport(one.action_id, Outcome.CLOSED, "CLOSED", 2500.0, 2.0))
    assert post.drive(lambda: not post.journal.outbox.stats.rows and len(listener.of("event/item")) == 50)
    told = [EventItem.model_validate(x) for x in listener.of("event/item")]
    assert [x.id for x in told] == [x.placement.id for x in items]
    assert [x.seq for x in told] == list(range(1, 51))
    assert post.publisher.stats.reconnects == 0


def test_a_new_subscriber_learns_everything_from_retained_topics(
    post: Any, listen: Callable[..., Any], wire: Any
) -> None:
    """availability, info, state and health are retained, valid, and say who they are."""
    listener = listen()
    assert post.drive(lambda: len({x.topic for x in listener.look()}) == 4)
    by_topic = {x.topic.removeprefix("smartbin/bin-1/"): x for x in listener.messages}
    assert by_topic["availability"].payload == b"online"
    info = Info.model_validate_json(by_topic["info"].payload)
    assert (info.version, info.boot_id, "lid.open" in info.commands) == ("0.1.0", "boot-1", True)
    assert State.model_validate_json(by_topic["state"].payload).mode is Mode.AUTO
    health = Health.model_validate_json(by_topic["health"].payload)
    assert (health.fps, health.mqtt.connected) == (15.0, True)
    assert post.publisher.stats.kind == wire.kind


def test_state_is_told_on_change_and_not_otherwise(post: Any, listen: Callable[..., Any]) -> None:
    """Two changes make two messages; an unchanged state is silent until the heartbeat."""
    listener = listen("smartbin/bin-1/state")
    assert post.drive(lambda: len(listener.of("state")) == 1)
    with post.publisher.session() as step:
        for mode, count in (("paused", 3), ("auto", 4)):  # 2: the first of this connection
            post.state["mode"] = mode
            for _ in range(50):
                step()
                if len(listener.of("state")) >= count - 1:
                    break
        for _ in range(5):
            step()
        listener.look(0.2)
    assert [x["mode"] for x in listener.of("state")] == ["auto", "paused", "auto"]


def test_a_picture_is_sent_once(post: Any, listen: Callable[..., Any]) -> None:
    """The newest offered picture goes out once, is not kept by the broker, and a monstrous one not at all."""
    listener = listen("smartbin/bin-1/image/last")
    with post.publisher.session() as step:
        post.publisher.offer_image(b"older")
        post.publisher.offer_image(b"\xff\xd8jpeg")
        step()
        post.publisher.offer_image(b"x" * 3_000_000)
        step()
        listener.look(0.3)
    assert [(x.payload, x.retain) for x in listener.messages] == [(b"\xff\xd8jpeg", False)]


def test_the_heartbeat_beats(make_post: Callable[..., Any], wire: Any, listen: Callable[..., Any]) -> None:
    """State and health come again each state_interval_s though nothing changed: their age is the sign of life."""
    post = make_post(lambda: wire.client("smartbin-bin-1"), state_interval_s=0.3)
    listener = listen()
    assert post.drive(lambda: len(listener.of("/state")) >= 3 and len(listener.of("/health")) >= 3)


def test_a_command_reaches_the_line_and_is_answered(post: Any, wire: Any, listen: Callable[..., Any]) -> None:
    """The answer goes to rsp/<name> and to the sender's response topic, with its correlation data and id."""
    listener, answers, sender = listen(), listen("my/answers"), wire.client("sender")
    sender.connect(Message("x/y", b""), 5.0)
    command_id = str(uuid_utils.uuid7())
    with post.publisher.session() as step:
        hears_commands(step, listener)
        payload = b'{"id": "%s", "args": {"lid": 2, "hold_ms": 900}}' % command_id.encode()
        topic = "smartbin/bin-1/cmd/lid.open"
        sender.publish(Message(topic, payload, answer_to="my/answers", correlation=b"\x00\x07"))
        waiting: list[Any] = []
        for _ in range(100):
            step()
            if waiting := post.commands.drain():
                break
        (pending,) = waiting
        assert pending.command.args == LidOpenArgs(lid=2, hold_ms=900)
        pending.accept({"lid": 2})
        pending.refuse("late", "only the first answer counts")
        for _ in range(100):
            step()
            if listener.of("rsp/lid.open") and answers.look():
                break
    (told,) = [Response.model_validate(x) for x in listener.of("rsp/lid.open")]
    assert (told.id, told.ok, told.data, told.error) == (command_id, True, {"lid": 2}, None)
    assert [x.correlation for x in answers.look()] == [b"\x00\x07"]
    sender.close(1.0)


def test_no_answer_goes_where_it_could_command_another_bin(post: Any, wire: Any, listen: Callable[..., Any]) -> None:
    """A response topic inside our own tree, or Home Assistant's, is not served: rsp/<name> alone answers."""
    listener, sender = listen("#"), wire.client("sender")
    sender.connect(Message("x/y", b""), 5.0)
    with post.publisher.session() as step:
        hears_commands(step, listener)
        for to in ("smartbin/bin-2/cmd/lid.open", "homeassistant/x", "$SYS/x"):
            sender.publish(Message("smartbin/bin-1/cmd/mode", b"nonsense_mode", answer_to=to))
        for _ in range(100):
            step()
            if len(listener.of("rsp/mode")) == 3:
                break
    assert {x["error"]["code"] for x in listener.of("rsp/mode")} == {"bad_args"}
    assert {x.topic.split("/")[0] for x in listener.look(0.2)} == {"smartbin"}
    assert not [x for x in listener.messages if x.topic.startswith("smartbin/bin-2")]
    sender.close(1.0)


def test_retained_commands_never_run(post: Any, wire: Any, listen: Callable[..., Any]) -> None:
    """One retained before we came is not even delivered; one retained while we listen is refused."""
    listener, sender = listen(), wire.client("sender")
    sender.connect(Message("x/y", b""), 5.0)
    sender.publish(Message("smartbin/bin-1/cmd/mode", b"paused", retain=True))
    with post.publisher.session() as step:
        hears_commands(step, listener)
        sender.publish(Message("smartbin/bin-1/cmd/mode", b"manual", retain=True))
        sender.publish(Message("smartbin/bin-1/cmd/mode", b"auto"))
        waiting: list[Any] = []
        for _ in range(100):
            step()
            waiting += post.commands.drain()
            if waiting:
                break
    assert [x.command.args for x in waiting] == [ModeArgs(mode=Mode.AUTO)]
    sender.close(1.0)


def test_a_replayed_command_runs_once(post: Any, wire: Any, listen: Callable[..., Any]) -> None:
    """The same id again is answered ``replayed``."""
    listener, sender = listen(), wire.client("sender")
    sender.connect(Message("x/y", b""), 5.0)
    waiting: list[Any] = []
    with post.publisher.session() as step:
        hears_commands(step, listener)
        for _ in range(3):
            sender.publish(Message("smartbin/bin-1/cmd/lid.open", b'{"id": "once", "args": {"lid": 1}}'))
        for _ in range(100):
            step()
            waiting += post.commands.drain()
            if len(listener.of("rsp/lid.open")) == 2:
                break
    assert [x["error"]["code"] for x in listener.of("rsp/lid.open")] == ["replayed", "replayed"]
    assert len(waiting) == 1
    sender.close(1.0)


def test_a_flood_of_commands_is_bounded(
    post: Any, wire: Any, listen: Callable[..., Any], item: Callable[..., Any]
) -> None:
    """2,000 commands at once: at most a burst gets through, the rest is counted, and events still flow."""
    listener, sender = listen("smartbin/bin-1/availability"), wire.client("sender")
    sender.connect(Message("x/y", b""), 5.0)
    post.journal.begin(*item(opens=False).parts)
    taken = 0
    with post.publisher.session() as step:
        hears_commands(step, listener)
        for _ in range(2000):
            sender.publish(Message("smartbin/bin-1/cmd/lid.close", b"", qos=0))
        for _ in range(100):
            step()
            taken += len(post.commands.drain())
            if post.publisher.stats.commands_dropped and not post.journal.outbox.stats.rows:
                break
    assert 1 <= taken <= 100
    assert post.publisher.stats.commands_dropped > 100
    assert post.journal.outbox.stats.rows == 0
    sender.close(1.0)


def test_a_broker_that_dies_and_returns_loses_nothing(
    post: Any, wire: Any, listen: Callable[..., Any], item: Callable[..., Any]
) -> None:
    """Absent at start, killed in the middle, back: every event arrives at least once, none is invented."""
    wire.stop()
    wanted = []
    for _ in range(10):
        one = item(opens=False)
        wanted.append(one.placement.id)
        post.journal.begin(*one.parts)
    assert not post.drive(lambda: post.publisher.stats.connected, timeout_s=0.3)
    seen: set[str] = set()
    for _ in range(2):
        wire.start()
        listener = listen("smartbin/bin-1/event/item")

        def all_seen(listener: Any = listener) -> bool:
            seen.update(x["id"] for x in listener.of("event/item"))
            return set(wanted) <= seen and not post.journal.outbox.stats.rows

        assert post.drive(all_seen)
        wire.stop()
        one = item(opens=False)
        wanted.append(one.placement.id)
        post.journal.begin(*one.parts)
    assert seen == set(wanted[:-1])
    assert post.journal.outbox.stats.rows == 1
    assert post.journal.outbox.stats.dropped == 0
    assert post.publisher.stats.reconnects >= 1


def test_two_daemons_with_one_client_id_are_told(post: Any, wire: Any) -> None:
    """Thrown out again and again, by a reason code or (mosquitto 2.0.11) without a word: a fault names the client id."""
    for _ in range(3):
        other = wire.client("smartbin-bin-1")
        with contextlib.suppress(DeviceError), post.publisher.session() as step:
            step()
            other.connect(Message("x/y", b""), 5.0)
            for _ in range(100):
                step()
        other.close(1.0)
        assert pause_over(post)
    (fault,) = [x for x in post.journal.active_faults if x.code == "mqtt_client_id_taken"]
    assert "smartbin-bin-1" in fault.text
    assert "bin.id" in fault.fix


def pause_over(post: Any) -> bool:
    """Wait for the (shortened) rest before the next attempt."""
    end_t_s = time.monotonic() + 5
    while time.monotonic() < end_t_s:
        if time.monotonic() > post.publisher._retry_t_s:
            return True
    return False


def test_close_and_flush_are_bounded_and_polite(
    post: Any, listen: Callable[..., Any], item: Callable[..., Any]
) -> None:
    """From another thread: flush waits for the outbox, close leaves ``offline`` behind, both within their time."""
    listener = listen()
    post.journal.begin(*item(opens=False).parts)
    stop = threading.Event()
    up = threading.Event()

    def work() -> None:
        with post.publisher.session() as step:
            up.set()
            while not stop.is_set():
                step()

    worker = threading.Thread(target=work)
    worker.start()
    assert up.wait(10)
    assert post.publisher.flush(5.0)
    assert post.publisher.close(5.0)
    stop.set()
    worker.join(5)
    assert not worker.is_alive()
    until_s = time.monotonic() + 10
    said: list[bytes] = []
    while said[-1:] != [b"offline"] and time.monotonic() < until_s:
        said = [x.payload for x in listener.look(0.3) if x.topic.endswith("availability")]
    assert said == [b"online", b"offline"]
    assert not post.publisher.stats.connected

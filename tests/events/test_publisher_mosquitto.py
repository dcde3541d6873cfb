"""What only a real broker does: hangs, forbids, limits, trusts certificates, and sends last wills."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bin_daemon.config.settings import MqttSettings
from bin_daemon.errors import DeviceError
from bin_daemon.events.client import Message
from bin_daemon.events.outbox import OutboxRow
from bin_daemon.events.paho_client import PahoClient
from bin_daemon.service.worker import Worker


def client(port: int, name: str, **settings: Any) -> PahoClient:
    """An unconnected client of the broker on that port."""
    return PahoClient(MqttSettings(**{"host": "127.0.0.1", "port": port, **settings}), name)


def put_row(post: Any, event_id: str, payload: bytes) -> None:
    """One event straight into the outbox."""
    post.journal._store.write(lambda db: post.journal.outbox.insert(db, OutboxRow(event_id, "event/item", payload)))


def test_a_hung_broker_is_noticed(make_broker: Callable[..., Any], make_post: Callable[..., Any], item: Any) -> None:
    """SIGSTOP: no reset, no answer; keepalive ends the connection within three keepalives, no step blocks, nothing is lost."""
    broker = make_broker()
    broker.start()
    post = make_post(port=broker.port, keepalive_s=2)
    slowest_s = 0.0
    began_s = time.monotonic()
    with pytest.raises(DeviceError, match="connection lost"), post.publisher.session() as step:  # noqa: PT012 - timed steps
        step()
        broker.signal(signal.SIGSTOP)
        post.journal.begin(*item(opens=False).parts)
        while time.monotonic() - began_s < 20:
            before_s = time.monotonic()
            step()
            slowest_s = max(slowest_s, time.monotonic() - before_s)
    assert time.monotonic() - began_s < 12
    assert slowest_s < 2.5
    assert post.journal.outbox.stats.rows == 1
    broker.signal(signal.SIGCONT)
    assert post.drive(lambda: not post.journal.outbox.stats.rows)


def test_connecting_to_a_hung_broker_is_bounded(
    make_broker: Callable[..., Any], make_post: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that accepts and stays silent costs no more than the time allowed for connecting, and a little."""
    monkeypatch.setattr("bin_daemon.events.mqtt.CONNECT_S", 1.0)
    broker = make_broker()
    broker.start()
    broker.signal(signal.SIGSTOP)
    post = make_post(port=broker.port)
    began_s = time.monotonic()
    with pytest.raises(DeviceError, match="does not answer"), post.publisher.session():
        pass
    assert time.monotonic() - began_s < 4
    broker.signal(signal.SIGCONT)


def test_kill_9_leaves_offline_behind(make_broker: Callable[..., Any], listener_class: Any, fast_path: Path) -> None:
    """The broker itself publishes the last will at once, and later subscribers see it."""
    broker = make_broker()
    broker.start()
    listener = listener_class(client(broker.port, "test"), "smartbin/bin-1/availability")
    script = Path(__file__).with_name("publisher_victim.py")
    with subprocess.Popen(
        [sys.executable, script, str(broker.port), fast_path / "j.sqlite3"], stdout=subprocess.PIPE, text=True
    ) as victim:
        assert victim.stdout
        assert any("connected" in x for x in iter(victim.stdout.readline, ""))
        end_s = time.monotonic() + 10
        while b"online" not in [x.payload for x in listener.look(0.1)] and time.monotonic() < end_s:
            pass
        victim.kill()
    end_s = time.monotonic() + 10
    while len(listener.look(0.1)) < 2 and time.monotonic() < end_s:
        pass
    assert [x.payload for x in listener.messages] == [b"online", b"offline"]
    listener.client.close(1.0)


def test_a_denied_publish_keeps_the_row_and_tells(
    make_broker: Callable[..., Any], make_post: Callable[..., Any], tmp_path: Path, item: Any
) -> None:
    """PUBACK "not authorised": the row stays, a fault says what to allow; allowed again, it leaves and the fault clears."""
    acl = tmp_path / "acl"
    acl.write_text("topic read smartbin/bin-1/cmd/#\ntopic write smartbin/bin-1/state\n")
    broker = make_broker(f"acl_file {acl}")
    broker.start()
    post = make_post(port=broker.port)
    post.journal.begin(*item(opens=False).parts)

    def faults() -> set[str]:
        return {x.code for x in post.journal.active_faults}

    assert post.drive(lambda: post.publisher._delivery._refusals)
    assert "mqtt_not_authorised" in faults()
    assert post.journal.outbox.stats.rows == 2  # the item and the fault itself
    acl.write_text("topic readwrite #\n")
    broker.signal(signal.SIGHUP)
    assert post.drive(lambda: "mqtt_not_authorised" not in faults() and not post.journal.outbox.stats.rows)
    assert post.journal.outbox.stats.dead_letters == 0


def test_an_event_over_the_brokers_limit_does_not_block_the_rest(
    make_broker: Callable[..., Any], make_post: Callable[..., Any], listener_class: Any, item: Any
) -> None:
    """Mosquitto cuts the connection at a packet over max_packet_size: it never goes on the wire, later events flow."""
    broker = make_broker("max_packet_size 4096")
    broker.start()
    post = make_post(port=broker.port)
    listener = listener_class(client(broker.port, "test"), "smartbin/+/event/item")
    put_row(post, "too-large", b'{"id": "too-large", "x": "' + b"x" * 5000 + b'"}')
    one = item(opens=False)
    post.journal.begin(*one.parts)
    assert post.drive(lambda: not post.journal.outbox.stats.rows)
    listener.look(0.5)
    assert [x["id"] for x in listener.of("event/item")] == [one.placement.id]
    assert post.journal.outbox.stats.dead_letters == 1
    assert post.publisher.stats.reconnects == 0
    assert "event_put_aside" in {x.code for x in post.journal.active_faults}
    listener.client.close(1.0)


def test_a_poison_event_is_found_even_when_the_broker_hides_its_limit(
    make_broker: Callable[..., Any], make_post: Callable[..., Any], item: Any
) -> None:
    """A broker that only cuts: rows go one by one, the one that cuts is put aside, the others arrive."""
    broker = make_broker("max_packet_size 4096")
    broker.start()

    def hiding() -> PahoClient:
        """The limit of this broker is not announced."""
        one = client(broker.port, "smartbin-bin-1")
        connect = one.connect

        def connect_blind(will: Message, timeout_s: float) -> None:
            connect(will, timeout_s)
            one.max_packet_bytes = None

        one.connect = connect_blind  # type: ignore[method-assign]  # only this one client
        return one

    post = make_post(hiding)
    post.journal.begin(*item(opens=False).parts)
    put_row(post, "poison", b"x" * 5000)
    for _ in range(5):
        post.journal.begin(*item(opens=False).parts)
    assert post.drive(lambda: not post.journal.outbox.stats.rows, timeout_s=30)
    assert post.journal.outbox.stats.dead_letters == 1
    assert post.journal._store.read("SELECT event_id FROM dead_letters") == [("poison",)]


def test_a_wrong_password_says_so(
    make_broker: Callable[..., Any], make_post: Callable[..., Any], tmp_path: Path
) -> None:
    """The broker's refusal reaches the technician with a hint, and the password is not in it."""
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "bin-1", "right"], check=True, capture_output=True)
    broker = make_broker("allow_anonymous false", f"password_file {passwords}")
    broker.start()
    post = make_post(port=broker.port, username="bin-1", password="wr0ng")  # noqa: S106 - a test's
    with pytest.raises(DeviceError, match="refused") as caught, post.publisher.session():
        pass
    assert "password" in caught.value.hint
    assert "wr0ng" not in str(caught.value)
    right = make_post(port=broker.port, username="bin-1", password="right")  # noqa: S106 - a test's
    assert right.drive(lambda: right.publisher.stats.connected)


def test_tls_with_client_certificates(
    make_broker: Callable[..., Any], make_post: Callable[..., Any], tmp_path: Path
) -> None:
    """Mutual TLS with a pinned CA works; a broker of another CA, and a missing file, are refused with a hint."""
    certificates(tmp_path)
    files = {
        key: tmp_path / name
        for key, name in {"ca_file": "ca.crt", "cert_file": "bin-1.crt", "key_file": "bin-1.key"}.items()
    }
    broker = make_broker(
        *(
            f"{key} {tmp_path / name}"
            for key, name in {"cafile": "ca.crt", "certfile": "broker.crt", "keyfile": "broker.key"}.items()
        ),
        "require_certificate true",
        "use_identity_as_username true",
    )
    broker.start()
    post = make_post(port=broker.port, tls=True, **files)
    assert post.drive(lambda: post.publisher.stats.connected)
    stranger = make_post(port=broker.port, tls=True, **{**files, "ca_file": tmp_path / "other.crt"})
    with pytest.raises(DeviceError, match="not trusted") as caught, stranger.publisher.session():
        pass
    assert "ca_file" in caught.value.hint
    missing = make_post(port=broker.port, tls=True, **{**files, "key_file": tmp_path / "none.key"})
    with pytest.raises(DeviceError, match=r"none\.key"), missing.publisher.session():
        pass


def certificates(folder: Path) -> None:
    """A CA with a broker's and a bin's certificate, and a CA that nobody knows."""

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=folder)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for ca in ("ca", "other"):
        openssl("req", "-x509", *curve, "-keyout", f"{ca}.key", "-out", f"{ca}.crt", "-subj", f"/CN={ca}", "-days", "2")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("broker", "bin-1"):
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            f"{name}.crt",
            "-days",
            "2",
            "-extfile",
            "san",
        )


def test_an_absent_broker_is_tried_with_growing_rests(make_post: Callable[..., Any], clock: Any) -> None:
    """Attempts an hour, not a hot loop: the longest rest doubles up to a minute, and each session() returns at once."""
    longest: list[float] = []
    post = make_post(port=9)  # discard: nobody listens
    publisher = post.publisher
    publisher._clock = lambda: clock.t_s
    publisher._offline_since_t_s = publisher._retry_t_s = clock.t_s

    def unlucky(longest_s: float) -> float:
        longest.append(longest_s)
        return longest_s

    publisher._jitter = unlucky
    for _ in range(3600):
        with contextlib.suppress(DeviceError), publisher.session():
            pytest.fail("nobody listens there")
        clock.forward(1.0)
    assert longest[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(longest) < 80
    assert "mqtt_offline" in {x.code for x in post.journal.active_faults}


def test_under_its_worker_it_comes_up_by_itself(
    make_broker: Callable[..., Any], make_post: Callable[..., Any], listener_class: Any, item: Any
) -> None:
    """As the daemon runs it: absent at start, then there; events flow, and the stop leaves ``offline``."""
    broker = make_broker()
    post = make_post(port=broker.port)
    worker = Worker("publish", post.publisher.session, jitter=lambda _: 0.05)
    worker.start()
    post.journal.begin(*item(opens=False).parts)
    end_s = time.monotonic() + 10
    while not worker.status.failures and time.monotonic() < end_s:
        time.sleep(0.01)
    assert "broker 127.0.0.1" in worker.status.failing
    broker.start()
    listener = listener_class(client(broker.port, "test"), "smartbin/bin-1/+")
    while not post.publisher.stats.connected and time.monotonic() < end_s:
        listener.look(0.05)
    assert post.publisher.flush(10.0)
    worker.stop()
    assert worker.join(5.0)
    assert worker.status.recoveries == 1
    while b"offline" not in [x.payload for x in listener.look(0.1)] and time.monotonic() < end_s + 10:
        pass
    assert listener.messages[-1].payload == b"offline"
    listener.client.close(1.0)

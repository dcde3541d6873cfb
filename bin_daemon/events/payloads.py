"""What stands in every topic, as pydantic models: the one source of the payloads, their JSON Schemas and their caps.

Changes are additive only; ``v`` counts them. Topics are relative to ``<base>/<bin_id>``. ``availability`` is the one topic
without JSON: plain ``online`` or ``offline``, so that the broker itself can send it as last will.
"""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from bin_daemon.domain import (
    Category,
    Classification,
    Decision,
    Fault,
    FillChange,
    ManualRequest,
    Mode,
    Outcome,
    Placement,
    StopEdge,
)

VERSION = 1
ONLINE, OFFLINE = "online", "offline"
EVENT_BYTES_MAX = 64_000
"""A common broker limit is 65,536 bytes a packet, topic and properties included; a larger event would be cut off for ever."""
TEXT_CHARS_MAX = 400
LABEL_CHARS_MAX = 80

Clock = Literal["synced", "unsynced"]
"""A board without a clock chip may boot in 1970: ``unsynced`` times are good for order only."""


def utc_text(unix_s: float) -> str:
    """RFC 3339 in UTC with milliseconds, e.g. ``2026-03-01T12:00:00.250Z``."""
    at = datetime.fromtimestamp(unix_s, tz=timezone.utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Payload(BaseModel):
    """Common to all JSON payloads: ``ts`` is when it happened, not when it was sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    v: int = VERSION
    ts: str = Field(description="RFC 3339, UTC, milliseconds.")

    def json_bytes(self) -> bytes:
        """Compact UTF-8 JSON; bytes that are not text were replaced before."""
        return self.model_dump_json().encode()


class LatencyMs(BaseModel):
    """Where the time went between the last motion of the item and the controller's acceptance, milliseconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    settle: float | None = Field(None, description="First still frame to settled.")
    classify: float | None = Field(
        None, description="Preprocessing and inference, as far as they took longer than `settle`."
    )
    decide: float | None = Field(None, description="Result there to decision durable on disk.")
    wire: float | None = Field(None, description="Command sent to the controller's acceptance.")


class ItemDraft(BaseModel):
    """All of an item's event that is known before anything moves; stored with the journal row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(description="UUIDv7; consumers drop an id that they have seen.")
    ts: str
    clock: Clock
    manual: bool = Field(description="A person asked for this lid; there was no item.")
    category: Category | None = Field(description="What the item was sorted as; null when unsure or manual.")
    guess: Category | None = Field(None, description="The model's best category, sure or not.")
    label: str | None = None
    probability: float | None = Field(None, description="Of `guess`, 0..1; null, here and below: not a number.")
    categories: dict[Category, float | None] = Field(default_factory=dict, description="Probability of each category.")
    top5: tuple[tuple[str, int, float | None], ...] = Field((), description="[label, index in the model, probability].")
    margin: float | None = None
    agreement: float | None = None
    familiarity: float | None = Field(
        None, description="Share of the model's held-out pictures that look stranger, 0..1; null: it cannot tell."
    )
    model: str = ""
    lid: int | None = Field(None, description="Lid that was commanded, from 1; null when all stayed shut.")
    reason: str = Field(description="The policy's reason code.")
    text: str = Field(description="The reason for people, with the numbers that decided.")
    latency_ms: LatencyMs = LatencyMs()


class EventItem(ItemDraft, Payload):
    """``event/item``: one disposal (or one manual open), told once it has ended."""

    seq: int = Field(description="Counts the events of one boot_id from 1: a gap is a loss.")
    boot_id: str
    outcome: Outcome
    code: str = Field("", description="The controller's own word; for `interrupted`: opened, not_opened or unknown.")
    open_ms: float | None = Field(None, description="From open to shut as the controller reported them.")


class EventHappening(Payload):
    """Common to what happens without an item: told at least once, with its own id to drop repeats by."""

    id: str
    seq: int
    boot_id: str
    clock: Clock


class EventFault(EventHappening):
    """``event/fault``: sent once when a fault is raised and once when it is cleared."""

    event: Literal["raised", "cleared"]
    code: str
    severity: str
    text: str
    fix: str


class EventStop(EventHappening):
    """``event/stop``: the mushroom switch was pressed or released, a stop was latched or cleared."""

    event: StopEdge
    text: str


class EventFill(EventHappening):
    """``event/fill``: a compartment's level has changed by more than jitter, and stayed so."""

    lid: int
    category: Category | None
    full_frac: float | None = Field(description="0 (empty) to 1 (full); null: nothing measures it any more.")
    before_frac: float | None = Field(description="What was told before.")


class FaultState(BaseModel):
    """One active fault inside ``state``."""

    code: str
    severity: str
    text: str
    fix: str


class LidSnapshot(BaseModel):
    """One lid inside ``state``."""

    lid: int
    category: Category | None = None
    position: str
    full_frac: float | None = Field(None, description="As told last in ``event/fill``.")


class OpenPayload(Payload):
    """Payloads that the app fills: known keys are typed, further ones may be added at any time."""

    model_config = ConfigDict(extra="allow", frozen=True)

    boot_id: str = ""


class State(OpenPayload):
    """``state`` (retained): the full present state, on change and as heartbeat: its age tells whether the bin lives."""

    mode: Mode = Mode.AUTO
    sight: str = "unknown"
    controller: bool = Field(False, description="The controller answers.")
    stopped: bool = Field(False, description="A stop is in force; it ends by stop.clear.")
    stop_pressed: bool = Field(False, description="The stop switch itself is pressed: release it first.")
    lids: tuple[LidSnapshot, ...] = ()
    faults: tuple[FaultState, ...] = ()


class Info(OpenPayload):
    """``info`` (retained): what this bin is, at start and when it changes."""

    version: str = ""
    name: str = ""
    hardware: str = ""
    firmware: str = ""
    model: dict[str, Any] = Field(default_factory=dict, description="name, sha256, labels.")
    config: str = Field("", description="Hash of the configuration.")
    capabilities: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


class MqttHealth(BaseModel):
    """The outbox and the connection inside ``health``."""

    outbox: int = Field(0, description="Events that wait for their PUBACK.")
    dropped: int = Field(
        0, description="Events given up since the journal was made: over the cap, too old, or disk full."
    )
    dead_letters: int = Field(0, description="Events that the broker will never take.")
    reconnects: int = 0
    connected: bool = False
    commands_dropped: int = Field(0, description="Commands over the rate limit, not even answered.")


class Health(OpenPayload):
    """``health`` (retained): figures for a graph."""

    latency_ms: dict[str, float] = Field(default_factory=dict)
    tray: dict[str, int] = Field(
        default_factory=dict,
        description="What the tray showed since the start, by kind: placement, multi_item, taken_back, hand_present, ...",
    )
    fps: float | None = Field(None, description="Frames that the camera sends a second.")
    looked_fps: float | None = Field(None, description="Of these, looked at; fewer while the tray is empty.")
    frame_age_ms: float | None = None
    head_start: dict[str, int] = Field(
        default_factory=dict,
        description="Items that the model began to judge while they settled: speculated, used, discarded.",
    )
    rss_mb: float | None = None
    disk_free_mb: float | None = None
    mqtt: MqttHealth = MqttHealth()


class CommandError(BaseModel):
    """Why a command was not carried out: ``code`` for machines, ``message`` for people."""

    code: str
    message: str


class Response(Payload):
    """``rsp/<name>``: the answer to one command."""

    id: str | None = Field(description="The command's own id, null when it had none.")
    ok: bool
    error: CommandError | None = None
    data: dict[str, Any] | None = None


TOPICS: dict[str, type[Payload]] = {
    "info": Info,
    "state": State,
    "health": Health,
    "event/item": EventItem,
    "event/fault": EventFault,
    "event/stop": EventStop,
    "event/fill": EventFill,
    "rsp/{name}": Response,
}
"""Every topic that carries JSON, with its model."""


def item_draft(
    placement: Placement, verdict: Classification, decision: Decision, *, ts: str, clock: Clock
) -> ItemDraft:
    """The event of an item as far as it is known when the decision is taken."""
    command = decision.command
    return ItemDraft(
        id=placement.id,
        ts=ts,
        clock=clock,
        manual=False,
        category=decision.category,
        guess=verdict.category,
        label=_clean(verdict.label, LABEL_CHARS_MAX) if verdict.label else None,
        probability=_finite(verdict.probability),
        categories={key: _finite(p) for key, p in verdict.category_probs.items()},
        top5=tuple((_clean(x.label, LABEL_CHARS_MAX), x.index, _finite(x.probability)) for x in verdict.top5[:5]),
        margin=_finite(verdict.margin),
        agreement=_finite(verdict.agreement),
        familiarity=None if verdict.familiarity is None else _finite(verdict.familiarity),
        model=_clean(verdict.model_id, LABEL_CHARS_MAX),
        lid=command.lid if command else None,
        reason=decision.reason,
        text=_clean(decision.text, TEXT_CHARS_MAX),
        latency_ms=LatencyMs(settle=round(placement.settled_ms, 1), classify=round(verdict.took_ms, 1)),
    )


def manual_draft(request: ManualRequest, decision: Decision, *, ts: str, clock: Clock) -> ItemDraft:
    """The event of a manual open; ``lid`` is the lid asked for, opened or not."""
    return ItemDraft(
        id=request.id,
        ts=ts,
        clock=clock,
        manual=True,
        category=None,
        lid=request.lid,
        reason=decision.reason,
        text=_clean(decision.text, TEXT_CHARS_MAX),
    )


STOP_TEXTS = {
    StopEdge.PRESSED: "The stop switch was pressed: no lid moves.",
    StopEdge.RELEASED: "The stop switch was released. The stop stays latched until stop.clear.",
    StopEdge.LATCHED: "A stop is latched until stop.clear.",
    StopEdge.CLEARED: "The stop was cleared. No lid moved by that.",
}


class When(NamedTuple):
    """What stands in every happening."""

    id: str
    seq: int
    boot_id: str
    ts: str
    clock: Clock


def stop_event(edge: StopEdge, when: When) -> EventStop:
    """One edge of the stop."""
    return EventStop(**when._asdict(), event=edge, text=STOP_TEXTS[edge])


def fill_event(change: FillChange, when: When) -> EventFill:
    """One change of a level."""
    return EventFill(
        **when._asdict(),
        lid=change.lid,
        category=change.category,
        full_frac=None if change.full_frac is None else _finite(change.full_frac),
        before_frac=None if change.before_frac is None else _finite(change.before_frac),
    )


def fault_event(fault: Fault, event: Literal["raised", "cleared"], when: When) -> EventFault:
    """One edge of a fault."""
    return EventFault(
        **when._asdict(),
        event=event,
        code=_clean(fault.code, LABEL_CHARS_MAX),
        severity=fault.severity,
        text=_clean(fault.text, TEXT_CHARS_MAX),
        fix=_clean(fault.fix, TEXT_CHARS_MAX),
    )


def _finite(value: float) -> float | None:
    """JSON knows no NaN; four digits are more than a model knows."""
    return round(float(value), 4) if math.isfinite(value) else None


def _clean(text: str, limit: int) -> str:
    """At most ``limit`` characters; a file name that is no UTF-8 (lone surrogates) must not stop an event."""
    return text[:limit].encode("utf-8", "replace").decode()

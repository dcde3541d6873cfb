"""The demo as people see it (lines in a terminal) and as scripts read it (JSON lines on stdout)."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from rich.console import Console
from rich.markup import escape

COLOURS = {"recyclable": "bright_blue", "kitchen": "green", "hazardous": "red", "other": "bright_black"}


@dataclass(frozen=True, slots=True)
class ItemTold:
    """One item, with the truth beside it."""

    number: int
    item: str
    truth: str
    category: str | None
    label: str | None
    probability: float
    lid: int | None
    open_ms: float | None
    outcome: str
    text: str
    event_id: str
    latency_ms: dict[str, float | None]

    @property
    def right(self) -> bool:
        """Whether it was sorted as what it is."""
        return self.category == self.truth

    def as_json(self) -> dict[str, Any]:
        """The object that `demo --json` prints for an item."""
        return {
            "item": self.item,
            "truth": self.truth,
            "category": self.category,
            "label": self.label,
            "probability": round(self.probability, 4),
            "lid": self.lid,
            "outcome": self.outcome,
            "event_id": self.event_id,
            "latency_ms": self.latency_ms,
        }


class Show(Protocol):
    """Where the demo is told."""

    def note(self, text: str) -> None:
        """Something worth knowing before or between the items."""

    def item(self, item: ItemTold, right: int, wrong: int, unsure: int) -> None:
        """An item has ended; with the running totals."""

    def message(self, topic: str, payload: dict[str, Any]) -> None:
        """The separate subscriber received this."""

    def lamp(self, pattern: str, duration_ms: int) -> None:
        """The lamp at the bin changed."""

    def summary(self, summary: dict[str, Any]) -> None:
        """All is over."""


class JsonShow:
    """stdout is pure JSON lines: one object an item, last the summary."""

    def note(self, text: str) -> None:
        """Notes go to stderr."""
        sys.stderr.write(text + "\n")

    def item(self, item: ItemTold, right: int, wrong: int, unsure: int) -> None:  # noqa: ARG002 - totals come last
        """One line."""
        self._print(item.as_json())

    def message(self, topic: str, payload: dict[str, Any]) -> None:
        """Counted elsewhere."""

    def lamp(self, pattern: str, duration_ms: int) -> None:
        """For people."""

    def summary(self, summary: dict[str, Any]) -> None:
        """The last line."""
        self._print(summary)

    @staticmethod
    def _print(value: dict[str, Any]) -> None:
        sys.stdout.write(orjson.dumps(value).decode() + "\n")
        sys.stdout.flush()


class PersonShow:
    """A few lines an item, readable without colours and without a terminal.

    The line tells an item and the subscriber its event on two threads: the event is shown below its item, whichever came first.
    """

    def __init__(self, items: int) -> None:
        self._items = items
        self._console = Console(highlight=False, soft_wrap=True)
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self._early: dict[str, str] = {}

    def note(self, text: str) -> None:
        """One dim line."""
        with self._lock:
            self._dim(text)

    def item(self, item: ItemTold, right: int, wrong: int, unsure: int) -> None:
        """Photo, what was seen, what the lid did, the event, the totals."""
        mark = "[green]right[/]" if item.right else "[yellow]unsure[/]" if item.category is None else "[red]WRONG[/]"
        seen = _coloured(item.category) if item.category else "unsure"
        stood_open = f" for {item.open_ms / 1000:.1f} s" if item.open_ms else ""
        lid = f"lid {item.lid} opened{stood_open}" if item.lid else "all lids stayed shut"
        took = ", ".join(f"{name} {_ms(value)}" for name, value in item.latency_ms.items())
        with self._lock:
            out = self._console.print
            out()
            out(f"[bold]{item.number:>2}/{self._items}  {escape(item.item)}[/]  (truly {_coloured(item.truth)})")
            out(f"       saw     {seen} {item.probability:.0%}, label {escape(item.label or '-')}   {mark}")
            out(f"       lid     {lid}, {item.outcome}; {escape(item.text)}")
            out(f"       took    {took}")
            out(f"       so far  {right} right, {wrong} wrong, {unsure} unsure")
            self._told.add(item.event_id)
            if early := self._early.pop(item.event_id, ""):
                self._dim(early)

    def message(self, topic: str, payload: dict[str, Any]) -> None:
        """One dim line for each event; the other topics would only scroll by."""
        with self._lock:
            if topic == "event/item":
                sorted_as = payload["category"] or "unsure"
                told = (
                    f"       MQTT    {topic} {payload['id']}: {sorted_as}, lid {payload['lid']}, {payload['outcome']}"
                )
                if payload["id"] in self._told:
                    self._dim(told)
                else:
                    self._early[payload["id"]] = told
            elif topic == "event/fault":
                self._dim(f"       MQTT    {topic}: {payload['event']} {payload['code']}: {payload['text']}")
            elif topic == "event/stop":
                self._dim(f"       MQTT    {topic}: {payload['event']}: {payload['text']}")
            elif topic == "event/fill":
                change = f"from {_share(payload['before_frac'])} to {_share(payload['full_frac'])}"
                self._dim(f"       MQTT    {topic}: lid {payload['lid']} {change}")

    def lamp(self, pattern: str, duration_ms: int) -> None:
        """One dim line for each pattern."""
        if pattern != "off":
            with self._lock:
                self._dim(f"       lamp    {pattern} for {duration_ms / 1000:g} s")

    def _dim(self, text: str) -> None:
        self._console.print(text, style="dim", markup=False)

    def summary(self, summary: dict[str, Any]) -> None:
        """The end."""
        self._console.print()
        self._console.print(
            f"[bold]{summary['items']} items, {summary['correct']} sorted right[/]; "
            f"{summary['events_received']} events received by a separate subscriber through {summary['broker']}; "
            f"{summary['double_opens']} double openings."
        )


def _coloured(category: str) -> str:
    return f"[{COLOURS.get(category, 'red')}]{category or 'nothing was there'}[/]"


def _share(frac: float | None) -> str:
    return "unknown" if frac is None else f"{frac:.0%}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"  # noqa: PLR2004 - digits shown

"""The words that everybody shares: what flows along the line, frozen, with the unit in the name.

Times called ``t_s`` are seconds of one monotonic clock (``time.monotonic``); a wall-clock time is called ``at``
and is UTC. Lids are numbered from 1, as printed on the bin; only the wire counts from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""uint8, H x W x 3 in BGR order where the name says ``bgr``, H x W where it says ``grey``."""

Box = tuple[int, int, int, int]
"""(x, y, width, height) in full-frame pixels."""


class Category(str, Enum):
    """The four national categories of household waste."""

    RECYCLABLE = "recyclable"
    KITCHEN = "kitchen"
    HAZARDOUS = "hazardous"
    OTHER = "other"


class Mode(str, Enum):
    """What the bin may do of its own accord, and who may open a lid by hand."""

    AUTO = "auto"
    """Items are sorted; a remote manual open is allowed."""
    PAUSED = "paused"
    """No item opens a lid; a manual open is allowed."""
    MANUAL = "manual"
    """As paused, and ends by itself: for a person who opens lids from a dashboard."""
    MAINTENANCE = "maintenance"
    """Hands may be inside: only the local control socket may open a lid. Ends by itself."""


class Sight(str, Enum):
    """Whether the camera's picture can be trusted."""

    OK = "ok"
    UNKNOWN = "unknown"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    COVERED = "covered"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of the camera.

    ``seq`` counts what the camera sends, also what an idle line did not look at. ``grey8`` is uint8, H/8 x W/8 (rounded up),
    for watching; ``decode`` gives uint8 H x W x 3 BGR for the few frames that are classified and may raise
    `bin_daemon.errors.DeviceError` when the buffer is damaged.
    """

    seq: int
    t_s: float
    width: int
    height: int
    grey8: Image
    decode: Callable[[], Image] = field(repr=False, compare=False)

    def bgr(self) -> Image:
        """The full picture, uint8 H x W x 3, BGR; decoded on demand."""
        return self.decode()


@dataclass(frozen=True, slots=True)
class Placement:
    """One item that came to rest on the tray: ``frames`` are the views to classify (at least one, oldest first)."""

    id: str
    """UUIDv7, also the id of the event that will tell of this item."""
    t_s: float
    """Capture time of the frame on which the item counted as settled."""
    frames: tuple[Frame, ...]
    box: Box
    settled_ms: float
    """From the first still frame of the item to ``t_s``."""
    items: int = 1
    """How many things lie there that had not been counted; 2 stands for several: ``policy.multi_item`` says what then."""


class TrayKind(str, Enum):
    """What the tray can show."""

    PLACEMENT = "placement"
    """One item has come to rest."""
    MULTI_ITEM = "multi_item"
    """Several items have come to rest, or one was put on top of another."""
    HAND_PRESENT = "hand_present"
    """A hand or an arm has come over the tray."""
    TAKEN_BACK = "taken_back"
    """What lay there was taken away by hand: before it was counted, or after and no lid had moved."""
    NOT_CLEARED = "not_cleared"
    """A counted item still lies there though its lid has opened and shut, or nobody has taken it for long."""
    AT_EDGE = "at_edge"
    """A thing lies still over the region's edge: half on the tray."""
    TRAY_STAINED = "tray_stained"
    """What stays on the tray after an item has gone is a mark, not an item; it is tray from now on."""
    LENS_DIRTY = "lens_dirty"
    """The picture has become and stays blurred or veiled: dirt or fog on the lens."""
    CAMERA_MOVED = "camera_moved"
    """The whole picture is shifted or another one, and stays so: the camera or the tray was moved."""
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    COVERED = "covered"


PLACED = frozenset({TrayKind.PLACEMENT, TrayKind.MULTI_ITEM})
"""These come with a `Placement`."""


@dataclass(frozen=True, slots=True)
class TrayOutcome:
    """What the tray showed at one moment: told once when it begins, never again while it lasts."""

    kind: TrayKind
    t_s: float
    """Capture time of the frame that decided it."""
    frame_seq: int
    box: Box | None = None
    """Where, to whole cells of 8 pixels and not padded, in full-frame pixels; None when it is the whole picture or nowhere."""


@dataclass(frozen=True, slots=True)
class LabelScore:
    """One fine label with its index in the model and its probability 0..1."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True, slots=True)
class Classification:
    """What the model makes of one placement. ``category`` is None when the model could not say (``reason`` tells why)."""

    category: Category | None
    category_probs: Mapping[Category, float]
    top5: tuple[LabelScore, ...]
    margin: float
    """Probability of the best category less that of the second, 0..1."""
    agreement: float
    """Share of the frames whose own best category is the common one, 0..1. For people: a minority that sees another thing has
    already lowered the probabilities, which are means over the frames."""
    model_id: str
    took_ms: float
    t_s: float
    """When the result was there."""
    reason: str = ""
    seen: bool = True
    """False when not one picture of the item could be read: nothing was judged."""
    familiarity: float | None = None
    """Share of the model's held-out pictures that look stranger than this item, 0..1; None when the model cannot tell."""
    familiar: bool = True
    """False when the item looks like nothing the model knows, by the threshold in its bundle."""

    @property
    def label(self) -> str | None:
        """The most probable fine label of the winning category's model output, None when there is none."""
        return self.top5[0].label if self.top5 else None

    @property
    def probability(self) -> float:
        """Probability of ``category``, 0 when there is none."""
        return 0.0 if self.category is None else self.category_probs[self.category]


class LidPosition(str, Enum):
    """Where a lid is, as far as the controller knows."""

    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    FAULT = "fault"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class LidState:
    """One lid as last reported. ``full_frac`` is 0 (empty) to 1 (full), None when nothing measures it."""

    lid: int
    position: LidPosition
    full_frac: float | None = None
    closed_t_s: float | None = None
    """When the last motion ended; None when it has not moved since start."""


@dataclass(frozen=True, slots=True)
class LidsState:
    """All lids at one moment, and whether the controller answers."""

    connected: bool
    lids: Mapping[int, LidState] = field(default_factory=dict)
    stopped: bool = False
    """A stop (mushroom switch or software latch) is in force."""
    voltage_ok: bool = True
    capabilities: frozenset[str] = frozenset()
    stop_pressed: bool = False
    """The mushroom switch itself is pressed now; ``stopped`` without it: a latch that waits for stop.clear."""
    stop_presses: int = 0
    """How often it was seen to be pressed since start: a press shorter than a turn of the line counts, too."""

    @property
    def all_closed(self) -> bool:
        """True when the controller answers and every lid is known to be shut."""
        return self.connected and all(x.position is LidPosition.CLOSED for x in self.lids.values())


@dataclass(frozen=True, slots=True)
class ItemRequest:
    """Ask the policy which lid an item deserves."""

    id: str
    verdict: Classification
    mode: Mode = Mode.AUTO
    sight: Sight = Sight.OK
    age_ms: float = 0.0
    """From the item's coming to rest to the verdict."""
    items: int = 1
    """`Placement.items`."""


@dataclass(frozen=True, slots=True)
class ManualRequest:
    """Ask the policy to open one lid by hand. ``local`` is True for the control socket, False for MQTT."""

    id: str
    lid: int
    mode: Mode = Mode.AUTO
    local: bool = False
    hold_ms: int | None = None


@dataclass(frozen=True, slots=True)
class LidCommand:
    """Open one lid; the command carries its own end."""

    lid: int
    category: Category | None
    """None for a manual open."""
    hold_ms: int
    start_within_ms: int
    action_id: int
    """1..2**32 - 1, persisted with the journal row; the controller executes an action id at most once."""


class Reason(str, Enum):
    """Every `Decision.reason` of the policy, stable for machines. The first group opens a lid, the last never does."""

    SORTED = "sorted"
    """The item's own lid opens."""
    DIVERTED = "diverted"
    """Its own lids are full, broken or missing: other takes it."""
    MANUAL = "manual"
    """A person opens a lid."""

    # Unsure: opens the lid of policy.unsure_category, or none when that is 'none'.
    UNSURE_MODEL = "unsure_model"
    """The model could not say."""
    UNSURE_INVALID = "unsure_invalid"
    """The probabilities are no probabilities (NaN, negative, sum not 1)."""
    UNSURE_UNFAMILIAR = "unsure_unfamiliar"
    """The item looks like nothing the model knows (policy.min_familiarity)."""
    UNSURE_PROBABILITY = "unsure_probability"
    """Below policy.min_probability of the category."""
    UNSURE_MARGIN = "unsure_margin"
    """Too close to another category (policy.min_margin)."""
    MULTI_ITEM = "multi_item"
    """Several items lie there; policy.multi_item = "refuse" keeps all lids shut."""

    # Refused: all lids stay shut.
    PAUSED = "paused"
    MANUAL_MODE = "manual_mode"
    MAINTENANCE = "maintenance"
    SIGHT = "sight"
    """The picture cannot be trusted (dark, bright, covered, lost or not judged yet)."""
    NOT_CONNECTED = "not_connected"
    STOPPED = "stopped"
    LOW_VOLTAGE = "low_voltage"
    LID_NOT_CLOSED = "lid_not_closed"
    """Some lid is open, moving, or nobody knows: one lid at a time."""
    NO_LID = "no_lid"
    """No lid is configured for this category or number."""
    LID_UNREPORTED = "lid_unreported"
    """The controller does not tell of the wanted lid."""
    LID_FAULT = "lid_fault"
    """The wanted lid is in fault. A fault of another lid does not stop this one."""
    FULL = "full"
    COOLDOWN = "cooldown"
    TOO_LATE = "too_late"
    """The verdict took so long that something else may lie there by now."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says, and why. ``command`` is None when all lids stay shut."""

    reason: str
    """One of `Reason`, for machines."""
    text: str
    """The same for people, with the numbers that decided."""
    command: LidCommand | None
    category: Category | None = None
    """The category that the item was sorted as; None when unsure or manual."""
    unsure: bool = False


class Outcome(str, Enum):
    """How one decision ended physically."""

    CLOSED = "closed"
    """Opened and shut again."""
    REFUSED = "refused"
    """Not opened: the policy or the controller said no."""
    OBSTRUCTED = "obstructed"
    FAULT = "fault"
    NO_REPLY = "no_reply"
    UNCONFIRMED = "unconfirmed"
    """Sent to a controller that does not acknowledge."""
    UNSURE_KEPT_SHUT = "unsure_kept_shut"
    INTERRUPTED = "interrupted"
    """The daemon or the controller died in between; nothing was repeated."""


@dataclass(frozen=True, slots=True)
class LidReport:
    """What physically happened to one command. Every accepted or refused command ends in exactly one report."""

    action_id: int
    outcome: Outcome
    code: str = ""
    """The controller's own word for it (RESULT or EVENT name), for people."""
    open_ms: float | None = None
    """From OPENED to CLOSED as the controller reported them; None when it never opened."""
    wire_ms: float | None = None
    """From `open()` being called to the controller's acceptance."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something a person may have to mend. ``code`` is stable; ``fix`` is one sentence a technician can act on."""

    code: str
    severity: str
    """warning or error."""
    text: str
    fix: str


class Pattern(str, Enum):
    """What lamp and buzzer tell the person at the bin; the protocol's names in lower case."""

    OFF = "off"
    """Dark and silent."""
    ACCEPTED = "accepted"
    UNSURE = "unsure"
    FULL = "full"
    WAIT = "wait"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Signal:
    """Show this for so long; then it is dark again."""

    pattern: Pattern
    duration_ms: int


class StopEdge(str, Enum):
    """What happened to the stop."""

    PRESSED = "pressed"
    """The mushroom switch was pressed."""
    RELEASED = "released"
    """It was released; the stop stays latched until it is cleared."""
    LATCHED = "latched"
    """A stop is in force without the switch: by command, or from before we came."""
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class FillChange:
    """A compartment's level has changed and stayed so; 0..1, None: nothing measures it (any more)."""

    lid: int
    category: Category | None
    full_frac: float | None
    before_frac: float | None

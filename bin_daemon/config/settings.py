"""Every setting of the daemon: name, unit, default, bounds and reason. Sections are handed to the part that they configure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from bin_daemon.domain import Category, Pattern, Reason
from firmware_protocol.limits import (
    CAL_TRAVEL_MIN_US,
    HOLD_MAX_MS,
    HOLD_MIN_MS,
    JAM_MAX_MA,
    PULSE_MAX_US,
    PULSE_MIN_US,
)

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Cost = Annotated[float, Field(ge=0.0, le=1000.0)]


def _none_word(value: Any) -> Any:
    return None if value == "none" else value


CategoryOrNone = Annotated[
    Category | None,  # TOML has no null: the word "none" stands for it
    BeforeValidator(_none_word),
    WithJsonSchema({"enum": [*(c.value for c in Category), "none"], "type": "string"}),
]


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


OptionalPath = Annotated[Path | None, BeforeValidator(_empty_is_none)]
"""Empty text means not set; left to itself, it would be the present folder."""


def _named(value: Any) -> Any:
    if value == "":
        raise ValueError("must name a folder")
    return value


Folder = Annotated[Path, BeforeValidator(_named)]
"""As above: empty text would quietly be the present folder."""

MIN_PROBABILITY = {Category.RECYCLABLE: 0.55, Category.KITCHEN: 0.55, Category.HAZARDOUS: 0.5, Category.OTHER: 0.45}
"""other asks least, for it is the cheapest place to be wrong; hazardous asks less than food, to keep batteries out of it."""

SHOW: dict[Reason, Pattern] = {
    Reason.SORTED: Pattern.ACCEPTED,
    Reason.DIVERTED: Pattern.ACCEPTED,
    Reason.MANUAL: Pattern.ACCEPTED,
    Reason.UNSURE_MODEL: Pattern.UNSURE,
    Reason.UNSURE_INVALID: Pattern.UNSURE,
    Reason.UNSURE_UNFAMILIAR: Pattern.UNSURE,
    Reason.UNSURE_PROBABILITY: Pattern.UNSURE,
    Reason.UNSURE_MARGIN: Pattern.UNSURE,
    Reason.MULTI_ITEM: Pattern.UNSURE,
    Reason.PAUSED: Pattern.WAIT,
    Reason.MANUAL_MODE: Pattern.WAIT,
    Reason.MAINTENANCE: Pattern.WAIT,
    Reason.SIGHT: Pattern.FAULT,
    Reason.NOT_CONNECTED: Pattern.FAULT,
    Reason.STOPPED: Pattern.FAULT,
    Reason.LOW_VOLTAGE: Pattern.FAULT,
    Reason.LID_NOT_CLOSED: Pattern.WAIT,
    Reason.NO_LID: Pattern.FAULT,
    Reason.LID_UNREPORTED: Pattern.FAULT,
    Reason.LID_FAULT: Pattern.FAULT,
    Reason.FULL: Pattern.FULL,
    Reason.COOLDOWN: Pattern.WAIT,
    Reason.TOO_LATE: Pattern.WAIT,
}
"""wait: the same item will do in a moment. fault: somebody has to mend something first."""

SHOW_MS = {
    Pattern.ACCEPTED: 3000,
    Pattern.UNSURE: 4000,
    Pattern.FULL: 5000,
    Pattern.WAIT: 2000,
    Pattern.FAULT: 5000,
}
"""accepted: about as long as a lid stands open. The others must be read, and tell of something to do."""

EngineKind = Literal["auto", "torch", "onnx", "onnx-int8", "onnx-cuda", "onnx-tensorrt"]
"""What runs the network; `bin_daemon.model.engine.open_engine` says what each one is."""
PixelFormat = Literal["MJPG", "YUYV", "UYVY", "NV12", "NV21", "YU12", "YV12", "GREY"]
CoreId = Annotated[int, Field(ge=0, le=1023)]

HOLD_MS_MIN, HOLD_MS_MAX = HOLD_MIN_MS, HOLD_MAX_MS
"""The device's own clamp: shorter, and the flap would fall on the item; longer belongs to maintenance."""


class Section(BaseModel):
    """A table of the config file: unknown keys are errors, values never change after start."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BinSettings(Section):
    """Who this bin is."""

    id: str = Field("bin-1", pattern=r"^[a-z0-9_-]{1,32}$", description="Name in MQTT topics: a-z, 0-9, _ and -.")
    name: str = Field("", max_length=80, description="Name for people; empty: the id.")


class CameraSettings(Section):
    """Where frames come from."""

    source: str = Field(
        "sim:bin", description="v4l2:/dev/v4l/by-id/..., file:CLIP, dir:FOLDER, sim:WORLD?seed=1 or pkg.module:Class"
    )
    width: int = Field(1280, ge=64, le=7680, description="Wanted frame width, pixels.")
    height: int = Field(720, ge=64, le=4320, description="Wanted frame height, pixels.")
    fps: float = Field(15.0, gt=0, le=120, description="Wanted frames per second.")
    idle_fps: float = Field(
        12.0,
        ge=1,
        le=120,
        description="Frames a second that are looked at while the tray is empty and nothing differs: most in turn, the rest "
        "where a frame hints at something (a JPEG by its byte count). The camera goes on at fps. 120: all frames.",
    )
    idle_after_s: float = Field(
        3.0,
        gt=0,
        description="The tray must be empty and still for so long before idle_fps will do; a dark picture likewise.",
    )
    pixel_format: PixelFormat = Field(
        "MJPG", description="V4L2 pixel format. Another one of these that the camera insists on is taken as well."
    )
    read_timeout_s: float = Field(2.0, gt=0, le=30, description="A read that takes longer means a hung camera.")
    max_age_ms: float = Field(
        150.0, gt=0, description="Older frames are dropped (the driver may hand out stale buffers)."
    )
    frozen_frames: int = Field(30, ge=2, description="This many bit-identical frames in a row mean a dead camera.")
    loop: bool = Field(False, description="file: and dir: start again at their end.")
    paced: bool = Field(
        True, description="file: and dir: in real time; false: as fast as frames are taken (times still count by fps)."
    )


class PlacementSettings(Section):
    """When an item counts as placed."""

    roi: tuple[Fraction, Fraction, Fraction, Fraction] = Field(
        (0.0, 0.0, 1.0, 1.0), description="Region of interest: x, y, width, height as fractions of the frame."
    )
    settle_ms: float = Field(
        400.0,
        ge=50,
        le=5000,
        description="This long without motion before an item counts as settled: a thing that is let go rocks for 0.3 s.",
    )
    settle_frames: int = Field(
        3,
        ge=2,
        le=30,
        description="And at least so many frames, however slow the camera: two alike may be one that was sent twice.",
    )
    unmoved_s: float = Field(
        3.0,
        ge=0,
        le=60,
        description="What shows up while the picture rests came with no motion, as a shade of light does: it counts as an item "
        "only after so long in one outline.",
    )
    motion_grey: float = Field(
        5.0,
        gt=0,
        le=255,
        description="Grey levels by which an outline must change to count as motion; see noise_factor.",
    )
    motion_area_frac: Fraction = Field(
        0.0008,
        description="Share of the region that must move to count as motion: the smallest item, like item_area_frac.",
    )
    item_grey: float = Field(
        9.0,
        gt=0,
        le=255,
        description="Grey levels by which a third of an item must differ from the empty tray in the same light: a thing of the "
        "tray's own colour still has shade.",
    )
    weak_grey: float = Field(
        4.5,
        gt=0,
        le=255,
        description="Grey levels that still belong to an item when they hang together with item_grey.",
    )
    outline_grey: float = Field(
        3.5,
        gt=0,
        le=255,
        description="Grey levels by which an outline must exceed what soft light explains: half of an edge's contrast does.",
    )
    outline_frac: Fraction = Field(
        0.15,
        description="Share of the shortest line around a patch, a circle, that must be outline: the half-shade of a cloud meets "
        "one only here and there, a clear bottle's is broken.",
    )
    strong_frac: Fraction = Field(
        0.33,
        description="Share of the smallest item that must differ by all of item_grey: averaging at the outline weakens the rest.",
    )
    box_frac: Fraction = Field(
        0.25,
        description="Share of an item's own contrast that counts for its box: what differs less is mostly its soft shadow.",
    )
    box_factor: float = Field(
        1.2, gt=0, le=10, description="And at most so many times item_grey, or a white label would hide a grey bottle."
    )
    field_frac: Fraction = Field(
        0.02,
        description="A field counts for spread_frac when more than this share of it is outline: noise alone never is.",
    )
    look_again_s: float = Field(
        0.4,
        ge=0,
        le=5,
        description="A tray at rest is compared with the empty one only so often, seconds: an item comes with motion.",
    )
    noise_factor: float = Field(
        6.0,
        ge=0,
        le=20,
        description="No grey level above counts for less than so many times the camera's own noise, which is measured: 6 times "
        "is met by chance once in 10^9.",
    )
    item_area_frac: Fraction = Field(
        0.0008, description="Smallest item, as a share of the region: 2 cm on a tray of 30 cm by 50 cm are 0.002."
    )
    large_frac: Fraction = Field(
        0.6, description="A change of more than this share of the region is no item: the light is read off bare tray."
    )
    spread_frac: Fraction = Field(
        0.7,
        description="Outlines in more than this share of the region's 24 fields are no item: the camera or the tray was moved.",
    )
    edge_frac: Fraction = Field(
        0.03,
        description="What lies on more of the edge than this, as a share of the short side, reaches in from outside: an arm.",
    )
    wide_frac: Fraction = Field(
        0.08,
        description="Without an outline at the edge, what is wider than this share of it is a shadow and no pale sleeve.",
    )
    multi_gap_frac: Fraction = Field(
        0.04, description="Parts nearer than this share of the short side are one item: a clear bottle shows in parts."
    )
    multi_area_frac: Fraction = Field(
        0.1,
        description="What is smaller than this share of the largest thing beside it is a part of it, not a second item.",
    )
    padding_frac: Fraction = Field(
        0.05, description="The box grows by this share of its sides: thin parts and shaded edges shall be in the crop."
    )
    clear_ms: float = Field(300.0, ge=0, description="The tray must look empty this long before the next item counts.")
    left_ms: float = Field(
        1000.0, ge=0, description="A counted item that rests this long after the lids shut did not fall: not_cleared."
    )
    left_unopened_s: float = Field(
        10.0,
        ge=1,
        description="A counted item for which no lid moved (unsure, refused) is told as not_cleared after this long.",
    )
    lid_open_s: float = Field(
        4.0,
        ge=0,
        description="Without lid reports: what lies in a counted item's place counts only after this long, unless a hand brought "
        "it; until then it may be an open lid or the bare shaft.",
    )
    hand_s: float = Field(
        1.5,
        gt=0,
        description="What reaches over the edge for longer is told as hand_present: to put an item down takes less.",
    )
    dip_s: float = Field(
        0.5,
        gt=0,
        description="A hand that was over the tray for so long and left nothing is told as hand_present when it has gone; "
        "what passes through the picture takes less.",
    )
    edge_s: float = Field(
        1.5,
        gt=0,
        description="What stays over the edge, still, for so long after a hand has drawn back is told as at_edge.",
    )
    edge_still_s: float = Field(
        3.0,
        gt=0,
        description="What keeps wholly still over the edge for so long is told as at_edge anyway: no hand does.",
    )
    sight_s: float = Field(
        1.0,
        ge=0,
        description="A picture too dark, too bright or covered for so long is told: an exposure may overshoot.",
    )
    view_s: float = Field(
        2.5, gt=0, description="Another view that stays still for so long is told as camera_moved and learnt."
    )
    stuck_s: float = Field(
        60.0,
        gt=0,
        description="What lies still over the edge, or a veil on the lens, for so long is tray from then on: the bin shall work. "
        "It has been told long before.",
    )
    lens_s: float = Field(
        4.0, gt=0, description="A tray that stays blurred for so long is told as lens_dirty: breath is gone sooner."
    )
    clarity_frac: Fraction = Field(
        0.65, description="Share of the tray's own texture that must be left; below it the lens is dirty or fogged."
    )
    told_s: float = Field(
        60.0, gt=0, description="How long camera_moved stays a fault: the new view is learnt, but somebody should look."
    )
    gap_s: float = Field(
        2.0,
        gt=0,
        description="After a longer pause between two frames nothing of the past rest counts: the camera was away.",
    )
    background_s: float = Field(
        20.0,
        gt=0,
        description="Time constant of the empty-tray model, seconds: slower than any item, faster than the sun.",
    )
    dark_grey: float = Field(16.0, ge=0, le=255, description="Mean grey below this: too dark to judge.")
    bright_grey: float = Field(245.0, ge=0, le=255, description="Mean grey above this: too bright to judge.")
    flat_std: float = Field(2.0, ge=0, description="Grey spread below this: the lens is covered.")
    views: int = Field(1, ge=1, le=8, description="Frames of one placement to classify and average.")


class ModelSettings(Section):
    """Which model judges, and how it runs."""

    bundle: OptionalPath = Field(None, description="Bundle folder; empty: the active bundle of the state directory.")
    engine: EngineKind = Field(
        "auto",
        description="auto: on an NVIDIA GPU the first of onnx-tensorrt, onnx-cuda and torch that is installed and works; "
        "else onnx: ONNX Runtime on the CPU. Never onnx-int8, which `bin-daemon model export --engine onnx-int8` makes.",
    )
    threads: int = Field(
        0,
        ge=0,
        le=64,
        description="Inference threads; 0: one for each of model.cores, without them cores - 1, at least one.",
    )
    cores: tuple[CoreId, ...] = Field(
        (), description="CPU cores that inference stays on, such as [2, 3]; empty: wherever there is room."
    )
    label_overrides: dict[str, Category] = Field(
        default_factory=dict, description="Site rule: label or index -> category, applied where labels are summed."
    )


class PolicySettings(Section):
    """When the model's word is good enough to open a lid."""

    min_probability: dict[Category, Fraction] = Field(
        default_factory=MIN_PROBABILITY.copy,
        description="Least probability per category; below it an item is unsure. Categories left out keep their default.",
    )
    min_margin: Fraction = Field(
        0.1, description="Least lead over each category, but those over which leaning this way is the cheaper mistake."
    )
    min_familiarity: Fraction | None = Field(
        None,
        description="Items that look stranger to the model than all but this share of its held-out pictures are unsure; 0: "
        "never for that; left out: the threshold in the model's bundle.",
    )
    cost: dict[Category, dict[Category, Cost]] = Field(
        default_factory=dict,
        description="cost.TRUE.SORTED: price of sorting TRUE as SORTED. Cells left out keep the built-in value.",
    )
    unsure_category: CategoryOrNone = Field(Category.OTHER, description="Where doubt goes; 'none' keeps all lids shut.")
    multi_item: Literal["refuse", "unsure_category"] = Field(
        "refuse",
        description="Several items at once: refuse keeps all lids shut and asks for one at a time: they may belong apart; "
        "unsure_category treats them as one item in doubt.",
    )
    cooldown_ms: float = Field(
        500.0,
        ge=0,
        description="Rest between a lid's closing and the next opening; shorter than placement.clear_ms + settle_ms, so that "
        "no item is refused for coming quickly.",
    )
    hold_ms: int = Field(2500, ge=HOLD_MS_MIN, le=HOLD_MS_MAX, description="How long a lid stays open.")
    decide_within_ms: float = Field(
        10_000.0,
        ge=500,
        description="A verdict that took longer (a model that hung) opens nothing: something else may lie there by now.",
    )
    start_within_ms: int = Field(1500, ge=100, le=10000, description="A lid that could not start by then stays shut.")
    full_frac: Fraction = Field(0.95, description="Fill level at which a compartment counts as full.")
    when_full: Literal["other", "keep_shut"] = Field(
        "other",
        description="Where recyclable and kitchen items go when their own lids cannot; hazardous never goes elsewhere.",
    )
    manual_timeout_s: float = Field(300.0, gt=0, description="manual and maintenance modes end after this long.")

    @field_validator("min_probability")
    @classmethod
    def _complete(cls, value: dict[Category, float]) -> dict[Category, float]:
        return {**MIN_PROBABILITY, **value}


class SignalsSettings(Section):
    """What lamp and buzzer tell the person at the bin. A controller without them is told nothing."""

    show: dict[Reason, Pattern] = Field(
        default_factory=SHOW.copy,
        description="Reason of the decision (as in event/item) -> accepted, unsure, full, wait, fault or off. Reasons left out "
        "keep their default. stopped, low_voltage, sight, lid_fault, full, paused, manual_mode and maintenance are shown for as "
        "long as they last, too.",
    )
    duration_ms: dict[Pattern, Annotated[int, Field(ge=100, le=60_000)]] = Field(
        default_factory=SHOW_MS.copy,
        description="How long a pattern is shown for one item. Patterns left out keep their default.",
    )

    @field_validator("show")
    @classmethod
    def _every_reason(cls, value: dict[Reason, Pattern]) -> dict[Reason, Pattern]:
        return {**SHOW, **value}

    @field_validator("duration_ms")
    @classmethod
    def _every_pattern(cls, value: dict[Pattern, int]) -> dict[Pattern, int]:
        if Pattern.OFF in value:
            raise ValueError("off has no duration")
        return {**SHOW_MS, **value}


class LidSettings(Section):
    """One lid: its number on the bin and what goes in."""

    lid: int = Field(ge=1, le=16, description="Number printed on the bin, from 1.")
    category: Category = Field(description="What goes in: recyclable, kitchen, hazardous or other.")
    hold_ms: int | None = Field(
        None, ge=HOLD_MS_MIN, le=HOLD_MS_MAX, description="Overrides policy.hold_ms for this lid."
    )
    empty_mm: int | None = Field(None, ge=50, le=5000, description="Fill sensor reading of the empty compartment, mm.")
    full_mm: int | None = Field(None, ge=20, le=5000, description="Fill sensor reading of the full compartment, mm.")


class CalibrationSettings(Section):
    """One lid's servo, as `bin-daemon lid calibrate N` measured it; a table ``[calibration.N]``, N as printed on the bin."""

    open_us: int = Field(ge=PULSE_MIN_US, le=PULSE_MAX_US, description="Servo pulse of the open lid, microseconds.")
    closed_us: int = Field(ge=PULSE_MIN_US, le=PULSE_MAX_US, description="Servo pulse of the shut lid, microseconds.")
    speed_us_per_20ms: int = Field(
        20, ge=1, le=255, description="The pulse moves at most so many microseconds each 20 ms: how fast the lid goes."
    )
    jam_ma: int = Field(
        900, ge=0, le=JAM_MAX_MA, description="A servo that draws more than this, mA, is jammed; 0: not watched."
    )
    uid: str = Field(
        "",
        pattern=r"^([0-9a-f]{12})?$",
        description="Controller board on which this was measured, 12 hexadecimal digits; empty: written by hand.",
    )
    measured: str = Field(
        "", pattern=r"^(\d{4}-\d{2}-\d{2})?$", description="Day of the measurement, as 2026-11-24; for people."
    )

    @property
    def travel_s(self) -> float:
        """The pulse's way from end to end, seconds."""
        return abs(self.open_us - self.closed_us) / self.speed_us_per_20ms * 0.02

    @model_validator(mode="after")
    def _travels(self) -> CalibrationSettings:
        if abs(self.open_us - self.closed_us) < CAL_TRAVEL_MIN_US:
            raise ValueError(
                f"open_us and closed_us must lie at least {CAL_TRAVEL_MIN_US} apart ({self.open_us}, {self.closed_us})"
            )
        return self


LidNumber = Annotated[int, Field(ge=1, le=16)]
MaestroChannel = Annotated[int, Field(ge=0, le=23)]


class MaestroSettings(Section):
    """A Pololu Maestro: what controller.kind = "maestro" needs to know. It must be set up alike in the Maestro Control Center."""

    channels: tuple[MaestroChannel, ...] = Field(
        tuple(range(16)), min_length=1, max_length=16, description="Maestro channel of lid 1, of lid 2 and so on."
    )
    timeout_s: float = Field(
        2.0,
        ge=0.5,
        le=3.0,
        description="Timeout of the Serial Settings, seconds: a silent host leaves shut lids. Seen at work at every start, which "
        "takes as long.",
    )
    device: Annotated[int, Field(ge=0, le=127)] | None = Field(
        None,
        description="Device number, where several Pololu boards share one serial line; left out: compact protocol.",
    )
    crc: bool = Field(False, description="Serial Settings, Enable CRC: for a serial line; USB has a CRC of its own.")
    stop_channel: MaestroChannel | None = Field(
        None,
        description="Channel (mode Input) of the stop switch: 5 V through its opening contact, pulled down: a broken wire is a "
        "stop. Left out: no switch.",
    )


class ControllerSettings(Section):
    """The servo controller's serial line."""

    kind: Literal["smartbin", "maestro"] = Field(
        "smartbin",
        description="smartbin: the firmware of this project. maestro: a Pololu Maestro, which confirms nothing and feels no jam "
        "and no finger; its lids need [calibration.N] tables.",
    )
    port: str = Field("sim://bin", description="/dev/serial/by-id/..., sim://WORLD or any pyserial URL.")
    baud: int = Field(115200, ge=9600, le=1_000_000, description="Line speed; the firmware is built for 115200.")
    telemetry_ms: int = Field(500, ge=50, le=10000, description="Wanted telemetry period while idle.")
    maestro: MaestroSettings = Field(
        MaestroSettings(), description='How a Pololu Maestro is wired and set up; only for kind = "maestro".'
    )


class MqttSettings(Section):
    """The broker. Empty host: events stay in the journal, nothing is published."""

    host: str = Field("", description="Broker name or address; empty: no MQTT.")
    port: int = Field(1883, ge=1, le=65535, description="Usually 1883, and 8883 with TLS.")
    username: str = Field("", description="Login; empty: none.")
    password: SecretStr = Field(
        SecretStr(""),
        description="Better as a systemd credential named mqtt.password; a file with it must not be world-readable.",
    )
    base: str = Field("smartbin", pattern=r"^[^/#+\s][^#+\s]*$", description="Topic base before /<bin_id>.")
    client_id: str = Field("", max_length=64, description="Empty: smartbin-<bin_id>.")
    keepalive_s: int = Field(
        30, ge=2, le=600, description="A broker that hears nothing for 1.5 times this says offline for us."
    )
    state_interval_s: float = Field(60.0, gt=0, description="state and health are sent at least this often.")
    tls: bool = Field(False, description="Encrypt, and check the broker's certificate.")
    ca_file: OptionalPath = Field(
        None, description="Who signed the broker's certificate; empty: the system's authorities."
    )
    cert_file: OptionalPath = Field(None, description="Certificate of this bin (PEM), with key_file.")
    key_file: OptionalPath = Field(None, description="Private key of this bin (PEM), readable by the daemon alone.")


class JournalSettings(Section):
    """Journal and outbox on disk."""

    max_rows: int = Field(100_000, ge=100, description="Unsent events kept; the oldest beyond are dropped and counted.")
    max_age_days: float = Field(
        30.0,
        gt=0,
        description="Journal rows and unsent events are kept this long; unsent ones that are dropped are counted.",
    )


class FillSettings(Section):
    """When a change of a compartment's level is told."""

    step_frac: float = Field(
        0.05, gt=0, le=1, description="A level that differs by less from what was told last is jitter, and not told."
    )
    settle_s: float = Field(
        10.0,
        ge=0,
        le=3600,
        description="A changed level must stay so for this long, with the lid shut: no lid tells of more than one in this time.",
    )


class ServiceSettings(Section):
    """Life as a service."""

    state_dir: Folder = Field(Path("/var/lib/bin-daemon"), description="Journal, models, caches.")
    runtime_dir: Folder = Field(Path("/run/bin-daemon"), description="Control socket and lock.")
    ready_timeout_s: float = Field(60.0, gt=0, description="READY after this long even when degraded.")
    stale_s: float = Field(10.0, gt=0, description="A worker without a sign of life for this long stops the watchdog.")


class LogSettings(Section):
    """What is logged and how."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    format: Literal["auto", "human", "json"] = Field(
        "auto", description="auto: human in a terminal, JSON under systemd."
    )


class PrivacySettings(Section):
    """What leaves the bin."""

    publish_images: bool = Field(False, description="Publish the last item's picture; snapshot works only when true.")


class Settings(Section):
    """The whole configuration file."""

    config_version: Literal[1] = Field(1, description="Layout of this file.")
    bin: BinSettings = BinSettings()
    camera: CameraSettings = CameraSettings()
    placement: PlacementSettings = PlacementSettings()
    model: ModelSettings = ModelSettings()
    policy: PolicySettings = PolicySettings()
    signals: SignalsSettings = SignalsSettings()
    lids: tuple[LidSettings, ...] = (
        LidSettings(lid=1, category=Category.RECYCLABLE),
        LidSettings(lid=2, category=Category.KITCHEN),
        LidSettings(lid=3, category=Category.HAZARDOUS),
        LidSettings(lid=4, category=Category.OTHER),
    )
    calibration: dict[LidNumber, CalibrationSettings] = Field(
        default_factory=dict,
        description="Servo calibration by lid number; left out: what the controller board has stored. Written by `bin-daemon lid "
        "calibrate N` into conf.d/50-calibration.toml.",
    )
    controller: ControllerSettings = ControllerSettings()
    fill: FillSettings = FillSettings()
    mqtt: MqttSettings = MqttSettings()
    journal: JournalSettings = JournalSettings()
    service: ServiceSettings = ServiceSettings()
    log: LogSettings = LogSettings()
    privacy: PrivacySettings = PrivacySettings()

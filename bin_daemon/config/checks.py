"""What no single key can tell: values that contradict each other, or files that are not there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bin_daemon.domain import Category

if TYPE_CHECKING:
    from bin_daemon.config.positions import KeyPath
    from bin_daemon.config.settings import ModelSettings, MqttSettings, Settings

PLAIN_PORT = 1883
TLS_PORT = 8883
MAESTRO_TRAVEL_S = 5.0
"""Its start waits for lids that stood open, and must be done before service.stale_s."""
MAESTRO_SLACK_S = 2.0
"""All else that a start does."""
_OTHERS_MAY_READ = 0o004


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction: an error, or a warning where a bin may well be meant so."""

    path: KeyPath
    text: str
    is_error: bool = True


def cross_check(settings: Settings) -> Iterator[Finding]:
    """Every contradiction in otherwise valid settings."""
    yield from _lids(settings)
    yield from _maestro(settings)
    yield from _policy(settings)
    yield from _sight(settings)
    yield from _cores(settings.model)
    yield from _broker(settings.mqtt)
    yield from _characters(settings)
    if settings.service.stale_s <= settings.camera.read_timeout_s:
        yield Finding(
            ("service", "stale_s"),
            f"must be more than camera.read_timeout_s ({settings.camera.read_timeout_s:g}), "
            f"or a slow camera restarts the daemon (got {settings.service.stale_s:g})",
        )


def _characters(settings: Settings) -> Iterator[Finding]:
    """NUL and its like: the system's calls end at it, MQTT forbids it in topics, terminals obey it; half a surrogate pair
    (a byte of an environment variable that is no UTF-8) can never be told of.
    """
    for path, value in leaves(settings.model_dump()):
        texts = [x for x in (str(path[-1]), str(value)) if any(_is_control(c) for c in x)]
        if texts:
            yield Finding(path, f"holds a control character (got {texts[0][:80]!r})")


def _is_control(character: str) -> bool:
    return character < " " or character == "\x7f" or "\ud800" <= character <= "\udfff"


def leaves(tree: Any, prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Each effective value with its path; a list of plain values is one value."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from leaves(value, (*prefix, str(getattr(key, "value", key))))
    elif isinstance(tree, (list, tuple)) and tree and isinstance(tree[0], Mapping):
        for index, value in enumerate(tree):
            yield from leaves(value, (*prefix, index))
    else:
        yield prefix, tree


def _lids(settings: Settings) -> Iterator[Finding]:
    seen: dict[int, int] = {}
    for index, lid in enumerate(settings.lids):
        if lid.lid in seen:
            yield Finding(("lids", index, "lid"), f"lid {lid.lid} is there twice (also lids[{seen[lid.lid]}])")
        seen.setdefault(lid.lid, index)
        if (lid.empty_mm is None) != (lid.full_mm is None):
            yield Finding(("lids", index), "empty_mm and full_mm belong together: give both or none")
        elif lid.empty_mm is not None and lid.full_mm is not None and lid.full_mm >= lid.empty_mm:
            yield Finding(
                ("lids", index, "full_mm"),
                f"must be less than empty_mm: the sensor looks down from the lid (got {lid.full_mm}, empty_mm {lid.empty_mm})",
            )
    if not settings.lids:
        yield Finding(("lids",), "a bin needs at least one [[lids]] table")
    for number in settings.calibration:
        if number not in seen and seen:
            text = f"there is no lid {number} in [[lids]]: this calibration is not used"
            yield Finding(("calibration", str(number)), text, is_error=False)


def _maestro(settings: Settings) -> Iterator[Finding]:
    """A Maestro knows nothing of lids: all that our own controller keeps by itself must be here."""
    maestro = settings.controller.maestro
    if settings.controller.kind != "maestro":
        return
    proof_s = maestro.timeout_s + MAESTRO_TRAVEL_S + MAESTRO_SLACK_S
    if settings.service.stale_s < proof_s:
        text = f"must be at least {proof_s:g} with this Maestro, whose start may take so long (got {settings.service.stale_s:g})"
        yield Finding(("service", "stale_s"), text)
    taken = {} if maestro.stop_channel is None else {maestro.stop_channel: "the stop switch"}
    for index, lid in enumerate(settings.lids):
        if lid.lid > len(maestro.channels):
            text = f"names no channel for lid {lid.lid}: it lists those of lid 1, lid 2 and so on"
            yield Finding(("controller", "maestro", "channels"), text)
        elif (channel := maestro.channels[lid.lid - 1]) in taken:
            text = f"channel {channel} is there for lid {lid.lid} and for {taken[channel]}"
            yield Finding(("controller", "maestro", "channels"), text)
        else:
            taken[channel] = f"lid {lid.lid}"
        calibration = settings.calibration.get(lid.lid)
        if calibration is None:
            text = f"needs a table [calibration.{lid.lid}] with open_us and closed_us: a Maestro stores none"
            yield Finding(("lids", index), text)
        elif (travel_s := calibration.travel_s) > MAESTRO_TRAVEL_S:
            text = f"takes {travel_s:.1f} s from end to end, at most {MAESTRO_TRAVEL_S:g} s with a Maestro"
            yield Finding(("calibration", str(lid.lid), "speed_us_per_20ms"), text)


def _policy(settings: Settings) -> Iterator[Finding]:
    served = {x.category for x in settings.lids}
    doubt = settings.policy.unsure_category
    if doubt is not None and doubt not in served and served:
        text = f'no lid takes {doubt.value}; name a category that has one, or "none" to keep all shut'
        yield Finding(("policy", "unsure_category"), text)
    for category in Category:
        if category not in served and served:
            stays = (
                category is Category.HAZARDOUS or Category.OTHER not in served or settings.policy.when_full != "other"
            )
            goes = "stay on the tray" if stays else "go to other"
            yield Finding(("lids",), f"no lid takes {category.value}: such items {goes}", is_error=False)
    for true, row in settings.policy.cost.items():
        if row.get(true):
            text = f"must be 0 or left out: being right costs nothing (got {row[true]:g})"
            yield Finding(("policy", "cost", true.value, true.value), text)


def _sight(settings: Settings) -> Iterator[Finding]:
    x, y, width, height = settings.placement.roi
    if width == 0 or height == 0 or x + width > 1 or y + height > 1:
        got = ", ".join(f"{v:g}" for v in settings.placement.roi)
        text = f"x, y, width, height must lie inside the frame: x + width and y + height at most 1 (got {got})"
        yield Finding(("placement", "roi"), text)
    dark, bright = settings.placement.dark_grey, settings.placement.bright_grey
    if dark >= bright:
        yield Finding(("placement", "dark_grey"), f"must be less than bright_grey (got {dark:g} and {bright:g})")


def _cores(model: ModelSettings) -> Iterator[Finding]:
    """Whether the cores exist is asked at start, for a config may be checked on another machine."""
    if len(set(model.cores)) != len(model.cores):
        yield Finding(("model", "cores"), f"names a core twice (got {list(model.cores)})")
    elif model.cores and model.threads > len(model.cores):
        text = f"more threads than cores wait for each other: at most {len(model.cores)} here (got {model.threads})"
        yield Finding(("model", "threads"), text)


def _broker(mqtt: MqttSettings) -> Iterator[Finding]:
    files = {"ca_file": mqtt.ca_file, "cert_file": mqtt.cert_file, "key_file": mqtt.key_file}
    for key, file in files.items():
        if file is None:
            continue
        if not mqtt.tls:
            yield Finding(("mqtt", key), "is of no use without tls = true")
        elif not file.is_file():
            yield Finding(("mqtt", key), f'no such file (got "{file}")')
        elif not os.access(file, os.R_OK):
            yield Finding(("mqtt", key), f'may not be read by this user (got "{file}")')
        elif key == "key_file" and file.stat().st_mode & _OTHERS_MAY_READ:
            yield Finding(("mqtt", key), f"everybody on this machine can read this key; run: chmod o-r {file}")
    if (mqtt.cert_file is None) != (mqtt.key_file is None):
        yield Finding(("mqtt", "cert_file" if mqtt.cert_file else "key_file"), "cert_file and key_file belong together")
    if mqtt.host and mqtt.port == (PLAIN_PORT if mqtt.tls else TLS_PORT):
        usual, state = (TLS_PORT, "on") if mqtt.tls else (PLAIN_PORT, "off")
        yield Finding(
            ("mqtt", "port"), f"{mqtt.port} with tls {state} is unusual: most brokers use {usual}", is_error=False
        )
    if not mqtt.host and (mqtt.username or mqtt.password.get_secret_value()):
        yield Finding(("mqtt", "host"), "is empty: nothing is published, the login is of no use", is_error=False)

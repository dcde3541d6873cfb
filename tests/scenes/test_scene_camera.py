"""The camera model's figures: each setting does what its name and unit say, and nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bin_daemon.sensing.decode import to_grey8
from bin_daemon.sim.suite.lens import Fog, Knock, Lens
from bin_daemon.sim.suite.light import Lamp, Lights, Passer, Sunrise
from bin_daemon.sim.suite.sensor import Exposure, Sensor, SensorSettings, Shot, dc_step
from bin_daemon.sim.suite.stage import SHRINK, Stage, play

SIZE = (640, 480)
GREY = 120


def _small(grey: int = GREY) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((SIZE[1] // SHRINK, SIZE[0] // SHRINK), grey, np.uint8)


def _stage(settings: SensorSettings) -> Stage:
    return Stage(SIZE, ("plastic", 0), Lights([], SIZE), Lens(SIZE), settings)


def test_noise_has_the_stated_spread() -> None:
    """One pixel's noise is as stated at gain 1 and doubles at gain 4; a mean of 64 pixels has far less."""
    sensor = Sensor(SensorSettings(noise_grey=4.0, jpeg_quality=100), SIZE)
    full = np.full((SIZE[1], SIZE[0], 3), GREY // 4, np.uint8)
    quiet = sensor.bgr(full, 4.0, Shot(0, 1.0, (0, 0)))[..., 1].astype(float)
    loud = sensor.bgr(full, 1.0, Shot(0, 4.0, (0, 0)))[..., 1].astype(float)
    assert quiet.std() == pytest.approx(4.1, abs=0.5)
    assert loud.std() == pytest.approx(2 * quiet.std(), rel=0.1)
    assert 0.3 < sensor.grey8(_small(), 1.0, Shot(0, 1.0, (0, 0))).astype(float).std() < 2.0


def test_flicker_makes_bands_of_the_stated_depth_that_roll() -> None:
    """Rows follow twice the mains; at 30 frames a second the bands stand elsewhere in the next frame."""
    sensor = Sensor(SensorSettings(flicker=0.1, noise_grey=0.0), SIZE)
    rows = [sensor.grey8(_small(), 1.0, Shot(t, 1.0, (0, 0))).mean(axis=1) for t in (0.0, 1 / 30)]
    assert (rows[0].max() - rows[0].min()) / 2 / GREY == pytest.approx(0.1, abs=0.015)
    assert abs(float(np.corrcoef(rows[0], rows[1])[0, 1])) < 0.95


def test_white_drift_changes_colour_and_not_luma() -> None:
    """A grey thing becomes warmer or cooler and stays as bright."""
    sensor = Sensor(SensorSettings(white_drift=0.1, noise_grey=0.0, jpeg_quality=100), SIZE)
    full = np.full((SIZE[1], SIZE[0], 3), GREY, np.uint8)
    still, drifted = (sensor.bgr(full, 1.0, Shot(t, 1.0, (0, 0))) for t in (0.0, 41 / 4))
    assert float(drifted[..., 2].mean()) == pytest.approx(1.1 * GREY, abs=2)
    assert float(to_grey8(drifted).mean()) == pytest.approx(float(to_grey8(still).mean()), abs=1.0)


@pytest.mark.parametrize(("quality", "step"), [(50, 2), (25, 4)])
def test_a_bad_jpeg_steps_by_its_table(quality: int, step: int) -> None:
    """Means of blocks come in the quantiser's steps, and are those that the encoder itself makes of the full picture."""
    assert dc_step(quality) == step
    sensor = Sensor(SensorSettings(noise_grey=0.0, jpeg_quality=quality), SIZE)
    blocks = np.linspace(60, 180, SIZE[0] // 8).astype(np.uint8)
    full = np.tile(np.repeat(blocks, 8), (SIZE[1], 1))
    small = sensor.grey8(np.ascontiguousarray(full[::SHRINK, ::SHRINK]), 1.0, Shot(0, 1.0, (0, 0)))
    steps = {int(s) for s in np.diff(np.unique(small))}
    assert min(steps) == step
    assert all(s % step == 0 for s in steps)
    sent = to_grey8(sensor.bgr(np.dstack((full, full, full)), 1.0, Shot(0, 1.0, (0, 0))))
    assert np.abs(sent.astype(float) - small).mean() < 0.6


def test_exposure_comes_to_its_target_and_overshoots_when_late() -> None:
    """A slow loop settles without overshoot; a fast one that sees old frames swings beyond its target, then settles."""
    means: dict[str, list[float]] = {}
    for name, settings in {
        "slow": SensorSettings(exposure_tau_s=0.5, exposure_delay_s=0.0),
        "late": SensorSettings(exposure_tau_s=0.2, exposure_delay_s=0.2),
    }.items():
        exposure = Exposure(settings, settings.exposure_target)
        means[name] = []
        for _ in range(120):
            means[name].append(min(255.0, 70 * exposure.at(0)))
            exposure.saw(means[name][-1], 1 / 15)
    assert means["slow"][-1] == pytest.approx(125, rel=0.05)
    assert max(means["slow"]) < 127
    assert max(means["late"]) > 135
    assert means["late"][-1] == pytest.approx(125, rel=0.1)


def test_lost_and_doubled_frames_come_at_their_share() -> None:
    """Sequence numbers leave gaps for lost frames; a doubled one shows the very picture before, later."""
    settings = SensorSettings(lost_share=0.2, doubled_share=0.1)
    frames = list(play(_stage(settings), 15, 40, seed=1))
    assert len(frames) / 600 == pytest.approx(0.8, abs=0.05)
    doubled = sum(a.grey8 is b.grey8 for a, b in itertools.pairwise(frames))
    assert doubled / 600 == pytest.approx(0.1, abs=0.04)
    assert all(b.seq > a.seq and b.t_s == b.seq / 15 for a, b in itertools.pairwise(frames))


def test_a_lamp_is_switched_within_a_frame() -> None:
    """The frame of the switching shows both lights, row by row; the next one only the new light."""
    lights = Lights([Lamp((1.0,), 0.5)], SIZE)
    assert lights.at(0.9) == 1.0
    during, after = np.asarray(lights.at(1.0 - 0.011)), np.asarray(lights.at(1.01))
    assert during[0].max() == 1.0
    assert during[-1].min() > 1.2
    assert after.min() > 1.2


def test_sunrise_and_passers_change_the_light_as_told() -> None:
    """From the stated dark to full light; a passer's shadow has its depth, comes from its side and leaves."""
    sunrise = Lights([Sunrise(0, 100, dark=0.2)], SIZE)
    assert float(np.mean(sunrise.at(0))) == pytest.approx(0.2, abs=0.01)
    assert float(np.mean(sunrise.at(100))) > 0.99
    passer = Lights([Passer(1, 2, depth=0.4)], SIZE)
    assert passer.at(0.5) == passer.at(3.5) == 1.0
    assert float(np.min(passer.at(2.0))) == pytest.approx(0.6, abs=0.03)
    early = np.asarray(passer.at(1.6))
    assert early[:, 0].mean() < early[:, -1].mean()


def test_fog_takes_contrast_and_a_knock_moves_boxes_with_the_picture() -> None:
    """Fog takes its share of the contrast; a mark is seen after the knock where the moved box says."""
    picture = _small(60)
    picture[40:60, 50:90] = 200
    fog = Lens(SIZE, fog=Fog(0, 1, 10, loss=0.8, blur_px=4)).through(picture, 5, SHRINK)
    assert int(fog.max()) - int(fog.min()) == pytest.approx(0.2 * 140, abs=6)
    lens = Lens(SIZE, knock=Knock(2, 40, -24, 3))
    assert lens.box((200, 160, 160, 80), 1) == (200, 160, 160, 80)
    x, y, w, h = (v // SHRINK for v in lens.box((200, 160, 160, 80), 9))
    moved = lens.through(picture, 9, SHRINK) > 130
    assert moved[y : y + h + 1, x : x + w + 1].sum() == moved.sum() > 700

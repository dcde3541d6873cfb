"""The empty tray as the camera sees it, and what differs from it whatever lamps, clouds, exposure and a veil on the lens do.

Light is soft: within a small window it changes the tray's picture by a factor and an offset, no more. So the tray's picture is
fitted to what is seen, window by window (the local linear model of He, Sun and Tang's guided filter, 2010), and what the fit
leaves over has an outline: an item or a hand, never a cloud, a lamp or an exposure that hunts. Outlines say *that* something lies
there; *what* belongs to it is told by the difference to the tray in the light of its surroundings (`in_same_light`).
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.domain import Image

    Grey = NDArray[np.float32]
    Mask = NDArray[np.bool_]

CLIPPED_GREY = 250
"""From here on a sensor may be saturated: dimmer light leaves such a place as bright as before, which means nothing."""

CLIPPED_FRAC = 0.02
"""With more than this share saturated, texture is lost to the exposure and not to the lens."""

SAMPLE_STEP = 3
"""Every third pixel in both directions is plenty for a median."""

GAIN_RANGE = (0.2, 5.0)
"""A factor beyond this is not light but another picture."""

DARKEST_GAIN = 0.5
"""Contrast is lifted for light down to this factor; beyond, the sensor's noise would be lifted into view as well."""

WINDOW_FRAC = 0.1
"""Side of a window as a share of the region's short side: an outline shows in it, a soft shadow's edge does not."""

SURROUNDINGS_FRAC = 0.35
"""Side of the window from which the light on a thing is taken, as a share of the short side."""

FACTOR_RANGE = (0.45, 2.2)
"""A window's factor against the whole picture's. Less is no light: something covers the tray's texture, or some tray has gone.
A veil that takes more is told by `Reference.clarity`."""

SHOULDER_GREY = 215.0
"""From here on the tone curve flattens: texture may lose all of its contrast to bright light."""

GLARE_GREY = 238
GLARE_MEAN_GREY = 225
"""A cell from the one on, in a window of the other mean, is partly saturated, and so is what lies around: it tells nothing."""

TEXTURE_VARIANCE = 12.0
"""Grey levels squared; where the tray has less texture, the light's factor is the picture's own and only the offset is fitted."""


FIELDS = (4, 6)
"""Rows and columns of fields into which the region is divided where it matters whether something is everywhere."""

LEAST_FIELDS = 10
CLEAR_FIELDS = 0.7
"""Fields with texture that are needed to judge the lens, and the share of them that may have lost some for other reasons."""

ALIKE = 0.75
"""Correlation of two pictures' texture from which they show the same view."""

BAND_FRAC = 0.3
LEAST_BAND_FRAC = 0.02
"""Bands of mains flicker, against those in the reference, change rows by so much at the most; below the lesser nothing is gained
by taking them out."""

LEAST_TEXTURE_VARIANCE = 4.0
"""Grey levels squared; a tray with less, edges and all, says nothing about the lens."""

SHARP_MEMORY = 100.0
"""How many times slower than the model the memory of the clean lens fades: fog must not become the measure."""


def smooth(grey8: Image) -> Grey:
    """Mean of 3 x 3, float32: noise of single pixels is worth nothing here."""
    return np.asarray(cv2.blur(grey8, (3, 3)), np.float32)


def odd_cells(share: float, shape: tuple[int, ...]) -> int:
    """An odd number of cells, at least 5: a share of the short side."""
    return max(5, 2 * round(share * min(shape) / 2) + 1)


def _lift(gain: float) -> float:
    """Back to the grey levels of the reference's light where it has become darker: an item's contrast fades with the lamp."""
    return 1.0 / min(1.0, max(gain, DARKEST_GAIN))


def _power(relief: Grey) -> Grey:
    rows, columns = FIELDS
    return np.asarray(cv2.resize(cv2.multiply(relief, relief), (columns, rows), interpolation=cv2.INTER_AREA))


class Reference:
    """A picture to compare with; what is worked out of it is worked out once, and only when asked for."""

    def __init__(self, grey: Grey) -> None:
        self.grey = grey
        side = odd_cells(WINDOW_FRAC, grey.shape)
        self._window = (side, side)
        self._evened: tuple[Grey, Grey, float] | None = None

    @cached_property
    def _mean(self) -> Grey:
        return self._blur(self.grey)

    @cached_property
    def _relief(self) -> Grey:
        return np.asarray(cv2.subtract(self.grey, self._mean), np.float32)

    @cached_property
    def _square(self) -> Grey:
        return self._blur(cv2.multiply(self.grey, self.grey))

    @cached_property
    def _divisor(self) -> Grey:
        return np.asarray(self.grey + np.float32(1), np.float32)

    @cached_property
    def _room(self) -> Grey:
        variance = cv2.subtract(self._square, cv2.multiply(self._mean, self._mean))
        return np.asarray(np.maximum(variance, 0) + np.float32(TEXTURE_VARIANCE), np.float32)

    @cached_property
    def _is_clipped(self) -> bool:
        return bool(cv2.minMaxLoc(self.grey)[1] >= CLIPPED_GREY)

    @cached_property
    def _texture(self) -> Grey:
        return _power(self._relief)

    @cached_property
    def _brightness(self) -> float:
        return max(1.0, float(cv2.mean(self.grey)[0]))

    def changes(self, grey: Grey) -> Grey:
        """What an offset that changes softly cannot explain, unsigned, in grey levels of the reference's light.

        Much cheaper than `outlines`, and no less sensitive: light that changes leaves more here, things leave as much.
        """
        away = cv2.subtract(grey, self.grey)
        return np.asarray(cv2.absdiff(away, self._blur(away)) * np.float32(_lift(self._mean_gain(grey))), np.float32)

    def outlines(self, grey: Grey) -> Grey:
        """What no light can explain, unsigned, in grey levels of the reference's light; highest along outlines.

        Two kinds of light are tried and the better one counts, place by place: a factor and an offset for the window (a veil, a
        tone curve), and a factor that changes across the window (the edge of a shadow, on texture or on the tray's rim).
        """
        grey, gain = self._without_bands(grey)
        mean = self._blur(grey)
        product = self._blur(cv2.multiply(grey, self.grey))
        factor = cv2.divide(
            cv2.subtract(product, cv2.multiply(mean, self._mean)) + np.float32(TEXTURE_VARIANCE * gain), self._room
        )
        least = np.where(mean > SHOULDER_GREY, np.float32(0), np.float32(FACTOR_RANGE[0] * gain))
        factor = np.clip(factor, least, FACTOR_RANGE[1] * gain)
        left = cv2.absdiff(cv2.subtract(grey, mean), cv2.multiply(factor, self._relief))
        left = cv2.min(left, np.abs(self._shaded(grey, product)))
        found = np.asarray(left * np.float32(_lift(gain)), np.float32)
        self._drop_clipped(found, grey, gain)
        if cv2.minMaxLoc(mean)[1] >= GLARE_MEAN_GREY:
            found[(mean >= GLARE_MEAN_GREY) & (grey >= GLARE_GREY)] = 0
        return found

    def _shaded(self, grey: Grey, product: Grey) -> Grey:
        """What is left when the reference is lit by a field of factors, fitted twice so that its curve is followed, too."""
        square = np.asarray(self._square + np.float32(1), np.float32)
        left = cv2.subtract(grey, cv2.multiply(self.grey, cv2.divide(product, square)))
        again = cv2.divide(self._blur(cv2.multiply(left, self.grey)), square)
        return np.asarray(cv2.subtract(left, cv2.multiply(self.grey, again)), np.float32)

    def in_same_light(self, grey: Grey, things: cv2.typing.MatLike) -> Grey:
        """Signed difference to the reference as it would look in the light around; ``things`` is 1 where light cannot be read."""
        grey, gain = self._without_bands(grey)
        side = odd_cells(SURROUNDINGS_FRAC, grey.shape)
        known = np.asarray(1 - things, np.float32)
        ratio = cv2.divide(grey + np.float32(1), self._divisor)
        field = (cv2.blur(ratio * known, (side, side)) + 0.03 * gain) / (cv2.blur(known, (side, side)) + 0.03)
        found = np.asarray((grey - np.asarray(field, np.float32) * self.grey) * np.float32(_lift(gain)), np.float32)
        self._drop_clipped(found, grey, gain)
        return found

    def clarity(self, grey: Grey) -> float | None:
        """How much texture the picture has against this one, 1 as much, 0 none; None where there is too little to say.

        Told by the better fields: a thing that comes or goes changes a few of them, a veil on the lens nearly all.
        """
        before = self._texture
        telling = before > LEAST_TEXTURE_VARIANCE
        if np.count_nonzero(telling) < LEAST_FIELDS or float(np.mean(grey >= CLIPPED_GREY)) > CLIPPED_FRAC:
            return None
        left = _power(np.asarray(cv2.subtract(grey, self._blur(grey)), np.float32))[telling] / before[telling]
        return math.sqrt(float(np.percentile(left, 100 * CLEAR_FIELDS))) / self._mean_gain(grey)

    def resembles(self, grey: Grey) -> bool:
        """Whether the picture shows this one's texture in its places."""
        relief = np.asarray(cv2.subtract(grey, self._blur(grey)), np.float32)
        return cv2.norm(relief) > 0 and float(np.vdot(relief, self._relief)) > ALIKE * cv2.norm(relief) * cv2.norm(
            self._relief
        )

    def gain(self, grey: Grey) -> float:
        """The factor of ``grey``'s light against this picture's."""
        return self._without_bands(grey)[1]

    def _mean_gain(self, grey: Grey) -> float:
        return max(GAIN_RANGE[0], float(cv2.mean(grey)[0]) / self._brightness)

    def _without_bands(self, grey: Grey) -> tuple[Grey, float]:
        """``grey`` without the bands of a flickering lamp, and the factor of its light.

        A rolling shutter reads rows one after the other, so lamps that pulse with the mains light whole rows alike.
        """
        if self._evened is None or self._evened[0] is not grey:
            self._evened = (grey, *self._evened_out(grey))
        return self._evened[1:]

    def _evened_out(self, grey: Grey) -> tuple[Grey, float]:
        ratio = np.asarray(cv2.divide(np.asarray(grey + np.float32(1), np.float32), self._divisor)[:, ::SAMPLE_STEP])
        rows, columns = ratio.shape
        thirds = max(1, columns // 3)
        middle = np.partition(ratio[:, : 3 * thirds].reshape(rows, -1, thirds), thirds // 2, axis=2)[:, :, thirds // 2]
        gains = np.maximum(np.partition(middle, rows // 2, axis=0)[rows // 2], np.float32(1e-3))
        gain = min(max(float(np.sort(gains)[len(gains) // 2]), GAIN_RANGE[0]), GAIN_RANGE[1])
        # A band goes over the whole row; what changes a part of it is a thing, however wide.
        apart = middle / gains - 1
        shared = np.maximum(apart.min(axis=1), 0) + np.minimum(apart.max(axis=1), 0)
        # Lamps pulse softly: what jumps from row to row is the median's own, in a cloud's half-shade.
        bands = 1 + cv2.blur(shared[:, None], (1, self._window[1]))
        if float(np.ptp(bands)) < LEAST_BAND_FRAC or float(np.abs(bands - 1).max()) > BAND_FRAC:
            return grey, gain
        return np.asarray(grey / bands, np.float32), gain

    def _drop_clipped(self, found: Grey, grey: Grey, gain: float) -> None:
        if not self._is_clipped and cv2.minMaxLoc(grey)[1] < CLIPPED_GREY:
            return
        white = grey >= CLIPPED_GREY
        found[(white & (self.grey * np.float32(gain) >= CLIPPED_GREY)) | ((self.grey >= CLIPPED_GREY) & white)] = 0
        if self._is_clipped and gain < 1:
            found[(self.grey >= CLIPPED_GREY) & (grey > self.grey * np.float32(gain))] = 0

    def _blur(self, grey: cv2.typing.MatLike) -> Grey:
        return np.asarray(cv2.blur(grey, self._window), np.float32)


class EmptyTray:
    """Model of the empty tray: one float32 picture of the region, at the light of when it was learnt."""

    def __init__(self, time_constant_s: float) -> None:
        self._time_constant_s = time_constant_s
        self._grey: Grey | None = None
        self._reference: Reference | None = None
        self._clean: Reference | None = None
        self._clean_t_s = self._t_s = 0.0

    @property
    def is_known(self) -> bool:
        """False before `learn`."""
        return self._grey is not None

    @property
    def reference(self) -> Reference:
        """To compare with. The tray must have been learnt."""
        if self._grey is None:
            raise ValueError("placement: the empty tray has not been learnt")
        if self._reference is None:
            self._reference = Reference(self._grey)
        return self._reference

    def forget(self, *, keeps_lens: bool = False) -> None:
        """Know nothing again but, with ``keeps_lens``, what a clean lens showed."""
        self._grey = self._reference = None
        if not keeps_lens:
            self._clean = None

    def learn(self, grey: Grey, t_s: float) -> None:
        """Take ``grey`` for the empty tray."""
        self._grey, self._t_s, self._reference = grey.copy(), t_s, None
        if self._clean is None:
            self._clean, self._clean_t_s = Reference(self._grey), t_s

    def clarity(self, grey: Grey) -> float | None:
        """How much is left of the texture that the tray had through a clean lens; None where it has too little to say."""
        return None if self._clean is None else self._clean.clarity(grey)

    @property
    def spread_grey(self) -> float:
        """Standard deviation of the empty tray's picture; infinity while it is not known."""
        return float("inf") if self._grey is None else float(cv2.meanStdDev(self._grey)[1][0, 0])

    @property
    def clean(self) -> Reference | None:
        """The tray as it was seen through a clean lens."""
        return self._clean

    def is_known_view(self, grey: Grey) -> bool:
        """Whether this is the tray as it was seen through a clean lens."""
        return self._clean is not None and self._clean.resembles(grey)

    def follow(self, grey: Grey, t_s: float) -> None:
        """Move towards ``grey``, seen at ``t_s``, with the time constant: by elapsed time, not by frames."""
        if self._grey is None:
            return
        elapsed_s, self._t_s = max(0.0, t_s - self._t_s), t_s
        if self._clean is not None and t_s - self._clean_t_s > self._time_constant_s:
            kept = cv2.addWeighted(self._clean.grey, 1 - 1 / SHARP_MEMORY, grey, 1 / SHARP_MEMORY, 0.0)
            self._clean, self._clean_t_s = Reference(np.asarray(kept, np.float32)), t_s
        share = 1.0 - math.exp(-min(elapsed_s, 1.0) / self._time_constant_s)
        self._grey = np.asarray(cv2.addWeighted(self._grey, 1 - share, grey, share, 0.0), np.float32)
        self._reference = None

    def accept(self, grey: Grey, where: Mask) -> None:
        """Take ``grey`` for the tray where ``where`` is true, at the model's own light."""
        if self._grey is None:
            return
        self._grey = _with(self.reference, grey, where)
        self._reference = None
        if self._clean is not None:
            self._clean = Reference(_with(self._clean, grey, where))


def _with(model: Reference, grey: Grey, where: Mask) -> Grey:
    """The model with what is seen in ``where``, in the light around it: a cloud's shade must not be learnt as tray."""
    away = model.in_same_light(grey, cv2.dilate(where.astype(np.uint8), np.ones((5, 5), np.uint8)))
    return np.where(where, np.clip(model.grey + away, 0, 255), model.grey).astype(np.float32)

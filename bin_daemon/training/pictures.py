"""Training pictures as torch sees them: altered afresh every epoch, by seed, whatever the order or the number of workers."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from timm.data.transforms_factory import create_transform
from torch.utils.data import Dataset

from bin_daemon.model.picture import read_picture
from bin_daemon.training.recipe import AugmentRecipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bin_daemon.model.bundle import Preprocessing
    from bin_daemon.training.dataset import Picture

__all__ = ["AugmentRecipe", "TrainingPictures"]


class TrainingPictures(Dataset[tuple[torch.Tensor, int]]):
    """Index (epoch, place) -> (float32 3 x S x S, label). Seeds the global generators of Python, numpy and torch afresh."""

    def __init__(self, pictures: Sequence[Picture], how: Preprocessing, recipe: AugmentRecipe, seed: int) -> None:
        self._pictures = pictures
        self._recipe = recipe
        self._seed = seed
        self._bgr = how.colour == "bgr"
        self._transform: Any = create_transform(
            how.crop_px,
            is_training=True,
            scale=(recipe.min_scale, 1.0),
            auto_augment=recipe.auto_augment or None,
            re_prob=recipe.erase_prob,
            re_mode="pixel",
            interpolation="box" if how.interpolation == "area" else how.interpolation,  # OpenCV's and Pillow's name
            mean=how.mean,
            std=how.std,
        )

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: tuple[int, int]) -> tuple[torch.Tensor, int]:
        epoch, place = index
        picture = self._pictures[place]
        rng = np.random.default_rng([self._seed, epoch, place])
        shown = self._on_tray(picture, rng) if rng.random() < self._recipe.tray_share else read_picture(picture.path)
        if self._bgr:  # mean and std stand in that order too
            shown = Image.merge("RGB", shown.split()[::-1])
        # timm draws from these three, and nobody else here does without seeding them first.
        draw = int(rng.integers(2**31))
        torch.default_generator.manual_seed(
            draw
        )  # torch.manual_seed would tell every GPU too, and takes 300 times as long
        random.seed(draw)
        np.random.seed(draw)  # noqa: NPY002 - timm uses the old generator
        return self._transform(shown), picture.label_index

    def _on_tray(self, picture: Picture, rng: np.random.Generator) -> Image.Image:
        from bin_daemon.training.cutout import cut_out_any
        from bin_daemon.training.embed import read_bgr
        from bin_daemon.training.trays import lay
        from bin_daemon.training.views import SIDE_PX

        laid = lay(cut_out_any(read_bgr(picture.path)), rng, SIDE_PX)
        return Image.fromarray(np.ascontiguousarray(laid[..., ::-1]))

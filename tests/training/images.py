"""Images to learn from and to judge by, and what augments them. Images are float32 (N, channels, side, side), 0..1."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from celosia.sim.errors import ModelError


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Images and what they show (int64)."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.images)


def load(path: Path) -> Images:
    """A .npz of `images` uint8 (N, side, side) or (N, side, side, channels) and `labels`. Raises ModelError."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            images, labels = stored["images"], stored["labels"]
    except (OSError, KeyError, ValueError) as error:
        raise ModelError(f"{path} must be a .npz file of `images` and `labels`: {error}") from error
    pixels = images[..., np.newaxis] if images.ndim == 3 else images
    return Images(
        images=torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)),
        labels=torch.from_numpy(labels.astype(np.int64)),
    )


def digits() -> tuple[Images, Images]:
    """scikit-learn's digits, enlarged to 28x28: to learn from, and to judge by."""
    from sklearn.datasets import load_digits

    stored = load_digits()
    small = torch.from_numpy(stored.images.astype(np.float32) / np.float32(16))[:, None]
    large = functional.interpolate(small, size=(28, 28), mode="bilinear")
    images = torch.round(large * 255) / 255
    labels = torch.from_numpy(stored.target.astype(np.int64))
    return Images(images=images[:1347], labels=labels[:1347]), Images(images=images[1347:], labels=labels[1347:])


def augmented(images: torch.Tensor, generator: torch.Generator, *, mirror: bool = False) -> torch.Tensor:
    """Each turned by up to 11 degrees, sheared, scaled by up to a tenth and moved by up to a tenth of its side."""
    count = len(images)

    def spread(width: float) -> torch.Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * width

    angle, shear = spread(0.2), spread(0.15)
    turn = torch.stack([torch.cos(angle), -torch.sin(angle) + shear, torch.sin(angle), torch.cos(angle)], 1).reshape(-1, 2, 2)
    scale = torch.stack([1 + spread(0.1), 1 + spread(0.1)], 1)
    if mirror:
        scale[:, 0] *= torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    move = torch.stack([spread(0.1), spread(0.1)], 1)
    grid = functional.affine_grid(
        torch.cat([turn * scale[:, None], move[:, :, None]], 2), list(images.shape), align_corners=False
    )
    return functional.grid_sample(images, grid, align_corners=False)

"""Drawn shapes: a circle, a square, a triangle or a cross on each image, in whatever size the model takes."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tb_widgets.data.batches.buckets import ExampleBatches
from tb_widgets.data.batches.prepared_data import PreparedData, ValidationExample
from tb_widgets.data.batches.windows import Batches
from tb_widgets.data.counting import Counted, even_guess
from tb_widgets.data.keyed_random import draws, key_of, shares
from tb_widgets.data.sources.builtin import classes_of
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec
from tb_widgets.spec.batch import Batch

SHAPES = classes_of("drawn-shapes")  # in the order in which draw knows them
DRAWN_IMAGES = 20_000
_NOISE = 0.2
_SIDE = 32  # pixels of a picture for people, at most


@dataclass
class PictureData(PreparedData):
    """Numbers of images, each of which is drawn when it is asked for.

    Attributes
    ----------
    image
        ``(C, H, W)``.
    held_back_from
        Images from this number on are held back.
    """

    image: tuple[int, int, int]
    held_back_from: int

    def train_batches(self, *, batch_size: int, seed: int) -> Batches:
        """Return batches of the images that are not held back."""
        same_length = np.zeros(self.held_back_from, dtype=np.int64)
        return ExampleBatches(self._batch, same_length, batch_size=batch_size, seed=seed, fingerprint=self.fingerprint)

    def validation_batches(self, *, batch_size: int, batches: int) -> list[Batch]:
        """Return batches of the first validation images; each shape comes as often as the others."""
        numbers = np.arange(self.held_back_from, min(DRAWN_IMAGES, self.held_back_from + batch_size * batches))
        return [self._batch(numbers[first : first + batch_size]) for first in range(0, len(numbers), batch_size)]

    def baselines(self, validation: Sequence[Batch]) -> Counted:
        """Return the loss of an even guess: each shape comes as often as the others."""
        return Counted((even_guess(len(SHAPES)),))

    def validation_examples(self, number: int) -> list[ValidationExample]:
        """Return the first validation images with their names, and what is on them."""
        numbers = np.arange(self.held_back_from, min(DRAWN_IMAGES, self.held_back_from + number))
        drawn = draw(numbers, self.image)
        return [
            ValidationExample(f"image {n}", SHAPES[n % len(SHAPES)], base64.b64encode(as_png(image)).decode())
            for n, image in zip(numbers.tolist(), drawn, strict=True)
        ]

    def _batch(self, numbers: NDArray[np.int64]) -> Batch:
        return {
            "images": torch.from_numpy(draw(numbers, self.image)),
            "labels": torch.from_numpy(numbers % len(SHAPES)),
        }


def as_png(image: NDArray[np.float32]) -> bytes:
    """Return an image as a small PNG, in colours where it has three channels, grey otherwise.

    Parameters
    ----------
    image
        ``(C, H, W)``, -1 to 1. Of a larger one only every second, third, ... pixel is taken.
    """
    step = -(-max(image.shape[1:]) // _SIDE)
    small = image[:, ::step, ::step]
    if len(small) != 3:
        small = small.mean(0, keepdims=True)
    pixels = ((small.clip(-1, 1) + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)
    height, width, channels = pixels.shape
    # Each line begins with 0: it is not written as a difference to its neighbours.
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )


def prepare_pictures(
    data: DataSpec, *, image: tuple[int, int, int] | None, report: Callable[[str, float], None]
) -> PictureData:
    """Say which images are for training; see :func:`tb_widgets.data.prepared.prepare`."""
    if image is None:
        raise DataError(
            "The model's image size is unknown, so no images can be drawn for it.",
            hint="Give the model a layer that fixes it, for example a position embedding.",
        )
    held_back = max(len(SHAPES), round(DRAWN_IMAGES * data.validation_fraction))
    report("The images are ready", 1.0)
    return PictureData(
        task="vision-classification",
        fingerprint=hashlib.sha256(f"drawn-shapes/{image}/{held_back}".encode()).hexdigest(),
        statistics={"train_examples": DRAWN_IMAGES - held_back, "validation_examples": held_back, "image": list(image)},
        tokenizer=None,
        classes=SHAPES,
        image=image,
        held_back_from=DRAWN_IMAGES - held_back,
    )


def draw(numbers: NDArray[np.int64], image: tuple[int, int, int]) -> NDArray[np.float32]:
    """Draw images by their numbers; image n shows shape ``n % 4``.

    Place, size, turn and colours differ from image to image and follow from its number, as does the noise.

    Parameters
    ----------
    numbers
        ``(B,)``.
    image
        ``(C, H, W)``.

    Returns
    -------
    ndarray
        ``(B, C, H, W)``, float32, about -1 to 1 with a mean of about 0.
    """
    channels, height, width = image
    side = min(height, width)
    chance = np.stack([shares(draws(key_of("drawn-shapes", int(n)), 5 + 2 * channels)) for n in numbers])
    across, down, size, turn, seed = chance[:, :5].T[:, :, None, None]
    x = (np.arange(width) + 0.5)[None, None, :] - width / 2 - (across - 0.5) * (width - 0.75 * side)
    y = (np.arange(height) + 0.5)[None, :, None] - height / 2 - (down - 0.5) * (height - 0.75 * side)
    radius, angle = (0.25 + 0.15 * size) * side, (turn - 0.5) * 0.4
    u = (x * np.cos(angle) + y * np.sin(angle)) / radius
    v = (y * np.cos(angle) - x * np.sin(angle)) / radius
    inside = np.select(
        [(numbers % len(SHAPES) == shape)[:, None, None] for shape in range(len(SHAPES))],
        [
            (u * u + v * v < 1) & (u * u + v * v > 0.36),  # a ring, which is not nearly a square
            np.maximum(np.abs(u), np.abs(v)) < 0.85,
            (v < 0.5) & (np.sqrt(3) * np.abs(u) - v < 1),
            (np.maximum(np.abs(u), np.abs(v)) < 1) & (np.minimum(np.abs(u), np.abs(v)) < 0.3),
        ],
    )
    dark, light = -0.4 - 0.6 * chance[:, 5::2, None, None], 0.4 + 0.6 * chance[:, 6::2, None, None]
    per_image = channels * height * width
    noise = np.stack([shares(draws(np.uint64(s * 2**53), per_image)) for s in seed.ravel()])
    noise = noise.reshape(len(numbers), *image) - 0.5
    return (np.where(inside[:, None], light, dark) + 2 * _NOISE * noise).astype(np.float32)

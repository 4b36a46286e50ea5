"""A checkpoint of a model that sorts images, ready to look at some that it has never seen."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from tb_widgets.data.batches.pictures import DRAWN_IMAGES, SHAPES, as_png, draw
from tb_widgets.engine.inference.class_words import classes_in_words
from tb_widgets.engine.inference.load_checkpoint import TrainedModel
from tb_widgets.errors import ModelError

_MOST = 16  # images at once


class SeenImage(NamedTuple):
    """An image as a small PNG in base64, what is on it, and what the model takes it for."""

    picture: str
    expected: str
    text: str


class Looker:
    """Says what is on images, with a model that sorts them."""

    def __init__(self, trained: TrainedModel) -> None:
        self.model, self.device, self.classes = trained.model, trained.device, trained.classes

    def check(self, prompt: str) -> None:
        """Check that there is no prompt.

        Raises
        ------
        ModelError
            If there is one.
        """
        if prompt:
            raise ModelError(
                "The model classifies images, but a prompt is text.",
                hint="Leave it empty: new shapes are drawn.",
            )

    def write(self, prompt: str, *, length: int, seed: int = 0, **_: object) -> Iterator[str]:
        """Yield a line for each image: what is on it, and what the model takes it for; otherwise as :meth:`look`."""
        self.check(prompt)
        for number, seen in enumerate(self.look(length, seed=seed)):
            yield in_line(number, seen)

    def look(self, number: int, *, seed: int = 0) -> Iterator[SeenImage]:
        """Draw images that are in no data, and yield what the model takes each for.

        Parameters
        ----------
        number
            Of images; no more than 16 are drawn.
        seed
            The same seed draws the same images.
        """
        image = self.model.adapter.image
        assert image is not None  # noqa: S101  (it reads images)
        numbers = DRAWN_IMAGES + seed % 2**40 * _MOST + np.arange(min(number, _MOST))
        drawn = draw(numbers, image)
        with torch.no_grad():
            logits = self.model.logits({"images": torch.from_numpy(drawn).to(self.device)}).float().cpu()
        for shape, pixels, row in zip(numbers % len(SHAPES), drawn, logits, strict=True):
            picture = base64.b64encode(as_png(pixels)).decode()
            yield SeenImage(picture, SHAPES[shape], classes_in_words(row, self.classes))


def in_line(number: int, seen: SeenImage) -> str:
    """Return the line about an image, which begins behind the one before."""
    line = f"{seen.expected} → {seen.text}"
    return f"\n{line}" if number else line

"""Drawn shapes."""

import base64
import struct
import zlib

import numpy as np
import pytest
import torch

from tb_widgets.data.batches.pictures import SHAPES, draw
from tb_widgets.data.prepared import prepare
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, TokenizerSpec

SHAPED = DataSpec(source="drawn-shapes")


def prepared(tmp_path, image=(1, 16, 16), **fields):
    data = SHAPED.model_copy(update=fields)
    return prepare(data, TokenizerSpec(), task="vision-classification", image=image, cache_dir=tmp_path)


@pytest.mark.parametrize("image", [(1, 16, 16), (3, 32, 24), (1, 28, 28), (4, 8, 8)])
def test_any_size_can_be_drawn_and_is_about_centred(image):
    drawn = draw(np.arange(64), image)
    assert drawn.shape == (64, *image)
    assert drawn.dtype == np.float32
    assert np.abs(drawn).max() < 1.5
    assert abs(drawn.mean()) < 0.5
    assert drawn.std() > 0.3


def test_an_image_follows_from_its_number_and_no_two_are_alike():
    whole = draw(np.arange(8), (1, 16, 16))
    assert (draw(np.array([5]), (1, 16, 16))[0] == whole[5]).all()
    assert len({image.tobytes() for image in whole}) == 8


def test_the_shapes_can_be_told_apart_by_their_bright_pixels():
    """The middle of a ring is dark and that of the others bright; corners are bright in squares only."""
    number = np.arange(400)
    drawn = draw(number, (1, 32, 32))[:, 0]
    bright = drawn > 0
    rows, columns = bright.any(2), bright.any(1)
    boxes = [
        (int(np.median(np.flatnonzero(row))), int(np.median(np.flatnonzero(column))))
        for row, column in zip(rows, columns, strict=True)
    ]
    middle = np.array([image[y - 1 : y + 2, x - 1 : x + 2].mean() for image, (y, x) in zip(drawn, boxes, strict=True)])
    ring = number % 4 == SHAPES.index("circle")
    assert middle[ring].max() < 0 < middle[~ring].min()
    area = bright.mean((1, 2))
    square, cross = (area[number % 4 == SHAPES.index(name)].mean() for name in ("square", "cross"))
    assert square > 1.3 * cross


def test_held_back_images_are_never_trained_on(tmp_path):
    data = prepared(tmp_path, validation_fraction=0.2)
    assert data.statistics["validation_examples"] == 4000
    held_back = torch.cat([batch["images"] for batch in data.validation_batches(batch_size=64, batches=1)])
    batches = data.train_batches(batch_size=100, seed=1)
    seen = {image.numpy().tobytes() for step in range(20) for image in batches.batch(step)["images"]}
    assert len(seen) == 2000
    assert seen.isdisjoint(image.numpy().tobytes() for image in held_back)


def test_batches_carry_the_class_and_repeat(tmp_path):
    data, again = prepared(tmp_path), prepared(tmp_path)
    assert (data.vocab_size, data.tokenizer, data.classes) == (None, None, SHAPES)
    one, other = (made.train_batches(batch_size=40, seed=3).batch(9) for made in (data, again))
    assert torch.equal(one["images"], other["images"])
    assert set(one["labels"].tolist()) == {0, 1, 2, 3}
    assert prepared(tmp_path, image=(3, 16, 16)).fingerprint != data.fingerprint
    (batch,) = data.validation_batches(batch_size=4, batches=1)
    shown = data.validation_examples(4)
    assert [example.expected for example in shown] == [SHAPES[label] for label in batch["labels"]]
    assert shown[0].prompt == "image 18000"


@pytest.mark.parametrize(
    ("image", "size", "kind"), [((1, 12, 16), (16, 12), 0), ((3, 100, 64), (16, 25), 2), ((4, 8, 8), (8, 8), 0)]
)
def test_a_held_back_image_is_a_small_png_too(tmp_path, image, size, kind):
    (shown,) = prepared(tmp_path, image=image).validation_examples(1)
    png = base64.b64decode(shown.picture)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">IIBBBBB", png[16:29]) == (*size, 8, kind, 0, 0, 0)
    length = struct.unpack(">I", png[33:37])[0]
    lines = zlib.decompress(png[41 : 41 + length])
    assert len(lines) == size[1] * (1 + size[0] * (3 if kind == 2 else 1))
    assert len({*lines}) > 10  # something is on it
    assert len(shown.picture) < 5000


def test_a_model_that_does_not_say_its_size_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"size is unknown, so no images"):
        prepared(tmp_path, image=None)

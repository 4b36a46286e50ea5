"""Models that look at images: their size, channels and classes."""

import pytest

from models.nets import GPT, Eyes
from tb_widgets.errors import ModelError
from tb_widgets.models.load import from_module
from tb_widgets.spec import ModelSpec


@pytest.mark.parametrize(("size", "channels"), [(12, 1), (32, 3), (20, 3), (28, 1)])
def test_the_size_of_images_is_read_from_the_model(size, channels):
    assert from_module(Eyes(size, channels)).adapter.image == (channels, size, size)


def test_images_that_fail_say_where():
    class Broken(Eyes):
        def forward(self, pixel_values):
            return self.patch(pixel_values) @ self.pos

    with pytest.raises(
        ModelError, match=r"fails on images of shape \(3, 1, 12, 12\), and of every other common size: "
    ):
        from_module(Broken())

    class Features(Eyes):
        def forward(self, pixel_values):
            return self.patch(pixel_values)

    with pytest.raises(ModelError, match=r"returned \(3, 16, 3, 3\). An image classifier returns one row of logits"):
        from_module(Features())
    with pytest.raises(ModelError, match=r"fails on images of shape \(3, 3, 32, 32\)"):
        from_module(GPT(), ModelSpec(task="vision-classification"))


def test_the_size_of_images_may_stand_in_config_json_only(export):
    code = (
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.see, self.head = nn.Conv2d(2, 4, 3), nn.Linear(4, 5)\n"
        "    def forward(self, x):\n        return self.head(self.see(x).amax((2, 3)))\n"
    )
    assert export.build(code, '{"image_size": [20, 18]}').adapter.image == (2, 20, 18)
    assert export.build(code, "{}").adapter.image == (2, 32, 32)

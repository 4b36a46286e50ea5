"""What a file says about itself is read without running it."""

import pytest

from tb_widgets.models.sources.resolve import resolve

GPT = """
from dataclasses import dataclass
{config}
class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
"""
FIELDS = "vocab_size: int = 50304\n    block_size: int = 4 * 8\n"
DATACLASS = "@dataclass\nclass Sizes:\n    " + FIELDS
PLAIN = "class ModelArgs:\n    vocab_size = 50304\n    block_size = 32\n"
INIT = "class Config(PretrainedConfig):\n    def __init__(self, vocab_size=50304, *, block_size=32): pass\n"


@pytest.mark.parametrize("config", [DATACLASS, PLAIN, INIT])
def test_overrides_may_name_the_fields_of_a_config_class(export, config):
    spec = export.write(GPT.format(config=config)).model_copy(update={"config": {"block_size": 12}})
    assert resolve(spec, vocab_size=None, context_length=8).config == {"block_size": 12}

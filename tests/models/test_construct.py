"""From a file to a model: what builds it, and where its sizes come from."""

import pytest

from tb_widgets.errors import ModelError
from tb_widgets.models.load import build
from tb_widgets.models.sources.resolve import resolve

NET = """
class {name}(nn.Module):
    def __init__(self, {parameters}):
        super().__init__()
        self.table = nn.Embedding({vocab}, {width})
        self.head = nn.Linear({width}, {vocab})
    def forward(self, idx):
        return self.head(self.table(idx))
"""
CONFIG_NET = NET.format(name="{name}", parameters="{parameters}", vocab="config.vocab_size", width="config.n_embd")


def net(name="Net", parameters="vocab_size=50, d_model=8", vocab="vocab_size", width="d_model"):
    return NET.format(name=name, parameters=parameters, vocab=vocab, width=width)


def config_net(name="Net", parameters="config"):
    return CONFIG_NET.format(name=name, parameters=parameters)


def sizes(model):
    return model.module.table.num_embeddings, model.module.table.embedding_dim


DATACLASS = """
from dataclasses import dataclass
@dataclass{frozen}
class NetConfig:
    vocab_size: int = 50
    n_embd: int = 8
"""
PLAIN = """
class Config:
    vocab_size = 50
    n_embd = 8
    @property
    def double(self):
        return 2 * self.n_embd
"""
OLD = """
class NetConfig:
    n_embd = 8
    def __init__(self, vocab_size, **kwargs):
        self.vocab_size = vocab_size
        for name, value in kwargs.items():
            setattr(self, name, value)
"""


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        (DATACLASS.format(frozen=""), "config"),
        (DATACLASS.format(frozen="(frozen=True)"), "config=NetConfig()"),
        (DATACLASS.format(frozen=""), "config: NetConfig = None"),
        (DATACLASS.format(frozen=""), "config: 'NetConfig | None' = None"),
        (PLAIN, "config"),
        (PLAIN, "config: Config"),
        (PLAIN, "config=Config()"),
        (OLD, "config"),
        ("", "config"),
        ("from types import SimpleNamespace\n", "config: SimpleNamespace"),
        ("", "config: dict"),
    ],
)
def test_a_config_object_is_filled_from_config_json(export, text, parameters):
    model = export.build(text + config_net(parameters=parameters), '{"vocab_size": 21, "hidden_size": 4, "n_embd": 4}')
    assert sizes(model) == (21, 4)


@pytest.mark.parametrize("text", [DATACLASS.format(frozen=""), PLAIN])
def test_what_config_json_leaves_out_stays_as_the_file_says(export, text):
    model = export.build(text + config_net(), '{"d_model": 4}')
    assert sizes(model) == (50, 4)
    assert sizes(export.build(text + config_net(), "{}")) == (50, 8)


def test_a_value_that_is_missing_is_named(export):
    text = "from dataclasses import dataclass\n@dataclass\nclass NetConfig:\n    n_embd: int\n    vocab_size: int\n"
    with pytest.raises(ModelError, match=r"NetConfig needs values that config.json lacks: vocab_size\."):
        export.build(text + config_net(), '{"d_model": 4}')


def test_several_config_classes_are_not_guessed_among(export):
    text = PLAIN.replace("Config", "ThisConfig") + PLAIN.replace("Config", "ThatConfig")
    with pytest.raises(ModelError, match=r"several config classes: ThisConfig, ThatConfig. Annotate the argument"):
        export.build(text + config_net())
    assert sizes(export.build(text + config_net(parameters="config: ThatConfig"))) == (50, 8)
    # The one named after the model is meant.
    assert sizes(export.build(text + DATACLASS.format(frozen="") + config_net())) == (50, 8)


OUTPUT = """
import torch
from dataclasses import dataclass
@dataclass
class {name}:
    logits: torch.Tensor = None
    loss: "torch.Tensor | None" = None
"""


@pytest.mark.parametrize("sizes_from", [DATACLASS.format(frozen=""), PLAIN, ""])
def test_a_dataclass_of_outputs_is_no_config(export, sizes_from):
    text = OUTPUT.format(name="ModelOutput") + sizes_from
    assert sizes(export.build(text + config_net(), '{"vocab_size": 21, "n_embd": 4}')) == (21, 4)


FACTORY = "\ndef make_model(vocab_size, N=2):\n    return First(vocab_size)\n"


def test_a_function_that_makes_the_model_settles_which(export):
    both = net("First") + net("Second")
    assert type(export.build(both + FACTORY, '{"vocab_size": 33}').module).__name__ == "First"
    with pytest.raises(ModelError, match="several models: First, Second"):
        export.build(both)


def test_keyword_sizes_and_graph_configs(export):
    text = net() + "\ndef build_model(**sizes):\n    return Net(sizes['vocab_size'])\n"
    assert export.build(text, '{"vocab_size": 33, "version": 2}').vocab_size == 33
    graph = '{"version": "1.0", "nodes": [{"params": {"vocab_size": 34}}, {"params": {"d_model": 6}}], "edges": []}'
    assert sizes(export.build(net(), graph)) == (34, 6)


def test_the_architecture_that_config_json_names_is_built(export):
    both = net("First") + net("Second")
    assert type(export.build(both, '{"architectures": ["Second"]}').module).__name__ == "Second"


def built(export, code, config="{}", **spec):
    wanted = export.write(code, config).model_copy(update=spec)
    return build(resolve(wanted, vocab_size=None, context_length=8), wanted)


def test_the_user_may_name_what_builds_the_model(export):
    both = net("First") + net("Second") + "\ndef tiny():\n    return Second(9)\n"
    assert type(built(export, both, entry="Second").module).__name__ == "Second"
    assert built(export, both, entry="tiny").vocab_size == 9
    with pytest.raises(ModelError, match=r"no model class or function 'Third'. It defines First, Second, tiny"):
        built(export, both, entry="Third")


def test_a_constructor_that_ends_the_process_is_reported(export):
    with pytest.raises(ModelError, match=r"Net could not be built: SystemExit: 3 \(model.py, line"):
        export.build(net().replace("super().__init__()", "super().__init__(); raise SystemExit(3)"))

import json
from pathlib import Path

import pytest
import torch

from tb_widgets.errors import DataError, ModelError
from tb_widgets.models.describe import describe
from tb_widgets.models.load import build, check_fits
from tb_widgets.models.source import read_source, write_source
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.models.zoo.gpt import rotation_table
from tb_widgets.spec import ModelSpec

PRESETS = ["tiny", "small", "medium"]


def gpt(preset="tiny", vocab_size=64, context_length=16, **config):
    return build(resolve(ModelSpec(preset=preset, config=config), vocab_size=vocab_size, context_length=context_length))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"bias": True},
        {"tie_weights": False},
        {"positions": "learned"},
        {"bias": True, "tie_weights": False, "positions": "learned", "n_layer": 2, "mlp_ratio": 3},
        {"ngram": 4},
        {"ngram": 2, "trigrams": 50, "activation": "relu2"},
    ],
)
def test_the_formula_counts_what_torch_counts(config):
    # The large preset once is enough.
    for preset in PRESETS if not config else PRESETS[:2]:
        spec = ModelSpec(preset=preset, config=config)
        summary = describe(resolve(spec, vocab_size=777, context_length=33))
        model = gpt(preset, 777, 33, **config)
        assert summary.parameters == model.parameters
        assert (summary.vocab_size, summary.context_limit) == (model.vocab_size, model.context_limit)


def test_presets_have_the_sizes_that_their_names_promise():
    counts = {
        name: describe(resolve(ModelSpec(preset=name), vocab_size=2048, context_length=128)).parameters
        for name in PRESETS
    }
    assert 0.3e6 < counts["tiny"] < 0.6e6
    assert 0.8e6 < counts["small"] < 1.2e6
    assert 9e6 < counts["medium"] < 12e6


@pytest.mark.parametrize(
    "config", [{}, {"positions": "learned"}, {"ngram": 4}, {"trigrams": 99, "activation": "relu2"}]
)
def test_earlier_logits_do_not_see_later_tokens_and_positions_count(config):
    model = gpt(**config)
    model.module.eval()
    for parameter in model.module.parameters():  # zero-initialised layers would hide a leak
        torch.nn.init.normal_(parameter, std=0.3)
    ids = torch.randint(64, (2, 16))
    changed = ids.clone()
    changed[:, 9] = (changed[:, 9] + 1) % 64
    with torch.no_grad():
        before, after = model.token_logits(ids), model.token_logits(changed)
        swapped = model.token_logits(ids[:, [1, 0, *range(2, 16)]])
    torch.testing.assert_close(before[:, :9], after[:, :9])
    assert (before[:, 9:] - after[:, 9:]).abs().amax(-1).min() > 1e-4
    assert (before[:, 5] - swapped[:, 5]).abs().max() > 1e-4


def test_rotary_scores_depend_on_distance_only():
    model = gpt(n_layer=1)
    module = model.module.eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ids = torch.randint(64, (1, 6))
    with torch.no_grad():
        here = model.token_logits(ids)[0, -1]
        # The same tokens five places later: only their positions differ.
        module.rotation = rotation_table(21, 32)[:, 5:]
        there = model.token_logits(ids)[0, -1]
    torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-3)


def test_three_tokens_in_a_row_have_a_vector_whatever_stands_elsewhere():
    module = gpt(trigrams=97, vocab_size=64).module.eval()
    chosen = []
    module.trigrams.register_forward_hook(lambda _table, given, _found: chosen.append(given[0]))
    module(torch.tensor([[5, 6, 7, 5, 6, 7, 8], [9, 5, 6, 7, 60, 61, 62]]))
    module(torch.tensor([[5]]))
    rows = chosen[0]
    assert rows[0, 2] == rows[0, 5] == rows[1, 3]
    assert chosen[1][0, 0] == rows[0, 0]
    assert len(rows.unique()) > 8, "different ones mostly have different vectors"
    assert rows.min() >= 0
    assert rows.max() < 97


def test_rotary_model_reads_beyond_the_context_it_was_built_for():
    model = gpt(context_length=16)
    assert model.context_limit is None
    assert model.token_logits(torch.zeros(1, 40, dtype=torch.int64)).shape == (1, 40, 64)
    assert model.token_logits(torch.zeros(1, 7, dtype=torch.int64)).shape == (1, 7, 64)


def test_a_fresh_model_guesses_evenly():
    torch.manual_seed(0)
    model = gpt(vocab_size=512)
    ids = torch.randint(512, (4, 17))
    loss = torch.nn.functional.cross_entropy(model.token_logits(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert loss.item() == pytest.approx(torch.tensor(512.0).log().item(), abs=0.4)


def test_a_model_learns_a_short_text_by_heart():
    torch.manual_seed(0)
    model = gpt(vocab_size=32, n_layer=2, n_head=2, n_embd=32)
    optimizer = torch.optim.AdamW(model.module.parameters(), lr=1e-2)
    ids = torch.randint(32, (4, 17))
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(model.token_logits(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3


def test_every_weight_gets_a_gradient_after_one_step():
    model = gpt(bias=True, positions="learned", trigrams=8)
    optimizer = torch.optim.SGD(model.module.parameters(), lr=0.1)
    for _ in range(2):  # layers that start at zero pass gradients on from the second step
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(
            model.token_logits(torch.randint(64, (2, 16))).flatten(0, 1), torch.randint(64, (32,))
        ).backward()
        optimizer.step()
    for name, parameter in model.module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_the_same_seed_builds_the_same_weights():
    torch.manual_seed(3)
    first = gpt().module.state_dict()
    torch.manual_seed(3)
    second = gpt().module.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_rebuilds_its_model_from_its_own_folder(tmp_path: Path):
    source = resolve(ModelSpec(preset="tiny"), vocab_size=64, context_length=16)
    write_source(source, tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["config.json", "model.py", "origin.json"]
    again = read_source(tmp_path / "model")
    assert again == source
    assert again.origin["source"] == "zoo:gpt"
    assert again.origin["preset"] == "tiny"
    weights = build(source).module.state_dict()
    build(again).module.load_state_dict(weights)


def test_a_frozen_file_that_was_changed_is_refused(tmp_path: Path):
    write_source(resolve(ModelSpec(), vocab_size=64, context_length=16), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "n_layer": 1}))
    with pytest.raises(ModelError, match=r"config.json is not the file this run started with"):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"n_layers": 3}, r"model.config.n_layers: zoo:gpt has no such setting. Did you mean n_layer\?"),
        ({"n_layer": 0}, r"model.config.n_layer must be a whole number of at least 1, not 0\."),
        ({"n_embd": 100, "n_head": 3}, r"n_embd is 100, which 3 heads can't split evenly. Try 96 or 102\."),
        ({"dropout": 1.5}, r"dropout must be a number from 0 to below 1, not 1.5"),
        ({"positions": "sinus"}, r"positions must be rope or learned, not 'sinus'"),
        ({"activation": "relu"}, r"activation must be gelu or relu2, not 'relu'"),
        ({"trigrams": -1}, r"model.config.trigrams must be a whole number of at least 0, not -1\."),
        ({"bias": "yes"}, r"bias must be true or false, not 'yes'"),
    ],
)
def test_impossible_sizes_name_the_field(config, message):
    with pytest.raises(ModelError, match=message):
        resolve(ModelSpec(config=config), vocab_size=64, context_length=16)


def test_unknown_zoo_model_and_unknown_vocabulary():
    with pytest.raises(
        ModelError,
        match=r"there is no zoo model 'elmo'. Choose from: zoo:gpt, zoo:bert, zoo:bert-classifier, zoo:t5, zoo:vit\.",
    ):
        resolve(ModelSpec(source="zoo:elmo"), vocab_size=64, context_length=16)
    with pytest.raises(ModelError, match=r"needs a vocabulary size. Set model.config.vocab_size"):
        resolve(ModelSpec(), vocab_size=None, context_length=16)
    assert resolve(ModelSpec(config={"vocab_size": 99}), vocab_size=None, context_length=16).config["vocab_size"] == 99


def test_what_does_not_fit_names_both_numbers_and_the_field():
    model = gpt(vocab_size=64, context_length=16, positions="learned")
    check_fits(model, vocab_size=64, context_length=16)
    with pytest.raises(DataError, match=r"special tokens need 65 ids, but the model has 64. Choose bpe"):
        check_fits(model, vocab_size=65, context_length=16)
    with pytest.raises(DataError, match=r"data.context_length: the model reads at most 16 tokens, not 17. Set it"):
        check_fits(model, vocab_size=64, context_length=17)
    check_fits(gpt(), vocab_size=64, context_length=100_000)

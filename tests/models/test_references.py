"""The zoo's encoder, encoder-decoder and image classifier: what they see, and what they are made of."""

import math

import pytest
import torch
from torch import nn

from tb_widgets.errors import ModelError
from tb_widgets.models.describe import describe
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.models.zoo import bert, sizes, t5, vit
from tb_widgets.spec import ModelSpec

MAKERS = {
    "bert": bert.build_model,
    "bert-classifier": bert.build_model,
    "t5": t5.build_model,
    "vit": vit.build_model,
}
NAMES = list(MAKERS)


def made(name, preset="tiny", vocab_size=64, **config):
    spec = ModelSpec(source=f"zoo:{name}", preset=preset, config=config)
    torch.manual_seed(0)
    return MAKERS[name](resolve(spec, vocab_size=vocab_size, context_length=16).config).eval()


def filled(model):
    """Random weights everywhere: layers that start at zero would hide what they see."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def example(name, rows=2):
    if name == "vit":
        return (torch.randn(rows, 1, 32, 32),)
    tokens = torch.randint(64, (rows, 9))
    return (tokens,) if sizes.FILES[name] == "bert" else (tokens, torch.randint(64, (rows, 5)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("config", [{}, {"n_layer": 1, "n_head": 2, "n_embd": 24, "mlp_ratio": 3, "dropout": 0.1}])
def test_the_formula_counts_what_torch_counts(name, config):
    for preset in ("tiny", "small") if config else sizes.ZOO_PRESETS[name]:
        spec = ModelSpec(source=f"zoo:{name}", preset=preset, config=config)
        summary = describe(resolve(spec, vocab_size=64, context_length=16))
        assert summary.parameters == sum(parameter.numel() for parameter in made(name, preset, **config).parameters())
        assert summary.title == f"{sizes.ZOO_TITLES[name]} {preset}"


def test_summaries_say_how_far_each_reads():
    found = {
        name: describe(resolve(ModelSpec(source=f"zoo:{name}", preset="tiny"), vocab_size=64, context_length=16))
        for name in NAMES
    }
    assert (found["bert"].context_limit, found["bert"].unlimited_context, found["bert"].vocab_size) == (16, False, 64)
    assert (found["t5"].context_limit, found["t5"].unlimited_context, found["t5"].vocab_size) == (None, True, 64)
    assert (found["vit"].context_limit, found["vit"].unlimited_context, found["vit"].vocab_size) == (None, False, None)


@pytest.mark.parametrize("name", NAMES)
def test_the_frozen_config_says_what_the_model_is_for(name):
    config = resolve(ModelSpec(source=f"zoo:{name}"), vocab_size=64, context_length=16).config
    assert config["task"] == sizes.ZOO_TASKS[name]
    with pytest.raises(ModelError, match=r"model.config.task: zoo:.* has no such setting"):
        made(name, task="causal-lm")


@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_model_guesses_evenly_and_every_weight_learns(name):
    model = made(name, vocab_size=512).train()
    inputs = example(name, rows=64)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(5):  # layers that start at zero pass gradients on once they are not zero any more
        logits = model(*inputs).flatten(0, -2)
        if step == 0:
            anything = torch.randint(logits.shape[-1], logits.shape[:1])
            evenly = math.log(logits.shape[-1])
            assert nn.functional.cross_entropy(logits, anything).item() == pytest.approx(evenly, abs=0.4)
        optimiser.zero_grad()
        nn.functional.cross_entropy(logits, torch.arange(len(logits)) % min(3, logits.shape[-1])).backward()
        optimiser.step()
    for label, parameter in model.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.abs().max() > 0, label


def test_an_encoder_sees_both_directions_and_no_padding():
    model = filled(made("bert"))
    (tokens,) = example("bert")
    with torch.no_grad():
        before = model(tokens)
        changed = tokens.clone()
        changed[:, 4] = (changed[:, 4] + 1) % 64
        assert (model(changed) - before).abs().amax((0, 2)).min() > 1e-3  # every place knows of it
        padded = torch.cat((tokens, torch.randint(64, (2, 4))), dim=1)
        mask = torch.arange(13).expand(2, 13) < 9
        torch.testing.assert_close(model(padded, mask)[:, :9], before, rtol=1e-3, atol=1e-3)
        assert (model(padded)[:, :9] - before).abs().max() > 1e-2
        swapped = model(tokens[:, [1, 0, *range(2, 9)]])
    assert (swapped[:, 5] - before[:, 5]).abs().max() > 1e-3  # positions count


def test_a_classifier_of_texts_sees_all_of_a_text_and_no_padding():
    model = filled(made("bert-classifier", classes=5))
    (tokens,) = example("bert")
    with torch.no_grad():
        before = model(tokens)
        assert before.shape == (2, 5)
        for place in (0, 4, 8):
            changed = tokens.clone()
            changed[:, place] = (changed[:, place] + 1) % 64
            assert (model(changed) - before).abs().max() > 1e-3
        padded = torch.cat((tokens, torch.randint(64, (2, 4))), dim=1)
        mask = (torch.arange(13).expand(2, 13) < 9).long()
        torch.testing.assert_close(model(padded, mask), before, rtol=1e-3, atol=1e-3)
        assert (model(padded) - before).abs().max() > 1e-2


def test_a_classifier_of_texts_tells_as_many_apart_as_the_data_have():
    spec = ModelSpec(source="zoo:bert-classifier")
    asked = {"vocab_size": 64, "context_length": 16}
    assert resolve(spec, **asked).config["classes"] == 2
    assert resolve(spec, **asked, classes=7).config["classes"] == 7
    chosen = ModelSpec(source="zoo:bert-classifier", config={"classes": 9})
    assert resolve(chosen, **asked, classes=7).config["classes"] == 9
    assert "classes" not in resolve(ModelSpec(source="zoo:bert"), **asked, classes=7).config


def test_a_decoder_sees_earlier_words_and_the_whole_source_without_its_padding():
    model = filled(made("t5"))
    source, target = example("t5")
    with torch.no_grad():
        before = model(source, target)
        later = target.clone()
        later[:, 3] = (later[:, 3] + 1) % 64
        moved = (model(source, later) - before).abs().amax((0, 2))
        assert moved[:3].max() < 1e-4
        assert moved[3:].min() > 1e-3
        other = source.clone()
        other[:, -1] = (other[:, -1] + 1) % 64
        assert (model(other, target) - before).abs().amax((0, 2)).min() > 1e-3
        padded = torch.cat((source, torch.randint(64, (2, 4))), dim=1)
        mask = torch.arange(13).expand(2, 13) < 9
        torch.testing.assert_close(model(padded, target, mask), before, rtol=1e-3, atol=1e-3)
        assert (model(padded, target) - before).abs().max() > 1e-2
        assert (model(source[:, [1, 0, *range(2, 9)]], target) - before).abs().max() > 1e-3


def test_distances_fall_into_buckets():
    """The first half of each direction's buckets is exact, the rest logarithmic; what is further shares the last."""
    distance = torch.tensor([0, -1, -3, -4, -8, -15, -16, -1000, 1, 3, 4, 1000])
    both = t5.distance_bucket(distance, 16, 16, both_directions=True)
    assert both.tolist() == [0, 1, 3, 4, 6, 7, 7, 7, 9, 11, 12, 15]
    back = t5.distance_bucket(distance, 16, 32, both_directions=False)
    assert back.tolist() == [0, 1, 3, 4, 8, 11, 12, 15, 0, 0, 0, 0]


def test_an_image_classifier_sees_where_its_patches_are():
    model = filled(made("vit"))
    (image,) = example("vit")
    with torch.no_grad():
        before = model(image)
        assert before.shape == (2, 4)
        assert (model(image.roll(4, dims=-1)) - before).abs().max() > 1e-3
        image[:, :, 30, 30] += 5.0
        assert (model(image) - before).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("bert", {"positions": "rope"}, r"model.config.positions: zoo:bert has no such setting. .*It has: vocab_size"),
        ("bert", {"n_embd": 97}, r"n_embd is 97, which 3 heads can't split evenly. Try 96 or 99"),
        ("t5", {"bucket": 32}, r"model.config.bucket: zoo:t5 has no such setting. .*Did you mean buckets"),
        ("t5", {"buckets": 6}, r"buckets is 6 .*multiple of 4"),
        ("t5", {"max_distance": 16}, r"max_distance 16.*more than half"),
        ("vit", {"patch_size": 5}, r"image_size is 32, which patches of 5 can't fill. .*Try 30 or 35"),
        ("vit", {"classes": 0}, r"classes must be a whole number of at least 1, not 0"),
    ],
)
def test_impossible_sizes_name_the_field(name, config, message):
    with pytest.raises(ModelError, match=f"(?s){message}"):
        made(name, **config)

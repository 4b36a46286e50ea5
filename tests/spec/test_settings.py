"""Changing a spec: settings as the command line takes them, presets, and what differs."""

from __future__ import annotations

import pytest

from tb_widgets.errors import SpecError
from tb_widgets.spec import PRESETS, RunSpec, preset, read_value


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("3e-4", 3e-4),
        ("-1E+2", -100.0),
        ("0.5", 0.5),
        ("12", 12),
        ("true", True),
        ("null", None),
        ("", None),
        ("[a, b]", ["a", "b"]),
        ("{n_layer: 6}", {"n_layer": 6}),
        ("zoo:gpt", "zoo:gpt"),
        ("nan", "nan"),
        ("infinity", "infinity"),
        ("[a", "[a"),
        ("2020-13-45", "2020-13-45"),
        ("1" * 5000, "1" * 5000),
    ],
)
def test_a_typed_value_is_what_everybody_means_by_it(typed, value):
    found = read_value(typed)
    assert (found, type(found)) == (value, type(value))


def test_settings_reach_their_fields():
    spec = RunSpec().with_settings(
        [
            "training.learning_rate=3e-4",
            "training.deterministic=true",
            "evaluation.prompts=[Once, upon]",
            "model.config.dropout=0.1",
            "tracking.wandb=off",
            " name =run",
            "data.source=my text = good.txt",
        ]
    )
    assert spec.training.learning_rate == 3e-4
    assert spec.training.deterministic is True
    assert spec.evaluation.prompts == ["Once", "upon"]
    assert spec.model.config == {"dropout": 0.1}
    assert spec.name == "run"
    assert spec.data.source == "my text = good.txt", "only the first sign separates"
    assert RunSpec() == RunSpec.from_mapping({}), "the spec itself stays as it was"


@pytest.mark.parametrize("bad", ["training.steps", "=5", " = 5", "training.steps 5"])
def test_a_badly_formed_setting_shows_the_form(bad):
    with pytest.raises(SpecError, match=r"section\.field=value") as caught:
        RunSpec().with_settings([bad])
    assert caught.value.problems[0][0] == bad


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ("trainig.steps=5", "trainig"),
        ("training.step=5", "training.step"),
        ("training.steps.more=5", "training.steps.more"),
        ("training.=5", "training."),
        ("schema.x=1", "schema.x"),
        ("training.steps=-1", "training.steps"),
    ],
)
def test_a_setting_that_fits_nowhere_names_its_field(bad, field):
    with pytest.raises(SpecError) as caught:
        RunSpec().with_settings([bad])
    assert [name for name, _ in caught.value.problems] == [field]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_reads_back(name):
    spec = preset(name)
    assert RunSpec.from_yaml(spec.to_yaml()) == spec
    assert set(RunSpec().differences(spec)) <= set(PRESETS[name].values)


def test_shakespeare_by_characters_has_the_stated_sizes():
    spec = preset("shakespeare-char")
    assert spec.model.preset == "small"
    assert (spec.tokenizer.kind, spec.data.context_length) == ("char", 64)
    assert (spec.training.batch_size, spec.training.steps) == (12, 1000)
    assert "1 layer, 4 heads, width 128, context 64" in PRESETS["shakespeare-char"].help


def test_an_unknown_preset_is_told_with_the_known_ones():
    with pytest.raises(SpecError, match="Choose from: quick, small"):
        preset("huge")


def test_differences_hold_both_values_by_path():
    mine = RunSpec()
    theirs = mine.with_values({"training.steps": 50, "model.config": {"n_layer": 2}, "name": "b"})
    assert mine.differences(theirs) == {
        "name": (None, "b"),
        "training.steps": (1000, 50),
        "model.config": ({}, {"n_layer": 2}),
    }
    assert mine.differences(RunSpec()) == {}

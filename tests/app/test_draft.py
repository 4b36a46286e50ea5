"""The next run as it is filled in: what was entered, why it can't start, and the code of it."""

from __future__ import annotations

import ast
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tb_widgets.app.state.draft import Draft
from tb_widgets.app.state.fields import CARDS, as_typed, read_typed
from tb_widgets.errors import SpecError
from tb_widgets.service.fitting import ModelFacts, fitted
from tb_widgets.spec import PRESETS, FieldCard, RunSpec

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT


@pytest.fixture
def draft() -> Draft:
    return Draft()


def from_code(code: str) -> RunSpec:
    """The spec that the printed Python trains, without running it."""
    call = next(
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "tb_widgets.train"
    )
    given = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    base = PRESETS[given["preset"]].spec() if "preset" in given else RunSpec()
    return base.with_values(given.get("settings", {}))


def from_command(command: str) -> RunSpec:
    """The spec that the printed command trains, as a shell would cut it into words."""
    words = shlex.split(command)
    assert words[:2] == ["tb-widgets", "train"]
    options = list(zip(words[2::2], words[3::2], strict=True))
    preset = dict(options).get("--preset")
    base = PRESETS[preset].spec() if preset else RunSpec()
    return base.with_settings([value for name, value in options if name == "--set"])


def test_what_was_chosen_though_other_data_are_usual_stands_in_the_code(draft):
    draft.choose_model("zoo:t5")
    draft.know(ModelFacts.of_ours("t5"))
    assert draft.spec.data.source == "reversed-words"
    draft.set("data.source", "python-docs")
    assert draft.is_valid
    assert "'data.source': 'python-docs'" in draft.code()
    assert "--set data.source=python-docs" in draft.command()
    # What the terminal makes of it is what stands in the form.
    asked = from_command(draft.command())
    assert fitted(asked, ModelFacts.of_ours("t5"), chosen={"model.source", "data.source"}).spec == draft.spec


def test_what_a_script_gives_was_chosen_though_it_is_what_is_usual():
    given = Draft(RunSpec.from_mapping({"model": {"source": "zoo:t5"}, "data": {"source": "python-docs"}}))
    free = Draft(RunSpec.from_mapping({"model": {"source": "zoo:t5"}}))
    for draft in (given, free):
        draft.know(ModelFacts.of_ours("t5"))
    assert (given.spec.data.source, free.spec.data.source) == ("python-docs", "reversed-words")


def test_what_is_typed_is_read_as_it_is_meant(draft):
    draft.set("training.learning_rate", "3e-4")
    draft.set("training.steps", "10,000")
    draft.set("training.clip", "")
    draft.set("evaluation.prompts", "The \n\nA list")
    draft.set("model.config", "{n_layer: 2}")

    assert draft.is_valid
    assert (draft.spec.training.learning_rate, draft.spec.training.steps, draft.spec.training.clip) == (
        3e-4,
        10_000,
        None,
    )
    assert draft.spec.evaluation.prompts == ["The ", "A list"]
    assert draft.spec.model.config == {"n_layer": 2}


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("010", 10),
        (" 1 000 ", 1000),
        ("1e3", 1000),
        ("0,003", "0,003"),
        ("1:30", "1:30"),
        ("true", "true"),
        ("nan", "nan"),
    ],
)
def test_a_number_is_never_read_as_another_one(typed, read):
    assert read_typed(CARDS["training.steps"], typed) == read


def test_what_is_wrong_is_told_by_field_and_the_last_valid_spec_stays(draft):
    draft.set("training.steps", "many")
    draft.set("training.warmup", "2")

    assert set(draft.errors) == {"training.steps", "training.warmup"}
    assert "Steps: must be a whole number, not 'many'." in draft.blockers
    assert draft.values["training.steps"] == "many"
    assert draft.spec.training.steps == PRESETS["quick"].spec().training.steps

    draft.set("training.steps", "7")
    draft.set("training.warmup", "0")
    assert draft.blockers == []
    assert draft.spec.training.steps == 7


@pytest.mark.parametrize(("typed", "share"), [("10 %", 0.1), ("7.5%", 0.075), ("0.1", 0.1), ("100 %", 1.0)])
def test_a_share_may_be_typed_in_percent(typed, share):
    card = CARDS["training.warmup"]
    assert read_typed(card, typed) == share
    assert read_typed(card, as_typed(card, share)) == share


def test_shares_are_shown_in_percent():
    assert as_typed(CARDS["data.validation_fraction"], 0.1) == "10 %"
    assert as_typed(CARDS["training.min_lr_fraction"], 0.125) == "12.5 %"
    assert as_typed(CARDS["training.beta1"], 0.9) == "0.9"


@pytest.mark.parametrize(
    ("path", "typed", "reason"),
    [
        ("training.learning_rate", "0,003", "must be a number, not '0,003'. Use a point: 0.003."),
        ("training.steps", "1.000", "1.000 may be 1 or 1,000: write it without a point."),
        ("training.steps", "12.000.000", "12.000.000 may be 12 or 12,000,000: write it without a point."),
        ("data.validation_fraction", "10", "must be at most 50 %, not 1000 %. Write 10 % or 0.1."),
        ("model.config", "{n_layer: 6", "Write name: value pairs, for example {n_layer: 6}. A closing } is missing."),
        ("training.steps", "", "Enter a whole number, for example 1000."),
        ("training.warmup", " ", "Enter a number, for example 5 %."),
        ("model.source", "", "Enter a path, the address of a Gist or hub:OWNER/NAME."),
        ("model.config", "{n_layr: 3}", "n_layr: zoo:gpt has no such setting. Did you mean n_layer?"),
        ("model.config", "6", "Write name: value pairs, for example {n_layer: 6}."),
    ],
)
def test_what_is_refused_says_how_to_write_it(draft, path, typed, reason):
    draft.set(path, typed)
    assert draft.errors == {path: reason}
    assert not draft.is_valid


@pytest.mark.parametrize("path", ["data.source", "model.source"])
@pytest.mark.parametrize("typed", ["", "nowhere", "a\0b", "~nobody-of-this-name/x", "x" * 5000, "/", "zoo:nothing"])
def test_any_path_may_be_typed(draft, path, typed):
    draft.set(path, typed)

    assert len(draft.blockers) == 1
    assert len(draft.blockers[0]) < 600
    assert f"{path}:" not in draft.blockers[0]


def test_a_text_that_came_is_found_when_looked_for_again(draft, tmp_path):
    file = tmp_path / "text.txt"
    draft.set("data.source", str(file))
    assert not draft.is_valid

    file.write_text("To be, or not to be. " * 50)
    draft.check(look_again=True)

    assert draft.is_valid


def test_model_and_text_must_fit_each_other(draft):
    draft.set("data.context_length", 48)
    draft.set("tokenizer.vocab_size", 1000)
    draft.know(ModelFacts("causal-lm", vocab_size=500, context_limit=32))

    assert draft.errors["data.context_length"] == "the model reads at most 32 tokens."
    assert draft.errors["tokenizer.vocab_size"].startswith(
        "the tokenizer and its special tokens need 1,000 ids, but the model has 500. Choose 500 or less"
    )


def test_a_preset_keeps_model_text_and_name(draft, text_file):
    draft.set("data.source", str(text_file))
    draft.set("name", "mine")
    draft.set("training.steps", "5")

    draft.use_preset("small")

    assert (draft.spec.data.source, draft.spec.name) == (str(text_file), "mine")
    assert draft.spec.training.steps == PRESETS["small"].spec().training.steps


def test_an_unknown_preset_is_refused_and_changes_nothing(draft):
    before = draft.values
    with pytest.raises(SpecError, match="no preset 'huge'"):
        draft.use_preset("huge")
    assert (draft.values, draft.preset) == (before, "quick")


def test_a_loaded_spec_is_the_draft(tiny):
    spec = tiny({"training.clip": None, "evaluation.prompts": ["a", "b"]})
    draft = Draft(spec)

    assert draft.spec.differences(spec) == {}
    assert draft.preset == ""
    draft.set("training.steps", "21")
    assert draft.spec.differences(spec) == {"training.steps": (21, 20)}


def test_nothing_happens_when_the_same_is_entered_again(draft):
    before = draft.version
    draft.set("training.steps", str(draft.spec.training.steps))
    assert draft.version == before


TRICKY = {
    "training.clip": None,
    "training.learning_rate": 1e-5,
    "training.deterministic": True,
    "training.micro_batch_size": 4,
    "model.config": {"true": 1, "7": 1.0, "n_layer": 2, "bias": False, "activation": "on", "x": None},
    "evaluation.prompts": ["it's", 'a "b" $HOME `ls`', "two\nlines", "é 😀 \x85"],
    "tracking.tags": ["1", "true", "null", ""],
    "tracking.project": "007",
    "name": "1e3",
    "hardware.threads": 3,
}


@pytest.mark.parametrize("preset", [*PRESETS, ""])
def test_code_and_command_say_exactly_what_start_does(preset):
    draft = Draft(RunSpec())
    if preset:
        draft.use_preset(preset)
    draft.spec = draft.spec.with_values(TRICKY)

    assert from_code(draft.code()).differences(draft.spec) == {}
    assert from_command(draft.command()).differences(draft.spec) == {}


@given(
    prompts=st.lists(st.text(st.characters(exclude_categories=("Cs",))), max_size=8),
    config=st.dictionaries(TEXT, PLAIN, max_size=3),
)
def test_the_command_gives_back_any_text(prompts: list[str], config: dict[str, Any]):
    spec = RunSpec().with_values({"evaluation.prompts": prompts, "model.config": config})
    draft = Draft(RunSpec())
    draft.spec = spec
    assert from_command(draft.command()).differences(spec) == {}
    assert from_code(draft.code()).differences(spec) == {}


def values_of(card: FieldCard) -> st.SearchStrategy[Any]:
    """What a field of this kind may hold."""
    line = TEXT.filter(lambda text: text.strip() and len(text.splitlines()) == 1)
    by_kind: dict[str, st.SearchStrategy[Any]] = {
        "int": st.integers(-(2**70), 2**70) | st.sampled_from([*card.words] or [0]),
        "float": st.floats(allow_nan=False, allow_infinity=False),
        "str": TEXT.map(str.strip).filter(bool),
        "list": st.lists(line, max_size=4),
        "mapping": st.dictionaries(
            TEXT, st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=2), max_leaves=4), max_size=3
        ),
        "choice": st.sampled_from([*card.choices] or [""]),
        "bool": st.booleans(),
    }
    return by_kind[card.kind] | st.none() if card.optional else by_kind[card.kind]


TYPED = [card for card in CARDS.values() if card.kind != "bool"]


@given(st.sampled_from(TYPED).flatmap(lambda card: st.tuples(st.just(card), values_of(card))))
def test_what_a_field_shows_is_read_back_as_it_was(case: tuple[FieldCard, Any]):
    card, value = case
    assert read_typed(card, as_typed(card, value)) == value


@pytest.mark.parametrize(("kind", "field"), [("byte", "tokenizer.kind"), ("bpe", "tokenizer.vocab_size")])
def test_a_tokenizer_that_is_too_large_for_the_model_is_told_before_start(kind: str, field: str) -> None:
    draft = Draft()
    draft.set("tokenizer.kind", kind)
    draft.set("tokenizer.vocab_size", 1000)
    draft.know(ModelFacts("causal-lm", vocab_size=100))

    assert "the model has 100" in draft.errors[field]

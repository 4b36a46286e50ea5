"""Every field carries what the form, the command line and the reference page need."""

from __future__ import annotations

import pytest

from tb_widgets.spec import RunSpec

CARDS = {card.path: card for card in RunSpec.field_cards()}
# Numbers that count nothing: a version, a seed, and the optimiser's plain coefficients.
WITHOUT_UNIT = {"schema_version", "training.seed", "training.beta1", "training.beta2", "training.eps"}


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_a_field_explains_itself(card):
    assert card.title
    assert card.title != card.name, "a title is written for people"
    assert card.help.endswith((".", ")"))
    assert "\n" not in card.help
    assert len(card.help) <= 120, "one line"
    assert card.group
    assert card.level in ("basic", "advanced")
    if card.kind in ("int", "float") and card.path not in WITHOUT_UNIT:
        assert card.unit
        assert card.minimum is not None
        assert card.maximum is not None
    if card.kind == "choice":
        assert card.default in card.choices


def test_the_cards_are_all_fields_once_in_order():
    paths = [card.path for card in RunSpec.field_cards()]
    assert len(paths) == len(set(paths))
    tree = RunSpec().to_mapping()
    flat = [
        f"{section}.{name}" if isinstance(value, dict) else section
        for section, value in tree.items()
        for name in (value if isinstance(value, dict) else [""])
    ]
    assert [path.replace("schema_version", "schema") for path in paths] == flat


def test_titles_are_unambiguous_within_their_group():
    seen = [(card.group, card.title) for card in CARDS.values()]
    assert len(seen) == len(set(seen))


def test_a_number_that_also_takes_a_word_is_a_number():
    card = CARDS["hardware.threads"]
    assert (card.kind, card.words, card.minimum, card.maximum) == ("int", ("auto",), 1, 1024)


def test_a_number_that_may_be_empty_says_so():
    card = CARDS["training.micro_batch_size"]
    assert (card.kind, card.optional, card.default) == ("int", True, None)


def test_an_open_bound_is_told_apart():
    assert CARDS["training.learning_rate"].exclusive_minimum
    assert not CARDS["training.steps"].exclusive_minimum


def test_kinds():
    kinds = {path: CARDS[path].kind for path in ("model.config", "evaluation.prompts", "tracking.wandb", "name")}
    assert kinds == {
        "model.config": "mapping",
        "evaluation.prompts": "list",
        "tracking.wandb": "choice",
        "name": "str",
    }

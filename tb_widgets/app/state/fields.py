"""The fields of the form, and their values as people type them."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from tb_widgets.app.state import typed_numbers
from tb_widgets.service.data import offer_of
from tb_widgets.spec import DataSpec, FieldCard, RunSpec, read_value
from tb_widgets.spec.text import write_value

CARDS: dict[str, FieldCard] = {card.path: card for card in RunSpec.field_cards()}
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")  # 10,000, but not 0,003


def in_words(card: FieldCard, value: Any) -> str:
    """Return a field's value as a page tells it: under its label where it has one.

    >>> in_words(CARDS["training.optimizer"], "adamw"), in_words(CARDS["training.warmup"], 0.05)
    ('AdamW', '5 %')
    """
    if isinstance(value, list):
        return ", ".join(card.label(entry) for entry in value)
    if card.path == "data.source" and (offer := offer_of(DataSpec(source=value))) is not None:
        return offer.title
    return card.label(value) if str(value) in card.labels else as_typed(card, value)


def as_setting(value: Any) -> str:
    """Return a value as YAML that is read back as exactly that value: plain where plain will do."""
    if isinstance(value, str) and value and _reads_as(value, value):
        return value
    if isinstance(value, dict):
        plain = "{" + ", ".join(f"{key}: {entry}" for key, entry in value.items()) + "}"
        if _reads_as(plain, value):
            return plain
    text = json.dumps(value, ensure_ascii=False)
    return text if _reads_as(text, value) else write_value(value)


def _reads_as(text: str, value: Any) -> bool:
    # Compared as Python writes them, for 1 == True == 1.0, and a key may be any of them.
    return repr(read_value(text)) == repr(value)


def read_typed(card: FieldCard, text: str) -> Any:
    """Read what a person typed into a field, without judging it."""
    text = text.strip() if card.kind != "list" else text
    if card.kind == "list":
        return [line for line in text.splitlines() if line.strip()]
    if text == "":
        return {} if card.kind == "mapping" else None if card.optional else ""
    if typed_numbers.is_share(card) and (share := typed_numbers.read_share(text)) is not None:
        return share
    if card.kind == "int" and typed_numbers.is_ambiguous(text):
        return text
    if card.kind in ("int", "float"):
        return _read_number(text, whole=card.kind == "int")
    return read_value(text) if card.kind == "mapping" else text


def _read_number(text: str, *, whole: bool) -> int | float | str:
    """Read a number as people write it, not as YAML does (010 is ten); what is none stays a text."""
    compact = "".join(text.split())
    if _THOUSANDS.fullmatch(compact):
        compact = compact.replace(",", "")
    try:
        return int(compact)
    except ValueError:
        pass
    try:
        value = float(compact)
    except ValueError:
        return text
    if not math.isfinite(value):
        return text
    return int(value) if whole and value.is_integer() else value


def missing(card: FieldCard) -> str:
    """Return what to enter into a field that is empty and may not be.

    >>> missing(CARDS["training.steps"]), missing(CARDS["training.warmup"])
    ('Enter a whole number, for example 1000.', 'Enter a number, for example 5 %.')
    """
    what = {"int": "a whole number", "float": "a number"}.get(card.kind, "a value")
    return f"Enter {what}, for example {as_typed(card, card.default)}."


def as_typed(card: FieldCard, value: Any) -> str:
    """Return a field's value as a person would type it."""
    if value is None:
        return ""
    if card.kind == "list" and isinstance(value, list):
        return "\n".join(str(entry) for entry in value)
    if card.kind == "mapping" and isinstance(value, dict):
        return as_setting(value) if value else ""
    if isinstance(value, float) and typed_numbers.is_share(card):
        return typed_numbers.share_in_words(value)
    if isinstance(value, float):
        rough = f"{value:g}"
        return rough if float(rough) == value else repr(value)
    return str(value)

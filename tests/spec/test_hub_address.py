"""Repositories of the Hub as specs name them."""

from __future__ import annotations

import pytest

from tb_widgets.errors import DataError, ModelError
from tb_widgets.spec.hub_address import HubAddress, parse_hub

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("text", ["hub:me/tiny", "hub:me/tiny-GPT_2.0@refs/pr/1", f"hub:me/tiny@{SHA}#16MB"])
def test_an_address_is_written_as_it_was_read(text):
    assert str(parse_hub(f" {text} ")) == text


def test_a_commit_pins_it():
    assert not parse_hub("hub:me/tiny@main").is_pinned
    assert parse_hub("hub:me/tiny").pinned(SHA, 4) == HubAddress("me/tiny", SHA, 4)
    assert parse_hub("hub:me/tiny").pinned(SHA).is_pinned


@pytest.mark.parametrize("text", ["hub:tiny", "me/tiny", "hub:me/../tiny", "hub:me/tiny@", "hub:me/a--b", "hub:\x1b/b"])
def test_anything_else_is_an_error_of_whoever_asked(text):
    with pytest.raises(DataError, match="is not the address of a Hub dataset"):
        parse_hub(text)
    with pytest.raises(ModelError, match="is not the address of a Hub repository"):
        parse_hub(text, "model")


def test_a_model_has_no_beginning():
    with pytest.raises(ModelError):
        parse_hub("hub:me/tiny#16MB", "model")

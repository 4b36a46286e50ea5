"""Addresses: every form is read exactly, everything else gets a sentence."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tb_widgets.errors import ModelError
from tb_widgets.models.sources.address import GistAddress, is_gist, parse_gist
from tb_widgets.spec.hub_address import HubAddress, parse_hub

ID, SHA, SHORT = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210fedcba98", "fedcba9"
OLD = "6cad326836d38bd3a7ae"

NEWEST = [
    ID,
    ID.upper(),
    f"  {ID}\n",
    f'"{ID}"',
    f"<{ID}>",
    f"gist:{ID}",
    f"GIST: {ID}",
    f"gist:https://gist.github.com/me/{ID}",
    f"gist.github.com/{ID}",
    f"gist.github.com/me/{ID}",
    f"http://gist.github.com/me/{ID}",
    f"https://www.gist.github.com/me/{ID}///",
    f"HTTPS://GIST.GitHub.com/some-body_co/{ID}",
    f"https://gist.github.com/me/{ID}#file-model-py",
    f"https://gist.github.com/me/{ID}?permalink_comment_id=1#gistcomment-1",
    f"https://gist.github.com/me/{ID}/revisions",
    f"https://gist.github.com/{ID}.git",
    f"git@gist.github.com:{ID}.git",
    f'<script src="https://gist.github.com/me/{ID}.js"></script>',
    f"?gist_id={ID}",
    f"gist_id={ID}",
    f"http://127.0.0.1:8866/?dark=1&gist_id={ID}&name=M",
    f"https://colab.research.google.com/github/x/y/blob/main/template.ipynb#gist_id={ID}&name=M",
    f"https://example.com/#name=M&gist_id=%20{ID}",
    f"https://gist.githubusercontent.com/me/{ID}/raw/model.py",
    f"https://gist.githubusercontent.com/me/{ID}/raw",
]
WHOLE = [
    f"{ID}@{SHA}",
    f"{ID}/{SHA}",
    f"{ID}@{SHA.upper()}",
    f"gist:{ID}@{SHA}",
    f"gist.github.com/{ID}/{SHA}",
    f"gist.github.com/{ID}@{SHA}",
    f"https://gist.github.com/me/{ID}/{SHA}/",
    f"https://gist.github.com/me/{ID}/{SHA}#file-config-json",
    f"https://gist.github.com/me/{ID}/archive/{SHA}.zip",
    f"https://gist.githubusercontent.com/me/{ID}/raw/{SHA}/model.py",
    f"https://gist.githubusercontent.com/me/{ID}/raw/{SHA}/model.py?x=1",
    f"http://localhost/?gist_id={ID}@{SHA}",
]
BAD = [
    ("", "it names no id"),
    ("gist:  ", "it names no id"),
    (ID[:-1], "has 31 characters"),
    (f"gist:{ID}0", "has 33 characters"),
    (f"{ID}@", "nothing is not a revision"),
    (f"{ID}@main", "'main' is not a revision"),
    (f"{ID}@{SHA}0", "is not a revision"),
    (f"gist.github.com/me/{ID}/abc", "'abc' is not a revision"),
    (f"gist.github.com/me/{ID}/{SHA}/model.py", "something follows the revision: 'model.py'"),
    (f"gist.github.com/{ID}@{SHA}/x", "something follows the revision"),
    ("gist.github.com", "names no Gist"),
    ("https://gist.github.com/me", "'me' is not an id"),
    ("https://gist.github.com/me/model/revisions", "no id where one should be"),
    ("https://example.com/page", "another site"),
    (f"https://gist.github.com.evil.example/{ID}", "another site"),
    (f"https://evil.example/gist.github.com/{ID}", "another site"),
    ("?gist_id=", "names no Gist|is not an id"),
    ("gist:../../etc/passwd", "no id"),
    ("gist:\x1b[2J", "is not an id"),
]


@pytest.mark.parametrize("text", NEWEST)
def test_every_form_names_the_newest_revision(text):
    assert is_gist(text)
    assert parse_gist(text) == GistAddress(ID)


@pytest.mark.parametrize("text", WHOLE)
def test_every_form_with_a_revision_is_exact(text):
    assert is_gist(text)
    assert parse_gist(text) == GistAddress(ID, SHA)


def test_short_revisions_old_ids_and_numbers():
    assert parse_gist(f"{ID}@{SHORT}") == parse_gist(f"gist.github.com/{ID}/{SHORT}") == GistAddress(ID, SHORT)
    assert parse_gist(f"gist.github.com/{ID}/1234567") == GistAddress(ID, "1234567")
    assert parse_gist(f"https://gist.github.com/octocat/{OLD}") == parse_gist(OLD) == GistAddress(OLD)
    assert parse_gist("https://gist.github.com/me/2059") == parse_gist("gist:2059") == GistAddress("2059")
    # A user's name may look like an id.
    assert parse_gist(f"gist.github.com/{OLD}/{ID}") == GistAddress(ID)
    assert str(GistAddress(ID, SHA)) == f"gist:{ID}@{SHA}"


@pytest.mark.parametrize(("text", "why"), BAD)
def test_what_is_no_address_is_told_what_is_wrong(text, why):
    with pytest.raises(ModelError, match=why) as caught:
        parse_gist(text)
    assert "is not the address of a Gist" in caught.value.message
    assert "gist.github.com/USER/ID" in caught.value.hint
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "path",
    [
        "model.py",
        "./gist.github.com/x",
        "models/mine",
        "C:\\x",
        "2059",
        f"{ID}/model.py",
        f"./{ID}",
        "hub:me/x",
        "zoo:gpt",
        "gist_models/gist_id=3",
    ],
)
def test_paths_and_other_sources_are_no_gists(path):
    assert not is_gist(path)


def test_hub_addresses():
    assert parse_hub("hub:me/tiny", "model") == HubAddress("me/tiny")
    assert parse_hub(" hub:me/tiny-GPT_2.0@refs/pr/1 ", "model") == HubAddress("me/tiny-GPT_2.0", "refs/pr/1")
    assert str(HubAddress("me/tiny", SHA)) == f"hub:me/tiny@{SHA}"
    for wrong in (
        "hub:",
        "hub:tiny",
        "hub:me/tiny@",
        "hub:me/../x",
        "hub:../x",
        "hub:me/a/b",
        "hub:me/x@a..b",
        "hub:mé/x",
        "hub:me/x#16MB",
    ):
        with pytest.raises(ModelError, match="not the address of a Hub repository"):
            parse_hub(wrong, "model")


PIECES = st.sampled_from(
    [ID, SHA, OLD, "@", "/", "#", "?", "&", "=", "gist:", "gist_id=", "https://", "gist.github.com", "raw", "archive",
     ".git", "me", "..", "%2F", "%00", "\x00", " ", "<script src='", "'", "\ud800", "model.py", "hub:", "é"]
)  # fmt: skip


@settings(max_examples=1000, deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=8).map("".join), st.text(max_size=60)))
@example("https://[")
@example("gist:" + "a" * 100_000)
def test_any_text_is_an_address_or_a_sentence(text):
    for parse in (parse_gist, partial(parse_hub, kind="model")):
        refused, address = None, None
        try:
            address = parse(text)
        except ModelError as error:
            refused = error
        if refused is not None:
            assert refused.hint
            assert len(refused.message) < 600
        else:
            assert parse(str(address)) == address
            assert ".." not in address.id
            assert address.id.isascii()
    is_gist(text)

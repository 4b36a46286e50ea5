from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tb_widgets.data.sources import read_text
from tb_widgets.data.tokenizers import BpeTokenizer, chunks, load_tokenizer, train_tokenizer
from tb_widgets.errors import DataError
from tb_widgets.spec import TokenizerSpec

PROSE = read_text("python-docs").text[:60_000]
BPE = train_tokenizer(TokenizerSpec(kind="bpe", vocab_size=400), PROSE)
BYTE = train_tokenizer(TokenizerSpec(kind="byte"), "")

# Line breaks of every kind, runs of blanks and rare characters are where round trips break.
texts = st.text() | st.lists(st.sampled_from(["\n", "\r\n", "  ", "\t", "def ", "é", "🦋", "\u2028", "word"])).map(
    "".join
)


@settings(max_examples=150, deadline=None)
@given(text=texts)
def test_byte_and_bpe_give_back_every_text(text):
    for tokenizer in (BYTE, BPE):
        ids = tokenizer.encode(text)
        assert np.issubdtype(ids.dtype, np.integer)
        assert ids.max(initial=0) < tokenizer.vocab_size
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode(ids.tolist()) == text


@settings(max_examples=100, deadline=None)
@given(text=st.text(min_size=1), other=st.text())
@example(text="ab", other="Å")  # above every known code point
def test_char_gives_back_what_it_knows_and_marks_the_rest(text, other):
    tokenizer = train_tokenizer(TokenizerSpec(kind="char"), text)
    assert tokenizer.vocab_size == len(set(text)) + 1
    assert tokenizer.decode(tokenizer.encode(text)) == text
    ids = tokenizer.encode(other)
    assert len(ids) == len(other)
    assert tokenizer.decode(ids) == "".join(c if c in text else "\ufffd" for c in other)
    assert all((id_ == 0) == (c not in text) for id_, c in zip(ids, other, strict=True))


@pytest.mark.parametrize("kind", ["byte", "char", "bpe"])
def test_a_saved_tokenizer_is_the_same_tokenizer(tmp_path: Path, kind: str):
    tokenizer = train_tokenizer(TokenizerSpec(kind=kind, vocab_size=400), PROSE)
    tokenizer.save(tmp_path / "run" / "tokenizer")
    loaded = load_tokenizer(tmp_path / "run" / "tokenizer")
    assert (loaded.kind, loaded.vocab_size) == (kind, tokenizer.vocab_size)
    assert loaded.serialized() == tokenizer.serialized()
    text = "Something new: 🦋\n\n    if x: pass"
    assert loaded.encode(text).tolist() == tokenizer.encode(text).tolist()
    assert (tmp_path / "run" / "tokenizer" / "tokenizer.json").exists() == (kind == "bpe")


def test_bpe_is_the_same_each_time_and_shortens_text():
    again = train_tokenizer(TokenizerSpec(kind="bpe", vocab_size=400), PROSE)
    assert again.serialized() == BPE.serialized()
    assert len(BPE.encode(PROSE)) < 0.7 * len(PROSE)
    assert BPE.vocab_size == 400
    assert BPE.note == ""


def test_a_small_text_gets_the_vocabulary_that_it_can_bear():
    tokenizer = train_tokenizer(TokenizerSpec(kind="bpe", vocab_size=2048), "to be or not to be " * 3)
    assert isinstance(tokenizer, BpeTokenizer)
    assert 256 < tokenizer.vocab_size < 300
    assert tokenizer.note == f"The text bears a vocabulary of {tokenizer.vocab_size} pieces; 2,048 were asked for."


def test_a_vocabulary_below_the_bytes_is_refused():
    with pytest.raises(
        DataError, match=r"tokenizer.vocab_size is 200, and bpe starts from the 256 bytes\. Set it to 256"
    ):
        train_tokenizer(TokenizerSpec(kind="bpe", vocab_size=200), PROSE)


@settings(max_examples=40, deadline=None)
@given(lines=st.lists(st.integers(0, 90_000), max_size=6))
def test_chunks_are_the_text_and_of_bearable_size(lines):
    text = "\n".join("x" * length for length in lines)
    found = list(chunks(text))
    assert "".join(found) == text
    assert all(0 < len(chunk) <= 65536 + 1 for chunk in found)
    assert all(chunk.endswith("\n") or len(chunk) == 65536 for chunk in found[:-1])


def test_a_long_text_is_encoded_in_chunks_without_a_seam():
    text = (PROSE + "\n") * 3
    assert BPE.decode(BPE.encode(text)) == text


def test_missing_and_damaged_tokenizers(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"There is no tokenizer in .*It should hold tokenizer.json or tb_tokenizer.json"
    ):
        load_tokenizer(tmp_path)
    for name in ("tb_tokenizer.json", "tokenizer.json"):
        (tmp_path / name).write_text("{")
        with pytest.raises(DataError, match=rf"The tokenizer .*{name} can't be read: .*Copy it again"):
            load_tokenizer(tmp_path)


def test_a_tokenizer_that_can_not_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"The tokenizer can't be written to .*file"):
        BYTE.save(tmp_path / "file")

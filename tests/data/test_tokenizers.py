import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import models, normalizers, pre_tokenizers

from tb_widgets.data.prepared import prepare
from tb_widgets.data.sources.builtin import read_text
from tb_widgets.data.tokenizers import fast_words as tokenizers_words
from tb_widgets.data.tokenizers.fast_words import WORD_PATTERN as WORDS_OF_LIBRARY
from tb_widgets.data.tokenizers.fast_words import WordTable
from tb_widgets.data.tokenizers.make import chunks, load_tokenizer, train_tokenizer
from tb_widgets.data.tokenizers.pieces import PieceTokenizer
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, TokenizerSpec

PROSE = read_text("python-docs")[:60_000]
BPE = train_tokenizer(TokenizerSpec(kind="bpe", vocab_size=400), PROSE)
UNIGRAM = train_tokenizer(TokenizerSpec(kind="unigram", vocab_size=400), PROSE)
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


@pytest.mark.parametrize("kind", ["byte", "char", "bpe", "unigram"])
def test_a_saved_tokenizer_is_the_same_tokenizer(tmp_path: Path, kind: str):
    tokenizer = train_tokenizer(TokenizerSpec(kind=kind, vocab_size=400), PROSE)
    tokenizer.save(tmp_path / "run" / "tokenizer")
    loaded = load_tokenizer(tmp_path / "run" / "tokenizer")
    assert (loaded.kind, loaded.vocab_size) == (kind, tokenizer.vocab_size)
    assert loaded.serialized() == tokenizer.serialized()
    text = "Something new: 🦋\n\n    if x: pass"
    assert loaded.encode(text).tolist() == tokenizer.encode(text).tolist()
    assert (tmp_path / "run" / "tokenizer" / "tokenizer.json").exists() == (kind in ("bpe", "unigram"))


def test_bpe_is_the_same_each_time_and_shortens_text():
    again = train_tokenizer(TokenizerSpec(kind="bpe", vocab_size=400), PROSE)
    assert again.serialized() == BPE.serialized()
    assert len(BPE.encode(PROSE)) < 0.7 * len(PROSE)
    assert BPE.vocab_size == 400
    assert BPE.note == ""


def test_a_small_text_gets_the_vocabulary_that_it_can_bear():
    tokenizer = train_tokenizer(TokenizerSpec(kind="bpe", vocab_size=2048), "to be or not to be " * 3)
    assert isinstance(tokenizer, PieceTokenizer)
    assert 256 < tokenizer.vocab_size < 300
    assert tokenizer.note == (
        f"This text only supports a vocabulary of {tokenizer.vocab_size} tokens (you asked for 2,048)."
    )


@pytest.mark.parametrize("vocab_size", [32, 64, 101, 255])
def test_bpe_below_the_bytes_starts_from_characters(tmp_path: Path, vocab_size):
    made = train_tokenizer(TokenizerSpec(kind="bpe", vocab_size=vocab_size), PROSE)
    assert (made.kind, made.vocab_size) == ("bpe", vocab_size)
    assert made.serialized() == train_tokenizer(TokenizerSpec(kind="bpe", vocab_size=vocab_size), PROSE).serialized()
    made.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    ids = loaded.encode(PROSE)
    assert ids.max() < vocab_size
    is_whole = len(set(PROSE)) < vocab_size
    assert (loaded.decode(ids) == PROSE) == is_whole
    assert ("different characters; the " in made.note and "become the unknown token." in made.note) == (not is_whole)
    assert len(ids) < len(PROSE) or not is_whole
    known = "".join(character for character in PROSE if loaded.encode(character).tolist() != [0])
    assert loaded.decode(loaded.encode(known)) == known
    assert loaded.decode(loaded.encode("the \u2603 sea")) == "the \ufffd sea"
    # As the library does it, whatever is looked up in the table of words.
    assert ids.tolist() == [token for chunk in chunks(PROSE) for token in loaded._core.encode(chunk).ids]


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
        DataError, match=r"There is no tokenizer in .*It should contain tokenizer.json or tb_tokenizer.json"
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


# What the table of words has to cut as the library does: blanks of every kind, English endings, signs, other scripts.
SOME = [
    " ",
    "  ",
    "\n",
    "\t",
    "\r\n",
    "\u00a0",
    "\u3000",
    "\u2028",
    "\x00",
    "\x1f",
    " " * 17,
    "=" * 20,
    "_",
    "-",
    "...",
]
SOME += ["'", "''", "'s", "'t", "'re", "'ll", "'ve", "'m", "'d", "'S", "'\u2072", "'\u0173", "s", "l'", "don't"]
SOME += [
    "a",
    "Z",
    "9",
    "\u00b2",
    "\u0664",
    "\u4e2d\u6587",
    "\u0301",
    "\U0001f98b",
    "\ufffd",
    "\ue000",
    "\U000e0101",
    "é",
    "ß",
]
WORDS = st.lists(st.sampled_from([*SOME, "internationalisation"]) | st.text(max_size=3), max_size=30).map("".join)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(WORDS.filter(bool), min_size=1, max_size=6))
@pytest.mark.parametrize("tokenizer", [BPE, UNIGRAM], ids=["bpe", "unigram"])
def test_the_table_of_words_gives_the_ids_of_the_library(tokenizer, texts):
    expected = tokenizer._core.encode_batch(texts, add_special_tokens=False)
    found = WordTable(tokenizer._core).encode_all(texts)
    assert [ids.tolist() for ids in found] == [encoding.ids for encoding in expected]


def places_of(texts):
    """Return where words begin in texts that stand one after another, by the library."""
    cutter = pre_tokenizers.Split(tokenizers.Regex(WORDS_OF_LIBRARY), "isolated")
    firsts = np.cumsum([0, *map(len, texts[:-1])])
    cut = [cutter.pre_tokenize_str(text) for text in texts]
    expected = [first + start for first, words in zip(firsts, cut, strict=True) for _, (start, _) in words]
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype="<u4")
    return expected, tokenizers_words._word_places(codes, firsts).tolist()


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(WORDS.filter(bool), min_size=1, max_size=4))
@example(texts=["'q\u0165", "'", "s'", "re x'l", "l"])
def test_words_begin_where_the_library_cuts(texts):
    expected, found = places_of(texts)
    assert found == expected


def test_code_points_are_cut_as_the_library_cuts_them():
    points = [chr(code) for code in [*range(0x3100), *range(0x3100, 0x32000, 23)] if not 0xD800 <= code <= 0xDFFF]
    # Each between a letter, a number, a sign and blanks.
    expected, found = places_of(["".join(f"a{c}1{c}!{c} {c}\n{c}'" for c in points)])
    assert found == expected


def test_long_texts_go_by_the_table_and_forgotten_words_are_learned_again(monkeypatch):
    monkeypatch.setattr(tokenizers_words, "_MOST_WORDS", 500)
    text = read_text("python-source")[:300_000]
    parts = list(chunks(text))
    expected = [encoding.ids for encoding in BPE._core.encode_batch_fast(parts, add_special_tokens=False)]
    table = WordTable(BPE._core)
    for first in range(0, len(parts), 5):
        found = table.encode_all(parts[first : first + 5])
        assert [ids.tolist() for ids in found] == expected[first : first + 5]
    assert len(table._known._numbers) < 5000
    assert [ids.tolist() for ids in BPE.encode_all(parts)] == expected
    assert len(BPE._words._known._numbers) > 1000


def test_two_threads_encode_the_same():
    parts = list(chunks(read_text("python-source")[:400_000]))
    expected = [ids.tolist() for ids in BPE.encode_all(parts)]
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(BPE.encode_all, [parts] * 4):
            assert [ids.tolist() for ids in found] == expected


def test_a_file_is_taken_as_it_is_and_its_signs_are_known_by_role(tmp_path: Path):
    core = tokenizers.Tokenizer(models.WordPiece({"[UNK]": 0, "to": 1, "be": 2, "[PAD]": 5}, unk_token="[UNK]"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.add_special_tokens(["[PAD]", "[UNK]", "[MASK]"])
    core.enable_truncation(2)
    core.enable_padding(length=9)
    path = tmp_path / "tokenizer.json"
    path.write_text(core.to_str())
    spec = TokenizerSpec(kind="file", file=str(path))
    tokenizer = train_tokenizer(spec, "To be\nOr not")
    assert tokenizer.kind == "wordpiece"
    assert dict(tokenizer.special) == {"pad": 5, "unknown": 0, "mask": 4}
    assert tokenizer.vocab_size == 6
    assert tokenizer.encode("to be or to be").tolist() == [1, 2, 0, 1, 2]  # neither cut nor filled up
    assert "'To be' becomes 'to be'. The model can't learn what is lost." in tokenizer.note
    assert tokenizer.serialized() == path.read_text()
    path.write_text(BPE.serialized())
    assert train_tokenizer(spec, PROSE).note == ""


@pytest.mark.parametrize("repeat", [1, 20])  # a long text goes by the table of words
def test_names_of_special_tokens_in_a_text_are_text(repeat):
    core = tokenizers.Tokenizer.from_str(BPE.serialized())
    core.add_special_tokens(["<|endoftext|>"])
    core.add_tokens([tokenizers.AddedToken("[MASK]", special=False), tokenizers.AddedToken("<tool>", special=False)])
    tokenizer = PieceTokenizer(core.to_str())
    assert dict(tokenizer.special) == {"end": 400, "mask": 401}
    text = (PROSE + "<|endoftext|> and [MASK]") * repeat
    ids = tokenizer.encode(text)
    assert ids.max() < 400
    assert ids.tolist() == BPE.encode(text).tolist()
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode([400]) == "<|endoftext|>"
    assert 402 in tokenizer.encode(text + "<tool>"), "a piece that was added is one"


@pytest.mark.parametrize("kind", ["unigram", "wordlevel"])
def test_names_of_special_tokens_in_a_text_are_text_where_the_model_knows_them_as_pieces(kind):
    pieces = ["<unk>", "</s>", "[MASK]", *"</s>[MASK] ab"]
    if kind == "unigram":
        core = tokenizers.Tokenizer(models.Unigram([(piece, -0.1 * n) for n, piece in enumerate(pieces)], unk_id=0))
    else:
        core = tokenizers.Tokenizer(models.WordLevel({piece: n for n, piece in enumerate(pieces)}, unk_token="<unk>"))
        core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.add_special_tokens(pieces[:3])
    tokenizer = PieceTokenizer(core.to_str())
    text = "a </s> [MASK] b"
    ids = tokenizer.encode(text)
    assert {1, 2}.isdisjoint(ids.tolist())
    if kind == "unigram":
        assert "".join(core.id_to_token(token) for token in ids) == text


def test_documents_end_where_they_end_and_not_where_they_say_so(tmp_path: Path):
    core = tokenizers.Tokenizer.from_str(BPE.serialized())
    core.add_special_tokens(["<|endoftext|>"])
    core.save(str(tmp_path / "tokenizer.json"))
    lines = [json.dumps({"text": f"Text {n} says <|endoftext|> and goes on."}) for n in range(200)]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines))
    data = DataSpec(source=str(tmp_path / "texts.jsonl"), context_length=32)
    spec = TokenizerSpec(kind="file", file=str(tmp_path / "tokenizer.json"))
    found = prepare(data, spec, task="causal-lm", cache_dir=tmp_path / "cache")
    ends = sum(int((part == found.document_end).sum()) for part in (found.train, found.validation))
    assert ends == 200


def test_files_that_are_no_tokenizers(tmp_path: Path):
    def refused(file):
        with pytest.raises(DataError) as caught:
            train_tokenizer(TokenizerSpec(kind="file", file=file), PROSE)
        return str(caught.value)

    assert "tokenizer.kind is file, but tokenizer.file is empty. Set tokenizer.file to the path" in refused(None)
    assert "tokenizer.json can't be read: No such file" in refused(str(tmp_path / "tokenizer.json"))
    (tmp_path / "vocab.txt").write_text("[UNK]\nto\n")
    assert "vocab.txt is not a tokenizer of the tokenizers library: " in refused(str(tmp_path / "vocab.txt"))


@pytest.mark.parametrize("vocab_size", [32, 100, 101, 1000])
def test_unigram_never_exceeds_the_vocabulary_that_was_asked_for(vocab_size):
    text = PROSE + "".join(map(chr, range(0x4E00, 0x4E00 + 20)))
    tokenizer = train_tokenizer(TokenizerSpec(kind="unigram", vocab_size=vocab_size), text)
    assert tokenizer.vocab_size <= vocab_size
    ids = tokenizer.encode(text)
    assert ids.max() < tokenizer.vocab_size
    is_whole = tokenizer.decode(ids) == text
    assert is_whole == (len(set(text)) < vocab_size)
    assert ("different characters; the " in tokenizer.note and "become the unknown token." in tokenizer.note) == (
        not is_whole
    )


def test_a_small_text_bears_a_small_unigram():
    tokenizer = train_tokenizer(TokenizerSpec(kind="unigram", vocab_size=2048), "to be or not to be " * 3)
    assert tokenizer.vocab_size < 50
    assert tokenizer.note == (
        f"This text only supports a vocabulary of {tokenizer.vocab_size} tokens (you asked for 2,048)."
    )
    assert tokenizer.decode(tokenizer.encode("not xyz or")) == "not \ufffd or"


@pytest.mark.parametrize("kind", ["char", "bpe", "unigram"])
@pytest.mark.parametrize("vocab_size", [64, 300])
def test_pieces_are_learned_from_halves_of_surrogate_pairs_too(kind, vocab_size):
    tokenizer = train_tokenizer(TokenizerSpec(kind=kind, vocab_size=vocab_size), "to be \ud800 or not " * 9)
    assert tokenizer.decode(tokenizer.encode("be \udfff or")) == "be \ufffd or"


def test_halves_of_surrogate_pairs_are_replaced():
    for tokenizer in (BYTE, BPE, UNIGRAM):
        assert len(tokenizer.encode("a\ud800b")) >= 3
    assert BPE.decode(BPE.encode("a\ud800b")) == "a\ufffdb"

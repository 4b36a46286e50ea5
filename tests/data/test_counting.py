"""Counted losses against a slow count with dictionaries, and against figures that are known for a real text."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from tb_widgets.data import counting
from tb_widgets.data.counting import class_losses, n_gram_losses
from tb_widgets.data.prepared import prepare
from tb_widgets.spec import DataSpec, TokenizerSpec

SHAKESPEARE = next(
    (file for up in Path(__file__).parents if (file := up / "shared" / "data" / "tinyshakespeare.txt").exists()), None
)


def slow_loss(train, windows, *, vocab_size, longest, border=None):
    """The same by the formula, a token at a time."""
    counts = defaultdict(Counter)

    def context(tokens, place, length):
        """The tokens before a place, or None where there are fewer of its own document."""
        found = tokens[place - length : place]
        return tuple(found) if len(found) == length <= place and border not in found else None

    for place, token in enumerate(train):
        for length in range(longest):
            if (before := context(train, place, length)) is not None:
                counts[before][token] += 1

    def share(before, token):
        lower = 1 / vocab_size if not before else share(before[1:], token)
        follow = counts.get(before)
        if not follow:
            return lower
        return (follow[token] + len(follow) * lower) / (follow.total() + len(follow))

    losses = []
    for window in windows:
        for place in range(1, len(window)):
            if window[place - 1] == border:
                continue
            before = next(b for n in range(longest - 1, -1, -1) if (b := context(window, place, n)) is not None)
            losses.append(-math.log(share(before, window[place])))
    return sum(losses) / len(losses)


def tokens_of(text):
    return np.array([ord(letter) - ord("a") for letter in text])


@pytest.mark.parametrize("border", [None, 3])
@pytest.mark.parametrize("vocab_size", [18, 5000])  # numbered, and sorted
def test_losses_are_those_of_the_formula(border, vocab_size):
    train = tokens_of("abracadabra" * 3 + "hagbahafeddacabbagebadcabadegg" * 5)
    windows = tokens_of("cabbagebadcabadeabracadabrahagba").reshape(4, 8)
    fast = counting._losses(train, windows, vocab_size=vocab_size, border=border)
    assert len(fast) >= 4
    slow = [
        slow_loss(train.tolist(), windows.tolist(), vocab_size=vocab_size, longest=n, border=border)
        for n in range(1, len(fast) + 1)
    ]
    assert fast == pytest.approx(slow)


def test_a_context_does_not_reach_beyond_its_window():
    train = tokens_of("ab" * 500)
    whole, cut = (n_gram_losses(train, tokens_of("ab" * 12).reshape(-1, width), vocab_size=4) for width in (24, 2))
    assert cut.lines[2].loss == pytest.approx(whole.lines[2].loss, rel=0.1)  # a bigram needs one token
    two_rows = tokens_of("abab").reshape(2, 2)
    assert n_gram_losses(train, two_rows, vocab_size=4).lines[-1].name == "bigram"  # there is never a second one


def test_too_few_tokens_for_a_vocabulary_are_told_not_counted():
    found = n_gram_losses(np.arange(500), np.arange(100).reshape(10, 10), vocab_size=2048)
    assert [line.name for line in found.lines] == ["even guess"]
    assert found.lines[0].loss == pytest.approx(math.log(2048))
    assert found.reason == (
        "The training data has 500 tokens, fewer than the vocabulary (2,048): too few for n-gram baselines."
    )


def test_a_long_text_is_counted_in_blocks_from_all_over_it(monkeypatch):
    monkeypatch.setattr(counting, "MOST_COUNTED", 20 * 4096)
    half = np.random.default_rng(0).integers(0, 4, 200_000)
    train = np.concatenate([half, half + 4]).astype(np.uint16)
    window = np.random.default_rng(1).integers(4, 8, (50, 100))
    unigram = n_gram_losses(train, window, vocab_size=8).lines[1]
    assert unigram.loss == pytest.approx(math.log(8), rel=0.02)  # of the second half alone it would be ln 4


def test_class_frequencies():
    even, frequency = class_losses(np.array([0] * 7 + [1]), np.array([0, 0, 1]), classes=2).lines
    assert even.loss == pytest.approx(math.log(2))
    assert frequency.loss == pytest.approx(-(2 * math.log(8 / 10) + math.log(2 / 10)) / 3)


def test_prepared_texts_are_counted_on_their_validation_batches(text_file, tmp_path):
    data = DataSpec(source=str(text_file), context_length=16)
    prepared = prepare(data, TokenizerSpec(kind="char"), cache_dir=tmp_path)
    batches = prepared.validation_batches(batch_size=4, batches=3)
    found = prepared.baselines(batches)
    rows = np.concatenate([np.concatenate([b["tokens"], b["labels"][:, -1:]], axis=1) for b in batches]).tolist()
    assert [line.name for line in found.lines[:3]] == ["even guess", "unigram", "bigram"]
    assert found.lines[2].loss == pytest.approx(
        slow_loss(prepared.train.tolist(), rows, vocab_size=prepared.vocab_size, longest=2)
    )
    assert prepared.units == "characters"


@pytest.mark.skipif(SHAKESPEARE is None, reason="../shared/data/tinyshakespeare.txt is not there")
def test_tinyshakespeare_by_characters():
    text = SHAKESPEARE.read_text(encoding="utf-8")
    known = {letter: number for number, letter in enumerate(sorted(set(text)), 1)}
    ids = np.array([known[letter] for letter in text], dtype=np.uint16)
    train, validation = np.split(ids, [int(0.9 * len(ids))])
    windows = validation[np.arange((len(validation) - 1) // 64)[:, None] * 64 + np.arange(65)]
    began = time.process_time()
    found = n_gram_losses(train, windows, vocab_size=len(known) + 1)
    assert time.process_time() - began < 3
    assert [(line.name, round(line.loss, 2)) for line in found.lines] == [
        ("even guess", 4.19),
        ("unigram", 3.35),
        ("bigram", 2.49),
        ("5-gram", 1.69),
    ]

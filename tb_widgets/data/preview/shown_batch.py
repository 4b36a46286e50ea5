"""A few rows of a batch as people read them, with everything that the model is shown beside the text. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np

from tb_widgets.data.batches.masking import hide
from tb_widgets.data.batches.spans import cut_out
from tb_widgets.data.keyed_random import key_of
from tb_widgets.data.preview.sample import Sample
from tb_widgets.data.tokenizers.make import Ids, Tokenizer
from tb_widgets.data.tokenizers.special_tokens import MASK_TEXT, SHORTEST_TO_CUT, SpecialTokens
from tb_widgets.spec import DataSpec, Task
from tb_widgets.spec.batch import NOT_COUNTED

_ROWS, _LONGEST = 3, 192
"""How many rows are shown, and how many tokens of each at most."""

_LETTER = 4  # tokens that one character has at most, if it is not a piece by itself

Kind = Literal["text", "hidden", "changed", "asked", "special"]


class Marked(NamedTuple):
    """A token, or several that make one character.

    Attributes
    ----------
    text
        What stands there.
    kind
        ``text``; ``hidden`` by a mask; ``changed`` into another; ``asked`` about although it stands there; ``special``
        tokens that are no text.
    was
        What the text says there, if that is not what stands there.
    """

    text: str
    kind: Kind
    was: str = ""


class BatchRow(NamedTuple):
    """One row: what the model reads, and what it is to answer (empty where that is in ``was`` or the next token)."""

    reads: tuple[Marked, ...]
    answers: tuple[Marked, ...] = ()


def show_batch(sample: Sample, tokenizer: Tokenizer, data: DataSpec, task: Task) -> tuple[BatchRow, ...]:
    """Return rows of a batch, made of a sample in the way in which batches are made of the whole data."""
    # A stream is never filled up; there the same token ends documents.
    special = SpecialTokens(tokenizer.vocab_size, tokenizer.special)
    shown = _Shown(tokenizer, special, "[END]" if sample.answers is None else "[PAD]")
    if sample.answers is None:
        return tuple(_of_stream(sample, shown, data, task))
    pairs = [(sample.texts[place], sample.answers[place]) for place in sample.whole[:_ROWS]]
    texts = [tokenizer.encode(text) for text, _ in pairs]
    if task == "sequence-classification":
        rows = _filled([text[: data.context_length] for text in texts], special.pad, data.padding_side)
        return tuple(
            BatchRow(shown.tokens(row), (Marked(answer, "text"),)) for row, (_, answer) in zip(rows, pairs, strict=True)
        )
    room = data.context_length - 1
    rows = _filled([np.append(text[:room], special.end) for text in texts], special.pad, data.padding_side)
    answers = [np.append(tokenizer.encode(answer)[:room], special.end) for _, answer in pairs]
    return tuple(BatchRow(shown.tokens(row), shown.tokens(answer)) for row, answer in zip(rows, answers, strict=True))


def _of_stream(sample: Sample, shown: _Shown, data: DataSpec, task: Task) -> Iterable[BatchRow]:
    length, special = data.context_length, shown.special
    ids: list[Ids] = []
    size = 0
    for place, text in enumerate(sample.texts):
        ids.append(shown.tokenizer.encode(text))
        size += len(ids[-1])
        if place in sample.ends or (sample.documents and sample.unit == "row" and text.strip()):
            ids.append(np.array([special.document_end]))
            size += 1
        if size > _ROWS * length:
            break
    stream = np.concatenate(ids).astype(np.int64) if ids else np.zeros(0, dtype=np.int64)
    for number in range(_ROWS):
        window = stream[number * length : (number + 1) * length][None]
        if not window.size:
            return
        key = key_of("preview", number)
        if task == "masked-lm":
            hidden = hide(window, key, vocab_size=shown.tokenizer.vocab_size, mask=special.mask)
            yield BatchRow(shown.tokens(hidden["tokens"][0], hidden["labels"][0]))
        elif task == "seq2seq" and window.size >= SHORTEST_TO_CUT:
            cut = cut_out(window, key, special)
            yield BatchRow(*(shown.tokens(cut[role][0]) for role in ("tokens", "labels")))
        else:
            yield BatchRow(shown.tokens(window[0]))


def _filled(rows: list[Ids], filler: int, side: str) -> list[Ids]:
    longest = max(map(len, rows), default=0)
    padded = [(row, np.full(longest - len(row), filler)) for row in rows]
    return [np.concatenate(parts if side == "right" else parts[::-1]) for parts in padded]


class _Shown:
    """Turns token ids into what people read."""

    def __init__(self, tokenizer: Tokenizer, special: SpecialTokens, first: str) -> None:
        self.tokenizer, self.special = tokenizer, special
        self._names = {special.mask: MASK_TEXT, special.start: "[START]", special.end: "[END]", special.pad: first}

    def tokens(self, ids: Ids, labels: Ids | None = None) -> tuple[Marked, ...]:
        """Return the tokens with their marks; ``labels`` say what is asked, -100 where nothing is."""
        asked = np.full(len(ids), NOT_COUNTED) if labels is None else labels
        found: list[Marked] = []
        waiting: list[int] = []  # tokens that are no whole character yet
        for token, label in islice(zip(ids.tolist(), asked.tolist(), strict=True), _LONGEST):
            if label == NOT_COUNTED and token < self.tokenizer.vocab_size and token not in self._names:
                waiting.append(token)
                text = self.tokenizer.decode(waiting)
                if not text.endswith("\ufffd") or len(waiting) == _LETTER:
                    found.append(Marked(text, "text"))
                    waiting = []
                continue
            if waiting:
                found.append(Marked(self.tokenizer.decode(waiting), "text"))
                waiting = []
            found.append(self._marked(token, label))
        if waiting:
            found.append(Marked(self.tokenizer.decode(waiting), "text"))
        if len(ids) > _LONGEST:
            found.append(Marked("…", "special"))
        return tuple(found)

    def _marked(self, token: int, label: int) -> Marked:
        if label == NOT_COUNTED:
            return Marked(self._name(token), "special")
        was = self.tokenizer.decode([label])
        if token == label:
            return Marked(was, "asked")
        if token == self.special.mask:
            return Marked(MASK_TEXT, "hidden", was)
        return Marked(self.tokenizer.decode([token]), "changed", was)

    def _name(self, token: int) -> str:
        first_sentinel = self.special.sentinel(0)
        return f"[SENTINEL {token - first_sentinel + 1}]" if token >= first_sentinel else self._names[token]

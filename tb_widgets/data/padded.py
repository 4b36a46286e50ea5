"""Single texts as batches: padded to the longest of the batch, with others of about their length."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tb_widgets.data.batches import NOT_COUNTED, Batch, Batches, share_of
from tb_widgets.data.encoded import made_tokenizer, tokenizer_key
from tb_widgets.data.examples import Example, read_examples
from tb_widgets.data.order import Order, draws, key_of
from tb_widgets.data.special import SpecialTokens
from tb_widgets.data.task_data import HeldBack, PreparedData
from tb_widgets.data.tokenizers import Ids, Tokenizer, load_tokenizer
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, Task, TokenizerSpec

Collate = Callable[[NDArray[np.int64]], Batch]

# Steps whose examples are sorted by length together: less padding, and still no two passes alike.
_STEPS_AT_ONCE = 16


class ExampleBatches:
    """Batches of single examples, each once per pass, in an order that a step number determines.

    The examples of 16 steps are sorted by length and cut into batches, which then change places.

    Parameters
    ----------
    collate
        Numbers of examples, ``(B,)``, to a batch.
    lengths
        One for each example.
    batch_size
        Examples per step, over all ranks.
    seed, fingerprint
        Key of the order.
    """

    def __init__(
        self, collate: Collate, lengths: NDArray[np.int64], *, batch_size: int, seed: int, fingerprint: str
    ) -> None:
        self._collate, self._lengths, self._batch_size = collate, lengths, batch_size
        self._order = Order(len(lengths), seed=seed, fingerprint=fingerprint)
        self._key = ("places of batches", seed, fingerprint)
        self._block = -1
        self._rows = np.zeros((0, batch_size), dtype=np.int64)

    def batch(self, step: int, *, rank: int = 0, ranks: int = 1) -> Batch:
        """Return the batch of a step, or a rank's slice of it (padded for itself)."""
        block, row = divmod(step, _STEPS_AT_ONCE)
        if block != self._block:
            self._rows, self._block = self._sorted(block), block
        return self._collate(self._rows[row][share_of(rank, ranks, self._batch_size)])

    def _sorted(self, block: int) -> NDArray[np.int64]:
        number = _STEPS_AT_ONCE * self._batch_size
        examples = self._order.take(block * number, number)[0].astype(np.int64)
        by_length = examples[np.argsort(self._lengths[examples], kind="stable")].reshape(_STEPS_AT_ONCE, -1)
        return by_length[np.argsort(draws(key_of(*self._key, block), _STEPS_AT_ONCE), kind="stable")]


@dataclass
class PaddedData(PreparedData):
    """Texts with answers as token ids.

    Attributes
    ----------
    train, validation
        Training and held-back examples.
    examples
        The held-back examples as texts.
    """

    tokenizer: Tokenizer
    train: EncodedExamples
    validation: EncodedExamples
    examples: list[Example]

    def train_batches(self, *, batch_size: int, seed: int) -> Batches:
        """Return batches of training examples; see :class:`ExampleBatches`."""
        return ExampleBatches(
            self.train.batch, self.train.lengths, batch_size=batch_size, seed=seed, fingerprint=self.fingerprint
        )

    def validation_batches(self, *, batch_size: int, batches: int) -> list[Batch]:
        """Return batches of examples spread evenly over the held-back ones."""
        lengths = self.validation.lengths
        wanted = min(len(lengths), batch_size * batches)
        chosen = np.arange(wanted) * len(lengths) // wanted
        chosen = chosen[np.argsort(lengths[chosen], kind="stable")]
        return [self.validation.batch(chosen[first : first + batch_size]) for first in range(0, wanted, batch_size)]

    def held_back(self, number: int) -> list[HeldBack]:
        """Return held-back texts and their answers, spread evenly."""
        places = [len(self.examples) * n // number for n in range(number)]
        return [HeldBack(self.examples[place].text, self.examples[place].answer) for place in places]


@dataclass(frozen=True)
class EncodedExamples:
    """Examples as token ids, and how they become a batch.

    Attributes
    ----------
    texts
        Token ids of each text.
    answers
        The number of each one's class, or the token ids of each one's answer.
    special
        Ids of padding, start and end.
    """

    texts: list[Ids]
    answers: list[int] | list[Ids]
    special: SpecialTokens

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, ``(examples,)``."""
        return np.array([len(text) for text in self.texts], dtype=np.int64)

    def batch(self, examples: NDArray[np.int64]) -> Batch:
        """Return the batch of these examples."""
        texts = [self.texts[number] for number in examples]
        answers: list[Any] = [self.answers[number] for number in examples]
        if isinstance(answers[0], int):
            return classified(texts, answers, self.special)
        return translated(texts, answers, self.special)


def classified(texts: Sequence[Ids], classes: Sequence[int], special: SpecialTokens) -> Batch:
    """Make a batch for sequence classification.

    Returns
    -------
    Batch
        ``tokens`` and ``mask``, ``(B, T)``, and ``labels``, ``(B,)``.
    """
    tokens, mask = pad(texts, special.pad)
    return {"tokens": tokens, "mask": mask, "labels": torch.tensor(classes)}


def translated(sources: Sequence[Ids], targets: Sequence[Ids], special: SpecialTokens) -> Batch:
    """Make a batch for sequence-to-sequence, and the shift of its decoder.

    The decoder reads the start token and then the target; it is to write the target and then the end token, so what it
    writes at each place is what it reads at the next. This is the only place where this shift is made.

    Returns
    -------
    Batch
        ``tokens`` and ``mask``, ``(B, T)``: the sources, each with an end token. ``decoder_tokens`` and ``labels``,
        ``(B, S)``; labels are -100 at padding.
    """
    tokens, mask = pad([[*source, special.end] for source in sources], special.pad)
    decoder_tokens, _ = pad([[special.start, *target] for target in targets], special.pad)
    labels, counted = pad([[*target, special.end] for target in targets], special.pad)
    return {
        "tokens": tokens,
        "mask": mask,
        "decoder_tokens": decoder_tokens,
        "labels": labels.masked_fill(~counted, NOT_COUNTED),
    }


def pad(rows: Sequence[Sequence[int] | Ids], filler: int) -> tuple[Tensor, Tensor]:
    """Fill rows up to the longest.

    Returns
    -------
    tokens, mask
        ``(B, T)``, int64, and ``(B, T)``, bool, True where a row has a token of its own.
    """
    tokens = torch.full((len(rows), max(map(len, rows))), filler)
    mask = torch.zeros(tokens.shape, dtype=torch.bool)
    for number, row in enumerate(rows):
        tokens[number, : len(row)] = torch.from_numpy(np.asarray(row, dtype=np.int64))
        mask[number, : len(row)] = True
    return tokens, mask


def prepare_examples(
    data: DataSpec,
    tokenizer: TokenizerSpec,
    *,
    task: Task,
    cache_dir: Path,
    frozen_tokenizer: Path | None,
    report: Callable[[str, float], None],
) -> PaddedData:
    """Turn examples into token ids; see :func:`tb_widgets.data.prepared.prepare`.

    A text to be sorted into classes is cut at ``context_length`` tokens; pairs are never cut, since half an answer
    would be a wrong one.
    """
    report("Reading the examples", 0.0)
    found = read_examples(data.source)
    training, held_back = found.parts(data.validation_fraction)
    if frozen_tokenizer is not None:
        encoder = load_tokenizer(frozen_tokenizer)
    else:
        report("Learning the vocabulary", 0.3)
        key = tokenizer_key(found.fingerprint, data, tokenizer)
        texts = (f"{e.text}\n" if found.classes else f"{e.text}\n{e.answer}\n" for e in training)
        encoder = made_tokenizer(key, tokenizer, lambda: "".join(texts), cache_dir)
    report("Turning text into tokens", 0.6)
    parts = [_encoded(part, found.classes, encoder, data) for part in (training, held_back)]
    digest = hashlib.sha256(encoder.serialized().encode("utf-8"))
    digest.update(f"/{found.fingerprint}/{data.validation_fraction}/{data.context_length}".encode())
    prepared = PaddedData(
        task=task,
        fingerprint=digest.hexdigest(),
        statistics={
            "train_examples": len(training),
            "validation_examples": len(held_back),
            "vocab_size": encoder.vocab_size,
            "tokens_per_example": round(float(np.mean(parts[0].lengths)), 1),
        },
        tokenizer=encoder,
        classes=found.classes,
        train=parts[0],
        validation=parts[1],
        examples=held_back,
    )
    report("The examples are ready", 1.0)
    return prepared


def _encoded(part: list[Example], classes: tuple[str, ...], tokenizer: Tokenizer, data: DataSpec) -> EncodedExamples:
    special = SpecialTokens(tokenizer.vocab_size)
    texts = tokenizer.encode_all([example.text for example in part])
    if classes:
        numbers = [classes.index(example.answer) for example in part]
        return EncodedExamples([text[: data.context_length] for text in texts], numbers, special)
    answers = tokenizer.encode_all([example.answer for example in part])
    longest = 1 + max(len(row) for rows in (texts, answers) for row in rows)
    if longest > data.context_length:
        raise DataError(
            f"The longest text of {data.source} has {longest:,} tokens with its end, and data.context_length is "
            f"{data.context_length:,}.",
            hint=f"Set data.context_length to at least {longest}, or choose a tokenizer with longer pieces.",
        )
    return EncodedExamples(texts, answers, special)

"""Single texts as batches: padded to the longest of the batch, with others of about their length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tb_widgets.data.batches.buckets import ExampleBatches
from tb_widgets.data.batches.example_files import EncodedPart, encode_examples, read_encoded
from tb_widgets.data.batches.prepared_data import WAITING_FOR_TEXT, PreparedData, ValidationExample
from tb_widgets.data.batches.token_files import made_tokenizer
from tb_widgets.data.batches.windows import Batches
from tb_widgets.data.counting import Counted, class_losses
from tb_widgets.data.reading.examples import find_examples
from tb_widgets.data.tokenizers.make import Ids, Tokenizer, load_tokenizer
from tb_widgets.data.tokenizers.special_tokens import SpecialTokens
from tb_widgets.spec import DataSpec, Task, TokenizerSpec
from tb_widgets.spec.batch import NOT_COUNTED, Batch


@dataclass
class PaddedData(PreparedData):
    """Texts with answers as token ids.

    Attributes
    ----------
    train, validation
        Training and validation examples.
    padding_side
        ``right`` or ``left``.
    """

    tokenizer: Tokenizer
    train: EncodedPart
    validation: EncodedPart
    padding_side: str = "right"

    def train_batches(self, *, batch_size: int, seed: int) -> Batches:
        """Return batches of training examples; see :class:`tb_widgets.data.batches.buckets.ExampleBatches`."""
        return ExampleBatches(
            lambda numbers: self._batch(self.train, numbers),
            self.train.lengths,
            batch_size=batch_size,
            seed=seed,
            fingerprint=self.fingerprint,
        )

    def validation_batches(self, *, batch_size: int, batches: int) -> list[Batch]:
        """Return batches of examples spread evenly over the validation ones."""
        lengths = self.validation.lengths
        wanted = min(len(lengths), batch_size * batches)
        chosen = np.arange(wanted) * len(lengths) // wanted
        chosen = chosen[np.argsort(lengths[chosen], kind="stable")]
        return [
            self._batch(self.validation, chosen[first : first + batch_size]) for first in range(0, wanted, batch_size)
        ]

    def baselines(self, validation: Sequence[Batch]) -> Counted:
        """Return the losses of guessing where the answers are classes."""
        if self.train.classes is None:
            return super().baselines(validation)
        labels = torch.cat([batch["labels"] for batch in validation]).numpy()
        return class_losses(self.train.classes, labels, classes=len(self.classes))

    def validation_examples(self, number: int) -> list[ValidationExample]:
        """Return validation texts and their answers, spread evenly."""
        return [self._shown(len(self.validation.texts) * n // number) for n in range(number)]

    def _shown(self, place: int) -> ValidationExample:
        part = self.validation
        answer = (
            self.classes[int(part.classes[place])]
            if part.classes is not None
            else self.tokenizer.decode(part.answers[place])
        )
        return ValidationExample(self.tokenizer.decode(part.texts[place]), answer)

    def _batch(self, part: EncodedPart, numbers: NDArray[np.int64]) -> Batch:
        special = SpecialTokens(self.tokenizer.vocab_size, self.tokenizer.special)
        texts = [part.texts[number] for number in numbers]
        if part.classes is not None:
            return classified(texts, part.classes[numbers], special, side=self.padding_side)
        return translated(texts, [part.answers[number] for number in numbers], special, side=self.padding_side)


def classified(
    texts: Sequence[Ids], classes: Sequence[int] | NDArray[np.int64], special: SpecialTokens, *, side: str = "right"
) -> Batch:
    """Make a batch for sequence classification.

    Returns
    -------
    Batch
        ``tokens`` and ``mask``, ``(B, T)``, and ``labels``, ``(B,)``.
    """
    tokens, mask = pad(texts, special.pad, side=side)
    return {"tokens": tokens, "mask": mask, "labels": torch.from_numpy(np.array(classes, dtype=np.int64))}


def translated(sources: Sequence[Ids], targets: Sequence[Ids], special: SpecialTokens, *, side: str = "right") -> Batch:
    """Make a batch for sequence-to-sequence, and the shift of its decoder.

    The decoder reads the start token and then the target; it is to write the target and then the end token, so what it
    writes at each place is what it reads at the next. This is the only place where this shift is made. What a decoder
    reads is always filled up on the right, whatever the ``side``: it must begin with the start token, and no mask
    would hide padding before that.

    Returns
    -------
    Batch
        ``tokens`` and ``mask``, ``(B, T)``: the sources, each with an end token. ``decoder_tokens`` and ``labels``,
        ``(B, S)``; labels are -100 at padding.
    """
    tokens, mask = pad(sources, special.pad, side=side, end=special.end)
    decoder_tokens, _ = pad(targets, special.pad, start=special.start)
    labels, _ = pad(targets, NOT_COUNTED, end=special.end)
    return {"tokens": tokens, "mask": mask, "decoder_tokens": decoder_tokens, "labels": labels}


def pad(
    rows: Sequence[Sequence[int] | Ids],
    filler: int,
    *,
    side: str = "right",
    start: int | None = None,
    end: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Fill rows up to the longest, each with ``start`` before it and ``end`` after it where these are given.

    Returns
    -------
    tokens, mask
        ``(B, T)``, int64, and ``(B, T)``, bool, True where a row has a token of its own.
    """
    before, after = ([] if token is None else [np.array([token])] for token in (start, end))
    lengths = np.array([len(row) for row in rows]) + len(before) + len(after)
    places = np.arange(lengths.max())
    if side == "left":
        places = places[::-1]
    mask = places < lengths[:, None]
    tokens = np.full(mask.shape, filler, dtype=np.int64)
    tokens[mask] = np.concatenate([part for row in rows for part in (*before, row, *after)])
    return torch.from_numpy(tokens), torch.from_numpy(mask)


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

    A text to be sorted into classes is cut at ``context_length`` tokens. Pairs are refused where one is longer, since
    half an answer would be a wrong one, unless ``long_pairs`` says otherwise.
    """
    report("Reading the examples", 0.0)
    found = find_examples(data, task)
    if frozen_tokenizer is not None:
        encoder = load_tokenizer(frozen_tokenizer)
    else:
        report("Learning the vocabulary", 0.3)
        waiting = partial(report, WAITING_FOR_TEXT, 0.3)
        texts = partial(found.training_texts, data)
        encoder = made_tokenizer(found.fingerprint, texts, data, tokenizer, cache_dir, on_wait=waiting)
    report("Tokenizing", 0.6)
    folder = encode_examples(
        found,
        data,
        encoder,
        cache_dir,
        lambda rows: report(f"Tokenizing: {rows:,} examples", 0.6),
        on_wait=lambda: report(WAITING_FOR_TEXT, 0.6),
    )
    encoded = read_encoded(folder)
    report("The examples are ready", 1.0)
    return PaddedData(
        task=task,
        fingerprint=encoded.fingerprint,
        statistics=encoded.statistics,
        tokenizer=encoder,
        classes=found.classes,
        notes=(*found.notes, *encoded.notes),
        train=encoded.train,
        validation=encoded.validation,
        padding_side=data.padding_side,
    )

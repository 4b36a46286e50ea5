"""Texts as token streams on disk, and windows of them as batches for language models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tb_widgets.data.batches.masking import hide
from tb_widgets.data.batches.prepared_data import WAITING_FOR_TEXT, PreparedData, ValidationExample
from tb_widgets.data.batches.spans import cut_out
from tb_widgets.data.batches.token_files import STREAMS, encoded_streams, made_tokenizer, read_stream
from tb_widgets.data.batches.windows import Batches, TrainBatches, share_of, validation_batches
from tb_widgets.data.counting import Counted, n_gram_losses
from tb_widgets.data.keyed_random import key_of
from tb_widgets.data.reading.corpus import open_corpus
from tb_widgets.data.refusals import too_short
from tb_widgets.data.tokenizers.make import Tokenizer, load_tokenizer
from tb_widgets.data.tokenizers.special_tokens import (
    MASK_TEXT,
    SHORTEST_TO_CUT,
    SpecialTokens,
    span_sizes,
    vocabulary_with_specials,
)
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, Task, TokenizerSpec
from tb_widgets.spec.batch import NOT_COUNTED, Batch
from tb_widgets.wording import counted

_BETWEEN_MASKS = 6  # tokens from one mask to the next in what is shown to people


@dataclass
class StreamData(PreparedData):
    """A text as two streams of tokens.

    Attributes
    ----------
    train, validation
        Token ids, ``(tokens,)``, memory-mapped uint16 or uint32.
    context_length
        Tokens that the model sees.
    documents
        Whether the streams have several documents, each of which ends with a special token.
    apart
        Whether documents that share a window do not see each other.
    statistics
        ``characters`` of the whole text, ``train_tokens``, ``validation_tokens``, ``vocab_size``,
        ``characters_per_token``.
    """

    tokenizer: Tokenizer
    train: NDArray[Any]
    validation: NDArray[Any]
    context_length: int
    documents: bool = False
    apart: bool = False

    @property
    def vocab_size(self) -> int:
        """How many token ids a model must know to read the batches, special ones included."""
        pieces, own = self.tokenizer.vocab_size, self.tokenizer.special
        return vocabulary_with_specials(pieces, self.task, own=own, documents=self.documents, sentinels=self.sentinels)

    @property
    def document_end(self) -> int | None:
        """What stands after each document of a text that is to be continued; ``None`` where there is one document."""
        return self._special.document_end if self.documents and self.task == "causal-lm" else None

    @property
    def sentinels(self) -> int:
        """How many spans are cut out of each window, where a sequence-to-sequence model is to write them."""
        return span_sizes(self.context_length)[1] if self.task == "seq2seq" else 0

    def train_batches(self, *, batch_size: int, seed: int) -> Batches:
        """Return windows of the training stream; see :class:`tb_widgets.data.batches.windows.TrainBatches`."""
        key: dict[str, Any] = {"seed": seed, "fingerprint": self.fingerprint}
        windows = TrainBatches(self.train, context_length=self.context_length, batch_size=batch_size, **key)
        if self.task == "causal-lm":
            return NextTokenBatches(windows, self._border)
        return HiddenBatches(windows, self._hide, batch_size=batch_size, **key)

    def validation_batches(self, *, batch_size: int, batches: int) -> list[Batch]:
        """Return windows spread evenly over the validation stream."""
        found = validation_batches(
            self.validation, context_length=self.context_length, batch_size=batch_size, batches=batches
        )
        if self.task == "causal-lm":
            return [next_tokens(windows, self._border) for windows in found]
        # Always the same masks: metrics of different steps, seeds and runs answer the same questions.
        return [
            self._hide(windows[:, :-1], key_of("held-back masks", self.fingerprint, number))
            for number, windows in enumerate(found)
        ]

    def facts(self, validation: Sequence[Batch]) -> dict[str, float]:
        """Return the bytes of text that a label of a text to be continued stands for, where that is known exactly."""
        if self.task != "causal-lm":
            return {}
        labels = torch.cat([batch["labels"].flatten() for batch in validation])
        counts = np.zeros(self.vocab_size, np.int64)  # what ends a document is no text
        counts[: self.tokenizer.vocab_size] = self.tokenizer.byte_counts()
        if self.document_end is not None:
            counts[self.document_end] = 0
        found = counts[labels[labels != NOT_COUNTED].numpy()]
        return {"bytes_per_label": float(found.mean())} if len(found) and found.min() >= 0 and found.any() else {}

    def baselines(self, validation: Sequence[Batch]) -> Counted:
        """Return the losses of n-gram models where the text is to be continued."""
        if self.task != "causal-lm":
            return super().baselines(validation)
        # The last label of a row is -100 only where nothing follows from the token before it.
        rows = [torch.cat([batch["tokens"], batch["labels"][:, -1:].clamp(min=0)], dim=1) for batch in validation]
        windows = torch.cat(rows).numpy()
        return n_gram_losses(self.train, windows, vocab_size=self.vocab_size, border=self._border)

    def validation_examples(self, number: int) -> list[ValidationExample]:
        """Return beginnings of validation spans: 8 tokens to go on from, or 24 of which every sixth is hidden."""
        places = [len(self.validation) * n // number for n in range(number)]
        if self.task == "causal-lm":
            return [
                ValidationExample(text)
                for text in self._decoded([self.validation[place : place + 8] for place in places])
            ]
        return [self._with_masks(self.validation[place : place + 24]) for place in places]

    def _with_masks(self, tokens: NDArray[Any]) -> ValidationExample:
        length = min(len(tokens), self.context_length, _BETWEEN_MASKS * self.sentinels or len(tokens))
        pieces = _between_masks(tokens[:length])
        # What begins or ends inside a character is longer when it is read again.
        while length > 1 and sum(1 + len(self.tokenizer.encode(text)) for text in self._decoded(pieces)) > (
            self.context_length + 1
        ):
            length //= 2
            pieces = _between_masks(tokens[:length])
        return ValidationExample(MASK_TEXT.join(self._decoded(pieces)), expected=self._decoded([tokens[:length]])[0])

    def _decoded(self, pieces: list[NDArray[Any]]) -> list[str]:
        # The token between documents is no piece of the tokenizer; people see a new line.
        return ["\n".join(map(self.tokenizer.decode, self._documents(piece))) for piece in pieces]

    def _documents(self, tokens: NDArray[Any]) -> list[NDArray[Any]]:
        ends = np.flatnonzero(tokens == self._special.document_end)
        return [tokens[start : end - 1] for start, end in pairwise([0, *ends + 1, len(tokens) + 1])]

    def _hide(self, windows: Tensor, key: np.uint64) -> Batch:
        if self.task == "seq2seq":
            hidden = cut_out(windows.numpy(), key, self._special)
        else:
            hidden = hide(windows.numpy(), key, vocab_size=self.tokenizer.vocab_size, mask=self._special.mask)
        return {role: torch.from_numpy(rows) for role, rows in hidden.items()}

    @property
    def _border(self) -> int | None:
        return self._special.document_end if self.apart else None

    @property
    def _special(self) -> SpecialTokens:
        return SpecialTokens(self.tokenizer.vocab_size, self.tokenizer.special)


def _between_masks(tokens: NDArray[Any]) -> list[NDArray[Any]]:
    """Cut out the fourth token and every sixth after it, or the last where there are fewer."""
    places = range(min(3, len(tokens) - 1), len(tokens), _BETWEEN_MASKS)
    return [tokens[: places[0]], *(tokens[place + 1 : place + 6] for place in places)]


class NextTokenBatches:
    """Windows for next-token prediction."""

    def __init__(self, windows: TrainBatches, border: int | None = None) -> None:
        self._windows, self._border = windows, border

    def batch(self, step: int, *, rank: int = 0, ranks: int = 1) -> Batch:
        """Return the batch of a step, or a rank's slice of it."""
        return next_tokens(self._windows.batch(step, rank=rank, ranks=ranks), self._border)


class HiddenBatches:
    """Windows of which a part is hidden; what, follows from seed, step and fingerprint alone, anew in every epoch.

    Parameters
    ----------
    windows
        What is hidden in.
    hide
        Windows ``(B, T)`` and a key to a batch.
    batch_size
        Windows per step, over all ranks.
    seed, fingerprint
        Key of the choices.
    """

    def __init__(
        self,
        windows: TrainBatches,
        hide: Callable[[Tensor, np.uint64], Batch],
        *,
        batch_size: int,
        seed: int,
        fingerprint: str,
    ) -> None:
        self._windows, self._hide, self._batch_size = windows, hide, batch_size
        self._key = (seed, fingerprint)

    def batch(self, step: int, *, rank: int = 0, ranks: int = 1) -> Batch:
        """Return the batch of a step, or a rank's slice of it."""
        whole = self._hide(self._windows.batch(step)[:, :-1], key_of("mask", *self._key, step))
        rows = share_of(rank, ranks, self._batch_size)
        return {role: tensor[rows] for role, tensor in whole.items()}


def next_tokens(windows: Tensor, border: int | None = None) -> Batch:
    """Make the shift of causal language modelling: the label of each token is the token after it.

    This is the only place where it is made; losses and accuracies compare logit t with label t.

    Parameters
    ----------
    windows
        Token ids, ``(B, T + 1)``, int64.
    border
        What stands after each document, where documents are not to see each other.

    Returns
    -------
    Batch
        ``tokens`` and ``labels``, each ``(B, T)``; views, nothing is copied. With a ``border`` also ``documents``,
        ``(B, T)``: the number of each token's document within its row. What comes after a document does not follow
        from it, so the label there is -100.
    """
    batch = {"tokens": windows[:, :-1], "labels": windows[:, 1:]}
    if border is not None:
        ends = batch["tokens"] == border
        batch["labels"] = batch["labels"].masked_fill(ends, NOT_COUNTED)
        batch["documents"] = torch.cumsum(ends, dim=1) - ends.long()
    return batch


def prepare_streams(
    data: DataSpec,
    tokenizer: TokenizerSpec,
    *,
    task: Task,
    cache_dir: Path,
    frozen_tokenizer: Path | None,
    report: Callable[[str, float], None],
) -> StreamData:
    """Turn a text into token streams, or find them in the cache; see :func:`tb_widgets.data.prepared.prepare`."""
    if task == "seq2seq" and data.context_length < SHORTEST_TO_CUT:
        raise DataError(
            f"data.context_length is {data.context_length}, which is too short for span corruption.",
            hint=f"Set it to {SHORTEST_TO_CUT} or more; 64 to 512 is typical.",
        )
    report("Reading the text", 0.0)
    corpus = open_corpus(data, task)
    if data.reset_attention and not corpus.has_documents:
        raise DataError(
            f"data.reset_attention separates documents, but {corpus.name} is one document.",
            hint="Set it to false, or choose several texts.",
        )
    if frozen_tokenizer is not None:
        encoder = load_tokenizer(frozen_tokenizer)
    else:
        report("Learning the vocabulary", 0.1)
        waiting = partial(report, WAITING_FOR_TEXT, 0.1)
        encoder = made_tokenizer(corpus.fingerprint, corpus.training_texts, data, tokenizer, cache_dir, on_wait=waiting)

    def packed(share: float, speed: float) -> None:
        report(f"Tokenizing, {speed:.1f} million characters/s", 0.3 + 0.7 * share)

    report("Tokenizing", 0.3)
    folder = encoded_streams(corpus, data, encoder, cache_dir, packed, on_wait=lambda: report(WAITING_FOR_TEXT, 0.3))
    described = json.loads((folder / STREAMS).read_text(encoding="utf-8"))
    statistics = described["statistics"]
    if encoder.learned_from is not None:
        statistics["vocabulary_learned_from"] = encoder.learned_from
    prepared = StreamData(
        task=task,
        fingerprint=described["fingerprint"],
        statistics=statistics,
        tokenizer=encoder,
        classes=(),
        train=read_stream(folder / "train.bin", described["dtype"]),
        validation=read_stream(folder / "validation.bin", described["dtype"]),
        context_length=data.context_length,
        documents=corpus.has_documents,
        apart=data.reset_attention,
        notes=(*corpus.notes, *_left_out(statistics), *filter(None, [described.get("copied")])),
    )
    _check_length(prepared, data, corpus.name)
    report("The text is ready", 1.0)
    return prepared


def _left_out(statistics: Mapping[str, Any]) -> Iterator[str]:
    empty, in_both = statistics.get("empty_documents", 0), statistics.get("documents_in_both_parts", 0)
    if empty:
        share = empty / (empty + statistics["documents"])
        yield f"Skipped {counted(empty, 'empty text')} ({100 * share:.0f} %)."
    if in_both:
        yield f"Skipped {in_both:,} training texts that are also in the validation set."


def _check_length(prepared: StreamData, data: DataSpec, name: str) -> None:
    for tokens, part in ((prepared.train, "training set"), (prepared.validation, "validation set")):
        if len(tokens) <= data.context_length:
            raise too_short(part, name, tokens=len(tokens), context_length=data.context_length)

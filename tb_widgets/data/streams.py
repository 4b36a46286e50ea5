"""Texts as token streams on disk, and windows of them as batches for language models."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from tb_widgets.data.batches import Batch, Batches, TrainBatches, validation_batches
from tb_widgets.data.encoded import STREAMS, encoded_streams, made_tokenizer, read_stream, tokenizer_key
from tb_widgets.data.masking import MaskedBatches, hide
from tb_widgets.data.order import key_of
from tb_widgets.data.sources import Text, read_text
from tb_widgets.data.special import MASK_SIGN, SpecialTokens
from tb_widgets.data.split import split
from tb_widgets.data.task_data import HeldBack, PreparedData
from tb_widgets.data.tokenizers import Tokenizer, load_tokenizer
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec, Task, TokenizerSpec


@dataclass
class StreamData(PreparedData):
    """A text as two streams of tokens.

    Attributes
    ----------
    train, validation
        Token ids, ``(tokens,)``, memory-mapped uint16 or uint32.
    context_length
        Tokens that the model sees.
    statistics
        ``characters`` of the whole text, ``train_tokens``, ``validation_tokens``, ``vocab_size``,
        ``characters_per_token``.
    """

    tokenizer: Tokenizer
    train: NDArray[Any]
    validation: NDArray[Any]
    context_length: int

    def train_batches(self, *, batch_size: int, seed: int) -> Batches:
        """Return windows of the training stream; see :class:`tb_widgets.data.batches.TrainBatches`."""
        key: dict[str, Any] = {"seed": seed, "fingerprint": self.fingerprint}
        windows = TrainBatches(self.train, context_length=self.context_length, batch_size=batch_size, **key)
        if self.task == "causal-lm":
            return NextTokenBatches(windows)
        vocab_size, mask = self.tokenizer.vocab_size, self._mask
        return MaskedBatches(windows, batch_size=batch_size, vocab_size=vocab_size, mask=mask, **key)

    def validation_batches(self, *, batch_size: int, batches: int) -> list[Batch]:
        """Return windows spread evenly over the held-back stream."""
        found = validation_batches(
            self.validation, context_length=self.context_length, batch_size=batch_size, batches=batches
        )
        if self.task == "causal-lm":
            return [next_tokens(windows) for windows in found]
        # Always the same masks: figures of different steps, seeds and runs are told about the same questions.
        return [
            hide(
                windows[:, :-1],
                key_of("held-back masks", self.fingerprint, number),
                vocab_size=self.tokenizer.vocab_size,
                mask=self._mask,
            )
            for number, windows in enumerate(found)
        ]

    def held_back(self, number: int) -> list[HeldBack]:
        """Return beginnings of held-back stretches: 8 tokens to go on from, or 24 of which every sixth is hidden."""
        places = [len(self.validation) * n // number for n in range(number)]
        if self.task == "causal-lm":
            return [HeldBack(self.tokenizer.decode(self.validation[place : place + 8])) for place in places]
        return [self._with_gaps(self.validation[place : place + 24]) for place in places]

    def _with_gaps(self, tokens: NDArray[Any]) -> HeldBack:
        length = min(len(tokens), self.context_length)
        pieces = _between_gaps(tokens[:length])
        # What begins or ends inside a character is longer when it is read again.
        while length > 1 and sum(1 + len(self.tokenizer.encode(text)) for text in self._decoded(pieces)) > (
            self.context_length + 1
        ):
            length //= 2
            pieces = _between_gaps(tokens[:length])
        return HeldBack(MASK_SIGN.join(self._decoded(pieces)), expected=self.tokenizer.decode(tokens[:length]))

    def _decoded(self, pieces: list[NDArray[Any]]) -> list[str]:
        return [self.tokenizer.decode(piece) for piece in pieces]

    @property
    def _mask(self) -> int:
        return SpecialTokens(self.tokenizer.vocab_size).mask


def _between_gaps(tokens: NDArray[Any]) -> list[NDArray[Any]]:
    """Cut out the fourth token and every sixth after it, or the last where there are fewer."""
    gaps = range(min(3, len(tokens) - 1), len(tokens), 6)
    return [tokens[: gaps[0]], *(tokens[gap + 1 : gap + 6] for gap in gaps)]


class NextTokenBatches:
    """Windows for next-token prediction."""

    def __init__(self, windows: TrainBatches) -> None:
        self._windows = windows

    def batch(self, step: int, *, rank: int = 0, ranks: int = 1) -> Batch:
        """Return the batch of a step, or a rank's slice of it."""
        return next_tokens(self._windows.batch(step, rank=rank, ranks=ranks))


def next_tokens(windows: Tensor) -> Batch:
    """Make the shift of causal language modelling: the label of each token is the token after it.

    This is the only place where it is made; losses and accuracies compare score t with label t.

    Parameters
    ----------
    windows
        Token ids, ``(B, T + 1)``, int64.

    Returns
    -------
    Batch
        ``tokens`` and ``labels``, each ``(B, T)``; views, nothing is copied.
    """
    return {"tokens": windows[:, :-1], "labels": windows[:, 1:]}


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
    report("Reading the text", 0.0)
    text = read_text(data.source)
    if frozen_tokenizer is not None:
        encoder = load_tokenizer(frozen_tokenizer)
    else:
        report("Learning the vocabulary", 0.2)
        key = tokenizer_key(text.fingerprint, data, tokenizer)
        encoder = made_tokenizer(
            key, tokenizer, lambda: "".join(split(text.text, data.validation_fraction)[0]), cache_dir
        )
    report("Turning text into tokens", 0.5)
    folder = encoded_streams(text, data, encoder, cache_dir)
    described = json.loads((folder / STREAMS).read_text(encoding="utf-8"))
    prepared = StreamData(
        task=task,
        fingerprint=described["fingerprint"],
        statistics=described["statistics"],
        tokenizer=encoder,
        classes=(),
        train=read_stream(folder / "train.bin", described["dtype"]),
        validation=read_stream(folder / "validation.bin", described["dtype"]),
        context_length=data.context_length,
    )
    _check_length(prepared, data, text)
    report("The text is ready", 1.0)
    return prepared


def _check_length(prepared: StreamData, data: DataSpec, text: Text) -> None:
    needed = data.context_length + 1
    for tokens, part, fraction in (
        (prepared.train, "training part", "smaller"),
        (prepared.validation, "held-back part", "larger"),
    ):
        if len(tokens) < needed:
            longest = len(tokens) - 1
            shorter = f"Set data.context_length to at most {longest}, " if longest >= 2 else ""
            raise DataError(
                f"The {part} of {text.name} has {len(tokens):,} tokens, and one context needs {needed:,} "
                f"(data.context_length {data.context_length:,} and the token after it).",
                hint=f"{shorter}{'c' if shorter else 'C'}hoose a longer text, "
                f"or a {fraction} data.validation_fraction.",
            )

"""What a sequence-to-sequence model answers validation texts, beside what would be right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tb_widgets.data.batches.prepared_data import PreparedData
from tb_widgets.data.tokenizers.make import Tokenizer
from tb_widgets.data.tokenizers.special_tokens import SpecialTokens
from tb_widgets.spec.batch import NOT_COUNTED, Batch, in_parts

ANSWERS = "answers"
"""The fact that metrics over answers need: how many there are."""


@dataclass(frozen=True)
class Answers:
    """Validation pairs that a model answers, always the likeliest token first.

    Attributes
    ----------
    batches
        The pairs.
    tokenizer
        Turns answers into texts.
    most
        Tokens of an answer at most.
    """

    batches: list[Batch]
    tokenizer: Tokenizer
    most: int

    @classmethod
    def of(cls, data: PreparedData, *, pairs: int, batch_size: int, context_length: int) -> Answers | None:
        """Take at most so many pairs, spread evenly; ``None`` where a text has no answer of its own, or for 0 pairs."""
        if data.task != "seq2seq" or data.sentinels or data.tokenizer is None or not pairs:
            return None
        size = min(batch_size, pairs)
        batches = data.validation_batches(batch_size=size, batches=max(1, pairs // size))
        return cls(batches, data.tokenizer, context_length - 1)

    @property
    def facts(self) -> dict[str, float]:
        """What metrics need to know."""
        return {ANSWERS: sum(len(batch["labels"]) for batch in self.batches)}

    def written(
        self,
        logits_of: Callable[[Batch], Tensor],
        share: Callable[[Batch], Batch],
        *,
        device: torch.device,
        rows: int | None = None,
    ) -> Iterator[tuple[list[str], list[str]]]:
        """Yield what a model answers and what would be right, some pairs at a time.

        Parameters
        ----------
        logits_of
            A batch by role to logits (B, S, V).
        share
            A batch to this rank's rows of it.
        rows
            Pairs that go through the model at once; ``None`` for whole batches.
        """
        special = SpecialTokens(self.tokenizer.vocab_size, self.tokenizer.special)
        choices = torch.tensor([*range(self.tokenizer.vocab_size), special.end], device=device)
        for batch in self.batches:
            mine = share(batch)
            if not len(mine["labels"]):
                continue
            for part in in_parts(mine, rows or len(mine["labels"])):
                on_device = {role: tensor.to(device) for role, tensor in part.items()}
                new = greedy(logits_of, on_device, choices=choices, end=special.end, most=self.most)
                right = on_device["labels"].masked_fill(on_device["labels"] == NOT_COUNTED, special.end)
                yield self._texts(new, special.end), self._texts(right, special.end)

    def _texts(self, rows: Tensor, end: int) -> list[str]:
        return [self.tokenizer.decode(row[: row.index(end)] if end in row else row) for row in rows.tolist()]


def greedy(logits_of: Callable[[Batch], Tensor], batch: Batch, *, choices: Tensor, end: int, most: int) -> Tensor:
    """Return what a decoder writes when it always takes the likeliest token.

    Every place is guessed at once, from a draft that begins as the right answer, and the guess is the next draft. Each
    pass confirms at least one more token, and a draft that guesses itself is what would be written token by token: a
    decoder sees only what is before a place. Most answers are there after a few passes of ``most``.

    Parameters
    ----------
    batch
        With the sources, and right answers as ``labels``, (B, S).
    choices
        Token ids that may be written, ``end`` among them.
    end
        Ends an answer; stands in all places after it.

    Returns
    -------
    Tensor
        Token ids, (B, T): T is at most ``most``, and at most twice S.
    """
    labels, start = batch["labels"], batch["decoder_tokens"][:, :1]
    length = min(most, 2 * labels.shape[1])
    sources = {role: tensor for role, tensor in batch.items() if role not in ("labels", "decoder_tokens")}
    draft = labels.new_full((len(labels), length), end)
    known = labels[:, :length]
    draft[:, : known.shape[1]] = known.masked_fill(known == NOT_COUNTED, end)
    for _ in range(length):
        logits = logits_of({**sources, "decoder_tokens": torch.cat((start, draft[:, :-1]), dim=1)})
        guess = choices[logits[..., choices].argmax(-1)]
        guess = guess.masked_fill((guess == end).cumsum(1) > 0, end)
        if torch.equal(guess, draft):
            break
        draft = guess
    return draft

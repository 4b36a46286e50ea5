"""A model that reads tokens, while it is tried: what is known of it, and what has been concluded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tb_widgets.models.adapter import Adapter, Conclusion
from tb_widgets.models.probe.evidence import Claim
from tb_widgets.models.probe.signature import Reading
from tb_widgets.models.probe.trial import DECODER_LENGTH, LENGTH, Seen, Trial
from tb_widgets.models.source import ModelSource
from tb_widgets.spec import ModelSpec
from tb_widgets.spec.batch import Batch

ARGUMENTS = "model.arguments"
Found = tuple[Any, Seen]
"""What a forward returned, and what was seen during it."""


class Case:
    """All that the conclusions about one model are drawn from, and the conclusions so far."""

    def __init__(
        self, module: nn.Module, source: ModelSource, spec: ModelSpec, reading: Reading, claim: Claim | None
    ) -> None:
        self.trial = Trial(module)
        self.source = source
        self.spec = spec
        self.reading = reading
        self.claim = claim
        self.conclusions: list[Conclusion] = []
        self._known: tuple[Any, Batch, Tensor] | None = None

    def say(self, what: str, value: str, why: str, override: str = "") -> None:
        """Note a conclusion."""
        self.conclusions.append(Conclusion(what, value, why, override))

    def rows(self, seen: Seen, role: str = "tokens") -> int | None:
        """Return the number of rows of the table that the first batch's tokens were looked up in."""
        ids = self.trial.first_batch(decoder=True)[role]
        rows = [rows for rows, index in seen.lookups if same_tokens(index, ids)]
        return max(rows) if rows else None

    def base(self, adapter: Adapter) -> tuple[Batch, Tensor]:
        """Return a batch and its logits, which others are compared with; the last one is kept, as it takes its time."""
        how = (
            adapter.arguments,
            adapter.extras,
            adapter.sequence_first,
            adapter.late,
            adapter.vocab_size,
            adapter.decoder_vocab_size,
        )
        if self._known is None or self._known[0] != how:
            batch = self.batch(adapter)
            self._known = (how, batch, self.trial.logits(adapter, batch))
        return self._known[1:]

    def batch(self, adapter: Adapter) -> Batch:
        """Draw tokens that the model knows."""
        batch = {"tokens": self.trial.tokens(adapter.vocab_size, LENGTH)}
        if "decoder_tokens" in adapter.arguments:
            batch["decoder_tokens"] = self.trial.tokens(adapter.decoder_vocab_size, DECODER_LENGTH)
        return batch


def same_tokens(index: Tensor, ids: Tensor) -> bool:
    """Tell whether an index is the tokens, whichever way round."""
    return any(index.shape == rows.shape and torch.equal(index.long(), rows) for rows in (ids, ids.t()))

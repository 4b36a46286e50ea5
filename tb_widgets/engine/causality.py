"""Does a model look at the very tokens that it is asked to predict?

Every earlier logit must stand still while later tokens change. A language model that leaks reaches a wonderful loss in
training and is worthless: when it writes, there are no later tokens to look at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tb_widgets.models.undisturbed import device_of, filled_zeros, undisturbed
from tb_widgets.spec import TASKS
from tb_widgets.spec.batch import Batch

if TYPE_CHECKING:
    from tb_widgets.models.load import LoadedModel

SHORT, LONG = 12, 64  # tokens
_ROWS = 3  # different texts


@dataclass(frozen=True)
class Causality:
    """How far earlier logits move when later tokens change.

    Attributes
    ----------
    moved
        The largest change of an earlier logit, in standard deviations of the logits; 0 in a causal model. ``None``
        where it can't be told; then ``why_not`` says why.
    tolerance
        What rounding may move.
    moves
        ``moves[p][t]``: the largest change at position t when the tokens from position p on are others, in the same
        unit, for a short text. From t = p on the logits may move.
    """

    moved: float | None
    tolerance: float
    moves: tuple[tuple[float, ...], ...] = ()
    why_not: str = ""

    @property
    def leaks(self) -> bool:
        """Whether earlier logits know something of later tokens."""
        return self.moved is not None and self.moved > self.tolerance


def measure_causality(model: LoadedModel) -> Causality:
    """Change later tokens and see whether earlier logits move: at every position of a short text, at three of a longer.

    For sequence-to-sequence models the tokens of the decoder are changed. The model is left as it was.

    Raises
    ------
    Exception
        Whatever the model's own forward raises.
    """
    longest = min(model.context_limit or LONG, LONG)
    short = min(longest, SHORT)
    if short < 2 or (model.vocab_size or 0) < 2:
        return Causality(None, 0.0, why_not="The model reads one token at a time, or knows only one.")
    with undisturbed(model.module), filled_zeros(model.module), torch.no_grad():
        tests = [_Test(model, length=short)] + ([_Test(model, length=longest)] if longest > short else [])
        for test in tests:
            if test.why_not:
                return Causality(None, test.tolerance, why_not=test.why_not)
        moves = torch.stack([tests[0].moved_by_changes_from(position) for position in range(short)])
        earlier = [moves.tril(-1).max()]
        for position in (1, longest // 2, longest - 1):
            earlier.append(tests[-1].moved_by_changes_from(position)[:position].max())
    table = tuple(tuple(row) for row in moves.tolist())
    return Causality(torch.stack(earlier).max().item(), tests[0].tolerance, table)


class _Test:
    """Texts of one length, and the logits that the model gives them."""

    def __init__(self, model: LoadedModel, *, length: int) -> None:
        self.model = model
        self.role = TASKS[model.task].inputs[-1]
        generator = torch.Generator().manual_seed(length)
        vocabulary = model.vocab_size or 2
        self.tokens = torch.randint(vocabulary, (_ROWS, length), generator=generator)
        other = torch.randint(1, vocabulary, (_ROWS, length), generator=generator)
        self.others = (self.tokens + other) % vocabulary
        self.before = self._logits(self.tokens)
        self.scale = self.before.std().item()
        dtypes = [p.dtype for p in model.module.parameters() if p.is_floating_point()]
        # Sums taken in another order round otherwise, for example in a convolution by Fourier transform.
        self.tolerance = min(1e-2, 100 * torch.finfo(dtypes[0] if dtypes else torch.float32).eps)

    @property
    def why_not(self) -> str:
        """Why these texts can't show anything; empty if they can."""
        if not self.before.isfinite().all():
            return "The logits are NaN."
        if self.scale == 0:
            return "All logits are the same, whatever the model reads."
        if (self._logits(self.tokens) - self.before).abs().max().item() > self.tolerance * self.scale:
            return "The same input gives different logits each time."
        return ""

    def moved_by_changes_from(self, position: int) -> Tensor:
        """Return the largest change of the logits at each position, ``(length,)``, on the CPU."""
        changed = torch.cat((self.tokens[:, :position], self.others[:, position:]), dim=1)
        moved = (self._logits(changed) - self.before).abs().amax(dim=(0, 2)) / self.scale
        return moved.nan_to_num(nan=math.inf).cpu()

    def _logits(self, read: Tensor) -> Tensor:
        where = device_of(self.model.module)
        torch.manual_seed(0)  # what is drawn at random in the forward pass is the same each time
        batch: Batch = {"tokens": self.tokens.to(where), "labels": torch.zeros_like(self.tokens).to(where)}
        return self.model.logits(batch | {self.role: read.to(where)}).float()

"""Metrics over what a sequence-to-sequence model answers: BLEU, chrF and exact match.

BLEU and chrF are what sacrebleu's ``corpus_bleu`` and ``corpus_chrf`` give by default, from 0 to 100.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.text import SacreBLEUScore

from tb_widgets.engine.inference.answers import ANSWERS
from tb_widgets.spec.metrics import BLEU, CHRF, EXACT_MATCH, computes

_CHARACTERS = 6
_BETA = 2


class Bleu(SacreBLEUScore):
    """BLEU of up to four words in a row, words split as mteval's ``13a`` does."""

    def update(self, preds: Sequence[str], target: Sequence[str]) -> None:  # type: ignore[override]
        """Add answers, and the right one of each."""
        super().update(preds, [[text] for text in target])

    def compute(self) -> Tensor:
        """Return the score.

        Of n words in a row of which none is right, the precision is halved once more each time: ``exp`` smoothing, in
        sacrebleu's words (Chen and Cherry, 2014, https://aclanthology.org/W14-3346).
        """
        right, written = self.numerator.double(), self.denominator.double()
        if not right.any() or not written.all():
            return torch.zeros(())
        missing = (right == 0).cumsum(0)
        precision = torch.where(right > 0, right, 0.5**missing) / written
        brevity = torch.clamp(1 - self.target_len.double() / self.preds_len.double(), max=0)
        return 100 * torch.exp(brevity + precision.log().mean())


class ChrF(torchmetrics.Metric):
    """F-score of up to six characters in a row, blanks left out, recall counting twice as much as precision.

    torchmetrics' own leaves right answers out of the count where nothing of them was written, and is then too high.
    Source: Popović, 2015, https://aclanthology.org/W15-3049.
    """

    full_state_update = False
    right: Tensor
    written: Tensor
    wanted: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("right", "written", "wanted"):
            self.add_state(name, torch.zeros(_CHARACTERS, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Sequence[str], target: Sequence[str]) -> None:
        """Add answers, and the right one of each."""
        for answer, text in zip(preds, target, strict=True):
            mine, theirs = "".join(answer.split()), "".join(text.split())
            for n in range(1, _CHARACTERS + 1):
                found, wanted = _runs(mine, n), _runs(theirs, n)
                self.right[n - 1] += (found & wanted).total()
                self.wanted[n - 1] += wanted.total()
                self.written[n - 1] += found.total() if wanted else 0  # no precision where there is nothing to find

    def compute(self) -> Tensor:
        """Return the score."""
        counted = (self.written > 0) & (self.wanted > 0)
        if not self.right[counted].any():
            return torch.zeros(())
        right = self.right[counted].double()
        precision, recall = ((right / total[counted]).mean() for total in (self.written, self.wanted))
        return 100 * (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall)


def _runs(text: str, n: int) -> Counter[str]:
    return Counter(text[first : first + n] for first in range(len(text) - n + 1))


class ExactMatch(torchmetrics.Metric):
    """Share of the answers that are right as a whole, but for blanks around them."""

    full_state_update = False
    right: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("right", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Sequence[str], target: Sequence[str]) -> None:
        """Add answers, and the right one of each."""
        self.right += sum(answer.strip() == text.strip() for answer, text in zip(preds, target, strict=True))
        self.count += len(preds)

    def compute(self) -> Tensor:
        """Return the share."""
        return self.right.double() / self.count if self.count else torch.tensor(math.nan)


@computes(BLEU, needs=ANSWERS)
def bleu(_device: torch.device, _answers: float) -> torchmetrics.Metric:
    """Return BLEU."""
    return Bleu()


@computes(CHRF, needs=ANSWERS)
def chrf(_device: torch.device, _answers: float) -> torchmetrics.Metric:
    """Return chrF."""
    return ChrF()


@computes(EXACT_MATCH, needs=ANSWERS)
def exact_match(_device: torch.device, _answers: float) -> torchmetrics.Metric:
    """Return the share of answers that are right."""
    return ExactMatch()

"""Faults that tier 2 finds."""

from __future__ import annotations

import torch

from tests.checks.faulty import caught_by
from tests.checks.faulty.tier_1 import SEQ2SEQ, Translator
from tests.checks.small import Block, Both, Classifier, Masked, MaskedMean, Small

# ---- attention


class OverQueries(Both):
    def weigh(self, scores):
        return scores.softmax(-2)


@caught_by("attention")
class SoftmaxOverTheWrongSide(Classifier):
    block = OverQueries


class OverHeads(Both):
    def weigh(self, scores):
        return scores.softmax(1)


@caught_by("attention")
class SoftmaxOverHeads(Masked):
    block = OverHeads


class Unscaled(Both):
    def weigh(self, scores):
        return (scores * 1000).softmax(-1)


@caught_by("attention")
class HeadsSeeOnePlace(Masked):
    block = Unscaled


class NoQuestions(Both):
    """The query is the same at each position, and the keys are not asked at all."""

    def weigh(self, scores):
        return (scores * 0).softmax(-1)


@caught_by("attention", "gradients")
class HeadsSeeAllAlike(Classifier):
    block = NoQuestions


# ---- attribution


class Alone(Block):
    def __init__(self):
        super().__init__()
        del self.query, self.key

    def attend(self, x):
        return self.output(self.value(x))


@caught_by("attribution")
class SeesNoContext(Small):
    block = Alone


@caught_by("attribution")
class ReadsTheFirstTokenOnly(Classifier):
    """Takes the first position as a summary, which nothing has summarised."""

    block = Alone

    def forward(self, input_ids):
        return self.out(self.norm(self.blocks(self.embed(input_ids))[:, 0]))


@caught_by("attribution", "robustness", adapter=SEQ2SEQ)
class DecoderIgnoresTheSource(Translator):
    def __init__(self):
        super().__init__(causal=True)

    def encode(self, ids):
        return 0 * self.table(ids) + self.places(torch.arange(ids.shape[1]))


# ---- robustness


@caught_by("robustness")
class ReadsThePadding(MaskedMean):
    def weight(self, mask):
        return torch.ones_like(mask).unsqueeze(-1).float()


@caught_by("robustness")
class MaskTheWrongWayRound(MaskedMean):
    def weight(self, mask):
        return super().weight(mask if mask.all() else mask.logical_not())


@caught_by("robustness")
class Chaotic(Small):
    def before(self, x):
        return x + torch.sin(300 * x)


@caught_by("robustness")
class NoPositions(Masked):
    def __init__(self):
        super().__init__()
        del self.places

    def embed(self, ids):
        return self.table(ids)

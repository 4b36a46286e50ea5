"""Faults that tier 1 finds."""

from __future__ import annotations

import math
import time

import torch
from torch import nn

from tb_widgets.models.adapter import Adapter
from tests.checks.faulty import caught_by
from tests.checks.small import LONGEST, VOCABULARY, WIDTH, Block, Classifier, Small

# ---- shapes


@caught_by("shapes")
class SqueezesABatchOfOne(Small):
    def forward(self, input_ids):
        logits = super().forward(input_ids)
        return logits.squeeze(0) if input_ids.shape == (1, 1) else logits


@caught_by("shapes")
class NeedsTwoTokens(Small):
    def after(self, x):
        return x + 0 * x[:, [1]]


@caught_by("shapes")
class MaskShorterThanItsPositions(Small):
    def after(self, x):
        return x + torch.zeros(LONGEST - 1, 1)[: x.shape[1]]


@caught_by("shapes")
class ScoresTooFewTokens(Small):
    """The output layer is smaller than the vocabulary, which only long label ids would show in training."""

    def forward(self, input_ids):
        logits = super().forward(input_ids)
        return logits if input_ids.shape[0] != 3 or input_ids.shape[1] > 5 else logits[..., :-1]


# ---- gradients


class DetachedBlock(Block):
    def forward(self, x):
        return x + self.attend(self.norm_1(x)) + self.feed(self.norm_2(x)).detach()


@caught_by("gradients")
class ForgetsADetach(Small):
    block = DetachedBlock


class FaintBlock(Block):
    def feed(self, x):
        return super().feed(x * 1e-9) * 1e-9


@caught_by("gradients")
class GradientsFadeAway(Small):
    block = FaintBlock


@caught_by("gradients")
class GradientsExplode(Small):
    """The forward pass looks normal: only its derivative is huge."""

    def after(self, x):
        return x + 1e6 * (x - x.detach())


@caught_by("gradients")
class RootOfZero(Small):
    def after(self, x):
        return x + (x * 0).square().sum(-1, keepdim=True).sqrt()


@caught_by("gradients")
class ChangedInPlace(Small):
    def after(self, x):
        gate = x.sigmoid()
        y = x * gate
        gate.mul_(2)
        return y


@caught_by("gradients")
class PartThatIsNeverUsed(Small):
    def __init__(self):
        super().__init__()
        self.forgotten = nn.Linear(WIDTH, WIDTH)


@caught_by("gradients")
class Frozen(Small):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)


# ---- stability


@caught_by("stability")
class DropoutNeverOff(Small):
    def after(self, x):
        return nn.functional.dropout(x, 0.2)


@caught_by("stability")
class MixesTheBatch(Small):
    def after(self, x):
        return x + x.mean(0, keepdim=True)


@caught_by("stability")
class BatchNormThatCountsInEvaluation(Small):
    def after(self, x):
        return (x - x.mean((0, 1))) / (1 + x.std((0, 1), unbiased=False)) if x.shape[0] == 4 else x


@caught_by("stability")
class LogitsGrowWithLength(Small):
    def forward(self, input_ids):
        logits = super().forward(input_ids)
        return logits * (torch.arange(logits.shape[1])[:, None] / 16).exp()


@caught_by("stability")
class NotANumberWhenLong(Small):
    def after(self, x):
        places = torch.arange(x.shape[1])[:, None]
        return x + (60 - places).float().clamp(max=1).sqrt()


# ---- first weights


@caught_by("initialisation")
class AllWeightsAlike(Small):
    def __init__(self):
        super().__init__()
        nn.init.constant_(self.blocks[0].up.weight, 0.05)


@caught_by("initialisation")
class WideTable(Small):
    def __init__(self):
        super().__init__()
        nn.init.normal_(self.table.weight, std=5)


@caught_by("initialisation")
class WeightsOffCentre(Small):
    def __init__(self):
        super().__init__()
        with torch.no_grad():
            self.blocks[1].down.weight.add_(0.3)


@caught_by("initialisation")
class ConfidentlyWrong(Small):
    def __init__(self):
        super().__init__()
        with torch.no_grad():
            self.out.weight.mul_(15)


@caught_by("initialisation")
class MostlyZero(Small):
    def __init__(self):
        super().__init__()
        for part in self.blocks.modules():
            if isinstance(part, nn.Linear):
                nn.init.zeros_(part.weight)


@caught_by("initialisation")
class NeverFilled(Small):
    """A bias that was only allocated, for a token that hardly ever comes."""

    def __init__(self):
        super().__init__()
        self.unlucky = nn.Parameter(torch.tensor([0.0, math.nan]))

    def after(self, x):
        return x + self.unlucky[0]


# ---- causality


class Unmasked(Block):
    def hide(self, scores):
        return scores


@caught_by("causality")
class NoMask(Small):
    block = Unmasked


class OneTooMany(Block):
    def hide(self, scores):
        return scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(2), -math.inf)


@caught_by("causality")
class MaskOffByOne(Small):
    block = OneTooMany


class Softly(Block):
    def hide(self, scores):
        return scores - 5 * torch.ones_like(scores).triu(1)


@caught_by("causality")
class MaskTooWeak(Small):
    block = Softly


@caught_by("causality")
class NormOverTheText(Small):
    def after(self, x):
        return x - x.mean(1, keepdim=True)


@caught_by("causality")
class MasksOnlyShortTexts(Small):
    class block(Block):
        def hide(self, scores):
            return super().hide(scores) if scores.shape[-1] <= 32 else scores


@caught_by("causality")
class CausalMaskInABert(Small):
    task = "masked-lm"


class Translator(nn.Module):
    """An encoder-decoder; ``is_causal`` is what the documentation of nn.Transformer forgets to insist on."""

    def __init__(self, causal):
        super().__init__()
        torch.manual_seed(0)
        self.causal = causal
        self.table, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LONGEST, WIDTH)
        self.body = nn.Transformer(WIDTH, 2, 1, 1, 64, batch_first=True)
        self.out = nn.Linear(WIDTH, VOCABULARY)

    def encode(self, ids):
        return self.table(ids) + self.places(torch.arange(ids.shape[1]))

    def forward(self, src, tgt):
        y = self.table(tgt) + self.places(torch.arange(tgt.shape[1]))
        mask = self.body.generate_square_subsequent_mask(tgt.shape[1]) if self.causal else None
        return self.out(self.body(self.encode(src), y, tgt_mask=mask))


SEQ2SEQ = Adapter("seq2seq", {"tokens": "src", "decoder_tokens": "tgt"}, vocab_size=VOCABULARY, context_limit=LONGEST)


@caught_by("causality", adapter=SEQ2SEQ)
class DecoderLooksAhead(Translator):
    def __init__(self):
        super().__init__(causal=False)


# ---- memory and speed


@caught_by("memory")
class KeepsEverything(Small):
    def __init__(self):
        super().__init__()
        self.history = []

    def after(self, x):
        self.history.append(x.detach())
        return x


@caught_by("memory")
class KeepsItsGraphs(Small):
    def __init__(self):
        super().__init__()
        self.losses = []

    def after(self, x):
        self.losses.append(x.mean())
        return x


@caught_by("speed")
class SleepsAtEveryToken(Classifier):
    def before(self, x):
        if x.shape[:2] == (4, LONGEST):
            time.sleep(0.01 * LONGEST)
        return x

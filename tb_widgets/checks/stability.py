"""Whether a model's logits depend on its input, and on nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tb_widgets.checks.inputs import make_batch, usual_length
from tb_widgets.checks.result import CheckResult, Fault
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.undisturbed import filled_zeros, undisturbed
from tb_widgets.spec import TASKS

_FLAT, _WILD, _OFF_CENTRE = 0.01, 100.0, 10.0  # standard deviation and mean of logits
_ROUNDING = 1e-3  # of the logits' standard deviation


def stability(model: LoadedModel) -> CheckResult:
    """See whether logits are numbers of a sensible size, and the same each time and in any company."""
    with undisturbed(model.module), filled_zeros(model.module), torch.no_grad():
        length = usual_length(model, 32)
        batch = make_batch(model, rows=4, length=length)
        logits, again = model.logits(batch).float(), model.logits(batch).float()
        alone = model.logits({role: value[:1] for role, value in batch.items()}).float()
        longer = logits
        if not TASKS[model.task].reads_images and usual_length(model, 4 * length) > length:
            longer = model.logits(make_batch(model, rows=1, length=usual_length(model, 4 * length))).float()
    good: Fault = ("pass", "Logits are stable and deterministic.", "")
    verdict, message, advice = next(_stability_faults(logits, again, alone, longer), good)
    bound = f"between {_FLAT:g} and {_WILD:g}"
    spread = logits.std().item()
    return CheckResult("stability", "Stability", 1, verdict, message, spread, "standard deviation", bound, advice)


def _stability_faults(logits: Tensor, again: Tensor, alone: Tensor, longer: Tensor) -> Iterator[Fault]:
    spread, spread_longer, mean = logits.std().item(), longer.std().item(), logits.mean().item()
    room = _ROUNDING * max(spread, _ROUNDING)
    if not logits.isfinite().all() or not longer.isfinite().all():
        yield "fail", "Some logits are NaN or infinite.", "Check divisions, logarithms and masks."
    if (again - logits).abs().max().item() > room:
        advice = "Use nn.Dropout, or pass training=self.training to functional.dropout."
        yield "fail", "The same input gives different logits each time, even in eval mode.", advice
    if (alone - logits[:1]).abs().max().item() > room:
        advice = "Check for a missing batch_first=True and for sums over the batch dimension."
        yield "fail", "The logits of an input depend on the other inputs in its batch.", advice
    if spread > _WILD:
        yield "fail", "The logits are very large.", "Add a norm before the output layer, or initialise smaller weights."
    if spread_longer > _WILD:
        yield "fail", "The logits of long texts are very large.", "Normalise sums over positions."
    if abs(mean) > _OFF_CENTRE:
        yield "warn", f"The logits are centred at {mean:.3g}, not at 0.", "Initialise the output bias to zero."
    if spread < _FLAT:
        advice = "Check for a norm, scale or activation that suppresses the signal."
        yield "fail", "All logits are nearly equal.", advice
    if spread_longer > 5 * spread:
        yield "warn", "The logits grow with the length of the text.", "Normalise sums over positions."

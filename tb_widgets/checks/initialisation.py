"""Whether a model begins where learning is possible."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tb_widgets.checks.inputs import choices, loss_of, make_batch, usual_length
from tb_widgets.checks.result import CheckResult, Fault
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.undisturbed import undisturbed

WEIGHTS_NARROW, WEIGHTS_WIDE, WEIGHTS_OFF_CENTRE = 0.001, 2.0, 0.1
MOSTLY_ZERO = 0.6

_USUAL = "Use PyTorch's defaults, or a normal distribution with standard deviation 0.02"


def initialisation(model: LoadedModel) -> CheckResult:
    """See whether the first weights are of a sensible size, and the first guess is about even."""
    even = math.log(choices(model))
    with undisturbed(model.module), torch.no_grad():
        first = loss_of(model, make_batch(model, rows=8, length=usual_length(model, 32))).item()
    good: Fault = ("pass", f"Initial loss {first:.2f}; uniform guessing gives {even:.2f}.", "")
    verdict, message, advice = next(_weight_faults(model.module, first, even), good)
    bound = f"about ln({choices(model):,}) = {even:.2f}"
    return CheckResult("initialisation", "Initialisation", 1, verdict, message, first, "nats", bound, advice)


def _weight_faults(module: nn.Module, first: float, even: float) -> Iterator[Fault]:
    for name, parameter in module.named_parameters():
        if not parameter.isfinite().all():
            yield "fail", f"{name} contains NaN or infinite values.", "Initialise it."
    weights = list(_weights(module))
    tables = {f"{path}.weight".lstrip(".") for path, part in module.named_modules() if isinstance(part, nn.Embedding)}
    small = [name for name, weight in weights if name in tables and _is_small(weight)]
    for name, weight in weights:
        if name not in small and (sentence := _odd(name, weight)):
            yield "fail", sentence, f"{_USUAL}."
    zero, every = sum(w.numel() for _, w in weights if not w.any()), sum(w.numel() for _, w in weights)
    if zero > MOSTLY_ZERO * every:
        yield (
            "fail",
            f"{zero / every:.0%} of the weights are zero.",
            "Only the last layer of a block may start at zero.",
        )
    if not math.isfinite(first):
        yield "fail", "The initial loss is NaN.", "Fix what the stability check found."
    if small:
        sentence = f"The values of {small[0]} are very small, as in models that normalise their embeddings."
        yield "warn", sentence, f"If no norm follows, {_USUAL[0].lower()}{_USUAL[1:]}."
    if first > 2 * even + 1:
        advice = "Initialise the output layer, or the embedding it is tied to, with standard deviation 0.02."
        yield "warn", f"Initial loss {first:.1f}: the untrained model is confidently wrong.", advice


def _weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The weights of usual layers; what a model does with a parameter of its own can't be known."""
    usual = (nn.Linear, nn.Embedding, nn.MultiheadAttention, nn.RNNBase, nn.Conv1d, nn.Conv2d, nn.Bilinear)
    for path, part in module.named_modules():
        if isinstance(part, usual):
            for name, parameter in part.named_parameters(recurse=False):
                if parameter.dim() > 1 and parameter.numel() >= 64:
                    yield f"{path}.{name}".lstrip("."), parameter.detach().float()


def _is_small(weight: Tensor) -> bool:
    """Tell whether values are all near 0 and yet differ from each other, so that they tell tokens apart."""
    return 0 < weight.std().item() < WEIGHTS_NARROW and abs(weight.mean().item()) < weight.std().item()


def _odd(name: str, weight: Tensor) -> str:
    if not weight.any():
        return ""  # a layer that begins at zero is good practice
    mean, spread = weight.mean().item(), weight.std().item()
    if spread < WEIGHTS_NARROW:
        return f"All values of {name} are nearly equal (standard deviation {spread:.2g})."
    if spread > WEIGHTS_WIDE:
        return f"The values of {name} are very large (standard deviation {spread:.3g})."
    # The mean of a few values lies off 0 by chance: what four standard errors explain is no fault.
    if abs(mean) > WEIGHTS_OFF_CENTRE + 4 * spread / math.sqrt(weight.numel()):
        return f"The values of {name} are centred at {mean:.2g}, not at 0."
    return ""

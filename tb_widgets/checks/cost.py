"""What a training step takes: memory and time."""

from __future__ import annotations

import torch

from tb_widgets.checks.inputs import tokens_in, usual_batch
from tb_widgets.checks.measure import left_behind, matrix_speed, peak_memory, seconds_for, trial_step
from tb_widgets.checks.result import CheckResult, Verdict
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.quoted_error import quoted_error
from tb_widgets.models.undisturbed import device_of, undisturbed
from tb_widgets.spec import TASKS
from tb_widgets.spec.batch import Batch
from tb_widgets.wording import size_in_words

SLOW, HOPELESS = 30.0, 300.0  # times slower than its own multiplications would take


def memory(model: LoadedModel) -> CheckResult:
    """Measure the peak of a training step, and whether memory is given back afterwards."""
    batch = usual_batch(model)
    device = device_of(model.module)
    size = _size(batch)

    def result(verdict: Verdict, message: str, advice: str = "", value: float | None = None) -> CheckResult:
        bound = "no growth from step to step"
        return CheckResult("memory", "Memory", 1, verdict, message, value, "MB", bound, advice)

    try:
        with undisturbed(model.module, training=True):
            step = trial_step(model)
            with peak_memory(device) as peak:
                step(batch)
            step(batch)  # what is made once, such as a table of rotations, is made now
            growth = left_behind(lambda: step(batch))
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
            raise
        return result(
            "fail", f"A training step with {size} runs out of memory: {quoted_error(error)}.", "Make the model smaller."
        )
    if growth > 0:
        return result(
            "fail",
            f"Each step leaks {size_in_words(growth)}, so memory will run out.",
            "Don't store outputs or losses on the model; store loss.item() instead.",
            peak.bytes / 1e6,
        )
    return result(
        "pass", f"A training step with {size} takes at most {size_in_words(peak.bytes)}.", value=peak.bytes / 1e6
    )


def speed(model: LoadedModel) -> CheckResult:
    """Measure tokens (or images) a second, forward only and in a training step."""
    batch = usual_batch(model)
    unit = "images/s" if TASKS[model.task].reads_images else "tokens/s"
    count = tokens_in(batch)
    with undisturbed(model.module, training=True):
        step = trial_step(model)
        training = seconds_for(lambda: step(batch), times=1)
        with torch.no_grad():
            forward = seconds_for(lambda: model.logits(batch), times=2)
    # A forward pass multiplies each token with each weight about once; small models are bound by their many calls.
    own = 2 * model.parameters * count / matrix_speed(device_of(model.module)) + 0.01
    slower = forward / own
    verdict: Verdict = "pass" if slower < SLOW else "warn" if slower < HOPELESS else "fail"
    return CheckResult(
        "speed",
        "Speed",
        1,
        verdict,
        f"{count / training:,.0f} {unit} in training, {count / forward:,.0f} forward only, with {_size(batch)}.",
        count / training,
        unit,
        f"limit: {SLOW:g}× the theoretical compute time",
        "" if verdict == "pass" else f"It is {slower:,.0f} times slower: check forward for Python loops over tokens.",
    )


def _size(batch: Batch) -> str:
    if "images" in batch:
        return f"{len(batch['images'])} images"
    rows, length = batch["tokens"].shape
    return f"{rows} × {length} tokens"

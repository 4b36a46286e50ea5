"""The error about a language model that sees the tokens it has to predict."""

from __future__ import annotations

from tb_widgets.errors import ModelError
from tb_widgets.models.repairs.repairs import repairs
from tb_widgets.models.source import ModelSource
from tb_widgets.spec import Task


def leak_refusal(source: ModelSource | None, task: Task) -> ModelError:
    """Return the error that refuses a leaking model; its hint names every way out that there is.

    Parameters
    ----------
    source
        The model, if its source is known: it may be known how to mend it.
    """
    way = "Add a causal mask to its attention (no automatic repair fits this code)"
    if source is not None and any(repair.id == "causal-mask" for repair in repairs(source)):
        way = "Add the causal mask (causal-mask in model.repairs)"
    other = ", set model.task to masked-lm if it was built to fill in masked tokens" if task == "causal-lm" else ""
    return ModelError(
        "The model can see the tokens it has to predict: its earlier logits change when only later tokens do. "
        "Its loss would look excellent and it could not generate text.",
        hint=f"{way}{other}, or set model.allow_leak to true to train it anyway.",
    )
